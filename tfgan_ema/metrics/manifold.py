"""What precision, recall, density and coverage share: balls around points, and who lies in them."""

from __future__ import annotations

import numpy as np

from tfgan_ema.metrics import neighbours
from tfgan_ema.metrics.checks import as_features, as_pair, positive_count
from tfgan_ema.metrics.neighbours import Points


def manifold_scores(
    real: object, generated: object, *, k: int = 5, real_radii: np.ndarray | None = None
) -> dict[str, float]:
    """Precision, recall, density and coverage for one k, from one pass over the distances.

    See `precision_recall` and `density_coverage` for what they mean; together they cost what
    precision and recall cost alone.

    Args:
        real: features of real samples, shape ``[n, d]``, n > k; NumPy or tensor.
        generated: features of generated samples, shape ``[m, d]``, m > k.
        k: the neighbour that sets the radius of a ball.
        real_radii: `radii` of the real samples for this k, which saves most of the work where one
            real set is compared with many; ``None`` finds them.

    Raises:
        UsageError: NaN, no more than k samples, or different widths.
    """
    real, generated = balls(real, generated, positive_count(k, "k"))
    if real_radii is None:
        real_radii = squared_radii(real, k)
    generated_radii = squared_radii(generated, k)
    precise, recalled = np.zeros(len(generated), bool), np.zeros(len(real), bool)
    held, reached = 0, np.zeros(len(real), bool)

    def ask(rows: slice, columns: slice, low: np.ndarray) -> tuple:
        closed = neighbours.inside(generated, real, rows, columns, low, real_radii)
        inner = neighbours.inside(generated, real, rows, columns, low, real_radii, closer=np.less)
        mirrored = neighbours.inside(real, generated, columns, rows, low.T, generated_radii)
        found = closed.any(axis=1), mirrored.any(axis=1), inner.any(axis=0)
        return rows, columns, *found, np.count_nonzero(inner)

    for rows, columns, *found, count in neighbours.over_blocks(generated, real, ask):
        precise[rows] |= found[0]
        recalled[columns] |= found[1]
        reached[columns] |= found[2]
        held += int(count)
    return {
        "precision": float(precise.mean()),
        "recall": float(recalled.mean()),
        "density": held / (k * len(generated)),
        "coverage": float(reached.mean()),
    }


def balls(real: object, generated: object, k: int) -> tuple[Points, Points]:
    """Both sets checked for k neighbours, as points around their common mean."""
    real, generated = as_pair(real, generated, k + 1, keep_single=True)
    centre = (real.mean(axis=0, dtype=np.float64) + generated.mean(axis=0, dtype=np.float64)) / 2
    return neighbours.points(real, centre), neighbours.points(generated, centre)


def radii(features: np.ndarray, k: int) -> np.ndarray:
    """Squared distance of each row of ``[n, d]`` to its k-th nearest other row, float64 ``[n]``.

    Raises:
        UsageError: NaN, or no more than k rows.
    """
    features = as_features(features, "the first set", k + 1, keep_single=True)
    return squared_radii(neighbours.points(features, features.mean(axis=0, dtype=np.float64)), k)


def squared_radii(x: Points, k: int) -> np.ndarray:
    """Squared distance of each point to its k-th nearest other point, float64 ``[n]``."""
    return neighbours.nearest_neighbours(x, k)[0][:, -1]
