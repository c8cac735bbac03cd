"""Sets by name: mixtures, digits, idx files."""

import gzip
import struct
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats
from sklearn.datasets import load_digits

from tfgan_ema import data
from tfgan_ema.data import idx, sets
from tfgan_ema.data.source import Source
from tfgan_ema.errors import UsageError


def test_importing_loads_nothing_heavy():
    heavy = ("tensorflow", "keras", "tensorflow_datasets", "sklearn", "matplotlib", "scipy")
    program = f"import sys, tfgan_ema.data; print([m for m in {heavy} if m in sys.modules])"
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert said.stdout.strip() == "[]", said.stderr


# ------------------------------------------------------------------ mixtures


def test_ring_is_eight_gaussians_on_the_unit_circle():
    ring = data.load("ring")
    assert (ring.shape, ring.count, ring.num_classes) == ((2,), 50_000, 8)
    points, modes = ring.batch(np.arange(ring.count))
    assert points.dtype == np.float32
    angle = np.pi / 4 * modes
    residual = points - np.stack([np.cos(angle), np.sin(angle)], axis=1)
    assert stats.kstest(residual.ravel() / 0.01, "norm").pvalue > 1e-4
    assert stats.chisquare(np.bincount(modes)).pvalue > 1e-4


def test_grid_is_sixteen_gaussians_one_apart():
    grid = data.load("grid", count=20_000, seed=3)
    assert (grid.count, grid.num_classes) == (20_000, 16)
    points, modes = grid.batch(np.arange(grid.count))
    centers = np.array([[x, y] for x in (-1.5, -0.5, 0.5, 1.5) for y in (-1.5, -0.5, 0.5, 1.5)])
    assert stats.kstest((points - centers[modes]).ravel() / 0.2, "norm").pvalue > 1e-4
    assert stats.chisquare(np.bincount(modes)).pvalue > 1e-4


def test_a_mixture_follows_its_seed_and_options():
    first, again = (data.load("ring", count=100, seed=1).samples for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert (data.load("ring", count=100, seed=2).samples != first).any()
    far = data.load("ring", count=100, radius=5.0, sigma=1e-6).samples
    np.testing.assert_allclose(np.linalg.norm(far, axis=1), 5, atol=1e-4)


# -------------------------------------------------------------------- digits


def test_digits_are_scikit_learns():
    digits = data.load("digits")
    assert (digits.shape, digits.count, digits.num_classes) == ((8, 8, 1), 1797, 10)
    bundle = load_digits()
    np.testing.assert_allclose(
        digits.samples[..., 0] * (16 / 255), bundle.images, atol=0.5 * 16 / 255
    )
    np.testing.assert_array_equal(digits.batch([5, 3])[1], bundle.target[[5, 3]])
    large = data.load("digits", image_size=32, channels=3)
    assert large.shape == (32, 32, 3)
    # an area average of the enlarged digit is the digit again, but for the filter's ringing
    small = large.samples[..., 0].reshape(-1, 8, 4, 8, 4).mean(axis=(2, 4))
    assert np.abs(small - digits.samples[..., 0]).mean() < 12


# ----------------------------------------------------------------------- idx


def idx_bytes(array):
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


@settings(max_examples=30, deadline=None)
@given(
    hnp.arrays(np.uint8, hnp.array_shapes(min_dims=1, max_dims=4, max_side=5)),
    st.booleans(),
)
def test_idx_bytes_come_back(array, gzipped):
    raw = idx_bytes(array)
    np.testing.assert_array_equal(idx.parse(gzip.compress(raw) if gzipped else raw), array)


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=64))
def test_other_bytes_are_no_idx_file(raw):
    try:
        idx.parse(raw)
    except (ValueError, EOFError, OSError):
        return
    assert raw[:2] == b"\0\0"  # it was one


