"""Whether training waits for its data: what the pipeline can deliver, and what a step waits for.

    tfgan-ema data fetch cifar10; tfgan-ema data fetch fashion_mnist      # once
    python -m benchmarks.pipeline [--seconds=5] [--repeats=7]

For each set, batches are drawn from an otherwise idle pipeline for some seconds, and then for some
seconds more in front of compiled training steps, where the time inside of `next` is the step's
idle time. Sets of other sizes stand beside, as random bytes in a mapped file. Medians and ranges
over the repeats.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from absl import flags

from tfgan_ema import command

FLAGS = command.new_flags()
flags.DEFINE_float("seconds", 5.0, "Length of one timing.", lower_bound=0.1, flag_values=FLAGS)
flags.DEFINE_integer("repeats", 7, "Timings of each kind.", lower_bound=1, flag_values=FLAGS)


class Setting(NamedTuple):
    """A set, how it is drawn, and the network in front of it."""

    data: str
    shape: tuple[int, ...]
    batch_size: int
    network: str
    width: float


SETTINGS = (
    Setting("cifar10", (32, 32, 3), 64, "sngan_32", 0.25),
    Setting("fashion_mnist", (32, 32, 1), 64, "dcgan_32", 0.25),
    Setting("noise", (128, 128, 3), 16, "sngan_128", 0.125),
)
NOISE = 4000  # images of random bytes


def batches(setting: Setting, folder: Path) -> Iterator[Any]:
    """Mirrored batches of the set."""
    import numpy as np

    from tfgan_ema import data

    if setting.data == "noise":
        images = np.lib.format.open_memmap(
            folder / "noise.npy", "w+", np.uint8, (NOISE, *setting.shape)
        )
        images[:] = np.random.default_rng(0).integers(0, 256, images.shape, np.uint8)
        source = data.Source("noise", images)
    else:
        source = data.load(setting.data, image_size=setting.shape[0], channels=setting.shape[-1])
    return iter(data.pipeline(source, setting.batch_size, seed=0, flip=True))


def training(setting: Setting) -> Callable[[Any], None]:
    """A compiled step on a batch; returns when it is done."""
    import tensorflow as tf

    import tfgan_ema as tg
    import zoo

    pair = zoo.build(setting.network, width=setting.width, channels=setting.shape[-1])
    gan = tg.GAN(*pair, latent=pair[0].inputs[0].shape[-1], averages=[tg.EMA(0.999)])
    gan.compile()
    compiled = tf.function(gan.train_step, autograph=False, reduce_retracing=True)

    def step(batch: Any) -> None:
        for value in compiled(batch).values():
            value.numpy()

    return step


def drawn(
    source: Iterator[Any], step: Callable[[Any], None], least: float
) -> tuple[int, float, float]:
    """Batches, seconds inside of `next`, seconds in all."""
    count, waited, start = 0, 0.0, time.perf_counter()
    while (now := time.perf_counter()) - start < least:
        batch = next(source)
        waited += time.perf_counter() - now
        step(batch)
        count += 1
    return count, waited, time.perf_counter() - start


def _run(values: flags.FlagValues, _: list[str]) -> None:
    print(
        "set, size, batch, network: images a second alone | taken by the steps | "
        "microseconds waited a step | share of the time"
    )
    for setting in SETTINGS:
        with tempfile.TemporaryDirectory() as folder:
            source, step = batches(setting, Path(folder)), training(setting)
            for _ in range(3):
                step(next(source))
            alone, taken, waits, shares = [], [], [], []
            for _ in range(values.repeats):
                count, _, all_ = drawn(source, lambda _: None, values.seconds)
                alone.append(count * setting.batch_size / all_)
                count, waited, all_ = drawn(source, step, values.seconds)
                taken.append(count * setting.batch_size / all_)
                waits.append(1e6 * waited / count)
                shares.append(waited / all_)
        styles = ((alone, ",.0f"), (taken, ",.0f"), (waits, ",.0f"), (shares, ".2%"))
        numbers = (_median_and_range(*pair) for pair in styles)
        size = "x".join(map(str, setting.shape))
        what = f"{setting.data}, {size}, {setting.batch_size}, {setting.network}"
        print(f"  {what} at {setting.width}: {' | '.join(numbers)}", flush=True)


def _median_and_range(values: Sequence[float], style: str) -> str:
    return f"{statistics.median(values):{style}} ({min(values):{style}} .. {max(values):{style}})"


def main(argv: Sequence[str]) -> int:
    """Runs the command; returns its exit code."""
    return command.run(_run, FLAGS, __doc__, argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
