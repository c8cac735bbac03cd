"""Images and 2-D mixtures as step-indexed streams of batches.

    source = data.load("fashion_mnist", image_size=32)
    batches = data.pipeline(source, 64, seed=0)

Importing this loads neither TensorFlow nor TFDS.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfgan_ema.cache import cache_dir
from tfgan_ema.data import catalog, folder, idx, images, mixtures, png, sets, splits
from tfgan_ema.data.batches import pipeline
from tfgan_ema.data.sets import fetch
from tfgan_ema.data.source import Source, label_of
from tfgan_ema.data.splits import choose
from tfgan_ema.errors import (
    Unavailable,
    UsageError,
    build,
    check_memory,
    say,
    unknown,
    whole,
)

__all__ = [
    "MIXTURES", "Source", "Unavailable", "check", "choose", "describe", "fetch", "label_of",
    "load", "load_first", "mixtures", "names", "on_disk", "pipeline", "png",
]  # fmt: skip

MIXTURES = {"ring": mixtures.ring, "grid": mixtures.grid}
_OTHERS = (
    ("stacked_mnist", "28x28x3", "60000 train + 10000 test", "1000", "-", "three digits of MNIST"),
    ("digits", "8x8x1", "1797 train", "10", "-", "bundled with scikit-learn"),
    ("ring", "2", "50000 train", "8", "-", "8 Gaussians on a circle, drawn from a seed"),
    ("grid", "2", "50000 train", "16", "-", "4x4 Gaussians, drawn from a seed"),
    ("folder:PATH", "any", "any", "subfolders", "-", "your images, any format of Pillow"),
    ("idx:PATH", "any", "any", "any", "-", "your idx or idx.gz files"),
    ("tfds:NAME", "any", "any", "any", "-", "any image set of TensorFlow Datasets"),
)


def names() -> list[str]:
    """The names that `load` knows, besides ``folder:PATH``, ``idx:PATH`` and ``tfds:NAME``."""
    return sorted([*sets.SETS, *sets.BUILT_OF, *MIXTURES, "digits"])


def load(
    name: str,
    *,
    split: str = "train",
    image_size: int | None = None,
    channels: int | None = None,
    data_dir: str | Path | None = None,
    labels: bool = False,
    **options: Any,
) -> Source:
    """A data set by name; the published sets are downloaded if they are not in the cache.

    Args:
        name: one of `names`, ``folder:PATH``, ``idx:PATH`` (an idx file or a folder of them, plain
            or gzipped) or ``tfds:NAME``.
        split: ``"train"`` or ``"test"``, or a slice of one, such as ``"train[:90%]"``; see
            `splits`. Digits, mixtures, folders and single idx files have only ``"train"``.
        image_size: height and width. 28-pixel images reach 32 by black padding, everything else
            by a centre crop and antialiased resizing. ``None`` keeps the set's own size.
        channels: 1 (luma) or 3; ``None`` keeps the set's own, 3 for folders.
        data_dir: the cache; ``None`` means `tfgan_ema.cache.cache_dir`.
        labels: whether the set must have labels.
        **options: of a mixture: ``count``, ``seed``, ``sigma``, ... (see `mixtures`).

    Raises:
        UsageError: an unknown name, split or option, a folder without images, ...
        Unavailable: the set cannot be downloaded here.
    """
    part = check(name, split)
    kind, _, argument = name.partition(":")
    path, root = Path(argument).expanduser(), cache_dir(data_dir)
    if name in MIXTURES and (image_size or channels):
        raise UsageError(f"{name!r} holds points: it takes no image_size and no channels.")
    if image_size is not None:
        check_memory(f"image_size {image_size}", 3 * whole("image_size", image_size) ** 2)
    if channels is not None and whole("channels", channels) not in (1, 3):
        raise UsageError(f"channels {channels}: expected 1 (grey) or 3 (colour).")
    if options and name not in MIXTURES:
        raise UsageError(f"data set {name!r} takes no option {', '.join(sorted(options))}.")
    if name in MIXTURES:
        points, modes = build("data set", name, MIXTURES, options)
        source = Source(name, points, modes, int(modes.max()) + 1)
    elif name in sets.SETS:
        source = sets.load(name, part.split, image_size, channels, root)
    elif name == sets.STACKED:
        source = sets.stacked(part.split, image_size, channels, root)
    elif name == "digits":
        source = _resident(name, _digits(), image_size, channels)
        source = dataclasses.replace(source, class_names=tuple("0123456789"))
    elif kind == "folder":
        source = folder.load(path, image_size, channels, root)
    elif kind == "idx":
        source = _resident(name, idx.load(path, part.split), image_size, channels)
    else:
        source = catalog.load(argument, part, image_size, channels, root)
    source = source if kind == "tfds" else part.of(source)  # TFDS reads no more than a slice
    return source.require_labels() if labels else source


def check(name: str, split: str = "train") -> splits.Part:
    """Refuses what `load` cannot find, without reading or downloading anything.

    Returns:
        The part of the set that the split means.

    Raises:
        UsageError: an unknown set or split, or a folder or a file that does not exist.
    """
    kind, _, argument = name.partition(":") if isinstance(name, str) else (None, "", "")
    known = kind in ("folder", "idx", "tfds") and argument
    if not known and (not isinstance(name, str) or name not in names()):
        raise unknown("data set", name, [*names(), "folder:PATH", "idx:PATH", "tfds:NAME"])
    if not isinstance(split, str) or not split:
        raise UsageError(f"split {split!r}: expected a name, such as 'train' or 'test'.")
    part = splits.parse(split)
    kept = sets.SETS.get(sets.BUILT_OF.get(kind, kind))
    if kept and part.split not in kept.splits:
        raise unknown(f"split of {name!r}", part.split, kept.splits)
    if part.split != "train" and kind in (*MIXTURES, "digits", "folder"):
        raise UsageError(f"data set {name!r} has no split {part.split!r}, only 'train'.")
    path = Path(argument).expanduser()
    if kind == "folder" and not path.is_dir():
        raise UsageError(f"no folder {str(path)!r}: folder:PATH takes a folder of images.")
    if kind == "idx" and not path.exists():
        raise UsageError(f"no idx file or folder at {path}.")
    return part


def load_first(candidates: Sequence[str], **arguments: Any) -> Source:
    """The first of several sets that is available; a notice on stderr says why others were not.

    Args:
        candidates: names for `load`, best first; at least one.
        **arguments: for `load`.
    """
    for name, substitute in itertools.pairwise(candidates):
        try:
            return load(name, **arguments)
        except Unavailable as reason:
            say(f"{reason} Trying {substitute!r} instead of {name!r}.")
    return load(candidates[-1], **arguments)


def on_disk(name: str, data_dir: str | Path | None = None) -> bool:
    """Whether `load` gives the set of this name without a download."""
    root = cache_dir(data_dir)
    if name.startswith("tfds:"):
        return catalog.on_disk(name.removeprefix("tfds:"), root)
    return name not in (*sets.SETS, *sets.BUILT_OF) or sets.folder(name, root).is_dir()


def describe(data_dir: str | Path | None = None) -> list[tuple[str, ...]]:
    """What `load` offers, as rows of text; nothing is downloaded or read.

    Returns:
        For each set its name, image size, number of images, number of classes, whether it is in
        the cache (``"yes"``, ``"no"``, or ``"-"`` where nothing is downloaded), and its origin.
    """
    root = cache_dir(data_dir)
    rows = [
        (
            name,
            "x".join(map(str, this.shape)),
            " + ".join(f"{count} {split}" for split, (count, _) in this.splits.items()),
            str(len(this.class_names)),
            "yes" if sets.folder(name, root).is_dir() else "no",
            f"TFDS or the {this.package}",
        )
        for name, this in sets.SETS.items()
    ]
    return [*rows, *_OTHERS]


def _digits() -> tuple[np.ndarray, np.ndarray]:
    """scikit-learn's 1,797 digits of 8x8, their 17 levels stretched to 0..255."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    levels = np.rint(digits.images * (255 / 16)).astype(np.uint8)
    return levels[..., None], digits.target.astype(np.int32)


def _resident(name: str, arrays: tuple, image_size: int | None, channels: int | None) -> Source:
    samples, labels = arrays
    size = image_size or samples.shape[1]
    check_memory(f"image_size {size}", len(samples) * size**2 * (channels or samples.shape[3]))
    samples = images.fit_arrays(samples, image_size, channels or samples.shape[3])
    return Source(name, samples, labels, None if labels is None else int(labels.max()) + 1)
