"""A thousand modes: which ways of training cover StackedMNIST, and how evenly.

Each image has three digits of MNIST as its colours, so that there are 1,000 modes, and the shipped
classifier says which one a sample is of (Metz et al. 2017). Small networks leave modes out. The
discriminator has no normalisation, so that a gradient penalty is one of each image alone.

Arms: the non-saturating loss without a leak; LeakyEMA 0.5, and an adaptive leak of at most 0.5,
both from the middle of training on and from the state of the arm without a leak; R1; and the
relativistic loss with R1 and R2, as in R3GAN (Huang et al. 2024). Scores are of 26,000 samples, the
number of published values. So many real images have a divergence above 0, too, which is shown.

The rule of the verdicts is in docs/results/stacked_mnist/RULE.md and was written before the first
run. The smoke budget takes scikit-learn's digits in grey instead, which are ten modes at most.
"""

import functools
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from tfgan_ema import data, runs
from tfgan_ema.lab.experiments import points, training, verdicts
from tfgan_ema.lab.experiments.cells import Cell, Progress
from tfgan_ema.lab.experiments.experiment import Experiment, Results, Row, select, values
from tfgan_ema.lab.experiments.limited import Arm
from tfgan_ema.lab.experiments.points import RAW
from tfgan_ema.lab.reports import pages
from tfgan_ema.metrics import Evaluator

DECAY = 0.999
METRIC = "modes_stacked_mnist"
SCORES = {"modes": METRIC, "kl": "mode_kl_stacked_mnist"}  # both are the metric's
TITLES = {"modes": "modes covered", "kl": "KL to the uniform distribution"}
ARMS = {
    "plain": Arm("no leak", {}),
    "leak": Arm("LeakyEMA 0.5", {}, {"beta": 0.5}, "plain"),
    "adaptive": Arm("adaptive leak", {}, {"beta": 0.5, "adaptive": True}, "plain"),
    "r1": Arm("R1", {"penalties": {"r1": {"weight": 1.0}}}),
    "relativistic": Arm(
        "relativistic, R1 and R2",
        {"loss": {"name": "relativistic"}, "penalties": {"r1_r2": {"weight": 1.0}}},
    ),
}
COST = {"r1": 1.6, "relativistic": 2.2}  # of a step, where it is not 1
REAL = "real images"


class Budget(NamedTuple):
    """How much of it.

    Attributes:
        data: of the configuration.
        width: of the networks.
        steps: generator steps; leaks start in the middle.
        every: steps between two measurements.
        samples: of each.
        seeds: of each arm.
        step: seconds of one core for a step without a penalty.
        measurement: seconds of one core, of both generators.
    """

    data: dict[str, Any]
    width: float
    steps: int
    every: int
    samples: int
    seeds: int
    step: float
    measurement: float


_STACKED = {"name": "stacked_mnist", "image_size": 32}
_DIGITS = {"name": "digits", "image_size": 32, "channels": 3}
BUDGETS = {
    "smoke": Budget(_DIGITS, 1 / 32, 20, 10, 300, 2, 0.03, 1.0),
    "desk": Budget(_STACKED, 1 / 8, 6000, 1000, 26_000, 5, 0.05, 30.0),
    "paper": Budget(_STACKED, 0.5, 50_000, 5000, 26_000, 10, 0.5, 60.0),
}


def cells(budget: str) -> list[Cell]:
    """All arms of each seed, and real images, drawn as often as there are seeds."""
    sizes = BUDGETS[budget]
    real = {"data": sizes.data, "samples": sizes.samples, "seeds": sizes.seeds}
    head = {"arm": REAL}
    return [
        Cell(f"{budget}-real", f"{__name__}:measure_real", real, sizes.measurement, head),
        *(_cell(budget, seed, arm) for seed in range(sizes.seeds) for arm in ARMS),
    ]


def _cell(budget: str, seed: int, arm: str) -> Cell:
    sizes, chosen = BUDGETS[budget], ARMS[arm]
    start = sizes.steps // 2
    network = {"name": "conventional_32", "width": sizes.width, "spectral_norm": False}
    options = {
        "name": f"{budget}-{seed}-{arm}",
        "origin": f"{budget}-{seed}-{chosen.origin or arm}",
        "start": start if arm in ("plain", "leak", "adaptive") else None,
        "seed": seed,
        "leak": chosen.leak and {**chosen.leak, "start_step": start},
        "changes": {"data": sizes.data, "network": network, **chosen.changes},
        **{key: getattr(sizes, key) for key in ("steps", "every", "samples")},
    }
    steps = sizes.steps - (start if chosen.leak else 0)
    cost = steps * (sizes.step * COST.get(arm, 1.0) + sizes.measurement / sizes.every) + 20
    return Cell(options["name"], f"{__name__}:measure", options, cost, {"arm": arm}, seed)


def measure(folder: Path, progress: Progress, **options: Any) -> list[Row]:
    """Trains an arm of a seed and measures its generators on the way, see `training.run_arm`.

    Returns:
        A row for each step and generator: modes covered, and the divergence.
    """
    config = training.configuration(options, {"ema": {"decay": DECAY}})
    evaluator = Evaluator([METRIC], samples=options["samples"], batch=500)

    def measured(gan: Any, source: data.Source) -> Iterator[Row]:
        head = {"seed": options["seed"], "step": gan.steps_done}
        for generator, average in points.columns(gan).items():
            scores = evaluator(functools.partial(gan.sample, average=average))
            yield {**head, "generator": generator, **_renamed(scores)}

    return training.run_arm(config, folder, progress, options, measured)


