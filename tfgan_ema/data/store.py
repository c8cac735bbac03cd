"""Sets of images on disk: written whole or not at all, read through memory maps."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from tfgan_ema.errors import UsageError


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A temporary folder that becomes ``path`` when the block ends, and vanishes if it fails."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    except OSError as error:
        raise UsageError(
            f"cannot write to {path.parent} ({error.strerror}): choose another folder with "
            "--data_dir or TFGAN_EMA_CACHE."
        ) from error
    try:
        yield partial
        partial.chmod(0o755)
        try:
            partial.rename(path)
        except OSError:
            if not path.is_dir():  # otherwise another process has just made the same
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def write(
    folder: Path,
    records: Iterable[tuple[np.ndarray, int | None]],
    capacity: int,
    shape: tuple[int, ...],
    notes: dict[str, Any],
) -> None:
    """Writes uint8 images of ``shape``, ``capacity`` of them or fewer, with labels to ``folder``.

    The pixels are one file without a header, so that TensorFlow can map it too. ``notes`` is
    written last, with the shape of all images, so ``records`` may still add to it.
    """
    need, free = capacity * int(np.prod(shape)), shutil.disk_usage(folder).free
    if need > free:
        raise UsageError(
            f"{capacity} images of {shape} need {need / 1e9:.1f} GB, {folder.parent} has "
            f"{free / 1e9:.1f} GB: choose a smaller image_size or another data_dir."
        )
    labels = []
    with (folder / "images.bin").open("wb") as file:
        for image, label in records:
            file.write(np.ascontiguousarray(image))
            labels.append(label)
    if labels and labels[0] is not None:
        np.save(folder / "labels.npy", np.asarray(labels, np.int32))
    (folder / "notes.json").write_text(json.dumps({**notes, "shape": [len(labels), *shape]}))


def read(folder: Path) -> tuple[np.memmap, np.ndarray | None, dict[str, Any]]:
    """Images (mapped, not read), int32 labels or ``None``, and the notes of a written folder."""
    try:
        notes = json.loads((folder / "notes.json").read_text())
        images = np.memmap(folder / "images.bin", np.uint8, "r", shape=tuple(notes["shape"]))
        path = folder / "labels.npy"
        return images, np.load(path) if path.exists() else None, notes
    except (OSError, ValueError, KeyError) as error:
        raise UsageError(f"{folder} is damaged ({error}): delete it and run again.") from error


def prepared(
    root: Path, key: Any, make: Callable[[Path], None]
) -> tuple[np.ndarray, np.ndarray | None, dict[str, Any]]:
    """What ``make(folder)`` wrote, made once for each ``key`` (anything that JSON can hold)."""
    name = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:32]
    folder = root / "data" / "prepared" / name
    if not folder.is_dir():
        with new_folder(folder) as partial:
            make(partial)
    return read(folder)
