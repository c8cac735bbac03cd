"""The reader of PyTorch checkpoints: what PyTorch wrote, and files that try to do harm."""

import collections
import io
import os
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfgan_ema.errors import UsageError
from tfgan_ema.interop.pytorch import read_tensors

FIXTURES = Path(__file__).parents[1] / "zoo" / "fixtures"


@pytest.fixture
def expected():
    with np.load(FIXTURES / "checkpoint.npz") as file:
        return dict(file)


@pytest.mark.parametrize("form", ["zip", "legacy"])
def test_what_torch_saved(form, expected):
    tensors = read_tensors(FIXTURES / f"checkpoint_{form}.pt")
    assert set(tensors) == set(expected)
    for name, value in expected.items():
        np.testing.assert_array_equal(tensors[name].astype("float32"), value)
    types = {name: tensors[name].dtype.name for name in ("half", "bfloat16", "bool", "long")}
    assert types == {"half": "float16", "bfloat16": "bfloat16", "bool": "bool", "long": "int64"}
    assert tensors["views.0"].shape == (5, 6)  # transposed: strides are followed


def test_torchscript(expected):
    tensors = read_tensors(FIXTURES / "checkpoint_script.pt")
    assert list(tensors)[:2] == ["0.weight", "0.bias"]
    for name in tensors:
        np.testing.assert_array_equal(tensors[name], expected[f"model.{name}"])


def test_a_whole_module_is_refused_by_name():
    with pytest.raises(UsageError, match=r"torch\.nn\.modules\.container\.Sequential"):
        read_tensors(FIXTURES / "checkpoint_module.pt")


class Evil:
    def __init__(self, call, *args):
        self.call, self.args = call, args

    def __reduce__(self):
        return self.call, self.args


