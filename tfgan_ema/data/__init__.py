"""Images and 2-D mixtures as step-indexed streams of batches.

    source = data.load("fashion_mnist", image_size=32)
    batches = data.pipeline(source, 64, seed=0)

Importing this loads neither TensorFlow nor TFDS.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tfgan_ema.cache import cache_dir
from tfgan_ema.data import catalog, folder, idx, images, mixtures, packages, png, sets
from tfgan_ema.data.batches import pipeline
from tfgan_ema.data.errors import Unavailable, say
from tfgan_ema.data.sets import fetch
from tfgan_ema.data.source import Source
from tfgan_ema.errors import UsageError, unknown

__all__ = [
    "Entry", "Source", "Unavailable", "describe", "fetch", "load", "load_first", "mixtures",
    "names", "on_disk", "pipeline", "png",
]  # fmt: skip

_MIXTURES = {"ring": mixtures.ring, "grid": mixtures.grid}
_FORMS = ("folder:PATH", "idx:PATH", "tfds:NAME")


def names() -> list[str]:
    """The names that `load` knows, beside ``folder:PATH``, ``idx:PATH`` and ``tfds:NAME``."""
    return sorted([*sets.SETS, *_MIXTURES, "digits"])


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
    """A data set by name; sets of the catalogue are fetched if they are not in the cache.

    Args:
        name: one of `names`, ``folder:PATH``, ``idx:PATH`` (an idx file or a folder of them, plain
            or gzipped) or ``tfds:NAME``.
        split: ``"train"`` or ``"test"``; bundled sets, mixtures and folders have only ``"train"``.
        image_size: height and width. 28-pixel images reach 32 by black padding, everything else
            by a centre crop and antialiased resizing. ``None`` keeps the set's own size.
        channels: 1 (luma) or 3; ``None`` keeps the set's own, 3 for folders.
        data_dir: the cache; ``None`` means `tfgan_ema.cache.cache_dir`.
        labels: whether the set must have labels.
        **options: of a mixture: ``count``, ``seed``, ``sigma``, ... (see `mixtures`).

    Raises:
        UsageError: an unknown name, split or option, a folder without images, ...
        Unavailable: the set cannot be fetched here.
    """
    if image_size is not None and image_size < 1:
        raise UsageError(f"image_size {image_size}: expected a positive number of pixels.")
    if channels not in (None, 1, 3):
        raise UsageError(f"channels {channels}: expected 1 (grey) or 3 (colour).")
    if options and name not in _MIXTURES:
        raise UsageError(f"data set {name!r} takes no option {', '.join(sorted(options))}.")
    kind, _, argument = name.partition(":")
    root = cache_dir(data_dir)
    if name in _MIXTURES:
        source = _mixture(name, split, image_size, channels, options)
    elif name in sets.SETS:
        source = sets.load(name, split, image_size, channels, root)
    elif name == "digits":
        source = _digits(split, image_size, channels)
    elif kind == "folder" and argument:
        _only_train(name, split)
        source = folder.load(Path(argument).expanduser(), image_size, channels, root)
    elif kind == "idx" and argument:
        found = idx.load(Path(argument).expanduser(), split)
        source = _resident(name, *found, image_size, channels)
    elif kind == "tfds" and argument:
        source = catalog.load(argument, split, image_size, channels, root)
    else:
        raise unknown("data set", name, [*names(), *_FORMS])
    return source.require_labels() if labels else source


def on_disk(name: str, data_dir: str | Path | None = None) -> bool:
    """Whether `load` gives the set of this name without a download."""
    root = cache_dir(data_dir)
    if name.startswith("tfds:"):
        return catalog.on_disk(name.removeprefix("tfds:"), root)
    return name not in sets.SETS or sets.folder(name, root).is_dir()


def load_first(candidates: Sequence[str], **arguments: Any) -> Source:
    """The first of several sets that can be had here; says on stderr which, and why not another.

    Args:
        candidates: names for `load`, best first.
        **arguments: for `load`.
    """
    for name, substitute in zip(candidates, [*candidates[1:], None], strict=True):
        try:
            return load(name, **arguments)
        except Unavailable as reason:
            if substitute is None:
                raise
            say(f"{reason} Trying {substitute!r} instead of {name!r}.")
    raise UsageError("load_first: expected at least one name.")


@dataclass(frozen=True)
class Entry:
    """A line of ``tfgan-ema data list``: a name and what it stands for.

    ``cached`` is ``None`` for what needs no download.
    """

    name: str
    shape: str
    count: str
    classes: str
    origin: str
    cached: bool | None = None


def describe(data_dir: str | Path | None = None) -> list[Entry]:
    """What `load` can give, for people; nothing is fetched or read."""
    root = cache_dir(data_dir)
    entries = [
        Entry(
            name,
            "x".join(map(str, this.shape)),
            " + ".join(f"{count} {split}" for split, count in this.counts.items()),
            str(this.num_classes),
            f"TFDS or the {packages.PACKAGES[name]}",
            sets.folder(name, root).is_dir(),
        )
        for name, this in sets.SETS.items()
    ]
    return [
        *entries,
        Entry("digits", "8x8x1", "1797 train", "10", "bundled with scikit-learn"),
        Entry("ring", "2", "50000 train", "8", "8 Gaussians on a circle, drawn from a seed"),
        Entry("grid", "2", "50000 train", "16", "4x4 Gaussians, drawn from a seed"),
        Entry("folder:PATH", "any", "any", "subfolders", "your images, any format of Pillow"),
        Entry("idx:PATH", "any", "any", "any", "your idx or idx.gz files"),
        Entry("tfds:NAME", "any", "any", "any", "any image set of TensorFlow Datasets"),
    ]


def _mixture(
    name: str, split: str, image_size: int | None, channels: int | None, options: dict[str, Any]
) -> Source:
    _only_train(name, split)
    if image_size or channels:
        raise UsageError(f"{name!r} holds points: it takes no image_size and no channels.")
    known = inspect.signature(_MIXTURES[name]).parameters
    for option in options:
        if option not in known:
            raise unknown(f"option of {name!r}", option, known)
    points, modes = _MIXTURES[name](**options)
    return Source(name, points, modes, int(modes.max()) + 1)


def _digits(split: str, image_size: int | None, channels: int | None) -> Source:
    """scikit-learn's 1,797 digits of 8x8, their 17 levels stretched to 0..255."""
    from sklearn.datasets import load_digits

    _only_train("digits", split)
    bundle = load_digits()
    samples = np.rint(bundle.images * (255 / 16)).astype(np.uint8)[..., None]
    return _resident("digits", samples, bundle.target.astype(np.int32), image_size, channels)


def _resident(
    name: str,
    samples: np.ndarray,
    labels: np.ndarray | None,
    image_size: int | None,
    channels: int | None,
) -> Source:
    """A `Source` in memory from uint8 images [n, h, w, c], brought to size and channels."""
    samples = images.fit_arrays(samples, image_size, channels)
    return Source(name, samples, labels, None if labels is None else int(labels.max()) + 1)


def _only_train(name: str, split: str) -> None:
    if split != "train":
        raise UsageError(f"data set {name!r} has no split {split!r}, only 'train'.")
