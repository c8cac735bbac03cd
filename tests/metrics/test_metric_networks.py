"""Feature networks and their weight files."""

from pathlib import Path

import inception_images
import keras
import numpy as np
import pytest
import tensorflow as tf

from tfgan_ema.errors import UsageError
from tfgan_ema.metrics import classifier, features, networks, weights

STORED = Path(__file__).parent / "fixtures" / "inception.npz"


def have(*names):
    """Skips where weights are not in the cache: tests download nothing."""
    for name in names:
        if not weights.cached(name).exists():
            pytest.skip(f"no weights of {name}: python -m tfgan_ema.metrics.weights {name}")


@pytest.fixture(scope="module")
def inception():
    have("fid_inception")
    return networks.fid_inception(weights.load("fid_inception"))


def test_resizing_is_that_of_tensorflow_1(rng):
    import tensorflow as tf

    for size, shape in ((299, (2, 32, 32, 3)), (7, (2, 12, 20, 3)), (5, (1, 5, 5, 1))):
        images = rng.uniform(0, 255, shape).astype(np.float32)
        expected = tf.compat.v1.image.resize_bilinear(images, (size, size))
        np.testing.assert_allclose(networks.resize_like_tf1(images, size), expected, atol=1e-3)


def test_inception_equals_stored_torchscript_features(inception):
    images = inception_images.crops().astype(np.float32)
    computed = inception.predict_on_batch(networks.resize_like_tf1(images, 299))
    stored = np.load(STORED)["features"]
    assert stored.std() > 0.1
    np.testing.assert_allclose(computed, stored, atol=1e-4)


@pytest.mark.slow
def test_inception_equals_torchscript_on_cifar10(inception):
    pytest.importorskip("torch", reason="pip install 'tfgan_ema[peers]'")
    from tfgan_ema import data

    images = data.load("cifar10", split="test").batch(np.arange(64))[0]
    computed, _ = features.embed("inception", images)
    np.testing.assert_allclose(computed, inception_images.torchscript_features(images), atol=1e-4)


@pytest.mark.slow
def test_resnet50_equals_keras_applications(rng):
    """Keras's own ResNet-50 with the same weights, its normalisations made neutral."""
    import keras

    have("resnet50")
    held = weights.load("resnet50")
    peer = keras.applications.ResNet50(weights=None)
    blocks = list(enumerate("abcdef", start=1))
    stages = {f"conv{s}_block{b}": f"res{s}{letter}" for s in range(2, 6) for b, letter in blocks}
    parts = {"0": "branch1", "1": "branch2a", "2": "branch2b", "3": "branch2c"}
    for layer in peer.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            ones, zeros = np.ones(layer.gamma.shape), np.zeros(layer.gamma.shape)
            layer.set_weights([ones * np.sqrt(1 + layer.epsilon), zeros, zeros, ones])
        elif isinstance(layer, keras.layers.Conv2D):
            block, _, part = layer.name.removesuffix("_conv").rpartition("_")
            name = "conv1" if block == "conv1" or layer.name == "conv1_conv" else (
                f"{stages[block]}_{parts[part]}"
            )  # fmt: skip
            layer.set_weights([held[f"{name}/kernel"], held[f"{name}/bias"]])
        elif layer.name == "predictions":
            layer.set_weights([held["fc1000/kernel"], held["fc1000/bias"]])
    images = rng.uniform(0, 255, (2, 224, 224, 3)).astype(np.float32)
    expected = peer.predict(keras.applications.resnet50.preprocess_input(images.copy()), verbose=0)
    _, computed = networks.resnet50(held).predict(images, verbose=0)
    np.testing.assert_allclose(computed, expected, atol=1e-5)


def test_folding_keeps_the_normalised_convolution(rng):
    import keras

    x = rng.standard_normal((2, 6, 6, 3)).astype(np.float32)
    convolution, norm = keras.layers.Conv2D(4, 3), keras.layers.BatchNormalization(epsilon=1e-3)
    norm(convolution(x))
    values = [rng.uniform(0.5, 2, 4).astype(np.float32) for _ in range(4)]
    norm.set_weights(values)
    expected = np.asarray(norm(convolution(x)))
    gamma, beta, mean, variance = values
    kernel, bias = weights.fold(
        np.asarray(convolution.kernel), np.asarray(convolution.bias),
        gamma=gamma, beta=beta, mean=mean, variance=variance, epsilon=1e-3,
    )  # fmt: skip
    convolution.set_weights([kernel, bias])
    np.testing.assert_allclose(convolution(x), expected, atol=1e-5)


@pytest.mark.parametrize("space", ["mnist_classifier", "fashion_classifier"])
def test_shipped_classifiers_are_small_and_whole(space, rng):
    assert classifier.path(space).stat().st_size < 400_000
    images = rng.integers(0, 256, (5, 28, 28, 1), dtype=np.uint8)
    computed, probabilities = features.embed(space, images)
    assert computed.shape == (5, 128)
    assert computed.min() >= 0
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)


