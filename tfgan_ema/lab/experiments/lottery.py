"""The lottery of training: how much of a score is the seed, and does averaging shrink it?

Eight Gaussians on a ring, learned by small networks (non-saturating loss with R1), many seeds side
by side. Each generator, as trained and averaged (EMA 0.999), is scored several times, on samples
from other latents each time: the squared sliced 2-Wasserstein distance and the Frechet distance of
points to one fixed set of real ones.

The variance within a seed is that of drawing; the variance between the seeds' means, less that of
drawing over the number of draws, is that of training. The stated error is the one that
`tfgan-ema evaluate` prints, without drawing again.

Whether averaging shrinks the variance over seeds is Pitman's test: for paired values of equal
variance, sum and difference are uncorrelated. It is done on logarithms, so that a lower mean alone
does not count. What one, three and five seeds can tell is the difference between two recipes that a
z-test at 5 % finds with a chance of 80 %, had both the variance that was found here.
"""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from scipy import stats

from tfgan_ema.data.mixtures import ring, ring_centers
from tfgan_ema.lab.experiments import points, verdicts
from tfgan_ema.lab.experiments.cells import Cell, Progress
from tfgan_ema.lab.experiments.experiment import Experiment, Results, Row, values
from tfgan_ema.lab.experiments.points import RAW, Method
from tfgan_ema.lab.reports import pages
from tfgan_ema.latents import Normal
from tfgan_ema.metrics import frechet, wasserstein
from tfgan_ema.metrics.spread import Spread

SIGMA, BATCH_SIZE, PROJECTIONS = 0.05, 64, 50
NETWORKS = {"g_hidden": [64] * 3, "d_hidden": [64] * 3}
METHOD = Method(
    {"loss": "non_saturating"},
    {"kind": "adam", "learning_rate": 2e-4, "beta_1": 0.0, "beta_2": 0.9},
    [("r1", {"weight": 1.0})],
)
SECONDS = 6e-4  # of one core, for a step of one seed
AVERAGES = {"ema": {"rule": "ema", "decay": 0.999}}
COLUMNS = {RAW: "as trained", "ema": "EMA 0.999"}
METRICS = {"transport": "sliced transport", "frechet": "Frechet distance"}
TOLD = (1, 3, 5)  # seeds
Z = stats.norm.ppf(0.975) + stats.norm.ppf(0.8)

BUDGETS = {
    "smoke": {"steps": 60, "count": 200, "draws": 3, "seeds": 4, "stack": 2},
    "desk": {"steps": 12_000, "count": 2000, "draws": 5, "seeds": 40, "stack": 20},
    "paper": {"steps": 50_000, "count": 2000, "draws": 5, "seeds": 200, "stack": 20},
}


def cells(budget: str) -> list[Cell]:
    """The seeds, cut into stacks."""
    sizes = dict(BUDGETS[budget])
    seeds, stack = sizes.pop("seeds"), sizes.pop("stack")
    return [
        Cell(
            f"seeds-{first}",
            "tfgan_ema.lab.experiments.lottery:measure",
            {**sizes, "seeds": list(range(first, min(first + stack, seeds)))},
            stack * sizes["steps"] * SECONDS + 20,
        )
        for first in range(0, seeds, stack)
    ]


