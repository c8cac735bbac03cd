"""What metrics need to know of a set of samples, collected batch by batch, kept in npz files."""

from __future__ import annotations

import contextlib
import json
import os
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tfgan_ema.errors import UsageError
from tfgan_ema.metrics import features, frechet
from tfgan_ema.metrics.checks import as_features

FORMAT = 1


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
        probabilities: ``[count, classes]`` if they were kept.
        radii: `manifold.radii` of the features by k, as far as they were asked for.
    """

    space: str
    version: str
    shape: tuple[int, ...]
    count: int
    mean: np.ndarray
    covariance: np.ndarray
    features: np.ndarray | None = None
    probabilities: np.ndarray | None = None
    radii: dict[int, np.ndarray] = field(default_factory=dict)

    def gaussian(self) -> frechet.Gaussian:
        """The Gaussian of these moments."""
        return frechet.from_covariance(self.mean, self.covariance)


@dataclass
class Collector:
    """Builds `Statistics` from batches of samples.

    Memory: ``16 d^2`` bytes for the moments; ``4 n d`` for the features and ``4 n classes`` for
    the probabilities of n samples, where they are kept.
    """

    space: str
    keep_features: bool = False
    keep_probabilities: bool = False
    _moments: frechet.Moments = field(default_factory=frechet.Moments)
    _features: list[np.ndarray] = field(default_factory=list)
    _probabilities: list[np.ndarray] = field(default_factory=list)
    _shape: tuple[int, ...] = ()

    def update(self, samples: np.ndarray) -> None:
        """Adds a batch of samples."""
        found, probabilities = features.embed(self.space, samples)
        as_features(found, f"the {self.space} features", keep_single=True)
        self._moments.update(found)
        self._shape = samples.shape[1:]
        if self.keep_features:
            self._features.append(found)
        if self.keep_probabilities:
            self._probabilities.append(probabilities)

    def finish(self) -> Statistics:
        """The statistics of all batches."""
        return Statistics(
            self.space,
            features.version(self.space),
            self._shape,
            self._moments.count,
            self._moments.mean,
            self._moments.covariance,
            np.concatenate(self._features) if self.keep_features else None,
            np.concatenate(self._probabilities) if self.keep_probabilities else None,
        )


def save(path: Path, statistics: list[Statistics]) -> None:
    """Writes statistics, whole or not at all; probabilities and radii are left out.

    Raises:
        UsageError: the file cannot be written.
    """
    notes = {"format": FORMAT, "spaces": {}}
    arrays = {}
    for each in statistics:
        notes["spaces"][each.space] = {
            "version": each.version, "shape": list(each.shape), "count": each.count
        }  # fmt: skip
        for name in ("mean", "covariance", "features"):
            if getattr(each, name) is not None:
                arrays[f"{each.space}/{name}"] = getattr(each, name)
    _write(path, notes=json.dumps(notes), **arrays)


def save_radii(path: Path, radii: np.ndarray) -> None:
    """Writes the radii of one k, whole or not at all.

    Raises:
        UsageError: the file cannot be written.
    """
    _write(path, radii=radii)


def load_radii(path: Path, count: int) -> np.ndarray | None:
    """The radii of ``count`` samples, or ``None`` where the file is missing or damaged."""
    with contextlib.suppress(OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        with np.load(path, allow_pickle=False) as arrays:
            radii = arrays["radii"]
        return radii if radii.shape == (count,) else None
    return None


def _write(path: Path, **arrays: np.ndarray | str) -> None:
    partial = path.with_suffix(f".{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as stream:
            np.savez(stream, **arrays)
        partial.replace(path)
    except OSError as error:
        raise UsageError(f"cannot write {path} ({error.strerror}): name another.") from error
    finally:
        partial.unlink(missing_ok=True)


def load(path: Path, space: str) -> Statistics:
    """Reads the statistics of one space.

    Raises:
        UsageError: no such file, not one that `save` wrote, or none of this space and version.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            notes = json.loads(str(arrays["notes"]))
            held = notes["spaces"]
            if space not in held:
                raise UsageError(
                    f"{path} holds statistics of {', '.join(held)}, not of {space}: give a file of "
                    "this feature space or choose metrics of that one."
                )
            if held[space]["version"] != features.version(space):
                raise UsageError(
                    f"{path} holds statistics of {space} version {held[space]['version']}, this is "
                    f"version {features.version(space)}: make the file anew."
                )
            return Statistics(
                space,
                held[space]["version"],
                tuple(held[space]["shape"]),
                held[space]["count"],
                arrays[f"{space}/mean"],
                arrays[f"{space}/covariance"],
                arrays.get(f"{space}/features"),
            )
    except FileNotFoundError:
        raise UsageError(f"no file {path}: expected statistics in an npz file.") from None
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError(
            f"{path} is not a statistics file of `tfgan-ema evaluate` ({error}): its feature space "
            "is unknown; give the images instead."
        ) from error
