"""How well samples cover a mixture of known modes: modes covered, high-quality share, KL.

Definitions of the 2-D ring in Otstot (2023): a sample belongs to its nearest mode and is of high
quality within three standard deviations of it; a mode is covered when at least one of its samples
is of high quality; the divergence compares counts of samples by nearest mode, each count plus one.
"""

from __future__ import annotations

import numpy as np

from tfgan_ema.errors import UsageError
from tfgan_ema.metrics.checks import as_features, same_width


def mode_coverage(
    samples: object,
    modes: object,
    std: float,
    *,
    weights: object | None = None,
    radius: float = 3.0,
) -> dict[str, float]:
    """Modes covered, share of high-quality samples and KL(true || generated) over modes.

    Args:
        samples: shape ``[n, d]``; NumPy or tensor.
        modes: the centres, shape ``[k, d]``.
        std: the standard deviation of every mode, > 0.
        weights: the modes' true probabilities ``[k]``; ``None`` means equal.
        radius: in standard deviations, what counts as high quality.

    Returns:
        ``modes`` (how many are covered), ``high_quality`` (in [0, 1]) and ``mode_kl`` (>= 0, in
        nats).

    Raises:
        UsageError: NaN, no samples, different widths, or a std that is not positive.
    """
    samples, modes = as_features(samples, "the samples"), as_features(modes, "the modes")
    same_width(samples.shape[1], modes.shape[1])
    if not std > 0:
        raise UsageError(f"std is {std!r}: expected a positive number.")
    best, nearest = _nearest(samples, modes)
    good = best <= (radius * std) ** 2
    true = np.ones(len(modes)) if weights is None else np.asarray(weights, np.float64)
    if true.shape != (len(modes),) or true.min() <= 0:
        raise UsageError(f"weights are {true}: expected {len(modes)} positive numbers.")
    true = true / true.sum()
    counts = np.bincount(nearest, minlength=len(modes)) + 1.0
    return {
        "modes": float(len(np.unique(nearest[good]))),
        "high_quality": float(good.mean()),
        "mode_kl": max(float(true @ np.log(true / (counts / counts.sum()))), 0.0),
    }


def _nearest(samples: np.ndarray, modes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Squared distance to, and index of, the nearest mode: a running minimum over modes."""
    best, nearest = np.full(len(samples), np.inf), np.zeros(len(samples), np.intp)
    columns = np.ascontiguousarray(samples.T)
    for index, mode in enumerate(modes):
        squared = sum((column - centre) ** 2 for column, centre in zip(columns, mode, strict=True))
        closer = squared < best
        best[closer], nearest[closer] = squared[closer], index
    return best, nearest
