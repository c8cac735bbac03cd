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

from tfgan_ema.layers import resampling

_INITIAL_ITERATIONS = 10


def _unit(x: Any, epsilon: float) -> Any:
    return x / ops.maximum(ops.norm(x), epsilon)


class _SpectralLayer(keras.layers.Layer):
    """A kernel, its u and v, and an optional bias. Everything about sigma stays in float32."""

    def __init__(self, *, kernel_initializer, bias_initializer, use_bias, epsilon, **kwargs):
        super().__init__(**kwargs)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.use_bias = use_bias
        self.epsilon = epsilon

    def _build(self, kernel_shape: tuple[int, ...], outputs: int) -> None:
        self.kernel = self.add_weight(
            name="kernel",
            shape=kernel_shape,
            initializer=self.kernel_initializer,
            dtype="float32",
            autocast=False,
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias", shape=(outputs,), initializer=self.bias_initializer
            )
        rows, columns = self.matrix().shape
        vector = {"dtype": "float32", "autocast": False, "trainable": False}
        self.u = self.add_weight(name="u", shape=(rows,), initializer=self._initial_u, **vector)
        self.v = self.add_weight(name="v", shape=(columns,), initializer=self._initial_v, **vector)

    def _initial_u(self, shape, dtype=None):
        # A start far from the leading direction gives a tiny sigma, hence huge first logits.
        u = keras.random.normal(shape, dtype="float32")
        for _ in range(_INITIAL_ITERATIONS):
            u, _ = self._iterate(u)
        return u

    def _initial_v(self, shape, dtype=None):
        return _unit(ops.matmul(ops.convert_to_tensor(self.u), self.matrix()), self.epsilon)

    def _iterate(self, u):
        matrix = self.matrix()
        v = _unit(ops.matmul(u, matrix), self.epsilon)
        return _unit(ops.matmul(matrix, v), self.epsilon), v

    def matrix(self) -> Any:
        """The kernel as a matrix [outputs, everything else], as in the paper."""
        kernel = ops.convert_to_tensor(self.kernel)
        return ops.transpose(ops.reshape(kernel, (-1, kernel.shape[-1])))

    def sigma(self) -> Any:
        """The estimate of the largest singular value, a float32 scalar."""
        u, v = ops.stop_gradient(self.u), ops.stop_gradient(self.v)
        return ops.sum(u * ops.matmul(self.matrix(), v))

    def normalized_kernel(self) -> Any:
        """``W / sigma`` in the compute dtype, in the kernel's own shape."""
        return ops.cast(ops.convert_to_tensor(self.kernel) / self.sigma(), self.compute_dtype)

    def power_iteration(self) -> None:
        """Moves u and v by one power iteration; nothing else changes."""
        u, v = self._iterate(ops.stop_gradient(self.u))
        self.u.assign(ops.stop_gradient(u))
        self.v.assign(ops.stop_gradient(v))

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
            "use_bias": self.use_bias,
            "epsilon": self.epsilon,
        }


@keras.saving.register_keras_serializable(package="tfgan_ema")
class SNDense(_SpectralLayer):
    """A dense layer with a spectrally normalised kernel: [n, ..., d] -> [n, ..., units].

    Args:
        units: the size of the output.
        use_bias: whether a bias (not normalised) is added.
        kernel_initializer: Keras initializer of the kernel [d, units].
        bias_initializer: Keras initializer of the bias.
        epsilon: the least norm that u and v are divided by (1e-12; BigGAN 1e-6).
    """

    def __init__(
        self,
        units: int,
        *,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        epsilon: float = 1e-12,
        **kwargs: Any,
    ):
        super().__init__(
            kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer,
            use_bias=use_bias,
            epsilon=epsilon,
            **kwargs,
        )
        self.units = units

    def build(self, input_shape):
        """Creates the weights."""
        self._build((input_shape[-1], self.units), self.units)

    def call(self, inputs):
        """Returns ``inputs @ (W / sigma) + bias``."""
        outputs = ops.matmul(inputs, self.normalized_kernel())
        return outputs if self.bias is None else outputs + self.bias

    def compute_output_shape(self, input_shape):
        """[..., d] -> [..., units]."""
        return (*input_shape[:-1], self.units)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "units": self.units}


