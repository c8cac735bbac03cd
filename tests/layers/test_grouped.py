"""Grouped convolutions against one convolution for every group."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfgan_ema.engines import kernels, tensorflow_kernels
from tfgan_ema.errors import UsageError
from tfgan_ema.layers import GroupedConv2D


def group_by_group(x, kernel, groups):
    parts = zip(tf.split(x, groups, axis=3), tf.split(kernel, groups, axis=3), strict=True)
    return tf.concat([tf.nn.conv2d(part, own, 1, "SAME") for part, own in parts], axis=3)


def value_and_gradients(convolve, x, kernel):
    """The outputs, and the gradient of a squared input gradient, as a penalty takes it."""
    with tf.GradientTape() as outer:
        outer.watch(kernel)
        with tf.GradientTape() as inner:
            inner.watch(x)
            y = convolve(x, kernel)
            total = tf.reduce_sum(tf.sin(y))
        penalty = tf.reduce_sum(tf.square(inner.gradient(total, x)))
    return y, outer.gradient(penalty, kernel)


@pytest.mark.parametrize("native", [True, False])
def test_groups_are_convolutions_of_their_own(rng, native, monkeypatch):
    """With TensorFlow's kernel, and with Keras's where TensorFlow has no gradient."""
    if not native:
        monkeypatch.setattr(tensorflow_kernels, "_has_gradients_of_groups", lambda dtype: False)
    x = tf.constant(rng.normal(size=(2, 5, 4, 6)), "float32")
    kernel = tf.constant(rng.normal(size=(3, 3, 2, 6)), "float32")
    found = value_and_gradients(kernels().grouped_convolution, x, kernel)
    expected = value_and_gradients(lambda x, k: group_by_group(x, k, 3), x, kernel)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


def test_the_layer_is_kerass(rng):
    x = rng.normal(size=(2, 5, 4, 6)).astype("float32")
    ours, theirs = GroupedConv2D(3), keras.layers.Conv2D(6, 3, padding="same", groups=3)
    ours.build(x.shape), theirs.build(x.shape)
    weights = [rng.normal(size=weight.shape) for weight in theirs.weights]
    ours.set_weights(weights), theirs.set_weights(weights)
    np.testing.assert_allclose(ours(x), theirs(x), atol=1e-5)
    with pytest.raises(UsageError, match="6 channels in 4 groups"):
        GroupedConv2D(4).build(x.shape)
