"""Normalisations of generators."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tfgan_ema import engines
from tfgan_ema.layers.spectral import SNDense


@keras.saving.register_keras_serializable(package="tfgan_ema")
class BatchNorm(keras.layers.BatchNormalization):
    """Keras's layer, to rounding; faster when it trains on images under TensorFlow.

    Where one replica has the whole batch, TensorFlow's fused kernel takes the place of sums,
    squares and products over the images. Everything else is left to Keras.
    """

    def call(self, inputs, training=None, mask=None):
        """Returns the normalised inputs; in training, moves the statistics."""
        alone = keras.config.backend() == "tensorflow" and engines.current().replicas() == 1
        images = len(inputs.shape) == 4 and self.axis in (-1, 3) and mask is None
        single = "float64" not in (self.variable_dtype, self.compute_dtype)
        if not (training and self.trainable and alone and images and single) or self.renorm:
            return super().call(inputs, training=training, mask=mask)
        import tensorflow as tf

        none = tf.zeros((0,))  # no statistics from before
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=ops.cast(inputs, "float32"),
            scale=self.gamma if self.scale else tf.ones_like(self.moving_mean),
            offset=self.beta if self.center else tf.zeros_like(self.moving_mean),
            mean=none,
            variance=none,
            epsilon=self.epsilon,
        )
        count = tf.cast(tf.size(inputs) / tf.size(mean), "float32")
        variance *= (count - 1) / count  # Keras moves by the biased one
        for statistic, value in ((self.moving_mean, mean), (self.moving_variance, variance)):
            statistic.assign(statistic * self.momentum + value * (1 - self.momentum))
        return ops.cast(outputs, self.compute_dtype)


def batch_norm(**kwargs: Any) -> BatchNorm:
    """Batch normalisation over the global batch, momentum .9 and epsilon 1e-5 by default.

    ``synchronized=True`` takes the statistics over all replicas: without it replicas silently
    diverge. Under JAX a layer sees the global batch anyway, and Keras refuses the argument.
    """
    synchronized = keras.config.backend() == "tensorflow"
    return BatchNorm(**{"momentum": 0.9, "epsilon": 1e-5, "synchronized": synchronized, **kwargs})


@keras.saving.register_keras_serializable(package="tfgan_ema")
class ConditionalBatchNorm(keras.layers.Layer):
    """Batch normalisation with a gain and a bias per class (Dumoulin et al., arXiv 1610.07629).

    Inputs ``[x, label]``: float [n, h, w, c] and int [n]; output [n, h, w, c].

    Args:
        num_classes: labels lie in [0, num_classes).
        stddev: gains start at N(1, stddev), biases at N(0, stddev).
    """

    def __init__(self, num_classes: int, stddev: float = 0.0, **kwargs: Any):
        super().__init__(**kwargs)
        self.num_classes = num_classes
        self.stddev = stddev
        self.norm = batch_norm(
            center=False, scale=False, dtype=self.dtype_policy, name="statistics"
        )

    def build(self, input_shape):
        """Creates the weights."""
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
        """The shape of x."""
        return input_shape[0]

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        config = {"num_classes": self.num_classes, "stddev": self.stddev}
        return {**super().get_config(), **config}


@keras.saving.register_keras_serializable(package="tfgan_ema")
class ProjectedBatchNorm(keras.layers.Layer):
    """Batch normalisation whose gain and bias are linear in a vector (BigGAN, arXiv 1809.11096).

    Inputs ``[x, y]``: float [n, h, w, c] and [n, d]; output ``(1 + A y) * normalised(x) + B y``
    with spectrally normalised A and B without bias.

    Args:
        kernel_initializer: of A and B.
        epsilon: of the spectral norms.
    """

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
        """Creates the weights."""
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
        """The shape of x."""
        return input_shape[0]

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "epsilon": self.epsilon,
        }
