"""Samples as pictures: grids of images, scatter plots of points."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from PIL import Image

from tfgan_ema import files


def to_uint8(images: np.ndarray) -> np.ndarray:
    """Images in [-1, 1] as uint8: 127.5 (x + 1), rounded half to even, clipped to 0..255."""
    scaled = 127.5 * (np.asarray(images, np.float32) + 1.0)
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)


def grid(images: np.ndarray, columns: int | None = None, padding: int = 2) -> np.ndarray:
    """One uint8 picture [H, W, c] of images [n, h, w, c], row by row on white.

    Args:
        images: float in [-1, 1], or uint8.
        columns: images in a row; ``None`` makes the picture nearly square.
        padding: white pixels around and between the images.
    """
    images = np.asarray(images)
    if images.dtype != np.uint8:
        images = to_uint8(images)
    n, height, width, channels = images.shape
    columns = columns or math.ceil(math.sqrt(n))
    rows = math.ceil(n / columns)
    frame = ((0, rows * columns - n), (padding, 0), (padding, 0), (0, 0))  # above and to the left
    cells = np.pad(images, frame, constant_values=255)
    cells = cells.reshape(rows, columns, *cells.shape[1:]).swapaxes(1, 2)
    picture = cells.reshape(rows * (height + padding), columns * (width + padding), channels)
    return np.pad(picture, ((0, padding), (0, padding), (0, 0)), constant_values=255)


def save_png(path: str | Path, image: np.ndarray) -> None:
    """Writes an image [h, w, 1 or 3], uint8 or float in [-1, 1], as PNG, whole or not at all."""
    image = image if image.dtype == np.uint8 else to_uint8(image)
    picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
    with files.replacing(path) as temporary:
        picture.save(temporary, format="PNG")


def save_grid(path: str | Path, images: np.ndarray, columns: int | None = None) -> None:
    """Writes `grid` of ``images`` as PNG."""
    save_png(path, grid(images, columns))


def save_scatter(
    path: str | Path, samples: np.ndarray, reference: np.ndarray | None = None
) -> None:
    """Writes a scatter plot of points [n, 2] over the ``reference`` points [m, 2] as PNG.

    The axes are those of the reference, so that pictures of one run can be compared; samples that
    lie outside are counted in the title.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.add_subplot(aspect="equal")
    frame = np.asarray(samples if reference is None else reference)
    if reference is not None:
        axes.scatter(*frame.T, s=4, color="0.8", label="data", rasterized=True)
    axes.scatter(*np.asarray(samples).T, s=4, color="tab:blue", alpha=0.5, label="samples")
    low, high = frame.min(axis=0), frame.max(axis=0)
    margin = 0.25 * (high - low).max() + 1e-3
    axes.set(xlim=(low[0] - margin, high[0] + margin), ylim=(low[1] - margin, high[1] + margin))
    inside = np.all((samples >= low - margin) & (samples <= high + margin), axis=1)
    outside = f", {(~inside).sum()} outside" if not inside.all() else ""
    axes.set_title(f"{len(samples)} samples{outside}", fontsize=10)
    axes.legend(loc="upper right", fontsize=8)
    with files.replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=100)
