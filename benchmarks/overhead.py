"""What averages, the leak and `fit` itself add to a step, paired turn by turn in one process.

    python -m benchmarks.overhead [--only=sngan_32,mlp] [--rounds=7]

Every round times each contender once, in alternating order, on the same batches; a ratio is the
median over the rounds of the contender's time to that of the plain step in the same round. The
bare loop is `GAN.run` on a batch that is made in the graph: no pipeline, no callbacks, one call.
`fit` is compared at a quarter of the batch, where what it adds weighs more.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from absl import flags

from tfgan_ema import command
from tfgan_ema.errors import unknown

FLAGS = command.new_flags()


class Setting(NamedTuple):
    """A network with its batch and the steps of one timing."""

    network: str
    batch_size: int
    steps: int
    data: str


SETTINGS = {
    "sngan_32": Setting("sngan_32", 16, 2, "noise"),
    "mlp": Setting("mlp", 64, 1000, "ring"),
}
EXECUTION = 50  # steps of an execution of `fit`

flags.DEFINE_list("only", list(SETTINGS), "Some of the networks; all.", flag_values=FLAGS)
flags.DEFINE_integer("rounds", 7, "Timings of each contender.", lower_bound=1, flag_values=FLAGS)


def make(
    setting: Setting, averages: Sequence[Any] = (), execution: int = EXECUTION, **options: Any
) -> Any:
    """A compiled GAN: hinge loss, one discriminator update."""
    import tfgan_ema as tg
    import zoo

    pair = zoo.build(setting.network)
    latent = pair[0].inputs[0].shape[-1]
    gan = tg.GAN(*pair, latent=latent, loss="hinge", averages=averages, **options)
    gan.compile(steps_per_execution=execution)
    return gan


def in_graph(gan: Any, setting: Setting) -> Callable[[int], Any]:
    """``run(steps)`` on batches that are drawn in the graph."""
    from tfgan_ema.latents import Draws

    shape = gan.generator.output_shape[1:]

    def batch(step: Any) -> Any:
        return Draws(0, step).uniform((setting.batch_size, *shape), "data") * 2 - 1

    return lambda steps: gan.run(batch, steps)


def through_fit(gan: Any, setting: Setting) -> Callable[[int], Any]:
    """``run(steps)`` on a data set, as a user trains."""
    import numpy as np

    import tfgan_ema as tg

    if setting.data == "noise":
        size = gan.generator.output_shape[1:]
        images = np.random.default_rng(0).integers(0, 256, (2000, *size), dtype=np.uint8)
        source = tg.data.Source("noise", images)
    else:
        source = tg.data.load(setting.data)
    pipeline = tg.data.pipeline(source, setting.batch_size, seed=0, start=0)
    return lambda steps: gan.fit(pipeline, steps_per_epoch=steps, verbose=0, shuffle=False)


def forward(gan: Any, rows: int) -> Callable[[int], Any]:
    """``run(steps)`` of the generator alone, in training mode, on so many latents."""
    import tensorflow as tf

    latents = tf.random.normal((rows, gan.generator.inputs[0].shape[-1]))

    @tf.function(autograph=False)
    def pass_() -> Any:
        return gan.generator(latents, training=False)

    def run(steps: int) -> None:
        for _ in range(steps):
            pass_()

    return run


def snapshot_seconds(gan: Any, count: int = 7) -> float:
    """The median time in which a snapshot of a GAN's averages is on disk."""
    import tempfile

    from tfgan_ema import posthoc

    with tempfile.TemporaryDirectory() as folder:
        snapshots = posthoc.Snapshots(folder, every=1)
        snapshots.set_model(gan)
        runs = [timed(snapshots.act, 1) for _ in range(count)]
    return statistics.median(runs)


def timed(run: Callable[[int], Any], steps: int) -> float:
    """Seconds a step."""
    start = time.perf_counter()
    run(steps)
    return (time.perf_counter() - start) / steps


def rounds(
    contenders: Mapping[str, tuple[Callable[[int], Any], int]], count: int
) -> dict[str, list[float]]:
    """Seconds a step of each contender in each round, after one that compiles."""
    for run, steps in contenders.values():
        run(steps)
    measured: dict[str, list[float]] = {name: [] for name in contenders}
    for index in range(count):
        for name in list(contenders)[:: -1 if index % 2 else 1]:
            measured[name].append(timed(*contenders[name]))
    return measured


def report(measured: Mapping[str, Sequence[float]], reference: str) -> None:
    """Prints median times and the medians of the ratios within the rounds."""
    for name, times in measured.items():
        ratios = sorted(a / b for a, b in zip(times, measured[reference], strict=True))
        print(
            f"  {name:<34} {1e3 * statistics.median(times):9.2f} ms"
            f"  x{statistics.median(ratios):.3f} ({ratios[0]:.3f} .. {ratios[-1]:.3f})",
            flush=True,
        )


def _run(values: flags.FlagValues, _: list[str]) -> None:
    for name in values.only:
        if name not in SETTINGS:
            raise unknown("network", name, SETTINGS)
    import tfgan_ema as tg

    for name in values.only:
        setting = SETTINGS[name]
        never, one = 2**31 - 1, [tg.EMA(1 - 0.5**8)]
        variants = {
            "plain": make(setting),
            "one average": make(setting, one),
            "one power-function average": make(setting, [tg.PowerEMA(0.1)]),
            "8 averages": make(setting, [tg.EMA(1 - 0.5**power) for power in range(8, 16)]),
            "lookahead": make(setting, lookahead=tg.Lookahead(5)),
            "one average, leak that never starts": make(
                setting, one, leak=tg.LeakyEMA(0.5, start_step=never)
            ),
            "one average, leak of one half": make(setting, one, leak=tg.LeakyEMA(0.5)),
        }
        contenders = {
            what: (in_graph(gan, setting), setting.steps) for what, gan in variants.items()
        }
        half = forward(variants["plain"], setting.batch_size // 2)
        contenders["(generator alone, half a batch)"] = half, setting.steps
        print(f"\n{name}, batch {setting.batch_size}: what is added to the step", flush=True)
        measured = rounds(contenders, values.rounds)
        report(measured, "plain")
        seconds = snapshot_seconds(make(setting, [tg.PowerEMA(0.05), tg.PowerEMA(0.1)]))
        share = seconds / (1000 * statistics.median(measured["plain"]))
        print(f"  a snapshot of two averages {1e3 * seconds:.0f} ms: {share:.2%} of 1,000 steps")
        less = setting._replace(batch_size=setting.batch_size // 4)
        steps = max(EXECUTION, setting.steps)
        print(f"\n{name}, batch {less.batch_size}: {steps} steps of fit and loop", flush=True)
        loops = {
            "bare loop": (in_graph(make(less), less), steps),
            **{
                f"fit, steps_per_execution {each}": (
                    through_fit(make(less, execution=each), less), steps,
                )
                for each in (1, EXECUTION)
            },
        }  # fmt: skip
        report(rounds(loops, values.rounds), "bare loop")


def main(argv: Sequence[str]) -> int:
    """Runs the command; returns its exit code."""
    return command.run(_run, FLAGS, __doc__, argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
