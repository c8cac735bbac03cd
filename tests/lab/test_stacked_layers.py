"""A stack of networks equals as many single ones, for what the 2-D experiments train with."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import zoo
from tfgan_ema.lab import stacked as tl
from tfgan_ema.lab.stacked.networks import stacked_mlp

SEEDS = tuple(range(8))
STEPS = 50


def softplus(x):
    return tf.nn.softplus(x)


def alpha(value):
    k = (value - 1) / value

    def real(logit):
        return -tf.math.expm1(k * tf.math.log_sigmoid(logit)) / k

    return (
        lambda r, f: real(r) + real(-f),
        lambda r, f: real(f),
    )


# (discriminator's, generator's) loss, row by row
LOSSES = {
    "non_saturating": (lambda r, f: softplus(-r) + softplus(f), lambda r, f: softplus(-f)),
    "saturating": (lambda r, f: softplus(-r) + softplus(f), lambda r, f: -softplus(f)),
    "least_squares": (lambda r, f: (r - 1) ** 2 + f**2, lambda r, f: (f - 1) ** 2),
    "wasserstein": (lambda r, f: f - r, lambda r, f: -f),
    "alpha": alpha(0.5),
    "relativistic": (lambda r, f: softplus(f - r), lambda r, f: softplus(r - f)),
}


def wgan_gp(tape_of, real, fake, mix):
    gradient = tape_of(mix * real + (1 - mix) * fake)
    return 10 * (tf.sqrt(tf.reduce_sum(gradient**2, -1, keepdims=True) + 1e-12) - 1) ** 2


def r1(tape_of, real, fake, mix):
    return 5 * tf.reduce_sum(tape_of(real) ** 2, -1, keepdims=True)


def zero_gp(tape_of, real, fake, mix):
    return tf.reduce_sum(tape_of(mix * real + (1 - mix) * fake) ** 2, -1, keepdims=True)


def none(tape_of, real, fake, mix):
    return 0.0


CASES = [
    ("non_saturating", none),
    ("saturating", none),
    ("least_squares", none),
    ("alpha", none),
    ("relativistic", none),
    ("wasserstein", wgan_gp),
    ("non_saturating", wgan_gp),
    ("non_saturating", r1),
    ("non_saturating", zero_gp),
]


def trainer(generator, discriminator, loss, penalty):
    """``run(z, real, mix)``: alternating Adam steps from zero moments, one for each leading row.

    Losses are means over rows, summed over a stack.
    """
    d_loss, g_loss = LOSSES[loss]
    optimizers = [keras.optimizers.Adam(1e-3, beta_1=0.5) for _ in range(2)]
    for optimizer, model in zip(optimizers, (discriminator, generator), strict=True):
        optimizer.build(model.trainable_weights)
    rates = [float(optimizer.learning_rate) for optimizer in optimizers]

    def mean(rows):
        return tf.reduce_sum(tf.reduce_mean(rows, axis=-2))

    def input_gradient(x):
        with tf.GradientTape() as inner:
            inner.watch(x)
            out = tf.reduce_sum(discriminator(x, training=True))
        return inner.gradient(out, x)

    @tf.function
    def steps(z, real, mix):
        for i in tf.range(len(z)):
            fake = generator(z[i], training=True)
            with tf.GradientTape() as tape:
                r, f = (discriminator(x, training=True) for x in (real[i], fake))
                value = mean(d_loss(r, f) + penalty(input_gradient, real[i], fake, mix[i]))
            move(optimizers[0], discriminator, tape, value)
            with tf.GradientTape() as tape:
                made = generator(z[i], training=True)
                r, f = (discriminator(x, training=True) for x in (real[i], made))
                value = mean(g_loss(r, f))
            move(optimizers[1], generator, tape, value)

    def move(optimizer, model, tape, value):
        weights = [weight.value for weight in model.trainable_weights]
        optimizer.apply(tape.gradient(value, weights), model.trainable_weights)

    def run(*parts):
        for optimizer, rate in zip(optimizers, rates, strict=True):
            for variable in optimizer.variables:
                variable.assign(tf.zeros_like(variable.value))
            optimizer.learning_rate = rate
        steps(*map(tf.constant, parts))

    return run


OPTIONS = {"g_hidden": (12, 12), "d_hidden": (10, 10)}


@pytest.mark.parametrize(("loss", "penalty"), CASES, ids=lambda x: getattr(x, "__name__", x))
def test_a_stack_equals_single_networks(loss, penalty, rng):
    count = len(SEEDS)
    z, real = (rng.normal(size=(STEPS, count, 16, 2)).astype("float32") for _ in range(2))
    mix = rng.uniform(size=(STEPS, count, 16, 1)).astype("float32")
    stack = stacked_mlp(SEEDS, **OPTIONS)
    start = [[tl.slice_weights(model, i) for model in stack] for i in range(count)]
    trainer(*stack, loss, penalty)(z, real, mix)
    single = zoo.build("mlp", **OPTIONS)
    run = trainer(*single, loss, penalty)
    for i in range(count):
        for model, weights in zip(single, start[i], strict=True):
            model.set_weights(weights)
        run(z[:, i], real[:, i], mix[:, i])
        moved = np.abs(single[0].get_weights()[0] - start[i][0][0]).max()
        assert moved > 5e-3
        for model, stacked in zip(single, stack, strict=True):
            pairs = zip(tl.slice_weights(stacked, i), model.get_weights(), strict=True)
            for ours, theirs in pairs:
                np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_a_seed_starts_alike_in_any_stack():
    wide, _ = stacked_mlp((3, 5, 9))
    alone, _ = stacked_mlp((5,))
    for a, b in zip(tl.slice_weights(wide, 1), tl.slice_weights(alone, 0), strict=True):
        np.testing.assert_array_equal(a, b)
    assert np.any(tl.slice_weights(wide, 0)[0] != tl.slice_weights(wide, 1)[0])


def test_initial_weights_are_uniform_within_the_fan_in():
    generator, _ = stacked_mlp(range(4))
    plain, _ = zoo.build("mlp")
    for weights in (tl.slice_weights(generator, 2), plain.get_weights()):
        kernel, bias = weights[2:4]  # the second layer: 400 -> 400
        for values, spread in ((kernel, 1e-3), (bias, 4e-3)):
            assert np.abs(values).max() <= 1 / 20
            assert abs(values.std() - 1 / 20 / 3**0.5) < spread
            assert abs(values.mean()) < 3 * spread


def test_a_stack_saves(tmp_path, rng):
    generator, _ = stacked_mlp((1, 2), g_hidden=(8,))
    z = rng.normal(size=(2, 5, 2)).astype("float32")
    generator.save(tmp_path / "g.keras")
    loaded = keras.models.load_model(tmp_path / "g.keras")
    np.testing.assert_array_equal(generator(z), loaded(z))
