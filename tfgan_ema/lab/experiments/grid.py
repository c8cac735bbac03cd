"""Table 1 of the averaging paper (Yazici et al. 2019): a 4x4 grid of Gaussians.

Four ways of training, each with no average, EMA and the uniform average, by transport distance;
and, which no paper has, each with LeakyEMA, which replaces half of the real batch from the middle
of training on. Settings of the paper's tables 5 to 8. The paper leaves open the spacing of the grid
(1 here), the latent (two normal dimensions here) and the cost of the transport, so both costs are
reported. A measurement compares fresh samples of both distributions.

The tables give mean ± standard deviation over the seeds. Verdicts: Welch's test of our seeds
against the paper's mean and standard deviation of five runs; "agrees within 20 %" takes two
one-sided tests besides, and what is not told apart need not agree. Orderings: paired t-tests over
the seeds; a negative difference is a smaller distance. All are at the 5 % level, for each
comparison alone. No generator can be nearer to the data than two sets of true samples are to each
other.
"""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from tfgan_ema.data import mixtures
from tfgan_ema.lab.experiments import points, verdicts
from tfgan_ema.lab.experiments.cells import Cell, Progress
from tfgan_ema.lab.experiments.experiment import Experiment, Results, Row, values
from tfgan_ema.lab.experiments.points import COLUMNS, ORDERINGS, Method
from tfgan_ema.lab.reports import pages
from tfgan_ema.latents import Normal
from tfgan_ema.metrics import squared_wasserstein_2, wasserstein_1

SIGMA = 0.2
NETWORKS = {"g_hidden": [256] * 4, "d_hidden": [256] * 4, "d_slope": 0.0}
BATCH_SIZE = 64
EXTENT = 2.5

_LOSS = {"loss": "non_saturating"}
_ADAM = {"kind": "adam", "learning_rate": 2e-4, "beta_1": 0.0, "beta_2": 0.9, "epsilon": 1e-8}
_RMSPROP = {"kind": "rmsprop", "learning_rate": 2e-4, "rho": 0.9, "epsilon": 1e-10}
_GP = ("wgan_gp", {"weight": 1.0})

# The paper's tables 5 to 8. Table 7 lists no gradient penalty for consensus; table 8's zero-centred
# one is taken as R1 without its half (the paper cites it so).
METHODS = {
    "baseline": Method(_LOSS, _ADAM, [_GP]),
    "optimistic_adam": Method(_LOSS, {**_ADAM, "kind": "optimistic_adam"}, [_GP]),
    "consensus": Method(_LOSS, _RMSPROP, [("consensus", {"weight": 10.0})], update="simultaneous"),
    "zero_gp": Method(_LOSS, _ADAM, [("r1", {"weight": 1.0, "factor": 1.0})]),
}
# Seconds of one core for a step of one seed, and for all transports of a seed at 2,048 samples
COST = {"baseline": 5.8e-3, "optimistic_adam": 5.8e-3, "consensus": 11.6e-3, "zero_gp": 5.5e-3}
TRANSPORTS = 33

# Mean and standard deviation of five repetitions (the paper's table 1): no average, EMA, uniform.
PAPER = {
    "baseline": ((0.0419, 0.0054), (0.0251, 0.0026), (0.0274, 0.0016)),
    "optimistic_adam": ((0.0494, 0.0041), (0.0431, 0.0042), (0.0525, 0.0024)),
    "consensus": ((0.0286, 0.0034), (0.0252, 0.0035), (0.0390, 0.0105)),
    "zero_gp": ((0.0363, 0.0018), (0.0246, 0.0068), (0.0317, 0.0121)),
}
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
    """EMA 0.999, the uniform average over the second half, and a slower EMA."""
    return points.averages(steps) | {"ema_0.9999": {"rule": "ema", "decay": 0.9999}}


def cells(budget: str) -> list[Cell]:
    """One cell for each way of training, without and with the leak; the seeds are a stack."""
    sizes = BUDGETS[budget]
    transports = TRANSPORTS * (sizes["count"] / 2048) ** 3
    return [
        Cell(
            f"{method}{'_leaky' if leaky else ''}",
            "tfgan_ema.lab.experiments.grid:measure",
            {"method": method, "leaky": leaky, **sizes},
            sizes["seeds"] * (sizes["steps"] * step * (0.5 if leaky else 1) + transports) + 10,
            {"method": method, "leak": leaky},
        )
        for leaky in (False, True)
        for method, step in COST.items()
    ]