@keras.saving.register_keras_serializable(package="tfgan_ema")
class SNConv2D(_SpectralLayer):
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
        use_bias, kernel_initializer, bias_initializer, epsilon: as in `SNDense`.

    Raises:
        UsageError: a ``resample`` that does not fit kernel, strides and padding.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int,
        *,
        strides: int = 1,
        padding: str = "same",
        resample: str | None = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        epsilon: float = 1e-12,
        **kwargs: Any,
    ):
        resampling.check(resample, kernel_size, strides, padding)
        super().__init__(
            kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer,
            use_bias=use_bias,
            epsilon=epsilon,
            **kwargs,
        )
        self.filters = filters
        self.kernel_size = kernel_size
        self.strides = strides
        self.padding = padding
        self.resample = resample

    def build(self, input_shape):
        """Creates the weights."""
        size = self.kernel_size
        self._build((size, size, input_shape[-1], self.filters), self.filters)

    def call(self, inputs):
        """Returns the convolution with ``W / sigma``, plus the bias."""
        if self.resample:
            outputs = resampling.conv(inputs, self.normalized_kernel(), self.resample)
        else:
            outputs = ops.conv(
                inputs,
                self.normalized_kernel(),
                strides=self.strides,
                padding=self.padding,
                data_format="channels_last",
            )
        return outputs if self.bias is None else outputs + self.bias

    def compute_output_shape(self, input_shape):
        """[n, h, w, c] -> [n, h', w', filters]."""
        if self.resample:
            return resampling.output_shape(input_shape, self.filters, self.resample)
        lost = 0 if self.padding == "same" else self.kernel_size - 1
        sides = [
            None if side is None else -(-(side - lost) // self.strides) for side in input_shape[1:3]
        ]
        return (input_shape[0], *sides, self.filters)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "padding": self.padding,
            "resample": self.resample,
        }


@keras.saving.register_keras_serializable(package="tfgan_ema")
class SNEmbedding(_SpectralLayer):
    """A spectrally normalised table of vectors: int [n] -> [n, dim].

    Args:
        num_classes: rows of the table; labels lie in [0, num_classes).
        dim: length of a vector.
        kernel_initializer, epsilon: as in `SNDense`.
    """

    def __init__(
        self,
        num_classes: int,
        dim: int,
        *,
        kernel_initializer: Any = "glorot_uniform",
        epsilon: float = 1e-12,
        **kwargs: Any,
    ):
        super().__init__(
            kernel_initializer=kernel_initializer,
            bias_initializer="zeros",
            use_bias=False,
            epsilon=epsilon,
            **kwargs,
        )
        self.num_classes = num_classes
        self.dim = dim

    def build(self, input_shape):
        """Creates the weights."""
        self._build((self.num_classes, self.dim), self.dim)

    def matrix(self) -> Any:
        """The table itself: one row per class, as the reference implementations have it."""
        return ops.convert_to_tensor(self.kernel)

    def call(self, labels):
        """Returns the rows of ``W / sigma`` that the labels name."""
        return ops.take(self.normalized_kernel(), labels, axis=0)

    def compute_output_shape(self, input_shape):
        """[n] -> [n, dim]."""
        return (*input_shape, self.dim)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        config = {**super().get_config(), "num_classes": self.num_classes, "dim": self.dim}
        return {k: v for k, v in config.items() if k not in ("use_bias", "bias_initializer")}


def spectral_layers(model: keras.Model) -> list[keras.layers.Layer]:
    """Every spectrally normalised layer of a model, those of nested models included."""
    return [layer for layer in model._flatten_layers() if isinstance(layer, _SpectralLayer)]


def power_iterate(model: keras.Model) -> None:
    """One power iteration in every spectrally normalised layer of ``model``.

    Call it once per update of the network that owns the layers, outside its forward pass. A model
    without such layers is left alone.
    """
    for layer in spectral_layers(model):
        layer.power_iteration()
