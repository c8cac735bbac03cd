"""Normalisations of generators."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tfgan_ema import engines
from tfgan_ema.engines import Tensor
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
                inputs if self.compute_dtype == "bfloat16" else ops.cast(inputs, "float32"),
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


class _ModulatedBatchNorm(Layer):
    """Batch normalisation, then a gain and a bias for each row and channel.

    A subclass gives both for the second input, as [n, c], from ``self.gain`` and ``self.bias``.
    """

    def build(self, input_shape):
        self.norm = batch_norm(
            center=False, scale=False, dtype=self.dtype_policy, name="statistics"
        )
        self.norm.build(input_shape[0])

    def modulation(self, condition: Tensor) -> tuple[Tensor, Tensor]:
        """The gain and the bias of each row."""
        raise NotImplementedError

    def call(self, inputs, training=None):
        """Returns ``gain * normalised(x) + bias``."""
        x, condition = inputs
        gain, bias = (values[:, None, None, :] for values in self.modulation(condition))
        return gain * self.norm(x, training=training) + bias

    def compute_output_shape(self, input_shape):
        return input_shape[0]


class ConditionalBatchNorm(_ModulatedBatchNorm):
    """Batch normalisation with a gain and a bias per class (Dumoulin et al., arXiv 1610.07629).

    Inputs ``[x, label]``: float [n, h, w, c] and int [n]; output
    ``gain[label] * normalised(x) + bias[label]``.

    Args:
        num_classes: labels lie in [0, num_classes).
        stddev: gains start at N(1, stddev), biases at N(0, stddev).
    """

    num_classes: int
    stddev: float = 0.0

    def build(self, input_shape):
        super().build(input_shape)
        table, around = (self.num_classes, input_shape[0][-1]), keras.initializers.RandomNormal
        self.gain = self.add_weight(table, around(1.0, self.stddev), name="gain")
        self.bias = self.add_weight(table, around(0.0, self.stddev), name="bias")

    def modulation(self, condition: Tensor) -> tuple[Tensor, Tensor]:
        return ops.take(self.gain, condition, axis=0), ops.take(self.bias, condition, axis=0)


class ProjectedBatchNorm(_ModulatedBatchNorm):
    """Batch normalisation whose gain and bias are linear in a vector (BigGAN, arXiv 1809.11096).

    Inputs ``[x, y]``: float [n, h, w, c] and [n, d]; output ``(1 + A y) * normalised(x) + B y``
    with spectrally normalised A and B without bias.

    Args:
        kernel_initializer: of A and B.
        epsilon: of the spectral norms.
    """

    kernel_initializer: Any = "orthogonal"
    epsilon: float = 1e-6

    def build(self, input_shape):
        super().build(input_shape)
        options = {
            "use_bias": False, "epsilon": self.epsilon, "dtype": self.dtype_policy,
            # Serialised, so that each of the two draws a seed of its own.
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }  # fmt: skip
        self.gain = SNDense(input_shape[0][-1], name="gain", **options)
        self.bias = SNDense(input_shape[0][-1], name="bias", **options)
        self.gain.build(input_shape[1])
        self.bias.build(input_shape[1])

    def modulation(self, condition: Tensor) -> tuple[Tensor, Tensor]:
        return 1 + self.gain(condition), self.bias(condition)
