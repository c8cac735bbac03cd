"""From samples to a number: how long scores take, and where the time goes.

    python -m benchmarks.scores [--metrics=mind,fid] [--counts=5000,10000]

The test images of CIFAR-10 are scored against its training images, whose statistics are made, and
kept, before. Each score is timed whole, and the networks alone.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

import numpy as np

from tfgan_ema import command
from tfgan_ema.errors import UsageError

FLAGS = command.new_flags(
    ("metrics", list, ["mind", "fid"], "Names of metrics, each timed by itself."),
    ("counts", list, ["5000", "10000"], "Numbers of samples, one for each metric."),
    ("reference_count", command.whole(2), None, "Number of training images (default: all)."),
)


def _run(values: command.Flags, words: list[str]) -> None:
    command.no_words(words)
    if len(values.metrics) != len(values.counts):
        raise UsageError("--counts: give as many as --metrics.")
    from tfgan_ema import data
    from tfgan_ema.metrics import Evaluator, features

    test = data.load("cifar10", split="test")
    for name, count in zip(values.metrics, values.counts, strict=True):
        options = {"samples": int(count), "reference_samples": values.reference_count}
        evaluator = Evaluator([name], "cifar10", **options)
        evaluator.prepare(test.shape)
        space = evaluator.metrics[name].space
        features.embed(space, test.batch(np.arange(100))[0])  # compiles
        start = time.perf_counter()
        for first in range(0, int(count), 100):
            features.embed(space, test.batch(np.arange(first, first + 100))[0])
        network = time.perf_counter() - start
        start = time.perf_counter()
        score = evaluator.measure(test)[name]
        whole = time.perf_counter() - start
        print(
            f"{name}, {count} samples: {score.value:.5g} ± {score.error or float('nan'):.2g}; "
            f"{whole:.1f} s with its error, of which the network about {network:.1f} s",
            flush=True,
        )


def main(argv: Sequence[str]) -> int:
    """Runs the command; returns its exit code."""
    return command.run(_run, FLAGS, __doc__, argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
