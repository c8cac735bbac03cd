"""Nearest neighbours and balls: the answers of float64 at the speed of float32 products.

The squared distances of a block come from one float32 matrix product, within a bound of the true
ones. Pairs that the bound leaves open are computed again from float64 differences; there are few.
A block with many (points much nearer to one another than to the centre) is done again in float64.
Blocks run side by side, and memory grows with ``n``, not ``n^2``.

With ``x``, ``y`` centred and ``u`` the unit roundoff, the computed ``|x|^2 + |y|^2 - 2 x.y`` is off
by at most ``(d + 16) u (|x|^2 + |y|^2)``: ``d`` additions in the product (Higham 2002, section
3.1), the rounding of inputs, norms and thresholds, and ``2 |x||y| <= |x|^2 + |y|^2``. Twice that
bound is used.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from threadpoolctl import threadpool_limits

BLOCK = 1024  # rows and columns of a block of distances
CHUNK = 2**16  # numbers in the differences held at a time: they stay in the cache
FEW = 1 / 64  # a block with more open pairs than this share is done again in float64
MOST_THREADS = 16  # each holds a few blocks

Undecided = Callable[[np.ndarray, float], np.ndarray]
Block = tuple[slice, slice]  # rows, columns
T = TypeVar("T")


@dataclass(frozen=True)
class Points:
    """A set of points and what the products need of it."""

    exact: np.ndarray  # [n, d], float32 or float64
    centre: np.ndarray  # float64 [d]
    single: np.ndarray  # the points less the centre, float32
    norms: np.ndarray  # squared norms of the points less the centre, float64

    def __len__(self) -> int:
        return len(self.exact)

    def centred(self, rows: slice, dtype: type) -> np.ndarray:
        """Some of the points, less the centre."""
        return self.single[rows] if dtype is np.float32 else self.exact[rows] - self.centre


def points(values: np.ndarray, centre: np.ndarray) -> Points:
    """Points ``[n, d]`` as seen from ``centre``, which should lie amid all sets compared."""
    single = np.empty(values.shape, np.float32)
    norms = np.empty(len(values))
    for rows in _slices(len(values)):
        single[rows] = centred = values[rows] - centre
        norms[rows] = np.einsum("ij,ij->i", centred, centred)
    return Points(values, centre, single, norms)


def over_blocks(function: Callable[[Block], T], n: int, m: int | None = None) -> Iterator[T]:
    """``function`` of each block of an ``[n, m]`` matrix, in order, computed side by side.

    Without ``m`` the blocks are those of ``[n, n]`` on and above the diagonal. NumPy releases the
    GIL in long operations, so each core works on a block of its own, with one BLAS thread.
    """
    blocks = [
        (rows, columns)
        for rows in _slices(n)
        for columns in (_slices(n, rows.start) if m is None else _slices(m))
    ]
    threads = min(os.cpu_count() or 1, MOST_THREADS)
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(threads) as pool:
        yield from pool.map(function, blocks)


def squared_distances(
    x: Points, y: Points, rows: slice, columns: slice, undecided: Undecided
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The squared distances between some points of ``x`` and some of ``y``.

    Args:
        x: the points of the rows.
        y: the points of the columns.
        rows: which points of ``x``.
        columns: which points of ``y``.
        undecided: from a block of squared distances and the bound of their errors to a mask of the
            pairs whose distances must be exact.

    Returns:
        A float64 block, and the indices (i, j) of the pairs that are exact in it.
    """
    width = x.exact.shape[1]
    for dtype in (np.float32, np.float64):
        squared = (-2 * x.centred(rows, dtype)) @ y.centred(columns, dtype).T
        squared += x.norms[rows, None].astype(dtype)
        squared += y.norms[columns].astype(dtype)
        largest = x.norms[rows].max() + y.norms[columns].max()
        mask = undecided(squared, (width + 16) * np.finfo(dtype).eps * largest)
        if np.count_nonzero(mask) <= FEW * mask.size:
            break
    i, j = np.divmod(np.flatnonzero(mask), mask.shape[1])  # faster than np.nonzero
    squared = squared.astype(np.float64)
    squared[i, j] = _exact_distances(x.exact[rows], y.exact[columns], i, j)
    return squared, i, j


def nearest_neighbours(x: Points, k: int, y: Points | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest points of ``y``, or without it the k nearest other points of ``x`` itself.

    Returns:
        Squared distances, float64 ``[n, k]``, nearest first, and their indices ``[n, k]``.
    """
    within = y is None
    y = x if within else y
    best = np.full((len(x), k), np.inf)
    index = np.zeros((len(x), k), np.intp)

    def candidates(block: Block) -> list[tuple]:
        """What a block may add to its rows and, within one set, by symmetry to its columns."""
        rows, columns = block
        mirrored = within and rows != columns

        def may_be_near(squared: np.ndarray, error: float) -> np.ndarray:
            if within and not mirrored:
                np.fill_diagonal(squared, np.inf)
            near = squared <= _limits(squared, error, best[rows])
            if mirrored:
                of_columns = _limits(squared.T, error, best[columns])
                near |= squared <= of_columns.T
            return near & (squared < np.inf)

        squared, i, j = squared_distances(x, y, rows, columns, may_be_near)
        to_rows = (rows, i, columns.start + j, squared[i, j])
        to_columns = (columns, j, rows.start + i, squared[i, j])
        return [to_rows, to_columns] if mirrored else [to_rows]

    # Candidates are found while earlier ones are merged; an older `best` admits a few more.
    for parts in over_blocks(candidates, len(x), None if within else len(y)):
        for rows, i, j, squared in parts:
            best[rows], index[rows] = _merged(best[rows], index[rows], i, j, squared)
    return best, index


def _slices(count: int, start: int = 0) -> list[slice]:
    return [slice(i, min(i + BLOCK, count)) for i in range(start, count, BLOCK)]


def _exact_distances(x: np.ndarray, y: np.ndarray, i: np.ndarray, j: np.ndarray) -> np.ndarray:
    """Squared distances of the pairs (x_i, y_j) from float64 differences.

    They depend neither on the other pairs nor on the order of the two, so equal distances compare
    equal.
    """
    squared = np.empty(len(i))
    chunk = max(CHUNK // x.shape[1], 1)
    for start in range(0, len(i), chunk):
        part = slice(start, start + chunk)
        difference = np.subtract(x.take(i[part], 0), y.take(j[part], 0), dtype=np.float64)
        squared[part] = np.einsum("ij,ij->i", difference, difference)
    return squared


def _limits(squared: np.ndarray, error: float, best: np.ndarray) -> np.ndarray:
    """By row, what a squared distance must not exceed to be among the k nearest, ``[n, 1]``."""
    limits = best[:, -1:] + error
    if np.isinf(limits).any():
        k = min(best.shape[1], squared.shape[1])
        limits = np.minimum(limits, np.partition(squared, k - 1)[:, k - 1 : k] + 2 * error)
    return limits.astype(squared.dtype)


def _merged(
    best: np.ndarray, index: np.ndarray, i: np.ndarray, j: np.ndarray, squared: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest of those known by row, ``[n, k]``, and of candidates (i, j, distance)."""
    n, k = best.shape
    row = np.concatenate([np.repeat(np.arange(n), k), i])
    squared = np.concatenate([best.ravel(), squared])
    order = np.lexsort((squared, row))
    first = np.searchsorted(row[order], np.arange(n))
    nearest = order[first[:, None] + np.arange(k)]
    return squared[nearest], np.concatenate([index.ravel(), j])[nearest]
