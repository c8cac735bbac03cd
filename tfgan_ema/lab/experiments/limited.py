"""Few images: does a leak help once the discriminator knows them by heart?

With few training images the discriminator learns them by heart, and the averaged generator is best
long before the end of training. In the thesis LeakyEMA begins at such a point, where the average
is good and the discriminator overfits. Here Fashion-MNIST is cut to a number of images that the
seed of a run chooses, so that the spread over seeds has the choice of images in it.

Arms with a leak continue from the state of the same training without it. The leak starts at one
step for all seeds of a size: the one at which the averaged generator of a pilot was best, a run of
another seed that counts nowhere else. A start by each seed's own curve would use its future.

All scores are against images that no training has seen, in two halves with latents of their own:
the best step is chosen by half A, and every value in a table is of half B. The rule of the verdicts
is in docs/results/limited/RULE.md and was written before the first run that counts. The smoke
budget takes scikit-learn's digits instead.
"""

import functools
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
from ml_collections import ConfigDict

from tfgan_ema import data, runs
from tfgan_ema.lab.experiments import points, training
from tfgan_ema.lab.experiments.cells import Cell, Progress
from tfgan_ema.lab.experiments.experiment import Row
from tfgan_ema.lab.experiments.training import dcgan
from tfgan_ema.metrics import Evaluator
from tfgan_ema.progress import visible

PILOT = 1000  # the seed of the runs that choose the start steps
DECAY = 0.999
JUDGED = 1000  # images of each kind that the discriminator is asked about


class Arm(NamedTuple):
    """One way of training.

    Attributes:
        title: for people.
        changes: of the configuration.
        leak: options of the leak without its start, or ``None``.
        origin: the arm without the leak, whose state this one continues from.
    """

    title: str
    changes: dict[str, Any]
    leak: dict[str, Any] | None = None
    origin: str | None = None

    @property
    def augments(self) -> bool:
        """Whether the leak comes to an augmentation."""
        return self.origin == "augmented"


_AUGMENTED = {"augment": {"diff_augment": {}}}
ARMS = {
    "plain": Arm("no leak", {}),
    "leak_0.5": Arm("LeakyEMA 0.5", {}, {"beta": 0.5}, "plain"),
    "leak_0.25": Arm("LeakyEMA 0.25", {}, {"beta": 0.25}, "plain"),
    "augmented": Arm("DiffAugment", _AUGMENTED),
    "augmented_leak_0.25": Arm(
        "DiffAugment, LeakyEMA 0.25", _AUGMENTED, {"beta": 0.25}, "augmented"
    ),
}


class Problem(NamedTuple):
    """A set of images and how its generators are scored.

    Attributes:
        title: for people.
        data: of the configuration, the images that are chosen from.
        halves: the splits of the images that are held out, A and B.
        space: the feature space of the metrics.
    """

    title: str
    data: dict[str, Any]
    halves: tuple[str, str]
    space: str


FASHION = Problem(
    "Fashion-MNIST", {"name": "fashion_mnist", "channels": 1}, ("test[:50%]", "test[50%:]"),
    "fashion_classifier",
)  # fmt: skip
DIGITS = Problem(
    "digits", {"name": "digits", "image_size": 16, "channels": 1, "split": "train[:50%]"},
    ("train[50%:75%]", "train[75%:]"), "pixels",
)  # fmt: skip


class Budget(NamedTuple):
    """How much of it.

    Attributes:
        problem: what is learned.
        starts: number of training images -> the step at which leaks start.
        network: of the configuration.
        steps: generator steps.
        every: steps between two measurements.
        samples: of each measurement in each half.
        seeds: of each arm.
        step: seconds of one core for a step.
        measurement: seconds of one core.
    """

    problem: Problem
    starts: dict[int, int]
    network: dict[str, Any]
    steps: int
    every: int
    samples: int
    seeds: int
    step: float
    measurement: float


_DESK = Budget(FASHION, {300: 6500}, dcgan(0.25), 15_000, 500, 5000, 5, 0.05, 9.0)
BUDGETS = {
    "smoke": Budget(DIGITS, {60: 10}, dcgan(1 / 16), 30, 10, 100, 2, 0.03, 0.5),
    "desk": _DESK,
    "paper": _DESK._replace(seeds=10),  # no paper has it; the first five seeds are the desk's
}


