"""The augmentation pipe of adaptive discriminator augmentation (arXiv 2006.06676, appendix B)."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from keras import ops

from tfgan_ema.controllers import ByChance
from tfgan_ema.engines import Tensor
from tfgan_ema.errors import UsageError, number, one_of
from tfgan_ema.latents import Draws
from tfgan_ema.schedules import Number

Size = tuple[int, int]


class ADA(ByChance):
    """Geometry, colour and cutout, each by chance for each row, on all that D sees.

    The pipe of Karras et al. 2020a, which R3GAN uses as well: horizontal flips, quarter turns,
    whole-pixel shifts, isotropic scales, rotations before and after anisotropic scales, fractional
    shifts; brightness, contrast, luma inversion, hue, saturation; a square of half the size cut
    out. All geometry is one resampling with linear interpolation, mirrored at the borders; the
    authors' code interpolates on a grid twice as fine between two filters. Images are [n, h, w, c]
    in [-1, 1] with 1 or 3 channels.

    As long as the probability is small, what the generator learns does not leak the augmentation.
    It is a number, a schedule, or adaptive: then it starts at 0 and follows how far the
    discriminator overfits (`controllers.Controller`).
    """

    GEOMETRY = (
        "flip", "rotate90", "integer_translation", "scale", "rotation", "anisotropy",
        "translation",
    )  # fmt: skip
    COLOUR = ("brightness", "contrast", "luma_flip", "hue", "saturation")
    TRANSFORMS = (*GEOMETRY, *COLOUR, "cutout")
    needs_images = True

    def __init__(
        self,
        strengths: Mapping[str, float] | None = None,
        *,
        probability: Number = 1.0,
        adaptive: bool = False,
        target: float = 0.6,
    ) -> None:
        """Creates the pipe.

        Args:
            strengths: what the probability is multiplied by, for each of `TRANSFORMS` that is
                applied; ``None`` applies all of them with 1.
            probability: of each transform on each row, in [0, 1], possibly scheduled; the most of
                an adaptive one.
            adaptive: whether the probability follows how far the discriminator overfits.
            target: of an adaptive one: the mean sign of the real batch's logits, in (-1, 1).

        Raises:
            UsageError: an unknown transform, or a number out of range.
        """
        super().__init__("ada", probability, adaptive, target)
        given = dict.fromkeys(self.TRANSFORMS, 1.0) if strengths is None else strengths
        if not isinstance(given, Mapping):
            raise UsageError(f"ADA strengths {strengths!r}: expected numbers by name of transform.")
        self.strengths = {
            one_of("ADA transform", name, self.TRANSFORMS): number(f"ADA {name}", value, "[0, 1]")
            for name, value in given.items()
        }

    def __call__(self, images: Tensor, draws: Draws) -> Tensor:
        """Augmented images, same shape.

        Raises:
            UsageError: the input is not images of 1 or 3 channels.
        """
        if len(images.shape) != 4 or images.shape[3] not in (1, 3):
            raise UsageError(
                f"ADA on data of shape {tuple(images.shape)}: it needs images [n, h, w, 1 or 3]."
            )
        count, height, width, _ = images.shape
        share = self.share(draws)
        moves = self.matrices(_MOVES, 3, count, draws, share, (height, width))
        colours = self.matrices(_COLOURS, 4, count, draws, share, (height, width))
        if moves:  # a position of the result is traced back, from the last move to the first
            images = _where_moved(functools.reduce(ops.matmul, moves), resample, images)
        if colours:
            product = functools.reduce(lambda done, after: ops.matmul(after, done), colours)
            images = _where_moved(product, recolour, images)
        return self._cutout(images, draws, share) if "cutout" in self.strengths else images

    def chosen(self, name: str, draws: Draws, count: int, share: Tensor | float) -> Tensor:
        """Which rows a transform is applied to: bool [count]."""
        chance = self.strengths[name] * share
        if name == "rotation":  # it is drawn twice, so that one of them comes with that chance
            chance = 1.0 - ops.sqrt(1.0 - chance)
        return draws.uniform((count,), f"{name}/chance") < chance

    def matrices(
        self,
        makers: Mapping[str, Callable[[Draws, int, Size], Tensor]],
        side: int,
        count: int,
        draws: Draws,
        share: Tensor | float,
        size: Size,
    ) -> list[Tensor]:
        """Those that are on, in order, [count, side, side]; rows not chosen have the identity."""
        made = []
        for part, maker in makers.items():
            name, here = part.removesuffix(" again"), draws.fold_in(part)
            if name in self.strengths:
                rows = self.chosen(name, here, count, share)[:, None, None]
                identity = np.eye(side, dtype="float32")
                made.append(ops.where(rows, maker(here, count, size), identity))
        return made

    def _cutout(self, images: Tensor, draws: Draws, share: Tensor | float) -> Tensor:
        count, *size, _ = images.shape
        inside = self.chosen("cutout", draws, count, share)[:, None, None, None]
        centres = draws.uniform((count, 2), "cutout/centre")
        for axis, length in enumerate(size):
            place = (np.arange(length, dtype="float32") + 0.5) / length
            near = ops.abs(place[None, :] - centres[:, axis, None]) < 0.25
            shape = (count, length, 1, 1) if axis == 0 else (count, 1, length, 1)
            inside = ops.logical_and(inside, ops.reshape(near, shape))
        return ops.where(inside, ops.zeros_like(images), images)


def _where_moved(matrices: Tensor, transform: Callable, images: Tensor) -> Tensor:
    """Rows whose matrix is the identity stay as they are, to the bit."""
    moved = ops.any(matrices != np.eye(matrices.shape[-1], dtype="float32"), axis=(1, 2))
    new = ops.cast(transform(ops.cast(images, "float32"), matrices), images.dtype)
    return ops.where(moved[:, None, None, None], new, images)


def resample(images: Tensor, matrices: Tensor) -> Tensor:
    """Images [n, h, w, c] read at ``matrix @ (x, y, 1)``, from the middle in pixels.

    Linear interpolation; positions outside are mirrored at the middle of the last pixel.
    """
    count, height, width, channels = images.shape
    y, x = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
    middle = np.array([(width - 1) / 2, (height - 1) / 2])
    points = np.stack([x.ravel() - middle[0], y.ravel() - middle[1], np.ones(x.size)])
    read = ops.matmul(matrices[:, :2], points.astype("float32"))  # [n, 2, h w]
    read = read + middle[:, None].astype("float32")
    flat = ops.reshape(images, (-1, channels))
    first = np.arange(count, dtype="int32")[:, None] * (height * width)
    (x0, x1, right), (y0, y1, down) = (
        _neighbours(read[:, axis], side) for axis, side in enumerate((width, height))
    )

    def taken(y: Tensor, x: Tensor) -> Tensor:
        return ops.take(flat, first + y * width + x, axis=0)

    above = taken(y0, x0) * (1.0 - right) + taken(y0, x1) * right
    below = taken(y1, x0) * (1.0 - right) + taken(y1, x1) * right
    return ops.reshape(above * (1.0 - down) + below * down, images.shape)


def _neighbours(position: Tensor, side: int) -> tuple[Tensor, Tensor, Tensor]:
    """The pixels on both sides of a mirrored position, and the share of the second, [.., 1]."""
    period = 2.0 * max(side - 1, 1)
    position = position - period * ops.floor(position / period)
    position = ops.minimum(position, period - position)
    below = ops.clip(ops.floor(position), 0.0, float(side - 1))
    index = ops.cast(below, "int32")
    return index, ops.minimum(index + 1, side - 1), (position - below)[..., None]


def recolour(images: Tensor, matrices: Tensor) -> Tensor:
    """``matrix @ (r, g, b, 1)`` at each pixel; grey images count as red = green = blue."""
    count, *_, channels = images.shape
    rgb = ops.repeat(images, 3, axis=3) if channels == 1 else images
    turned = ops.transpose(matrices[:, :3, :3], (0, 2, 1))
    rgb = ops.matmul(ops.reshape(rgb, (count, -1, 3)), turned) + matrices[:, None, :3, 3]
    rgb = ops.mean(rgb, axis=2, keepdims=True) if channels == 1 else rgb
    return ops.reshape(rgb, images.shape)


# Matrices, [n, 3, 3]: where the pixel at (x, y, 1) comes from


def _rows(*rows: tuple[Any, Any, Any], count: int) -> Tensor:
    """A matrix of numbers and of tensors [n]."""
    entries = [ops.broadcast_to(ops.cast(e, "float32"), (count,)) for row in rows for e in row]
    return ops.reshape(ops.stack(entries, axis=1), (count, 3, 3))


def _scaled(x: Tensor, y: Tensor, count: int) -> Tensor:
    return _rows((x, 0, 0), (0, y, 0), (0, 0, 1), count=count)


def _shifted(x: Tensor, y: Tensor, count: int) -> Tensor:
    return _rows((1, 0, x), (0, 1, y), (0, 0, 1), count=count)


def _turned(angle: Tensor, count: int) -> Tensor:
    cos, sin = ops.cos(angle), ops.sin(angle)
    return _rows((cos, -sin, 0), (sin, cos, 0), (0, 0, 1), count=count)


def _log_normal(draws: Draws, count: int, deviation: float) -> Tensor:
    """2 to the power of N(0, deviation^2)."""
    return ops.exp(math.log(2) * deviation * draws.normal((count,), "scale"))


def _flip(draws: Draws, count: int, size: Size) -> Tensor:
    return _scaled(1 - 2 * draws.integers((count,), 2, "side"), 1, count)


def _rotate90(draws: Draws, count: int, size: Size) -> Tensor:
    quarter = draws.integers((count,), 4, "quarter")
    cos, sin = (ops.take(np.array(row), quarter) for row in ([1, 0, -1, 0], [0, 1, 0, -1]))
    return _rows((cos, -sin, 0), (sin, cos, 0), (0, 0, 1), count=count)


def _integer_translation(draws: Draws, count: int, size: Size) -> Tensor:
    height, width = size
    share = (2.0 * draws.uniform((count, 2), "shift") - 1.0) / 8
    return _shifted(ops.round(share[:, 0] * width), ops.round(share[:, 1] * height), count)


def _scale(draws: Draws, count: int, size: Size) -> Tensor:
    factor = _log_normal(draws, count, 0.2)
    return _scaled(factor, factor, count)


def _rotation(draws: Draws, count: int, size: Size) -> Tensor:
    return _turned(math.pi * (2.0 * draws.uniform((count,), "angle") - 1.0), count)


def _anisotropy(draws: Draws, count: int, size: Size) -> Tensor:
    factor = _log_normal(draws, count, 0.2)
    return _scaled(factor, 1.0 / factor, count)


def _translation(draws: Draws, count: int, size: Size) -> Tensor:
    height, width = size
    share = draws.normal((count, 2), "shift") / 8
    return _shifted(share[:, 0] * width, share[:, 1] * height, count)


_MOVES = {
    "flip": _flip, "rotate90": _rotate90, "integer_translation": _integer_translation,
    "scale": _scale, "rotation": _rotation, "anisotropy": _anisotropy,
    "rotation again": _rotation, "translation": _translation,
}  # fmt: skip

# Matrices, [n, 4, 4], of colours (r, g, b, 1); grey is the axis of the luma

_RGB, _ONE = np.diag([1.0, 1, 1, 0]).astype("float32"), np.diag([0.0, 0, 0, 1]).astype("float32")
_LUMA = np.pad(np.full((3, 3), 1 / 3), (0, 1)).astype("float32")  # the projection onto grey
_CROSS = np.pad(np.cross(np.eye(3), np.full(3, -(3**-0.5))), (0, 1)).astype("float32")


def _wide(x: Tensor) -> Tensor:
    return ops.cast(x, "float32")[:, None, None]


def _brightness(draws: Draws, count: int, size: Size) -> Tensor:
    add = np.zeros((4, 4), "float32")
    add[:3, 3] = 0.2
    return np.eye(4, dtype="float32") + _wide(draws.normal((count,), "add")) * add


def _contrast(draws: Draws, count: int, size: Size) -> Tensor:
    return _wide(_log_normal(draws, count, 0.5)) * _RGB + _ONE


def _luma_flip(draws: Draws, count: int, size: Size) -> Tensor:
    return np.eye(4, dtype="float32") - _wide(2 * draws.integers((count,), 2, "side")) * _LUMA


def _hue(draws: Draws, count: int, size: Size) -> Tensor:
    angle = _wide(math.pi * (2.0 * draws.uniform((count,), "angle") - 1.0))
    cos, sin = ops.cos(angle), ops.sin(angle)
    return cos * (_RGB - _LUMA) + sin * _CROSS + _LUMA + _ONE


def _saturation(draws: Draws, count: int, size: Size) -> Tensor:
    return _wide(_log_normal(draws, count, 1.0)) * (_RGB - _LUMA) + _LUMA + _ONE


_COLOURS = {
    "brightness": _brightness, "contrast": _contrast, "luma_flip": _luma_flip, "hue": _hue,
    "saturation": _saturation,
}  # fmt: skip
