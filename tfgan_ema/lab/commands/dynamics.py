"""usage: tfgan-ema dynamics --out=DIR [--methods=NAME,NAME+leaky_ema,...]

Writes trajectories.svg/.png (the runs over their vector fields) and, for methods with a parameter,
eigenvalues.svg/.png; prints the eigenvalues at the equilibrium and the distance at the end. Rules:
simultaneous, alternating or optimistic descent, or continuous time until step x steps.
"""

import contextlib
import math

from tfgan_ema import command, progress
from tfgan_ema.errors import UsageError
from tfgan_ema.lab.commands.reproduce import output_folder

_METHODS = ["gan", "nsgan", "wgan_gp", "r1", "consensus", "leaky_ema"]
RULES = ("simultaneous", "alternating", "optimistic")
FLAGS = command.new_flags(
    ("methods", list, _METHODS, "Methods, NAME or NAME+leaky_ema."),
    ("out", str, None, "The folder to write into."),
    ("start", list, ["1", "1"], "θ, then ψ: 2 or 4 numbers."),
    (
        "rule",
        command.one_of(*RULES, "continuous"),
        "alternating",
        "How the players move, see above.",
    ),
    ("step", command.number("(0, inf)"), 0.1, "Step size of descent."),
    ("steps", command.whole(1, 100_000), 500, "Generator steps."),
    ("n_dis", command.whole(1, 1000), 1, "Discriminator steps per generator step."),
    (
        "first",
        command.one_of("discriminator", "generator"),
        "discriminator",
        "The player that moves first.",
    ),
    ("beta", command.number("[0, 1]"), 0.5, "Share of the real data that leaks replace."),
    ("decay", command.number("(0, 1)"), 0.9, "Decay of the averages, leaking or not."),
)


def draw(values: command.Flags, words: list[str]) -> None:
    """Computes everything before anything is written."""
    from tfgan_ema.lab.dynamics.methods import method, swept
    from tfgan_ema.lab.dynamics.simulate import check_rule, descend, integrate
    from tfgan_ema.lab.dynamics.spectra import eigenvalues
    from tfgan_ema.lab.reports import phase_plots

    if words:
        raise UsageError(f"unexpected {words[0]!r}: list methods as --methods=gan,nsgan.")
    out, start = output_folder(values.out), _start(values.start)
    continuous = values.rule == "continuous"
    rule = "alternating" if continuous else values.rule
    options = {"rule": rule, "n_dis": values.n_dis, "first": values.first}
    check_rule(values.step, **options)
    methods = [method(name, values.beta, values.decay) for name in values.methods]
    runs = [
        integrate(m.game, start, values.step * values.steps, decay=values.decay)
        if continuous
        else descend(m.game, start, values.steps, values.step, decay=values.decay, **options)
        for m in methods
    ]
    if len(start[0]) == 1:
        panels = [(m.label, m.game, r) for m, r in zip(methods, runs, strict=True)]
        figures = {"trajectories": phase_plots.phase_portraits(panels)}
    else:
        panels = [(m.label, r, None) for m, r in zip(methods, runs, strict=True)]
        figures = {"trajectories": phase_plots.generator_paths(panels)}
    smooth = [m for m in methods if m.sweep and m.game.smooth]
    if smooth:
        clouds = [(m.label, *m.sweep, eigenvalues(swept(m)), None) for m in smooth]
        figures["eigenvalues"] = phase_plots.eigenvalue_clouds(clouds)
    for m, r in zip(methods, runs, strict=True):
        roots = [f"{root:.4f}" for root in eigenvalues(m.game)] if m.game.smooth else []
        shown = ", ".join(roots) or "undefined (the field jumps)"
        print(f"{m.label:<24}  end radius {r.radius[-1]:<10.3g} eigenvalues {shown}")
    for name, figure in figures.items():
        for path in phase_plots.save(figure, out, name):
            progress.note(str(path))


def _start(words: list[str]) -> list[list[float]]:
    half = len(words) // 2
    if len(words) in (2, 4):
        with contextlib.suppress(ValueError):
            numbers = list(map(float, words))
            if all(map(math.isfinite, numbers)):
                return [numbers[:half], numbers[half:]]
    raise UsageError(f"--start={','.join(words)}: expected two or four numbers, θ then ψ.")


main = command.main(draw, FLAGS, __doc__)
