"""The ring of Gaussians of the (alpha_D, alpha_G)-GAN (Otstot 2023): mode coverage over seeds.

Eight Gaussians on the unit circle. As in the authors' code, 50,000 points and as many latents are
drawn once and gone through in the same order in every epoch, each batch of points with the same
latents, which serve the discriminator's update and then the generator's. EMA has decay 0.999; the
uniform average starts in the middle of training, as does LeakyEMA where there is a leak (half of
the real batch).

A seed succeeds when its 25,000 test samples cover all eight modes, and fails when they cover none.
Rates have Wilson's 95 % interval, other numbers are mean ± standard deviation over the seeds.
Differences: Fisher's exact test, two-sided.
"""

import functools
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from tfgan_ema.data import mixtures
from tfgan_ema.lab.experiments import points, verdicts
from tfgan_ema.lab.experiments.cells import Cell, Progress
from tfgan_ema.lab.experiments.experiment import Experiment, Results, Row, select, values
from tfgan_ema.lab.experiments.points import RAW, Method
from tfgan_ema.lab.reports import pages
from tfgan_ema.lab.stacked import Replay, replayed
from tfgan_ema.metrics import mode_coverage

SIGMA = 0.01
MODES = 8
BATCH_SIZE = 128
NETWORKS = {"g_hidden": [400] * 4, "d_hidden": [200] * 4}
ADAM = {"kind": "adam", "learning_rate": 1e-4, "beta_1": 0.9, "beta_2": 0.999}
ALPHAS = (0.3, 0.5, 0.7, 1.0)
SECONDS = 1.1e-2  # of one core, for a step of one seed

# Success and failure of 200 seeds after 400 epochs, saturating, alpha_G = 1, in percent.
PAPER = {0.3: (87, 2), 0.5: (80, 5), 0.7: (74, 7), 1.0: (47, 30)}
PAPER_EPOCHS, PAPER_SEEDS = 400, 200

_REAL = {"size": 50_000, "test": 25_000}
# training points; test latents; epochs; a measurement every so many; seeds a game, in stacks of
ALPHA_BUDGETS = {
    "smoke": {"size": 1280, "test": 500, "epochs": 4, "every": 1, "seeds": 4, "stack": 2},
    "desk": {**_REAL, "epochs": 18, "every": 1, "seeds": 40, "stack": 10},
    "paper": {**_REAL, "epochs": PAPER_EPOCHS, "every": 20, "seeds": PAPER_SEEDS, "stack": 10},
}
_DESK = {**_REAL, "epochs": 16, "every": 2, "seeds": 10, "stack": 5}
BUDGETS = {**ALPHA_BUDGETS, "desk": _DESK}

_ALPHA_LOSS = {"loss": "alpha", "alpha_g": 1.0, "saturating": True}
# Game -> its loss, whether it leaks, and the game with which it shares the first half of training
ALPHA_GAMES = {
    f"alpha_{alpha:g}": {"loss": {**_ALPHA_LOSS, "alpha_d": alpha}, "leaky": False, "fork": None}
    for alpha in ALPHAS
}
GAMES = {
    loss + ("_leaky" if leaky else ""): {"loss": {"loss": loss}, "leaky": leaky, "fork": loss}
    for leaky in (False, True)
    for loss in ("saturating", "non_saturating")
}


def cells(games: dict[str, Any], budgets: dict[str, dict[str, int]], budget: str) -> list[Cell]:
    """The cells of every game, its seeds cut into stacks."""
    sizes = dict(budgets[budget])
    seeds, stack = sizes.pop("seeds"), sizes.pop("stack")
    steps = sizes["size"] // BATCH_SIZE * sizes["epochs"]
    return [
        Cell(
            f"{name}-{first}",
            "tfgan_ema.lab.experiments.ring:measure",
            {**game, **sizes, "seeds": list(range(first, min(first + stack, seeds)))},
            min(stack, seeds - first) * steps * SECONDS * (0.5 if game["leaky"] else 1) + 8,
            {"game": name},
        )
        for name, game in games.items()
        for first in range(0, seeds, stack)
    ]


