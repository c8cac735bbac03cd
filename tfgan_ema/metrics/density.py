"""Density and coverage (Naeem et al. 2020): fidelity and diversity, robust to outliers."""

from __future__ import annotations

import numpy as np

from tfgan_ema.metrics.manifold import manifold_scores


def density_coverage(
    real: object, generated: object, *, k: int = 5, real_radii: np.ndarray | None = None
) -> dict[str, float]:
    """How densely generated samples lie among real ones, and how many real ones they reach.

    Each real point's ball reaches to its k-th nearest other real point, which lies outside (open
    balls, as in the authors' code).

    Args:
        real: features of real samples, shape ``[n, d]``, n > k; NumPy or tensor.
        generated: features of generated samples, shape ``[m, d]``, m > k.
        k: the neighbour that sets the radius.
        real_radii: see `manifold_scores`.

    Returns:
        ``density``: real balls that hold a generated sample, averaged over these, divided by k;
        it can exceed 1 and is 1 in expectation for equal distributions. ``coverage``: the share of
        real balls that hold any generated sample.

    Raises:
        UsageError: NaN, no more than k samples, or different widths.
    """
    scores = manifold_scores(real, generated, k=k, real_radii=real_radii)
    return {name: scores[name] for name in ("density", "coverage")}
