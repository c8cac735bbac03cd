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


def test_against_a_paper_is_welchs_test(rng):
    ours = rng.normal(1.0, 0.1, 5)
    theirs = rng.normal(1.15, 0.1, 5)
    mean, sd = theirs.mean(), theirs.std(ddof=1)
    for shift in np.linspace(-0.5, 0.5, 21):
        p = stats.ttest_ind(ours + shift, theirs, equal_var=False).pvalue
        assert verdicts.welch(ours + shift, mean, sd, 5).p == pytest.approx(p, rel=1e-9)
        word = verdicts.against(list(ours + shift), mean, sd, 5)
        side = "lower" if (ours + shift).mean() < mean else "higher"
        assert word.startswith(f"differs ({side})") == (p < 0.05)


@pytest.mark.parametrize(
    ("ours", "verdict"),
    [
        ([2.5, 3.4], "not told apart (could miss differences below 13645 %)"),  # but p = 0.1
        ([2.5, 3.4, 2.9], "differs (higher)"),
        ([0.03, 0.06], "not told apart (could miss differences below 410 %)"),
        ([0.041, 0.043], "agrees within 20 %"),
        ([0.036, 0.041, 0.049], "not told apart (could miss differences below 31 %)"),
        ([0.042], "one seed, no test"),
    ],
)
def test_too_few_seeds_do_not_agree(ours, verdict):
    assert verdicts.against(ours, 0.0419, 0.0054, 5) == verdict


def test_a_paired_difference_is_scipys(rng):
    ours, others = rng.normal(1.0, 0.1, 6), rng.normal(1.05, 0.1, 6)
    test, theirs = verdicts.paired(ours, others), stats.ttest_rel(ours, others)
    assert test.p == pytest.approx(theirs.pvalue, rel=1e-9)
    for level in (0.05, 0.01):
        interval = theirs.confidence_interval(1 - level)
        assert test.half_width(level) == pytest.approx((interval.high - interval.low) / 2)
    low = stats.ttest_rel(ours, others - 0.2, alternative="greater").pvalue
    high = stats.ttest_rel(ours, others + 0.3, alternative="less").pvalue
    assert test.p_within(-0.2, 0.3) == pytest.approx(max(low, high), rel=1e-9)


def test_seeds_that_agree_to_the_last_digit():
    """Two arms whose best measurement is the same one."""
    same, lower = verdicts.paired([1.0, 2.0], [1.0, 2.0]), verdicts.paired([1.0, 2.0], [1.5, 2.5])
    assert (same.p, same.p_within(-0.1, 0.1), same.half_width()) == (1.0, 0.0, 0.0)
    assert (lower.p, lower.p_within(-0.1, 0.1)) == (0.0, 1.0)
    (verdict,) = verdicts.family([([1.0, 2.0], [1.0, 2.0])])
    assert str(verdict) == "agrees within 5 %: +0.0 %"


def test_holm_against_its_definition(rng):
    """The k-th smallest of m is rejected if all smaller ones are and it is below level/(m-k+1)."""
    assert verdicts.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])  # R's p.adjust
    assert verdicts.holm([0.5, 0.9]) == [1.0, 1.0]
    for _ in range(200):
        ps = rng.uniform(0, 0.1, rng.integers(1, 9))
        rejected = np.zeros(len(ps), bool)
        for rank, index in enumerate(np.argsort(ps)):
            if ps[index] >= 0.05 / (len(ps) - rank):
                break
            rejected[index] = True
        assert [p < 0.05 for p in verdicts.holm(ps)] == rejected.tolist()


def test_a_number_that_is_not_finite_decides_nothing():
    good = ([0.5, 0.51, 0.49], [1.0, 1.01, 1.0])
    broken, kept = verdicts.family([([np.nan, 0.5, 0.5], [1.0, 1.0, 1.0]), good])
    assert str(broken).startswith("not told apart: +nan %")
    assert kept.word == "lower"


def simulated(rng, effect=0.0):
    """Distances of 5 seeds in 8 comparisons with one arm, which has 2 outcomes."""
    seed = rng.normal(1.0, 0.3, (5, 1))
    plain = seed + rng.normal(0, 0.08, (5, 2))
    arms = seed + effect + rng.normal(0, 0.08, (5, 4, 2)).reshape(5, 8)
    return [(np.exp(arms[:, i]), np.exp(plain[:, i % 2])) for i in range(8)]


def test_families_without_a_difference_rarely_differ(rng):
    """5 %, and three standard errors of 1,000 draws."""
    families = [verdicts.family(simulated(rng)) for _ in range(1000)]
    differ = [any(each.word != "not told apart" for each in verdict) for verdict in families]
    assert np.mean(differ) < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 1000)
    single = [
        verdict[0].p < 0.05
        for verdict in ([*verdicts.family(simulated(rng)[:1])] for _ in range(1000))
    ]
    assert np.mean(single) == pytest.approx(0.05, abs=3 * np.sqrt(0.05 * 0.95 / 1000))


def test_families_at_the_margin_rarely_agree(rng):
    effect = np.log1p(verdicts.MARGIN)
    families = [verdicts.family(simulated(rng, effect)) for _ in range(1000)]
    agree = [any(each.p_within < 0.05 for each in verdict) for verdict in families]
    assert np.mean(agree) < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 1000)


def test_the_words_of_a_family():
    plain = np.array([2.0, 3.0, 4.0, 5.0, 6.0])
    scatter = np.array([0.99, 1.0, 1.01, 1.0, 1.0])
    words = [
        str(each)
        for each in verdicts.family(
            [
                (0.7 * scatter * plain, plain),
                (1.01 * plain * scatter**0.2, plain),
                (plain * scatter**0.5, plain),
                (plain * scatter**20, plain),
            ]
        )
    ]
    assert words[0].startswith("lower: -30.0 % (p = ")
    assert words[1].startswith("higher: +1.0 % (p = ")
    assert words[1].endswith(", agrees within 5 %")
    assert words[2] == "agrees within 5 %: -0.0 %"
    assert words[3].startswith("not told apart: -0.0 % (could miss differences below ")
    assert [str(each) for each in verdicts.family([([1.1], [1.0])])] == ["+10.0 %"]


def test_orderings_are_paired():
    base = np.arange(5.0)  # far apart from seed to seed, yet always lower
    shifts = [0.1, 0.11, 0.09, 0.1, 0.12]
    p = stats.ttest_rel(base - shifts, base).pvalue
    assert p < 0.001
    assert verdicts.ordering(base - shifts, base) == f"holds: -0.1040 (p = {p:.2g})"
    assert verdicts.ordering(base, base - 0.1 - base / 100).startswith("is reversed: +")
    assert verdicts.ordering([1, 2, 3], [3, 2, 1]).startswith("not told apart: ")
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
