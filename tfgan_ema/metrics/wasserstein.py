"""Optimal transport between two samples: exact (POT's network simplex) and sliced."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from types import ModuleType

import numpy as np

from tfgan_ema.errors import UsageError
from tfgan_ema.metrics.arrays import as_pair, positive_count

MAX_PIVOTS = 10_000_000  # POT gives up, with a warning, after this many simplex steps
DIRECTIONS = 1000  # of MIND
TOGETHER, ROWS = 50, 4096  # directions, and rows, that are projected at a time


def wasserstein_1(a: object, b: object) -> float:
    """The 1-Wasserstein distance of two samples: cheapest transport at Euclidean cost.

    The value is exact; time grows about as ``n^3`` and memory as ``16 n m`` bytes.

    Args:
        a: the first sample, shape ``[n, d]``; NumPy or tensor.
        b: the second sample, shape ``[m, d]``.

    Raises:
        UsageError: NaN, no samples, different widths, or POT is not installed.
    """
    return transport(a, b, "euclidean")[0]


def squared_wasserstein_2(a: object, b: object) -> float:
    """The cheapest transport at squared Euclidean cost: the square of the 2-Wasserstein distance.

    POT's default cost, which papers have reported under the name of Wasserstein distance.
    Arguments, cost and errors as `wasserstein_1`.
    """
    return transport(a, b, "sqeuclidean")[0]


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


def transport(a: object, b: object, cost: str) -> tuple[float, np.ndarray]:
    """The cost of the cheapest transport, and the price of each of the rows of ``a`` in it.

    The prices (Kantorovich's potential, the solution of the dual problem) are the derivative of the
    cost with respect to the weights of the rows.

    Args:
        a: the first sample, shape ``[n, d]``; NumPy or tensor.
        b: the second sample, shape ``[m, d]``.
        cost: ``"euclidean"`` or ``"sqeuclidean"``.

    Raises:
        UsageError: as `wasserstein_1`.
    """
    ot = import_pot()
    a, b = as_pair(a, b)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # POT's only sign that it was not solved
        try:
            value, found = ot.emd2(
                [], [], ot.dist(a, b, metric=cost), numItermax=MAX_PIVOTS, log=True
            )
        except UserWarning as warning:
            raise UsageError(
                f"the transport of {len(a)} to {len(b)} samples was not solved ({warning}): "
                "take fewer samples."
            ) from None
    return float(value), found["u"]


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
    a, b = as_pair(a, b, keep_single=True)
    if p < 1:
        raise UsageError(f"p is {p!r}: expected an order of at least 1.")
    return _sliced(a, b, directions(a.shape[1], projections, seed), p)


def mind(generated: object, real: object, *, projections: int = DIRECTIONS, seed: int = 0) -> float:
    """MIND, the Monge inception distance (Berthet et al. 2026), of any features.

    The mean of squared 1-D 2-Wasserstein distances along random directions times ``3 d``. It ranks
    generators as a Frechet distance does, with a tenth of the samples. Unequal sets are compared by
    their quantile functions, without leaving samples out.

    Args:
        generated: features ``[n, d]``; NumPy or tensor.
        real: features ``[m, d]``.
        projections: how many directions, uniform on the sphere.
        seed: fixes the directions.

    Raises:
        UsageError: NaN, no samples, or different widths.
    """
    a, b = as_pair(generated, real, keep_single=True)
    width = a.shape[1]
    return 3 * width * _sliced(a, b, directions(width, projections, seed), 2) ** 2


def sliced_influence(a: object, b: object, *, projections: int, seed: int = 0) -> np.ndarray:
    """How much each row of ``a`` moves the square of `sliced_wasserstein`, up to a constant.

    Along a direction it is Kantorovich's potential: it rises from a sample to the next by
    ``x^2 - 2 t x`` between the two, where t is the quantile of ``b`` at their border.

    Args:
        a: the first sample, shape ``[n, d]``; NumPy or tensor.
        b: the second sample, shape ``[m, d]``.
        projections: how many directions.
        seed: fixes the directions.

    Returns:
        Derivatives with respect to the weights of the rows, float64 ``[n]``.
    """
    a, b = as_pair(a, b, keep_single=True)
    n = len(a)
    borders = np.arange(1, n) * len(b) // n
    moved, potential = np.zeros(n), np.zeros(n)
    for x, y in _projected(a, b, directions(a.shape[1], projections, seed)):
        order, quantiles = np.argsort(x, axis=0), np.sort(y, axis=0)[borders]
        x = np.take_along_axis(x, order, axis=0)
        rises = np.cumsum(np.diff(x**2, axis=0) - 2 * quantiles * np.diff(x, axis=0), axis=0)
        for places, rise in zip(order.T, rises.T, strict=True):
            potential[places[0]], potential[places[1:]] = 0.0, rise
            moved += potential - potential.mean()
    return moved / projections


def directions(width: int, count: int, seed: int) -> np.ndarray:
    """Random directions, uniform on the sphere, as columns ``[width, count]``."""
    count = positive_count(count, "projections")
    drawn = np.random.default_rng(seed).standard_normal((width, count))
    return drawn / np.linalg.norm(drawn, axis=0)


def _projected(
    a: np.ndarray, b: np.ndarray, directions: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Both sets along some of the directions at a time, as columns in float64."""
    for start in range(0, directions.shape[1], TOGETHER):
        part = directions[:, start : start + TOGETHER]
        yield tuple(
            np.concatenate(
                [x[i : i + ROWS].astype(np.float64) @ part for i in range(0, len(x), ROWS)]
            )
            for x in (a, b)
        )


def _sliced(a: np.ndarray, b: np.ndarray, directions: np.ndarray, p: int) -> float:
    """In one dimension the best transport matches quantiles; both quantile functions are steps."""
    n, m = len(a), len(b)
    ends = np.union1d(np.arange(1, n + 1) * m, np.arange(1, m + 1) * n)
    lengths = np.diff(ends, prepend=0) / (n * m)
    total = 0.0
    for x, y in _projected(a, b, directions):
        x, y = np.sort(x, axis=0), np.sort(y, axis=0)
        if n != m:
            x, y = x[(ends - 1) // m], y[(ends - 1) // n]
        total += float((lengths @ np.abs(x - y) ** p).sum())
    return (total / directions.shape[1]) ** (1 / p)
