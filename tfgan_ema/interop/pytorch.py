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
import os
import pickle
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import ml_dtypes
import numpy as np

from tfgan_ema.errors import UsageError

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_DTYPES = {
    "double": "<f8",
    "float": "<f4",
    "half": "<f2",
    "bfloat16": ml_dtypes.bfloat16,
    "long": "<i8",
    "int": "<i4",
    "short": "<i2",
    "char": "i1",
    "byte": "u1",
    "bool": "?",
}
_DTYPE_NAMES = {"float64": "double", "float32": "float", "float16": "half", "int64": "long",
                "int32": "int", "int16": "short", "int8": "char", "uint8": "byte"}  # fmt: skip


class _Refused(pickle.UnpicklingError):
    """The file asks for something that reading tensors does not need, or is inconsistent."""


@dataclass
class _Storage:
    """A run of bytes; a tensor is a view of it. Old files give the bytes after the tensors."""

    dtype: np.dtype
    data: bytes | None = None


@dataclass
class _Tensor:
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def array(self) -> np.ndarray:
        """A copy of the values; raises if the view leaves its storage."""
        dtype = self.storage.dtype
        counts = (self.offset, *self.shape, *self.strides)
        if len(self.shape) != len(self.strides) or any(
            not isinstance(c, int) or c < 0 for c in counts
        ):
            raise _Refused(f"a tensor of shape {self.shape} and strides {self.strides}")
        values = np.frombuffer(self.storage.data or b"", dtype)
        last = self.offset + sum((n - 1) * s for n, s in zip(self.shape, self.strides, strict=True))
        size = math.prod(self.shape)
        if size and (last >= len(values) or size > len(values)):
            raise _Refused(f"a tensor of shape {self.shape} in a storage of {len(values)} values")
        if not size:
            return np.zeros(self.shape, dtype)
        strides = [s * dtype.itemsize for s in self.strides]
        return np.lib.stride_tricks.as_strided(values[self.offset :], self.shape, strides).copy()


class _Name:
    """Something that a pickle names and we never call: a storage type, a dtype, a device."""

    __slots__ = ("name",)

    def __init__(self, name: str):
        object.__setattr__(self, "name", name)

    def __setattr__(self, name, value):
        raise _Refused(f"a pickle that changes {self.name}")

    def __call__(self, *_):
        return None  # a device or a hook: no tensor


