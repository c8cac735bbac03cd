"""Four problems of the plane (after Mescheder et al. 2018): Gaussian, line, circle, four lines.

Regularised and unregularised training, with averages and with LeakyEMA, which replaces half of the
real batch from the middle of training on. The slides show these problems without their numbers, so
shapes and networks are our choice; R1 and R2 have weight 10. WGAN-GP has the weight 0.1, five
updates of the discriminator and Adam 1e-4 (0.5, 0.9): with the settings of the other rows, whose
discriminator takes one update, its generator collapses to a point that circles around the data.

The tables give the 1-Wasserstein distance in the mean over the last fifth of training: mean ±
standard deviation over the seeds. Orderings: paired t-tests over the seeds, two-sided, 5 % level; a
negative difference is a smaller distance.
"""

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from keras import ops

from tfgan_ema.lab.experiments import points, verdicts
from tfgan_ema.lab.experiments.cells import Cell, Progress
from tfgan_ema.lab.experiments.experiment import Experiment, Results, Row
from tfgan_ema.lab.experiments.points import Method
from tfgan_ema.lab.reports import pages
from tfgan_ema.latents import Draws, Normal
from tfgan_ema.metrics import wasserstein_1

NETWORKS = {"g_hidden": [128] * 3, "d_hidden": [128] * 3}
BATCH_SIZE = 64
SECONDS = 1.1e-3  # of one core, for a step of one seed
EXTENT = 2.2

_NS = {"loss": "non_saturating"}
_ADAM = {"kind": "adam", "learning_rate": 2e-4, "beta_1": 0.0, "beta_2": 0.9}
METHODS = {
    "no_penalty": Method(_NS, _ADAM),
    "r1": Method(_NS, _ADAM, [("r1", {"weight": 10.0})]),
    "r2": Method(_NS, _ADAM, [("r2", {"weight": 10.0})]),
    "wgan_gp": Method(
        {"loss": "wasserstein"},
        {**_ADAM, "learning_rate": 1e-4, "beta_1": 0.5},
        [("wgan_gp", {"weight": 0.1})],
        n_dis=5,
    ),
}
# steps, samples in a measurement, seeds; the smoke budget leaves out two methods
BUDGETS = {
    "smoke": {"steps": 40, "count": 128, "seeds": 2},
    "desk": {"steps": 8000, "count": 1024, "seeds": 5},
    "paper": {"steps": 100_000, "count": 1024, "seeds": 10},
}
SMOKE_METHODS = ("no_penalty", "r1")


def gaussian(rows: int, draws: Draws) -> Any:
    """N(0, I/4)."""
    return 0.5 * draws.normal((rows, 2), "noise")


def line(rows: int, draws: Draws) -> Any:
    """Uniform on the segment from (-1, -1) to (1, 1)."""
    place = 2.0 * draws.uniform((rows, 1), "place") - 1.0
    return ops.concatenate([place, place], axis=1)


def circle(rows: int, draws: Draws) -> Any:
    """Uniform on the unit circle."""
    angle = 2.0 * math.pi * draws.uniform((rows, 1), "place")
    return ops.concatenate([ops.cos(angle), ops.sin(angle)], axis=1)


def four_lines(rows: int, draws: Draws) -> Any:
    """Uniform on the four sides of a square of half-width 1, each without its outer quarters."""
    place = draws.uniform((rows, 1), "place") - 0.5
    side = draws.integers((rows, 1), 4, "side")
    flat = ops.concatenate([place, ops.ones_like(place)], axis=1)
    sign = ops.cast(1 - 2 * (side % 2), "float32")
    return ops.where(side < 2, sign * flat, sign * ops.flip(flat, axis=1))


PROBLEMS = {"gaussian": gaussian, "line": line, "circle": circle, "four_lines": four_lines}


def cells(budget: str) -> list[Cell]:
    """One cell for each problem and method, without and with the leak."""
    options = BUDGETS[budget]
    methods = SMOKE_METHODS if budget == "smoke" else METHODS
    return [
        Cell(
            f"{problem}-{method}{'-leaky' if leaky else ''}",
            "tfgan_ema.lab.experiments.toy2d:measure",
            {"problem": problem, "method": method, "leaky": leaky, **options},
            options["seeds"] * (options["steps"] * _seconds(method, leaky) + 2) + 8,
            {"problem": problem, "method": method, "leak": leaky},
        )
        for leaky in (False, True)
        for problem in PROBLEMS
        for method in methods
    ]


def _seconds(method: str, leaky: bool) -> float:
    """Of a step of one seed, in the mean over those that a cell trains itself."""
    return SECONDS * (METHODS[method].n_dis + 1) / 2 * (0.5 if leaky else 1)


def measure(folder: Path, progress: Progress, **options: Any) -> dict[str, Any]:
    """Trains a stack of seeds.

    Returns:
        ``rows``: one for each seed and column, the distance in the mean over the last fifth of
        training; ``samples``: a picture of each column at the end.
    """
    o = SimpleNamespace(**options)
    real, averages = PROBLEMS[o.problem], {"ema": {"rule": "ema", "decay": 0.999}}
    leak = points.half_leak(o.leaky, o.steps)
    gan = points.stack(METHODS[o.method], range(o.seeds), NETWORKS, Normal(2), averages, leak)
    distances = points.Distances(real, o.count)
    middle = folder / f"{o.problem}-{o.method}.npz"
    for step, _ in points.train(gan, real, BATCH_SIZE, o.steps, o.steps // 20, middle, progress):
        if step > 0.8 * o.steps:
            made = distances.measure(gan, step, wasserstein_1=wasserstein_1)
    return {"rows": distances.rows(), "samples": points.shown(made)}


COLUMNS = {k: v for k, v in points.COLUMNS.items() if v["column"] in ("none", "ema")}
ORDERINGS = {claim: pair for claim, pair in points.ORDERINGS.items() if {*pair} <= {*COLUMNS}}


def parts(budget: str, table: list[Row], results: Results) -> list[str]:
    """The page: for each problem a table and a figure."""
    methods = list(dict.fromkeys(row["method"] for row in table))
    sections = []
    for problem in PROBLEMS:
        lines = []
        for method in methods:
            wanted = {"problem": problem, "method": method}
            means = verdicts.means(table, "wasserstein_1", COLUMNS, **wanted)
            orderings = verdicts.orderings(table, "wasserstein_1", COLUMNS, ORDERINGS, **wanted)
            lines.append([method, *means, *orderings])
        caption = f"{problem}: samples of the first seed without a leak, by method; real in grey."
        sections += [
            pages.heading(problem.replace("_", " ")),
            pages.table(["", *COLUMNS, *ORDERINGS], lines),
            pages.drawing(_figure(problem, methods, results), caption),
        ]
    return sections


def _figure(problem, methods, results):
    """A row for each generator, a column for each method."""
    truth = points.draw(PROBLEMS[problem], points.SHOWN, seed=0)
    samples = [results[f"{problem}-{method}"]["samples"] for method in methods]
    figure, axes = points.panels(list(samples[0]), methods, EXTENT)
    for column, generators in zip(axes.T, samples, strict=True):
        for axis, made in zip(column, generators.values(), strict=True):
            points.scatter(axis, truth, "0.75")
            points.scatter(axis, made, "tab:red")
    return figure


TOY2D = Experiment("toy2d", "Four problems of the plane", __doc__, cells, parts)
