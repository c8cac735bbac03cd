"""What metrics need to know of a set of samples, collected batch by batch, kept in npz files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tfgan_ema import files, reading
from tfgan_ema.errors import UsageError
from tfgan_ema.metrics import features, frechet, manifold

FORMAT = 1
_NOTES = ("version", "shape", "count")
_ARRAYS = ("mean", "covariance", "features", "radii")


@dataclass
class Statistics:
    """A set of samples as seen in one feature space.

    Attributes:
        space: its name.
        version: of the space's weights.
        shape: of one sample.
        count: samples seen.
        mean: float64 ``[d]``.
        covariance: float64 ``[d, d]``, unbiased.
        features: ``[count, d]`` if they were kept.
        probabilities: ``[count, classes]`` if they were kept and the space has classes.
        radii: `manifold.radii` of the features, where they were asked for.
    """

    space: str
    version: str
    shape: tuple[int, ...]
    count: int
    mean: np.ndarray
    covariance: np.ndarray
    features: np.ndarray | None = None
    probabilities: np.ndarray | None = None
    radii: np.ndarray | None = None

    def gaussian(self) -> frechet.Gaussian:
        """The Gaussian of these moments."""
        return frechet.from_covariance(self.mean, self.covariance)

    def part(self, rows: slice) -> Statistics:
        """The statistics of some of the samples, whose features must be there.

        Raises:
            UsageError: fewer than 2 samples.
        """
        features, moments = self.features[rows], frechet.Moments()
        moments.update(features)
        return Statistics(
            self.space, self.version, self.shape, moments.count, moments.mean, moments.covariance,
            features, None if self.probabilities is None else self.probabilities[rows],
        )  # fmt: skip

    def halves(self) -> list[Statistics]:
        """The statistics of every other sample, and of the rest."""
        return [self.part(slice(first, None, 2)) for first in (0, 1)]


def evenly_spread(rows: np.ndarray, most: int) -> np.ndarray:
    """All rows, or ``most`` of them, evenly spread."""
    count = min(len(rows), most)
    return rows[np.arange(count) * len(rows) // count]


def collect(batches: Iterable[np.ndarray], keep: Mapping[str, bool]) -> dict[str, Statistics]:
    """The statistics of a stream of samples in several feature spaces, from one pass.

    Memory: ``16 d^2`` bytes a space for the moments; where features are kept, ``4 (d + classes)``
    bytes a sample as well.

    Args:
        batches: arrays of samples; at least one.
        keep: by feature space, whether the features of each sample are kept.

    Raises:
        UsageError: samples that do not fit a space, or features that are not finite.
    """
    moments = {space: frechet.Moments() for space in keep}
    kept: dict[str, list[features.Embedding]] = {space: [] for space in keep}
    for samples in batches:
        for space in keep:
            embedding = features.embed(space, samples)
            moments[space].update(embedding[0], f"the {space} features")
            if keep[space]:
                kept[space].append(embedding)
    return {
        space: Statistics(
            space, features.version(space), samples.shape[1:],
            seen.count, seen.mean, seen.covariance, *map(_joined, zip(*kept[space], strict=True)),
        )
        for space, seen in moments.items()
    }  # fmt: skip


def _joined(parts: tuple[np.ndarray | None, ...]) -> np.ndarray | None:
    return None if parts[0] is None else np.concatenate(parts)


def save(path: Path, statistics: list[Statistics]) -> None:
    """Writes statistics, whole or not at all; probabilities are left out.

    Raises:
        UsageError: the file cannot be written.
    """
    spaces = {each.space: {name: getattr(each, name) for name in _NOTES} for each in statistics}
    notes = json.dumps({"format": FORMAT, "spaces": spaces})
    arrays = {
        f"{each.space}/{name}": getattr(each, name) for each in statistics for name in _ARRAYS
    }
    kept = {name: array for name, array in arrays.items() if array is not None}
    try:
        with files.replacing(path) as temporary, temporary.open("wb") as stream:
            np.savez(stream, notes=notes, **kept)
    except OSError as error:
        raise UsageError(
            f"cannot write {path} ({error.strerror or error}): choose another folder; "
            "TFGAN_EMA_CACHE names the cache."
        ) from error


def load(path: Path, space: str) -> Statistics:
    """Reads the statistics of one space.

    Raises:
        UsageError: no such file, not one that `save` wrote, or none of this space and version.
    """
    if not path.exists():
        raise UsageError(f"no file {path}: expected statistics in an npz file.")
    with reading.refusing(
        f"{path} is not a statistics file of `tfgan-ema evaluate`",
        "its feature space is unknown; give the images instead.",
    ):
        stored = reading.arrays(path)
        spaces = json.loads(str(stored["notes"]))["spaces"]
        if space not in spaces:
            raise UsageError(
                f"{path} holds statistics of {reading.brief(', '.join(spaces))}, not of {space}: "
                "give a file of this feature space or choose metrics of that one."
            )
        notes = spaces[space]
        if notes["version"] != features.version(space):
            raise UsageError(
                f"{path} holds statistics of {space} version {reading.brief(notes['version'])}, "
                f"this is version {features.version(space)}: make the file anew."
            )
        kept = {name: f"{space}/{name}" for name in _ARRAYS if f"{space}/{name}" in stored}
        arrays = {name: stored[key] for name, key in kept.items()}
        found = Statistics(space, **notes | {"shape": tuple(notes["shape"])} | arrays)
        _check(found)
        return found


def _check(found: Statistics) -> None:
    """Raises `ValueError` unless the parts of statistics fit together."""
    numbers = [found.count, *found.shape, found.mean.size]
    if any(type(n) is not int or n < 1 for n in numbers) or found.count < 2:
        raise ValueError("its count, shape and width are not whole numbers from 1")
    width = found.mean.size
    shapes = {
        "mean": (width,),
        "covariance": (width, width),
        "features": (found.count, width),
        "radii": (found.count, min(manifold.RADII, found.count - 1)),
    }
    for name, shape in shapes.items():
        array = getattr(found, name)
        if array is None and name in ("features", "radii"):
            continue
        if array.shape != shape or array.dtype.kind != "f" or not np.isfinite(array).all():
            raise ValueError(f"its {name} are not finite numbers of shape {shape}")
    if not np.allclose(found.covariance, found.covariance.T):
        raise ValueError("its covariance is not symmetric")
