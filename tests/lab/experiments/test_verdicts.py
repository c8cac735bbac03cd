"""The tests behind the words, against closed forms."""

import math

import numpy as np
import pytest
from scipy import stats

from tfgan_ema.lab.experiments import verdicts

Z = stats.norm.ppf(0.975)


@pytest.mark.parametrize(("good", "count"), [(0, 40), (36, 40), (40, 40), (1, 2), (100, 200)])
def test_wilson_is_the_root_of_the_score_test(good, count):
    """Its ends are where |rate - p| = z sqrt(p (1 - p) / n)."""
    low, high = verdicts.wilson(good, count)
    for p in (low, high):
        assert abs(good / count - p) == pytest.approx(Z * math.sqrt(p * (1 - p) / count), abs=1e-9)
    assert low <= good / count <= high


def test_agreement_is_welchs_test(rng):
    ours = rng.normal(1.0, 0.1, 5)
    theirs = rng.normal(1.15, 0.1, 5)
    mean, sd = theirs.mean(), theirs.std(ddof=1)
    for shift in np.linspace(-0.5, 0.5, 21):
        p = stats.ttest_ind(ours + shift, theirs, equal_var=False).pvalue
        word = verdicts.against(list(ours + shift), mean, sd, 5)
        side = "lower" if (ours + shift).mean() < mean else "higher"
        assert word == ("agrees" if p >= 0.05 else f"differs ({side})")


@pytest.mark.parametrize(
    ("ours", "verdict"),
    [
        ([2.5, 3.4], "undecided"),  # seventy times the paper's mean, but p = 0.1
        ([2.5, 3.4, 2.9], "differs (higher)"),
        ([0.03, 0.06], "undecided"),  # they would not tell 0 from the mean either
        ([0.041, 0.043], "agrees"),
        ([0.042], "undecided"),
    ],
)
def test_too_few_seeds_do_not_agree(ours, verdict):
    assert verdicts.against(ours, 0.0419, 0.0054, 5) == verdict


def test_orderings_are_paired():
    base = np.arange(5.0)  # far apart from seed to seed, yet always lower
    shifts = [0.1, 0.11, 0.09, 0.1, 0.12]
    p = stats.ttest_rel(base - shifts, base).pvalue
    assert p < 0.001
    assert verdicts.ordering(base - shifts, base) == f"holds: -0.1040 (p = {p:.2g})"
    assert verdicts.ordering(base, base - 0.1 - base / 100).startswith("is reversed: +")
    assert verdicts.ordering([1, 2, 3], [3, 2, 1]).startswith("undecided: ")
    assert verdicts.ordering([1.0], [2.0]) == "-1.0000"


def test_columns_are_compared_seed_by_seed_on_the_rows_that_are_wanted():
    distances = {"raw": {2: 4.2, 0: 2.0, 1: 3.1}, "ema": {1: 2.0, 2: 3.0, 0: 1.0}}
    table = [
        {"seed": seed, "leak": leak, "column": column, "distance": distance + 10 * leak}
        for leak in (False, True)
        for column, by_seed in distances.items()
        for seed, distance in by_seed.items()
    ]
    columns = {"no average": {"column": "raw"}, "EMA": {"column": "ema"}}
    means = verdicts.means(table, "distance", columns, leak=True)
    assert means == ["13.1000 ± 1.1000", "12.0000 ± 1.0000"]
    pairs = {"EMA is better": ("EMA", "no average")}
    (verdict,) = verdicts.orderings(table, "distance", columns, pairs, leak=True)
    assert verdict.startswith("holds: -1.1000")


def test_rates_are_compared_as_fisher_does():
    """One-sided hypergeometric sums, both tails, for 0 of 4 against 4 of 4: 2 / C(8, 4)."""
    assert verdicts.rate_difference(0, 4, 4, 4) == f"-100 points (p = {2 / 70:.2g})"
    assert verdicts.rate_difference(10, 20, 20, 40) == "+0 points (p = 1)"
    assert verdicts.rate(36, 40) == "36 of 40, 90 % (77 to 96)"
