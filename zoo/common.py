"""What the families share: sizes, widths, and the first and last layers."""

from __future__ import annotations

from typing import Any

import keras

from tfgan_ema.errors import UsageError


def scaled(channels: int, width: float) -> int:
    """``channels`` times ``width``, rounded, at least 1."""
    return max(1, round(channels * width))


def start_size(image_size: int | None, doublings: int) -> int:
    """The grid that a generator with so many doublings starts from.

    Raises:
        UsageError: ``image_size`` is not a multiple of ``2 ** doublings``.
    """
    step = 2**doublings
    if not isinstance(image_size, int) or image_size < step or image_size % step:
        below = max(step, step * ((image_size or 0) // step))
        raise UsageError(
            f"image_size {image_size!r}: this network needs a multiple of {step}; "
            f"the nearest are {below} and {below + step}."
        )
    return image_size // step


def check_channels(channels: int) -> None:
    """Raises `UsageError` unless images are grey or RGB."""
    if channels not in (1, 3):
        raise UsageError(f"channels {channels!r}: expected 1 (grey) or 3 (RGB).")


def unconditional(family: str, num_classes: int | None) -> None:
    """Raises `UsageError` if classes are asked of a family without a conditional form."""
    if num_classes is not None:
        raise UsageError(
            f"num_classes {num_classes!r}: {family} has no class-conditional form; leave "
            "num_classes out, or take a sngan or biggan network."
        )


def label_input() -> Any:
    """The symbolic label, int32 [n]."""
    return keras.Input((), dtype="int32", name="label")


def to_image(x: Any, tanh: bool = True) -> Any:
    """Images in float32, whatever the policy: tanh of x, or x itself."""
    name = "tanh" if tanh else "linear"
    return keras.layers.Activation(name, dtype="float32", name="images")(x)


def with_label(x: Any, label: Any | None) -> Any:
    """The inputs of a model: ``x``, or ``[x, label]`` if it is conditional."""
    return x if label is None else [x, label]
