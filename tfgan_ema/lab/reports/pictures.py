"""Images in pages: data URIs, and the pictures that `SampleGrid` draws during training."""

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from markupsafe import Markup
from PIL import Image

from tfgan_ema import reading
from tfgan_ema.callbacks import GAP
from tfgan_ema.lab.reports import pages

T = TypeVar("T")

LOSSLESS, WIDEST = 48_000, 640  # bytes and pixels beyond which a picture is compressed


def evenly_spaced(items: Sequence[T], most: int) -> list[T]:
    """At most ``most`` items, evenly spaced, the first and the last among them."""
    if len(items) <= most:
        return list(items)
    return [items[i * (len(items) - 1) // (most - 1)] for i in range(most)]


def figure(caption: str, image: np.ndarray, description: str) -> Markup:
    """A picture [h, w, 1 or 3], uint8, with its caption."""
    return pages.picture(data_uri(image, WIDEST), caption, description)


def data_uri(image: np.ndarray, widest: int) -> str:
    """An image [h, w, 1 or 3], uint8, as a data URI: exact if that is small, else compressed."""
    picture = Image.fromarray(image[..., 0] if image.shape[2:] == (1,) else image)
    picture.thumbnail((widest, 8 * widest))
    content = _webp(picture, lossless=True)
    if len(content) > LOSSLESS:
        content = _webp(picture, quality=80)
    return "data:image/webp;base64," + base64.b64encode(content).decode()


def sample_pictures(folder: Path) -> list[Path]:
    """The pictures of `SampleGrid` in a folder, by step."""
    return sorted(folder.glob("step_*.png"), key=_step)


def frames(paths: Sequence[Path], names: Sequence[str]) -> list[dict[str, Any]]:
    """Pictures of `SampleGrid` for the slider; ``names`` are the captions of their halves."""
    shown = []
    for path in paths:
        parts = zip(names, _parts(path, len(names)), strict=True)
        drawn = [figure(name, part, f"{name}, step {_step(path):,}") for name, part in parts]
        shown.append({"step": _step(path), "pictures": drawn})
    return shown


def _parts(path: Path, count: int) -> list[np.ndarray]:
    with reading.refusing(f"{path} is damaged", "delete it."), Image.open(path) as file:
        picture = np.asarray(file)
    half = (picture.shape[1] - GAP) // 2
    return [picture[:, :half], picture[:, -half:]] if count == 2 else [picture]


def _step(path: Path) -> int:
    return int(path.stem.removeprefix("step_"))


def _webp(picture: Image.Image, **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, format="WEBP", **options)
    return file.getvalue()
