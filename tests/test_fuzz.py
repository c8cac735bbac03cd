"""Bytes of any kind: every loader reads them or says one line, soon and in little memory."""

import copy
import functools
import gzip
import io
import json
import os
import resource
import signal
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import toy
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from configs import base
from tfgan_ema import checkpoint, data, records, runs
from tfgan_ema.data import store
from tfgan_ema.errors import UsageError
from tfgan_ema.interop.pytorch import read_tensors
from tfgan_ema.lab.experiments import cells
from tfgan_ema.metrics import statistics

SECONDS, MEMORY = 10, 2**31
FIXTURES = Path(__file__).parent / "zoo" / "fixtures"
CELL = cells.Cell("c", "module:function", {"x": 1})


def image(form, mode="RGB", **options):
    pixels = np.random.default_rng(0).integers(0, 255, (12, 9, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(file, form, **options)
    return file.getvalue()


def arrays(write):
    """The bytes that ``write(path)`` writes."""

    def made(folder):
        path = folder / "made.npz"
        write(path)
        return path.read_bytes()

    return made


def run_record(folder):
    runs.write_run(folder, base.get_config(), data.load("ring", count=10), None)
    return (folder / "run.json").read_bytes()


def some_statistics(path):
    rng = np.random.default_rng(0)
    kept = statistics.collect([rng.integers(0, 255, (9, 2, 2, 3), np.uint8)], {"pixels": True})
    statistics.save(path, [*kept.values()])


def idx(kind, *shape):
    return b"\0\0" + bytes([kind, len(shape)]) + struct.pack(f">{len(shape)}I", *shape)


@functools.cache
def small_gan():
    return toy.gan("mlp")


def load_folder(path):
    other = path.with_name("other.png")
    other.write_bytes(image("PNG"))
    found = data.load(f"folder:{path.parent}", image_size=4, data_dir=path.parent.parent / "cache")
    assert found.count in (1, 2)


def load_labels(path):
    images = path.with_name("images-idx3-ubyte")
    images.write_bytes(idx(8, 2, 4, 4) + bytes(32))
    found = data.load(f"idx:{images}", labels=True)
    assert 1 <= found.num_classes <= 65_536


def load_prepared(path):
    (path.parent / "images.bin").write_bytes(bytes(96))
    (path.parent / "notes.json").write_text('{"shape": [2, 4, 4, 3]}')
    store.read(path.parent)


TABLE = "step,generator,fid\r\n1,raw,2.5\r\n1,ema,2.25\r\n"
CELL_JSON = {"function": CELL.function, "options": CELL.options, "seconds": 1.0, "result": [{}]}
# what is written, under which name, and what reads it
KINDS = {
    "run": (run_record, "run.json", lambda path: runs.read_run(path.parent)),
    "checkpoint": (
        arrays(lambda path: checkpoint.write(path, checkpoint.to_arrays(small_gan().state()),
                                             step=7)),
        "step_00000007.npz",
        lambda path: checkpoint.restore(small_gan(), path.parent),
    ),
    "statistics": (arrays(some_statistics), "s.npz", lambda path: statistics.load(path, "pixels")),
    "idx": (lambda _: idx(8, 2, 4, 4) + bytes(32), "x", lambda path: data.load(f"idx:{path}")),
    "idx_gz": (
        lambda _: gzip.compress(idx(8, 2, 4, 4) + bytes(32)), "x",
        lambda path: data.load(f"idx:{path}"),
    ),
    "labels": (lambda _: idx(12, 2) + bytes(8), "labels-idx1-ubyte", load_labels),
    "prepared": (
        lambda folder: (np.save(folder / "x.npy", np.zeros(2, np.int32)),
                        (folder / "x.npy").read_bytes())[1],
        "labels.npy", load_prepared,
    ),
    "table": (lambda _: TABLE.encode(), "t.csv", records.read_table),
    "cell": (
        lambda _: json.dumps(CELL_JSON).encode(), "c.json",
        lambda path: cells.record(path.parent.parent, CELL),
    ),
    **{
        f"image_{form}": (functools.partial(lambda form, _: image(form), form), "x.png",
                          load_folder)
        for form in ("PNG", "JPEG", "TIFF", "GIF", "WEBP", "BMP", "PPM")
    },
    **{
        f"pickle_{name}": (
            functools.partial(lambda name, _: (FIXTURES / name).read_bytes(), name),
            "x.pt", read_tensors,
        )
        for name in ("checkpoint_zip.pt", "checkpoint_legacy.pt", "checkpoint_script.pt",
                     "stylegan2_small.pkl")
    },
}  # fmt: skip
EDITS = st.lists(
    st.tuples(
        st.floats(0, 1),
        st.sampled_from(["set", "insert", "drop", "cut", "repeat", "flip"]),
        st.binary(min_size=1, max_size=8) | st.sampled_from([b"\xff" * 4, bytes(8), b"\x7f" * 8]),
    ),
    min_size=1,
    max_size=4,
)


def edited(content, edits):
    for share, how, new in edits:
        at = int(share * max(len(content) - 1, 0))
        rest = content[at:]
        content = (
            content[:at]
            + {
                "set": new + rest[len(new) :],
                "insert": new + rest,
                "drop": rest[len(new) :],
                "cut": b"",
                "repeat": rest[:64] * new[0] + rest,
                "flip": bytes(x ^ 1 << new[0] % 8 for x in rest[:1]) + rest[1:],
            }[how]
        )
    return content


@pytest.fixture(scope="module", autouse=True)
def bounded():
    """No test may take much more memory than is in use before it, nor hang."""
    small_gan()
    old = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, old[1]))

    def hang(*_):
        raise AssertionError(f"more than {SECONDS} seconds")

    before = {number: signal.signal(number, hang) for number in (signal.SIGPROF, signal.SIGALRM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
    resource.setrlimit(resource.RLIMIT_AS, old)


def read_or_refused(load, path):
    """What a loader gives, or the one line with which it refuses."""
    signal.setitimer(signal.ITIMER_PROF, SECONDS)  # of the processor: others may use it too
    signal.alarm(10 * SECONDS)  # for what waits
    try:
        return load(path)
    except UsageError as error:
        line = str(error)
        cause = error.__cause__
        assert not isinstance(cause, MemoryError | AssertionError | NameError), repr(cause)
        assert line.isprintable()
        assert len(line) < 2000
        return line
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.alarm(0)


def fuzz(kind, folder, edits):
    make, name, load = KINDS[kind]
    place = folder / kind
    if not place.exists():
        place.mkdir()
        (folder / f"{kind}.valid").write_bytes(make(folder))
    if kind == "cell":
        place = folder / "cells"
        place.mkdir(exist_ok=True)
    path = place / name
    path.write_bytes(edited((folder / f"{kind}.valid").read_bytes(), edits))
    return read_or_refused(load, path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz")


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_written_is_read(folder, kind):
    assert not isinstance(fuzz(kind, folder, []), str)


@pytest.mark.parametrize("kind", KINDS)
def test_any_bytes(folder, kind):
    @settings(max_examples=15 if kind.startswith("image") else 20)
    @given(EDITS)
    def check(edits):
        fuzz(kind, folder, edits)

    check()


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_many_more_bytes(folder, kind):
    @settings(max_examples=200)
    @given(EDITS)
    def check(edits):
        fuzz(kind, folder, edits)

    check()


# ------------------------------------------------------------------ values of JSON

JUNK = [
    None,
    True,
    -1,
    0,
    1.5,
    1e308,
    2**70,
    "",
    "x",
    "\ud800",
    "a\nb",
    [],
    {},
    [[]],
    [1],
    {"a": 1},
]


def places(tree, at=()):
    """The path of everything in JSON."""
    for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
        yield (*at, key)
        if isinstance(value, dict | list):
            yield from places(value, (*at, key))


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    return json.loads(run_record(tmp_path_factory.mktemp("recorded")))


@settings(max_examples=150)
@given(st.data())
def test_any_values_in_a_run_record(folder, recorded, data):
    run = copy.deepcopy(recorded)
    *above, last = data.draw(st.sampled_from(list(places(run))))
    holder = functools.reduce(lambda tree, key: tree[key], above, run)
    if data.draw(st.booleans()):
        del holder[last]
    else:
        holder[last] = data.draw(st.sampled_from(JUNK))
    path = folder / "run.json"
    path.write_text(json.dumps(run))
    found = read_or_refused(runs.read_run, folder)
    if not isinstance(found, str):  # then what reads its keys finds them
        assert len(tuple(found["data"]["shape"])) in (1, 3)
        on = {key for key, default in base.get_config().items() if default is not None}
        assert on <= found["config"].keys()


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ("config.precision", None, "config: precision is missing"),
        ("config.data.count", "x", "config: data.count 'x': expected int"),
        ("config", [], "damaged"),
        ("data.shape", [8, 8], r"data of shape \[8, 8\]"),
        ("data.shape", [2**40, 8, 3], "data of shape"),
        ("data.num_classes", -1, "with -1 classes"),
        ("data.class_names", [1], "damaged"),
        ("format", 3, "its format is not 2, which this version reads"),
        ("versions", None, "was not written by"),
    ],
)
def test_run_records_that_lack_something(tmp_path, recorded, place, value, message):
    run = copy.deepcopy(recorded)
    *above, last = place.split(".")
    holder = functools.reduce(lambda tree, key: tree[key], above, run)
    if value is None:
        del holder[last]
    else:
        holder[last] = value
    (tmp_path / "run.json").write_text(json.dumps(run))
    with pytest.raises(UsageError, match=message):
        runs.read_run(tmp_path)


# ------------------------------------------------------------ files made to do harm


def pickled(*operations):
    return b"\x80\x02" + b"".join(operations) + b"."


def number(n):
    return b"J" + struct.pack("<i", n)


def laughs(n, empty=b"]", close=b"e"):
    """Lists of ten times the same list, ``n`` deep; ``empty=b"(t"`` and ``close=b"t"``: tuples."""
    start, opened = empty + b"q\0", (b"](" if close == b"e" else b"(")
    levels = (opened + b"h" + bytes([i]) + (b"h" + bytes([i])) * 9 + close + b"q" + bytes([i + 1])
              for i in range(n))  # fmt: skip
    return start + b"".join(levels)


TUPLES = laughs(30, b")", b"t")
STORAGE = b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpu"
REBUILD = b"ctorch._utils\n_rebuild_tensor_v2\n"
BYTES = b"B" + struct.pack("<I", 10**5) + bytes(10**5)
HOSTILE = {
    "a memo of 2^28": pickled(b"Nr\xff\xff\xff\x0f"),
    "lists of lists": pickled(laughs(30)),
    "tuples of tuples as a key": pickled(b"}", TUPLES, b"Ns"),
    "a deep tuple as a key": pickled(b"})", b"\x85" * 500_000, b"Ns"),
    "a deep list": pickled(b"]" * 400_000, b"a" * 399_999),
    "a deep module": pickled(b"cnumpy\ndtype\n)R" * 50_000, b"}Nb" * 2),
    "tuples of tuples as a size": pickled(REBUILD, b"(", STORAGE, number(1), b"tQ", number(0),
                                          TUPLES, TUPLES, b"tR"),
    "tuples of tuples as a count": pickled(STORAGE, TUPLES, b"tQ"),
    "tuples of tuples as an id": pickled(TUPLES, b"Q"),
    "ids of ids": pickled(STORAGE, b"NtQ" * 1000),
    "the same pairs again and again": pickled(
        b"](", b"]" * 200_000, b"eq\0", b"ccollections\nOrderedDict\nq\x01",
        b"0h\x01h\0\x85R" * 50_000,
    ),
    "the same bytes again and again": pickled(
        BYTES, b"q\0ctorch.storage\n_load_from_bytes\nq\x01", b"0h\x01h\0\x85R" * 50_000
    ),
    "a long key again and again": pickled(
        b"X", struct.pack("<I", 10**6), b"x" * 10**6, b"q\0", b"0}h\0Ns" * 50_000
    ),
    "a long number as text": pickled(b"L" + b"9" * 10**6 + b"L\n"),
    "a long number": pickled(b"\x8b" + struct.pack("<i", 10**6) + b"\x7f" * 10**6),
    "bytes of 2^31": pickled(b"\x8b" + struct.pack("<i", 2**31 - 1)),
    "bytes of 2^62": pickled(b"\x8e" + struct.pack("<Q", 2**62)),
    "text of 2^62": pickled(b"\x8d" + struct.pack("<Q", 2**62)),
    "a frame of 2^62": pickled(b"\x95" + struct.pack("<Q", 2**62), b"N"),
    "many empty dictionaries": pickled(b"}" * 20_000_000),
    "names that are not printable": pickled(b"}X\x05\0\0\0\x1b[2Jx", REBUILD, b"(", STORAGE,
                                            number(0), b"tQ", number(0), b")))tRs"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_pickles(tmp_path, name):
    path = tmp_path / "x.pt"
    path.write_bytes(HOSTILE[name])
    found = read_or_refused(read_tensors, path)
    assert found == {} or "cannot be read" in found


def npy(header, content=b""):
    text = header.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\0" + struct.pack("<H", len(text)) + text + content


LIES = {
    "giant": npy("{'descr': '<f8', 'fortran_order': False, 'shape': (1099511627776,)}"),
    "giant and empty": npy("{'descr': '<f8', 'fortran_order': False, 'shape': (0, 2**70)}"),
    "negative": npy("{'descr': '<f8', 'fortran_order': False, 'shape': (-1, -8)}", bytes(64)),
    "objects": npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}", bytes(8)),
    "fields": npy("{'descr': [('a', '<f8')], 'fortran_order': False, 'shape': (1,)}", bytes(8)),
    "a subarray": npy("{'descr': ('<f8', (9999999,)), 'fortran_order': False, 'shape': ()}"),
    "deep": npy("(" * 110),
    "a program": npy("__import__('os').abort()"),
    "nothing": b"",
}


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("name", LIES)
def test_arrays_that_are_not_what_their_header_says(tmp_path, name, compression):
    path = tmp_path / "x.npz"
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("notes.npy", LIES[name])
        archive.writestr("metadata.npy", LIES[name])
    for load in (checkpoint.read, lambda path: statistics.load(path, "pixels")):
        found = read_or_refused(load, path)
        assert isinstance(found, str)
        assert ("is compressed" in found) == (compression == zipfile.ZIP_DEFLATED)


def test_gzip_bombs(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(gzip.compress(idx(8, 10**5, 2, 1000) + bytes(2 * 10**8), 1))
    assert "expands to more than" in read_or_refused(lambda path: data.load(f"idx:{path}"), path)


@pytest.mark.parametrize("name", ["run.json", "x.npz", "x.pt", "t.csv", "x"])
def test_pipes_are_not_waited_for(tmp_path, name):
    path = tmp_path / name
    os.mkfifo(path)
    loads = {
        "run.json": lambda path: runs.read_run(path.parent),
        "x.npz": checkpoint.read,
        "x.pt": read_tensors,
        "t.csv": records.read_table,
        "x": lambda path: data.load(f"idx:{path}"),
    }
    assert isinstance(read_or_refused(loads[name], path), str)


@pytest.mark.parametrize("content", [b"[" * 10**6, b'{"a":' * 10**5, b"1" * 10**6, b"\xff", b"NaN"])
def test_json_that_is_deep_or_no_text(tmp_path, content):
    (tmp_path / "run.json").write_bytes(content)
    assert isinstance(read_or_refused(runs.read_run, tmp_path), str)
