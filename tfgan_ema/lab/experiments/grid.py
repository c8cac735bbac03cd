"""Table 1 of the averaging paper (Yazici et al. 2019): a 4x4 grid of Gaussians.

Four ways of training, each with no average, EMA and the uniform average, by transport distance;
and, which no paper has, each with LeakyEMA. The paper leaves open the spacing of the grid (1 here),
the latent (N(0, I_2) here) and the cost of the transport, so both costs are reported.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from tfgan_ema.data import mixtures
from tfgan_ema.lab.experiments import experiment, points, verdicts
from tfgan_ema.lab.experiments.cells import Cell
from tfgan_ema.lab.experiments.points import Method
from tfgan_ema.lab.reports import pages
from tfgan_ema.latents import Normal
from tfgan_ema.metrics import squared_wasserstein_2, wasserstein_1

SIGMA = 0.2
NETWORKS = {"g_hidden": [256] * 4, "d_hidden": [256] * 4, "d_slope": 0.0}
BATCH_SIZE = 64
EXTENT = 2.5

_LOSS = {"loss": "non_saturating"}
_ADAM = {"name": "adam", "learning_rate": 2e-4, "beta_1": 0.0, "beta_2": 0.9, "epsilon": 1e-8}
_RMSPROP = {"name": "rmsprop", "learning_rate": 2e-4, "rho": 0.9, "epsilon": 1e-10}
_GP = ("wgan_gp", {"weight": 1.0})

# The paper's tables 5 to 8. Table 7 lists no gradient penalty for consensus; table 8's zero-centred
# one is taken as R1 without its half (the paper cites it so).
METHODS = {
    "baseline": Method(_LOSS, _ADAM, [_GP]),
    "optimistic_adam": Method(_LOSS, {**_ADAM, "name": "optimistic_adam"}, [_GP]),
    "consensus": Method(_LOSS, _RMSPROP, [("consensus", {"weight": 10.0})], update="simultaneous"),
    "zero_gp": Method(_LOSS, _ADAM, [("r1", {"weight": 1.0, "factor": 1.0})]),
}
TITLES = {
    "baseline": "Baseline", "optimistic_adam": "Optimistic Adam",
    "consensus": "Consensus", "zero_gp": "Zero-centred GP",
}  # fmt: skip
# Seconds of one core for a step of one seed, and for a transport at either cost.
COST = {"baseline": 5.8e-3, "optimistic_adam": 5.8e-3, "consensus": 11.6e-3, "zero_gp": 5.5e-3}
SQUARED, EUCLIDEAN = 0.5, 1.6

# Mean and standard deviation of five repetitions (the paper's table 1).
PAPER = {
    ("baseline", "none"): (0.0419, 0.0054), ("baseline", "ema"): (0.0251, 0.0026),
    ("baseline", "uniform"): (0.0274, 0.0016),
    ("optimistic_adam", "none"): (0.0494, 0.0041), ("optimistic_adam", "ema"): (0.0431, 0.0042),
    ("optimistic_adam", "uniform"): (0.0525, 0.0024),
    ("consensus", "none"): (0.0286, 0.0034), ("consensus", "ema"): (0.0252, 0.0035),
    ("consensus", "uniform"): (0.0390, 0.0105),
    ("zero_gp", "none"): (0.0363, 0.0018), ("zero_gp", "ema"): (0.0246, 0.0068),
    ("zero_gp", "uniform"): (0.0317, 0.0121),
}  # fmt: skip
PAPER_SEEDS = 5

# steps; a measurement every so many; how many of the last count, at squared cost and at Euclidean;
# samples in a measurement; seeds
BUDGETS = {
    "smoke": {"steps": 60, "every": 10, "last": 2, "euclidean": 1, "count": 256, "seeds": 2},
    "desk": {"steps": 40_000, "every": 2000, "last": 10, "euclidean": 2, "count": 2048, "seeds": 5},
    "paper": {
        "steps": 40_000, "every": 2000, "last": 10, "euclidean": 10, "count": 2048, "seeds": 5,
    },
}  # fmt: skip


def averages(steps: int) -> dict[str, dict[str, Any]]:
    """The columns: EMA .999, the uniform average over the second half, and a slower EMA."""
    return {
        "ema": {"rule": "ema", "decay": 0.999},
        "uniform": {"rule": "uniform", "start_step": steps // 2},
        "ema_0.9999": {"rule": "ema", "decay": 0.9999},
    }


def cells(budget: str) -> list[Cell]:
    """One cell for each way of training, without and with the leak; the seeds are a stack."""
    options = BUDGETS[budget]
    return [
        Cell(
            f"{method}{'_leaky' if leaky else ''}",
            "tfgan_ema.lab.experiments.grid:measure",
            {"method": method, "leaky": leaky, **options},
            _seconds(COST[method] * (0.5 if leaky else 1.0), **options),
        )
        for leaky in (False, True)
        for method in METHODS
    ]


def _seconds(
    step: float, steps: int, every: int, last: int, euclidean: int, count: int, seeds: int
) -> float:
    """A stack's time: its steps, its transports (which grow with the cube of the samples)."""
    transports = (last * SQUARED + euclidean * EUCLIDEAN) * (len(averages(steps)) + 1)
    return seeds * (steps * step + transports * (count / 2048) ** 3) + 10


