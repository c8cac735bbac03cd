"""Samples in parts are those of one call."""

import keras
import numpy as np
import pytest
from keras import layers

import tfgan_ema as tg
import zoo
from tfgan_ema import sampling
from tfgan_ema.errors import UsageError


@pytest.fixture(scope="module")
def points():
    generator = keras.Sequential([layers.Input((4,)), layers.Dense(2)])
    return tg.GAN(generator, keras.Sequential([layers.Input((2,)), layers.Dense(1)]), latent=4)


@pytest.mark.parametrize("count", [0, 1, 64, 128, 200])
def test_parts_are_the_samples_of_one_call(points, monkeypatch, count):
    monkeypatch.setattr(sampling, "STREAMED", 128)
    parts = list(sampling.stream(points, count, 3, average="raw"))
    assert [len(part) for part in parts] == [128] * (count // 128) + [count % 128] * (
        count % 128 > 0
    )
    expected = points.sample(count, 3)
    np.testing.assert_array_equal(np.concatenate([expected[:0], *parts]), expected)


def test_labels_are_those_of_the_part(monkeypatch):
    networks = zoo.build("sngan_32", width=1 / 32, num_classes=3)
    gan = tg.GAN(*networks, latent=128, num_classes=3)
    monkeypatch.setattr(sampling, "STREAMED", 64)
    labels = np.arange(100) % 3
    parts = list(sampling.stream(gan, 100, labels=labels))
    np.testing.assert_array_equal(np.concatenate(parts), gan.sample(100, labels=labels))


def test_wrong_values_are_refused_before_the_first_part(points):
    with pytest.raises(UsageError, match="average 'nope'"):
        sampling.stream(points, 5, average="nope")
