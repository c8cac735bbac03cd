import numpy as np
import pytest

from tfgan_ema import metrics
from tfgan_ema.errors import UsageError


def test_equals_the_definition_pair_by_pair(rng):
    a, b = rng.standard_normal((7, 3)), rng.standard_normal((5, 3)) + 1

    def k(x, y):
        return (x @ y / 3 + 1) ** 3

    within = [
        np.mean([k(s[i], s[j]) for i in range(len(s)) for j in range(len(s)) if i != j])
        for s in (a, b)
    ]
    across = np.mean([k(x, y) for x in a for y in b])
    assert metrics.kernel_distance(a, b) == pytest.approx(sum(within) - 2 * across, rel=1e-12)


def test_blocks_do_not_matter(rng, monkeypatch):
    from tfgan_ema.metrics import kernel

    a, b = rng.standard_normal((50, 4)), rng.standard_normal((61, 4))
    whole = metrics.kernel_distance(a, b)
    monkeypatch.setattr(kernel, "BLOCK", 7)
    assert metrics.kernel_distance(a, b) == pytest.approx(whole, rel=1e-12)


def test_unbiased_for_equal_distributions(rng):
    values = [
        metrics.kernel_distance(rng.standard_normal((40, 8)), rng.standard_normal((30, 8)))
        for _ in range(200)
    ]
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(200)
    assert min(values) < 0 < max(values)


def test_order_and_joint_rotation_do_not_matter(rng):
    a, b = rng.standard_normal((30, 6)), rng.standard_normal((40, 6)) + 0.3
    u, _ = np.linalg.qr(rng.standard_normal((6, 6)))
    value = metrics.kernel_distance(a, b)
    assert metrics.kernel_distance(rng.permutation(a) @ u, b @ u) == pytest.approx(value, rel=1e-10)


def test_subsets_estimate_the_same(rng):
    a, b = rng.standard_normal((300, 5)), rng.standard_normal((400, 5)) + 0.5
    mean, std = metrics.kernel_distance_subsets(a, b, size=60, subsets=200)
    assert abs(mean - metrics.kernel_distance(a, b)) < 4 * std / np.sqrt(200)
    assert (mean, std) == metrics.kernel_distance_subsets(a, b, size=60, subsets=200, seed=0)
    assert mean != metrics.kernel_distance_subsets(a, b, size=60, subsets=200, seed=1)[0]


@pytest.mark.parametrize(
    ("options", "words"),
    [({"size": 1}, "at least 2"), ({"size": 31}, "at least 31"), ({"subsets": 0}, "subsets is 0")],
)
def test_bad_subsets_are_refused(options, words, rng):
    a = rng.standard_normal((30, 2))
    with pytest.raises(UsageError, match=words):
        metrics.kernel_distance_subsets(a, a, **{"size": 10, **options})
