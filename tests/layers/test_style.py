"""StyleGAN2's layers against the definitions: kernels of their own, filters, groups."""

import itertools

import keras
import numpy as np
import pytest
import scipy.signal
import tensorflow as tf

from tfgan_ema import layers as tl
from tfgan_ema.layers import style


def test_blur_is_a_convolution_with_1331(rng):
    x = rng.normal(size=(2, 6, 5, 3)).astype("float32")
    taps = np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 64
    blurred = np.asarray(style.blur(x, 2, 1))
    for n, c in itertools.product(range(2), range(3)):
        padded = np.pad(x[n, :, :, c], (2, 1))
        expected = scipy.signal.convolve2d(padded, taps, "valid")
        np.testing.assert_allclose(blurred[n, :, :, c], expected, atol=1e-5)


def test_resampling_keeps_constants_and_is_adjoint(rng):
    ones = np.ones((1, 8, 8, 2), "float32")
    np.testing.assert_allclose(np.asarray(style.upsample(ones))[:, 2:-2, 2:-2], 1, atol=1e-6)
    np.testing.assert_allclose(np.asarray(style.downsample(ones))[:, 1:-1, 1:-1], 1, atol=1e-6)
    x = rng.normal(size=(1, 4, 4, 1)).astype("float32")
    y = rng.normal(size=(1, 8, 8, 1)).astype("float32")
    up, down = np.asarray(style.upsample(x)), np.asarray(style.downsample(y))
    assert abs(np.sum(up * y) - 4 * np.sum(x * down)) < 1e-4  # <Ux, y> = 4 <x, Dy>


@pytest.mark.parametrize("up", [False, True])
@pytest.mark.parametrize("demodulate", [False, True])
def test_modulation_is_a_kernel_for_every_sample(rng, up, demodulate):
    """Equations 1 and 3 of the paper, literally, one sample at a time."""
    layer = tl.ModulatedConv2D(5, 3, up=up, demodulate=demodulate)
    x = rng.normal(size=(3, 4, 4, 6)).astype("float32")
    w = rng.normal(size=(3, 7)).astype("float32")
    outputs = np.asarray(layer([x, w]))
    kernel = np.asarray(layer.kernel)
    styles = np.asarray(layer.affine(w))
    for n in range(3):
        own = kernel * styles[n][None, None, :, None]
        if demodulate:
            own = own / np.sqrt(np.sum(own**2, axis=(0, 1, 2)) + 1e-8)
        else:
            own = own / np.sqrt(3 * 3 * 6)
        if up:
            grown = np.zeros((1, 11, 11, 6), "float32")
            grown[:, 2:9:2, 2:9:2] = x[n]
            flipped = own[::-1, ::-1]  # a transposed convolution
            expected = tf.nn.conv2d(grown, flipped, 1, "VALID")
            expected = style.blur(expected, 1, 1, gain=4.0)
        else:
            expected = tf.nn.conv2d(x[n : n + 1], own, 1, "SAME")
        np.testing.assert_allclose(outputs[n], np.asarray(expected)[0], atol=1e-4)


def test_equal_layers_scale_at_run_time(rng):
    dense = tl.EqualDense(4, "lrelu", lr_multiplier=0.01, bias_start=3.0)
    x = rng.normal(size=(5, 9)).astype("float32")
    y = np.asarray(dense(x))
    kernel, bias = np.asarray(dense.kernel), np.asarray(dense.bias)
    linear = x @ (kernel * 0.01 / 3) + bias * 0.01
    expected = np.sqrt(2) * np.where(linear > 0, linear, 0.2 * linear)
    np.testing.assert_allclose(y, expected, atol=1e-5)
    wide = tl.EqualDense(64, lr_multiplier=0.01)
    wide.build((None, 32))
    assert abs(np.std(wide.kernel) - 100) < 10
    conv = tl.EqualConv2D(4, 1, activation="linear", gain=0.5)
    x = rng.normal(size=(2, 3, 3, 9)).astype("float32")
    np.testing.assert_allclose(
        np.asarray(conv(x)), 0.5 * x @ np.asarray(conv.kernel)[0, 0] / 3, atol=1e-5
    )


