"""Inception Score and perceptual path length."""

import numpy as np
import pytest

from tfgan_ema import metrics
from tfgan_ema.errors import UsageError


def test_certain_and_balanced_predictions_score_the_number_of_classes():
    p = np.eye(10)[np.arange(1000) % 10]
    assert metrics.inception_score(p, splits=10) == (pytest.approx(10), pytest.approx(0))
    assert metrics.inception_score(np.full((50, 4), 0.25))[0] == pytest.approx(1)
    assert metrics.inception_score(np.eye(10)[[3] * 40])[0] == pytest.approx(1)


def test_score_equals_its_definition(rng):
    p = rng.dirichlet(np.full(5, 0.3), size=60)
    kl = np.sum(p * np.log(p / p.mean(axis=0)), axis=1)
    assert metrics.inception_score(p, splits=1)[0] == pytest.approx(np.exp(kl.mean()))


@pytest.mark.parametrize(
    ("p", "words"),
    [
        (np.full((9, 2), 0.5), "9 samples.* at least 10"),
        (np.full((20, 2), 3.0), "logits"),
        (np.tile([1.5, -0.5], (20, 1)), "logits"),
        (np.full((20, 2), np.nan), "NaN"),
    ],
)
def test_bad_probabilities_are_refused(p, words):
    with pytest.raises(UsageError, match=words):
        metrics.inception_score(p)


def test_path_length_of_a_linear_generator(rng):
    """f(G(z)) = A z along straight paths: the length is |A (z1 - z0)|^2."""
    a = rng.standard_normal((12, 5))
    z0, z1 = rng.standard_normal((2, 400, 5))
    t, epsilon = rng.uniform(size=(400, 1)), 1e-4
    start, end = (z0 + s * (z1 - z0) for s in (t, t + epsilon))
    lengths = np.square((z1 - z0) @ a.T).sum(axis=1)
    length = metrics.perceptual_path_length(start @ a.T, end @ a.T, epsilon=epsilon, trim=0)
    assert length == pytest.approx(lengths.mean(), rel=1e-6)
    trimmed = metrics.perceptual_path_length(start @ a.T, end @ a.T, epsilon=epsilon)
    kept = np.sort(lengths)[3:-3]  # ranks of the 1 % and 99 % quantiles, both kept
    assert trimmed == pytest.approx(kept.mean(), rel=1e-6)


def test_slerp_keeps_to_the_sphere_and_its_pace(rng):
    a, b = rng.standard_normal((2, 30, 6))
    a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b))
    t = rng.uniform(size=30)
    c = metrics.slerp(a, b, t)
    np.testing.assert_allclose(np.linalg.norm(c, axis=1), 1)
    angle = np.arccos(np.sum(a * b, axis=1))
    np.testing.assert_allclose(np.arccos(np.sum(a * c, axis=1)), t * angle, atol=1e-7)
    np.testing.assert_allclose(metrics.slerp(a, b, 0), a, atol=1e-12)
    np.testing.assert_allclose(metrics.slerp(3 * a, b, 1), b, atol=1e-12)
    np.testing.assert_allclose(metrics.slerp(a, a, 0.3), a, atol=1e-12)


@pytest.mark.parametrize(
    ("shapes", "options", "words"),
    [
        (((4, 2), (5, 2)), {}, "pairs"),
        (((4, 2), (4, 2)), {"epsilon": 0.0}, "epsilon > 0"),
        (((4, 2), (4, 2)), {"trim": 0.5}, "trim in"),
    ],
)
def test_bad_paths_are_refused(shapes, options, words):
    with pytest.raises(UsageError, match=words):
        metrics.perceptual_path_length(*map(np.ones, shapes), **options)
