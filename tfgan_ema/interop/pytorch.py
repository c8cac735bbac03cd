"""Weights from PyTorch checkpoints, read without PyTorch and without trusting their pickles.

A checkpoint is a pickle, and unpickling runs whatever code the file names. `read_tensors` therefore
knows a short list of names (tensor and storage rebuilding, ordered dictionaries) and refuses every
other one; sizes are checked against the bytes that are there. Formats: ``torch.save``'s zip, its
older sequence of pickles, TorchScript archives, and pickles of modules as StyleGAN2-ADA writes
them (whose embedded source code is ignored). The layout of these files is described in PyTorch's
``torch/serialization.py``.
"""

from __future__ import annotations

import collections
import io
import math
import operator
import os
import pickle
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import ml_dtypes
import numpy as np

from tfgan_ema.errors import UsageError

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_DTYPES = {
    "DoubleStorage": "<f8", "FloatStorage": "<f4", "HalfStorage": "<f2",
    "BFloat16Storage": ml_dtypes.bfloat16,
    "LongStorage": "<i8", "IntStorage": "<i4", "ShortStorage": "<i2", "CharStorage": "i1",
    "ByteStorage": "u1", "BoolStorage": "?",
}  # fmt: skip


def read_tensors(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Every tensor of a PyTorch checkpoint, by its dotted name, e.g. ``"block2.c1.weight"``.

    Names of nested dictionaries, lists and modules are joined with dots: a checkpoint
    ``{"model": state_dict, "step": 3}`` gives ``"model.conv.weight"``. What is not a tensor is left
    out. No code of the file runs.

    Args:
        path: a file of ``torch.save`` (zip or older), a TorchScript archive, or a pickle of modules
            as StyleGAN2-ADA's.

    Returns:
        Arrays in the file's own order, shapes and types (bfloat16 as ``ml_dtypes.bfloat16``).

    Raises:
        UsageError: no such file, not a checkpoint, cut off, or naming anything but tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise UsageError(f"checkpoint {str(path)!r}: no such file.")
    try:
        with path.open("rb") as file:
            is_zip = file.read(4) == b"PK\x03\x04"
            file.seek(0)
            top = _zip(file) if is_zip else _legacy(file)
        return {name: tensor.array() for name, tensor in _walk(top, "")}
    except _Refused as error:
        raise UsageError(
            f"checkpoint {str(path)!r}: refused, as it holds {error}; expected tensors only, as "
            "torch.save(model.state_dict(), path) writes them."
        ) from error
    except Exception as error:  # a damaged pickle can raise nearly anything
        raise UsageError(
            f"checkpoint {str(path)!r}: not a readable PyTorch checkpoint "
            f"({type(error).__name__}: {error})."
        ) from error


class _Refused(pickle.UnpicklingError):
    """The file asks for something that reading tensors does not need, or is inconsistent."""


class _Storage(NamedTuple):
    """A run of bytes; a tensor is a view of it. Old files give the bytes after the tensors."""

    dtype: np.dtype
    count: int
    chunks: list[bytes]

    def fill(self, data: bytes) -> None:
        if len(data) < self.count * self.dtype.itemsize:
            raise _Refused(f"a storage of {self.count} values in {len(data)} bytes")
        self.chunks.append(data)


class _Tensor(NamedTuple):
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def array(self) -> np.ndarray:
        """A copy of the values; raises if the view leaves its storage."""
        if any(not isinstance(n, int) or n < 0 for n in (self.offset, *self.shape, *self.strides)):
            raise _Refused(f"a tensor of shape {self.shape} and strides {self.strides}")
        dtype, data, size = self.storage.dtype, b"".join(self.storage.chunks), math.prod(self.shape)
        if size * dtype.itemsize > len(data):
            raise _Refused(f"a tensor of shape {self.shape} in a storage of {len(data)} bytes")
        if not size:
            return np.zeros(self.shape, dtype)
        strides = [stride * dtype.itemsize for stride in self.strides]
        # NumPy raises ValueError where the view would leave the bytes.
        return np.ndarray(self.shape, dtype, data, self.offset * dtype.itemsize, strides).copy()


class _Global(NamedTuple):
    """What a pickle may name: a function on the list, or a storage type, a dtype or a device.

    Nothing can be set on it, as it is a tuple. Without a function, calling it gives nothing.
    """

    name: str
    function: Callable[..., Any] = lambda *_: None

    def __call__(self, *args: Any) -> Any:
        return self.function(*args)


class _Module:
    """An object of any class: its attributes are kept, its class is not looked at.

    A pickle cannot change this class itself: unpickling offers the state to ``__setstate__``.
    """

    def __init__(self, *_: Any):
        pass

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, dict):
            vars(self).update(state)


def _rebuild_tensor(storage: Any, offset: int, shape: Any, strides: Any, *_: Any) -> _Tensor:
    if not isinstance(storage, _Storage):
        raise _Refused("a tensor without a storage")
    return _Tensor(storage, offset, tuple(shape), tuple(strides))


