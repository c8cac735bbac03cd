"""Optimal transport between two samples: exact (POT's network simplex) and sliced."""

from __future__ import annotations

import warnings
from types import ModuleType

import numpy as np

from tfgan_ema.errors import UsageError
from tfgan_ema.metrics.arrays import as_pair, positive_count

MAX_PIVOTS = 10_000_000  # POT gives up, with a warning, after this many simplex steps


def wasserstein_1(a: object, b: object) -> float:
    """The 1-Wasserstein distance of two samples: cheapest transport at Euclidean cost.

    The value is exact; time grows about as ``n^3`` and memory as ``16 n m`` bytes.

    Args:
        a: the first sample, shape ``[n, d]``; NumPy or tensor.
        b: the second sample, shape ``[m, d]``.

    Raises:
        UsageError: NaN, no samples, different widths, or POT is not installed.
    """
    return _transport(a, b, "euclidean")


def squared_wasserstein_2(a: object, b: object) -> float:
    """The cheapest transport at squared Euclidean cost: the square of the 2-Wasserstein distance.

    POT's default cost, which papers have reported under the name of Wasserstein distance.
    Arguments, cost and errors as `wasserstein_1`.
    """
    return _transport(a, b, "sqeuclidean")


def import_pot() -> ModuleType:
    """POT, which solves exact transport.

    Raises:
        UsageError: it is not installed.
    """
    try:
        import ot
    except ModuleNotFoundError:
        raise UsageError(
            "Wasserstein distances need the package POT: pip install 'tfgan_ema[metrics]'."
        ) from None
    return ot


def _transport(a: object, b: object, cost: str) -> float:
    ot = import_pot()
    a, b = as_pair(a, b)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # POT's only sign that it was not solved
        try:
            return float(ot.emd2([], [], ot.dist(a, b, metric=cost), numItermax=MAX_PIVOTS))
        except UserWarning as warning:
            raise UsageError(
                f"the transport of {len(a)} to {len(b)} samples was not solved ({warning}): "
                "take fewer samples."
            ) from None


def sliced_wasserstein(
    a: object, b: object, *, projections: int = 500, seed: int = 0, p: int = 2
) -> float:
    """The sliced p-Wasserstein distance: the p-mean of 1-D distances along random directions.

    Args:
        a: the first sample, shape ``[n, d]``; NumPy or tensor.
        b: the second sample, shape ``[m, d]``.
        projections: how many directions, uniform on the sphere.
        seed: fixes the directions.
        p: the order, >= 1.

    Raises:
        UsageError: NaN, no samples, or different widths.
    """
    a, b = as_pair(a, b)
    count = positive_count(projections, "projections")
    if p < 1:
        raise UsageError(f"p is {p!r}: expected an order of at least 1.")
    directions = np.random.default_rng(seed).standard_normal((a.shape[1], count))
    return _sliced(a, b, directions / np.linalg.norm(directions, axis=0), p)


def _sliced(a: np.ndarray, b: np.ndarray, directions: np.ndarray, p: int) -> float:
    """In one dimension the best transport matches quantiles; both quantile functions are steps."""
    a, b = np.sort(a @ directions, axis=0), np.sort(b @ directions, axis=0)
    if len(a) == len(b):
        return float(np.mean(np.abs(a - b) ** p) ** (1 / p))
    ends = np.union1d(np.arange(1, len(a) + 1) * len(b), np.arange(1, len(b) + 1) * len(a))
    lengths = np.diff(ends, prepend=0) / (len(a) * len(b))
    steps = np.abs(a[(ends - 1) // len(b)] - b[(ends - 1) // len(a)]) ** p
    return float(np.mean(lengths @ steps) ** (1 / p))
