"""The Vendi score (Friedman and Dieng 2023): how many different samples a set is worth."""

from __future__ import annotations

import numpy as np

from tfgan_ema.metrics.arrays import as_features


def vendi_score(samples: object) -> float:
    """The exponential of the entropy of the eigenvalues of the matrix of cosines over n.

    Args:
        samples: features ``[n, d]``; NumPy or tensor. They are scaled to length 1.

    Returns:
        Between 1, where all samples point in one direction, and the smaller of n and d. It grows
        with the number of samples: compare equal numbers only.

    Raises:
        UsageError: NaN, or no samples.
    """
    return float(np.exp(_entropy(_unit(samples))[0]))


def vendi_influence(samples: object) -> np.ndarray:
    """How much each sample moves `vendi_score`, float64 ``[n]``, up to a constant."""
    rows = _unit(samples)
    entropy, values, vectors = _entropy(rows)
    if len(vectors) == rows.shape[1]:
        surprise = -np.square(rows @ vectors) @ np.log(values)
    else:  # of the Gram matrix, whose eigenvectors hold the rows' projections
        surprise = -len(rows) * np.square(vectors) @ (values * np.log(values))
    return np.exp(entropy) * surprise


def _unit(samples: object) -> np.ndarray:
    rows = as_features(samples, "the samples")
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0)


def _entropy(rows: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """The entropy, and the eigenvalues and eigenvectors of the smaller of both Gram matrices."""
    gram = rows.T @ rows if rows.shape[1] <= len(rows) else rows @ rows.T
    values, vectors = np.linalg.eigh(gram / len(rows))
    kept = values > len(values) * np.finfo(np.float64).eps
    values = values[kept]
    return float(-values @ np.log(values)), values, vectors[:, kept]
