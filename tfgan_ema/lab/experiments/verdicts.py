"""Whether results differ, each by a stated test at the 5 % level, in words for a table.

There are three words, and only the last says that things are alike: "differs" (or "lower",
"higher", "holds", "is reversed") where a two-sided test says so; "not told apart" where it does
not, with the difference below which it could not; "agrees within" a margin where two one-sided
tests reject a larger difference on either side (TOST, Schuirmann 1987).
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import special, stats

from tfgan_ema.lab.experiments.experiment import values

Table = Sequence[dict[str, Any]]
Columns = Mapping[str, Mapping[str, Any]]
Pairs = Mapping[str, tuple[str, str]]

LEVEL = 0.05
MARGIN = 0.05  # of our own arms
PAPER_MARGIN = 0.2  # of a paper's numbers, which come from other programs


def mean_and_deviation(numbers: Sequence[float]) -> str:
    """``mean ± standard deviation``; one value has no deviation."""
    deviation = f" ± {np.std(numbers, ddof=1):.4f}" if len(numbers) > 1 else ""
    return f"{np.mean(numbers):.4f}{deviation}"


class Difference(NamedTuple):
    """A difference with what a t-test needs.

    Attributes:
        estimate: of the difference.
        error: its standard error.
        freedom: degrees of freedom.
    """

    estimate: float
    error: float
    freedom: float

    @property
    def p(self) -> float:
        """Of the two-sided test against 0."""
        return min(1.0, 2 * self._beyond(abs(self.estimate)))

    def half_width(self, level: float = LEVEL) -> float:
        """Of the interval that misses the truth in a share ``level`` of cases."""
        return float(-special.stdtrit(self.freedom, level / 2) * self.error)

    def p_within(self, low: float, high: float) -> float:
        """Of TOST: small where the difference certainly lies between the two."""
        return self._beyond(min(self.estimate - low, high - self.estimate))

    def _beyond(self, distance: float) -> float:
        """The probability that an estimate lies this far above the truth."""
        if not self.error:  # all seeds agree to the last digit
            return float(distance <= 0)
        return float(special.stdtr(self.freedom, -distance / self.error))


def paired(ours: Sequence[float], others: Sequence[float]) -> Difference:
    """The mean of ``ours - others`` over at least two seeds."""
    each = np.subtract(ours, others)
    return Difference(float(each.mean()), float(each.std(ddof=1) / len(each) ** 0.5), len(each) - 1)


def welch(ours: Sequence[float], mean: float, std: float, count: int) -> Difference:
    """The mean of at least two of ``ours`` less that of ``count`` others."""
    mine, theirs = np.var(ours, ddof=1) / len(ours), std**2 / count
    shares = mine**2 / (len(ours) - 1) + theirs**2 / (count - 1)
    freedom = (mine + theirs) ** 2 / shares if shares else len(ours) + count - 2
    return Difference(float(np.mean(ours) - mean), float(np.sqrt(mine + theirs)), float(freedom))


def holm(ps: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values: by chance alone one of 20 families has any below 5 %, at most."""
    order = np.argsort(ps)
    scaled = np.asarray(ps, float)[order] * np.arange(len(ps), 0, -1)
    adjusted = np.empty(len(ps))
    adjusted[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return adjusted.tolist()


class Verdict(NamedTuple):
    """How numbers of two arms differ, over seeds and corrected for a family.

    Attributes:
        change: ratio of their geometric means, less 1.
        p: that they are alike; ``None`` where one seed allows no test.
        p_within: that they are not within `MARGIN`.
        missed: changes below this could be missed.
    """

    change: float
    p: float | None = None
    p_within: float = 1.0
    missed: float = np.inf

    @property
    def word(self) -> str:
        """``"lower"``, ``"higher"`` or ``"not told apart"``."""
        if self.p is not None and self.p < LEVEL:
            return "lower" if self.change < 0 else "higher"
        return "not told apart"  # a number that is not finite supports nothing, too

    def __str__(self) -> str:
        """The words of a table."""
        agrees = f"agrees within {_percent(MARGIN)}" if self.p_within < LEVEL else ""
        change = f"{100 * self.change:+.1f} %"
        if self.p is None:
            return change
        if self.p < LEVEL:
            return f"{self.word}: {change} (p = {self.p:.2g}){agrees and ', '}{agrees}"
        if agrees:
            return f"{agrees}: {change}"
        return f"{self.word}: {change} (could miss differences below {_percent(self.missed)})"


def family(pairs: Sequence[tuple[Sequence[float], Sequence[float]]]) -> list[Verdict]:
    """How much lower or higher each first is than its second.

    Paired t-tests over the seeds on differences of logarithms, two-sided, and TOST for agreement
    within `MARGIN`, each with Holm's correction over the family. What could be missed is half of
    the interval at the level of the family's first test.

    Args:
        pairs: positive numbers by seed, of each of the two.
    """
    logs = [(np.log(ours), np.log(others)) for ours, others in pairs]
    if len(logs[0][0]) == 1:
        return [Verdict(float(np.expm1(ours[0] - others[0]))) for ours, others in logs]
    tests = [paired(*pair) for pair in logs]
    ps = holm([test.p for test in tests])
    margin = np.log1p(MARGIN)
    within = holm([test.p_within(-margin, margin) for test in tests])
    return [
        Verdict(
            float(np.expm1(test.estimate)), p, p_within,
            float(np.expm1(test.half_width(LEVEL / len(tests)))),
        )
        for test, p, p_within in zip(tests, ps, within, strict=True)
    ]  # fmt: skip


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def against(ours: Sequence[float], mean: float, std: float, count: int) -> str:
    """Welch's test of our seeds against a paper's mean and standard deviation of ``count`` runs.

    Returns:
        ``"differs (lower)"`` or ``"differs (higher)"``, ours being lower or higher;
        ``"agrees within 20 %"`` of the paper's mean; or ``"not told apart"`` with what could be
        missed.
    """
    if len(ours) < 2:
        return "one seed, no test"
    test = welch(ours, mean, std, count)
    if test.p < LEVEL:
        return f"differs ({'lower' if test.estimate < 0 else 'higher'})"
    if test.p_within(-PAPER_MARGIN * mean, PAPER_MARGIN * mean) < LEVEL:
        return f"agrees within {_percent(PAPER_MARGIN)}"
    missed = _percent(test.half_width() / mean)
    return f"not told apart (could miss differences below {missed})"


def ordering(ours: Sequence[float], others: Sequence[float]) -> str:
    """The claim that ``ours`` are below ``others``: ``holds: -0.0104 (p = 0.0004)``.

    A paired t-test over the seeds, two-sided. Of one seed only the difference.
    """
    if len(ours) == 1:
        return f"{ours[0] - others[0]:+.4f}"
    test = paired(ours, others)
    result = f"{test.estimate:+.4f} (p = {test.p:.2g}"
    if test.p < LEVEL:
        return f"{'holds' if test.estimate < 0 else 'is reversed'}: {result})"
    return f"not told apart: {result}; could miss {test.half_width():.2g})"


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
