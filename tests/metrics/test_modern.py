"""MIND, authenticity, feature likelihood divergence and the Vendi score against authors' code."""

import json
from pathlib import Path

import metric_cases
import numpy as np
import pytest
import real_images

from tfgan_ema import metrics
from tfgan_ema.errors import UsageError
from tfgan_ema.metrics import features, likelihood, vendi, weights
from tfgan_ema.metrics.wasserstein import _sliced

STORED = json.loads((Path(__file__).parent / "fixtures" / "modern.json").read_text())["values"]
CASES = [
    pytest.param(name, marks=pytest.mark.slow if name.startswith("structured_2048") else ())
    for name in metric_cases.CASES
]


def mind(a, b):
    """MIND of as many rows as both have, along the directions of the stored values."""
    rows, width = min(len(a), len(b)), a.shape[1]
    directions = np.random.RandomState(3).randn(width, 1000)
    directions /= np.linalg.norm(directions, axis=0)
    return 3 * width * _sliced(a[:rows], b[:rows], directions, 2) ** 2


@pytest.mark.parametrize("name", CASES)
def test_scores_equal_the_authors(name):
    a, b = metric_cases.features(name)
    stored = STORED[name]
    assert mind(a, b) == pytest.approx(stored["mind"], rel=1e-5)
    assert metrics.authentic(a, b).mean() == pytest.approx(stored["authenticity"], rel=1e-5)
    assert metrics.vendi_score(b) == pytest.approx(stored["vendi"], rel=1e-5)
    fld = metrics.feature_likelihood_divergence(a[::2], a[1::2], b)
    assert fld == pytest.approx(stored["fld"], rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(("space", "size"), [("inception_clean", 320), ("efficientnet_lite0", 224)])
def test_scores_of_real_images_equal_the_authors(space, size):
    """clean-fid's resizing before FID's network, and EfficientNet-Lite0, on 64 photographs."""
    network = features.SPACES[space].network
    if not weights.cached(network).exists():
        pytest.skip(f"no weights of {network}: python -m tfgan_ema.metrics.weights {network}")
    images = real_images.crops(size)
    found = [features.embed(space, images[i : i + 16])[0] for i in range(0, 64, 16)]
    a, b = np.split(np.concatenate(found).astype(np.float64), 2)
    assert metrics.frechet_distance(a, b) == pytest.approx(STORED[space]["fd"], rel=1e-5)
    assert mind(a, b) == pytest.approx(STORED[space]["mind"], rel=1e-5)
    assert metrics.vendi_score(b) == pytest.approx(STORED[space]["vendi"], rel=1e-5)
    assert metrics.authentic(a, b).mean() == STORED[space]["authenticity"]


def test_mind_of_a_shift_is_known(rng):
    """Along a direction u a shift s moves all samples by u.s, whose mean square is |s|^2 / d."""
    a, shift = rng.standard_normal((300, 8)), np.full(8, 0.5)
    assert metrics.mind(a + shift, a, projections=4000) == pytest.approx(3 * 8 * 0.25, rel=0.05)
    assert metrics.mind(a, a) == 0
    doubled = np.repeat(a, 2, axis=0)
    assert metrics.mind(doubled + shift, a) == pytest.approx(metrics.mind(a + shift, a), rel=1e-9)


def test_copies_are_not_authentic(rng):
    real = rng.standard_normal((200, 5))
    assert metrics.authentic(real, real[:50] + 1e-9).mean() == 0
    assert metrics.authentic(real, real[:50] + 100.0).mean() == 1
    assert 0.3 < metrics.authentic(real, rng.standard_normal((500, 5))).mean() < 0.8


def test_vendi_score_counts_directions(rng):
    assert metrics.vendi_score(np.eye(7)) == pytest.approx(7)
    assert metrics.vendi_score(np.tile([[3.0, 4.0]], (9, 1))) == pytest.approx(1)
    wide, tall = rng.standard_normal((10, 30)), rng.standard_normal((30, 10))
    for rows in (wide, tall):
        unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        values = np.linalg.eigvalsh(unit @ unit.T / len(unit))
        values = values[values > 1e-12]
        expected = np.exp(-values @ np.log(values))
        assert metrics.vendi_score(rows) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("shape", [(40, 5), (20, 60)])
def test_vendi_influences_are_derivatives(shape, rng):
    rows = rng.standard_normal(shape)
    moved = vendi.vendi_influence(rows)
    moved = (moved - moved.mean()) / len(rows)
    for i in range(3):  # doubling each sample but one twice is a small change of its weight
        many = np.vstack([np.repeat(rows, 500, axis=0), rows[i : i + 1]])
        change = 500 * (metrics.vendi_score(many) - metrics.vendi_score(rows))
        assert change == pytest.approx(moved[i], abs=0.03 * np.abs(moved).max())


def test_likelihood_divergence_punishes_noise_and_copies(rng):
    train, test, fresh = rng.standard_normal((3, 300, 6))

    def divergence(generated):
        return metrics.feature_likelihood_divergence(train, test, generated)

    assert abs(divergence(fresh)) < 15
    assert divergence(fresh + 1.0) > divergence(fresh) + 5
    assert divergence(train + 1e-6) > divergence(fresh) + 50


def test_likelihood_gradient_is_that_of_the_loss(rng):
    squared, logs = rng.uniform(1, 9, (12, 4)), rng.standard_normal(4)
    options = {"weights": np.log(np.full(4, 0.25)), "width": 3}
    _, gradient = likelihood._value_and_gradient(squared, logs, **options)
    for i, step in enumerate(1e-6 * np.eye(4)):
        high, low = (
            likelihood._value_and_gradient(squared, logs + sign * step, **options)[0]
            for sign in (1, -1)
        )
        assert (high - low) / 2e-6 == pytest.approx(gradient[i], rel=1e-4)


def test_constant_features_are_left_out(rng):
    sets = rng.standard_normal((3, 60, 4))
    wider = [np.hstack([part, np.full((60, 1), 7.0)]) for part in sets]
    expected = metrics.feature_likelihood_divergence(*sets)
    assert metrics.feature_likelihood_divergence(*wider) == pytest.approx(expected)
    with pytest.raises(UsageError, match="all alike"):
        metrics.feature_likelihood_divergence(sets[0], np.ones((60, 4)), sets[2])


def test_classes_are_counted():
    p = np.eye(5)[[0, 0, 1, 1, 2, 2, 2, 2]]
    covered, divergence = metrics.class_coverage(p)
    assert covered == 3
    shares = np.array([0.25, 0.25, 0.5])
    assert divergence == pytest.approx(np.sum(shares * np.log(shares * 5)))
    assert metrics.class_coverage(np.eye(5)) == (5, pytest.approx(0))