def measure(folder: Path, progress: Progress, **options: Any) -> dict[str, Any]:
    """Trains a stack of seeds and measures its generators.

    Returns:
        ``rows``: one for each seed and column with ``squared`` and ``euclidean``, the transport
        cost in the mean over the last measurements; ``pictures``: of the first seed, by step.
    """
    o = SimpleNamespace(**options)
    real = points.mixture(mixtures.grid_centers(), SIGMA)
    leak = points.half_leak(o.leaky, o.steps)
    averaged = averages(o.steps)
    gan = points.stack(METHODS[o.method], range(o.seeds), NETWORKS, Normal(2), averaged, leak)
    distances, pictures = points.Distances(real, o.count), {}
    middle = folder / f"{o.method}.npz"
    for step, _ in points.train(gan, real, BATCH_SIZE, o.steps, o.every, middle, progress):
        left = (o.steps - step) // o.every
        metrics = {"squared": squared_wasserstein_2} if left < o.last else {}
        if left < o.euclidean:
            metrics["euclidean"] = wasserstein_1
        pictured = step % (o.steps // 4) == 0
        if metrics or pictured:
            made = distances.measure(gan, step, **metrics)
        if pictured:
            logits = np.round(points.support(gan, EXTENT), 2).tolist()
            pictures[step] = {"samples": points.shown(made), "logits": logits}
    return {"rows": distances.rows(), "pictures": pictures}


COSTS = {
    "squared": ("squared Euclidean cost, the paper's by all appearances", squared_wasserstein_2),
    "euclidean": ("Euclidean cost, the 1-Wasserstein distance", wasserstein_1),
}


def parts(budget: str, table: list[Row], results: Results) -> list[str]:
    """The page: tables at both costs beside the paper's, orderings, figures."""
    sections = []
    for cost, (title, metric) in COSTS.items():
        distances, orderings = [], []
        for method in METHODS:
            distances.append([method, *_distances(table, cost, method)])
            ordered = verdicts.orderings(table, cost, COLUMNS, ORDERINGS, method=method)
            orderings.append([method, *ordered])
        sections += [
            pages.heading(f"Transport at {title}"),
            pages.table(["", *COLUMNS], distances),
            f"Two sets of 2,048 true samples: {verdicts.mean_and_deviation(floor(metric))}.",
            pages.table(["", *ORDERINGS], orderings),
        ]
    sections.append(pages.heading("Samples over the discriminator's logit (red: real, blue: fake)"))
    return sections + [
        pages.drawing(_figure(result["pictures"]), f"{name}: samples of the first seed.")
        for name, result in results.items()
    ]


def _distances(table: list[Row], cost: str, method: str) -> list[str]:
    """The cells of a method, with the paper's numbers where it has some."""
    texts = verdicts.means(table, cost, COLUMNS, method=method)
    if cost == "squared":
        for i, (mean, std) in enumerate(PAPER[method]):
            ours = values(table, cost, method=method, **list(COLUMNS.values())[i])
            verdict = verdicts.against(ours, mean, std, PAPER_SEEDS)
            texts[i] += f"\npaper {mean:.4f} ± {std:.4f}\n{verdict}"
    return texts


def floor(metric: points.Metric, count: int = 2048, draws: int = 5) -> list[float]:
    """The distances between two sets of true samples, of several pairs of them."""
    sets = [mixtures.grid(count, seed=1000 + i)[0] for i in range(2 * draws)]
    return [metric(a, b) for a, b in zip(sets[::2], sets[1::2], strict=True)]


def _figure(pictures):
    """A row for each generator, a column for each step."""
    generators = list(next(iter(pictures.values()))["samples"])

    titles = [f"step {int(step):,}" for step in pictures]
    figure, axes = points.panels(generators, titles, EXTENT)
    colours = {"cmap": "RdBu_r", "vmin": -3, "vmax": 3}
    for column, picture in zip(axes.T, pictures.values(), strict=True):
        for axis, made in zip(column, picture["samples"].values(), strict=True):
            axis.imshow(picture["logits"], extent=[-EXTENT, EXTENT] * 2, origin="lower", **colours)
            points.scatter(axis, made, "black")
    return figure


_TITLE = "A grid of Gaussians: averages against transport distance"
GRID = Experiment("grid", _TITLE, __doc__, cells, parts)
