"""Spectral normalisation (Miyato et al. 2018, arXiv 1802.05957) as pure layers.

A layer computes with ``W / sigma``, ``sigma = u^T W v``, where W is the kernel as a matrix with one
row per output, and u, v approximate its leading singular vectors. The forward pass changes nothing:
u and v are constants there, so the gradient of sigma with respect to W is ``u v^T`` and two calls
in one step agree. `power_iterate` moves u and v, once per discriminator update.

``keras.layers.SpectralNormalization`` is not used because it overwrites the kernel at every
training call and passes no gradient through sigma.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tfgan_ema.engines import Tensor
from tfgan_ema.layers import resampling
from tfgan_ema.layers.base import Layer, all_layers

_INITIAL_ITERATIONS = 10


def _unit(x: Tensor, epsilon: float) -> Tensor:
    return x / ops.maximum(ops.norm(x), epsilon)


class _SpectralLayer(Layer):
    """A kernel with its u and v. Everything about sigma stays in float32."""

    kernel_initializer: Any = "glorot_uniform"
    epsilon: float = 1e-12

    def _add_weights(self, kernel_shape: tuple[int, ...]) -> None:
        self.kernel = self.add_float32("kernel", kernel_shape, self.kernel_initializer)
        rows, columns = self.matrix().shape
        self.u = self.add_float32("u", (rows,), self._initial_u, trainable=False)
        self.v = self.add_float32("v", (columns,), self._initial_v, trainable=False)

    def _initial_u(self, shape, dtype=None):
        # A start far from the leading direction gives a tiny sigma, hence huge first logits.
        u = keras.random.normal(shape, dtype="float32")
        for _ in range(_INITIAL_ITERATIONS):
            u, _ = self._iterate(u)
        return u

    def _initial_v(self, shape, dtype=None):
        return _unit(ops.matmul(ops.convert_to_tensor(self.u), self.matrix()), self.epsilon)

    def _iterate(self, u: Tensor) -> tuple[Tensor, Tensor]:
        matrix = self.matrix()
        v = _unit(ops.matmul(u, matrix), self.epsilon)
        return _unit(ops.matmul(matrix, v), self.epsilon), v

    def matrix(self) -> Tensor:
        """The kernel as a matrix [outputs, everything else], as in the paper."""
        return ops.transpose(ops.reshape(self.kernel, (-1, self.kernel.shape[-1])))

    def sigma(self) -> Tensor:
        """The estimate of the largest singular value, a float32 scalar."""
        u, v = ops.stop_gradient(self.u), ops.stop_gradient(self.v)
        return ops.sum(u * ops.matmul(self.matrix(), v))

    def normalized_kernel(self) -> Tensor:
        """``W / sigma`` in the compute dtype, in the kernel's own shape."""
        return ops.cast(self.kernel / self.sigma(), self.compute_dtype)

    def power_iteration(self) -> None:
        """Moves u and v by one power iteration; nothing else changes."""
        u, v = self._iterate(ops.stop_gradient(self.u))
        self.u.assign(ops.stop_gradient(u))
        self.v.assign(ops.stop_gradient(v))


class _BiasedSpectralLayer(_SpectralLayer):
    """A kernel with its u and v, and an optional bias."""

    use_bias: bool = True
    bias_initializer: Any = "zeros"

    def _add_weights(self, kernel_shape: tuple[int, ...]) -> None:
        super()._add_weights(kernel_shape)
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(kernel_shape[-1:], self.bias_initializer, name="bias")

    def _biased(self, outputs: Tensor) -> Tensor:
        return outputs if self.bias is None else outputs + self.bias


class SNDense(_BiasedSpectralLayer):
    """A dense layer with a spectrally normalised kernel: [n, ..., d] -> [n, ..., units].

    Args:
        units: size of the output.
        use_bias: whether a bias (not normalised) is added; default ``True``.
        kernel_initializer: Keras initializer of the kernel [d, units]; default Glorot uniform.
        bias_initializer: Keras initializer of the bias; default zeros.
        epsilon: the least norm that u and v are divided by; default 1e-12, in BigGAN 1e-6.
        **kwargs: as for every Keras layer.
    """

    units: int

    def build(self, input_shape):
        self._add_weights((input_shape[-1], self.units))

    def call(self, inputs):
        return self._biased(ops.matmul(inputs, self.normalized_kernel()))

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.units)


class SNConv2D(_BiasedSpectralLayer):
    """A 2-D convolution with a spectrally normalised kernel: [n, h, w, c] -> [n, h', w', filters].

    The kernel is normalised as the matrix [filters, kh * kw * c], as in the paper (not as the
    linear operator on images).

    Args:
        filters: channels of the output.
        kernel_size: height and width of the kernel.
        strides: one stride for both directions.
        padding: ``"same"`` or ``"valid"``.
        resample: ``"up"`` for nearest-neighbour upsampling in front, ``"down"`` for 2x2 average
            pooling behind, both folded into the convolution; ``None`` for neither.
        **kwargs: as in `SNDense`.

    Raises:
        UsageError: a ``resample`` that does not fit kernel, strides and padding.
    """

    filters: int
    kernel_size: int
    strides: int = 1
    padding: str = "same"
    resample: str | None = None

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        resampling.check(self.resample, self.kernel_size, self.strides, self.padding)

    def build(self, input_shape):
        self._add_weights((self.kernel_size, self.kernel_size, input_shape[-1], self.filters))

    def call(self, inputs):
        kernel = self.normalized_kernel()
        if self.resample:
            return self._biased(resampling.conv(inputs, kernel, self.resample))
        outputs = ops.conv(inputs, kernel, self.strides, self.padding, "channels_last")
        return self._biased(outputs)

    def compute_output_shape(self, input_shape):
        if self.resample:
            return resampling.output_shape(input_shape, self.filters, self.resample)
        lost = 0 if self.padding == "same" else self.kernel_size - 1
        sides = [
            None if side is None else -(-(side - lost) // self.strides) for side in input_shape[1:3]
        ]
        return (input_shape[0], *sides, self.filters)


class SNEmbedding(_SpectralLayer):
    """A spectrally normalised table of vectors: int [n] -> [n, dim].

    Args:
        num_classes: rows of the table; labels lie in [0, num_classes).
        dim: length of a vector.
        **kwargs: ``kernel_initializer`` and ``epsilon`` as in `SNDense`, and those of every layer.
    """

    num_classes: int
    dim: int

    def build(self, input_shape):
        self._add_weights((self.num_classes, self.dim))

    def matrix(self) -> Tensor:
        """The table itself: one row per class, as the reference implementations have it."""
        return ops.convert_to_tensor(self.kernel)

    def call(self, labels):
        return ops.take(self.normalized_kernel(), labels, axis=0)

    def compute_output_shape(self, input_shape):
        return (*input_shape, self.dim)


def spectral_layers(model: keras.Model) -> list[keras.layers.Layer]:
    """Every spectrally normalised layer of a model, including those of nested models."""
    return [layer for layer in all_layers(model) if isinstance(layer, _SpectralLayer)]


def power_iterate(model: keras.Model) -> None:
    """One power iteration in every spectrally normalised layer of ``model``.

    Call it once per update of the network that owns the layers, outside its forward pass. A model
    without such layers is left alone.
    """
    for layer in spectral_layers(model):
        layer.power_iteration()
