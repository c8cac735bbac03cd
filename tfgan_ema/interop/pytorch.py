"""Weights from PyTorch checkpoints, read without PyTorch and without trusting their pickles.

A checkpoint is a pickle, and unpickling runs whatever code the file names. `read_tensors` therefore
follows it with `pickles.Machine`, which runs nothing, and knows a short list of names (tensor and
storage rebuilding, ordered dictionaries); every other one is refused. Formats: ``torch.save``'s
zip, its older sequence of pickles, TorchScript archives, and pickles of modules as StyleGAN2-ADA
(whose embedded source code is ignored) and R3GAN write them. The layout of these files is described
in PyTorch's ``torch/serialization.py``.

A small file asks for little time and memory: a pickle has at most `pickles.MOST_OPERATIONS`
operations; what it holds is at most `MOST_NESTED` deep, has names of at most `LONGEST_NAME` letters
and is visited at most `MOST_VISITS` times; all storages together have at most the file's bytes, and
tensors are views of them.
"""

from __future__ import annotations

import io
import math
import os
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import ml_dtypes
import numpy as np

from tfgan_ema import reading
from tfgan_ema.errors import UsageError
from tfgan_ema.interop.pickles import Machine, Module, Name, Refused, key_text, table

MOST_NESTED, LONGEST_NAME, MOST_VISITS = 100, 250, 500_000
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
            as StyleGAN2-ADA's and R3GAN's.

    Returns:
        Read-only arrays in the file's own order, shapes and types (bfloat16 as
        ``ml_dtypes.bfloat16``).

    Raises:
        UsageError: no such file, not a checkpoint, cut off, beyond the limits above, or naming
            anything but tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise UsageError(f"checkpoint {str(path)!r}: no such file.")
    with reading.refusing(
        f"checkpoint {str(path)!r} cannot be read",
        "expected a file of tensors, as torch.save(model.state_dict(), path) writes it.",
    ):
        data = path.read_bytes()
        top = _zip(data) if data[:4] == b"PK\x03\x04" else _legacy(io.BytesIO(data), len(data))
        return {name: tensor.array() for name, tensor in _tensors(top)}


class _Storage:
    """A run of bytes; a tensor is a view of it. Old files give the bytes after the tensors."""

    def __init__(self, dtype: np.dtype, count: Any):
        if not isinstance(count, int) or count < 0:
            raise Refused("a storage without a number of values")
        self.dtype, self.count, self.data = dtype, count, b""

    def fill(self, data: bytes) -> None:
        if len(data) < self.count * self.dtype.itemsize:
            raise Refused(f"a storage of {self.count} values in {len(data)} bytes")
        self.data = data


class _Tensor(NamedTuple):
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def array(self) -> np.ndarray:
        """The values as a view of the storage; raises if it leaves the storage."""
        dtype, data, size = self.storage.dtype, self.storage.data, math.prod(self.shape)
        if size * dtype.itemsize > len(data):
            raise Refused(f"a tensor of shape {self.shape} in a storage of {len(data)} bytes")
        if not size:
            return np.zeros(self.shape, dtype)
        strides = [stride * dtype.itemsize for stride in self.strides]
        # NumPy raises ValueError where the view would leave the bytes.
        return np.ndarray(self.shape, dtype, data, self.offset * dtype.itemsize, strides)


def _rebuild_tensor(storage: Any, offset: int, shape: Any, strides: Any, *_: Any) -> _Tensor:
    if not isinstance(storage, _Storage):
        raise Refused("a tensor without a storage")
    numbers = offset, *shape, *strides
    if len(numbers) > 65 or any(not isinstance(n, int) or n < 0 for n in numbers):
        raise Refused("a tensor whose shape and strides are not a few numbers from 0")
    return _Tensor(storage, offset, tuple(shape), tuple(strides))


def _first(*args: Any) -> Any:
    return args[0] if args else None


def _state(record: dict[str, Any]) -> Any:
    return record["state"]  # the record also holds the source code of the module's class


_KNOWN = {
    "collections.OrderedDict": lambda *items: table(pair for part in items for pair in part),
    "dnnlib.util.EasyDict": lambda *_: {},
    "numpy.dtype": Module,
    "torch.Size": _first,
    "torch._utils._rebuild_tensor": _rebuild_tensor,
    "torch._utils._rebuild_tensor_v2": _rebuild_tensor,
    "torch._utils._rebuild_parameter": _first,
    "torch._utils._rebuild_parameter_with_state": _first,
    "torch_utils.persistence._reconstruct_persistent_obj": _state,
    "numpy.core.multiarray.scalar": lambda *_: None,
    "numpy._core.multiarray.scalar": lambda *_: None,
}


# Classes of the modules in R3GAN's pickles; StyleGAN2-ADA's come as records.
_MODULES = {
    "torch.nn.modules.container.ModuleList", "torch.nn.modules.conv.Conv2d",
    "torch.nn.modules.linear.Linear", "training.networks.Discriminator",
    "training.networks.Generator",
}  # fmt: skip