@pytest.fixture
def mnist_like(tmp_path):
    random = np.random.default_rng(0)
    arrays = {}
    for split, word, n in (("train", "train", 5), ("test", "t10k", 3)):
        x, y = random.integers(0, 256, (n, 28, 28), dtype=np.uint8), np.arange(n, dtype=np.uint8)
        (tmp_path / f"{word}-images-idx3-ubyte").write_bytes(idx_bytes(x))
        (tmp_path / f"{word}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx_bytes(y)))
        arrays[split] = x, y
    return tmp_path, arrays


@pytest.mark.parametrize("split", ["train", "test"])
def test_idx_folder_has_splits_and_labels(mnist_like, split):
    folder, arrays = mnist_like
    source = data.load(f"idx:{folder}", split=split, labels=True)
    samples, labels = source.batch(np.arange(source.count))
    np.testing.assert_array_equal(samples[..., 0], arrays[split][0])
    np.testing.assert_array_equal(labels, arrays[split][1])


def test_idx_file_alone(mnist_like):
    folder, _ = mnist_like
    (folder / "train-labels-idx1-ubyte.gz").unlink()
    source = data.load(f"idx:{folder / 'train-images-idx3-ubyte'}", image_size=32)
    assert (source.shape, source.labels, source.num_classes) == ((32, 32, 1), None, None)
    with pytest.raises(UsageError, match="no labels"):
        data.load(f"idx:{folder / 'train-images-idx3-ubyte'}", labels=True)


def test_broken_idx_files_are_named(mnist_like):
    folder, _ = mnist_like
    path = folder / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UsageError, match="header says"):
        data.load(f"idx:{path}")
    with pytest.raises(UsageError, match="no idx file"):
        data.load(f"idx:{folder / 'nothing'}")
    (folder / "t10k-labels-idx1-ubyte.gz").write_bytes(idx_bytes(np.zeros(2, np.uint8)))
    with pytest.raises(UsageError, match="has 3 images"):
        data.load(f"idx:{folder}", split="test")


@pytest.mark.parametrize(
    "labels",
    [
        np.array([0, -1, 2], ">i4"),
        np.array([0, np.nan, 2], ">f4"),
        np.array([0, 65_536, 2], ">i4"),  # a table for each would fill the memory
    ],
)
def test_idx_labels_are_whole_numbers(mnist_like, labels):
    folder, _ = mnist_like
    kind = 0x0C if labels.dtype.kind == "i" else 0x0D
    header = struct.pack(">BBBBI", 0, 0, kind, 1, 3)
    (folder / "t10k-labels-idx1-ubyte.gz").write_bytes(header + labels.tobytes())
    with pytest.raises(UsageError, match="other labels than whole numbers from 0"):
        data.load(f"idx:{folder}", split="test")


def test_idx_files_without_pixels_are_refused(mnist_like):
    folder, _ = mnist_like
    for shape in ((0, 28, 28), (5, 0, 0)):
        (folder / "train-images-idx3-ubyte").write_bytes(idx_bytes(np.zeros(shape, np.uint8)))
        with pytest.raises(UsageError, match="expected 8-bit images"):
            data.load(f"idx:{folder}")


# -------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("fashion_mist", {}, "did you mean 'fashion_mnist'"),
        ("folder:", {}, "unknown data set"),
        ("digits", {"split": "test"}, "only 'train'"),
        ("cifar10", {"split": "valid"}, "unknown split"),
        ("digits", {"image_size": 0}, "image_size 0"),
        ("digits", {"channels": 2}, "channels 2"),
        ("digits", {"count": 5}, "takes no option count"),
        ("ring", {"sigmas": 5}, "did you mean 'sigma'"),
        ("ring", {"image_size": 32}, "points"),
        ("folder:/tmp", {}, "image_size"),
    ],
)
def test_bad_requests_are_one_line(name, arguments, words, tmp_path):
    with pytest.raises(UsageError, match=words) as error:
        data.load(name, data_dir=tmp_path, **arguments)
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_stacked_mnist_has_a_digit_in_each_colour(monkeypatch, rng):
    pixels, labels = rng.integers(0, 256, (50, 28, 28, 1), dtype=np.uint8), np.arange(50) % 10
    monkeypatch.setattr(
        sets, "load", lambda name, split, size, channels, root: Source(name, pixels, labels, 10)
    )
    source = data.load("stacked_mnist", split="test")
    assert (source.shape, source.count, source.num_classes) == ((28, 28, 3), 50, 1000)
    for colour, place in enumerate((100, 10, 1)):
        found = [
            np.flatnonzero((pixels[..., 0] == image[..., colour]).all(axis=(1, 2))).item()
            for image in source.samples
        ]
        assert sorted(found) == list(range(50))
        assert found != sorted(found)
        np.testing.assert_array_equal(source.labels // place % 10, labels[found])
    assert source.class_names[source.labels[0]] == f"{source.labels[0]:03d}"
    np.testing.assert_array_equal(data.load("stacked_mnist").samples, source.samples)
    with pytest.raises(UsageError, match="split of 'stacked_mnist'"):
        data.load("stacked_mnist", split="validation")
