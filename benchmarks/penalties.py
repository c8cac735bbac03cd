"""R1 and R2 in one pass beside the two penalties apart, and forms of grouped convolutions.

    python -m benchmarks.penalties [--batch_size=16] [--rounds=7]

An update is what the discriminator's step differentiates: loss and penalties of a batch of images
and one of fakes, with the gradient of the weights. A convolution is timed with what a penalty asks
of it: the gradient of the squared norm of its input's gradient. All its forms compute the same.
Rounds alternate as in `benchmarks.overhead`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from absl import flags

from benchmarks import overhead
from tfgan_ema import command

FLAGS = command.new_flags()
flags.DEFINE_integer("batch_size", 16, "Images of an update.", flag_values=FLAGS)
flags.DEFINE_integer("rounds", 7, "Timings of each contender.", lower_bound=1, flag_values=FLAGS)

WIDTHS = {"sngan_32": 1, "r3gan_32": 1 / 16}
CHANNELS, GROUP, SIDE = 96, 16, 16  # r3gan_32 at that width, on its second largest grid
STEPS = 2  # of a timing


def update(network: str, rows: int, penalties: Sequence[Any]) -> Callable[[int], None]:
    """``run(steps)`` of the discriminator's update of a network of the zoo."""
    import tensorflow as tf

    import tfgan_ema as tg
    import zoo
    from tfgan_ema.adapt import Batch

    pair = zoo.build(network, width=WIDTHS[network])
    latent = pair[0].inputs[0].shape[-1]
    gan = tg.GAN(*pair, latent=latent, loss="relativistic", penalties=penalties)
    gan.compile()
    real, fake = (Batch(tf.random.uniform((rows, 32, 32, 3), -1, 1)) for _ in range(2))
    weights = gan.discriminator.trainable_variables

    @tf.function(autograph=False)
    def gradients() -> Any:
        def objective() -> Any:
            return gan.discriminator_objective(real, fake, gan.draws("d0/"))

        return gan.engine.gradients([objective], weights)[0]

    return _repeated(gradients)


def convolutions(rows: int) -> dict[str, Callable[[int], None]]:
    """``run(steps)`` of each form of a grouped convolution."""
    import keras
    import numpy as np
    import tensorflow as tf

    from tfgan_ema import engines

    groups = CHANNELS // GROUP
    own = np.kron(np.eye(groups), np.ones((GROUP, GROUP))).astype("float32")

    def full(x: Any, kernel: Any) -> Any:
        return tf.nn.conv2d(x, tf.tile(kernel, (1, 1, groups, 1)) * own, 1, "SAME")

    def apart(x: Any, kernel: Any) -> Any:
        parts = (tf.split(each, groups, axis=-1) for each in (x, kernel))
        pairs = zip(*parts, strict=True)
        return tf.concat([tf.nn.conv2d(*pair, 1, "SAME") for pair in pairs], axis=-1)

    forms = {
        "layers.GroupedConv2D": engines.kernels().grouped_convolution,
        "Keras": lambda x, kernel: keras.ops.conv(x, kernel, padding="same"),
        "full kernel with zeros": full,
        "a convolution for each group": apart,
    }
    x = tf.random.normal((rows, SIDE, SIDE, CHANNELS))
    kernel = tf.random.normal((3, 3, GROUP, CHANNELS))

    def penalised(form: Callable) -> Callable[[], Any]:
        @tf.function(autograph=False)
        def gradient() -> Any:
            with tf.GradientTape() as outer:
                outer.watch(kernel)
                with tf.GradientTape() as inner:
                    inner.watch(x)
                    y = tf.reduce_sum(tf.nn.leaky_relu(form(x, kernel)))
                loss = tf.reduce_sum(inner.gradient(y, x) ** 2)
            return outer.gradient(loss, kernel)

        return gradient

    made = {name: penalised(form) for name, form in forms.items()}
    results = [gradient().numpy() for gradient in made.values()]
    for result in results:
        np.testing.assert_allclose(result, results[0], rtol=1e-3, atol=1e-2)
    return {name: _repeated(gradient) for name, gradient in made.items()}


def _repeated(function: Callable[[], Any]) -> Callable[[int], None]:
    def run(steps: int) -> None:
        for _ in range(steps):
            function()

    return run


def _compare(title: str, runs: Mapping[str, Callable[[int], None]], count: int) -> None:
    print(title, flush=True)
    contenders = {name: overhead.clocked(run) for name, run in runs.items()}
    overhead.report(overhead.rounds(contenders, STEPS, count), next(iter(runs)))


def _run(values: flags.FlagValues, _: list[str]) -> None:
    from tfgan_ema.penalties import R1, R1R2, R2

    rows = values.batch_size
    for network, width in WIDTHS.items():
        runs = {
            "R1 and R2 apart": update(network, rows, [R1(1.0), R2(1.0)]),
            "R1R2": update(network, rows, [R1R2(1.0)]),
            "no penalty": update(network, rows, []),
        }
        _compare(f"{network} at {width:g} of its width, {rows} images", runs, values.rounds)
    title = f"{CHANNELS} channels in groups of {GROUP}, {rows} x {SIDE} x {SIDE}"
    _compare(title, convolutions(rows), values.rounds)


def main(argv: Sequence[str]) -> int:
    """Runs the command; returns its exit code."""
    return command.run(_run, FLAGS, __doc__, argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