def zipped(path, payload, members=(), compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("archive/data.pkl", payload)
        for name, data in members:
            archive.writestr(f"archive/data/{name}", data)


@pytest.mark.parametrize("container", ["pickle", "zip"])
@pytest.mark.parametrize("call", [os.system, eval, getattr, io.open])
def test_code_does_not_run(tmp_path, container, call):
    trap = tmp_path / "trap"
    argument = f"touch {trap}" if call is os.system else f"open({str(trap)!r}, 'w')"
    payload = pickle.dumps({"w": Evil(call, argument)})
    path = tmp_path / "evil.pt"
    if container == "zip":
        zipped(path, payload)
    else:
        path.write_bytes(payload)
    with pytest.raises(UsageError, match="refused") as error:
        read_tensors(path)
    assert not trap.exists()
    assert "\n" not in str(error.value)


def test_state_cannot_be_set_on_functions(tmp_path):
    """BUILD on the rebuilding function could otherwise change it for the files that follow."""
    path = tmp_path / "evil.pt"
    path.write_bytes(b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\nN}U\x09_functionNs\x86b.")
    with pytest.raises(UsageError):
        read_tensors(path)
    assert read_tensors(FIXTURES / "checkpoint_zip.pt")["parameter"].tolist() == [1, 1]


def tensor_pickle(count, offset, shape, strides, kind="FloatStorage"):
    """A state dict of one tensor ``w``, written by hand."""

    def number(n):
        return b"J" + struct.pack("<i", n)

    def numbers(values):
        return b"(" + b"".join(map(number, values)) + b"t"

    pid = (
        b"(X\x07\x00\x00\x00storage" + f"ctorch\n{kind}\n".encode()
        + b"X\x01\x00\x00\x000X\x03\x00\x00\x00cpu" + number(count) + b"tQ"
    )  # fmt: skip
    args = (
        b"(" + pid + number(offset) + numbers(shape) + numbers(strides)
        + b"\x89ccollections\nOrderedDict\n)Rt"
    )  # fmt: skip
    return b"\x80\x02}X\x01\x00\x00\x00wctorch._utils\n_rebuild_tensor_v2\n" + args + b"Rs."


@settings(deadline=None, max_examples=60)
@given(
    offset=st.integers(-3, 30),
    shape=st.lists(st.integers(-1, 6), max_size=3),
    data=st.data(),
)
def test_views_stay_inside_their_storage(tmp_path_factory, offset, shape, data):
    """Any offset, shape and strides: the right values, or a refusal, and never other memory."""
    strides = data.draw(st.lists(st.integers(-1, 8), min_size=len(shape), max_size=len(shape)))
    values = np.arange(20, dtype="<f4")
    path = tmp_path_factory.mktemp("views") / "w.pt"
    zipped(path, tensor_pickle(20, offset, shape, strides), [("0", values.tobytes())])
    size = int(np.prod(shape)) if shape else 1
    if min([0, offset, *shape, *strides]) < 0:
        inside = False
    else:
        reach = offset + sum((n - 1) * s for n, s in zip(shape, strides, strict=True))
        inside = size == 0 or (reach < 20 and size <= 20)
    if not inside:
        with pytest.raises(UsageError):
            read_tensors(path)
        return
    tensor = read_tensors(path)["w"]
    assert tensor.shape == tuple(shape)
    for index in np.ndindex(*shape):
        at = offset + sum(i * s for i, s in zip(index, strides, strict=True))
        assert tensor[index] == values[at]


def test_a_storage_larger_than_its_bytes_is_refused(tmp_path):
    path = tmp_path / "w.pt"
    zipped(path, tensor_pickle(2**30, 0, [2], [1]), [("0", b"\0" * 8)])
    with pytest.raises(UsageError, match="1073741824 values in 8 bytes"):
        read_tensors(path)


def test_a_compression_bomb_is_refused(tmp_path):
    path = tmp_path / "w.pt"
    zipped(
        path,
        tensor_pickle(2**22, 0, [2**22], [1]),
        [("0", b"\0" * 2**24)],
        zipfile.ZIP_DEFLATED,
    )
    with pytest.raises(UsageError, match="compressed"):
        read_tensors(path)


def test_unknown_types_are_refused(tmp_path):
    path = tmp_path / "w.pt"
    zipped(path, tensor_pickle(2, 0, [2], [1], "QInt8Storage"), [("0", b"\0" * 8)])
    with pytest.raises(UsageError, match="QInt8Storage"):
        read_tensors(path)


def test_cycles_end(tmp_path):
    cycle = collections.OrderedDict(a=1)
    cycle["self"] = cycle
    path = tmp_path / "cycle.pt"
    path.write_bytes(pickle.dumps(cycle))
    assert read_tensors(path) == {}


@pytest.mark.parametrize("form", ["zip", "legacy", "script"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.99])
def test_cut_files_give_one_line(tmp_path, form, share):
    data = (FIXTURES / f"checkpoint_{form}.pt").read_bytes()
    path = tmp_path / "cut.pt"
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(UsageError) as error:
        read_tensors(path)
    assert "\n" not in str(error.value)
    assert "cut.pt" in str(error.value)


def test_a_missing_file(tmp_path):
    with pytest.raises(UsageError, match="no such file"):
        read_tensors(tmp_path / "none.pt")


def test_nothing_can_be_set_on_what_a_pickle_names(tmp_path):
    """Neither on functions nor on types nor on the class that stands for all others."""
    path = tmp_path / "evil.pt"
    for named in (b"ctorch\nfloat32\n", b"ctorch._utils\n_rebuild_parameter\n", b"cnumpy\ndtype\n"):
        for state in (b"}U\x0c__setstate__Ns", b"N}U\x0c__setstate__Ns\x86"):
            path.write_bytes(b"\x80\x02" + named + state + b"b.")
            with pytest.raises(UsageError):
                read_tensors(path)
    assert len(read_tensors(FIXTURES / "stylegan2_small.pkl")) > 10


def test_modules_in_cycles_end(tmp_path):
    path = tmp_path / "cycle.pt"
    path.write_bytes(b"\x80\x02cnumpy\ndtype\n)Rq\x00}U\x04selfh\x00sb.")
    assert read_tensors(path) == {}
