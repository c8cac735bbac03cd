"""Four problems of the plane (after Mescheder et al. 2018): Gaussian, line, circle, four lines.

Regularised and unregularised training by the 1-Wasserstein distance, with averages and LeakyEMA.
The slides show these problems without their numbers, so shapes and networks are our choice.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from keras import ops
from matplotlib.figure import Figure

from tfgan_ema.lab.experiments import experiment, points, verdicts
from tfgan_ema.lab.experiments.cells import Cell
from tfgan_ema.lab.experiments.points import Method
from tfgan_ema.lab.reports import pages
from tfgan_ema.latents import Draws, Normal
from tfgan_ema.metrics import wasserstein_1

NETWORKS = {"g_hidden": [128] * 3, "d_hidden": [128] * 3}
BATCH_SIZE = 64
SECONDS = 1.1e-3  # of one core, for a step of one seed
EXTENT = 2.2

_NS = {"loss": "non_saturating"}
_ADAM = {"name": "adam", "learning_rate": 2e-4, "beta_1": 0.0, "beta_2": 0.9}
METHODS = {
    "no_penalty": Method(_NS, _ADAM),
    "r1": Method(_NS, _ADAM, [("r1", {"weight": 10.0})]),
    "r2": Method(_NS, _ADAM, [("r2", {"weight": 10.0})]),
    "wgan_gp": Method({"loss": "wasserstein"}, _ADAM, [("wgan_gp", {"weight": 10.0})]),
}
TITLES = {
    "no_penalty": "no penalty", "r1": "R1, gamma 10", "r2": "R2, gamma 10", "wgan_gp": "WGAN-GP",
}  # fmt: skip
# steps, samples in a measurement, seeds; the smoke budget leaves out two methods
BUDGETS = {
    "smoke": {"steps": 40, "count": 128, "seeds": 2},
    "desk": {"steps": 8000, "count": 1024, "seeds": 5},
    "paper": {"steps": 100_000, "count": 1024, "seeds": 10},
}
SMOKE_METHODS = ("no_penalty", "r1")


# Which columns are tested against each other
EFFECTS = ("EMA against none", "leak against none, raw", "leak against none, EMA")


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
            options["seeds"] * (options["steps"] * SECONDS * (0.5 if leaky else 1) + 2) + 8,
        )
        for leaky in (False, True)
        for problem in PROBLEMS
        for method in methods
    ]


def measure(
    problem: str,
    method: str,
    leaky: bool,
    steps: int,
    count: int,
    seeds: int,
    folder: Path,
    progress: Callable[[float], None],
) -> dict[str, Any]:
    """Trains a stack of seeds; the distances over the last fifth of training, and a picture."""
    real = PROBLEMS[problem]
    gan = points.stack(
        METHODS[method],
        range(seeds),
        networks=NETWORKS,
        latent=Normal(2),
        averages={"ema": {"rule": "ema", "decay": 0.999}},
        leak={"beta": 0.5, "start_step": steps // 2} if leaky else None,
    )
    distances: dict[tuple[int, str], list[float]] = {}
    made: dict[str, np.ndarray] = {}
    middle = folder / f"{problem}-{method}.npz"
    for step, _ in points.train(gan, real, BATCH_SIZE, steps, steps // 20, middle):
        if step > 0.8 * steps:
            latent = np.random.default_rng(step).standard_normal((count, 2), np.float32)
            made = points.samples(gan, latent)
            truth = points.draw(real, count, seed=step)
            for column, generated in made.items():
                for seed in range(seeds):
                    distance = wasserstein_1(generated[seed], truth)
                    distances.setdefault((seed, column), []).append(distance)
        progress(step / steps)
    return {
        "rows": [
            {"seed": seed, "column": column, "wasserstein_1": float(np.mean(values))}
            for (seed, column), values in distances.items()
        ],
        "samples": {c: np.round(generated[0, :400], 3).tolist() for c, generated in made.items()},
    }


def reproduce(out: Path, budget: str) -> Path:
    """Runs the experiment and writes its page; see `experiment.run`."""
    title = "Four problems of the plane"
    return experiment.run("toy2d", title, budget, out, cells, _rows, _body)


def _rows(results: dict[str, Any]) -> list[dict[str, Any]]:
    found = []
    for name, result in results.items():
        problem, method, *leaky = name.split("-")
        head = {"problem": problem, "method": method, "leak": bool(leaky)}
        found += [head | row for row in result["rows"]]
    return found


def _body(table: list[dict[str, Any]], results: dict[str, Any]) -> list[str]:
    columns = {
        "no average": (False, "none"), "EMA .999": (False, "ema"),
        "LeakyEMA, raw": (True, "none"), "LeakyEMA, EMA .999": (True, "ema"),
    }  # fmt: skip
    methods = list(dict.fromkeys(row["method"] for row in table))
    parts = [
        "<p>1-Wasserstein distance, mean over the last fifth of training, mean ± standard "
        "deviation over seeds. LeakyEMA replaces half of the real batch from the middle on. Paired "
        "t-tests over the seeds, two-sided, 5 % level.</p>"
    ]
    for problem in PROBLEMS:
        lines = []
        for method in methods:
            values = [
                [
                    row["wasserstein_1"]
                    for row in table
                    if (row["problem"], row["method"], row["leak"], row["column"])
                    == (problem, method, leak, column)
                ]
                for leak, column in columns.values()
            ]
            effects = [verdicts.lower(values[i], values[j]) for i, j in ((1, 0), (2, 0), (3, 1))]
            lines.append(
                [TITLES[method], *map(verdicts.spread, values)]
                + [f"{word} (p = {p:.2g})" for word, _, p in effects]
            )
        caption = f"{problem}: samples of the first seed without a leak, by method; real in grey."
        parts += [
            f"<h2>{problem.replace('_', ' ')}</h2>",
            pages.table(["", *columns, *EFFECTS], lines),
            pages.figure(
                pages.image(pages.inline(_figure(problem, methods, results), dpi=70), caption),
                caption,
            ),
        ]
    return parts


def _figure(problem: str, methods: list[str], results: dict[str, Any]) -> Figure:
    figure = Figure(figsize=(2 * len(methods), 4), layout="constrained")
    axes = figure.subplots(2, len(methods))
    truth = points.draw(PROBLEMS[problem], 400, seed=0)
    for j, method in enumerate(methods):
        for i, (column, made) in enumerate(results[f"{problem}-{method}"]["samples"].items()):
            axis = axes[i, j]
            axis.scatter(*truth.T, s=2, color="0.75", lw=0)
            axis.scatter(*np.asarray(made).T, s=2, color="tab:red", lw=0)
            axis.set(xlim=(-EXTENT, EXTENT), ylim=(-EXTENT, EXTENT), xticks=[], yticks=[])
            axis.set_aspect("equal")
            if i == 0:
                axis.set_title(TITLES[method], fontsize=9)
            if j == 0:
                axis.set_ylabel(column, fontsize=9)
    return figure
