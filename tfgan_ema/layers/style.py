"""Layers of StyleGAN2 (arXiv 1912.04958): equalised weights, modulation, filtered resampling.

Modulation scales the activations before and after one shared convolution instead of giving every
sample its own kernel, so there are no grouped convolutions and the layers run on CPU, GPU and TPU.
Weights are stored at unit variance and scaled when used. Resampling filters with [1, 3, 3, 1] as
the official implementations do. Arithmetic on kernels and styles is float32 under mixed
precision.
"""

from __future__ import annotations

import math

import keras
import numpy as np
from keras import ops

from tfgan_ema import engines
from tfgan_ema.engines import Tensor
from tfgan_ema.errors import UsageError
from tfgan_ema.layers.base import Layer
from tfgan_ema.layers.resampling import output_shape

_TAPS = np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 64


def normalize_second_moment(x: Tensor) -> Tensor:
    """``x / sqrt(mean(x^2))`` over the last axis (the input normalisation of the mapping)."""
    return x * ops.rsqrt(ops.mean(ops.square(x), axis=-1, keepdims=True) + 1e-8)


def blur(x: Tensor, before: int, after: int, *, stride: int = 1, gain: float = 1.0) -> Tensor:
    """The [1, 3, 3, 1] filter on [n, h, w, c], zero-padded by ``before`` and ``after``."""
    channels = x.shape[-1]
    x = ops.pad(x, [[0, 0], [before, after], [before, after], [0, 0]])
    # An array: exports would take a tensor that is made while a model is built for an input.
    taps = (_TAPS * gain).astype(keras.backend.standardize_dtype(x.dtype))
    kernel = np.broadcast_to(taps[:, :, None, None], (4, 4, channels, 1))
    return ops.depthwise_conv(x, kernel, stride, "valid", "channels_last")


def upsample(x: Tensor) -> Tensor:
    """[n, h, w, c] -> [n, 2h, 2w, c]: zeros in between, then the filter."""
    _, height, width, channels = x.shape
    # Behind each pixel, then behind each row; one padding of both needs rank 6, LiteRT's ends at 5.
    x = ops.pad(x, [[0, 0], [0, 0], [0, 0], [0, channels]])
    x = ops.reshape(x, (-1, height, 2 * width * channels))
    x = ops.pad(x, [[0, 0], [0, 0], [0, 2 * width * channels]])
    return blur(ops.reshape(x, (-1, 2 * height, 2 * width, channels)), 2, 1, gain=4.0)


def downsample(x: Tensor) -> Tensor:
    """[n, h, w, c] -> [n, h/2, w/2, c]: the filter, then every other pixel."""
    return blur(x, 1, 1, stride=2)


def _activate(x: Tensor, activation: str) -> Tensor:
    """``"linear"``, or ``"lrelu"``: LeakyReLU(0.2) times sqrt 2, which keeps the variance."""
    return x if activation == "linear" else ops.leaky_relu(x, 0.2) * math.sqrt(2.0)


def _normal(stddev: float = 1.0) -> keras.initializers.Initializer:
    return keras.initializers.RandomNormal(0.0, stddev)


class EqualDense(Layer):
    """A dense layer with an equalised learning rate (Karras et al. 2018): [n, d] -> [n, units].

    The kernel starts at N(0, 1) / lr_multiplier and is used as ``kernel * lr_multiplier /
    sqrt(d)``; the bias as ``bias * lr_multiplier``.

    Args:
        units: size of the output.
        activation: ``"linear"`` or ``"lrelu"``.
        lr_multiplier: how much slower the weights move.
        bias_start: where the bias starts.
    """

    units: int
    activation: str = "linear"
    lr_multiplier: float = 1.0
    bias_start: float = 0.0

    def build(self, input_shape):
        size = input_shape[-1]
        normal = _normal(1 / self.lr_multiplier)
        constant = keras.initializers.Constant(self.bias_start)
        self.kernel = self.add_float32("kernel", (size, self.units), normal)
        self.bias = self.add_float32("bias", (self.units,), constant)
        self._gain = self.lr_multiplier / math.sqrt(size)

    def call(self, inputs):
        kernel = ops.cast(self.kernel * self._gain, self.compute_dtype)
        bias = ops.cast(self.bias * self.lr_multiplier, self.compute_dtype)
        return _activate(ops.matmul(inputs, kernel) + bias, self.activation)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.units)


