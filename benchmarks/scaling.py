"""How the time of a step grows with the batch and the network, on one device and on two halves.

    python -m benchmarks.scaling [--widths=0.25,0.5] [--batch_sizes=16,32] [--repeats=7]
    python -m benchmarks.scaling --plan     # measures nothing: products and bytes of a step

SNGAN-32 (hinge, one discriminator update, one average) on one device with all cores, on two logical
devices under a mirrored strategy, and in two processes under a multi-worker one. The two halves
share the same cores, so a ratio of 1 says that splitting and adding up cost nothing. A step lasts
from the end of one to the end of the next; what `fit` takes after its last step stands beside. The
bytes are those of the gradients that the replicas of a step exchange.
"""

from __future__ import annotations

import contextlib
import json
import math
import multiprocessing
import os
import socket
import statistics
import sys
import time
from collections.abc import Sequence
from typing import Any

from absl import flags

from benchmarks.train_step import flops
from tfgan_ema import command
from tfgan_ema.errors import UsageError

FLAGS = command.new_flags()
flags.DEFINE_bool("plan", False, "Count for networks of the zoo, and end.", flag_values=FLAGS)
flags.DEFINE_list("widths", ["0.25", "0.5"], "Widths of the network.", flag_values=FLAGS)
flags.DEFINE_list("batch_sizes", ["16", "32"], "Global batches.", flag_values=FLAGS)
flags.DEFINE_integer("steps", 10, "Steps of a timing.", lower_bound=1, flag_values=FLAGS)
flags.DEFINE_integer("repeats", 7, "Timings of each contender.", lower_bound=1, flag_values=FLAGS)

PLANNED = ("dcgan_64", "sngan_32", "sngan_64", "sngan_128")

# layout -> (strategy of `tfgan-ema train`, processes, logical devices of each)
LAYOUTS = {
    "one device": ("cpu", 1, 1),
    "two logical devices": ("mirrored", 1, 2),
    "two processes": ("multiworker", 2, 1),
}


def worker(layout: str, width: float, batch_size: int, steps: int, repeats: int, pipe: Any) -> None:
    """Sends (seconds a step, seconds after the last) of each timing, and the gradients' bytes."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    cluster = pipe.recv()
    if cluster:
        os.environ["TF_CONFIG"] = json.dumps(cluster)
    import keras
    import numpy as np
    import tensorflow as tf

    import tfgan_ema as tg
    import zoo
    from tfgan_ema.engines import devices

    name, _, count = LAYOUTS[layout]
    if count > 1:
        cpu = tf.config.list_physical_devices("CPU")[0]
        logical = [tf.config.LogicalDeviceConfiguration()] * count
        tf.config.set_logical_device_configuration(cpu, logical)
    strategy = devices.strategy(name)
    images = np.random.default_rng(0).integers(0, 256, (2000, 32, 32, 3), dtype=np.uint8)
    source = tg.data.Source("noise", images)
    with strategy.scope():
        generator, discriminator = zoo.build("sngan_32", width=width)
        gan = tg.GAN(generator, discriminator, latent=128, loss="hinge", averages=[tg.EMA(0.999)])
        gan.compile()
    data = devices.distribute(
        strategy, lambda shard: tg.data.pipeline(source, batch_size, seed=0, shard=shard)
    )

    def run() -> tuple[float, float]:
        ends: list[float] = []
        clock = keras.callbacks.LambdaCallback(
            on_train_batch_end=lambda batch, logs: ends.append(time.perf_counter())
        )
        gan.fit(data, steps_per_epoch=1 + steps, verbose=0, shuffle=False, callbacks=[clock])
        return (ends[-1] - ends[0]) / steps, time.perf_counter() - ends[-1]

    run()
    pipe.send(([run() for _ in range(repeats)], gradient_bytes(generator, discriminator)))


def gradient_bytes(generator: Any, discriminator: Any) -> list[int]:
    """Bytes of the float32 gradients of D and of G."""
    return [
        4 * sum(math.prod(weight.shape) for weight in net.trainable_weights)
        for net in (discriminator, generator)
    ]


def plan() -> None:
    """Prints what a step multiplies and what its replicas exchange, by network."""
    import zoo

    for name in PLANNED:
        d_bytes, g_bytes = gradient_bytes(*zoo.build(name))
        folded, _ = flops(name)
        print(
            f"  {name:<10} {folded / 1e9:6.1f} GFLOP an image,"
            f" {(d_bytes + g_bytes) / 2**20:6.1f} MiB a step"
            f" ({d_bytes / 2**20:.1f} D, {g_bytes / 2**20:.1f} G),"
            f" {folded / (d_bytes + g_bytes):5.0f} FLOP a byte with one image a replica",
            flush=True,
        )


def measure(
    layout: str, width: float, batch_size: int, steps: int, repeats: int
) -> tuple[list[tuple[float, float]], list[int]]:
    """Seconds a step, seconds after the last, and bytes of the gradients, from new processes.

    Raises:
        UsageError: a process ended before it answered.
    """
    _, count, _ = LAYOUTS[layout]
    context = multiprocessing.get_context("spawn")
    cluster = _addresses(count)
    pipes = []
    for index in range(count):
        ours, theirs = context.Pipe()
        words = (layout, width, batch_size, steps, repeats, theirs)
        context.Process(target=worker, args=words).start()
        theirs.close()
        task = {"type": "worker", "index": index}
        ours.send({"cluster": {"worker": cluster}, "task": task} if count > 1 else None)
        pipes.append(ours)
    try:
        chief, *_ = [pipe.recv() for pipe in pipes]
        return chief
    except EOFError:
        raise UsageError(f"{layout}: a process ended early; its message stands above.") from None


def _addresses(count: int) -> list[str]:
    """Free ports of this machine."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]


def _run(values: flags.FlagValues, _: list[str]) -> None:
    if values.plan:
        return plan()
    try:
        widths = [float(width) for width in values.widths]
        batches = [int(size) for size in values.batch_sizes]
    except ValueError as error:
        raise UsageError(f"--widths, --batch_sizes: {error}; expected numbers.") from None
    for width in widths:
        for batch_size in batches:
            reference = None
            for layout in LAYOUTS:
                timings, (d_bytes, g_bytes) = measure(
                    layout, width, batch_size, values.steps, values.repeats
                )
                times, after = zip(*timings, strict=True)
                if reference is None:
                    reference = statistics.median(times)
                    print(
                        f"\nwidth {width:g}, batch {batch_size}: gradients of "
                        f"{d_bytes / 2**20:.2f} MiB (D) and {g_bytes / 2**20:.2f} MiB (G) a step",
                        flush=True,
                    )
                middle = statistics.median(times)
                print(
                    f"  {layout:<20} {1e3 * middle:8.1f} ms a step ({1e3 * min(times):.1f} .. "
                    f"{1e3 * max(times):.1f})  x{middle / reference:.2f}; "
                    f"{statistics.median(after):.2f} s at the end of fit",
                    flush=True,
                )


def main(argv: Sequence[str]) -> int:
    """Runs the command; returns its exit code."""
    return command.run(_run, FLAGS, __doc__, argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
