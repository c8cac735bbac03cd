"""A modern baseline on one core: R3GAN beside DCGAN and SNGAN on Fashion-MNIST.

R3GAN (Huang et al. 2024, arXiv 2501.05441) trains residual networks without normalisation by a
relativistic loss under R1 and R2. To learn from an image costs it many times what it costs an older
GAN, so that what it gains must be set against what those learn from more images. All networks here
have nearly the same number of parameters, generator and discriminator together.

At equal time, each method takes as many steps as fit in the processor time that R3GAN's run takes.
Their numbers were fixed beforehand from measured times of a step, so that the experiment repeats to
the bit and may be interrupted. At equal images, each is scored when its discriminator has read as
many images as R3GAN's in its whole run. The generator that is judged is the power-function average
of width 0.05, which all arms have. The rule of the verdicts is in docs/results/modern/RULE.md and
was written before the first run that counts. The smoke budget takes scikit-learn's digits instead.
"""

import functools
import importlib
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from ml_collections import ConfigDict

from tfgan_ema import runs
from tfgan_ema.lab.experiments import points, training, verdicts
from tfgan_ema.lab.experiments.cells import Cell, Progress
from tfgan_ema.lab.experiments.experiment import Experiment, Results, Row, select, values
from tfgan_ema.lab.experiments.points import RAW
from tfgan_ema.lab.reports import pages
from tfgan_ema.metrics import Evaluator
from tfgan_ema.progress import visible

OURS, AVERAGE = "r3gan", "power_ema"
CURVE = 10  # points of a curve, evenly in time


class Arm(NamedTuple):
    """One method.

    Attributes:
        title: for people.
        recipe: a family and a row of `configs`.
        images: that the discriminator reads in a step.
        width: of the networks.
        steps: in the time that all arms have.
        step: seconds of one core, as ``python -m benchmarks.modern`` measures them.
    """

    title: str
    recipe: tuple[str, str]
    images: int
    width: float
    steps: int
    step: float


class Budget(NamedTuple):
    """How much of it.

    Attributes:
        data: of the configuration.
        space: the feature space of the metrics.
        arms: the methods.
        samples: of each measurement.
        seeds: of each arm.
        measurement: seconds of one core.
    """

    data: dict[str, Any]
    space: str
    arms: dict[str, Arm]
    samples: int
    seeds: int
    measurement: float


_FASHION = {"name": "fashion_mnist", "channels": 1, "labels": False}
_DIGITS = _FASHION | {"name": "digits", "image_size": 16}
_R3GAN, _DCGAN, _SNGAN = (
    ("r3gan", "fashion_mnist"), ("shipped", "dcgan_fashion_mnist"),
    ("shipped", "sngan_fashion_mnist"),
)  # fmt: skip
_DESK = Budget(
    _FASHION,
    "fashion_classifier",
    {
        "r3gan": Arm("R3GAN", _R3GAN, 16, 1 / 48, 7000, 0.1449),
        "dcgan": Arm("DCGAN", _DCGAN, 64, 0.12, 26_500, 0.0386),
        "sngan": Arm("SNGAN", _SNGAN, 128, 0.0925, 4900, 0.208),
    },
    5000,
    3,
    20.0,
)
BUDGETS = {
    "smoke": Budget(
        _DIGITS,
        "pixels",
        {
            "r3gan": Arm("R3GAN", _R3GAN, 16, 1 / 48, 80, 0.04),
            "dcgan": Arm("DCGAN", _DCGAN, 64, 1 / 16, 80, 0.02),
            "sngan": Arm("SNGAN", _SNGAN, 128, 1 / 16, 80, 0.03),
        },
        100,
        2,
        0.5,
    ),
    "desk": _DESK,
    "paper": _DESK._replace(seeds=10),  # no paper has it; the first three seeds are the desk's
}


def last(sizes: Budget, arm: str) -> int:
    """The step of an arm at the end of its time."""
    return sizes.arms[arm].steps


def level(sizes: Budget, arm: str) -> int:
    """The step at which an arm has read as many images as R3GAN in its run."""
    ours = sizes.arms[OURS]
    return ours.steps * ours.images // sizes.arms[arm].images


def cells(budget: str) -> list[Cell]:
    """All arms of a seed, then those of the next."""
    sizes = BUDGETS[budget]
    return [_cell(sizes, arm, seed) for seed in range(sizes.seeds) for arm in sizes.arms]