class EqualConv2D(Layer):
    """A convolution with an equalised learning rate: [n, h, w, c] -> [n, h', w', filters].

    Args:
        filters: channels of the output.
        kernel_size: 1 or 3; the grid is kept, or halved with ``down``.
        down: whether to filter and halve the resolution.
        activation: ``"linear"`` or ``"lrelu"``.
        use_bias: whether there is a bias.
        gain: multiplies the output.
    """

    filters: int
    kernel_size: int = 3
    down: bool = False
    activation: str = "lrelu"
    use_bias: bool = True
    gain: float = 1.0

    def build(self, input_shape):
        size, channels = self.kernel_size, input_shape[-1]
        self.kernel = self.add_float32("kernel", (size, size, channels, self.filters), _normal())
        self.bias = self.add_float32("bias", (self.filters,), "zeros") if self.use_bias else None
        self._scale = 1 / math.sqrt(size * size * channels)

    def call(self, inputs):
        kernel = ops.cast(self.kernel * self._scale, self.compute_dtype)
        x, stride, padding = inputs, 1, "same"
        if self.down and self.kernel_size == 1:
            x = downsample(x)
        elif self.down:
            x, stride, padding = blur(x, 2, 2), 2, "valid"
        x = ops.conv(x, kernel, stride, padding, "channels_last")
        if self.bias is not None:
            x = x + ops.cast(self.bias, self.compute_dtype)
        x = _activate(x, self.activation)
        return x if self.gain == 1 else x * self.gain

    def compute_output_shape(self, input_shape):
        return output_shape(input_shape, self.filters, "down" if self.down else None)


class ModulatedConv2D(Layer):
    """A convolution whose input channels are scaled by a style (equations 1 to 3 of the paper).

    Inputs ``[x, w]``: [n, h, w, c] and [n, d]; output [n, h', w', filters]. With kernel k and style
    s(w): ``conv(x * s, k) / sqrt(sum (s k)^2)``, the same as a kernel of its own for every sample.

    Args:
        filters: channels of the output.
        kernel_size: 1 or 3.
        up: whether to double the resolution.
        demodulate: whether to divide by the norm of the modulated kernel; without it the kernel is
            scaled to unit fan-in instead (ToRGB).
    """

    filters: int
    kernel_size: int = 3
    up: bool = False
    demodulate: bool = True

    def build(self, input_shape):
        (*_, channels), style = input_shape
        size = self.kernel_size
        self.affine = EqualDense(channels, bias_start=1.0, dtype="float32", name="affine")
        self.affine.build(style)
        self.kernel = self.add_float32("kernel", (size, size, channels, self.filters), _normal())
        self._scale = 1 if self.demodulate else 1 / math.sqrt(size * size * channels)

    def call(self, inputs):
        x, w = inputs
        styles = self.affine(w) * self._scale
        y = self._conv(x * ops.cast(styles, self.compute_dtype)[:, None, None, :])
        if not self.demodulate:
            return y
        energy = ops.matmul(ops.square(styles), ops.sum(ops.square(self.kernel), axis=(0, 1)))
        return y * ops.cast(ops.rsqrt(energy + 1e-8), self.compute_dtype)[:, None, None, :]

    def _conv(self, x: Tensor) -> Tensor:
        kernel = ops.cast(self.kernel, self.compute_dtype)
        if not self.up:
            return ops.conv(x, kernel, padding="same", data_format="channels_last")
        kernel = ops.transpose(kernel, (0, 1, 3, 2))
        x = ops.conv_transpose(x, kernel, 2, "valid", data_format="channels_last")
        return blur(x, 1, 1, gain=4.0)

    def compute_output_shape(self, input_shape):
        return output_shape(input_shape[0], self.filters, "up" if self.up else None)


class NoiseBiasActivation(Layer):
    """``activation(x + strength * noise + bias)``; the strength is learnt and starts at 0.

    Inputs x [n, h, w, c], or ``[x, noise]`` with noise [n, h, w, 1].

    Args:
        noise: ``"const"``, one fixed image kept with the weights; ``"input"``, given with x;
            ``"none"``.
        activation: ``"linear"`` or ``"lrelu"``.
    """

    noise: str = "const"
    activation: str = "lrelu"

    def build(self, input_shape):
        _, height, width, channels = self.compute_output_shape(input_shape)
        self.bias = self.add_float32("bias", (channels,), "zeros")
        if self.noise != "none":
            self.strength = self.add_float32("strength", (), "zeros")
        if self.noise == "const":
            self.image = self.add_float32("image", (height, width), _normal(), trainable=False)

    def call(self, inputs):
        x, noise = inputs if self.noise == "input" else (inputs, None)
        if self.noise == "const":
            noise = self.image[None, :, :, None]
        if noise is not None:
            x = x + ops.cast(ops.cast(noise, "float32") * self.strength, self.compute_dtype)
        bias = ops.cast(self.bias, self.compute_dtype)
        return _activate(x + bias, self.activation)

    def compute_output_shape(self, input_shape):
        return input_shape[0] if self.noise == "input" else input_shape