def counts(count: int, budget: str) -> list[int]:
    """The first ``count`` numbers of training images."""
    return list(BUDGETS[budget].starts)[:count]


def cells(count: int, budget: str) -> list[Cell]:
    """For each of the first ``count`` numbers of images the pilot, then all arms by seed."""
    turns = [
        (images, seed)
        for images in counts(count, budget)
        for seed in (PILOT, *range(BUDGETS[budget].seeds))
    ]
    return [
        _cell(budget, images, seed, arm, turn)
        for turn, (images, seed) in enumerate(turns)
        for arm in (["plain"] if seed == PILOT else ARMS)
    ]


def _cell(budget: str, images: int, seed: int, arm: str, turn: int) -> Cell:
    sizes, chosen = BUDGETS[budget], ARMS[arm]
    problem, start = sizes.problem, sizes.starts[images]
    choice = {"count": images, "seed": seed}
    options = {
        "name": f"{images}-{seed}-{arm}",
        "origin": f"{images}-{seed}-{chosen.origin or arm}",
        "start": None if seed == PILOT else start,
        "seed": seed,
        "leak": chosen.leak and {**chosen.leak, "start_step": start},
        "changes": {"data": problem.data | choice, **sizes.network, **chosen.changes},
        "halves": problem.halves,
        "space": problem.space,
        **{key: getattr(sizes, key) for key in ("steps", "every", "samples")},
    }
    steps = sizes.steps - (start if chosen.leak else 0)
    cost = steps * (sizes.step + sizes.measurement / sizes.every) + 20
    head = {"images": images, "arm": arm, "seed": seed}
    function = "tfgan_ema.lab.experiments.limited:measure"
    return Cell(options["name"], function, options, cost, head, turn)


def measure(folder: Path, progress: Progress, **options: Any) -> list[Row]:
    """Trains an arm of a seed and measures its generators on the way, see `training.run_arm`.

    Returns:
        A row for each step and generator: the distances to the halves, precision and recall of half
        B, and of the images of this generator, of training images and of those held out the mean
        logit and the share that the discriminator calls real.
    """
    measured = functools.partial(_measured, evaluators(options))
    return training.run_arm(configuration(options), folder, progress, options, measured)


def configuration(options: dict[str, Any]) -> ConfigDict:
    """The run of a cell."""
    return training.configuration(options, {"ema": {"decay": DECAY}})


def evaluators(options: dict[str, Any]) -> dict[str, Evaluator]:
    """What scores a generator against each half of the images that are held out."""
    o = SimpleNamespace(**options)
    metrics = {"a": [f"fd_{o.space}"], "b": [f"fd_{o.space}", f"precision_recall_{o.space}"]}
    made = {}
    for seed, (half, names) in enumerate(metrics.items()):
        config = configuration(options)
        config.data.split, config.data.count = o.halves[seed], None
        made[half] = Evaluator(
            names, runs.load_source(config), samples=o.samples, batch=500, seed=seed,
            progress=visible(),
        )  # fmt: skip
    return made


def prepare(budget: str) -> None:
    """Computes what the metrics need of the images that are held out once."""
    for evaluator in evaluators(cells(1, budget)[0].options).values():
        evaluator.prepare(evaluator.reference.origin.shape)


def _measured(scorers: dict[str, Evaluator], gan: Any, source: data.Source) -> Iterator[Row]:
    """The rows of a step."""
    held_out = scorers["a"].reference.origin
    known = _judged(gan, "training", source.samples[:JUDGED])
    known |= _judged(gan, "held_out", held_out.samples[:JUDGED])
    for generator, average in points.columns(gan).items():
        sample = functools.partial(gan.sample, average=average)
        a, b = (scorer(sample) for scorer in scorers.values())
        (distance_a,), (distance_b, precision, recall) = a.values(), b.values()
        yield {
            "step": gan.steps_done, "generator": generator,
            "distance_a": distance_a, "distance_b": distance_b,
            "precision": precision, "recall": recall,
            **_judged(gan, "generated", sample(JUDGED, seed=0)), **known,
        }  # fmt: skip


def _judged(gan: Any, what: str, images: np.ndarray) -> Row:
    """The mean logit of images and the share that the discriminator calls real."""
    logits = gan.discriminate(images)
    return {
        f"{what}_logit": float(logits.mean()),
        f"{what}_called_real": float((logits > 0).mean()),
    }
