"""What TensorFlow computes faster in one kernel than in Keras's operations."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from tfgan_ema.engines.tensorflow import replicas

Tensor = Any

# Without synchronisation, replicas silently diverge.
BATCH_NORM = {"synchronized": True}


def batch_norm(
    x: Tensor, gamma: Tensor, beta: Tensor, epsilon: float
) -> tuple[Tensor, Tensor, Tensor] | None:
    """Normalised images [n, h, w, c], mean and biased variance, where one replica has them all."""
    if replicas() > 1:
        return None
    none = tf.zeros((0,))  # no statistics from before
    outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=x, scale=gamma, offset=beta, mean=none, variance=none, epsilon=epsilon
    )
    count = tf.cast(tf.size(x) / tf.size(mean), "float32")
    return outputs, mean, variance * ((count - 1) / count)


def adam(
    variables: Sequence[Any],
    gradient: Tensor,
    *,
    rate: Tensor,
    step: Tensor,
    beta_1: float,
    beta_2: float,
    epsilon: float,
) -> bool:
    """One kernel a weight: moments and weights of large networks pass through memory once."""
    if not tf.is_tensor(gradient) or isinstance(gradient, tf.IndexedSlices):
        return False
    variable, momentum, velocity = (
        (each.value if isinstance(each, keras.Variable) else each) for each in variables
    )
    dtype = variable.dtype
    rate, step, first, second, epsilon = (
        tf.cast(number, dtype) for number in (rate, step, beta_1, beta_2, epsilon)
    )
    tf.raw_ops.ResourceApplyAdam(
        var=variable.handle,
        m=momentum.handle,
        v=velocity.handle,
        beta1_power=tf.pow(first, step),
        beta2_power=tf.pow(second, step),
        lr=rate,
        beta1=first,
        beta2=second,
        epsilon=epsilon,
        grad=tf.cast(gradient, dtype),
    )
    return True


def upsampled_convolution(x: Tensor, turned: Tensor) -> Tensor:
    """A transposed convolution of stride 2 with the turned, folded kernel [4, 4, c, d]."""
    return keras.ops.conv_transpose(
        x,
        tf.transpose(turned, (0, 1, 3, 2)),
        strides=2,
        padding="same",
        data_format="channels_last",
    )


def grouped_convolution(x: Tensor, kernel: Tensor) -> Tensor:
    """TensorFlow's own convolution; Keras has XLA compile it, whose loops are slow on a CPU."""
    if _has_gradients_of_groups(x.dtype):
        return tf.nn.conv2d(x, kernel, 1, "SAME")
    return keras.ops.conv(x, kernel, padding="same", data_format="channels_last")


@functools.cache
def _has_gradients_of_groups(dtype: tf.DType) -> bool:
    """Whether TensorFlow differentiates grouped convolutions here: on a CPU only oneDNN does."""
    with tf.init_scope(), tf.GradientTape() as tape:
        x = tf.ones((1, 1, 1, 2), dtype)
        tape.watch(x)
        y = tf.nn.conv2d(x, tf.ones((1, 1, 1, 2), dtype), 1, "SAME")
        try:
            tape.gradient(y, x)
        except tf.errors.InvalidArgumentError:
            return False
    return True
