"""Exact questions about nearest neighbours, answered at the speed of float32 products.

Squared distances of whole blocks come from one float32 matrix product, together with a rigorous
bound on their error. The bound settles nearly every comparison; the few pairs it leaves open are
computed from float64 differences. The answers are those of float64 throughout, at about half the
time; blocks run side by side, and memory grows with ``n``, not ``n^2``. A block with many open
pairs (points much nearer to one another than to the centre) is done again with a float64 product.

With ``x``, ``y`` centred and ``u`` the unit roundoff, the computed ``|x|^2 + |y|^2 - 2 x.y`` is off
by at most ``(d + 16) u (|x|^2 + |y|^2)``: ``d`` additions in the product (Higham 2002, section
3.1), the rounding of inputs, norms and thresholds, and ``2 |x||y| <= |x|^2 + |y|^2``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from tfgan_ema.metrics import threads

T = TypeVar("T")

BLOCK = 1024  # rows and columns of a block of distances
CHUNK = 2**16  # numbers in the differences held at a time: they stay in the cache
FEW = 1 / 64  # a block with more open pairs than this share is done again in float64
UNIT = np.finfo(np.float32).eps  # twice the unit roundoff: room for thresholds rounded either way


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


def nearest_neighbours(x: Points, k: int, y: Points | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest points of ``y``, or without it the k nearest other points of ``x`` itself.

    Returns:
        Squared distances, float64 ``[n, k]``, nearest first, and their indices ``[n, k]``.
    """
    best = np.full((len(x), k), np.inf)
    index = np.zeros((len(x), k), np.intp)

    def candidates(block: tuple[slice, slice]) -> list[tuple]:
        """What a block may add to its rows and, within one set, by symmetry to its columns."""
        rows, columns = block
        if y is not None:
            return [(rows, columns, *_candidates(x, y, rows, columns, best[rows]))]
        if rows == columns:
            return [(rows, rows, *_candidates(x, x, rows, rows, best[rows], others=True))]
        low = _lower_bounds(x, x, rows, columns, np.float32)
        mirrored = np.ascontiguousarray(low.T)
        return [
            (rows, columns, *_candidates(x, x, rows, columns, best[rows], low)),
            (columns, rows, *_candidates(x, x, columns, rows, best[columns], mirrored)),
        ]

    def merge(rows: slice, columns: slice, i: np.ndarray, j: np.ndarray, squared: np.ndarray):
        order = np.lexsort((squared, i))
        i, j, squared = i[order], j[order], squared[order]
        place = np.arange(len(i)) - np.searchsorted(i, i)  # rank among its row's candidates
        few = place < k
        found = np.full((len(best[rows]), k), np.inf)
        where = np.zeros(found.shape, np.intp)
        found[i[few], place[few]] = squared[few]
        where[i[few], place[few]] = columns.start + j[few]
        found = np.concatenate([best[rows], found], axis=1)
        where = np.concatenate([index[rows], where], axis=1)
        order = np.argsort(found, axis=1, kind="stable")[:, :k]
        best[rows] = np.take_along_axis(found, order, axis=1)
        index[rows] = np.take_along_axis(where, order, axis=1)

    blocks = [
        (rows, columns)
        for rows in _slices(len(x))
        for columns in (_slices(len(x), rows.start) if y is None else _slices(len(y)))
    ]
    # Candidates are found while earlier ones are merged; an older `best` admits a few more.
    for found in threads.parallel(candidates, blocks):
        for each in found:
            merge(*each)
    return best, index


def over_blocks(x: Points, y: Points, ask: Callable[[slice, slice, np.ndarray], T]) -> Iterator[T]:
    """``ask(rows, columns, low)`` of each block of the matrix of squared distances, in order.

    ``low`` holds float32 lower bounds, for `inside`.
    """

    def task(block: tuple[slice, slice]) -> T:
        return ask(*block, _lower_bounds(x, y, *block, np.float32))

    blocks = [(rows, columns) for rows in _slices(len(x)) for columns in _slices(len(y))]
    return threads.parallel(task, blocks)


