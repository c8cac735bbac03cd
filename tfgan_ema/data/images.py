"""Bringing images to one size, one number of channels and 8 bits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

LARGE = 2**24  # pixels
RULES = 3  # the version of what `fit` does to an image file; caches of its results are keyed by it

_ORIENTATION, _BITS, _PHOTOMETRIC, _SAMPLE_FORMAT = 274, 258, 262, 339  # tags of EXIF and TIFF
_TO = Image.Transpose
_TURNS = {2: _TO.FLIP_LEFT_RIGHT, 3: _TO.ROTATE_180, 4: _TO.FLIP_TOP_BOTTOM, 5: _TO.TRANSPOSE,
          6: _TO.ROTATE_270, 7: _TO.TRANSVERSE, 8: _TO.ROTATE_90}  # fmt: skip


def to_channels(images: np.ndarray, channels: int) -> np.ndarray:
    """uint8 images [..., h, w, 1 or 3] with ``channels`` channels, 1 or 3.

    Grey is repeated; colour becomes ITU-R 601 luma as in Pillow.
    """
    if images.shape[-1] == channels:
        return images
    if channels == 3:
        return np.repeat(images, 3, axis=-1)
    column = Image.fromarray(images.reshape(-1, images.shape[-2], 3))  # one below the other
    return np.array(column.convert("L")).reshape(*images.shape[:-1], 1)


def fit(image: Image.Image, size: int | None, channels: int) -> np.ndarray:
    """One Pillow image as uint8 [size, size, channels]: centre-cropped square, antialiased resize.

    EXIF orientation is applied where it can be read, transparency is laid over white, and grey of
    more than 8 bits becomes 8-bit. A JPEG much larger than ``size`` is decoded at a fraction of its
    size, and of other images with more than `LARGE` pixels blocks are averaged first, to at least 4
    times ``size``. ``size=None`` keeps the whole image as it is.

    Raises:
        ValueError: the pixels lie outside the range of their format, so that white is unknown.
    """
    if size is not None:
        image.draft(None, (4 * size, 4 * size))
    image.load()
    tags = getattr(image, "tag_v2", {})
    image = _upright(image)
    if image.mode.startswith("I") or image.mode == "F":
        image = _in_8_bits(image, tags)
    if size is not None and image.width * image.height > LARGE:
        image = _reduced(image, 4 * size)
    if image.mode == "LAB":
        image = image.convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    image = image.convert("RGB" if channels == 3 else "L")
    if size is not None and image.size != (size, size):
        width, height = image.size
        side = min(width, height)
        left, top = (width - side) // 2, (height - side) // 2
        image = image.crop((left, top, left + side, top + side))
        image = image.resize((size, size), Image.Resampling.LANCZOS)
    return np.asarray(image).reshape(image.height, image.width, channels)


def _upright(image: Image.Image) -> Image.Image:
    """The image turned as its EXIF data say; as it is if they are damaged."""
    try:
        turn = _TURNS.get(image.getexif().get(_ORIENTATION))
    except Exception:  # on damaged EXIF data Pillow raises nearly anything
        return image
    return image if turn is None else image.transpose(turn)


def _reduced(image: Image.Image, least: int) -> Image.Image:
    """A large image with blocks of pixels averaged, at least ``least`` wide and high.

    What does not fill a block is left out at the edges. Images with a palette or a transparent
    colour stay as they are, since their pixels have no mean.
    """
    image = image.convert("L") if image.mode == "1" else image
    factor = min(image.size) // least
    if factor < 2 or image.mode not in ("L", "RGB", "RGBA") or "transparency" in image.info:
        return image
    left, top = (length % factor // 2 for length in image.size)
    right, bottom = (length - (length % factor + 1) // 2 for length in image.size)
    return image.reduce(factor, (left, top, right, bottom))


def _in_8_bits(image: Image.Image, tags: Mapping[int, Any]) -> Image.Image:
    """Grey of more than 8 bits in 8 bits, rounded.

    White is the largest number of the format's bits, but at most 65535, since integers of 32 bits
    hold 16-bit images in practice; of floating-point numbers it is 1.
    """
    pixels = np.asarray(image)
    bits = tags.get(_BITS, (16,))[0] - (tags.get(_SAMPLE_FORMAT) == (2,))  # without the sign
    white = 1 if image.mode == "F" else 2 ** min(bits, 16) - 1
    low, high = pixels.min(), pixels.max()
    if not 0 <= low <= high <= white:  # also if they are not numbers
        raise ValueError(f"its pixels run from {low:g} to {high:g}, expected 0 to {white}")
    shown = np.empty(pixels.shape, np.uint8)
    for row, values in enumerate(map(np.float64, pixels)):  # row by row, to need little memory
        light = white - values if tags.get(_PHOTOMETRIC) == 0 else values
        if "transparency" in image.info:
            light = np.where(values == image.info["transparency"], white, light)
        shown[row] = np.rint(light * (255 / white))
    return Image.fromarray(shown)


def fits(shape: tuple[int, ...], size: int | None) -> bool:
    """Whether images of ``shape`` (h, w, c) reach ``size`` without interpolation."""
    return size is None or tuple(shape[:2]) == (size, size) or _framed(shape, size)


def fit_arrays(images: np.ndarray, size: int | None, channels: int) -> np.ndarray:
    """`fit` for uint8 arrays [n, h, w, 1 or 3]; 28-pixel images reach 32 in a black frame."""
    if not fits(images.shape[1:], size):
        flat = images[..., 0] if images.shape[3] == 1 else images
        return np.stack([fit(Image.fromarray(image), size, channels) for image in flat])
    if _framed(images.shape[1:], size):
        images = np.pad(images, ((0, 0), (2, 2), (2, 2), (0, 0)))
    return to_channels(images, channels)


def fit_array(image: np.ndarray, size: int | None, channels: int) -> np.ndarray:
    """`fit_arrays` for one image [h, w, 1 or 3]."""
    return fit_arrays(image[None], size, channels)[0]


def _framed(shape: tuple[int, ...], size: int | None) -> bool:
    """Whether images of MNIST's size are wanted at 32 pixels, a power of two."""
    return tuple(shape[:2]) == (28, 28) and size == 32
