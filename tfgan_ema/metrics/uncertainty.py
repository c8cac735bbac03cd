"""How much of a Frechet distance is sampling: extrapolation to infinite samples, and intervals."""

from __future__ import annotations

import numpy as np

from tfgan_ema.errors import UsageError
from tfgan_ema.metrics import frechet
from tfgan_ema.metrics.checks import as_features, positive_count


def fid_infinity(
    generated: object,
    reference: object,
    *,
    sizes: int = 15,
    smallest: int | None = None,
    seed: int = 0,
) -> float:
    """The Frechet distance extrapolated to infinitely many generated samples.

    The distance's bias falls as 1/N (Chong and Forsyth 2020). It is measured on random subsets of
    growing size and a straight line in 1/N is fitted; its value at 0 is returned.

    Args:
        generated: features ``[n, d]``; NumPy or tensor.
        reference: features ``[m, d]`` or a `frechet.Gaussian`.
        sizes: how many sizes, equally spaced up to n; at least 2.
        smallest: the smallest size; ``None`` means half of n.
        seed: fixes the subsets.

    Raises:
        UsageError: NaN, different widths, or sizes that do not fit.
    """
    generated = as_features(generated, "the generated features", at_least=4)
    count = len(generated)
    smallest = count // 2 if smallest is None else smallest
    if positive_count(sizes, "sizes") < 2 or not 2 <= smallest < count:
        raise UsageError(
            f"sizes {sizes}, smallest {smallest}: expected at least 2 sizes between 2 and the "
            f"{count} generated samples."
        )
    reference = _gaussian(reference)
    random = np.random.default_rng(seed)
    counts = np.linspace(smallest, count, sizes).round().astype(int)
    distances = [
        frechet.distance(
            frechet.gaussian(generated[random.choice(count, n, replace=False)]), reference
        )
        for n in counts
    ]
    _, intercept = np.polyfit(1 / counts, distances, 1)
    return float(intercept)


def fid_bootstrap(
    generated: object,
    reference: object,
    *,
    resamples: int = 100,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[float, float]:
    """A bootstrap interval for the Frechet distance over the generated samples.

    The basic interval: the resampled distances' spread, mirrored at the distance itself, since
    resampling adds the bias once more. The reference is taken as given.

    Args:
        generated: features ``[n, d]``; NumPy or tensor.
        reference: features ``[m, d]`` or a `frechet.Gaussian`.
        resamples: how many sets are drawn with replacement; at least 2.
        level: the interval's coverage, in (0, 1).
        seed: fixes the draws.

    Raises:
        UsageError: NaN, different widths, fewer than 2 samples, or a level out of range.
    """
    generated = as_features(generated, "the generated features", at_least=2)
    if positive_count(resamples, "resamples") < 2 or not 0 < level < 1:
        raise UsageError(
            f"resamples {resamples}, level {level}: expected at least 2 and a level in (0, 1)."
        )
    reference = _gaussian(reference)
    random = np.random.default_rng(seed)
    value = frechet.distance(frechet.gaussian(generated), reference)
    count = len(generated)
    again = [
        frechet.distance(frechet.gaussian(generated[random.integers(count, size=count)]), reference)
        for _ in range(resamples)
    ]
    low, high = np.quantile(again, [(1 - level) / 2, (1 + level) / 2])
    return max(float(2 * value - high), 0.0), max(float(2 * value - low), 0.0)


def _gaussian(reference: object) -> frechet.Gaussian:
    if isinstance(reference, frechet.Gaussian):
        return reference
    return frechet.gaussian(as_features(reference, "the reference features", at_least=2))
