"""The same training under TensorFlow and under JAX, turn by turn, on the same device.

    pip install jax
    python -m benchmarks.backends [--seconds=10] [--repeats=3]

Each measurement is a process of its own with its backend; the median rate counts. Compiling is
done before the clock starts. TensorFlow's plain graph is the reference; `jit` is its XLA.
"""

from __future__ import annotations

import multiprocessing
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from absl import flags

from tfgan_ema import command

FLAGS = command.new_flags()
flags.DEFINE_float("seconds", 10.0, "Length of a measurement.", flag_values=FLAGS)
flags.DEFINE_integer("repeats", 3, "Measurements of each contender.", flag_values=FLAGS)

CONTENDERS = {
    "TensorFlow": ("tensorflow", False),
    "TensorFlow, jit": ("tensorflow", True),
    "JAX": ("jax", True),
}


def _gan(network: str, batch_size: int, jit: bool, **options: Any) -> tuple[Any, Callable]:
    """A GAN with hinge loss, R1, an average and a leak; and what starts a pipeline for it."""
    import numpy as np

    import tfgan_ema as tg
    import zoo

    generator, discriminator = zoo.build(network, **options)
    gan = tg.GAN(
        generator,
        discriminator,
        latent=generator.inputs[0].shape[-1],
        loss="hinge",
        penalties=[tg.penalties.R1(1.0)],
        averages=[tg.EMA(0.999)],
        leak=tg.LeakyEMA(0.25),
    )
    gan.compile(steps_per_execution=10, jit_compile=jit)
    shape = generator.output_shape[1:]
    if len(shape) == 1:
        source = tg.data.load("ring")
    else:
        images = np.random.default_rng(0).integers(0, 256, (2000, *shape), dtype=np.uint8)
        source = tg.data.Source("noise", images)
    return gan, lambda: tg.data.pipeline(source, batch_size, seed=0, start=gan.steps_done)


def images(jit: bool) -> tuple[Callable[[int], Any], int]:
    """A quarter of SNGAN-32 through `fit`, with its data pipeline."""
    gan, pipeline = _gan("sngan_32", 32, jit, width=0.25)
    return lambda steps: gan.fit(pipeline(), steps_per_epoch=steps, verbose=0, shuffle=False), 32


def points(jit: bool) -> tuple[Callable[[int], Any], int]:
    """Small perceptrons on points, 64 a batch, through `fit`."""
    gan, pipeline = _gan("mlp", 64, jit)
    return lambda steps: gan.fit(pipeline(), steps_per_epoch=steps, verbose=0, shuffle=False), 64


def resident(jit: bool) -> tuple[Callable[[int], Any], int]:
    """The same perceptrons in `GAN.run`, whose data never leave the program."""
    from tfgan_ema.latents import Draws

    gan, _ = _gan("mlp", 64, jit)

    def batch(step: Any) -> Any:
        return Draws(0, step).normal((64, 2), "data")

    return lambda steps: gan.run(batch, steps), 64


WORKLOADS = (images, points, resident)


def _measure(workload: Callable, backend: str, jit: bool, seconds: float, queue: Any) -> None:
    os.environ["KERAS_BACKEND"] = backend
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    try:
        run, rows = workload(jit)
        run(20)
        start = time.perf_counter()
        run(20)
        steps = max(10, 10 * int(seconds / 2 / (time.perf_counter() - start)))
        done, start = 0, time.perf_counter()
        while time.perf_counter() - start < seconds:
            run(steps)
            done += steps
        queue.put(done * rows / (time.perf_counter() - start))
    except BaseException as error:
        queue.put(error)
        raise


def rate(workload: Callable, backend: str, jit: bool, seconds: float) -> float:
    """Real samples a second, measured in a new process."""
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    worker = context.Process(target=_measure, args=(workload, backend, jit, seconds, queue))
    worker.start()
    result = queue.get()
    worker.join()
    if isinstance(result, BaseException):
        raise result
    return result


def _run(values: flags.FlagValues, _: list[str]) -> None:
    for workload in WORKLOADS:
        print(f"\n{workload.__doc__}", flush=True)
        measured: dict[str, list[float]] = {name: [] for name in CONTENDERS}
        for _ in range(values.repeats):
            for name, (backend, jit) in CONTENDERS.items():
                measured[name].append(rate(workload, backend, jit, values.seconds))
        reference = statistics.median(measured["TensorFlow"])
        for name, rates in measured.items():
            middle = statistics.median(rates)
            print(
                f"  {name:<16} {middle:9.0f} samples/s ({min(rates):.0f} .. {max(rates):.0f})"
                f"  x{middle / reference:.2f}",
                flush=True,
            )


def main(argv: Sequence[str]) -> int:
    """Runs the command; returns its exit code."""
    return command.run(_run, FLAGS, __doc__, argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
