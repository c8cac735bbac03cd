"""Bringing images to one size and one number of channels."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageOps

PAD_FROM, PAD_TO = 28, 32  # MNIST's size, and the power of two that networks want


def to_channels(images: np.ndarray, channels: int | None) -> np.ndarray:
    """uint8 images [..., h, w, 1 or 3] with ``channels`` channels (``None``: as they are).

    Grey is repeated; colour becomes ITU-R 601 luma in Pillow's fixed-point arithmetic.
    """
    if channels is None or images.shape[-1] == channels:
        return images
    if channels == 3:
        return np.repeat(images, 3, axis=-1)
    luma = np.full(images.shape[:-1], 0x8000, np.uint32)  # a half, so that >> 16 rounds
    for channel, weight in enumerate((19595, 38470, 7471)):
        luma += np.uint32(weight) * images[..., channel]
    return (luma >> 16).astype(np.uint8)[..., None]


def pad(images: np.ndarray) -> np.ndarray:
    """28-pixel images [n, 28, 28, c] in a black frame of 32 pixels: no pixel is interpolated."""
    margin = (PAD_TO - PAD_FROM) // 2
    return np.pad(images, ((0, 0), (margin, margin), (margin, margin), (0, 0)))


def pads(shape: tuple[int, ...], size: int | None) -> bool:
    """Whether images of ``shape`` (h, w, c) reach ``size`` by padding rather than by resizing."""
    return size == PAD_TO and tuple(shape[:2]) == (PAD_FROM, PAD_FROM)


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


def fit_array(image: np.ndarray, size: int | None, channels: int) -> np.ndarray:
    """`fit` for a uint8 array [h, w, 1 or 3]; 28-pixel images reach 32 by `pad`."""
    if pads(image.shape, size):
        return to_channels(pad(image[None])[0], channels)
    return fit(Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image), size, channels)


def fits(shape: tuple[int, ...], size: int | None) -> bool:
    """Whether images of ``shape`` (h, w, c) reach ``size`` without resizing."""
    return size is None or tuple(shape[:2]) == (size, size) or pads(shape, size)


def fit_arrays(images: np.ndarray, size: int | None, channels: int | None) -> np.ndarray:
    """`fit_array` for uint8 images [n, h, w, 1 or 3], all at once where nothing is resized."""
    channels = channels or images.shape[3]
    if not fits(images.shape[1:], size):
        return np.stack([fit_array(image, size, channels) for image in images])
    return to_channels(pad(images) if pads(images.shape[1:], size) else images, channels)
