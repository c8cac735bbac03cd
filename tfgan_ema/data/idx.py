"""The idx format of MNIST and its relatives, plain or gzipped."""

from __future__ import annotations

import gzip
import io
import math
from pathlib import Path

import numpy as np

from tfgan_ema import reading
from tfgan_ema.errors import UsageError

MOST_CLASSES = 65_536

_DTYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_SPLITS = {"train": ("train",), "test": ("t10k", "test")}


def parse(data: bytes) -> np.ndarray:
    """The array in the bytes of an idx file (gzipped or not); raises `ValueError` if it is none.

    What a gzip expands to may be 100 times as large, and 64 MB more.
    """
    if data[:2] == b"\x1f\x8b":
        most = 100 * len(data) + 64_000_000
        with gzip.open(io.BytesIO(data)) as file:
            data = file.read(most + 1)
        if len(data) > most:
            raise ValueError(f"it expands to more than {most} bytes")
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] not in _DTYPES:
        raise ValueError("not an idx file")
    rank, dtype = data[3], np.dtype(_DTYPES[data[2]])
    start = 4 + 4 * rank
    shape = tuple(np.frombuffer(data[:start], ">u4", count=rank, offset=4).tolist())
    follow = len(data) - start
    if math.prod(shape) * dtype.itemsize != follow:
        raise ValueError(f"idx header says {shape} of {dtype}, but {follow} bytes follow")
    return np.frombuffer(data, dtype, offset=start).reshape(shape)


def load(path: Path, split: str) -> tuple[np.ndarray, np.ndarray | None]:
    """uint8 images [n, h, w, 1 or 3] and int32 labels [n], ``None`` if there is no label file.

    Args:
        path: an images file, or a folder with files named like MNIST's
            (``train-images-idx3-ubyte``, ``t10k-labels-idx1-ubyte.gz``, ...).
        split: ``"train"`` or ``"test"``: which files of a folder; a single file has ``"train"``.

    Raises:
        UsageError: no such split, or a file of another format.
    """
    if path.is_dir():
        path = _images_file(path, split)
    elif split != "train":
        raise UsageError(f"{path} is one file, it has no split {split!r}: name a folder or file.")
    images = _read(path)
    if images.ndim == 3:
        images = images[..., None]
    if images.dtype != np.uint8 or images.shape[3:] not in ((1,), (3,)) or not images.size:
        raise UsageError(
            f"{path} holds {images.dtype} of shape {images.shape}: expected 8-bit images "
            "[n, h, w] or [n, h, w, 1 or 3]."
        )
    labels = _labels(path)
    if labels is not None and labels.shape != (len(images),):
        raise UsageError(f"{path} has {len(images)} images, its labels are {labels.shape}.")
    return images, labels


def _images_file(folder: Path, split: str) -> Path:
    if split not in _SPLITS:
        raise UsageError(f"split {split!r} of {folder}: idx folders have 'train' and 'test'.")
    for word in _SPLITS[split]:
        for path in sorted(folder.glob(f"{word}-images*")):
            return path
    raise UsageError(
        f"no {split} images in {folder}: expected a file like {_SPLITS[split][0]}"
        "-images-idx3-ubyte, plain or .gz."
    )


def _labels(path: Path) -> np.ndarray | None:
    name = path.name.replace("images", "labels").replace("idx3", "idx1").removesuffix(".gz")
    beside = [f for f in (path.with_name(name), path.with_name(f"{name}.gz")) if f.exists()]
    if name == path.name.removesuffix(".gz") or not beside:
        return None
    labels = _read(beside[0])
    if labels.dtype.kind == "f" or ((labels < 0) | (labels >= MOST_CLASSES)).any():
        raise UsageError(
            f"{beside[0]} holds other labels than whole numbers from 0 to {MOST_CLASSES - 1}."
        )
    return labels.astype(np.int32)


def _read(path: Path) -> np.ndarray:
    problem = f"cannot read {path} as an idx file"
    with reading.refusing(problem, "expected one like MNIST's."), reading.regular(path) as file:
        return parse(file.read())
