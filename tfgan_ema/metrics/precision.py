"""Improved precision and recall (Kynkaanniemi et al. 2019)."""

from __future__ import annotations

import numpy as np

from tfgan_ema.metrics.manifold import manifold_scores


def precision_recall(
    real: object, generated: object, *, k: int = 3, real_radii: np.ndarray | None = None
) -> dict[str, float]:
    """How much of the generated set is realistic, and how much of the real set is generated.

    A point lies in a set's manifold when it is no farther from one of the set's points than that
    point is from its k-th nearest neighbour in the set (their equation 1).

    Args:
        real: features of real samples, shape ``[n, d]``, n > k; NumPy or tensor.
        generated: features of generated samples, shape ``[m, d]``, m > k.
        k: the neighbour that sets the radius.
        real_radii: see `manifold_scores`.

    Returns:
        ``precision`` and ``recall``, both in [0, 1].

    Raises:
        UsageError: NaN, no more than k samples, or different widths.
    """
    scores = manifold_scores(real, generated, k=k, real_radii=real_radii)
    return {name: scores[name] for name in ("precision", "recall")}
