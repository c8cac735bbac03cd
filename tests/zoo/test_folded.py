"""Whole networks beside themselves with upsampling and pooling as layers of their own."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import zoo
from tfgan_ema.layers import resampling


def unfolded(x, kernel, resample):
    """What `resampling.conv` computes, in the order in which the papers say it."""
    if resample == "up":
        x = keras.layers.UpSampling2D(2)(x)
    x = keras.ops.conv(x, kernel, padding="same", data_format="channels_last")
    return keras.layers.AveragePooling2D(2)(x) if resample == "down" else x


def logits_and_gradients(generator, discriminator):
    latents = np.random.default_rng(0).normal(size=(4, generator.inputs[0].shape[-1]))
    with tf.GradientTape() as tape:
        images = generator(latents.astype("float32"), training=True)
        logits = discriminator(images, training=False)
        loss = tf.reduce_sum(tf.nn.softplus(-logits))
    weights = generator.trainable_variables + discriminator.trainable_variables
    gradients = tape.gradient(loss, [weight.value for weight in weights])
    return images.numpy(), logits.numpy(), [gradient.numpy() for gradient in gradients]


@pytest.mark.parametrize(("name", "width"), [("sngan_32", 1.0), ("sngan_128", 0.125)])
def test_an_sngan_is_the_same_function(name, width, monkeypatch):
    # In float32 rounding pushes units over the kinks of their ReLUs, which gradients feel.
    keras.config.set_dtype_policy("float64")
    players = zoo.build(name, width=width)
    images, logits, gradients = logits_and_gradients(*players)
    calls = []

    def counted(*words):
        calls.append(words[-1])
        return unfolded(*words)

    monkeypatch.setattr(resampling, "conv", counted)
    expected_images, expected_logits, expected_gradients = logits_and_gradients(*players)
    assert {"up", "down"} <= set(calls)
    np.testing.assert_allclose(images, expected_images, atol=1e-6)  # float32 at the end
    np.testing.assert_allclose(logits, expected_logits, rtol=1e-6)
    # All weights as one vector: biases in front of batch normalisation have rounding alone.
    found, expected = (
        np.concatenate([x.ravel() for x in g]) for g in (gradients, expected_gradients)
    )
    assert np.linalg.norm(found - expected) < 1e-9 * np.linalg.norm(expected)
