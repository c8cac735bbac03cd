"""usage: tfgan-ema reproduce EXPERIMENT --out=DIR [--budget=smoke|desk|paper]

Repeats an experiment of the papers and writes one HTML page with its figures and tables. To resume
an interrupted run, repeat the command.

Budgets: smoke takes a minute, to see it run; desk takes an hour or two on two cores (cifar and
limited a night); paper is the authors' own. The dynamics have one budget, half a minute.

Experiments:
"""

import importlib
from pathlib import Path

from tfgan_ema import command
from tfgan_ema.errors import UsageError, unknown
from tfgan_ema.lab.experiments import BUDGETS

_LAB = "tfgan_ema.lab"
# name -> (module, its `Experiment`, what it is); the dynamics have a function instead
EXPERIMENTS = {
    "dynamics": (f"{_LAB}.reports.dynamics", "reproduce", "Dirac-GANs and bilinear games"),
    "grid": (f"{_LAB}.experiments.grid", "GRID", "a grid of Gaussians, averaging paper table 1"),
    "ring": (f"{_LAB}.experiments.ring", "RING", "a ring of Gaussians, averages and LeakyEMA"),
    "alpha_ring": (f"{_LAB}.experiments.ring", "ALPHA_RING", "the ring under alpha-losses"),
    "images": (f"{_LAB}.experiments.images", "IMAGES", "averages and LeakyEMA on real images"),
    "fashion": (f"{_LAB}.experiments.images", "FASHION", "the same on Fashion-MNIST alone"),
    "cifar": (f"{_LAB}.experiments.images", "CIFAR", "the same on CIFAR-10 alone"),
    "limited": (f"{_LAB}.experiments.limited_page", "LIMITED", "few images, leaks, DiffAugment"),
    "limited_300": (f"{_LAB}.experiments.limited_page", "LIMITED_300", "the same, 300 alone"),
    "starts": (f"{_LAB}.experiments.starts", "STARTS", "ways for an average to begin"),
    "modern": (f"{_LAB}.experiments.modern", "MODERN", "R3GAN beside DCGAN and SNGAN"),
    "lottery": (f"{_LAB}.experiments.lottery", "LOTTERY", "how much of a score is the seed"),
    "stacked_mnist": (
        f"{_LAB}.experiments.stacked_mnist",
        "STACKED_MNIST",
        "a thousand modes, leaks, penalties",
    ),
    "toy2d": (f"{_LAB}.experiments.toy2d", "TOY2D", "Gaussian, line, circle, four lines"),
}

FLAGS = command.new_flags(
    ("out", str, None, "The folder to write into."),
    ("budget", command.one_of(*BUDGETS), "desk", "How much work, see above."),
    *command.CLUSTER,
)

_LIST = "\n".join(f"  {name:<13}  {what}" for name, (_, _, what) in EXPERIMENTS.items())


def output_folder(out: str | None) -> Path:
    """The folder named by ``--out``; it need not exist."""
    if not out:
        raise UsageError("no --out: name the folder to write into, e.g. --out=results.")
    command.check_output("out", out, "folder")
    return Path(out)


def reproduce(values: command.Flags, words: list[str]) -> None:
    """Finds the experiment and runs it."""
    if len(words) != 1:
        raise UsageError(f"got {words or 'nothing'}: expected one of {', '.join(EXPERIMENTS)}.")
    if words[0] not in EXPERIMENTS:
        raise unknown("experiment", words[0], EXPERIMENTS)
    out = output_folder(values.out)
    command.check_backend()
    if words[0] != "dynamics":
        command.start_engine()
    module, name, _ = EXPERIMENTS[words[0]]
    experiment = getattr(importlib.import_module(module), name)
    if words[0] == "dynamics":
        command.given(values, ("cluster", "gpus"), "belongs to experiments with cells")
        print(experiment(out))
    else:
        cluster = {"cluster": values.cluster, "gpus": values.gpus}
        print(experiment.run(out, values.budget, **cluster))


main = command.main(reproduce, FLAGS, __doc__ + _LIST)
