"""Nearest neighbours and balls: the answers of float64 at the speed of float32 products.

The squared distances of a block come from one float32 matrix product, within a bound of the true
ones. Pairs that the bound leaves open are computed again from float64 differences; there are few.
A block with many (points much nearer to one another than to the centre) is done again in float64.
Memory grows with ``n``, not ``n^2``.

With ``x``, ``y`` centred and ``u`` the unit roundoff, the computed ``|x|^2 + |y|^2 - 2 x.y`` is off
by at most ``(d + 16) u (|x|^2 + |y|^2)``: ``d`` additions in the product (Higham 2002, section
3.1), the rounding of inputs, norms and thresholds, and ``2 |x||y| <= |x|^2 + |y|^2``. Twice that
bound is used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

BLOCK = 1024  # rows and columns of a block of distances
CHUNK = 2**16  # numbers in the differences held at a time: they stay in the cache
FEW = 1 / 64  # a block with more open pairs than this share is done again in float64

Undecided = Callable[[np.ndarray, float], np.ndarray]


class Points:
    """Points ``[n, d]`` as seen from a centre, which should lie amid all sets compared.

    Attributes:
        exact: the points, float32 or float64.
        centre: float64 ``[d]``.
        single: the points less the centre, float32.
        norms: squared norms of the points less the centre, float64.
    """

    def __init__(self, exact: np.ndarray, centre: np.ndarray) -> None:
        self.exact, self.centre = exact, centre
        self.single, self.norms = np.empty(exact.shape, np.float32), np.empty(len(exact))
        for rows in _slices(len(exact)):
            self.single[rows] = centred = exact[rows] - centre
            self.norms[rows] = np.einsum("ij,ij->i", centred, centred)

    def __len__(self) -> int:
        return len(self.exact)

    def centred(self, rows: slice, dtype: type) -> np.ndarray:
        """Some of the points, less the centre."""
        return self.single[rows] if dtype is np.float32 else self.exact[rows] - self.centre


def blocks(n: int, m: int | None = None) -> Iterator[tuple[slice, slice]]:
    """Rows and columns of the blocks of an ``[n, m]`` matrix.

    Without ``m`` they are the blocks of ``[n, n]`` on and above the diagonal.
    """
    for rows in _slices(n):
        for columns in _slices(n, rows.start) if m is None else _slices(m):
            yield rows, columns


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
    best = np.full((len(x), k), np.inf)
    index = np.zeros((len(x), k), np.intp)
    for rows, columns in blocks(len(x), None if within else len(y)):
        mirrored = within and rows != columns  # the block serves its columns too
        undecided = _may_be_near(
            best[rows], best[columns] if mirrored else None, alone=within and not mirrored
        )
        squared, i, j = squared_distances(x, x if within else y, rows, columns, undecided)
        exact = squared[i, j]
        _merge(best[rows], index[rows], i, columns.start + j, exact)
        if mirrored:
            _merge(best[columns], index[columns], j, rows.start + i, exact)
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


def _may_be_near(by_row: np.ndarray, by_column: np.ndarray | None, alone: bool) -> Undecided:
    """The pairs that may be among the k nearest, of which ``by_row [n, k]`` are known so far.

    With ``by_column`` the same is asked for the columns. A block that is ``alone`` compares points
    with themselves on its diagonal, which does not count.
    """

    def undecided(squared: np.ndarray, error: float) -> np.ndarray:
        if alone:
            np.fill_diagonal(squared, np.inf)
        near = squared <= _limits(squared, error, by_row)
        if by_column is not None:
            limits = _limits(squared.T, error, by_column)
            near |= squared <= limits.T
        return near & (squared < np.inf)

    return undecided


def _limits(squared: np.ndarray, error: float, best: np.ndarray) -> np.ndarray:
    """By row, what a squared distance must not exceed to be among the k nearest, ``[n, 1]``."""
    limits = best[:, -1:] + error
    if np.isinf(limits).any():
        k = min(best.shape[1], squared.shape[1])
        limits = np.minimum(limits, np.partition(squared, k - 1)[:, k - 1 : k] + 2 * error)
    return limits.astype(squared.dtype)


def _merge(
    best: np.ndarray, index: np.ndarray, i: np.ndarray, j: np.ndarray, squared: np.ndarray
) -> None:
    """Puts candidates (i, j, distance) in among the k nearest by row, ``[n, k]``, in place."""
    n, k = best.shape
    row = np.concatenate([np.repeat(np.arange(n), k), i])
    squared = np.concatenate([best.ravel(), squared])
    order = np.lexsort((squared, row))
    first = np.searchsorted(row[order], np.arange(n))
    nearest = order[first[:, None] + np.arange(k)]
    index[:] = np.concatenate([index.ravel(), j])[nearest]
    best[:] = squared[nearest]
