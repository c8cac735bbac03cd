"""Reading files that may be damaged or made to do harm: as data, in bounded memory.

The readers raise nearly anything on bytes that are not what they should be; `refusing` makes one
line of it.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from tfgan_ema.errors import UsageError

MOST_JSON = 2**26  # bytes
_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


@contextlib.contextmanager
def refusing(problem: str, advice: str) -> Iterator[None]:
    """A context that turns any error but `UsageError` into one: ``problem (why): advice``."""
    try:
        yield
    except UsageError:
        raise
    except Exception as error:
        raise UsageError(f"{problem} ({brief(error)}): {advice}") from error


def brief(error: object) -> str:
    """What an error says, in one short line that is safe to print."""
    text = " ".join(str(error).split())
    text = "".join(letter if letter.isprintable() else "?" for letter in text)
    return text[:197] + "..." if len(text) > 200 else text or type(error).__name__


def regular(path: str | os.PathLike) -> BinaryIO:
    """Opens a file for reading; raises `ValueError` for a pipe or a device, which is not opened."""
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise ValueError("not a regular file")
    return Path(path).open("rb")


def json_value(path: str | os.PathLike) -> Any:
    """What is in a JSON file of at most `MOST_JSON` bytes."""
    with regular(path) as file:
        data = file.read(MOST_JSON + 1)
    if len(data) > MOST_JSON:
        raise ValueError(f"more than {MOST_JSON} bytes")
    return json.loads(data)


def arrays(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """The arrays of a file that `numpy.savez` wrote, read-only, in as much memory as the file."""
    with regular(path) as file, zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        if any(member.compress_type != zipfile.ZIP_STORED for member in members):
            raise ValueError("it is compressed")
        if sum(member.file_size for member in members) > os.fstat(file.fileno()).st_size:
            raise ValueError("its members are larger than the file")
        found = {member.filename.removesuffix(".npy"): member for member in members}
        if len(found) < len(members):
            raise ValueError("two members of one name")
        return {name: array(archive.read(member)) for name, member in found.items()}


def array(data: bytes) -> np.ndarray:
    """The array in the bytes of an ``.npy`` file, read-only: numbers or text, never objects."""
    stream = io.BytesIO(data)
    shape, by_columns, dtype = _HEADERS[np.lib.format.read_magic(stream)](stream)
    start = stream.tell()
    if dtype.hasobject or dtype.names or dtype.subdtype:
        raise ValueError(f"values of type {dtype}")
    if math.prod(shape) * dtype.itemsize != len(data) - start:
        raise ValueError(f"{dtype} of shape {shape} in {len(data) - start} bytes")
    return np.ndarray(shape, dtype, data, start, order="F" if by_columns else "C")
