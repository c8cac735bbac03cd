"""Sets of images in the cache: written whole or not at all, read through memory maps."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from tfgan_ema import cache, files, progress, reading
from tfgan_ema.errors import UsageError

Records = Iterable[tuple[np.ndarray, int | None]]  # images with their labels, None without
Stored = tuple[np.ndarray, np.ndarray | None, dict[str, Any]]  # images, labels, notes


def write(
    folder: Path, records: Records, capacity: int, shape: tuple[int, ...], notes: dict[str, Any]
) -> None:
    """Writes uint8 images of ``shape``, ``capacity`` of them or fewer, with labels to ``folder``.

    The pixels are one file without a header, so that TensorFlow can map it too. ``notes`` is
    written last, with the shape of all images, so ``records`` may still add to it.
    """
    folder.mkdir()
    need, free = capacity * int(np.prod(shape)), shutil.disk_usage(folder).free
    if need > free:
        raise UsageError(
            f"{capacity} images of {shape} need {need / 1e9:.1f} GB, but only {free / 1e9:.1f} GB "
            "are free: choose a smaller image_size or another data_dir."
        )
    labels = []
    with (folder / "images.bin").open("wb") as file:
        for image, label in progress.track(records, "preparing images", capacity):
            file.write(np.ascontiguousarray(image))
            labels.append(label)
    if labels and labels[0] is not None:
        np.save(folder / "labels.npy", np.asarray(labels, np.int32))
    (folder / "notes.json").write_text(json.dumps({**notes, "shape": [len(labels), *shape]}))


def read(folder: Path) -> Stored:
    """Images (mapped, not read), int32 labels or ``None``, and the notes of a written folder."""
    with reading.refusing(f"{folder} is damaged", "delete it and run again."):
        notes = reading.json_value(folder / "notes.json")
        shape = tuple(notes["shape"])
        images = np.memmap(folder / "images.bin", np.uint8, "r").reshape(shape)
        path = folder / "labels.npy"
        labels = reading.array(path.read_bytes()) if path.exists() else None
        if labels is not None and (
            (labels.dtype, labels.shape) != (np.int32, shape[:1]) or labels.min() < 0
        ):
            raise ValueError(f"labels {labels.dtype} {labels.shape} of images {shape}")
        return images, labels, notes


def prepared(
    root: Path,
    key: Any,
    records: Records,
    capacity: int,
    shape: tuple[int, ...],
    notes: dict[str, Any] | None = None,
) -> Stored:
    """The images of ``records``, which are consumed only if the cache does not have them.

    What killed processes left half-written is removed first, of whatever set.

    Args:
        root: the cache.
        key: whatever the images depend on: anything that JSON can hold.
        records: see `write`, as are the other arguments.
    """
    name = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:32]
    folder = root / "data" / "prepared" / name
    if not folder.is_dir():
        files.clear_leftovers(folder.parent)
        with cache.adding(folder) as partial:
            write(partial, records, capacity, shape, notes or {})
    return read(folder)
