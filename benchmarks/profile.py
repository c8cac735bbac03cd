"""Where the time of a training step goes: thread time by kind of kernel, as TensorFlow records it.

    python -m benchmarks.profile [--network=sngan_128] [--precision=bfloat16] [--steps=2]

The networks and batches of `benchmarks.train_step`. Shares are of the time of all threads that run
kernels, idle time included. What is missing to all of it is waiting, and kernels so cheap that
TensorFlow does not record them.
"""

from __future__ import annotations

import collections
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from absl import flags

from benchmarks.train_step import NETWORKS, ours
from tfgan_ema import command

FLAGS = command.new_flags()
flags.DEFINE_enum("network", "sngan_128", list(NETWORKS), "Whose step.", flag_values=FLAGS)
flags.DEFINE_enum("precision", "float32", ("float32", "bfloat16"), "Its.", flag_values=FLAGS)
flags.DEFINE_integer("steps", 2, "Steps that are recorded.", lower_bound=1, flag_values=FLAGS)

SHOWN = 20  # kinds of kernels
EXECUTOR = "tf_Compute"  # how the profiler names the threads that run kernels


def kernels(trace: Path) -> tuple[collections.Counter[str], collections.Counter[str], int]:
    """Seconds and calls by kind of kernel in a profile, and how many threads ran them."""
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    space = xplane_pb2.XSpace.FromString(trace.read_bytes())
    seconds, calls, threads = collections.Counter(), collections.Counter(), 0
    for plane in space.planes:
        for line in plane.lines:
            if not line.name.startswith(EXECUTOR):
                continue
            threads += 1
            for event in line.events:
                name = plane.event_metadata[event.metadata_id].name
                node, colon, kind = name.rpartition(":")
                if colon and node and kind != "Process":
                    seconds[kind] += event.duration_ps / 1e12
                    calls[kind] += 1
    return seconds, calls, threads


def _run(values: flags.FlagValues, _: list[str]) -> None:
    import tensorflow as tf

    run = ours(NETWORKS[values.network]._replace(precision=values.precision))
    run(3)
    with tempfile.TemporaryDirectory() as folder:
        with tf.profiler.experimental.Profile(folder):
            start = time.perf_counter()
            run(values.steps)
            elapsed = time.perf_counter() - start
        seconds, calls, threads = kernels(next(Path(folder).rglob("*.xplane.pb")))
    whole = elapsed * threads
    seen = f"{elapsed / values.steps:.3f} s a step, {threads} threads"
    print(f"{values.network}, {values.precision}: {seen}")
    for kind, spent in seconds.most_common(SHOWN):
        print(f"  {kind:<40} {spent / whole:6.1%} {calls[kind] / values.steps:7.0f} calls a step")
    print(f"  {'(all that is recorded)':<40} {sum(seconds.values()) / whole:6.1%}")


def main(argv: Sequence[str]) -> int:
    """Runs the command; returns its exit code."""
    return command.run(_run, FLAGS, __doc__, argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
