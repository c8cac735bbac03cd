"""Convolutions next to a change of resolution, at 4/9 of the arithmetic.

After nearest-neighbour upsampling, the three taps of a row of a 3x3 kernel read two pixels of the
small image: the taps that fall on the same pixel can be added first. With the sums of the kernel's
taps over all 2x2 windows, a 4x4 kernel F,

- upsampling, then the convolution, is the transposed convolution with F of stride 2;
- the convolution, then 2x2 average pooling, is the convolution with F/4 of stride 2.

Zero padding carries over, so both are exact at the borders, too. A 1x1 kernel commutes with either.
The kernel that is trained, normalised and saved stays the small one; F is made in every call.

F[a::2, b::2] are the 2x2 kernels of the four pixels (a, b) that a small one becomes, or is the mean
of: with them, convolutions of stride 1 do what the strided ones do, faster in some places.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from tfgan_ema import engines
from tfgan_ema.engines import Tensor
from tfgan_ema.errors import UsageError, unknown

_SUMS = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 1], [0, 0, 1]])
_FOLD = np.kron(_SUMS, _SUMS)  # [16, 9]: from 3x3 taps to 4x4 taps
_IMAGES = {"data_format": "channels_last"}
RESAMPLE = (None, "up", "down")


def _folded(matrix: np.ndarray, kernel: Tensor) -> Tensor:
    """The sums of a kernel's taps over all 2x2 windows: [3, 3, c, d] -> [4, 4, c, d]."""
    taps = ops.reshape(kernel, (9, -1))
    matrix = ops.convert_to_tensor(matrix, taps.dtype)
    return ops.reshape(ops.matmul(matrix, taps), (4, 4, *kernel.shape[2:]))


def up_conv(x: Tensor, kernel: Tensor) -> Tensor:
    """Nearest-neighbour upsampling, then a convolution: [n, h, w, c] -> [n, 2h, 2w, d].

    Args:
        x: float [n, h, w, c].
        kernel: [3, 3, c, d] or [1, 1, c, d], in the dtype of ``x``; zero padding.
    """
    if kernel.shape[0] == 1:
        return ops.repeat(ops.repeat(ops.conv(x, kernel, **_IMAGES), 2, axis=1), 2, axis=2)
    return engines.kernels().upsampled_convolution(x, _folded(_FOLD[::-1], kernel))


def down_conv(x: Tensor, kernel: Tensor) -> Tensor:
    """A convolution, then 2x2 average pooling: [n, h, w, c] -> [n, h // 2, w // 2, d].

    Args:
        x: float [n, h, w, c].
        kernel: [3, 3, c, d] or [1, 1, c, d], in the dtype of ``x``; zero padding.
    """
    if kernel.shape[0] == 1:
        return ops.conv(ops.average_pool(x, 2, strides=2, **_IMAGES), kernel, **_IMAGES)
    _, height, width, channels = x.shape
    # The strided convolution has slower gradients, so squares of 2x2 pixels become channels.
    # Pooling leaves out the last pixel of an odd side: no border is needed behind it.
    rows, columns = height // 2 + 1, width // 2 + 1
    x = ops.pad(x, [[0, 0], [1, 2 * rows - height - 1], [1, 2 * columns - width - 1], [0, 0]])
    x = ops.transpose(ops.reshape(x, (-1, rows, 2, columns, 2, channels)), (0, 1, 3, 2, 4, 5))
    folded = ops.reshape(_folded(_FOLD, kernel) / 4, (2, 2, 2, 2, channels, -1))
    folded = ops.transpose(folded, (0, 2, 1, 3, 4, 5))
    return ops.conv(
        ops.reshape(x, (-1, rows, columns, 4 * channels)),
        ops.reshape(folded, (2, 2, 4 * channels, -1)),
        **_IMAGES,
    )


def conv(x: Tensor, kernel: Tensor, resample: str | None) -> Tensor:
    """A zero-padded convolution of stride 1 that may change the resolution; see the module.

    Args:
        x: float [n, h, w, c].
        kernel: [k, k, c, d]; k is 1 or 3 if the resolution changes.
        resample: ``None``, ``"up"`` or ``"down"``.
    """
    if resample is None:
        return ops.conv(x, kernel, padding="same", **_IMAGES)
    return {"up": up_conv, "down": down_conv}[resample](x, kernel)


def output_shape(shape: tuple, filters: int, resample: str | None) -> tuple:
    """The shape of what `conv` returns, for images of ``shape`` (n, h, w, c)."""
    up, down = 2 if resample == "up" else 1, 2 if resample == "down" else 1
    sides = [None if side is None else side * up // down for side in shape[1:3]]
    return (shape[0], *sides, filters)


def check(resample: str | None, kernel_size: int, strides: int = 1, padding: str = "same") -> None:
    """Refuses layers that have no folded form.

    Raises:
        UsageError: an unknown ``resample``, or one that does not fit the other values.
    """
    if resample not in RESAMPLE:
        raise unknown("resample", resample, map(str, RESAMPLE))
    if resample and (kernel_size not in (1, 3) or strides != 1 or padding != "same"):
        raise UsageError(
            f"resample {resample!r} with kernel_size {kernel_size}, strides {strides}, padding "
            f"{padding!r}: it needs a kernel of 1 or 3, strides 1 and padding 'same'."
        )


@keras.saving.register_keras_serializable(package="tfgan_ema")
class ResampledConv2D(keras.layers.Conv2D):
    """A convolution, zero-padded, of stride 1, that may double or halve the resolution.

    [n, h, w, c] -> [n, h', w', filters]. Its weights are those of ``keras.layers.Conv2D``.

    Args:
        filters: channels of the output.
        kernel_size: height and width of the kernel; 1 or 3 if the resolution changes.
        resample: ``"up"`` for nearest-neighbour upsampling in front, ``"down"`` for 2x2 average
            pooling behind, ``None`` for neither.
        **kwargs: as in ``keras.layers.Conv2D``.

    Raises:
        UsageError: another ``resample`` or kernel.
    """

    def __init__(
        self, filters: int, kernel_size: int, *, resample: str | None = None, **kwargs: Any
    ):
        check(resample, kernel_size)
        super().__init__(
            filters, kernel_size, padding="same", data_format="channels_last", **kwargs
        )
        self.resample = resample

    def convolution_op(self, inputs, kernel):
        """The convolution without its bias."""
        return conv(inputs, ops.convert_to_tensor(kernel), self.resample)

    def compute_output_shape(self, input_shape):
        """[n, h, w, c] -> [n, h', w', filters]."""
        return output_shape(input_shape, self.filters, self.resample)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        fixed = ("padding", "data_format", "strides", "dilation_rate", "groups", "kernel_size")
        rest = {key: value for key, value in super().get_config().items() if key not in fixed}
        return {**rest, "kernel_size": self.kernel_size[0], "resample": self.resample}
