"""Memorisation: are samples nearer to the training set than its own points are to one another?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tfgan_ema.metrics import neighbours
from tfgan_ema.metrics.manifold import balls


@dataclass(frozen=True)
class NearestReal:
    """The nearest real neighbour of each generated sample, and what that says of copying.

    Attributes:
        index: which real sample, ``[m]``.
        distance: the Euclidean distance to it, ``[m]``.
        ratio: the median distance of a sample to its nearest real neighbour over that of a real
            sample to its nearest other real one: about 1 for fresh samples of the same
            distribution, 0 for copies.
        copies: the share of samples nearer to a real one than all but 1 % of real ones are to
            their nearest other: about .01 for fresh samples, 1 for copies.
    """

    index: np.ndarray
    distance: np.ndarray
    ratio: float
    copies: float


def nearest_real(real: object, generated: object) -> NearestReal:
    """Looks for copies of the training set by nearest neighbours, without reconstructions.

    Args:
        real: features of the training samples, shape ``[n, d]``, n >= 2; NumPy or tensor.
        generated: features of generated samples, shape ``[m, d]``, m >= 2.

    Raises:
        UsageError: NaN, fewer than 2 samples, or different widths.
    """
    real, generated = balls(real, generated, 1)
    among_real = np.sqrt(neighbours.nearest_neighbours(real, 1)[0][:, 0])
    squared, index = neighbours.nearest_neighbours(generated, 1, real)
    distance = np.sqrt(squared[:, 0])
    typical = float(np.median(among_real))
    nearest = float(np.median(distance))
    threshold = np.quantile(among_real, 0.01, method="lower")
    return NearestReal(
        index=index[:, 0],
        distance=distance,
        ratio=nearest / typical if typical else float(nearest > 0),
        copies=float(np.mean(distance < threshold)),
    )