def _load_from_bytes(data: bytes) -> _Storage:
    storage = _legacy(io.BytesIO(data))
    if not isinstance(storage, _Storage):
        raise _Refused("embedded bytes that are not a storage")
    return storage


def _first(*args: Any) -> Any:
    return args[0] if args else None


_KNOWN = {
    "collections.OrderedDict": collections.OrderedDict,
    "dnnlib.util.EasyDict": dict,
    "numpy.dtype": _Module,
    "numpy.core.multiarray.scalar": _Global("scalar"),
    "numpy._core.multiarray.scalar": _Global("scalar"),
    "torch.Size": _Global("Size", tuple),
    "torch._utils._rebuild_tensor": _Global("tensor", _rebuild_tensor),
    "torch._utils._rebuild_tensor_v2": _Global("tensor", _rebuild_tensor),
    "torch._utils._rebuild_parameter": _Global("parameter", _first),
    "torch._utils._rebuild_parameter_with_state": _Global("parameter", _first),
    "torch.storage._load_from_bytes": _Global("storage", _load_from_bytes),
    # The record also holds the source code of the module's class.
    "torch_utils.persistence._reconstruct_persistent_obj": _Global(
        "module", operator.itemgetter("state")
    ),
}


class _Unpickler(pickle.Unpickler):
    """Resolves the names on the list; ``read`` gives the bytes of a storage by its key."""

    def __init__(self, file: BinaryIO, read: Callable[[str], bytes] | None = None):
        super().__init__(file, encoding="latin1")
        self.read = read
        self.storages: dict[str, _Storage] = {}

    def find_class(self, module: str, name: str) -> Any:
        full = f"{module}.{name}"
        if full in _KNOWN:
            return _KNOWN[full]
        if module.startswith("__torch__"):  # classes of TorchScript
            return _Module
        if module == "torch.jit._pickle":
            return _Global(name, _first)
        if module in ("torch", "torch.storage"):
            return _Global(name)
        raise _Refused(f"the name {full}")

    def persistent_load(self, pid: Any) -> _Storage:
        if not isinstance(pid, tuple) or pid[:1] != ("storage",):
            raise _Refused("a persistent id that is not a storage")
        _, kind, key, _, count, *view = pid
        if view not in ([], [None]):
            raise _Refused("a view of a storage")
        if kind.name not in _DTYPES:
            raise _Refused(f"values of type {kind.name}")
        if key not in self.storages:
            self.storages[key] = _Storage(np.dtype(_DTYPES[kind.name]), count, [])
            if self.read is not None:
                self.storages[key].fill(self.read(key))
        return self.storages[key]


def _zip(file: BinaryIO) -> Any:
    """The object in an archive of ``torch.save`` or of TorchScript."""
    archive = zipfile.ZipFile(file)
    pickles = [n for n in archive.namelist() if n.endswith("/data.pkl") and n.count("/") == 1]
    if len(pickles) != 1:
        raise _Refused("a zip without one data.pkl")
    root = pickles[0].removesuffix("data.pkl")

    def member(name: str) -> bytes:
        info = archive.getinfo(root + name)
        if info.compress_type != zipfile.ZIP_STORED:  # PyTorch never compresses; a bomb does
            raise _Refused(f"the compressed member {info.filename}")
        return archive.read(info)

    if root + "byteorder" in archive.namelist() and member("byteorder").strip() != b"little":
        raise _Refused("big-endian values")
    pickled = io.BytesIO(member("data.pkl"))
    return _Unpickler(pickled, lambda key: member(f"data/{key}")).load()


def _legacy(file: BinaryIO) -> Any:
    """The object in a plain pickle, or in PyTorch's older sequence of pickles and storages."""
    first = _Unpickler(file).load()
    if first != _LEGACY_MAGIC:
        return first
    _Unpickler(file).load()  # protocol version
    _Unpickler(file).load()  # sizes of C types where it was written
    unpickler = _Unpickler(file)
    result = unpickler.load()
    for key in _Unpickler(file).load():
        count = int.from_bytes(file.read(8), "little", signed=True)
        storage = unpickler.storages.get(key)
        if storage is None or count != storage.count or count < 0:
            raise _Refused(f"an unknown storage {key!r}")
        storage.fill(file.read(count * storage.dtype.itemsize))
    return result


def _walk(value: Any, name: str, path: tuple[int, ...] = ()) -> Iterator[tuple[str, _Tensor]]:
    """Every tensor below ``value`` with its dotted name; PyTorch's module tables leave no trace."""
    if isinstance(value, _Tensor):
        yield name.rstrip("."), value
        return
    if id(value) in path:
        return
    path = (*path, id(value))
    if isinstance(value, _Module):
        value = vars(value)
    if isinstance(value, list | tuple):
        value = dict(enumerate(value))
    for key, item in value.items() if isinstance(value, dict) else ():
        step = "" if key in ("_parameters", "_buffers", "_modules") else f"{key}."
        yield from _walk(item, name + step, path)
