"""The set that samples are compared with: its statistics are computed once and kept on disk."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tfgan_ema import data, progress
from tfgan_ema.cache import cache_dir
from tfgan_ema.data.source import Source
from tfgan_ema.errors import UsageError
from tfgan_ema.metrics import features, manifold, statistics
from tfgan_ema.metrics.statistics import Statistics


@dataclass
class Reference:
    """Statistics of a reference set by feature space, from memory, a file, the cache or images.

    The cache's files are named by a hash of the samples, so that equal sets share them.
    The attributes are the arguments of `Evaluator` for its reference, which is ``origin`` here, and
    ``known``, the statistics in memory.
    """

    origin: str | os.PathLike | Source
    samples: int | None
    batch: int
    split: str
    data_dir: str | os.PathLike | None
    progress: bool
    known: dict[str, Statistics] = field(default_factory=dict)
    _paths: dict[str, Path] = field(default_factory=dict)  # of the spaces kept in the cache

    def statistics(self, space: str, shape: tuple[int, ...], needs: set[str]) -> Statistics:
        """The statistics in one feature space.

        Args:
            space: its name.
            shape: of the samples that are compared with the reference.
            needs: ``"moments"``, ``"features"``, ``"radii"``, or several.

        Raises:
            UsageError: the reference cannot be loaded, or its samples have another shape.
        """
        keep = needs != {"moments"}
        if space not in self.known:
            is_file = not isinstance(self.origin, Source) and str(self.origin).endswith(".npz")
            read = self._from_file if is_file else self._from_set
            self.known[space] = read(space, shape, keep)
        known = self.known[space]
        if known.shape != shape:
            raise UsageError(
                f"the samples have shape {shape} and the reference {known.shape}: bring the "
                "reference to the samples' size (image_size)."
            )
        if "radii" in needs and known.radii is None:
            known.radii = manifold.radii(known.features)  # takes as long as all else together
            if space in self._paths:
                statistics.save(self._paths[space], [known])
        return known

    def _from_file(self, space: str, shape: tuple[int, ...], keep: bool) -> Statistics:
        stored = statistics.load(Path(self.origin), space)
        if keep and stored.features is None:
            raise UsageError(
                f"{self.origin} holds moments alone: it serves Frechet distances; give the images "
                "for the other metrics."
            )
        return stored

    def _from_set(self, space: str, shape: tuple[int, ...], keep: bool) -> Statistics:
        source = self._source(shape)
        count = self.samples or source.count
        if count > source.count:
            raise UsageError(
                f"reference_samples {count}: the reference {source.name} has {source.count}."
            )
        indices = np.arange(count) * source.count // count  # evenly spread
        digest = hashlib.sha256(f"{features.version(space)} {source.shape}".encode())
        for samples in batches(source, indices, 1000, f"reading {source.name}", show=self.progress):
            digest.update(np.ascontiguousarray(samples))
        folder = cache_dir(self.data_dir) / "statistics"
        path = self._paths[space] = folder / f"{space}-{digest.hexdigest()[:32]}.npz"
        with contextlib.suppress(UsageError):  # a missing or damaged file is made anew
            stored = statistics.load(path, space)
            if stored.features is not None or not keep:
                return stored
        drawn = batches(source, indices, self.batch, f"reference {space}", show=self.progress)
        computed = statistics.collect(drawn, {space: keep})[space]
        statistics.save(path, [computed])
        return computed

    def _source(self, shape: tuple[int, ...]) -> Source:
        if isinstance(self.origin, Source):
            return self.origin
        name = _set_name(self.origin)
        size = {"image_size": shape[0], "channels": shape[2]} if len(shape) == 3 else {}
        split = "train" if name.startswith("folder:") else self.split
        return data.load(name, split=split, data_dir=self.data_dir, **size)


def check_reference(origin: object, split: str) -> None:
    """Refuses a reference that cannot be there; nothing is read or downloaded.

    Raises:
        UsageError: neither a source nor a known set, a folder or a file that exists.
    """
    if isinstance(origin, Source):
        return
    if not isinstance(origin, str | os.PathLike):
        raise UsageError(f"reference {origin!r}: expected a data set, a folder or an npz file.")
    if str(origin).endswith(".npz"):
        if not Path(origin).is_file():
            raise UsageError(f"no file {origin}: expected statistics in an npz file.")
        return
    name = _set_name(origin)
    data.check(name, "train" if name.startswith("folder:") else split)


def unseen(reference: object, held_out: object) -> object:
    """The origin of images that were not trained on: those given, or the reference's ``test``.

    Raises:
        UsageError: they cannot be there.
    """
    named = isinstance(reference, str) and not reference.endswith(".npz")
    if held_out is None and not (named and not _set_name(reference).startswith("folder:")):
        raise UsageError(
            "fld compares with images that were not trained on: give held_out='DATASET', or a "
            "folder of them."
        )
    origin = reference if held_out is None else held_out
    check_reference(origin, "test")
    return origin


def _set_name(origin: str | os.PathLike) -> str:
    """What `data.load` calls a reference."""
    name = os.fspath(origin)
    return f"folder:{name}" if Path(name).is_dir() else name


def batches(
    source: Source, indices: np.ndarray, size: int, what: str, *, show: bool
) -> Iterator[np.ndarray]:
    """The samples of these indices, ``size`` at a time; ``what`` names them in a bar."""
    parts = [indices[start : start + size] for start in range(0, len(indices), size)]
    for part in progress.track(parts, what, len(parts), show=show):
        yield source.batch(part)[0]
