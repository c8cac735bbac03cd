"""Metrics of samples that are sorted into classes or modes; they need no reference set."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tfgan_ema.errors import UsageError
from tfgan_ema.metrics.arrays import as_features, positive_count, same_width


def inception_score(probabilities: object, *, splits: int = 10) -> tuple[float, float]:
    """The Inception Score (Salimans et al. 2016), ``exp E KL(p(y|x) || p(y))``, over splits.

    Args:
        probabilities: class probabilities ``[n, classes]``, rows that sum to 1; NumPy or tensor.
        splits: the set is cut into this many consecutive parts, each scored on its own.

    Returns:
        The mean score, between 1 and the number of classes, and its standard deviation over splits.

    Raises:
        UsageError: NaN, fewer samples than splits, or rows that are not probabilities.
    """
    p = as_features(probabilities, "the probabilities", at_least=positive_count(splits, "splits"))
    if p.min() < 0 or np.abs(p.sum(axis=1) - 1).max() > 1e-3:
        raise UsageError("rows of the probabilities do not sum to 1: were logits passed instead?")
    scores = [np.exp(divergences(part).mean()) for part in np.array_split(p, splits)]
    return float(np.mean(scores)), float(np.std(scores))


def divergences(probabilities: np.ndarray) -> np.ndarray:
    """KL of each sample's class probabilities ``[n, classes]`` to their mean, in nats, ``[n]``.

    They are, up to a constant, what each sample adds to the logarithm of the Inception Score.
    """
    p = np.asarray(probabilities, np.float64)
    logs = np.log(np.divide(p, p.mean(axis=0), out=np.ones_like(p), where=p > 0))
    return (p * logs).sum(axis=1)


def class_coverage(probabilities: object) -> tuple[float, float]:
    """How many classes samples cover, and KL of their distribution over classes to the uniform one.

    With a classifier of StackedMNIST's 1,000 modes, and 26,000 samples, these are the numbers of
    Metz et al. (2017).

    Args:
        probabilities: class probabilities ``[n, classes]``; a sample counts for the likeliest.

    Returns:
        The number of classes with a sample, and the divergence in nats, >= 0.

    Raises:
        UsageError: NaN, or no samples.
    """
    p = as_features(probabilities, "the probabilities")
    shares = np.bincount(p.argmax(axis=1), minlength=p.shape[1]) / len(p)
    covered = shares[shares > 0]
    return float(len(covered)), float(covered @ np.log(covered * p.shape[1]))


def mode_coverage(
    samples: object, modes: object, std: float, *, weights: object | None = None
) -> dict[str, float]:
    """How well samples cover a mixture of known modes.

    The definitions of the 2-D ring in Otstot (2023): a sample belongs to its nearest mode and is of
    high quality within three standard deviations of it; a mode is covered when at least one of its
    samples is of high quality; the divergence compares counts of samples by nearest mode, each
    count plus one.

    Args:
        samples: shape ``[n, d]``; NumPy or tensor.
        modes: the centres, shape ``[k, d]``.
        std: the standard deviation of every mode, > 0.
        weights: the modes' true probabilities ``[k]``; ``None`` means equal.

    Returns:
        ``modes`` (how many are covered), ``high_quality`` (the share of such samples, in [0, 1])
        and ``mode_kl`` (KL of the true to the generated distribution over modes, >= 0, in nats).

    Raises:
        UsageError: NaN, no samples, different widths, or a std that is not positive.
    """
    found = sort_into_modes(samples, modes, std, weights=weights)
    true = found.probabilities
    return {
        "modes": float(len(np.unique(found.nearest[found.good]))),
        "high_quality": float(found.good.mean()),
        "mode_kl": max(float(true @ np.log(true / found.shares)), 0.0),
    }


class Sorted(NamedTuple):
    """Samples sorted into modes.

    Attributes:
        nearest: the mode of each sample, ``[n]``.
        good: whether each sample is of high quality, ``[n]``.
        shares: of the samples by mode, each count plus one, ``[k]``.
        probabilities: the true ones, ``[k]``.
    """

    nearest: np.ndarray
    good: np.ndarray
    shares: np.ndarray
    probabilities: np.ndarray


def sort_into_modes(
    samples: object, modes: object, std: float, *, weights: object | None = None
) -> Sorted:
    """What the numbers of `mode_coverage` are made of; the arguments are the same."""
    samples, modes = as_features(samples, "the samples"), as_features(modes, "the modes")
    same_width(samples.shape[1], modes.shape[1])
    if not std > 0:
        raise UsageError(f"std is {std!r}: expected a positive number.")
    squared = np.square(samples[:, None] - modes).sum(axis=2)
    nearest = squared.argmin(axis=1)
    true = np.ones(len(modes)) if weights is None else np.asarray(weights, np.float64)
    if true.shape != (len(modes),) or true.min() <= 0:
        raise UsageError(f"weights are {true}: expected {len(modes)} positive numbers.")
    counts = np.bincount(nearest, minlength=len(modes)) + 1.0
    good = squared.min(axis=1) <= (3 * std) ** 2
    return Sorted(nearest, good, counts / counts.sum(), true / true.sum())
