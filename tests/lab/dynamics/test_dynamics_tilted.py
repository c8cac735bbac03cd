"""The optimal discriminator of an (alpha_D, alpha_G)-GAN, against the library's loss."""

import numpy as np
import pytest
import tensorflow as tf
from scipy.optimize import minimize_scalar

from tfgan_ema.errors import UsageError
from tfgan_ema.lab.dynamics import (
    direction,
    gradient_scalar,
    log_density,
    log_odds,
    score,
    tilted_posterior,
)
from tfgan_ema.losses import Alpha

REAL, FAKE, SIGMA = np.array([[-1.0, 0.5], [2.0, 0.0]]), np.array([[-1.0, 0.0]]), 0.8
POINTS = np.random.default_rng(0).uniform(-3, 3, (40, 2))
ALPHAS = [(1.0, 1.0), (0.5, 1.0), (0.5, 1.2), (1.0, 0.7), (0.3, 3.0), (1.5, np.inf)]


@pytest.mark.parametrize("alpha_d", [0.3, 1.5])
@pytest.mark.parametrize("posterior", [0.02, 0.7])
def test_the_tilted_posterior_minimises_the_discriminators_loss(alpha_d, posterior):
    l1 = Alpha(alpha_d, alpha_d).generator

    def expected(logit):
        on_real, on_fake = l1(None, np.array([logit])), l1(None, np.array([-logit]))
        return float(posterior * on_real + (1 - posterior) * on_fake)

    found = minimize_scalar(expected, bounds=(-8, 8), method="bounded")
    odds = np.log(posterior / (1 - posterior))
    assert 1 / (1 + np.exp(-found.x)) == pytest.approx(tilted_posterior(odds, alpha_d), abs=2e-3)
    power = posterior**alpha_d
    printed = power / (power + (1 - posterior) ** alpha_d)
    assert tilted_posterior(odds, alpha_d) == pytest.approx(printed, rel=1e-12)


@pytest.mark.parametrize("saturating", [True, False])
@pytest.mark.parametrize("alphas", ALPHAS)
@pytest.mark.filterwarnings("ignore:.*outside the region")
def test_a_samples_gradient_is_scalar_times_direction(alphas, saturating):
    """The library's loss at the optimal discriminator, differentiated by TensorFlow."""
    x = tf.Variable(POINTS)

    def density(centres):
        squares = tf.reduce_sum((x[:, None] - centres) ** 2, -1)
        return tf.reduce_logsumexp(-squares / (2 * SIGMA**2), -1) - np.log(len(centres))

    with tf.GradientTape() as tape:
        logits = alphas[0] * (density(REAL) - density(FAKE))
        loss = Alpha(*alphas, saturating).generator(None, logits) * len(POINTS)
    gradient = tape.gradient(loss, x).numpy()
    scalar = gradient_scalar(log_odds(POINTS, REAL, FAKE, SIGMA), *alphas, saturating)
    moved = scalar[:, None] * direction(POINTS, REAL, FAKE, SIGMA)
    np.testing.assert_allclose(-gradient, moved, rtol=2e-4, atol=1e-6)


def test_the_scalars_are_the_papers():
    p = np.linspace(0.01, 0.99, 50)
    odds = np.log(p / (1 - p))
    for a, g in ALPHAS:
        tilted = p**a / (p**a + (1 - p) ** a)
        saturating = a * tilted * (1 - tilted) ** (1 - 1 / g)
        np.testing.assert_allclose(gradient_scalar(odds, a, g, saturating=True), saturating)
        np.testing.assert_allclose(gradient_scalar(-odds, a, g), saturating)  # C_NS at 1 - P


def test_the_score_is_the_gradient_of_the_density():
    step = 1e-5
    for axis in range(2):
        shift = step * np.eye(2)[axis]
        ahead, behind = (log_density(POINTS + s * shift, REAL, SIGMA) for s in (1, -1))
        slope = (ahead - behind) / (2 * step)
        np.testing.assert_allclose(score(POINTS, REAL, SIGMA)[:, axis], slope, atol=1e-7)
    with pytest.raises(UsageError, match="alpha_d is 0"):
        tilted_posterior(0.0, 0)
