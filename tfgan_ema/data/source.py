"""What every data set becomes: an array of samples that gives any rows by index."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tfgan_ema.errors import UsageError


@dataclass(frozen=True, eq=False)
class Source:
    """A data set with random access.

    Attributes:
        name: what it was loaded by.
        samples: uint8 images [count, h, w, c] or float32 points [count, 2]; resident in memory or
            mapped from the cache.
        labels: int32 class indices [count], or ``None``.
        num_classes: how many classes there are, or ``None``.
        class_names: their names by index, or ``None`` where they have none.
    """

    name: str
    samples: np.ndarray
    labels: np.ndarray | None = None
    num_classes: int | None = None
    class_names: tuple[str, ...] | None = None

    @property
    def count(self) -> int:
        """The number of samples."""
        return len(self.samples)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one sample: (h, w, c) for images, (2,) for points."""
        return tuple(self.samples.shape[1:])

    def batch(self, indices: Sequence[int] | np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """The samples [n, *shape] and the int32 labels [n] (or ``None``) of ``indices``, copied."""
        indices = np.asarray(indices)
        labels = None if self.labels is None else self.labels[indices]
        return np.asarray(self.samples)[indices], labels

    def fingerprint(self) -> str:
        """A digest of 64 rows, evenly spread, with their labels."""
        rows, labels = self.batch(np.linspace(0, self.count - 1, min(self.count, 64)).astype(int))
        digest = hashlib.sha256(np.ascontiguousarray(rows).tobytes())
        digest.update(b"" if labels is None else labels.tobytes())
        return digest.hexdigest()[:12]

    def require_labels(self) -> Source:
        """The source itself; raises `UsageError` if it has no labels."""
        if self.labels is None:
            raise UsageError(
                f"data set {self.name!r} has no labels: train without them, or use a set that has "
                "them, such as a folder whose subfolders are the classes."
            )
        return self


@dataclass(frozen=True, eq=False)
class Stream:
    """Which batches of a source are asked for; see `batches.pipeline` for most attributes.

    Attributes:
        rows: the rows of each global batch that are wanted.
        epoch: how many samples an epoch has.
    """

    source: Source
    batch_size: int
    rows: slice
    seed: int
    start: int | Callable[[], int]
    flip: bool
    labels: bool
    shuffle: bool
    epoch: int


def label_of(label: str | int, class_names: Sequence[str] | None) -> int:
    """The index of a class that is given by its name or its number; a name goes first.

    Args:
        label: as a user writes it: ``"dogs"``, ``"3"`` or ``3``.
        class_names: of a `Source`; ``None`` takes any number from 0.

    Raises:
        UsageError: there is no such class; the message gives the names that are nearest.
    """
    names = [*(class_names or ())]
    if label in names:
        return names.index(label)
    if str(label).isdecimal() and (class_names is None or int(label) < len(names)):
        return int(label)
    if class_names is None:
        raise UsageError(f"label {label!r}: these classes have no names, give a number from 0.")
    near = difflib.get_close_matches(str(label), names, n=3, cutoff=0.4) or names[:3]
    raise UsageError(
        f"label {label!r}: expected the name of a class, such as {', '.join(map(repr, near))}, or "
        f"its number, 0 to {len(names) - 1}."
    )