def measure_real(folder: Path, progress: Progress, **options: Any) -> list[Row]:
    """Scores real images, drawn without repetition, as often as there are seeds."""
    o, rows = SimpleNamespace(**options), []
    evaluator = Evaluator([METRIC], samples=o.samples, batch=500)
    for seed in range(o.seeds):
        drawn = {**o.data, "count": o.samples, "seed": seed}
        run = {"changes": {"data": drawn}, "steps": 1, "every": 1, "seed": seed, "leak": None}
        config = training.configuration(run, {"ema": {"decay": DECAY}})
        scores = evaluator(runs.load_source(config))
        rows.append({"seed": seed, "step": 0, "generator": REAL, **_renamed(scores)})
        progress((seed + 1) / o.seeds)
    return rows


def _renamed(scores: dict[str, float]) -> Row:
    return {key: scores[name] for key, name in SCORES.items()}


def parts(budget: str, table: list[Row], results: Results) -> list[str]:
    """The verdicts by the rule, what supports none, and the curves."""
    sizes = BUDGETS[budget]
    last = [row for row in whole(table, sizes) if row["step"] == sizes.steps]
    found = {
        (arm, key): values(last, key, arm=arm, generator="ema") for arm in ARMS for key in SCORES
    }
    verdict = verdicts_of(found)
    floor = [verdicts.mean_and_deviation(values(table, key, arm=REAL)) for key in SCORES]
    return [
        f"Averaged generator (EMA {DECAY:g}, batch statistics of its own) of conventional_32 at "
        f"{sizes.width:g} of its width, {sizes.steps:,} steps of 64 images, seeds: {sizes.seeds}, "
        f"scored on {sizes.samples:,} samples; leaks start at step {sizes.steps // 2:,}. Paired "
        "t-tests over the seeds on logarithms, Holm's correction over all verdicts of the table.",
        conclusion(verdict),
        pages.table(
            [
                "averaged generator",
                *(head for t in TITLES.values() for head in (t, "against no leak")),
            ],
            [_line(arm, found, verdict) for arm in ARMS],
        ),
        f"As many real images: modes {floor[0]}, divergence {floor[1]}.",
        pages.table(
            ["raw generator, without a test", *TITLES.values()],
            [
                [ARMS[arm].title]
                + [
                    verdicts.mean_and_deviation(values(last, key, arm=arm, generator=RAW))
                    for key in SCORES
                ]
                for arm in ARMS
            ],
        ),
        *(
            pages.drawing(
                _curves(whole(table, sizes), key),
                f"{title} by the averaged generator: mean and range.",
            )
            for key, title in TITLES.items()
        ),
    ]


def _line(arm: str, found: dict, verdict: dict) -> list[str]:
    """The cells of an arm: for each score its mean and deviation, and the verdict."""
    cells = [ARMS[arm].title]
    for key in SCORES:
        cells.append(verdicts.mean_and_deviation(found[arm, key]))
        cells.append(str(verdict.get((arm, key), "")))
    return cells


def whole(table: list[Row], sizes: Budget) -> list[Row]:
    """The rows of the arms; those with a leak have their origin's up to its start, too."""
    return [
        {**row, "arm": arm}
        for arm, chosen in ARMS.items()
        for row in table
        if row["arm"] == arm or (row["arm"] == chosen.origin and row["step"] <= sizes.steps // 2)
    ]


def verdicts_of(
    found: dict[tuple[str, str], list[float]],
) -> dict[tuple[str, str], verdicts.Verdict]:
    """The family of the rule: every other arm against no leak, modes and divergence."""
    keys = [(arm, key) for arm in ARMS if arm != "plain" for key in SCORES]
    family = verdicts.family([(found[arm, key], found["plain", key]) for arm, key in keys])
    return dict(zip(keys, family, strict=True))


def helps(verdict: dict[tuple[str, str], verdicts.Verdict], arm: str) -> bool:
    """The rule: a lower divergence, not within the margin, and not fewer modes."""
    kl = verdict[arm, "kl"]
    lower = kl.word == "lower" and kl.p_within >= verdicts.LEVEL
    return lower and verdict[arm, "modes"].word != "lower"


def conclusion(verdict: dict[tuple[str, str], verdicts.Verdict]) -> str:
    """Which arms help, by the rule."""
    helping = [ARMS[arm].title for arm, key in verdict if key == "kl" and helps(verdict, arm)]
    found = ", ".join(helping) or "not shown"
    return f"Covers the modes better than plain training without a leak: {found}."


def _curves(table: list[Row], key: str) -> Figure:
    """A curve for each arm; up to its start one with a leak is that of its origin."""
    figure = Figure(figsize=(7, 3.8), layout="constrained")
    axis = figure.subplots()
    for index, (arm, chosen) in enumerate(ARMS.items()):
        rows = select(table, arm=arm, generator="ema")
        steps = sorted({row["step"] for row in rows})
        numbers = np.array([values(rows, key, step=step) for step in steps])
        style = "--" if chosen.leak else "-"
        axis.plot(steps, numbers.mean(1), style, color=f"C{index}", label=chosen.title)
        axis.fill_between(
            steps, numbers.min(1), numbers.max(1), alpha=0.12, color=f"C{index}", lw=0
        )
    axis.set(xlabel="step", ylabel=TITLES[key])
    axis.legend(fontsize=8)
    return figure


STACKED_MNIST = Experiment("stacked_mnist", "A thousand modes: StackedMNIST", __doc__, cells, parts)