class ConstantInput(Layer):
    """A learnt image for every row of the input: [n, ...] -> [n, size, size, channels]."""

    size: int
    channels: int

    def build(self, input_shape):
        self.image = self.add_float32("image", (self.size, self.size, self.channels), _normal())

    def call(self, inputs):
        image = ops.cast(self.image, self.compute_dtype)
        return ops.broadcast_to(image, (ops.shape(inputs)[0], *image.shape))


class MeanTracker(Layer):
    """Passes w [n, d] through and tracks its moving mean; truncation pulls w towards that mean.

    The mean covers all replicas and moves in training only, like the statistics of a batch
    normalisation. Outside of training the output is ``mean + psi (w - mean)``.

    Args:
        decay: of the moving mean; 0.995 in the official implementations.
        psi: truncation; 1 changes nothing, 0 gives the mean. Not applied in training.
    """

    decay: float = 0.995
    psi: float = 1.0

    def build(self, input_shape):
        self.mean = self.add_float32("mean", input_shape[-1:], "zeros", trainable=False)

    def call(self, inputs, training=None):
        if training:
            batch = ops.mean(engines.current().gather(ops.cast(inputs, "float32")), axis=0)
            self.mean.assign(batch + self.decay * (self.mean - batch))
        if training or self.psi == 1:
            return inputs
        return self.mean + self.psi * (inputs - self.mean)


class StyleMixing(Layer):
    """In training, takes the later styles of a sample from a second one (arXiv 1812.04948, 3.1).

    Inputs ``[styles, others, draws]``: [n, layers, d] twice and two standard normal numbers a row,
    [n, 2]: with probability ``probability`` the row's styles from a uniformly drawn layer on are
    replaced. Each row draws its own layer (the official code draws one for the batch).

    Args:
        probability: in [0, 1]; 0.9 in the recipe for 256 px.
    """

    probability: float = 0.9

    def call(self, inputs, training=None):
        styles, others, draws = inputs
        if not training:
            return styles
        layers = styles.shape[1]
        uniform = 0.5 * (1 + ops.erf(ops.cast(draws, "float32") / math.sqrt(2.0)))
        cut = 1 + ops.floor(uniform[:, 0] * (layers - 1))
        cut = ops.where(uniform[:, 1] < self.probability, cut, layers)
        position = ops.arange(layers, dtype="float32")
        mixed = position[None, :, None] >= cut[:, None, None]
        return ops.where(mixed, others, styles)


class MinibatchStd(Layer):
    """Adds a channel: the standard deviation within groups (arXiv 1710.10196, section 3).

    [n, h, w, c] -> [n, h, w, c + 1]. Groups are consecutive rows, so splitting a batch over
    replicas changes nothing as long as every replica's share is a multiple of the group.

    Args:
        group: rows in a group; a smaller batch is one group.

    Raises:
        UsageError: when called on a batch that is not a multiple of the group.
    """

    group: int = 4

    def call(self, inputs):
        _, height, width, channels = inputs.shape
        rows = ops.shape(inputs)[0]
        if isinstance(rows, int):
            group = min(self.group, rows)
            if rows % group:
                raise UsageError(
                    f"a batch of {rows} rows for minibatch std in groups of {group}: expected a "
                    f"multiple of {group}; change the batch size or the network's option std_group."
                )
        else:
            group = ops.minimum(self.group, rows)
        x = ops.reshape(ops.cast(inputs, "float32"), (-1, group, height, width, channels))
        x = x - ops.mean(x, axis=1, keepdims=True)
        std = ops.sqrt(ops.mean(ops.square(x), axis=1, keepdims=True) + 1e-8)
        std = ops.mean(std, axis=(2, 3, 4), keepdims=True) * ops.ones_like(x[..., :1])
        std = ops.reshape(std, (-1, height, width, 1))
        return ops.concatenate([inputs, ops.cast(std, inputs.dtype)], axis=-1)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], input_shape[-1] + 1)