def measure(
    method: str,
    leaky: bool,
    steps: int,
    every: int,
    last: int,
    euclidean: int,
    count: int,
    seeds: int,
    folder: Path,
    progress: Callable[[float], None],
) -> dict[str, Any]:
    """Trains a stack of seeds and measures its generators.

    Returns:
        ``rows``: one for each seed and column with ``squared`` and ``euclidean``, the transport
        cost in the mean over the last measurements; ``pictures``: of the first seed, by step.
    """
    real = points.mixture(mixtures.grid_centers(), SIGMA)
    gan = points.stack(
        METHODS[method],
        range(seeds),
        networks=NETWORKS,
        latent=Normal(2),
        averages=averages(steps),
        leak={"beta": 0.5, "start_step": steps // 2} if leaky else None,
    )
    middle = folder / f"{method}.npz"
    found: dict[tuple[int, str], dict[str, list[float]]] = {}
    pictures = {}
    for step, _ in points.train(gan, real, BATCH_SIZE, steps, every, middle):
        left = (steps - step) // every
        latent = np.random.default_rng(step).standard_normal((count, 2), np.float32)
        made = points.samples(gan, latent) if left < last or step % (steps // 4) == 0 else {}
        if step % (steps // 4) == 0:
            pictures[step] = _picture(made, points.support(gan, EXTENT))
        if left < last:
            truth = points.draw(real, count, seed=step)
            for column, generated in made.items():
                for seed in range(seeds):
                    row = found.setdefault((seed, column), {"squared": [], "euclidean": []})
                    row["squared"].append(squared_wasserstein_2(generated[seed], truth))
                    if left < euclidean:
                        row["euclidean"].append(wasserstein_1(generated[seed], truth))
        progress(step / steps)
    rows = [
        {"seed": seed, "column": column} | {key: float(np.mean(v)) for key, v in values.items()}
        for (seed, column), values in found.items()
    ]
    return {"rows": rows, "pictures": pictures}


def _picture(made: dict[str, np.ndarray], logits: np.ndarray) -> dict[str, Any]:
    """400 points of each column and the discriminator's logits, rounded: what a figure needs."""
    shown = {column: np.round(generated[0, :400], 3).tolist() for column, generated in made.items()}
    return {"samples": shown, "logits": np.round(logits, 2).tolist()}


def floor(count: int = 2048, draws: int = 10) -> dict[str, tuple[float, float]]:
    """Mean and standard deviation of the distances between two sets of true samples."""
    sets = [mixtures.grid(count, seed=1000 + i)[0] for i in range(2 * draws)]
    pairs = list(zip(sets[::2], sets[1::2], strict=True))
    measures = {"squared": squared_wasserstein_2, "euclidean": wasserstein_1}
    values = {key: [measure(a, b) for a, b in pairs] for key, measure in measures.items()}
    return {key: (float(np.mean(v)), float(np.std(v, ddof=1))) for key, v in values.items()}


def reproduce(out: Path, budget: str) -> Path:
    """Runs the experiment and writes its page; see `experiment.run`."""
    return experiment.run(
        "grid", "A grid of Gaussians: averages against transport distance", budget, out,
        cells, rows, body,
    )  # fmt: skip


def rows(results: dict[str, Any]) -> list[dict[str, Any]]:
    """One row a seed and cell."""
    return [
        {"method": name.removesuffix("_leaky"), "leak": name.endswith("_leaky"), **row}
        for name, result in results.items()
        for row in result["rows"]
    ]


def _values(table: list[dict[str, Any]], method: str, leak: bool, column: str, key: str) -> list:
    found = [r for r in table if (r["method"], r["leak"], r["column"]) == (method, leak, column)]
    return [row[key] for row in sorted(found, key=lambda row: row["seed"])]


# Column -> (whether with the leak, the average)
COLUMNS = {
    "no average": (False, "none"), "EMA .999": (False, "ema"),
    "uniform average": (False, "uniform"), "EMA .9999": (False, "ema_0.9999"),
    "LeakyEMA, raw": (True, "none"), "LeakyEMA, EMA .999": (True, "ema"),
    "LeakyEMA, uniform": (True, "uniform"),
}  # fmt: skip

ORDERINGS = {
    "EMA better than no average": ("EMA .999", "no average"),
    "EMA better than the uniform average": ("EMA .999", "uniform average"),
    "leak: raw generator better than without": ("LeakyEMA, raw", "no average"),
    "leak: EMA better than without": ("LeakyEMA, EMA .999", "EMA .999"),
}


def body(table: list[dict[str, Any]], results: dict[str, Any]) -> list[str]:
    """The page: tables at both costs beside the paper's, orderings, figures."""
    seeds = len({row["seed"] for row in table})
    near = floor(draws=5)
    parts = [
        f"<p>Sixteen Gaussians, standard deviation {SIGMA}, spacing 1; a normal latent of two "
        f"dimensions; settings of the averaging paper's tables 5 to 8. {seeds} seeds a cell: mean "
        "± standard deviation. A measurement compares fresh samples of both distributions. Two "
        f"sets of true samples are {near['squared'][0]:.4f} ± {near['squared'][1]:.4f} apart at "
        f"squared cost and {near['euclidean'][0]:.4f} ± {near['euclidean'][1]:.4f} at Euclidean "
        "cost (2,048 samples): no generator can do better. LeakyEMA replaces half of the real "
        "batch from the middle of training on.</p>"
    ]
    for key, name in (("squared", "squared Euclidean cost, the paper's by all appearances"),
                      ("euclidean", "Euclidean cost, the 1-Wasserstein distance")):  # fmt: skip
        parts += [f"<h2>Transport at {name}</h2>", _results(table, key)]
    parts += [
        "<p>Verdict: Welch's test of our seeds against the paper's mean ± standard deviation of "
        f"{PAPER_SEEDS} runs, 5 % level.</p><h2>Orderings</h2>"
        "<p>Paired t-test over the seeds, two-sided, 5 % level; a negative difference is a smaller "
        "distance.</p>",
        _orderings(table),
        "<h2>Samples and the discriminator's support</h2>",
    ]
    for method, title in TITLES.items():
        for leaky in (False, True):
            caption = (
                f"{title}{' with LeakyEMA' if leaky else ''}, first seed: samples of each "
                "generator over the discriminator's logit (red: real, blue: fake)."
            )
            drawn = _figure(results[f"{method}{'_leaky' if leaky else ''}"]["pictures"])
            parts.append(pages.figure(pages.image(pages.inline(drawn, dpi=70), caption), caption))
    return parts


def _results(table: list[dict[str, Any]], key: str) -> str:
    lines = []
    for method, title in TITLES.items():
        cells = []
        for leak, column in COLUMNS.values():
            values = _values(table, method, leak, column, key)
            text = verdicts.spread(values)
            if key == "squared" and not leak and (method, column) in PAPER:
                mean, std = PAPER[method, column]
                verdict = verdicts.against(values, mean, std, PAPER_SEEDS)
                text += f"\npaper {mean:.4f} ± {std:.4f}\n{verdict}"
            cells.append(text)
        lines.append([title, *cells])
    return pages.table(["", *COLUMNS], lines)


def _orderings(table: list[dict[str, Any]]) -> str:
    lines = []
    for claim, pair in ORDERINGS.items():
        for method, title in TITLES.items():
            found = []
            for key in ("squared", "euclidean"):
                a, b = (_values(table, method, *COLUMNS[column], key) for column in pair)
                verdict, difference, p = verdicts.lower(a, b)
                word = {"lower": "holds", "higher": "is reversed"}.get(verdict, verdict)
                found.append(f"{word}: {difference:+.4f} (p = {p:.2g})")
            lines.append([claim, title, *found])
    return pages.table(["ordering", "method", "squared cost", "Euclidean cost"], lines)


def _figure(pictures: dict[str, Any]) -> Figure:
    """A row for each generator, a column for each step."""
    generators = list(next(iter(pictures.values()))["samples"])
    size = (1.8 * len(pictures), 1.8 * len(generators))
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(len(generators), len(pictures), squeeze=False)
    for j, (step, picture) in enumerate(pictures.items()):
        logits = np.asarray(picture["logits"])
        for i, generator in enumerate(generators):
            axis = axes[i, j]
            axis.imshow(
                logits, extent=[-EXTENT, EXTENT] * 2, origin="lower", cmap="RdBu_r", vmin=-3, vmax=3
            )
            axis.scatter(*np.asarray(picture["samples"][generator]).T, s=2, color="black", lw=0)
            axis.set(xlim=(-EXTENT, EXTENT), ylim=(-EXTENT, EXTENT), xticks=[], yticks=[])
            if i == 0:
                axis.set_title(f"step {int(step):,}", fontsize=9)
            if j == 0:
                axis.set_ylabel(generator, fontsize=9)
    return figure
