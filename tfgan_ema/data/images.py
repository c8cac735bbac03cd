"""Bringing images to one size and one number of channels."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageOps


def to_channels(images: np.ndarray, channels: int) -> np.ndarray:
    """uint8 images [..., h, w, 1 or 3] with ``channels`` channels, 1 or 3.

    Grey is repeated; colour becomes ITU-R 601 luma in Pillow's fixed-point arithmetic.
    """
    if images.shape[-1] == channels:
        return images
    if channels == 3:
        return np.repeat(images, 3, axis=-1)
    luma = np.full(images.shape[:-1], 0x8000, np.uint32)  # a half, so that >> 16 rounds
    for channel, weight in enumerate((19595, 38470, 7471)):
        luma += np.uint32(weight) * images[..., channel]
    return (luma >> 16).astype(np.uint8)[..., None]


def fit(image: Image.Image, size: int | None, channels: int) -> np.ndarray:
    """One Pillow image as uint8 [size, size, channels]: centre-cropped square, antialiased resize.

    EXIF orientation is applied, transparency is laid over white, 16-bit grey becomes 8-bit;
    ``size=None`` keeps the whole image as it is.
    """
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
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
