import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfgan_ema import metrics
from tfgan_ema.errors import UsageError
from tfgan_ema.metrics import frechet


def samples_with(mean, covariance, count, rng):
    """Samples whose empirical moments are exactly the given ones."""
    x = rng.standard_normal((count, len(mean)))
    x -= x.mean(axis=0)
    x = x @ np.linalg.inv(np.linalg.cholesky(np.cov(x, rowvar=False))).T
    return x @ np.linalg.cholesky(covariance).T + mean


def test_commuting_covariances_have_a_closed_form(rng):
    """With S1 = U diag(s) U^T, S2 = U diag(t) U^T: |m1 - m2|^2 + sum (sqrt s - sqrt t)^2."""
    d = 12
    u, _ = np.linalg.qr(rng.standard_normal((d, d)))
    s, t = rng.uniform(0.1, 3, d), rng.uniform(0.1, 3, d)
    m1, m2 = rng.standard_normal(d), rng.standard_normal(d)
    a = samples_with(m1, u * s @ u.T, 50, rng)
    b = samples_with(m2, u * t @ u.T, 70, rng)
    expected = np.square(m1 - m2).sum() + np.square(np.sqrt(s) - np.sqrt(t)).sum()
    assert metrics.frechet_distance(a, b) == pytest.approx(expected, rel=1e-10)


def test_two_by_two_covariances_have_a_closed_form(rng):
    """For 2x2 matrices tr (S1 S2)^(1/2) = sqrt(tr(S1 S2) + 2 sqrt(det S1 det S2))."""
    s1, s2 = np.array([[2.0, 0.7], [0.7, 1.0]]), np.array([[1.0, -0.4], [-0.4, 3.0]])
    a, b = samples_with([0, 0], s1, 30, rng), samples_with([1, -2], s2, 40, rng)
    root = np.sqrt(np.trace(s1 @ s2) + 2 * np.sqrt(np.linalg.det(s1) * np.linalg.det(s2)))
    expected = 5 + np.trace(s1 + s2) - 2 * root
    assert metrics.frechet_distance(a, b) == pytest.approx(expected, rel=1e-12)
    known = frechet.distance(
        frechet.from_covariance([0, 0], s1), frechet.from_covariance([1, -2], s2)
    )
    assert known == pytest.approx(expected, rel=1e-12)


def test_one_dimension_is_known(rng):
    a, b = rng.standard_normal((40, 1)), 3 * rng.standard_normal((60, 1)) + 2
    expected = (a.mean() - b.mean()) ** 2 + (a.std(ddof=1) - b.std(ddof=1)) ** 2
    assert metrics.frechet_distance(a, b) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("shape", [(50, 8), (30, 200), (600, 512), (5, 300)])
def test_identical_sets_are_at_distance_zero(shape, rng):
    a = 30 * rng.standard_normal(shape) * np.geomspace(1, 1e-4, shape[1])
    assert metrics.frechet_distance(a, a[::-1]) < 1e-6
    moments = frechet.Moments()
    moments.update(a)
    assert frechet.distance(moments.gaussian(), moments.gaussian()) < 1e-6


def test_order_and_joint_rotation_do_not_matter(rng):
    a, b = rng.standard_normal((80, 20)), 2 * rng.standard_normal((15, 20)) + 1
    u, _ = np.linalg.qr(rng.standard_normal((20, 20)))
    value = metrics.frechet_distance(a, b)
    assert metrics.frechet_distance(rng.permutation(a), rng.permutation(b)) == pytest.approx(
        value, rel=1e-10
    )
    assert metrics.frechet_distance(a @ u, b @ u) == pytest.approx(value, rel=1e-10)
    assert metrics.frechet_distance(b, a) == pytest.approx(value, rel=1e-10)


def test_both_ways_to_the_nuclear_norm_agree(rng, monkeypatch):
    """Roots of eigenvalues where rounding cannot show, singular values where it can."""
    taken = []
    svd = np.linalg.svd
    monkeypatch.setattr(np.linalg, "svd", lambda *a, **k: taken.append(1) or svd(*a, **k))
    easy = rng.standard_normal((30, 50))
    hard = easy * np.geomspace(1, 1e-12, 50)
    for matrix in (easy, easy.T, hard):
        expected = svd(matrix, compute_uv=False).sum()
        norm = frechet._nuclear_norm(matrix, tolerance=1e-9 * expected)
        assert norm == pytest.approx(expected, rel=1e-9)
    assert len(taken) == 1


def test_constant_features_are_no_trouble(rng):
    a = np.hstack([rng.standard_normal((40, 5)), np.full((40, 3), 7.0)])
    b = a + np.array([0, 0, 0, 0, 0, 0, 2.0, 0])
    assert metrics.frechet_distance(a, b) == pytest.approx(4, rel=1e-9)
    moments = frechet.Moments(), frechet.Moments()
    moments[0].update(a)
    moments[1].update(b)
    assert frechet.distance(*(m.gaussian() for m in moments)) == pytest.approx(4, rel=1e-9)
    assert metrics.frechet_distance(np.ones((4, 3)), np.zeros((5, 3))) == 3


