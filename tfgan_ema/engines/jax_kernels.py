"""What JAX computes faster in another way than Keras's operations."""

from __future__ import annotations

from typing import Any

from keras import ops

Tensor = Any

BATCH_NORM: dict[str, Any] = {}  # a program sees the global batch; Keras refuses `synchronized`


def batch_norm(*_: Any) -> None:
    """XLA fuses Keras's operations."""


def adam(*_: Any, **__: Any) -> bool:
    """XLA fuses Keras's operations."""
    return False


def upsampled_convolution(x: Tensor, turned: Tensor) -> Tensor:
    """Four convolutions, one for each pixel of a 2x2 square.

    Of a transposed convolution XLA multiplies the zeros between the pixels (on a CPU).
    """
    _, height, width, _ = x.shape
    folded = turned[::-1, ::-1]
    x = ops.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]])
    pixels = [
        [
            ops.conv(
                x[:, a : a + height + 1, b : b + width + 1],
                folded[a::2, b::2],
                data_format="channels_last",
            )
            for b in range(2)
        ]
        for a in range(2)
    ]
    rows = [ops.stack(row, axis=3) for row in pixels]
    return ops.reshape(ops.stack(rows, axis=2), (-1, 2 * height, 2 * width, turned.shape[-1]))


def grouped_convolution(x: Tensor, kernel: Tensor) -> Tensor:
    """Keras's operation."""
    return ops.conv(x, kernel, padding="same", data_format="channels_last")
