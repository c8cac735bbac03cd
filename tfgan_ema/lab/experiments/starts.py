"""How an average should begin: from the first weights, later, with a ramp, or bias-corrected.

An EMA of decay 0.999 that starts from the first weights trails the raw generator for thousands of
steps. Averaging changes nothing in training, so all ways to begin follow one training of the
Fashion-MNIST recipe and are scored on the same latents.

The rule, written before the first run: the outcome of a way is the geometric mean of its Frechet
distances over all measured steps. The way with the lowest mean outcome over the seeds becomes the
default, unless a simpler one (further up in the table) is not told apart from it, or its distance
at the last step is higher than the plain EMA's. Tests are paired t-tests over the seeds on
logarithms, with Holm's correction over the family.

The bias correction (Block et al. 2025, arXiv 2508.00180) adds the share ``(10 + t)^-0.2`` of the
way from the first weights to the present ones to an EMA: to that of decay 0.999, and to one that
moves by the authors' share ``(10 + t)^-0.5``.
"""

import functools
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
from keras import ops
from matplotlib.figure import Figure

from tfgan_ema import averaging, runs
from tfgan_ema.lab.experiments import points, training, verdicts
from tfgan_ema.lab.experiments.cells import Cell, Progress
from tfgan_ema.lab.experiments.experiment import Experiment, Results, Row, select, values
from tfgan_ema.lab.experiments.images import DIGITS, PROBLEMS, Problem
from tfgan_ema.lab.experiments.points import RAW
from tfgan_ema.lab.experiments.training import dcgan
from tfgan_ema.lab.reports import pages
from tfgan_ema.metrics import Evaluator
from tfgan_ema.progress import visible

DECAY = 0.999
BATCH = 64
HALF_LIFE = BATCH * np.log(0.5) / np.log(DECAY)  # of that decay, in images


class Share(averaging.EMA):
    """An average that moves by a share of its own after each step."""

    def __init__(self, share: str, name: str | None = None) -> None:
        """``share`` is a key of `SHARES`."""
        super().__init__(DECAY, name=name)
        self.share = share

    def rate(self, step: Any, batch_size: int) -> Any:
        """The share after a step."""
        return SHARES[self.share](ops.cast(step, "float32"))


SHARES = {
    "mean": lambda step: (1 - DECAY) / (1 - DECAY**step),  # weights of a plain mean at first
    "power": lambda step: (10 + step) ** -0.5,
    "none": lambda step: 0.0 * step,  # set by `correct`
}
_SHARE = f"{__name__}:Share"
WAYS = {
    "from the first weights": {"kind": "ema", "decay": DECAY},
    "from step 1,000": {"kind": "ema", "decay": DECAY, "start_step": 1000},
    "as a plain mean": {"kind": _SHARE, "share": "mean"},
    "with a ramp of 0.05": {"kind": "ema", "half_life": HALF_LIFE, "ramp": 0.05},
    "power function, width 0.05": {"kind": "power_ema", "sigma": 0.05},
    "power function, width 0.1": {"kind": "power_ema", "sigma": 0.1},
    "bias-corrected": {"kind": _SHARE, "share": "none"},
    "bias-corrected, authors' shares": {"kind": _SHARE, "share": "none"},
}
NAMES = {f"way_{i}": way for i, way in enumerate(WAYS)}  # as averages are called
CORRECTED = {"way_6": "way_0", "way_7": "followed"}  # each with the average that it corrects
PLAIN = "from the first weights"


class Budget(NamedTuple):
    """How much of it: see `images.Budget`."""

    problem: Problem
    network: dict[str, Any]
    steps: int
    every: int
    samples: int
    seeds: int
    step: float
    sample: float


BUDGETS = {
    "smoke": Budget(DIGITS, dcgan(1 / 16), 30, 10, 100, 2, 0.03, 0.5),
    "desk": Budget(PROBLEMS["fashion_mnist"], dcgan(0.25), 9000, 500, 5000, 3, 0.065, 0.4),
    "paper": Budget(PROBLEMS["fashion_mnist"], dcgan(1.0), 99_000, 3000, 10_000, 5, 0.5, 0.5),
}


def cells(budget: str) -> list[Cell]:
    """One for each seed."""
    sizes = BUDGETS[budget]
    points = sizes.steps // sizes.every
    samples = points * (len(WAYS) + 1) * sizes.samples / 1000
    return [
        Cell(
            f"{budget}-{seed}",
            f"{__name__}:measure",
            {
                "name": f"{budget}-{seed}",
                "seed": seed,
                "leak": None,
                "changes": {"data": sizes.problem.data, **sizes.network},
                "distance": sizes.problem.distance,
                **{key: getattr(sizes, key) for key in ("steps", "every", "samples")},
            },
            sizes.steps * sizes.step + samples * sizes.sample + 20,
            {"seed": seed},
        )
        for seed in range(sizes.seeds)
    ]


