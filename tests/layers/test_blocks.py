"""Norms, attention and residual blocks by their formulas."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfgan_ema import layers as tl


def normalised(x):
    return (x - x.mean((0, 1, 2))) / np.sqrt(x.var((0, 1, 2)) + 1e-5)


def test_conditional_batch_norm(rng):
    layer = tl.ConditionalBatchNorm(3)
    x = rng.normal(2, 3, size=(4, 5, 5, 6)).astype("float32")
    label = np.array([0, 2, 1, 2])
    np.testing.assert_allclose(layer([x, label], training=True), normalised(x), atol=1e-4)
    gain, bias = rng.normal(size=(2, 3, 6)).astype("float32")
    layer.gain.assign(gain)
    layer.bias.assign(bias)
    expected = gain[label][:, None, None] * normalised(x) + bias[label][:, None, None]
    np.testing.assert_allclose(layer([x, label], training=True), expected, atol=1e-4)
    assert [w.name for w in layer.trainable_weights] == ["gain", "bias"]


def test_projected_batch_norm(rng):
    layer = tl.ProjectedBatchNorm()
    x = rng.normal(2, 3, size=(4, 5, 5, 6)).astype("float32")
    y = rng.normal(size=(4, 7)).astype("float32")
    result = layer([x, y], training=True)
    gain = 1 + y @ (np.asarray(layer.gain.kernel) / float(layer.gain.sigma()))
    bias = y @ (np.asarray(layer.bias.kernel) / float(layer.bias.sigma()))
    expected = gain[:, None, None] * normalised(x) + bias[:, None, None]
    np.testing.assert_allclose(result, expected, atol=1e-4)
    assert np.any(np.asarray(layer.gain.kernel) != np.asarray(layer.bias.kernel))
    model = keras.Sequential([layer])
    assert len(tl.spectral_layers(model)) == 2


def test_batch_norm_moves_like_pytorch(rng):
    """Momentum .9 here is .1 there."""
    layer = tl.batch_norm()
    x = rng.normal(2, 3, size=(64, 4)).astype("float32")
    layer(x, training=True)
    np.testing.assert_allclose(layer.moving_mean, 0.1 * x.mean(0), atol=1e-5)
    assert layer.synchronized


@pytest.mark.parametrize("options", [{}, {"scale": False, "center": False}, {"momentum": 0.5}])
def test_batch_norm_of_images_is_keras_own(rng, options):
    """Outputs, moving statistics, gradients, and gradients of gradients."""
    ours = tl.batch_norm(**options)
    theirs = keras.layers.BatchNormalization(**{"momentum": 0.9, "epsilon": 1e-5, **options})
    x = tf.constant(rng.normal(2, 3, size=(4, 5, 6, 3)), tf.float32)
    weight = tf.constant(rng.normal(size=x.shape), tf.float32)
    values = [w.astype("float32") for w in rng.uniform(0.5, 2, size=(4, 3))]
    found = []
    for layer in (ours, theirs):
        layer.build(x.shape)
        layer.set_weights(values[: len(layer.weights)])
        watched = [x, *(w.value for w in layer.trainable_weights)]
        with tf.GradientTape(persistent=True) as outer:
            outer.watch(watched)
            with tf.GradientTape() as inner:
                inner.watch(x)
                y = layer(x, training=True)
                loss = tf.reduce_sum(weight * tf.nn.softplus(y))
            slope = inner.gradient(loss, x)
            penalty = tf.reduce_sum(slope**2)
        gradients = [g for what in (loss, penalty) for g in outer.gradient(what, watched)]
        after = layer(x, training=False)
        found.append([y, slope, *gradients, after, *layer.get_weights()])
    for one, other in zip(*found, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            np.testing.assert_allclose(one, other, rtol=2e-4, atol=2e-5)


def test_batch_norm_in_bfloat16_rounds_its_outputs_only(rng):
    x = np.round(rng.normal(2, 3, size=(8, 5, 6, 3)) * 16) / 16  # exact in bfloat16
    layer = tl.batch_norm(dtype="mixed_bfloat16")
    y = layer(x.astype("float32"), training=True)
    assert y.dtype == "bfloat16"
    assert layer.moving_mean.dtype == "float32"
    rounded = tf.cast(x, tf.bfloat16).numpy().astype("float64")
    np.testing.assert_allclose(tf.cast(y, tf.float32), normalised(rounded), rtol=2**-8, atol=1e-4)
    np.testing.assert_allclose(layer.moving_mean, 0.1 * rounded.mean((0, 1, 2)), rtol=1e-5)


def test_attention_by_its_formula(rng):
    convs = {}

    def conv(filters, name):
        convs[name] = keras.layers.Conv2D(filters, 1, use_bias=False, name=name)
        return convs[name]

    inputs = keras.Input((4, 6, 16))
    model = keras.Model(inputs, tl.self_attention(inputs, conv))
    x = rng.normal(size=(2, 4, 6, 16)).astype("float32")
    np.testing.assert_array_equal(model(x), x)  # the gain starts at 0
    model.get_layer("attention_gain").gain.assign(0.7)
    kernel = {n.removeprefix("attention_"): np.asarray(c.kernel)[0, 0] for n, c in convs.items()}

    def pooled(t):
        return t.reshape(2, 2, 2, 3, 2, -1).max((2, 4)).reshape(2, 6, -1)

    queries = (x @ kernel["queries"]).reshape(2, 24, 2)
    keys, values = pooled(x @ kernel["keys"]), pooled(x @ kernel["values"])
    scores = np.exp(queries @ keys.transpose(0, 2, 1))
    read = (scores / scores.sum(-1, keepdims=True)) @ values
    expected = x + 0.7 * (read @ kernel["out"]).reshape(x.shape)
    np.testing.assert_allclose(model(x), expected, atol=1e-4)


def plain(filters, kernel_size, **kwargs):
    return tl.ResampledConv2D(filters, kernel_size, **kwargs)


def convolve(model, name, x):
    """The convolution with a layer's weights, without its change of resolution."""
    conv = model.get_layer(name)
    return tf.nn.conv2d(x, conv.kernel, 1, "SAME") + conv.bias


