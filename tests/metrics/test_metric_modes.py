import numpy as np
import pytest
from scipy.stats import entropy

from tfgan_ema import metrics
from tfgan_ema.data import mixtures
from tfgan_ema.errors import UsageError


@pytest.fixture
def ring():
    return mixtures.ring_centers()


def test_true_samples_cover_every_mode(ring):
    points, component = mixtures.ring(25_000, seed=1)
    scores = metrics.mode_coverage(points, ring, 0.01)
    assert scores["modes"] == 8
    # In two dimensions the share within 3 standard deviations is 1 - exp(-9/2).
    assert scores["high_quality"] == pytest.approx(1 - np.exp(-4.5), abs=0.003)
    counts = np.bincount(component, minlength=8) + 1.0
    assert scores["mode_kl"] == pytest.approx(entropy(np.full(8, 1 / 8), counts), rel=1e-6)


def test_collapse_is_counted(ring):
    scores = metrics.mode_coverage(np.repeat(ring[:1], 1000, axis=0), ring, 0.01)
    smoothed = np.array([1001] + [1] * 7) / 1008
    assert scores["modes"] == 1
    assert scores["high_quality"] == 1
    assert scores["mode_kl"] == pytest.approx(np.mean(np.log(1 / 8 / smoothed)))


def test_the_edge_is_three_standard_deviations(ring):
    outward = ring / np.linalg.norm(ring, axis=1, keepdims=True)
    inside = metrics.mode_coverage(ring + 0.0299 * outward, ring, 0.01)
    outside = metrics.mode_coverage(ring + 0.0301 * outward, ring, 0.01)
    assert (inside["modes"], inside["high_quality"]) == (8, 1)
    assert (outside["modes"], outside["high_quality"]) == (0, 0)
    assert outside["mode_kl"] == 0  # the nearest modes are still hit equally


def test_weights_are_the_true_distribution(ring):
    weights = np.arange(1, 9)
    points = np.repeat(ring, 1000 * weights, axis=0)
    assert metrics.mode_coverage(points, ring, 0.01, weights=weights)["mode_kl"] < 1e-6
    assert metrics.mode_coverage(points, ring, 0.01)["mode_kl"] > 0.1


@pytest.mark.parametrize(
    ("samples", "std", "weights", "words"),
    [
        (np.full((3, 2), np.nan), 0.1, None, "NaN"),
        (np.ones((3, 3)), 0.1, None, "3 features a sample and the second 2"),
        (np.ones((0, 2)), 0.1, None, "0 samples"),
        (np.ones((3, 2)), 0.0, None, "positive number"),
        (np.ones((3, 2)), 0.1, [1, 2], "8 positive numbers"),
    ],
)
def test_bad_input_is_refused(samples, std, weights, words, ring):
    with pytest.raises(UsageError, match=words):
        metrics.mode_coverage(samples, ring, std, weights=weights)
