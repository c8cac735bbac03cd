"""Whether a result agrees with a paper's, each by a stated test at the 5 % level."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats

LEVEL = 0.05


def spread(values: Sequence[float]) -> str:
    """``mean ± standard deviation``; one value has none."""
    sd = f" ± {np.std(values, ddof=1):.4f}" if len(values) > 1 else ""
    return f"{np.mean(values):.4f}{sd}"


def against(values: Sequence[float], mean: float, std: float, count: int) -> str:
    """Welch's test of our seeds against a paper's mean and standard deviation of ``count`` runs.

    Returns:
        ``"agrees"`` where the means do not differ at the 5 % level, else ``"differs (lower)"`` or
        ``"differs (higher)"``, ours being lower or higher.
    """
    ours, sd = float(np.mean(values)), float(np.std(values, ddof=1))
    p = stats.ttest_ind_from_stats(ours, sd, len(values), mean, std, count, equal_var=False).pvalue
    return "agrees" if p >= LEVEL else f"differs ({'lower' if ours < mean else 'higher'})"


def lower(values: Sequence[float], others: Sequence[float]) -> tuple[str, float, float]:
    """Whether ``values`` are below ``others``, seed by seed: a paired t-test, two-sided.

    Returns:
        ``"lower"``, ``"higher"`` or ``"undecided"``; the mean difference; the p-value.
    """
    difference = np.asarray(values) - np.asarray(others)
    p = float(stats.ttest_1samp(difference, 0.0).pvalue) if len(difference) > 1 else float("nan")
    mean = float(difference.mean())
    if not p < LEVEL:
        return "undecided", mean, p
    return ("lower" if mean < 0 else "higher"), mean, p


def wilson(successes: int, count: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a rate."""
    interval = stats.binomtest(successes, count).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)


def rate(successes: int, count: int) -> str:
    """``36 of 40, 90 % (77 to 96)``: with Wilson's 95 % interval."""
    low, high = wilson(successes, count)
    share = f"{100 * successes / count:.0f} % ({100 * low:.0f} to {100 * high:.0f})"
    return f"{successes} of {count}, {share}"


def rates_differ(a: int, b: int, count_a: int, count_b: int) -> float:
    """p-value of Fisher's exact test, two-sided, that two rates are equal."""
    return float(stats.fisher_exact([[a, count_a - a], [b, count_b - b]]).pvalue)