def test_down_convolution_filters_first(rng):
    layer = tl.EqualConv2D(2, 3, True, "linear")
    x = rng.normal(size=(1, 8, 8, 3)).astype("float32")
    y = layer(x)
    assert y.shape == layer.compute_output_shape(x.shape) == (1, 4, 4, 2)
    kernel = np.asarray(layer.kernel) / np.sqrt(27)
    expected = tf.nn.conv2d(style.blur(x, 2, 2), kernel, 2, "VALID")
    np.testing.assert_allclose(y, expected, atol=1e-5)


def test_minibatch_std_by_hand(rng):
    x = rng.normal(size=(6, 2, 2, 3)).astype("float32")
    y = np.asarray(tl.MinibatchStd(3)(x))
    np.testing.assert_array_equal(y[..., :3], x)
    for group in range(2):
        rows = slice(3 * group, 3 * group + 3)
        np.testing.assert_allclose(y[rows, ..., 3], x[rows].std(0).mean(), atol=1e-5)


def test_minibatch_std_of_consecutive_rows_splits(rng):
    """Two halves of a batch give what the whole gives."""
    layer = tl.MinibatchStd(4)
    x = rng.normal(size=(16, 2, 2, 3)).astype("float32")
    halves = np.concatenate([np.asarray(layer(x[:8])), np.asarray(layer(x[8:]))])
    np.testing.assert_allclose(np.asarray(layer(x)), halves, atol=1e-6)
    dynamic = tf.function(layer, input_signature=[tf.TensorSpec((None, 2, 2, 3))])
    np.testing.assert_allclose(dynamic(x), np.asarray(layer(x)), atol=1e-6)


@pytest.mark.parametrize("kind", ["const", "input", "none"])
def test_noise_is_scaled_by_its_strength(rng, kind):
    layer = tl.NoiseBiasActivation(kind, "linear")
    x = rng.normal(size=(2, 3, 3, 4)).astype("float32")
    noise = rng.normal(size=(2, 3, 3, 1)).astype("float32")
    inputs = [x, noise] if kind == "input" else x
    np.testing.assert_allclose(layer(inputs), x, atol=1e-6)  # the strength starts at 0
    if kind == "none":
        assert [weight.name for weight in layer.weights] == ["bias"]
        return
    layer.strength.assign(2.0)
    image = noise if kind == "input" else np.asarray(layer.image)[None, :, :, None]
    np.testing.assert_allclose(layer(inputs), x + 2 * image, atol=1e-5)


def test_the_tracker_is_the_moving_mean_of_its_input(rng):
    layer = tl.MeanTracker(decay=0.9, psi=0.5)
    expected = np.zeros(4)
    for _ in range(5):
        w = rng.normal(3, 1, size=(10, 4)).astype("float32")
        np.testing.assert_array_equal(layer(w, training=True), w)
        expected = 0.9 * expected + 0.1 * w.mean(0)
    np.testing.assert_allclose(layer.mean, expected, atol=1e-5)
    np.testing.assert_allclose(layer(w, training=False), expected + 0.5 * (w - expected), atol=1e-5)
    assert not layer.trainable_weights


def test_second_derivatives_exist(rng):
    """Path-length and R1 penalties differentiate gradients of these layers."""
    x = keras.Input((8, 8, 2))
    y = tl.EqualConv2D(3, 3, True)(x)
    y = tl.MinibatchStd(2)(tl.EqualConv2D(3, 1, True, "linear", False)(y))
    model = keras.Model(x, keras.layers.Flatten()(y))
    images = tf.constant(rng.normal(size=(2, 8, 8, 2)).astype("float32"))
    weights = [weight.value for weight in model.trainable_weights]
    with tf.GradientTape() as outer:
        with tf.GradientTape() as inner:
            inner.watch(images)
            out = tf.reduce_sum(model(images) ** 2)
        penalty = tf.reduce_sum(inner.gradient(out, images) ** 2)
    for gradient in outer.gradient(penalty, weights):
        assert np.isfinite(gradient).all()
        assert np.abs(gradient).max() > 0
