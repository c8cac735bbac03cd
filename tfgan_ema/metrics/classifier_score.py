"""Inception Score (Salimans et al. 2016): ``exp E KL(p(y|x) || p(y))``."""

from __future__ import annotations

import numpy as np
from scipy.special import xlogy

from tfgan_ema.errors import UsageError
from tfgan_ema.metrics.checks import as_features, positive_count


def inception_score(probabilities: object, *, splits: int = 10) -> tuple[float, float]:
    """Mean and standard deviation of the score over consecutive splits.

    Args:
        probabilities: class probabilities ``[n, classes]``, rows that sum to 1; NumPy or tensor.
        splits: the set is cut into this many equal parts, each scored on its own.

    Returns:
        The score, between 1 and the number of classes, and its standard deviation over splits.

    Raises:
        UsageError: NaN, fewer samples than splits, or rows that are not probabilities.
    """
    p = as_features(probabilities, "the probabilities", at_least=positive_count(splits, "splits"))
    if p.min() < 0 or np.abs(p.sum(axis=1) - 1).max() > 1e-3:
        raise UsageError("rows of the probabilities do not sum to 1: were logits passed instead?")
    scores = [_score(part) for part in np.array_split(p, splits)]
    return float(np.mean(scores)), float(np.std(scores))


def _score(p: np.ndarray) -> float:
    marginal = p.mean(axis=0)
    divergence = xlogy(p, p).sum(axis=1) - xlogy(p, marginal).sum(axis=1)
    return float(np.exp(divergence.mean()))