def measure(folder: Path, progress: Progress, **options: Any) -> list[Row]:
    """Trains one seed and scores all ways to begin; an interrupted cell resumes.

    Returns:
        A row for each step and generator.
    """
    o = SimpleNamespace(**options)
    config = configuration(options)
    source = runs.load_source(config)
    gan = runs.build_gan(config, source.shape, None)
    first = gan.generator.get_weights()
    evaluator = Evaluator([o.distance], source, samples=o.samples)
    kept, rows = folder / f"{o.name}.npz", []
    if kept.exists():
        rows = points.restore(gan, kept)["rows"]
    while gan.steps_done < o.steps:
        training.train(gan, source, config, o.every)
        for corrected, average in CORRECTED.items():
            correct(gan.average(corrected), gan.average(average), first, gan.steps_done)
        for column, way in {RAW: RAW, **NAMES}.items():
            sample = functools.partial(gan.sample, average="raw" if way == RAW else column)
            head = {"generator": way, "step": gan.steps_done}
            rows.append(head | {"distance": evaluator(sample)[o.distance]})
        points.save(gan, kept, rows=rows)
        progress(gan.steps_done / o.steps)
    return rows


def correct(
    corrected: averaging.Average, average: averaging.Average, first: Sequence[Any], step: int
) -> None:
    """Gives one average the weights of another and a share of the way from the first weights."""
    share = (10.0 + step) ** -0.2
    pairs = zip(corrected.pairs, average.pairs, first, strict=True)
    for (target, weight), (value, _), begin in pairs:
        if weight.trainable:
            target.assign(value + share * (weight - begin))
    corrected.forget()


def configuration(options: dict[str, Any]) -> Any:
    """The run of a cell."""
    named = {name: WAYS[way] for name, way in NAMES.items()}
    followed = {"followed": {"kind": _SHARE, "share": "power"}}
    return training.configuration(options, named | followed)


def prepare(budget: str) -> None:
    """Computes what the metric needs of the training set once."""
    options = cells(budget)[0].options
    source = runs.load_source(configuration(options))
    evaluator = Evaluator([options["distance"]], source, progress=visible())
    evaluator.prepare(source.shape)


def parts(budget: str, table: list[Row], results: Results) -> list[str]:
    """Outcomes, verdicts and curves."""
    sizes = BUDGETS[budget]
    outcomes = {way: _outcomes(table, way) for way in (RAW, *WAYS)}
    last = {way: values(table, "distance", generator=way, step=sizes.steps) for way in outcomes}
    means = {way: float(np.exp(np.mean(np.log(outcomes[way])))) for way in WAYS}
    best = min(means, key=means.get)
    others = [way for way in outcomes if way != best]
    verdict = dict(
        zip(others, verdicts.family([(outcomes[w], outcomes[best]) for w in others]), strict=True)
    )
    network = sizes.network["network"]
    return [
        f"{sizes.problem.title}, {network['name']} at {network['width']:g} of its width, "
        f"{sizes.steps:,} steps of {BATCH} images, seeds: {sizes.seeds}; {sizes.samples:,} "
        f"samples every {sizes.every:,} steps; {sizes.problem.distance}.",
        f"Lowest over all steps: {best}.",
        pages.table(
            ["generator", "mean over the steps", f"against {best}", "last step", "below raw from"],
            [
                [
                    way,
                    verdicts.mean_and_deviation(outcomes[way]),
                    verdict.get(way, ""),
                    verdicts.mean_and_deviation(last[way]),
                    "" if way == RAW else _below_raw(table, way),
                ]
                for way in outcomes
            ],
        ),
        "The last column is the step from which the mean over the seeds stays below the raw "
        "generator's.",
        pages.drawing(_curves(table, sizes), f"{sizes.problem.distance}, mean over the seeds."),
    ]


def _outcomes(table: list[Row], way: str) -> list[float]:
    """The geometric mean over the steps, by seed."""
    rows = select(table, generator=way)
    return [
        float(np.exp(np.mean(np.log(values(rows, "distance", seed=seed)))))
        for seed in sorted({row["seed"] for row in rows})
    ]


def _by_step(table: list[Row], way: str) -> dict[int, float]:
    """The mean over the seeds."""
    steps = sorted({row["step"] for row in table})
    return {s: float(np.mean(values(table, "distance", generator=way, step=s))) for s in steps}


def _below_raw(table: list[Row], way: str) -> str:
    raw, ours = _by_step(table, RAW), _by_step(table, way)
    above = [step for step in ours if ours[step] >= raw[step]]
    later = [step for step in ours if step > max(above, default=0)]
    return f"{later[0]:,}" if later else "never"


def _curves(table: list[Row], sizes: Budget) -> Figure:
    figure = Figure(figsize=(7.5, 4.2), layout="constrained")
    axis = figure.subplots()
    for way in (RAW, *WAYS):
        curve = _by_step(table, way)
        style = {"color": "0.6", "label": "raw"} if way == RAW else {"label": way}
        axis.plot(list(curve), list(curve.values()), marker="o", ms=2.5, **style)
    axis.set(xlabel="step", ylabel=sizes.problem.distance, yscale="log")
    axis.legend(fontsize=7)
    return figure


STARTS = Experiment(
    "starts", "How an average should begin, on Fashion-MNIST", __doc__, cells, parts, prepare
)
