"""Kernel distance, KID (Binkowski et al. 2018): squared MMD under ``k(x, y) = (x.y / d + 1)^3``."""

from __future__ import annotations

import numpy as np

from tfgan_ema.errors import UsageError
from tfgan_ema.metrics.arrays import as_pair, positive_count
from tfgan_ema.metrics.spread import Spread

BLOCK = 1024  # rows of a kernel matrix held at a time


def kernel_distance(a: object, b: object) -> float:
    """The unbiased squared MMD over all pairs of samples (U-statistic, their equation 4).

    Every pair is used, in blocks: memory grows with ``n``, not ``n^2``. Being unbiased it is
    negative about half of the time for equal distributions.

    Args:
        a: features of the first set, shape ``[n, d]``, n >= 2; NumPy or tensor.
        b: features of the second set, shape ``[m, d]``, m >= 2.

    Raises:
        UsageError: NaN, fewer than 2 samples, or different widths.
    """
    a, b = as_pair(a, b, at_least=2)
    across = _sum_kernel(a, b) / (len(a) * len(b))
    return _mean_within(a) + _mean_within(b) - 2 * across


def kernel_distance_subsets(
    a: object, b: object, *, size: int = 1000, subsets: int = 100, seed: int = 0
) -> tuple[float, float]:
    """Mean and standard deviation of the unbiased squared MMD over random subsets of both sets.

    This is the estimate most papers report as KID. Each subset draws ``size`` rows of either set
    without replacement.

    Args:
        a: features of the first set, shape ``[n, d]``; NumPy or tensor.
        b: features of the second set, shape ``[m, d]``.
        size: rows in a subset, between 2 and both sets' sizes.
        subsets: how many subsets.
        seed: fixes the subsets.

    Raises:
        UsageError: as `kernel_distance`, or a set smaller than ``size``.
    """
    positive_count(subsets, "subsets")
    if size < 2:
        raise UsageError(f"size is {size!r}: a subset needs at least 2 samples.")
    a, b = as_pair(a, b, at_least=size)
    if size == len(a) == len(b):  # every subset is the whole
        return kernel_distance(a, b), 0.0
    random = np.random.default_rng(seed)
    values = [
        kernel_distance(
            a[random.choice(len(a), size, replace=False)],
            b[random.choice(len(b), size, replace=False)],
        )
        for _ in range(subsets)
    ]
    return float(np.mean(values)), float(np.std(values))


def spread_of_subsets(a: object, b: object, std: float, *, subsets: int = 100) -> Spread:
    """The spread of the mean of `kernel_distance_subsets` over draws of ``b``, ``a`` being given.

    The distance over all pairs is a U-statistic of ``b`` with the kernel ``h(x, y) = k(x, y) -
    g(x) - g(y)``, where ``g`` is the mean of k over ``a``: x moves it by twice the mean of h over
    the other samples (Hoeffding 1948). Where both sets are alike these means are noise, and the
    error so found is too large by up to the square root of 2. Drawing subsets adds their own
    variance over their number.

    Args:
        a: features of the given set, ``[m, d]``.
        b: features of the set that is drawn, ``[n, d]``, n >= 2.
        std: over the subsets, as `kernel_distance_subsets` returns it.
        subsets: how many they were.
    """
    a, b = as_pair(a, b, at_least=2, keep_single=True)
    g = _row_sums(b, a) / len(a)
    itself = (np.einsum("ij,ij->i", b, b, dtype=np.float64) / b.shape[1] + 1.0) ** 3
    influence = 2 * ((_row_sums(b, b) - itself) / (len(b) - 1) - g)
    return Spread(influence, std**2 / subsets)


def _row_sums(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """By row of ``x``, the sum of the kernel over all rows of ``y``."""
    sums = np.empty(len(x))
    for start in range(0, len(x), BLOCK):
        rows = slice(start, start + BLOCK)
        kernel = (x[rows] @ y.T).astype(np.float64)
        sums[rows] = ((kernel / x.shape[1] + 1.0) ** 3).sum(axis=1)
    return sums


def _mean_within(a: np.ndarray) -> float:
    """Mean of the kernel over pairs of different samples."""
    diagonal = np.einsum("ij,ij->i", a, a) / a.shape[1] + 1.0
    return (_sum_kernel(a, a) - float(np.sum(diagonal**3))) / (len(a) * (len(a) - 1))


def _sum_kernel(a: np.ndarray, b: np.ndarray) -> float:
    total = 0.0
    for start in range(0, len(a), BLOCK):
        kernel = a[start : start + BLOCK] @ b.T
        kernel /= a.shape[1]
        kernel += 1.0
        total += float(np.vdot(kernel * kernel, kernel))
    return total
