"""Priors against their distributions."""

import numpy as np
import pytest
import scipy.stats
from keras import ops

from tfgan_ema import latents
from tfgan_ema.errors import UsageError

ROWS = 20_000


def draw(prior, truncation=None):
    return ops.convert_to_numpy(prior.draw(ROWS, latents.Draws(0, 0), truncation))


@pytest.mark.parametrize("threshold", [0.3, 1.0, 2.5])
def test_truncated_normal_has_the_truncated_law(threshold):
    z = draw(latents.Normal(3), threshold)
    assert np.abs(z).max() <= threshold
    law = scipy.stats.truncnorm(-threshold, threshold)
    assert scipy.stats.kstest(z.ravel(), law.cdf).pvalue > 1e-3


def test_truncation_tends_to_the_plain_draw():
    plain = draw(latents.Normal(3))
    np.testing.assert_allclose(draw(latents.Normal(3), 20.0), plain, atol=5e-2)
    inside = np.abs(plain) < 2
    np.testing.assert_allclose(draw(latents.Normal(3), 20.0)[inside], plain[inside], atol=1e-4)


def test_hypersphere_has_radius_sqrt_d_and_no_direction():
    z = draw(latents.Hypersphere(5))
    np.testing.assert_allclose(np.linalg.norm(z, axis=1), np.sqrt(5), rtol=1e-5)
    assert np.abs(z.mean(0)).max() < 4 / np.sqrt(ROWS)
    np.testing.assert_allclose(np.cov(z.T), np.eye(5), atol=0.05)


def test_uniform_fills_the_cube():
    z = draw(latents.Uniform(2))
    assert scipy.stats.kstest(z.ravel(), scipy.stats.uniform(-1, 2).cdf).pvalue > 1e-3


def test_refusals_are_one_line():
    with pytest.raises(UsageError, match="only the normal prior"):
        draw(latents.Uniform(2), 1.0)
    with pytest.raises(UsageError, match="unknown latent prior 'gauss'"):
        latents.get("gauss", 3)
    with pytest.raises(UsageError, match="latent dimension 0"):
        latents.get("normal", 0)
    for bad in (0.0, -1.0, float("inf"), float("nan")):
        with pytest.raises(UsageError, match="truncation"):
            latents.check_truncation(bad)
