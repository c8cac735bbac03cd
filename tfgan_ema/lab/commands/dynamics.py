"""``tfgan-ema dynamics --methods=... --out=DIR``: draws the training dynamics of the Dirac-GAN."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from absl import flags

from tfgan_ema.cli.command import new_flags, run
from tfgan_ema.errors import UsageError, unknown
from tfgan_ema.lab.commands.reproduce import output_folder

FLAGS = new_flags()
flags.DEFINE_list(
    "methods", ["gan", "nsgan", "wgan_gp", "r1", "consensus", "leaky_ema"],
    "Methods to draw; NAME+leaky_ema puts a leak on a method.", flag_values=FLAGS,
)  # fmt: skip
flags.DEFINE_string("out", None, "The folder to write into.", flag_values=FLAGS)
flags.DEFINE_list("start", ["1", "1"], "θ, then ψ: two numbers, or four for 2-D.",
                  flag_values=FLAGS)  # fmt: skip
flags.DEFINE_string(
    "rule", "alternating", "continuous, simultaneous, alternating or optimistic.",
    flag_values=FLAGS,
)  # fmt: skip
flags.DEFINE_float("step", 0.1, "The step size of descent.", flag_values=FLAGS)
flags.DEFINE_integer("steps", 500, "Generator steps; continuous time runs for step x steps.",
                     flag_values=FLAGS)  # fmt: skip
flags.DEFINE_integer("n_dis", 1, "Discriminator steps per generator step.", flag_values=FLAGS)
flags.DEFINE_string("first", "discriminator", "Who moves first: discriminator or generator.",
                    flag_values=FLAGS)  # fmt: skip
flags.DEFINE_float("beta", 0.5, "The leaking share of LeakyEMA.", flag_values=FLAGS)
flags.DEFINE_float("decay", 0.9, "The decay of the average, leaking or not.", flag_values=FLAGS)

USAGE = """usage: tfgan-ema dynamics --out=DIR [--methods=NAME,NAME+leaky_ema,...]

Writes trajectories.svg/.png (the runs over their vector fields) and, for methods with a parameter,
eigenvalues.svg/.png; prints the eigenvalues at the equilibrium and the distance at the end."""


def draw(values: flags.FlagValues, words: list[str]) -> None:
    """Flags to function calls; everything is computed before anything is written."""
    from tfgan_ema.lab.dynamics import plots, spectra
    from tfgan_ema.lab.dynamics.games import require
    from tfgan_ema.lab.dynamics.methods import method, swept
    from tfgan_ema.lab.dynamics.simulate import RULES, check_rule, descend, integrate

    if words:
        raise UsageError(f"unexpected {words[0]!r}: list methods as --methods=gan,nsgan.")
    out = output_folder(values.out)
    start = _start(values.start)
    continuous = values.rule == "continuous"
    if not continuous and values.rule not in RULES:
        raise unknown("rule", values.rule, ("continuous", *RULES))
    rule = "alternating" if continuous else values.rule
    check_rule(values.step, rule, values.n_dis, values.first)
    require("beta", values.beta, 0 <= values.beta <= 1, "a share in [0, 1]")
    found = [method(name, values.beta, values.decay) for name in values.methods]
    if not found:
        raise UsageError("no methods: expected names such as --methods=gan,leaky_ema.")
    runs = [
        integrate(m.game, start, values.step * values.steps, decay=values.decay)
        if continuous
        else descend(
            m.game, start, values.steps, values.step, rule=rule, n_dis=values.n_dis,
            first=values.first, decay=values.decay,
        )
        for m in found
    ]  # fmt: skip
    figures = {}
    if len(start[0]) == 1:
        panels = [(m.label, m.game, r) for m, r in zip(found, runs, strict=True)]
        figures["trajectories"] = plots.phase_portraits(panels)
    else:
        panels = [(m.label, r, None) for m, r in zip(found, runs, strict=True)]
        figures["trajectories"] = plots.generator_paths(panels)
    clouds = [
        (m.label, *m.sweep, spectra.eigenvalues(swept(m)), None)
        for m in found
        if m.sweep and m.smooth
    ]
    if clouds:
        figures["eigenvalues"] = plots.eigenvalue_clouds(clouds)
    width = max(len(m.label) for m in found)
    for m, r in zip(found, runs, strict=True):
        roots = spectra.eigenvalues(m.game) if m.smooth else ()
        shown = ", ".join(f"{z:.4f}" for z in roots) or "undefined (the field jumps)"
        print(f"{m.label:<{width}}  end radius {r.radius[-1]:<10.3g} eigenvalues {shown}")
    out.mkdir(parents=True, exist_ok=True)
    for name, figure in figures.items():
        for path in plots.save(figure, out, name):
            print(path)


def _start(words: list[str]) -> list[list[float]]:
    try:
        numbers = [float(word) for word in words]
    except ValueError:
        numbers = []
    if len(numbers) not in (2, 4):
        raise UsageError(f"--start={','.join(words)}: expected two or four numbers, θ then ψ.")
    half = len(numbers) // 2
    return [numbers[:half], numbers[half:]]


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    return run(draw, FLAGS, USAGE, argv or sys.argv)


if __name__ == "__main__":
    sys.exit(main())
