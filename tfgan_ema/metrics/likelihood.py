"""Feature likelihood divergence (Jiralerspong et al. 2023): do samples explain unseen images?

A mixture of Gaussians stands on the generated samples, each with a width of its own, fitted to the
training set. How likely are images that no one has seen? A sample that copies a training image gets
a width of almost 0 and explains nothing else, so memorisation costs as much as poor quality.
"""

from __future__ import annotations

import numpy as np

from tfgan_ema.errors import UsageError
from tfgan_ema.metrics.arrays import as_pair

RATE, EPOCHS, BATCH = 0.5, 50, 10_000  # of Adam, as the authors fit
LARGEST = 40.0  # of the logarithm of a variance
ORIGIN = 0.9**2  # what squared distances to the mean of the training set are multiplied by
BLOCK = 1024  # rows of likelihoods held at a time


def feature_likelihood_divergence(train: object, test: object, generated: object) -> float:
    """100 times what the likelihood of unseen images loses by generated instead of real centres.

    Negative log-likelihoods are a dimension. The real mixture stands on the even rows of the
    training set and is fitted to its odd rows. Features are scaled by mean and deviation of the
    test set; those that are the same in all of it are left out. Time and memory grow as the product
    of two sets' sizes.

    Args:
        train: features of the training set, ``[n, d]``; NumPy or tensor.
        test: features of images that were not trained on, ``[m, d]``.
        generated: features of generated samples, ``[k, d]``.

    Returns:
        About 0 for samples as good as real ones; larger is worse.

    Raises:
        UsageError: NaN, too few samples, different widths, or test images that are all alike.
    """
    train, test = as_pair(train, test, at_least=4)
    generated, _ = as_pair(generated, test)
    mean, deviation = test.mean(axis=0), test.std(axis=0, ddof=1)
    varies = deviation > 0
    if not varies.any():
        raise UsageError("the test images are all alike: expected images that were not trained on.")
    train, test, generated = (
        ((x - mean) / np.where(varies, deviation, 1.0))[:, varies] for x in (train, test, generated)
    )
    return 100 * (_loss(generated, train, test) - _loss(train[::2], train[1::2], test))


def _loss(centres: np.ndarray, seen: np.ndarray, unseen: np.ndarray) -> float:
    """The mean negative log-likelihood of ``unseen``, a dimension, of a mixture fitted to ``seen``.

    One more Gaussian, around the mean of ``seen``, leaves no row impossible while variances are
    fitted.
    """
    width, count = seen.shape[1], len(centres)
    to_mean = ORIGIN * _squared_distances(seen, seen.mean(axis=0, keepdims=True))
    squared = np.hstack([_squared_distances(seen, centres), to_mean])
    logs = np.log((squared.min(axis=0) + 1e-3) / width)
    logs[-1] = 0.0
    weights = np.append(np.full(count, -np.log(count)), 0.0)
    first, second, step = np.zeros(count + 1), np.zeros(count + 1), 0
    losses: list[float] = []
    while len(losses) < EPOCHS and not _settled(losses):
        of_epoch = []
        for start in range(0, len(seen), BATCH):
            loss, gradient = _value_and_gradient(
                squared[start : start + BATCH], logs, weights, width
            )
            step += 1
            first = 0.9 * first + 0.1 * gradient
            second = 0.999 * second + 0.001 * gradient**2
            scale = np.sqrt(second / (1 - 0.999**step)) + 1e-8
            logs = logs - RATE * first / (1 - 0.9**step) / scale
            logs[:-1] = np.clip(logs[:-1], -LARGEST, LARGEST)
            of_epoch.append(loss)
        losses.append(float(np.mean(of_epoch)))
    squared = _squared_distances(unseen, centres)
    return _value_and_gradient(squared, logs[:-1], weights[:-1], width)[0]


def _settled(losses: list[float]) -> bool:
    return len(losses) > 6 and np.abs(np.subtract(losses[-5:], losses[-1])).max() < 5e-4


def _value_and_gradient(
    squared: np.ndarray, logs: np.ndarray, weights: np.ndarray, width: int
) -> tuple[float, np.ndarray]:
    """The mean negative log-likelihood a dimension, and its derivative in ``logs``.

    Args:
        squared: distances of rows to centres, ``[n, k]``.
        logs: logarithms of the centres' variances, ``[k]``.
        weights: logarithms of the centres' weights, ``[k]``.
        width: the dimension.
    """
    total, gradient = 0.0, np.zeros(len(logs))
    for start in range(0, len(squared), BLOCK):
        scaled = 0.5 * squared[start : start + BLOCK] * np.exp(-logs)
        exponents = weights - 0.5 * width * (logs + np.log(2 * np.pi)) - scaled
        largest = exponents.max(axis=1, keepdims=True)
        shares = np.exp(exponents - largest)
        sums = shares.sum(axis=1, keepdims=True)
        total -= float((largest + np.log(sums)).sum())
        gradient -= np.einsum("ij,ij->j", shares / sums, scaled - 0.5 * width)
    return total / (len(squared) * width), gradient / (len(squared) * width)


def _squared_distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    squared = np.square(x).sum(axis=1)[:, None] + np.square(y).sum(axis=1) - 2 * (x @ y.T)
    return np.maximum(squared, 0.0, out=squared)
