"""R3GAN's losses and gradients against the method written down plainly."""

import numpy as np
import pytest
import tensorflow as tf
import toy

import tfgan_ema as tg
from tfgan_ema.adapt import Batch

pytestmark = pytest.mark.slow
GAMMA = 0.7


def made(**options):
    return toy.gan("r3gan", loss="relativistic", penalties=[tg.penalties.R1R2(GAMMA)], **options)


def discriminator_loss(d, real, fake, labels):
    """E softplus(D(G(z)) - D(x)) + gamma/2 (E |grad D(x)|^2 + E |grad D(G(z))|^2)."""
    squares = 0.0
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([real, fake])
        on_real, on_fake = (d([x, labels] if labels is not None else x) for x in (real, fake))
    for logits, x in ((on_real, real), (on_fake, fake)):
        gradient = tape.gradient(logits, x)
        squares += tf.reduce_mean(tf.reduce_sum(gradient**2, axis=(1, 2, 3)))
    return tf.reduce_mean(tf.math.log1p(tf.exp(on_fake - on_real))) + GAMMA / 2 * squares


def generator_loss(d, real, fake, labels):
    """E softplus(D(x) - D(G(z)))."""
    on_real, on_fake = (d([x, labels] if labels is not None else x) for x in (real, fake))
    return tf.reduce_mean(tf.math.log1p(tf.exp(on_real - on_fake)))


def gradients(loss, network):
    with tf.GradientTape() as tape:
        value = loss()
    found = tape.gradient(value, [weight.value for weight in network.trainable_variables])
    return float(value), found


@pytest.mark.parametrize("classes", [None, 3])
def test_losses_and_gradients_are_the_methods(rng, classes):
    """Of plain descent with rate 1, a step is the gradient."""
    descent = {"kind": "sgd", "learning_rate": 1.0}
    compiled = {"d_optimizer": dict(descent), "g_optimizer": dict(descent)}
    gan = made(compiled=compiled, num_classes=classes)
    g, d = gan.generator, gan.discriminator
    real = tf.constant(rng.normal(0, 0.5, (6, 8, 8, 3)), "float32")
    labels = None if classes is None else tf.constant([0, 1, 2, 0, 1, 2])
    batch = Batch(real, labels)
    for player, loss, scope in (
        ("discriminator", discriminator_loss, "d0/"), ("generator", generator_loss, "g/")
    ):  # fmt: skip
        network = getattr(gan, player)
        z, drawn = gan._latents(batch, gan.draws(scope))

        def fakes(z=z, drawn=drawn):
            return g([z, drawn] if classes else z)

        if classes:  # the labels of a fake are its own
            batch = Batch(real, drawn)
        expected, slopes = gradients(
            lambda loss=loss, fakes=fakes, drawn=drawn: loss(d, real, fakes(), drawn), network
        )
        before = network.get_weights()
        if player == "discriminator":
            gan._update_discriminator(0, batch)
        else:
            gan._update_generator(batch)
        for old, new, slope in zip(
            before, network.get_weights(), map(tf.convert_to_tensor, slopes), strict=True
        ):
            scale = max(1.0, float(tf.reduce_max(tf.abs(slope))))
            np.testing.assert_allclose(old - new, slope, atol=1e-5 * scale, rtol=0)
        network.set_weights(before)
        logged = {metric.name: float(metric.result()) for metric in gan.metrics}
        found = logged[f"{player[0]}_loss"] + (player[0] == "d") * logged["r1_r2"]
        assert found == pytest.approx(expected, abs=1e-5)


def test_two_replicas_equal_one(two_replicas):
    toy.assert_close(toy.fit(made(strategy=two_replicas), 3), toy.fit(made(), 3), 1e-5)