def measure(folder: Path, progress: Progress, **options: Any) -> list[Row]:
    """Trains a stack of seeds; one row for each seed, generator and measured epoch."""
    o = SimpleNamespace(**options)
    data = mixtures.ring(o.size, seed=0)[0]
    latents = np.random.default_rng(0).standard_normal((o.size, 2), np.float32)
    test = np.random.default_rng(1).standard_normal((o.test, 2), np.float32)
    epoch = o.size // BATCH_SIZE
    steps = o.epochs * epoch
    averages, leak = points.averages(steps), points.half_leak(o.leaky, steps)
    gan = points.stack(Method(o.loss, ADAM), o.seeds, NETWORKS, Replay(latents), averages, leak)
    real = functools.partial(replayed, data)
    rows = []
    middle = folder / f"{o.fork}-{o.seeds[0]}.npz" if o.fork else None
    every = o.every * epoch
    for step, _ in points.train(gan, real, BATCH_SIZE, steps, every, middle, progress):
        for column, made in points.samples(gan, test).items():
            for seed, generated in zip(o.seeds, made, strict=True):
                coverage = mode_coverage(generated, mixtures.ring_centers(MODES), SIGMA)
                row = {"seed": seed, "epoch": step // epoch, "generator": column}
                rows.append(row | {key: round(value, 6) for key, value in coverage.items()})
    return rows


def counts(table: list[Row], **wanted: Any) -> tuple[int, int, int]:
    """Seeds that cover all modes, that cover none, and all, among the rows with these values."""
    modes = values(table, "modes", **wanted)
    return sum(m == MODES for m in modes), sum(m == 0 for m in modes), len(modes)


def _tables(table: list[Row], opponents: dict[str, str]) -> list[str]:
    """Every game and generator at the last epoch, and the games against their opponents."""
    last = max(row["epoch"] for row in table)
    summary, differences = [], []
    for game, generator in dict.fromkeys((row["game"], row["generator"]) for row in table):
        wanted = {"generator": generator, "epoch": last}
        *ours, seeds = counts(table, game=game, **wanted)
        rates = [verdicts.rate(number, seeds) for number in ours]
        means = [
            verdicts.mean_and_deviation(values(table, key, game=game, **wanted))
            for key in ("modes", "high_quality", "mode_kl")
        ]
        summary.append([game, generator, *rates, *means])
        if game in opponents:
            *theirs, count = counts(table, game=opponents[game], **wanted)
            changes = [
                verdicts.rate_difference(a, seeds, b, count)
                for a, b in zip(ours, theirs, strict=True)
            ]
            differences.append([f"{game} against {opponents[game]}", generator, *changes])
    head = ["game", "average", "success", "failure"]
    return [
        pages.table([*head, "modes", "high quality", "KL over modes"], summary),
        pages.heading("Differences"),
        pages.table(head, differences),
    ]


def alpha_parts(budget: str, table: list[Row], results: Results) -> list[str]:
    """The page of the ring under saturating alpha-losses."""
    raw = select(table, generator=RAW)
    by_epoch = {
        epoch: [counts(raw, game=game, epoch=epoch) for game in ALPHA_GAMES]
        for epoch in sorted({row["epoch"] for row in table})
    }
    last = max(by_epoch)
    lines = [
        [str(epoch), *(f"{100 * good / n:.0f} / {100 * bad / n:.0f}" for good, bad, n in games)]
        for epoch, games in by_epoch.items()
    ]
    lines.append(["paper", *(f"{good} / {bad}" for good, bad in PAPER.values())])
    caption = "Success and failure against alpha_D, with Wilson's 95 % intervals; crosses: paper."
    return [
        f"Saturating objective, alpha_G = 1, after {last} epochs. The paper takes the "
        f"generator as trained (average none), {PAPER_EPOCHS} epochs and {PAPER_SEEDS} seeds.",
        pages.drawing(_alpha_figure(by_epoch[last]), caption),
        *_tables(table, dict.fromkeys(list(ALPHA_GAMES)[:-1], "alpha_1")),
        pages.heading("By epoch"),
        "Success / failure of the generator as trained, in percent.",
        pages.table(["epoch", *ALPHA_GAMES], lines),
    ]


def _alpha_figure(last: list[tuple[int, int, int]]) -> Figure:
    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axis = figure.subplots()
    seeds = last[0][2]
    for index, (what, color) in enumerate((("success", "tab:green"), ("failure", "tab:red"))):
        rates = np.array([games[index] / seeds for games in last])
        bounds = np.array([verdicts.wilson(games[index], seeds) for games in last])
        style = {"fmt": "o-", "capsize": 3, "color": color, "label": what}
        axis.errorbar(ALPHAS, 100 * rates, 100 * np.abs(bounds.T - rates), **style)
        axis.plot(ALPHAS, [PAPER[alpha][index] for alpha in ALPHAS], "x", color=color)
    axis.set(xlabel="alpha_D", ylabel="% of seeds", ylim=(-3, 103))
    axis.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    return figure


def parts(budget: str, table: list[Row], results: Results) -> list[str]:
    """The page of the ring with averages and LeakyEMA, which no paper has."""
    leaks = {f"{loss}_leaky": loss for loss in ("saturating", "non_saturating")}
    return [f"After {BUDGETS[budget]['epochs']} epochs.", *_tables(table, leaks)]


_CELLS = functools.partial(cells, GAMES, BUDGETS)
_ALPHA_CELLS = functools.partial(cells, ALPHA_GAMES, ALPHA_BUDGETS)
RING = Experiment("ring", "The ring: averages and LeakyEMA", __doc__, _CELLS, parts)
ALPHA_RING = Experiment(
    "alpha_ring", "The ring under alpha-losses", __doc__, _ALPHA_CELLS, alpha_parts
)
