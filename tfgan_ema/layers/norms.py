"""Normalisations of generators."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tfgan_ema import engines
from tfgan_ema.layers.base import Layer
from tfgan_ema.layers.spectral import SNDense


@keras.saving.register_keras_serializable(package="tfgan_ema")
class BatchNorm(keras.layers.BatchNormalization):
    """Keras's layer, to rounding; faster where the backend has a kernel for training on images."""

    def call(self, inputs, training=None, mask=None):
        """Returns the normalised inputs; in training, moves the statistics."""
        images = len(inputs.shape) == 4 and self.axis in (-1, 3) and mask is None
        single = "float64" not in (self.variable_dtype, self.compute_dtype)
        normalised = None
        if training and self.trainable and images and single and not self.renorm:
            normalised = engines.kernels().batch_norm(
                ops.cast(inputs, "float32"),
                self.gamma if self.scale else ops.ones(self.moving_mean.shape),
                self.beta if self.center else ops.zeros(self.moving_mean.shape),
                self.epsilon,
            )
        if normalised is None:
            return super().call(inputs, training=training, mask=mask)
        outputs, mean, variance = normalised
        for statistic, value in ((self.moving_mean, mean), (self.moving_variance, variance)):
            statistic.assign(statistic * self.momentum + value * (1 - self.momentum))
        return ops.cast(outputs, self.compute_dtype)


def batch_norm(**kwargs: Any) -> BatchNorm:
    """Batch normalisation over the global batch, momentum 0.9 and epsilon 1e-5 by default."""
    return BatchNorm(**{"momentum": 0.9, "epsilon": 1e-5, **engines.kernels().BATCH_NORM, **kwargs})


@keras.saving.register_keras_serializable(package="tfgan_ema")
class ConditionalBatchNorm(Layer):
    """Batch normalisation with a gain and a bias per class (Dumoulin et al., arXiv 1610.07629).

    Inputs ``[x, label]``: float [n, h, w, c] and int [n]; output [n, h, w, c].

    Args:
        num_classes: labels lie in [0, num_classes).
        stddev: gains start at N(1, stddev), biases at N(0, stddev).
    """

    arguments = ("num_classes", "stddev")

    def __init__(self, num_classes: int, stddev: float = 0.0, **kwargs: Any):
        super().__init__(**kwargs)
        self.num_classes = num_classes
        self.stddev = stddev
        self.norm = batch_norm(
            center=False, scale=False, dtype=self.dtype_policy, name="statistics"
        )

    def build(self, input_shape):
        shape, _ = input_shape
        self.norm.build(shape)
        table = (self.num_classes, shape[-1])
        around = keras.initializers.RandomNormal
        self.gain = self.add_weight(name="gain", shape=table, initializer=around(1.0, self.stddev))
        self.bias = self.add_weight(name="bias", shape=table, initializer=around(0.0, self.stddev))

    def call(self, inputs, training=None):
        """Returns ``gain[label] * normalised(x) + bias[label]``."""
        x, label = inputs
        gain, bias = (ops.take(w, label, axis=0)[:, None, None, :] for w in (self.gain, self.bias))
        return gain * self.norm(x, training=training) + bias

    def compute_output_shape(self, input_shape):
        return input_shape[0]


@keras.saving.register_keras_serializable(package="tfgan_ema")
class ProjectedBatchNorm(Layer):
    """Batch normalisation whose gain and bias are linear in a vector (BigGAN, arXiv 1809.11096).

    Inputs ``[x, y]``: float [n, h, w, c] and [n, d]; output ``(1 + A y) * normalised(x) + B y``
    with spectrally normalised A and B without bias.

    Args:
        kernel_initializer: of A and B.
        epsilon: of the spectral norms.
    """

    arguments = ("kernel_initializer", "epsilon")

    def __init__(
        self, kernel_initializer: Any = "orthogonal", epsilon: float = 1e-6, **kwargs: Any
    ):
        super().__init__(**kwargs)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.epsilon = epsilon
        self.norm = batch_norm(
            center=False, scale=False, dtype=self.dtype_policy, name="statistics"
        )

    def build(self, input_shape):
        shape, vector = input_shape
        self.norm.build(shape)
        initializer = keras.initializers.serialize(self.kernel_initializer)
        self.gain, self.bias = (
            SNDense(
                shape[-1],
                use_bias=False,
                kernel_initializer=keras.initializers.get(initializer),
                epsilon=self.epsilon,
                dtype=self.dtype_policy,
                name=name,
            )
            for name in ("gain", "bias")
        )
        self.gain.build(vector)
        self.bias.build(vector)

    def call(self, inputs, training=None):
        """Returns the modulated, normalised x."""
        x, y = inputs
        gain = 1 + self.gain(y)[:, None, None, :]
        return gain * self.norm(x, training=training) + self.bias(y)[:, None, None, :]

    def compute_output_shape(self, input_shape):
        return input_shape[0]
