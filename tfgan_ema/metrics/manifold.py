"""Metrics of nearest neighbours: precision, recall, density, coverage, and copies of the data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from tfgan_ema.metrics import neighbours
from tfgan_ema.metrics.arrays import as_features, as_pair, positive_count
from tfgan_ema.metrics.neighbours import Points

RADII = 5  # neighbours of a sample whose distances are kept, as many as a metric needs


def precision_recall(
    real: object, generated: object, *, k: int = 3, real_radii: np.ndarray | None = None
) -> dict[str, float]:
    """Improved precision and recall (Kynkaanniemi et al. 2019).

    A point lies in a set's manifold when it is no farther from one of the set's points than that
    point is from its k-th nearest neighbour in the set (their equation 1).

    Args:
        real: features of real samples, shape ``[n, d]``, n > k; NumPy or tensor.
        generated: features of generated samples, shape ``[m, d]``, m > k.
        k: the neighbour that sets the radius.
        real_radii: see `manifold_scores`.

    Returns:
        ``precision``, the share of generated samples in the real manifold, and ``recall``, the
        share of real samples in the generated manifold.

    Raises:
        UsageError: NaN, no more than k samples, or different widths.
    """
    scores = manifold_scores(real, generated, k=k, real_radii=real_radii)
    return {name: scores[name] for name in ("precision", "recall")}


def density_coverage(
    real: object, generated: object, *, k: int = 5, real_radii: np.ndarray | None = None
) -> dict[str, float]:
    """Density and coverage (Naeem et al. 2020): fidelity and diversity, robust to outliers.

    Each real point's ball reaches to its k-th nearest other real point, which lies outside (open
    balls, as in the authors' code).

    Args:
        real: features of real samples, shape ``[n, d]``, n > k; NumPy or tensor.
        generated: features of generated samples, shape ``[m, d]``, m > k.
        k: the neighbour that sets the radius.
        real_radii: see `manifold_scores`.

    Returns:
        ``density``: how many real balls hold a generated sample, averaged over the samples and
        divided by k; it can exceed 1 and is 1 in expectation for equal distributions.
        ``coverage``: the share of real balls that hold any generated sample.

    Raises:
        UsageError: NaN, no more than k samples, or different widths.
    """
    scores = manifold_scores(real, generated, k=k, real_radii=real_radii)
    return {name: scores[name] for name in ("density", "coverage")}


def manifold_scores(
    real: object, generated: object, *, k: int = 5, real_radii: np.ndarray | None = None
) -> dict[str, float]:
    """Precision, recall, density and coverage for one k, from one pass over the distances.

    See `precision_recall` and `density_coverage` for what they mean; together they cost what
    either of them costs alone.

    Args:
        real: features of real samples, shape ``[n, d]``, n > k; NumPy or tensor.
        generated: features of generated samples, shape ``[m, d]``, m > k.
        k: the neighbour that sets the radius of a ball.
        real_radii: `radii` of the real samples, which save most of the work where one real set is
            compared with many; ``None`` computes them.

    Raises:
        UsageError: NaN, no more than k samples, or different widths.
    """
    found = memberships(real, generated, k=k, real_radii=real_radii)
    return {
        "precision": float(found.precise.mean()),
        "recall": float(found.recalled.mean()),
        "density": float(found.holding.mean() / k),
        "coverage": float(found.covered.mean()),
    }


class Memberships(NamedTuple):
    """Which samples lie in which balls.

    Attributes:
        precise: whether each generated sample lies in the real manifold, ``[m]``.
        recalled: whether each real sample lies in the generated manifold, ``[n]``.
        holding: in how many real balls each generated sample lies, ``[m]``.
        covered: whether each real ball holds a generated sample, ``[n]``.
    """

    precise: np.ndarray
    recalled: np.ndarray
    holding: np.ndarray
    covered: np.ndarray


def memberships(
    real: object, generated: object, *, k: int, real_radii: np.ndarray | None = None
) -> Memberships:
    """What `manifold_scores` are the means of; the arguments are the same."""
    real, generated = balls(real, generated, positive_count(k, "k"))
    if real_radii is None:
        real_radii = neighbours.nearest_neighbours(real, k)[0]
    real_radii = real_radii[:, k - 1]
    generated_radii = neighbours.nearest_neighbours(generated, k)[0][:, -1]
    n, m = len(real), len(generated)
    found = Memberships(np.zeros(m, bool), np.zeros(n, bool), np.zeros(m, int), np.zeros(n, bool))
    for rows, columns in neighbours.blocks(m, n):
        real_ball, generated_ball = real_radii[columns], generated_radii[rows, None]
        undecided = _on_an_edge(real_ball, generated_ball)
        squared, *_ = neighbours.squared_distances(generated, real, rows, columns, undecided)
        inside = squared < real_ball
        found.precise[rows] |= (squared <= real_ball).any(axis=1)
        found.recalled[columns] |= (squared <= generated_ball).any(axis=0)
        found.holding[rows] += np.count_nonzero(inside, axis=1)
        found.covered[columns] |= inside.any(axis=0)
    return found


def _on_an_edge(*balls: np.ndarray) -> neighbours.Undecided:
    """The pairs so near the edge of a ball that the error decides whether they are inside."""

    def undecided(squared: np.ndarray, error: float) -> np.ndarray:
        edges = [ball.astype(squared.dtype) for ball in balls]
        return np.logical_or.reduce([np.abs(squared - edge) <= error for edge in edges])

    return undecided


@dataclass(frozen=True)
class NearestReal:
    """The nearest real neighbour of each generated sample, and whether samples are copies.

    Attributes:
        index: which real sample, ``[m]``.
        distance: the Euclidean distance to it, ``[m]``.
        ratio: the median distance of a sample to its nearest real neighbour over the median
            distance of a real sample to its nearest other real one: about 1 for fresh samples of
            the same distribution, 0 for copies.
        copied: whether each sample is nearer to a real one than all but 1 % of real ones are to
            their nearest other, ``[m]``.
    """

    index: np.ndarray
    distance: np.ndarray
    ratio: float
    copied: np.ndarray

    @property
    def copies(self) -> float:
        """The share of samples that are ``copied``: 0.01 for fresh samples, 1 for copies."""
        return float(self.copied.mean())


def nearest_real(real: object, generated: object) -> NearestReal:
    """Looks for copies of the training set by nearest neighbours.

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
    typical, nearest = float(np.median(among_real)), float(np.median(distance))
    threshold = np.quantile(among_real, 0.01, method="lower")
    return NearestReal(
        index=index[:, 0],
        distance=distance,
        ratio=nearest / typical if typical else float(nearest > 0),
        copied=distance < threshold,
    )