class _Storages:
    """The storages of one pickle by key, and what its names mean."""

    def __init__(self, room: int, read: Callable[[str], bytes] | None = None):
        """Starts without storages.

        Args:
            room: how many bytes all of them may have together.
            read: gives the bytes of a storage by its key; ``None``: they come later.
        """
        self.room, self.read = room, read
        self.by_key: dict[str, _Storage] = {}

    def load(self, file: BinaryIO) -> Any:
        """The object in the pickle that follows in a file."""
        return Machine(file, self.find, self.persistent).run()

    def find(self, module: str, name: str) -> Name:
        full = f"{module}.{name}"
        if full == "torch.storage._load_from_bytes":
            return Name(name, self.embedded)
        if full in _KNOWN:
            return Name(name, _KNOWN[full])
        # Classes of TorchScript, and of R3GAN.
        if module.startswith(("__torch__", "R3GAN.")) or full in _MODULES:
            return Name(name, Module)
        if module == "torch.jit._pickle":
            return Name(name, _first)
        if module in ("torch", "torch.storage"):
            return Name(name)
        raise Refused(f"the name {full[:100]}")

    def persistent(self, found: Any) -> _Storage:
        """A storage, by its type, key and number of values."""
        if not isinstance(found, tuple) or found[:1] != ("storage",):
            raise Refused("a persistent id that is not a storage")
        _, kind, key, _, count, *view = found
        if view not in ([], [None]):
            raise Refused("a view of a storage")
        if kind.name not in _DTYPES:
            raise Refused(f"values of type {kind.name[:100]}")
        key = key_text(key)
        if key not in self.by_key:
            self.by_key[key] = _Storage(np.dtype(_DTYPES[kind.name]), count)
            if self.read is not None:
                self.by_key[key].fill(self.taken(self.read(key)))
        return self.by_key[key]

    def embedded(self, data: bytes) -> _Storage:
        """The storage in bytes that are themselves a file of the older kind."""
        storage = _legacy(io.BytesIO(self.taken(data)), 0)
        if not isinstance(storage, _Storage):
            raise Refused("embedded bytes that are not a storage")
        return storage

    def taken(self, data: bytes) -> bytes:
        """The same bytes, counted."""
        self.room -= len(data)
        if self.room < 0:
            raise Refused("more bytes of storages than it has itself")
        return data


def _zip(data: bytes) -> Any:
    """The object in an archive of ``torch.save`` or of TorchScript."""
    archive = zipfile.ZipFile(io.BytesIO(data))
    members = {info.filename: info for info in archive.infolist()}
    pickles = [n for n in members if n.endswith("/data.pkl") and n.count("/") == 1]
    if len(pickles) != 1:
        raise Refused("a zip without one data.pkl")
    root = pickles[0].removesuffix("data.pkl")

    def member(name: str) -> bytes:
        info = members[root + name]
        if info.compress_type != zipfile.ZIP_STORED:  # PyTorch never compresses; a bomb does
            raise Refused(f"the compressed member {info.filename}")
        return archive.read(info)

    if root + "byteorder" in members and member("byteorder").strip() != b"little":
        raise Refused("big-endian values")
    pickled = io.BytesIO(member("data.pkl"))
    return _Storages(len(data), lambda key: member(f"data/{key}")).load(pickled)


def _legacy(file: BinaryIO, room: int) -> Any:
    """The object in a plain pickle, or in PyTorch's older sequence of pickles and storages.

    ``room`` is how many bytes the storages may have that a pickle embeds.
    """
    first = _Storages(room).load(file)
    if not isinstance(first, int) or first != _LEGACY_MAGIC:
        return first
    _Storages(0).load(file)  # protocol version
    _Storages(0).load(file)  # sizes of C types where it was written
    storages = _Storages(room)
    result = storages.load(file)
    for key in map(key_text, _Storages(0).load(file)):
        count = int.from_bytes(file.read(8), "little", signed=True)
        storage = storages.by_key.get(key)
        if storage is None or count != storage.count:
            raise Refused(f"an unknown storage {key[:100]}")
        storage.fill(file.read(count * storage.dtype.itemsize))
    return result


def _tensors(top: Any) -> Iterator[tuple[str, _Tensor]]:
    """Every tensor below ``top`` with its dotted name; PyTorch's module tables leave no trace.

    What contains itself is not entered again.
    """
    open_ones: list[tuple[int, str, Iterator]] = [(0, "", iter([("_modules", top)]))]
    for _ in range(MOST_VISITS):
        _, prefix, items = open_ones[-1]
        key, value = next(items, (None, None))
        if key is None:
            open_ones.pop()
            if not open_ones:
                return
            continue
        name = prefix if key in ("_parameters", "_buffers", "_modules") else f"{prefix}{key}."
        if len(open_ones) > MOST_NESTED or len(name) > LONGEST_NAME or not name.isprintable():
            raise Refused(f"the name {name[:100]!r}, which is too long, too deep or not printable")
        if isinstance(value, Module):
            value = value.attributes
        if isinstance(value, _Tensor):
            yield name.rstrip("."), value
            continue
        is_table = isinstance(value, dict)
        if not is_table and type(value) not in (list, tuple):
            continue
        if all(identity != id(value) for identity, *_ in open_ones):
            pairs = value.items() if is_table else enumerate(value)
            open_ones.append((id(value), name, iter(pairs)))
    raise Refused(f"more than {MOST_VISITS} values")