def measure(folder: Path, progress: Progress, **options: Any) -> list[Row]:
    """Trains a stack of seeds; one row for each seed, generator and draw."""
    o = SimpleNamespace(**options)
    real = points.mixture(ring_centers(), SIGMA)
    gan = points.stack(METHOD, o.seeds, NETWORKS, Normal(2), AVERAGES, None)
    for _ in points.train(gan, real, BATCH_SIZE, o.steps, o.steps // 20, None, progress):
        pass
    truth = ring(10_000, seed=1, sigma=SIGMA)[0].astype(np.float64)
    rows = []
    for draw in range(o.draws):
        random = np.random.default_rng((draw, o.seeds[0]))  # other latents for each seed
        latent = random.standard_normal((len(o.seeds) * o.count, 2), np.float32)
        for column, average in points.columns(gan).items():
            made = gan.generate(latent, average=average).reshape(len(o.seeds), o.count, 2)
            for seed, generated in zip(o.seeds, made.astype(np.float64), strict=True):
                scores = _scores(generated, truth)
                rows.append({"seed": seed, "generator": column, "draw": draw, **scores})
    return rows


def _scores(generated: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Both distances and their stated errors."""
    ours, theirs = frechet.gaussian(generated), frechet.gaussian(truth)
    moved = frechet.influence(generated, ours, theirs)
    sliced = wasserstein.sliced_wasserstein(generated, truth, projections=PROJECTIONS)
    prices = wasserstein.sliced_influence(generated, truth, projections=PROJECTIONS)
    return {
        "transport": sliced**2,
        "transport_error": Spread(prices).error,
        "frechet": frechet.distance(ours, theirs),
        "frechet_error": Spread(moved).error,
    }


def components(table: Sequence[Row], metric: str, generator: str) -> dict[str, float]:
    """The mean of a score, and its deviations over training and over drawing."""
    scores = _by_seed(table, metric, generator)
    drawing = float(scores.var(axis=1, ddof=1).mean())
    training = float(scores.mean(axis=1).var(ddof=1)) - drawing / scores.shape[1]
    stated = np.square(values(table, f"{metric}_error", generator=generator)).mean()
    return {
        "mean": float(scores.mean()),
        "training": max(training, 0.0) ** 0.5,
        "drawing": drawing**0.5,
        "stated": float(stated) ** 0.5,
    }


def pitman(first: Sequence[float], second: Sequence[float]) -> tuple[float, float]:
    """The ratio of the deviations of two paired samples, and p of the test that they are equal."""
    a, b = np.asarray(first), np.asarray(second)
    p = float(stats.pearsonr(a + b, a - b).pvalue)
    return float(a.std(ddof=1) / b.std(ddof=1)), p


def _by_seed(table: Sequence[Row], metric: str, generator: str) -> np.ndarray:
    """``[seeds, draws]``"""
    draws = sorted({row["draw"] for row in table})
    columns = [values(table, metric, generator=generator, draw=draw) for draw in draws]
    return np.array(columns).T


def parts(budget: str, table: list[Row], results: Results) -> list[str]:
    """The page: sources of the variance, whether averaging shrinks it, what few seeds can tell."""
    sources, shrinks, told = [], [], []
    for metric, title in METRICS.items():
        for generator, column in COLUMNS.items():
            found = components(table, metric, generator)
            total = found["training"] ** 2 + found["drawing"] ** 2
            numbers = [f"{found[key]:.4g}" for key in ("mean", "training", "drawing", "stated")]
            sources.append(
                [title, column, *numbers, f"{100 * found['training'] ** 2 / total:.0f} %"]
            )
            least = [Z * (2 * total / seeds) ** 0.5 / found["mean"] for seeds in TOLD]
            told.append([title, column, *(f"{100 * share:.0f} %" for share in least)])
        logs = [np.log(_by_seed(table, metric, g).mean(axis=1)) for g in ("ema", RAW)]
        ratio, p = pitman(*logs)
        lower = verdicts.ordering(*(np.exp(log).tolist() for log in logs))
        shrinks.append([title, f"{ratio:.2f} (p = {p:.2g})", lower])
    seeds = len({row["seed"] for row in table})
    head = ["score", "generator"]
    return [
        f"{seeds} seeds, {BUDGETS[budget]['steps']} steps, {BUDGETS[budget]['count']} samples, "
        f"{BUDGETS[budget]['draws']} draws.",
        pages.table(
            [
                *head,
                "mean",
                "deviation by training",
                "by drawing",
                "stated error",
                "due to training",
            ],
            sources,
        ),
        pages.heading("Does averaging shrink the variance?"),
        "The ratio of the deviations over seeds of the logarithms, EMA to as trained, by Pitman's "
        "test; and the difference of the means, by a paired t-test.",
        pages.table(["score", "ratio", "EMA lower than as trained"], shrinks),
        pages.heading("What a few seeds can tell"),
        "The smallest difference between two recipes, as a share of the mean, that this many seeds "
        "of either find with a chance of 80 %.",
        pages.table([*head, *(f"{n} seed{'s' if n > 1 else ''}" for n in TOLD)], told),
        pages.drawing(_figure(table), "Scores by seed: a dot for each draw."),
    ]


def _figure(table: list[Row]) -> Figure:
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    for axis, (metric, title) in zip(figure.subplots(1, 2), METRICS.items(), strict=True):
        order = np.argsort(_by_seed(table, metric, RAW).mean(axis=1))
        for (generator, column), colour in zip(
            COLUMNS.items(), ("tab:orange", "tab:blue"), strict=True
        ):
            scores = _by_seed(table, metric, generator)[order]
            places = np.repeat(np.arange(len(scores)), scores.shape[1])
            axis.scatter(places, scores.ravel(), s=6, color=colour, label=column)
        axis.set(xlabel="seeds, by the score as trained", ylabel=title, yscale="log")
    axis.legend()
    return figure


LOTTERY = Experiment("lottery", "The lottery of training", __doc__, cells, parts)