def authentic(
    real: object, generated: object, *, real_radii: np.ndarray | None = None
) -> np.ndarray:
    """Which samples are authentic (Alaa et al. 2022): their mean is the authenticity.

    A sample is authentic if its nearest real sample lies farther from it than from that sample's
    own nearest other real one. It is about 1/2 for fresh samples of the same distribution and 0
    for copies.

    Args:
        real: features of the training samples, shape ``[n, d]``, n >= 2; NumPy or tensor.
        generated: features of generated samples, shape ``[m, d]``, m >= 2.
        real_radii: see `manifold_scores`.

    Returns:
        Booleans ``[m]``.

    Raises:
        UsageError: NaN, fewer than 2 samples, or different widths.
    """
    real, generated = balls(real, generated, 1)
    if real_radii is None:
        real_radii = neighbours.nearest_neighbours(real, 1)[0]
    squared, index = neighbours.nearest_neighbours(generated, 1, real)
    return real_radii[index[:, 0], 0] < squared[:, 0]


def balls(real: object, generated: object, k: int) -> tuple[Points, Points]:
    """Both sets checked for k neighbours, as points around their common mean."""
    real, generated = as_pair(real, generated, k + 1, keep_single=True)
    centre = (real.mean(axis=0, dtype=np.float64) + generated.mean(axis=0, dtype=np.float64)) / 2
    return Points(real, centre), Points(generated, centre)


def radii(features: np.ndarray, k: int = RADII) -> np.ndarray:
    """Squared distances of each row of ``[n, d]`` to its k nearest other rows, float64 ``[n, k]``.

    There are ``n - 1`` columns where that is less.

    Raises:
        UsageError: NaN, or fewer than 2 rows.
    """
    features = as_features(features, "the first set", 2, keep_single=True)
    points = Points(features, features.mean(axis=0, dtype=np.float64))
    return neighbours.nearest_neighbours(points, min(k, len(features) - 1))[0]
