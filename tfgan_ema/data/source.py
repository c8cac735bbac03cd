"""What every data set becomes: an array of samples that gives any rows by index."""

from __future__ import annotations

from collections.abc import Sequence
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
    """

    name: str
    samples: np.ndarray
    labels: np.ndarray | None = None
    num_classes: int | None = None

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

    def require_labels(self) -> Source:
        """The source itself; raises `UsageError` if it has no labels."""
        if self.labels is None:
            raise UsageError(
                f"data set {self.name!r} has no labels: train without them, or use a set that has "
                "them, such as a folder whose subfolders are the classes."
            )
        return self
