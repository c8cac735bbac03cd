"""``tfgan-ema reproduce EXPERIMENT --out=DIR``: redoes an experiment of the papers."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

from absl import flags

from tfgan_ema.cli.command import new_flags, run
from tfgan_ema.errors import UsageError, unknown

# name -> (module:function, what it is); the function takes the output folder and, but for the
# dynamics, which have one, the budget; it returns the page to look at
EXPERIMENTS = {
    "dynamics": ("tfgan_ema.lab.dynamics.report:reproduce", "Dirac-GANs and bilinear games"),
    "grid": (
        "tfgan_ema.lab.experiments.grid:reproduce",
        "a grid of Gaussians, averaging paper table 1",
    ),
    "ring": (
        "tfgan_ema.lab.experiments.ring:reproduce",
        "a ring of Gaussians, averages and LeakyEMA",
    ),
    "alpha_ring": ("tfgan_ema.lab.experiments.ring:reproduce_alpha", "the ring under alpha-losses"),
    "images": (
        "tfgan_ema.lab.experiments.images:reproduce",
        "averages and LeakyEMA on real images",
    ),
    "fashion": (
        "tfgan_ema.lab.experiments.images:reproduce_fashion",
        "the same on Fashion-MNIST alone",
    ),
    "cifar": ("tfgan_ema.lab.experiments.images:reproduce_cifar", "the same on CIFAR-10 alone"),
    "toy2d": ("tfgan_ema.lab.experiments.toy2d:reproduce", "Gaussian, line, circle, four lines"),
}

FLAGS = new_flags()
flags.DEFINE_string("out", None, "The folder to write into.", flag_values=FLAGS)
flags.DEFINE_string(
    "budget",
    "desk",
    "How much: smoke (a minute, to see it run), desk (an hour or two on two cores; cifar a night) "
    "or paper (the authors' own). The dynamics have one budget, half a minute.",
    flag_values=FLAGS,
)

_WIDTH = max(map(len, EXPERIMENTS))
_LIST = "\n".join(f"  {name:{_WIDTH}}  {what}" for name, (_, what) in EXPERIMENTS.items())
USAGE = f"""usage: tfgan-ema reproduce EXPERIMENT --out=DIR [--budget=smoke|desk|paper]

Redoes an experiment of the papers and writes one HTML page with its figures and tables; a run that
was interrupted goes on at the first cell that is not finished.

Experiments:
{_LIST}"""


def output_folder(out: str | None) -> Path:
    """The folder named by ``--out``; it need not exist."""
    if not out:
        raise UsageError("no --out: name the folder to write into, e.g. --out=results.")
    if Path(out).exists() and not Path(out).is_dir():
        raise UsageError(f"--out={out} is a file: expected a folder, there or not yet.")
    return Path(out)


def reproduce(values: flags.FlagValues, words: list[str]) -> None:
    """Finds the experiment and runs it."""
    if len(words) != 1:
        raise UsageError(f"got {words or 'nothing'}: expected one of {', '.join(EXPERIMENTS)}.")
    if words[0] not in EXPERIMENTS:
        raise unknown("experiment", words[0], EXPERIMENTS)
    out = output_folder(values.out)
    module, function = EXPERIMENTS[words[0]][0].split(":")
    budget = ()
    if words[0] != "dynamics":  # which trains nothing and loads no Keras
        from tfgan_ema import engines

        engines.current()
        budget = (values.budget,)
    print(getattr(importlib.import_module(module), function)(out, *budget))


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    return run(reproduce, FLAGS, USAGE, argv or sys.argv)


if __name__ == "__main__":
    sys.exit(main())