class _Call:
    """One function that a pickle may call. Nothing can be set on it."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable):
        object.__setattr__(self, "_function", function)

    def __setattr__(self, name, value):
        raise _Refused("a pickle that changes a function")

    def __call__(self, *args):
        return self._function(*args)


def _dtype(name: str) -> np.dtype:
    kind = name.removesuffix("Storage").lower()
    kind = _DTYPE_NAMES.get(kind, kind)
    if kind not in _DTYPES:
        raise _Refused(f"values of type {name}")
    return np.dtype(_DTYPES[kind])


def _rebuild_tensor(storage, offset, shape, strides, *_):
    if not isinstance(storage, _Storage):
        raise _Refused("a tensor without a storage")
    return _Tensor(storage, offset, tuple(shape), tuple(strides))


def _rebuild_tensor_v3(storage, offset, shape, strides, _grad, _hooks, dtype, *_):
    tensor = _rebuild_tensor(storage, offset, shape, strides)
    if isinstance(dtype, _Name):
        storage.dtype = _dtype(dtype.name)
    return tensor


def _load_from_bytes(data):
    storage = _legacy(io.BytesIO(data))
    if not isinstance(storage, _Storage):
        raise _Refused("embedded bytes that are not a storage")
    return storage


def _object_class() -> type:
    class Object:
        """A module: its attributes are kept, its class is not looked at."""

        def __init__(self, *_args):
            pass

        def __setstate__(self, state):
            if isinstance(state, dict):
                self.__dict__.update({str(name): value for name, value in state.items()})

    return Object


class _Unpickler(pickle.Unpickler):
    """Resolves the names on the list; `storage(pid)` finds a storage by its persistent id."""

    def __init__(self, file: BinaryIO, storage: Callable[[tuple], _Storage] | None = None):
        super().__init__(file, encoding="latin1")
        self._storage = storage
        self._object = _object_class()

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("dnnlib.util", "EasyDict"):
            return dict
        if module == "torch._utils":
            if name in ("_rebuild_tensor_v2", "_rebuild_tensor"):
                return _Call(_rebuild_tensor)
            if name == "_rebuild_tensor_v3":
                return _Call(_rebuild_tensor_v3)
            if name in ("_rebuild_parameter", "_rebuild_parameter_with_state"):
                return _Call(lambda data, *_: data)
        if module in ("numpy.core.multiarray", "numpy._core.multiarray") and name == "scalar":
            return _Call(lambda *_: None)
        if (module, name) == ("numpy", "dtype"):
            return self._object
        if module == "torch.storage" and name == "_load_from_bytes":
            return _Call(_load_from_bytes)
        if module == "torch_utils.persistence" and name == "_reconstruct_persistent_obj":
            return _Call(self._persistent_object)
        if module in ("torch", "torch.storage"):
            if name == "Size":
                return _Call(tuple)
            return _Name(name)
        if module == "torch.jit._pickle":
            return _Call(lambda *args: args[0] if args else None)
        if module.startswith("__torch__"):
            return self._object
        raise _Refused(f"the name {module}.{name}")

    def _persistent_object(self, meta):
        # The record holds the class's source code; only the attributes are taken.
        result = self._object()
        if isinstance(meta, dict):
            result.__setstate__(meta.get("state"))
        return result

    def persistent_load(self, pid: Any) -> _Storage:
        if self._storage is None or not isinstance(pid, tuple) or pid[:1] != ("storage",):
            raise _Refused("a persistent id that is not a storage")
        return self._storage(pid)


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
    storages: dict[str, _Storage] = {}

    def storage(pid: tuple) -> _Storage:
        _, kind, key, _, count = pid[:5]
        key = str(key)
        if key not in storages:
            data = member(f"data/{key}")
            dtype = _dtype(kind.name if isinstance(kind, _Name) else str(kind))
            size = count if dtype == np.uint8 else count * dtype.itemsize
            if len(data) < size:
                raise _Refused(f"a storage of {count} values in {len(data)} bytes")
            storages[key] = _Storage(dtype, data)
        return storages[key]

    return _Unpickler(io.BytesIO(member("data.pkl")), storage).load()


def _legacy(file: BinaryIO) -> Any:
    """The object in a plain pickle, or in PyTorch's older sequence of pickles and storages."""
    first = _Unpickler(file).load()
    if first != _LEGACY_MAGIC:
        return first
    _Unpickler(file).load()  # protocol version
    _Unpickler(file).load()  # sizes of C types where it was written
    storages: dict[str, _Storage] = {}
    counts: dict[str, int] = {}

    def storage(pid: tuple) -> _Storage:
        _, kind, key, _, count = pid[:5]
        if len(pid) > 5 and pid[5] is not None:
            raise _Refused("a view of a storage")
        key = str(key)
        if key not in storages:
            storages[key] = _Storage(_dtype(kind.name if isinstance(kind, _Name) else str(kind)))
            counts[key] = count
        return storages[key]

    result = _Unpickler(file, storage).load()
    for key in _Unpickler(file).load():
        count = int.from_bytes(file.read(8), "little", signed=True)
        if key not in storages or count != counts[key]:
            raise _Refused(f"an unknown storage {key!r}")
        size = count * storages[key].dtype.itemsize
        # Bounded reads: the count is not believed before the bytes are there.
        storages[key].data = file.read(size) if size >= 0 else b""
        if len(storages[key].data) != size:
            raise _Refused(f"{len(storages[key].data)} bytes where {size} were promised")
    return result


def _walk(value: Any, name: str, path: tuple[int, ...] = ()) -> Iterator[tuple[str, _Tensor]]:
    """Every tensor below ``value`` with its dotted name; PyTorch's module tables leave no trace."""
    if isinstance(value, _Tensor):
        yield name.rstrip("."), value
        return
    if id(value) in path:
        return
    path = (*path, id(value))
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list | tuple):
        items = enumerate(value)
    elif hasattr(value, "__dict__") and type(value).__name__ == "Object":
        items = value.__dict__.items()
    else:
        return
    for key, item in items:
        step = "" if key in ("_parameters", "_buffers", "_modules") else f"{key}."
        yield from _walk(item, name + step, path)


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