def _cell(sizes: Budget, name: str, seed: int) -> Cell:
    arm, head = sizes.arms[name], {"arm": name, "seed": seed}
    curve = range(arm.steps // CURVE, arm.steps + 1, arm.steps // CURVE)
    options = {
        "name": f"{name}-{seed}",
        "seed": seed,
        "recipe": arm.recipe,
        "width": arm.width,
        "data": sizes.data,
        "space": sizes.space,
        "samples": sizes.samples,
        "points": sorted({*curve, level(sizes, name)}),
    }
    cost = arm.steps * arm.step + len(options["points"]) * sizes.measurement + 20
    return Cell(options["name"], f"{__name__}:measure", options, cost, head, turn=seed)


def measure(folder: Path, progress: Progress, **options: Any) -> list[Row]:
    """Trains an arm of a seed and measures its generators on the way; an interrupted cell resumes.

    Returns:
        A row for each step and generator.
    """
    o = SimpleNamespace(**options)
    config = configuration(options)
    source = runs.load_source(config)
    gan = runs.build_gan(config, source.shape, None)
    evaluator = Evaluator(_metrics(options), source, samples=o.samples)
    kept, rows = folder / f"{o.name}.npz", []
    if kept.exists():
        rows = points.restore(gan, kept)["rows"]
    for step in o.points:
        if step <= gan.steps_done:
            continue
        training.train(gan, source, config, step - gan.steps_done)
        for generator, average in points.columns(gan).items():
            scores = evaluator(functools.partial(gan.sample, average=average)).values()
            scored = zip(("distance", "precision", "recall"), scores, strict=True)
            rows.append({"step": step, "generator": generator, **dict(scored)})
        points.save(gan, kept, rows=rows)
        progress(step / o.points[-1])
    return rows


def configuration(options: dict[str, Any]) -> ConfigDict:
    """The run of a cell: a recipe with the data, the width and the average of the experiment."""
    family, row = options["recipe"]
    config = importlib.import_module(f"configs.{family}").get_config(row)
    config.data.update(options["data"])
    config.network.width, config.seed = options["width"], options["seed"]
    config.averages = ConfigDict({AVERAGE: {"sigma": 0.05}})
    config.steps, config.steps_per_execution = (
        options["points"][-1],
        math.gcd(100, *options["points"]),
    )
    return config


def _metrics(options: dict[str, Any]) -> list[str]:
    return [f"fd_{options['space']}", f"precision_recall_{options['space']}"]


def prepare(budget: str) -> None:
    """Computes what the metrics need of the training set once."""
    options = cells(budget)[0].options
    source = runs.load_source(configuration(options))
    Evaluator(_metrics(options), source, progress=visible()).prepare(source.shape)


def parts(budget: str, table: list[Row], results: Results) -> list[str]:
    """Both comparisons and the curves."""
    sizes = BUDGETS[budget]
    ours = sizes.arms[OURS]
    minutes = ours.steps * ours.step / 60
    return [
        f"Seeds: {sizes.seeds}; {sizes.samples:,} samples of each generator at each point. "
        "Distances are mean ± deviation over the seeds.",
        pages.heading(f"At equal time: {minutes:.3g} minutes of one core"),
        comparison(sizes, table, last),
        pages.heading(f"At equal images: {ours.steps * ours.images:,}"),
        comparison(sizes, table, level),
        pages.heading("On the way"),
        pages.drawing(
            _curves(sizes, table),
            f"fd_{sizes.space} by time and by images: averaged generator solid, as trained dashed; "
            "mean and range over the seeds.",
        ),
    ]


def comparison(sizes: Budget, table: list[Row], place: Any) -> str:
    """All arms at a step of each, and what R3GAN's averaged generator is against the others'.

    Args:
        sizes: of the budget.
        table: all rows.
        place: `last` or `level`.
    """
    raw, averaged = (
        {arm: select(table, arm=arm, generator=generator, step=place(sizes, arm))
         for arm in sizes.arms}
        for generator in (RAW, AVERAGE)
    )  # fmt: skip
    distances = {arm: values(rows, "distance") for arm, rows in averaged.items()}
    others = [arm for arm in sizes.arms if arm != OURS]
    family = verdicts.family([(distances[OURS], distances[other]) for other in others])
    found = dict(zip(others, map(str, family), strict=True))
    return pages.table(
        ["", "steps", "images", "minutes", "distance as trained", "averaged",
         "R3GAN's average against it", "precision", "recall"],
        [
            [
                arm.title,
                f"{place(sizes, name):,}",
                f"{place(sizes, name) * arm.images:,}",
                f"{place(sizes, name) * arm.step / 60:.1f}",
                verdicts.mean_and_deviation(values(raw[name], "distance")),
                verdicts.mean_and_deviation(distances[name]),
                found.get(name, ""),
                *(f"{np.mean(values(averaged[name], key)):.3f}" for key in ("precision", "recall")),
            ]
            for name, arm in sizes.arms.items()
        ],
    )  # fmt: skip


def _curves(sizes: Budget, table: list[Row]) -> Figure:
    figure = Figure(figsize=(9, 3.8), layout="constrained")
    for axis, label in zip(figure.subplots(1, 2, sharey=True), ("minutes", "images"), strict=True):
        for index, (name, arm) in enumerate(sizes.arms.items()):
            scale = arm.step / 60 if label == "minutes" else arm.images
            _curve(axis, select(table, arm=name), scale, f"C{index}", arm.title)
        axis.set(xlabel=label, xscale="log" if label == "images" else "linear", yscale="log")
    axis = figure.axes[0]
    axis.set_ylabel(f"fd_{sizes.space}")
    axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.yaxis.set_major_formatter("{x:g}")
    axis.yaxis.set_minor_formatter(NullFormatter())
    axis.legend()
    return figure


def _curve(axis: Axes, rows: list[Row], scale: float, colour: str, title: str) -> None:
    """Both generators of an arm."""
    steps = sorted({row["step"] for row in rows})
    for generator, style in ((RAW, "--"), (AVERAGE, "-")):
        distances = np.array(
            [values(rows, "distance", generator=generator, step=step) for step in steps]
        )
        x, label = np.array(steps) * scale, title if generator == AVERAGE else None
        axis.plot(x, distances.mean(1), style, color=colour, label=label)
        axis.fill_between(x, distances.min(1), distances.max(1), alpha=0.15, color=colour, lw=0)


MODERN = Experiment(
    "modern", "R3GAN beside older networks on Fashion-MNIST", __doc__, cells, parts, prepare
)
