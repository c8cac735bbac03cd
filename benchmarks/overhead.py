"""What averages, the leak and `fit` itself add to a step, paired turn by turn in one process.

    python -m benchmarks.overhead [--only=sngan_32,mlp] [--parts=step,fit] [--rounds=7]

Every round times each contender once, in alternating order, on the same batches; a ratio is the
median over the rounds of the contender's time to that of the plain step in the same round. The
bare loop is `GAN.run` on a batch that is made in the graph: no pipeline, no callbacks, one call.
`fit` is compared at a quarter of the batch, where what it adds weighs more; the second epoch of a
call counts, without what it takes to begin.
"""

from __future__ import annotations

import functools
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
    "mlp": Setting("mlp", 64, 500, "ring"),
}
EXECUTION = 50  # steps of an execution of `fit`
MOVES = 200  # of averages and lookahead alone, in one timing

flags.DEFINE_list("only", list(SETTINGS), "Some of the networks; all.", flag_values=FLAGS)
flags.DEFINE_list("parts", ["step", "fit"], "One of the two tables; both.", flag_values=FLAGS)
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


Seconds = Callable[[int], float]  # steps -> the seconds that they take


def clocked(run: Callable[[int], Any]) -> Seconds:
    """The seconds of ``run(steps)``."""

    def seconds(steps: int) -> float:
        start = time.perf_counter()
        run(steps)
        return time.perf_counter() - start

    return seconds


def in_graph(gan: Any, setting: Setting) -> Seconds:
    """The bare loop, on batches that are drawn in the graph."""
    from tfgan_ema.latents import Draws

    shape = gan.generator.output_shape[1:]

    def batch(step: Any) -> Any:
        return Draws(0, step).uniform((setting.batch_size, *shape), "data") * 2 - 1

    return clocked(lambda steps: gan.run(batch, steps))


def through_fit(gan: Any, setting: Setting) -> Seconds:
    """An epoch of `fit` on a data set, as a user trains."""
    import keras
    import numpy as np

    import tfgan_ema as tg

    if setting.data == "noise":
        size = gan.generator.output_shape[1:]
        images = np.random.default_rng(0).integers(0, 256, (2000, *size), dtype=np.uint8)
        source = tg.data.Source("noise", images)
    else:
        source = tg.data.load(setting.data)
    pipeline = tg.data.pipeline(source, setting.batch_size, seed=0, start=0)

    def seconds(steps: int) -> float:
        ends: list[float] = []
        clock = keras.callbacks.LambdaCallback(
            on_epoch_end=lambda *_: ends.append(time.perf_counter())
        )
        options = {"verbose": 0, "shuffle": False, "callbacks": [clock]}
        gan.fit(pipeline, epochs=2, steps_per_epoch=steps, **options)
        return ends[1] - ends[0]

    return seconds


def forward(gan: Any, rows: int) -> Seconds:
    """The generator alone on so many latents."""
    import tensorflow as tf

    latents = tf.random.normal((rows, gan.generator.inputs[0].shape[-1]))

    @tf.function(autograph=False)
    def pass_() -> Any:
        return gan.generator(latents, training=False)

    def run(steps: int) -> None:
        for _ in range(steps):
            pass_()

    return clocked(run)


def snapshot_seconds(gan: Any, count: int = 7) -> float:
    """The median time in which a snapshot of a GAN's averages is on disk."""
    import tempfile

    from tfgan_ema import posthoc

    with tempfile.TemporaryDirectory() as folder:
        snapshots = posthoc.Snapshots(folder, every=1)
        snapshots.set_model(gan)
        runs = [clocked(snapshots.act)(1) for _ in range(count)]
    return statistics.median(runs)


def alone(move: Callable[[Any], None]) -> Seconds:
    """Seconds of ``move(step)`` apart from any step of training."""
    import tensorflow as tf

    step = tf.Variable(0)

    @tf.function(autograph=False)
    def moves(count: tf.Tensor) -> None:
        def body(done: tf.Tensor) -> tf.Tensor:
            move(step.assign_add(1))
            return done + 1

        tf.while_loop(lambda done: done < count, body, [tf.constant(0)], parallel_iterations=1)

    return clocked(lambda steps: moves(tf.constant(steps)))


def rounds(contenders: Mapping[str, Seconds], steps: int, count: int) -> dict[str, list[float]]:
    """Seconds a step of each contender in each round, after one that compiles."""
    for seconds in contenders.values():
        seconds(steps)
    measured: dict[str, list[float]] = {name: [] for name in contenders}
    for index in range(count):
        for name in list(contenders)[:: -1 if index % 2 else 1]:
            measured[name].append(contenders[name](steps) / steps)
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


def added_to_the_step(name: str, setting: Setting, count: int) -> None:
    """What averages, lookahead and the leak add to the bare loop."""
    import tfgan_ema as tg

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
    contenders = {what: in_graph(gan, setting) for what, gan in variants.items()}
    half = forward(variants["plain"], setting.batch_size // 2)
    contenders["(generator alone, half a batch)"] = half
    print(f"\n{name}, batch {setting.batch_size}: what is added to the step", flush=True)
    measured = rounds(contenders, setting.steps, count)
    report(measured, "plain")
    plain = statistics.median(measured["plain"])
    moves = {
        what: alone(functools.partial(average.move, batch_size=setting.batch_size))
        for what, gan in list(variants.items())[1:3]
        for average in gan.averages
    }
    gan = variants["lookahead"]
    moves["lookahead"] = alone(
        lambda step: gan.lookahead.move(gan.engine, step, gan.players.trained)
    )
    print("  the same alone, without a step", flush=True)
    for what, times in rounds(moves, MOVES, count).items():
        each = sorted(time / plain for time in times)
        print(
            f"  {what:<34} {1e3 * statistics.median(times):9.3f} ms, "
            f"{statistics.median(each):.2%} ({each[0]:.2%} .. {each[-1]:.2%}) of the plain step",
            flush=True,
        )
    seconds = snapshot_seconds(make(setting, [tg.PowerEMA(0.05), tg.PowerEMA(0.1)]))
    share = seconds / (1000 * plain)
    print(f"  a snapshot of two averages {1e3 * seconds:.0f} ms: {share:.2%} of 1,000 steps")


def added_by_fit(name: str, setting: Setting, count: int) -> None:
    """What `fit` adds to the bare loop at a quarter of the batch."""
    setting = setting._replace(batch_size=setting.batch_size // 4)
    steps = max(EXECUTION, setting.steps)
    print(f"\n{name}, batch {setting.batch_size}: {steps} steps of fit and loop", flush=True)
    loops = {"bare loop": in_graph(make(setting), setting)}
    for each in (1, EXECUTION):
        gan = make(setting, execution=each)
        loops[f"fit, steps_per_execution {each}"] = through_fit(gan, setting)
    report(rounds(loops, steps, count), "bare loop")


PARTS = {"step": added_to_the_step, "fit": added_by_fit}


def _run(values: flags.FlagValues, _: list[str]) -> None:
    for what, given, known in (
        ("network", values.only, SETTINGS),
        ("part", values.parts, PARTS),
    ):
        for name in given:
            if name not in known:
                raise unknown(what, name, known)
    for name in values.only:
        for part in values.parts:
            PARTS[part](name, SETTINGS[name], values.rounds)


def main(argv: Sequence[str]) -> int:
    """Runs the command; returns its exit code."""
    return command.run(_run, FLAGS, __doc__, argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
