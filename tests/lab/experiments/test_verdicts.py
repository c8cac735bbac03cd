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


def test_orderings_are_paired():
    base = np.arange(5.0)  # far apart from seed to seed, yet always lower
    word, difference, p = verdicts.lower(base - [0.1, 0.11, 0.09, 0.1, 0.12], base)
    assert (word, round(difference, 3)) == ("lower", -0.104)
    assert p < 0.001
    assert verdicts.lower(base, base - 0.1 - base / 100)[0] == "higher"
    assert verdicts.lower([1, 2, 3], [3, 2, 1])[0] == "undecided"
    assert verdicts.lower([1.0], [2.0])[0] == "undecided"


def test_rates_are_compared_as_fisher_does():
    """One-sided hypergeometric sums, both tails, for 0 of 4 against 4 of 4: 2 / C(8, 4)."""
    assert verdicts.rates_differ(0, 4, 4, 4) == pytest.approx(2 / 70)
    assert verdicts.rates_differ(10, 20, 20, 40) == pytest.approx(1.0)
    assert verdicts.rate(36, 40) == "36 of 40, 90 % (77 to 96)"
