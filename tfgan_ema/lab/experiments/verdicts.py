"""Whether results differ, each by a stated test at the 5 % level, in words for a table."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats

from tfgan_ema.lab.experiments.experiment import values

Table = Sequence[dict[str, Any]]
Columns = Mapping[str, Mapping[str, Any]]
Pairs = Mapping[str, tuple[str, str]]

LEVEL = 0.05


def mean_and_deviation(numbers: Sequence[float]) -> str:
    """``mean ± standard deviation``; one value has no deviation."""
    deviation = f" ± {np.std(numbers, ddof=1):.4f}" if len(numbers) > 1 else ""
    return f"{np.mean(numbers):.4f}{deviation}"


def against(ours: Sequence[float], mean: float, std: float, count: int) -> str:
    """Welch's test of our seeds against a paper's mean and standard deviation of ``count`` runs.

    Returns:
        ``"differs (lower)"`` or ``"differs (higher)"`` where the means differ at the 5 % level,
        ours being lower or higher; else ``"agrees"``, or ``"undecided"`` where our seeds are too
        few to tell a difference as large as the paper's mean itself.
    """
    if len(ours) < 2:
        return "undecided"
    middle, theirs = np.mean(ours), (mean, std, count)

    def differs(middle: float) -> bool:
        mine = middle, np.std(ours, ddof=1), len(ours)
        return stats.ttest_ind_from_stats(*mine, *theirs, equal_var=False).pvalue < LEVEL

    if differs(middle):
        return f"differs ({'lower' if middle < mean else 'higher'})"
    return "agrees" if differs(0.0) else "undecided"


def ordering(ours: Sequence[float], others: Sequence[float]) -> str:
    """The claim that ``ours`` are below ``others``: ``holds: -0.0104 (p = 0.0004)``.

    A paired t-test over the seeds, two-sided. Of one seed only the difference.
    """
    difference = np.subtract(ours, others)
    mean = f"{difference.mean():+.4f}"
    if len(difference) == 1:
        return mean
    p = stats.ttest_1samp(difference, 0.0).pvalue
    decided = "holds" if difference.mean() < 0 else "is reversed"
    return f"{decided if p < LEVEL else 'undecided'}: {mean} (p = {p:.2g})"


def means(table: Table, key: str, columns: Columns, **wanted: Any) -> list[str]:
    """Means and deviations over the seeds, one for each column of a page.

    Args:
        table: rows of results.
        key: what is averaged.
        columns: name -> what the rows of the column have in common.
        **wanted: what all rows have in common.
    """
    filters = [{**wanted, **column} for column in columns.values()]
    return [mean_and_deviation(values(table, key, **each)) for each in filters]


def orderings(table: Table, key: str, columns: Columns, pairs: Pairs, **wanted: Any) -> list[str]:
    """`ordering` for each of ``pairs``, claim -> columns of which the first is to be lower.

    The other arguments are those of `means`.
    """
    distances = {name: values(table, key, **wanted, **column) for name, column in columns.items()}
    return [ordering(distances[low], distances[high]) for low, high in pairs.values()]


def wilson(successes: int, count: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a rate."""
    interval = stats.binomtest(successes, count).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)


def rate(successes: int, count: int) -> str:
    """``36 of 40, 90 % (77 to 96)``: with Wilson's 95 % interval."""
    low, high = wilson(successes, count)
    share = f"{100 * successes / count:.0f} % ({100 * low:.0f} to {100 * high:.0f})"
    return f"{successes} of {count}, {share}"


def rate_difference(a: int, count_a: int, b: int, count_b: int) -> str:
    """``-5 points (p = 0.62)``: the difference of two rates, by Fisher's exact test, two-sided."""
    p = stats.fisher_exact([[a, count_a - a], [b, count_b - b]]).pvalue
    return f"{100 * (a / count_a - b / count_b):+.0f} points (p = {p:.2g})"
