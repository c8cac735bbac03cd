"""Which past weights an average holds: power-function profiles and their combinations.

A profile says how an average at time t weighs the weights of each earlier time. That of the
exponent g is ``p(tau) = (g + 1) tau^g / t^(g+1)`` on [0, t]. Its width sigma is its standard
deviation over t, a number in (0, `WIDEST`). Equations: Karras et al. 2024 (arXiv 2312.02696),
section 3 and appendix C. Everything is float64.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from tfgan_ema.errors import UsageError, number

WIDEST = 1 / math.sqrt(12)  # of the uniform profile, whose exponent is 0


def exponent(sigma: float) -> float:
    """The exponent g > 0 of the profile of a width.

    It solves ``(g + 2)^2 (g + 3) sigma^2 = g + 1``.

    Raises:
        UsageError: a width out of range.
    """
    sigma = number("sigma", sigma, "(0, 0.2886)", ", the width, e.g. 0.05")  # below WIDEST
    inverse = sigma**-2
    roots = np.roots([1.0, 7.0, 16.0 - inverse, 12.0 - inverse])
    return float(max(root.real for root in roots))


def width(exponent: float) -> float:
    """The width of the profile of an exponent."""
    g = exponent
    return math.sqrt((g + 1) / ((g + 2) ** 2 * (g + 3)))


def inner_products(
    exponents: Sequence[float],
    times: Sequence[float],
    others: Sequence[float],
    other_times: Sequence[float],
) -> np.ndarray:
    """The integral of the product of two profiles, for each pair of them, [n, m].

    Args:
        exponents: of the n profiles.
        times: at which they end, > 0.
        others: the exponents of the m other profiles.
        other_times: at which those end.
    """
    a, ta = np.asarray(exponents, float)[:, None], np.asarray(times, float)[:, None]
    b, tb = np.asarray(others, float)[None], np.asarray(other_times, float)[None]
    power = np.where(ta < tb, b, -a)
    return (a + 1) * (b + 1) * (ta / tb) ** power / ((a + b + 1) * np.maximum(ta, tb))


def combination(
    exponents: Sequence[float], times: Sequence[float], sigma: float, time: float
) -> tuple[np.ndarray, float]:
    """How averages that were kept combine to one of another width or time.

    Args:
        exponents: of the averages that were kept.
        times: at which they were kept.
        sigma: the width that is wanted.
        time: the time that is wanted; averages of later times get no share.

    Returns:
        The shares [n], whose sum is 1, and the residual: the norm of what the combined profile
        misses of the wanted one, relative to that one's. 0 means that it is met exactly.

    Raises:
        UsageError: a width out of range, or no average of that time or before.
    """
    wanted, times = exponent(sigma), np.asarray(times, float)
    usable = times <= time
    if not usable.any():
        raise UsageError(f"no snapshot at step {time:g} or before: the first is {min(times):g}.")
    g, t = np.asarray(exponents, float)[usable], times[usable]
    products = inner_products(g, t, g, t)
    target = inner_products(g, t, [wanted], [time])[:, 0]
    # Scaled to profiles of norm 1, as narrow and wide ones differ by orders of magnitude.
    norms = np.sqrt(np.diag(products))
    scaled = np.linalg.lstsq(products / np.outer(norms, norms), target / norms, rcond=1e-13)[0]
    shares = np.zeros(len(times))
    shares[usable] = scaled / norms
    shares /= shares.sum()
    x = shares[usable]
    square = inner_products([wanted], [time], [wanted], [time])[0, 0]
    missed = x @ products @ x - 2 * x @ target + square
    return shares, math.sqrt(max(missed, 0.0) / square)


def width_of(rates: np.ndarray) -> float:
    """The width of any average, from the shares of the current weights after steps 1, 2, ..., t.

    It is the standard deviation, over t, of the profile that they make; what is left of the first
    weights counts at step 0. An EMA early in training is near to no power function.
    """
    rates, steps = np.asarray(rates, float), np.arange(1, len(rates) + 1)
    left = np.cumprod(1 - rates[::-1])[::-1]  # of what was there before each step
    shares = rates * np.append(left[1:], 1.0)
    mean = shares @ steps
    return float(math.sqrt(shares @ (steps - mean) ** 2 + left[0] * mean**2) / len(rates))
