import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from tfgan_ema import metrics
from tfgan_ema.errors import UsageError
from tfgan_ema.metrics import manifold, neighbours


def by_definition(real, generated, k):
    """The four scores from full distance matrices."""

    def radii(x):
        return np.sort(cdist(x, x), axis=1)[:, k]

    d = cdist(real, generated)
    r, g = radii(real), radii(generated)
    return {
        "precision": (d <= r[:, None]).any(axis=0).mean(),
        "recall": (d <= g[None, :]).any(axis=1).mean(),
        "density": (d < r[:, None]).sum() / (k * len(generated)),
        "coverage": (d.min(axis=1) < r).mean(),
    }


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(8, 60),
    m=st.integers(8, 60),
    width=st.sampled_from([1, 2, 7, 100]),
    k=st.integers(1, 7),
    far=st.sampled_from([0.0, 10.0, 1e4]),
    single=st.booleans(),
    block=st.sampled_from([5, 16, 1024]),
)
def test_equal_the_definition(n, m, width, k, far, single, block):
    """Also for tight clusters far apart, where float32 products say nothing."""
    random = np.random.default_rng([n, m, width, k])
    real = random.standard_normal((n, width)) + far * random.integers(0, 3, (n, 1))
    generated = 0.8 * random.standard_normal((m, width)) + far * random.integers(0, 3, (m, 1))
    if single:
        real, generated = real.astype(np.float32), generated.astype(np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(neighbours, "BLOCK", block)
        scores = metrics.manifold_scores(real, generated, k=k)
    assert scores == pytest.approx(by_definition(real.astype(float), generated.astype(float), k))


def test_nearest_neighbours_equal_scikit_learn(rng):
    from sklearn.neighbors import NearestNeighbors

    x, y = rng.standard_normal((300, 20)), rng.standard_normal((250, 20))
    centre = np.zeros(20)
    distance, index = NearestNeighbors(n_neighbors=4, algorithm="brute").fit(y).kneighbors(x)
    ours = neighbours.nearest_neighbours(
        neighbours.Points(x, centre), 4, neighbours.Points(y, centre)
    )
    np.testing.assert_allclose(np.sqrt(ours[0]), distance, rtol=1e-10)
    np.testing.assert_array_equal(ours[1], index)


def test_radii_are_distances_to_the_nearest_others(rng):
    x = rng.standard_normal((90, 6))
    np.testing.assert_allclose(
        np.sqrt(manifold.radii(x)), np.sort(cdist(x, x), axis=1)[:, 1:6], rtol=1e-12
    )
    assert manifold.radii(x[:3]).shape == (3, 2)
    real_radii = manifold.radii(x)
    y = rng.standard_normal((40, 6))
    for k in (1, 3, 5):
        expected = metrics.manifold_scores(x, y, k=k)
        assert metrics.manifold_scores(x, y, k=k, real_radii=real_radii) == expected


def test_only_open_comparisons_are_computed_exactly(rng, monkeypatch):
    """The float32 bound must settle nearly all pairs, or the speed is gone."""
    exact = []
    honest = neighbours._exact_distances

    def counted(x, y, i, j):
        exact.append(len(i))
        return honest(x, y, i, j)

    monkeypatch.setattr(neighbours, "_exact_distances", counted)
    a, b = rng.standard_normal((2, 1500, 256)).astype(np.float32)
    metrics.manifold_scores(a, b, k=5)
    assert sum(exact) < 0.01 * 3 * 1500**2


def test_identical_and_distant_sets(rng):
    x = rng.standard_normal((200, 16))
    same = metrics.precision_recall(x, x[::-1]) | metrics.density_coverage(x, x[::-1])
    assert same == {"precision": 1, "recall": 1, "density": 1, "coverage": 1}
    apart = metrics.precision_recall(x, x + 100) | metrics.density_coverage(x, x + 100)
    assert set(apart.values()) == {0}


def test_collapsed_generators_are_scored(rng):
    """All samples equal: exact duplicates, on a real point."""
    real = rng.standard_normal((100, 8)).astype(np.float32)
    generated = np.repeat(real[:1], 50, axis=0)
    scores = metrics.manifold_scores(real, generated, k=3)
    assert scores == pytest.approx(by_definition(real.astype(float), generated.astype(float), 3))
    assert scores["precision"] == 1
    assert scores["recall"] == 0.01


def test_order_and_joint_rotation_do_not_matter(rng):
    a, b = rng.standard_normal((90, 6)), 0.7 * rng.standard_normal((80, 6))
    u, _ = np.linalg.qr(rng.standard_normal((6, 6)))
    scores = metrics.manifold_scores(a, b)
    assert metrics.manifold_scores(rng.permutation(a) @ u, rng.permutation(b) @ u) == scores


def test_density_expects_one_for_equal_distributions(rng):
    values = [
        metrics.density_coverage(rng.standard_normal((200, 4)), rng.standard_normal((200, 4)))
        for _ in range(30)
    ]
    density = [value["density"] for value in values]
    assert abs(np.mean(density) - 1) < 3 * np.std(density) / np.sqrt(30)
    coverage = np.mean([value["coverage"] for value in values])
    assert coverage == pytest.approx(1 - 0.5**5, abs=0.02)  # their Lemma 2, n = m, k = 5


@pytest.mark.parametrize(
    ("real", "generated", "k", "words"),
    [
        (np.ones((5, 2)), np.ones((9, 2)), 5, "first set has 5 samples.* at least 6"),
        (np.ones((9, 2)), np.ones((9, 3)), 5, "same feature space"),
        (np.ones((9, 2)), np.full((9, 2), np.inf), 5, "second set has NaN or infinity in 9"),
        (np.ones((9, 2)), np.ones((9, 2)), 0, "k is 0"),
    ],
)
def test_bad_input_is_refused(real, generated, k, words):
    with pytest.raises(UsageError, match=words):
        manifold.manifold_scores(real, generated, k=k)


def test_memorised_and_fresh_samples_are_told_apart(rng):
    real = rng.standard_normal((400, 6))
    generated = rng.standard_normal((300, 6))
    fresh = metrics.nearest_real(real, generated)
    np.testing.assert_allclose(fresh.distance, cdist(generated, real).min(axis=1))
    assert fresh.ratio == pytest.approx(1, abs=0.15)
    assert fresh.copies < 0.05
    order = rng.permutation(400)[:300]
    copied = metrics.nearest_real(real, real[order] + 1e-9)
    np.testing.assert_array_equal(copied.index, order)
    assert copied.ratio < 1e-6
    assert copied.copies == 1