@settings(max_examples=25, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=6).filter(lambda s: sum(s) > 1),
    offset=st.sampled_from([0.0, 1e6]),
)
def test_streamed_moments_are_those_of_the_whole(sizes, offset):
    x = np.random.default_rng(sum(sizes)).standard_normal((sum(sizes), 5)) + offset
    moments = frechet.Moments()
    for batch in np.split(x, np.cumsum(sizes)[:-1]):
        moments.update(batch.astype(np.float64))
    np.testing.assert_allclose(moments.mean, x.mean(axis=0), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(moments.covariance, np.cov(x, rowvar=False), atol=1e-8)


def test_streams_are_of_one_width(rng):
    moments = frechet.Moments()
    moments.update(rng.standard_normal((5, 3)))
    with pytest.raises(UsageError, match="same feature space"):
        moments.update(rng.standard_normal((5, 4)))


def test_tensors_and_float32_are_taken(rng):
    import tensorflow as tf

    a, b = rng.standard_normal((2, 30, 4)).astype(np.float32)
    expected = metrics.frechet_distance(a.astype(float), b.astype(float))
    assert metrics.frechet_distance(tf.constant(a), tf.constant(b)) == expected


@pytest.mark.parametrize(
    ("a", "b", "words"),
    [
        (np.ones((1, 3)), np.ones((5, 3)), "first set has 1 samples.* at least 2"),
        (np.ones((5, 3)), np.ones((5, 4)), "3 features a sample and the second 4"),
        (np.array([[1.0, np.nan], [0, 0]]), np.ones((2, 2)), "NaN or infinity in 1 of 2 rows"),
        (np.ones(3), np.ones(3), r"expected \[samples, features\]"),
        (np.ones((3, 0)), np.ones((3, 0)), "no features"),
        (np.array([["a"], ["b"]]), np.ones((2, 1)), "real numbers"),
    ],
)
def test_bad_features_are_refused(a, b, words):
    with pytest.raises(UsageError, match=words):
        metrics.frechet_distance(a, b)


@pytest.mark.parametrize(
    ("mean", "covariance", "words"),
    [
        ([0, 0], np.eye(3), "expected shape"),
        ([0, 0], [[1, 0.5], [0.1, 1]], "symmetric"),
        ([0, 0], [[1, 2], [2, 1]], "negative eigenvalues"),
        ([0], [[np.nan]], "finite"),
    ],
)
def test_bad_moments_are_refused(mean, covariance, words):
    with pytest.raises(UsageError, match=words):
        frechet.from_covariance(mean, covariance)


def test_infinite_sample_extrapolation_removes_the_bias(rng):
    reference = frechet.from_covariance(np.zeros(10), np.eye(10))
    plain, extrapolated = [], []
    for seed in range(20):
        generated = rng.standard_normal((300, 10))
        plain.append(frechet.distance(frechet.gaussian(generated), reference))
        extrapolated.append(metrics.fid_infinity(generated, reference, seed=seed))
    error = np.std(extrapolated) / np.sqrt(20)
    assert abs(np.mean(extrapolated)) < 3 * error  # the true distance is 0
    assert np.mean(plain) > 0.1


def test_bootstrap_interval_covers_the_truth(rng):
    """The distance's expectation at this sample size lies inside about 9 times of 10."""
    reference = frechet.from_covariance(np.full(4, 0.5), 1.5 * np.eye(4))
    values, intervals = [], []
    for seed in range(60):
        generated = rng.standard_normal((200, 4))
        values.append(frechet.distance(frechet.gaussian(generated), reference))
        intervals.append(
            metrics.fid_bootstrap(generated, reference, resamples=60, level=0.9, seed=seed)
        )
    inside = [low <= np.mean(values) <= high for low, high in intervals]
    assert 0.75 <= np.mean(inside) <= 1
    low, high = intervals[0]
    assert 0 < low < values[0] < high


def test_extrapolation_refuses_bad_sizes(rng):
    a = rng.standard_normal((50, 3))
    with pytest.raises(UsageError, match="sizes 1: expected at least 2"):
        metrics.fid_infinity(a, a, sizes=1)
    with pytest.raises(UsageError, match="at least 4"):
        metrics.fid_infinity(a[:3], a)


@pytest.mark.parametrize("options", [{"resamples": 1}, {"level": 1.0}])
def test_bootstrap_refuses_bad_options(options, rng):
    a = rng.standard_normal((50, 3))
    with pytest.raises(UsageError, match=r"level .* expected"):
        metrics.fid_bootstrap(a, a, **options)
