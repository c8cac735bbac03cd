"""How long it takes until something happens: help, imports, the first step of the quick start.

    tfgan-ema data fetch fashion_mnist      # once; the quick start's images
    python -m benchmarks.startup [--repeats=7]

Every contender is a process of its own, from its start to its end; they take turns, medians count.
The quick start's process trains one step, and also draws its sample grid and saves a checkpoint, so
its first step comes earlier than its end.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence

from absl import flags

from tfgan_ema import command

FLAGS = command.new_flags()
flags.DEFINE_integer("repeats", 7, "Runs of each contender.", lower_bound=1, flag_values=FLAGS)

COMMAND = [sys.executable, "-m", "tfgan_ema.cli.main"]
EVERY = ("steps", "log_every", "sample_every", "checkpoint_every")
CONTENDERS = {
    "tfgan-ema --help": [*COMMAND, "--help"],
    "tfgan-ema train --help": [*COMMAND, "train", "--help"],
    "import keras": [sys.executable, "-c", "import keras"],
    "import tfgan_ema": [sys.executable, "-c", "import tfgan_ema"],
    "import tfgan_ema, zoo; tfgan_ema.GAN": [
        sys.executable, "-c", "import tfgan_ema, zoo; tfgan_ema.GAN",
    ],
    "quick start, one step": [
        *COMMAND, "train", "--config=quickstart", "--workdir={folder}",
        *(f"--config.{key}=1" for key in EVERY),
    ],
}  # fmt: skip


def seconds(words: Sequence[str]) -> float:
    """From the start of a process to its end.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        words = [word.format(folder=folder) for word in words]
        start = time.perf_counter()
        subprocess.run(words, check=True, capture_output=True)
        return time.perf_counter() - start


def _run(values: flags.FlagValues, _: list[str]) -> None:
    for words in CONTENDERS.values():
        seconds(words)  # fills the caches of the file system
    measured: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    for _ in range(values.repeats):
        for name, words in CONTENDERS.items():
            measured[name].append(seconds(words))
    keras = statistics.median(measured["import keras"])
    for name, times in measured.items():
        middle = statistics.median(times)
        print(
            f"  {name:<38} {middle:6.2f} s ({min(times):.2f} .. {max(times):.2f})"
            f"  x{middle / keras:.2f} of import keras",
            flush=True,
        )


def main(argv: Sequence[str]) -> int:
    """Runs the command; returns its exit code."""
    return command.run(_run, FLAGS, __doc__, argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