def test_classifier_knows_digits_it_never_saw():
    """scikit-learn's 8x8 digits are of another hand and size; the MNIST classifier reads them."""
    from tfgan_ema import data

    source = data.load("digits", image_size=20)
    images, labels = source.batch(np.arange(0, source.count, 4))
    framed = np.pad(images, ((0, 0), (4, 4), (4, 4), (0, 0)))
    _, probabilities = features.embed("mnist_classifier", framed)
    assert np.mean(probabilities.argmax(axis=1) == labels) > 0.8


def test_stacked_digits_are_classified_one_by_one(rng):
    images = rng.integers(0, 256, (4, 28, 28, 3), dtype=np.uint8)
    computed, numbers = features.embed("stacked_mnist", images)
    each = [features.embed("mnist_classifier", images[..., i : i + 1]) for i in range(3)]
    expected = np.concatenate([part for part, _ in each], axis=1)
    np.testing.assert_allclose(computed, expected, atol=1e-5)
    digits = np.stack([p.argmax(axis=1) for _, p in each])
    np.testing.assert_array_equal(numbers.argmax(axis=1), [100, 10, 1] @ digits)
    np.testing.assert_allclose(numbers.sum(axis=1), 1, atol=1e-4)
    framed = np.pad(images, ((0, 0), (2, 2), (2, 2), (0, 0)))
    np.testing.assert_allclose(features.embed("stacked_mnist", framed)[0], computed, atol=1e-5)


def test_pillow_smooths_what_it_shrinks(rng):
    checks = np.indices((64, 64)).sum(axis=0)[None, ..., None] % 2 * np.float32(255)
    shrunk = networks.resize_like_pillow(checks, 16)
    np.testing.assert_allclose(shrunk[:, 2:-2, 2:-2], 127.5, atol=2)
    assert np.ptp(networks.resize_like_tf1(checks, 16)) == 0  # takes every fourth pixel
    grown = networks.resize_like_pillow(255 * rng.integers(0, 2, (2, 8, 8, 3)), 20)
    assert (grown.shape, grown.min(), grown.max()) == ((2, 20, 20, 3), 0, 255)  # it would overshoot


@pytest.mark.parametrize("batch", [5, 2])
def test_short_batches_give_the_same_features(batch, rng):
    images = rng.integers(0, 256, (5, 28, 28, 1), dtype=np.uint8)
    whole, _ = features.embed("fashion_classifier", images)
    parts = [features.embed("fashion_classifier", images[i : i + batch])[0]
             for i in range(0, 5, batch)]  # fmt: skip
    np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-5)


def test_features_are_not_rounded_to_tf32(monkeypatch, rng):
    tf32 = tf.config.experimental.tensor_float_32_execution_enabled
    predict, seen = keras.Model.predict_on_batch, []
    monkeypatch.setattr(
        keras.Model, "predict_on_batch", lambda *args: seen.append(tf32()) or predict(*args)
    )
    features.embed("fashion_classifier", rng.integers(0, 256, (2, 28, 28, 1), dtype=np.uint8))
    assert seen == [False]
    assert tf32()


def test_pixels_and_points_are_their_own_features(rng):
    images = rng.integers(0, 256, (3, 4, 4, 3), dtype=np.uint8)
    computed, probabilities = features.embed("pixels", images)
    np.testing.assert_array_equal(computed, images.reshape(3, 48) / np.float32(255))
    assert probabilities is None
    points = rng.standard_normal((3, 2))
    assert features.embed("points", points)[0] is points


def test_colours_are_converted_and_said_once(capsys, rng):
    features._say_converted.cache_clear()
    colour = rng.integers(0, 256, (3, 28, 28, 3), dtype=np.uint8)
    for _ in range(2):
        converted, _ = features.embed("fashion_classifier", colour)
    printed = capsys.readouterr().err
    assert printed.count("fashion_classifier takes 1 channels, the images have 3") == 1
    from PIL import Image

    grey = np.stack([np.asarray(Image.fromarray(x).convert("L"))[..., None] for x in colour])
    np.testing.assert_allclose(converted, features.embed("fashion_classifier", grey)[0], atol=1e-5)


def test_grey_is_repeated_for_a_colour_network(capsys, monkeypatch, rng):
    features._say_converted.cache_clear()
    seen = []
    monkeypatch.setattr(features, "_network", lambda _: lambda x: seen.append(x) or (x, None))
    grey = rng.integers(0, 256, (3, 5, 5, 1), dtype=np.uint8)
    for _ in range(2):
        features.embed("inception", grey)
    np.testing.assert_array_equal(seen[0], np.repeat(grey, 3, axis=-1))
    assert capsys.readouterr().err.count("grey is repeated to 3 channels") == 1


@pytest.mark.parametrize(
    ("space", "samples", "words"),
    [
        ("pixels", np.zeros((2, 4, 4, 3), np.float32), "expected uint8 images"),
        ("pixels", np.zeros((2, 4, 4, 2), np.uint8), "expected uint8 images"),
        ("inception", np.zeros((2, 2), np.float32), "expected uint8 images"),
        ("points", np.zeros((2, 4, 4, 3), np.uint8), "expected points"),
        ("resnet", np.zeros((2, 4, 4, 3), np.uint8), "did you mean 'resnet50'"),
    ],
)
def test_other_samples_are_refused(space, samples, words):
    with pytest.raises(UsageError, match=words):
        features.embed(space, samples)
