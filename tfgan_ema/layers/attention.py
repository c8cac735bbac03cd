"""Self-attention over positions (arXiv 1805.08318), as in the code of SAGAN and BigGAN."""

from __future__ import annotations

from collections.abc import Callable

import keras
from keras import ops

from tfgan_ema.engines import Tensor
from tfgan_ema.layers.base import Layer


class ZeroGain(Layer):
    """Multiplies by one trainable number that starts at 0: a branch that fades in."""

    def build(self, input_shape):
        self.gain = self.add_weight(name="gain", shape=(), initializer="zeros")

    def call(self, inputs):
        return self.gain * inputs


def self_attention(x: Tensor, conv: Callable[[int], keras.layers.Layer]) -> Tensor:
    """``x + gain * attention(x)``, [n, h, w, c] -> [n, h, w, c]; the gain starts at 0.

    Queries have c/8 channels on the whole grid; keys (c/8) and values (c/2) are 2x2 max-pooled. The
    softmax runs in float32.

    Args:
        x: [n, h, w, c] with even h and w.
        conv: ``conv(filters, name=...)`` makes a bias-free 1x1 convolution.
    """
    _, height, width, channels = x.shape
    narrow, half = max(1, channels // 8), max(1, channels // 2)

    def flat(t):
        return ops.reshape(t, (-1, t.shape[1] * t.shape[2], t.shape[3]))

    queries = flat(conv(narrow, name="attention_queries")(x))
    keys = flat(keras.layers.MaxPooling2D(2)(conv(narrow, name="attention_keys")(x)))
    values = flat(keras.layers.MaxPooling2D(2)(conv(half, name="attention_values")(x)))
    scores = ops.matmul(queries, ops.transpose(keys, (0, 2, 1)))
    weights = ops.cast(ops.softmax(ops.cast(scores, "float32")), x.dtype)
    read = ops.reshape(ops.matmul(weights, values), (-1, height, width, half))
    return x + ZeroGain(name="attention_gain")(conv(channels, name="attention_out")(read))
