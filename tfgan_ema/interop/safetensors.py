"""Tensors of safetensors files, a JSON header with raw values behind it. Nothing in them runs."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import ml_dtypes
import numpy as np

from tfgan_ema import reading
from tfgan_ema.errors import UsageError

_DTYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": ml_dtypes.bfloat16,
    "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1", "U8": "u1", "BOOL": "?",
}  # fmt: skip


def read_safetensors(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Every tensor of a safetensors file by its name, as read-only views of the file.

    Raises:
        UsageError: no such file, or not one of this format.
    """
    path = Path(path)
    if not path.is_file():
        raise UsageError(f"weights {str(path)!r}: no such file.")
    with reading.refusing(f"weights {str(path)!r} cannot be read", "expected a safetensors file."):
        with reading.regular(path) as file:
            size = int.from_bytes(file.read(8), "little")
            if not 2 <= size <= min(reading.MOST_JSON, path.stat().st_size - 8):
                raise ValueError(f"a header of {size} bytes")
            header = json.loads(file.read(size))
        data = np.memmap(path, np.uint8, "r", 8 + size) if path.stat().st_size > 8 + size else b""
        header.pop("__metadata__", None)
        return {name: _tensor(name, data, **facts) for name, facts in header.items()}


def _tensor(
    name: str, data: np.ndarray, dtype: str, shape: list[int], data_offsets: list[int]
) -> np.ndarray:
    kind, (start, end) = np.dtype(_DTYPES[dtype]), data_offsets
    if any(type(n) is not int or n < 0 for n in (*shape, start, end)) or end > len(data):
        raise ValueError(f"{name[:100]} lies outside of the file")
    if math.prod(shape) * kind.itemsize != end - start:
        raise ValueError(f"{name[:100]} of shape {shape} in {end - start} bytes")
    return np.frombuffer(data[start:end], kind).reshape(shape)