def inside(
    x: Points,
    y: Points,
    rows: slice,
    columns: slice,
    low: np.ndarray,
    squared_radii: np.ndarray,
    closer: Callable = np.less_equal,
) -> np.ndarray:
    """The boolean block "x_i is within y_j's radius".

    Args:
        x: the points asked about.
        y: the centres of the balls.
        rows: which points of ``x``.
        columns: which points of ``y``.
        low: their block, from `over_blocks`.
        squared_radii: float64 ``[len(y)]``.
        closer: ``np.less_equal`` for closed balls, ``np.less`` for open ones.
    """
    radii = squared_radii[columns]
    for dtype in (np.float32, np.float64):
        if low.dtype != dtype:
            low = _lower_bounds(x, y, rows, columns, dtype)
        slack = 2 * _epsilon(x, dtype) * (x.norms[rows].max() + y.norms[columns] + radii)
        answer = low < (radii - slack).astype(dtype)
        unsettled = answer ^ (low <= (radii + slack).astype(dtype))
        if np.count_nonzero(unsettled) <= FEW * unsettled.size:
            break
    i, j = _where(unsettled)
    answer[i, j] = closer(_squared_distances(x, y, rows, columns, i, j), radii[j])
    return answer


def _candidates(
    x: Points,
    y: Points,
    rows: slice,
    columns: slice,
    best: np.ndarray,
    low: np.ndarray | None = None,
    others: bool = False,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(i, j, squared distance) of a block's pairs that may be among the rows' k nearest.

    ``best [rows, k]`` are upper bounds; ``others`` leaves out the pairs of a point with itself.
    """
    k = min(best.shape[1], columns.stop - columns.start)
    for dtype in (np.float32, np.float64):
        if low is None:
            low = _lower_bounds(x, y, rows, columns, dtype)
        if others:
            np.fill_diagonal(low, np.inf)
        near = np.partition(low, k - 1, axis=1)[:, k - 1]
        reach = x.norms[rows] + y.norms[columns].max()
        limit = np.minimum(near + 2 * _epsilon(x, dtype) * reach, best[:, -1])
        limit = np.nextafter(limit.astype(dtype), np.array(np.inf, dtype))
        i, j = _where(low <= limit[:, None])
        if len(i) <= FEW * low.size:
            break
        low = None
    if others:
        i, j = i[i != j], j[i != j]
    return i, j, _squared_distances(x, y, rows, columns, i, j)


def _slices(count: int, start: int = 0) -> list[slice]:
    return [slice(i, min(i + BLOCK, count)) for i in range(start, count, BLOCK)]


def _epsilon(x: Points, dtype: type) -> float:
    return (x.exact.shape[1] + 16) * UNIT * np.finfo(dtype).eps / np.finfo(np.float32).eps


def _lower_bounds(x: Points, y: Points, rows: slice, columns: slice, dtype: type) -> np.ndarray:
    """Values not above the squared distances, by the bound in the module's docstring."""
    low = (-2 * x.centred(rows, dtype)) @ y.centred(columns, dtype).T
    shrink = 1 - _epsilon(x, dtype)
    low += (shrink * x.norms[rows]).astype(dtype)[:, None]
    low += (shrink * y.norms[columns]).astype(dtype)
    return low


def _where(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`np.nonzero` of a sparse 2-D mask, several times faster."""
    return np.divmod(np.flatnonzero(mask), mask.shape[1])


def _squared_distances(
    x: Points, y: Points, rows: slice, columns: slice, i: np.ndarray, j: np.ndarray
) -> np.ndarray:
    """Squared distances of pairs (i, j) of a block from float64 differences.

    A pair's value does not depend on the block or on its order, so equal distances compare equal.
    """
    left, right = x.exact[rows], y.exact[columns]
    squared = np.empty(len(i))
    chunk = max(CHUNK // left.shape[1], 1)
    for start in range(0, len(i), chunk):
        pair = slice(start, start + chunk)
        difference = np.subtract(left.take(i[pair], 0), right.take(j[pair], 0), dtype=np.float64)
        squared[pair] = np.einsum("ij,ij->i", difference, difference)
    return squared
