"""What the families share: sizes, labels, and the last layer of a generator."""

from __future__ import annotations

import keras

from tfgan_ema.errors import UsageError

Tensor = keras.KerasTensor


def scaled(channels: int, width: float) -> int:
    """``channels`` times ``width``, rounded, at least 1."""
    return max(1, round(channels * width))


def start_size(image_size: int, doublings: int) -> int:
    """The side of the grid that a generator with so many doublings starts from.

    Raises:
        UsageError: ``image_size`` is not a multiple of ``2 ** doublings``.
    """
    step = 2**doublings
    if not isinstance(image_size, int) or image_size < step or image_size % step:
        below = max(step, step * (image_size // step))
        raise UsageError(
            f"image_size {image_size!r}: this network needs a multiple of {step}; "
            f"the nearest are {below} and {below + step}."
        )
    return image_size // step


def doubled_sizes(image_size: int) -> list[int]:
    """4, 8, 16, ... up to ``image_size``: the grids of a generator that starts from 4x4.

    Raises:
        UsageError: ``image_size`` is not a power of 2, or below 8.
    """
    if not isinstance(image_size, int) or image_size < 8 or image_size & (image_size - 1):
        raise UsageError(f"image_size {image_size!r}: expected a power of 2, at least 8.")
    return [2**i for i in range(2, image_size.bit_length())]


def label_input(num_classes: int | None) -> Tensor | None:
    """The symbolic label, int32 [n]; ``None`` for an unconditional network."""
    return None if num_classes is None else keras.Input((), dtype="int32", name="label")


def with_label(x: Tensor, label: Tensor | None) -> Tensor | list[Tensor]:
    """The inputs of a model: ``x``, or ``[x, label]`` if it is conditional."""
    return x if label is None else [x, label]


def to_image(x: Tensor, tanh: bool = True) -> Tensor:
    """Images in float32, whatever the policy: tanh of x, or x itself."""
    name = "tanh" if tanh else "linear"
    return keras.layers.Activation(name, dtype="float32", name="images")(x)
