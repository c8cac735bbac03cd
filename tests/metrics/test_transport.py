import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from scipy.stats import wasserstein_distance

from tfgan_ema import metrics
from tfgan_ema.errors import UsageError


def test_equals_the_best_assignment(rng):
    a, b = rng.standard_normal((60, 3)), rng.standard_normal((60, 3)) + 1
    for ours, cost in (
        (metrics.wasserstein_1, cdist(a, b)),
        (metrics.squared_wasserstein_2, cdist(a, b, "sqeuclidean")),
    ):
        assert ours(a, b) == pytest.approx(cost[linear_sum_assignment(cost)].mean(), rel=1e-12)


def test_equals_scipy_in_one_dimension(rng):
    a, b = rng.standard_normal((50, 1)), rng.standard_normal((70, 1)) * 2
    expected = wasserstein_distance(a[:, 0], b[:, 0])
    assert metrics.wasserstein_1(a, b) == pytest.approx(expected, rel=1e-12)
    assert metrics.sliced_wasserstein(a, b, p=1) == pytest.approx(expected, rel=1e-12)


def test_a_shift_is_known(rng):
    a, shift = rng.standard_normal((40, 2)), np.array([3.0, 4.0])
    assert metrics.wasserstein_1(a, a + shift) == pytest.approx(5)
    assert metrics.squared_wasserstein_2(a, a + shift) == pytest.approx(25)
    # Along a uniform direction in the plane the shift's mean square is half its square.
    sliced = metrics.sliced_wasserstein(a, a + shift, projections=20_000)
    assert sliced == pytest.approx(np.sqrt(25 / 2), rel=0.01)


@pytest.mark.parametrize("rows", [(30, 30), (30, 45), (7, 64)])
def test_sliced_equals_repeated_samples(rows, rng):
    """A sample repeated k times is the same distribution."""
    a, b = (rng.standard_normal((n, 3)) for n in rows)
    common = np.lcm(*rows)
    repeated = [np.repeat(x, common // len(x), axis=0) for x in (a, b)]
    for p in (1, 2):
        assert metrics.sliced_wasserstein(a, b, p=p) == pytest.approx(
            metrics.sliced_wasserstein(*repeated, p=p), rel=1e-10
        )


def test_floor_between_true_samples_of_the_grid():
    """About 0.10 for the distance and 0.018 for the squared cost at 2,048 samples, spacing 1."""
    from tfgan_ema.data import mixtures

    a, b = (mixtures.grid(2048, seed=seed)[0] for seed in (0, 1))
    assert metrics.wasserstein_1(a, b) == pytest.approx(0.10, abs=0.025)
    assert metrics.squared_wasserstein_2(a, b) == pytest.approx(0.0185, abs=0.008)


def test_an_unsolved_transport_is_not_returned(rng, monkeypatch):
    from tfgan_ema.metrics import wasserstein

    monkeypatch.setattr(wasserstein, "MAX_PIVOTS", 5)
    a, b = rng.standard_normal((50, 2)), rng.standard_normal((50, 2))
    with pytest.raises(UsageError, match="50 to 50 samples was not solved"):
        metrics.wasserstein_1(a, b)


@pytest.mark.parametrize("metric", ["wasserstein_1", "squared_wasserstein_2", "sliced_wasserstein"])
def test_bad_samples_are_refused(metric):
    with pytest.raises(UsageError, match="0 samples"):
        getattr(metrics, metric)(np.ones((0, 2)), np.ones((3, 2)))
    with pytest.raises(UsageError, match="NaN"):
        getattr(metrics, metric)(np.full((3, 2), np.nan), np.ones((3, 2)))


def test_bad_order_is_refused(rng):
    a = rng.standard_normal((5, 2))
    with pytest.raises(UsageError, match="order of at least 1"):
        metrics.sliced_wasserstein(a, a, p=0)
