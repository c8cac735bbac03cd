"""Perceptual path length (Karras et al. 2019): how fast features change along latent paths."""

from __future__ import annotations

import numpy as np

from tfgan_ema.errors import UsageError
from tfgan_ema.metrics.arrays import as_pair


def perceptual_path_length(
    start: object, end: object, *, epsilon: float = 1e-4, trim: float = 0.01
) -> float:
    """Mean of ``|f(G(z_t)) - f(G(z_(t + epsilon)))|^2 / epsilon^2``, without its extreme tails.

    Args:
        start: features of the images at the paths' points, ``[n, d]``; NumPy or tensor.
        end: features of the images ``epsilon`` further along the same paths, ``[n, d]``.
        epsilon: the step along the path, as a share of its length.
        trim: the share of distances dropped at either end before the mean; the usual figure
            drops 1 % each.

    Raises:
        UsageError: NaN, no samples, sets that do not pair, epsilon <= 0, trim not in [0, 0.5).
    """
    start, end = as_pair(start, end)
    if len(start) != len(end):
        raise UsageError(f"{len(start)} starts and {len(end)} ends of paths: expected pairs.")
    if not epsilon > 0 or not 0 <= trim < 0.5:
        raise UsageError(f"epsilon {epsilon}, trim {trim}: expected epsilon > 0, trim in [0, 0.5).")
    lengths = np.square(start - end).sum(axis=1) / epsilon**2
    low = np.quantile(lengths, trim, method="lower")
    high = np.quantile(lengths, 1 - trim, method="higher")
    return float(lengths[(low <= lengths) & (lengths <= high)].mean())


def slerp(a: object, b: object, t: object) -> np.ndarray:
    """Points at share ``t`` of the great-circle paths from ``a`` to ``b``.

    Args:
        a: starts, shape ``[n, d]``; directions count, and lengths go over linearly.
        b: ends, shape ``[n, d]``.
        t: a number or shape ``[n]``, in [0, 1].
    """
    a, b = as_pair(a, b)
    t = np.reshape(t, (-1, 1))
    norm_a, norm_b = (np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b))
    u, v = a / norm_a, b / norm_b
    # atan2 is exact for nearly parallel pairs, where arccos of the cosine loses half the digits.
    angle = 2 * np.arctan2(
        np.linalg.norm(u - v, axis=1, keepdims=True), np.linalg.norm(u + v, axis=1, keepdims=True)
    )
    near = angle < 1e-8
    sine = np.where(near, 1.0, np.sin(angle))
    start = np.where(near, 1 - t, np.sin((1 - t) * angle) / sine)
    stop = np.where(near, t, np.sin(t * angle) / sine)
    return (start * u + stop * v) * ((1 - t) * norm_a + t * norm_b)
