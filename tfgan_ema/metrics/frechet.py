"""Frechet distance between Gaussians fitted to two sets of features (Heusel et al. 2017, FID).

The distance is ``|m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2))``. With any factors ``S = F^T F`` the
last trace is the sum of the singular values of ``F1 F2^T`` (the nuclear norm): the eigenvalues of
``S1 S2`` are their squares. Nothing is inverted and no root of a matrix is taken, so singular
covariances (fewer samples than features) are no special case and no complex numbers can arise.
Factors are cheap: the centred samples themselves, or a Cholesky factor of the covariance.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tfgan_ema.errors import UsageError
from tfgan_ema.metrics.arrays import as_features, as_pair, positive_count, same_width

MERGED_TOGETHER = 1024  # rows of a stream: a single merge is bound by memory


@dataclass(frozen=True)
class Gaussian:
    """A mean ``[d]`` and a factor ``[r, d]`` of the covariance, ``factor^T factor``."""

    mean: np.ndarray
    factor: np.ndarray


def frechet_distance(a: object, b: object) -> float:
    """Frechet distance of two sets of features, with unbiased covariances, in float64.

    Args:
        a: features of the first set, shape ``[n, d]``, n >= 2; NumPy or tensor.
        b: features of the second set, shape ``[m, d]``.

    Returns:
        The (squared) distance, >= 0. The samples' sizes bias it: compare equal sizes only.

    Raises:
        UsageError: NaN, fewer than 2 samples, or different widths.
    """
    a, b = as_pair(a, b, at_least=2)
    return distance(gaussian(a), gaussian(b))


def fid_infinity(generated: object, reference: object, *, sizes: int = 15, seed: int = 0) -> float:
    """The Frechet distance extrapolated to infinitely many generated samples.

    The distance's bias falls as 1/N (Chong and Forsyth 2020). It is measured on random subsets from
    half of the samples to all, and a straight line in 1/N is fitted; its value at 0 is returned.

    Args:
        generated: features ``[n, d]``, n >= 4; NumPy or tensor.
        reference: features ``[m, d]`` or a `Gaussian`.
        sizes: how many sizes, equally spaced; at least 2.
        seed: fixes the subsets.

    Raises:
        UsageError: NaN, different widths, too few samples or sizes.
    """
    generated = as_features(generated, "the generated features", at_least=4)
    if positive_count(sizes, "sizes") < 2:
        raise UsageError(f"sizes {sizes}: expected at least 2.")
    reference, count = _gaussian(reference), len(generated)
    random = np.random.default_rng(seed)
    counts = np.linspace(count // 2, count, sizes).round().astype(int)
    distances = [
        distance(gaussian(generated[random.choice(count, n, replace=False)]), reference)
        for n in counts
    ]
    _, intercept = np.polyfit(1 / counts, distances, 1)
    return float(intercept)


def fid_bootstrap(
    generated: object,
    reference: object,
    *,
    resamples: int = 100,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[float, float]:
    """A bootstrap interval for the Frechet distance over the generated samples.

    The basic interval: the resampled distances' spread, mirrored at the distance itself, since
    resampling adds the bias once more. The reference is taken as given.

    Args:
        generated: features ``[n, d]``; NumPy or tensor.
        reference: features ``[m, d]`` or a `Gaussian`.
        resamples: how many sets are drawn with replacement; at least 2.
        level: the interval's coverage, in (0, 1).
        seed: fixes the draws.

    Raises:
        UsageError: NaN, different widths, fewer than 2 samples, or a level out of range.
    """
    generated = as_features(generated, "the generated features", at_least=2)
    if positive_count(resamples, "resamples") < 2 or not 0 < level < 1:
        raise UsageError(
            f"resamples {resamples}, level {level}: expected at least 2 and a level in (0, 1)."
        )
    reference = _gaussian(reference)
    random = np.random.default_rng(seed)
    value = distance(gaussian(generated), reference)
    count = len(generated)
    again = [
        distance(gaussian(generated[random.integers(count, size=count)]), reference)
        for _ in range(resamples)
    ]
    low, high = np.quantile(again, [(1 - level) / 2, (1 + level) / 2])
    return max(float(2 * value - high), 0.0), max(float(2 * value - low), 0.0)


def gaussian(features: np.ndarray) -> Gaussian:
    """The Gaussian fitted to checked float64 features ``[n, d]``."""
    mean = features.mean(axis=0)
    factor = (features - mean) / np.sqrt(len(features) - 1)
    if factor.shape[0] > factor.shape[1]:
        factor = _factor(factor.T @ factor)
    return Gaussian(mean, factor)


def distance(p: Gaussian, q: Gaussian) -> float:
    """Frechet distance of two Gaussians."""
    same_width(len(p.mean), len(q.mean))
    shift = p.mean - q.mean
    traces = np.square(p.factor).sum() + np.square(q.factor).sum()
    nuclear = _nuclear_norm(p.factor @ q.factor.T, tolerance=1e-9 * traces)
    return max(float(shift @ shift + traces - 2 * nuclear), 0.0)


def influence(features: np.ndarray, p: Gaussian, q: Gaussian) -> np.ndarray:
    """How much each row of ``features``, to which ``p`` was fitted, moves the distance to ``q``.

    With ``T = S2^(1/2) (S2^(1/2) S1 S2^(1/2))^(-1/2) S2^(1/2)``, the linear map that transports the
    one Gaussian to the other, the derivative of the distance is ``2 (m1 - m2)`` in the mean and
    ``I - T`` in the covariance.

    Returns:
        Derivatives with respect to the weights of the rows, float64 ``[n]``, up to a constant.
    """
    matrix = p.factor @ q.factor.T
    values, vectors = np.linalg.eigh(matrix.T @ matrix)
    kept = values > len(values) * np.finfo(np.float64).eps * values.max(initial=0.0)
    root = q.factor.T @ (vectors[:, kept] * values[kept] ** -0.25)  # T = root root^T
    moved = np.empty(len(features))
    for start in range(0, len(features), MERGED_TOGETHER):
        rows = slice(start, start + MERGED_TOGETHER)
        centred = features[rows] - p.mean
        squares = np.square(centred).sum(axis=1) - np.square(centred @ root).sum(axis=1)
        moved[rows] = squares + 2 * centred @ (p.mean - q.mean)
    return moved


def _gaussian(reference: object) -> Gaussian:
    if isinstance(reference, Gaussian):
        return reference
    return gaussian(as_features(reference, "the reference features", at_least=2))


def _nuclear_norm(matrix: np.ndarray, tolerance: float) -> float:
    """The sum of the singular values, wrong by ``tolerance`` at most.

    Roots of the eigenvalues of ``M M^T`` cost a quarter of singular values, but an eigenvalue's
    rounding, of the size of the largest one, shows in the small roots. Where it could add up to
    more than the tolerance, or drowns an eigenvalue, the singular values themselves are computed.
    """
    if matrix.shape[0] > matrix.shape[1]:
        matrix = matrix.T
    squares = np.linalg.eigvalsh(matrix @ matrix.T)
    rounding = np.finfo(np.float64).eps * squares.max(initial=0.0)
    if squares.min(initial=np.inf) > len(squares) * rounding:
        roots = np.sqrt(squares)
        if rounding * np.sum(1 / roots) <= tolerance:
            return float(roots.sum())
    return float(np.linalg.svd(matrix, compute_uv=False).sum())


class Moments:
    """Mean and covariance of a stream of features, in memory that does not grow with the stream.

    Rows are merged a thousand at a time, by the pairwise update of Chan, Golub and LeVeque (1983)
    in float64, which does not cancel as the difference of raw second moments does. The shift of the
    mean counts as one more row of a part, so one symmetric product does all.
    """

    def __init__(self) -> None:
        self._mean: np.ndarray | float = 0.0
        self._scatter: np.ndarray | float = 0.0
        self._merged = 0  # rows in the two above
        self._width = 0
        self._waiting: list[np.ndarray] = []

    def update(self, features: object, name: str = "the features") -> None:
        """Adds a batch of features ``[n, d]``; ``name`` is what an error calls them."""
        batch = as_features(features, name)
        self._width = self._width or batch.shape[1]
        same_width(self._width, batch.shape[1])
        self._waiting.append(batch)
        if sum(map(len, self._waiting)) >= MERGED_TOGETHER:
            self._merge()

    def _merge(self) -> None:
        if not self._waiting:
            return
        part, self._waiting = np.concatenate(self._waiting), []
        count, mean = len(part), part.mean(axis=0)
        total, shift = self._merged + count, mean - self._mean
        rows = np.vstack([part - mean, np.sqrt(self._merged * count / total) * shift])
        self._scatter = self._scatter + rows.T @ rows
        self._mean = self._mean + shift * (count / total)
        self._merged = total

    @classmethod
    def of(cls, count: int, mean: np.ndarray, covariance: np.ndarray) -> Moments:
        """The moments of rows that are known by their unbiased covariance."""
        made = cls()
        made._merged, made._width, made._mean = count, len(mean), mean
        made._scatter = covariance * (count - 1)
        return made

    @classmethod
    def merged(cls, parts: Sequence[Moments]) -> Moments:
        """The moments of the rows of all parts, merged in pairs so that rounding stays small."""
        if len(parts) == 1:
            return parts[0]
        half = len(parts) // 2
        first, second = cls.merged(parts[:half]), cls.merged(parts[half:])
        same_width(len(first.mean), len(second.mean))
        made, shift = cls(), second.mean - first.mean
        made._merged, made._width = first.count + second.count, len(shift)
        made._mean = first.mean + shift * (second.count / made._merged)
        share = first.count * second.count / made._merged
        made._scatter = first._scatter + second._scatter + share * np.outer(shift, shift)
        return made

    @property
    def count(self) -> int:
        """The number of rows."""
        self._merge()
        return self._merged

    @property
    def mean(self) -> np.ndarray:
        """The mean ``[d]``."""
        self._merge()
        return self._mean

    @property
    def covariance(self) -> np.ndarray:
        """The unbiased covariance ``[d, d]``."""
        if self.count < 2:
            raise UsageError(f"{self.count} samples have no covariance: expected at least 2.")
        return self._scatter / (self.count - 1)

    def gaussian(self) -> Gaussian:
        """The fitted Gaussian, ready for `distance`."""
        return from_covariance(self.mean, self.covariance)


def from_covariance(mean: object, covariance: object) -> Gaussian:
    """The Gaussian of a known mean ``[d]`` and covariance ``[d, d]``.

    Raises:
        UsageError: the shapes do not belong together, or the covariance is not symmetric and
            positive semi-definite.
    """
    mean = np.asarray(mean, np.float64)
    covariance = np.asarray(covariance, np.float64)
    if covariance.shape != (len(mean), len(mean)):
        raise UsageError(
            f"a mean of {len(mean)} numbers with a covariance of shape {covariance.shape}: "
            f"expected shape {(len(mean), len(mean))}."
        )
    scale = np.abs(covariance).max(initial=0.0)
    if not np.isfinite(scale) or np.abs(covariance - covariance.T).max(initial=0) > 1e-9 * scale:
        raise UsageError("the covariance is not finite and symmetric: its file may be corrupt.")
    return Gaussian(mean, _factor(covariance))


def _factor(covariance: np.ndarray) -> np.ndarray:
    """``F [rank, d]`` with ``F^T F = covariance``.

    The Cholesky factor or, of a singular covariance, the scaled eigenvectors without those that are
    only rounding noise, whose root would count.
    """
    largest = covariance.diagonal().max(initial=0.0)
    with contextlib.suppress(np.linalg.LinAlgError):
        factor = np.linalg.cholesky(covariance).T
        if np.square(factor.diagonal()).min(initial=np.inf) > 1e-10 * largest:
            return factor
    values, vectors = np.linalg.eigh(covariance)
    if values.min(initial=0.0) < -1e-6 * largest:
        raise UsageError("the covariance has negative eigenvalues: its file may be corrupt.")
    kept = values > len(values) * np.finfo(np.float64).eps * values.max(initial=0.0)
    return (vectors[:, kept] * np.sqrt(values[kept])).T
