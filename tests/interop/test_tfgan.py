"""The bridge to TF-GAN against closed forms, SciPy and hand-written NumPy."""

import importlib.util

import numpy as np
import pytest
import scipy.linalg
import tensorflow as tf

from tfgan_ema.errors import UsageError
from tfgan_ema.interop import tfgan


@pytest.fixture
def features():
    rng = np.random.default_rng(0)
    real = rng.normal(size=(400, 6)) @ rng.normal(size=(6, 6))
    fake = rng.normal(size=(400, 6)) @ rng.normal(size=(6, 6)) + 0.3
    return real.astype("float32"), fake.astype("float32")


def test_losses_are_tfgans():
    logits = tf.constant([0.5, -2.0, 3.0])
    got = tfgan.losses().modified_generator_loss(logits)
    np.testing.assert_allclose(got, np.logaddexp(0, -logits).mean(), rtol=1e-6)
    # The default label smoothing that the docstring warns of.
    smoothed = tfgan.losses().modified_discriminator_loss(logits, logits)
    plain = tfgan.losses().modified_discriminator_loss(logits, logits, label_smoothing=0.0)
    np.testing.assert_allclose(smoothed - plain, logits.numpy().mean() * 0.125, rtol=1e-5)


def test_frechet_distance_is_scipys(features):
    real, fake = (rows.astype("float64") for rows in features)
    a, b = np.cov(real.T), np.cov(fake.T)
    root = scipy.linalg.sqrtm(a @ b).real
    expected = ((real.mean(0) - fake.mean(0)) ** 2).sum() + np.trace(a + b - 2 * root)
    assert tfgan.frechet_distance(*features) == pytest.approx(expected, rel=1e-4)


def test_kernel_distance_is_the_unbiased_mmd(features):
    real, fake = (rows[:90].astype("float64") for rows in features)
    n, d = real.shape

    def kernel(x, y):
        return (x @ y.T / d + 1) ** 3

    def off_diagonal(gram):
        return (gram.sum() - np.trace(gram)) / (n * (n - 1))

    expected = (
        off_diagonal(kernel(real, real))
        + off_diagonal(kernel(fake, fake))
        - 2 * kernel(real, fake).mean()
    )
    assert tfgan.kernel_distance(real, fake) == pytest.approx(expected, rel=1e-4)


def test_inception_score_is_the_exponential_of_the_mean_divergence():
    logits = np.random.default_rng(1).normal(scale=3, size=(50, 7))
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    expected = np.exp((p * np.log(p / p.mean(0))).sum(1).mean())
    assert tfgan.inception_score(logits) == pytest.approx(expected, rel=1e-5)
    # All certain and evenly spread: as many as there are classes.
    assert tfgan.inception_score(50 * np.eye(7)) == pytest.approx(7, rel=1e-4)


def test_sliced_wasserstein_tells_noise_from_images():
    tf.random.set_seed(0)
    rng = np.random.default_rng(2)
    ramp = np.linspace(-1, 1, 32)[:, None, None] * rng.normal(size=(32, 1, 1, 3))
    real = np.broadcast_to(ramp, (32, 32, 32, 3)) + 0.1 * rng.normal(size=(32, 32, 32, 3))
    options = {"resolution_min": 16, "patches_per_image": 16, "random_sampling_count": 2}
    same = tfgan.sliced_wasserstein(real, real, **options)
    other = tfgan.sliced_wasserstein(real, rng.normal(size=real.shape), **options)
    assert len(same) == len(other) == 2  # 32 and 16 pixels
    floor, score = same[-1]
    assert score < 3 * floor
    floor, score = other[-1]
    assert score > 3 * floor


def test_image_grid_goes_row_by_row():
    images = np.arange(6 * 2 * 3).reshape(6, 2, 3, 1)
    grid = tfgan.image_grid(images, rows=2, columns=3)
    assert grid.shape == (4, 9, 1)
    np.testing.assert_array_equal(grid[:2, 3:6], images[1])
    np.testing.assert_array_equal(grid[2:, :3], images[3])
    with pytest.raises(UsageError, match=r"\(6, 2, 3, 1\).*4 x 2"):
        tfgan.image_grid(images, rows=4, columns=2)


def test_without_tfgan_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="pip install tensorflow-gan") as caught:
        tfgan.losses()
    assert "\n" not in str(caught.value)


def test_without_its_own_requirements_one_line_says_what_to_install(monkeypatch):
    def broken(name):
        raise ImportError("No module named 'tensorflow_probability'")

    monkeypatch.setattr(importlib, "import_module", broken)
    with pytest.raises(UsageError, match=r"tensorflow_probability.*pip install") as caught:
        tfgan.frechet_distance([[0.0]], [[1.0]])
    assert "\n" not in str(caught.value)