STYLE = tl.BlockStyle(conv=plain, shortcut=plain)


@pytest.mark.parametrize(
    ("down", "first", "filters"),
    [(True, True, 5), (True, False, 5), (False, False, 4), (False, False, 5)],
)
def test_discriminator_block(rng, down, first, filters):
    inputs = keras.Input((4, 4, 4))
    outputs = tl.down_block(inputs, filters, STYLE, "b", down=down, first=first)
    model = keras.Model(inputs, outputs)
    x = rng.normal(size=(2, 4, 4, 4)).astype("float32")
    assert model.get_layer("b_conv1").filters == (filters if first else 4)
    h = convolve(model, "b_conv1", x if first else tf.nn.relu(x))
    h = convolve(model, "b_conv2", tf.nn.relu(h))
    learned = first or down or filters != 4
    expected = h + (convolve(model, "b_shortcut", x) if learned else x)
    if down:
        expected = tf.nn.avg_pool2d(expected, 2, 2, "VALID")
    np.testing.assert_allclose(model(x), expected, atol=1e-5)
    assert learned or "b_shortcut" not in [layer.name for layer in model.layers]


@pytest.mark.parametrize("upsampling", ["nearest", "bilinear"])
def test_generator_block(rng, upsampling):
    style = tl.BlockStyle(
        plain, plain, lambda x, name: keras.layers.Rescaling(2.0)(x), upsampling=upsampling
    )
    inputs = keras.Input((3, 3, 4))
    model = keras.Model(inputs, tl.up_block(inputs, 5, style, "b"))
    x = rng.normal(size=(2, 3, 3, 4)).astype("float32")

    def up(t):
        return tf.image.resize(t, (6, 6), upsampling)

    h = convolve(model, "b_conv1", up(tf.nn.relu(2 * x)))
    h = convolve(model, "b_conv2", tf.nn.relu(2 * h))
    expected = h + convolve(model, "b_shortcut", up(x))
    np.testing.assert_allclose(model(x), expected, atol=1e-5)
