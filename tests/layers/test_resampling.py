"""Folded convolutions against what they fold: the same outputs, the same gradients."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tfgan_ema import layers as tl
from tfgan_ema.errors import UsageError
from tfgan_ema.layers import resampling

TOLERANCE = {"float32": 1e-5, "float64": 1e-13, "bfloat16": 0.03, "float16": 4e-3}


def plain(x, kernel, resample):
    """Upsampling, convolution and pooling one after the other."""
    if resample == "up":
        x = tf.repeat(tf.repeat(x, 2, axis=1), 2, axis=2)
    x = tf.nn.conv2d(x, kernel, 1, "SAME")
    return tf.nn.avg_pool2d(x, 2, 2, "VALID") if resample == "down" else x


def with_gradients(function, x, kernel, pull):
    """The output, and the gradients of its product with ``pull``, as float64 arrays."""
    with tf.GradientTape() as tape:
        tape.watch((x, kernel))
        y = function(x, kernel)
    results = [y, *tape.gradient(y, (x, kernel), output_gradients=tf.cast(pull(y), y.dtype))]
    return [tf.cast(result, "float64").numpy() for result in results]


def assert_equal(one, other, tolerance):
    for a, b in zip(one, other, strict=True):
        assert a.shape == b.shape
        assert np.abs(a - b).max() <= tolerance * max(1, np.abs(a).max())


def shapes():
    side, channels = st.integers(2, 9), st.integers(1, 5)
    return st.tuples(st.integers(1, 3), side, side, channels)


@given(shapes(), st.integers(1, 5), st.sampled_from([1, 3]), st.sampled_from(list(TOLERANCE)))
@example((2, 5, 4, 3), 4, 3, "float32")
@settings(max_examples=25)
@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
@pytest.mark.parametrize("resample", ["up", "down"])
def test_folding_changes_nothing(resample, backend, shape, filters, size, dtype):
    """The forms of both backends, in TensorFlow's arithmetic."""
    rng = np.random.default_rng(sum(shape) + filters)
    x = rng.normal(size=shape)
    kernel = rng.normal(size=(size, size, shape[-1], filters)) / size / np.sqrt(shape[-1])
    exact = with_gradients(
        lambda x, k: plain(x, k, resample), tf.constant(x), tf.constant(kernel), tf.cos
    )

    def folded(x, kernel):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(keras.config, "backend", lambda: backend)
            return resampling.conv(x, kernel, resample)

    found = with_gradients(
        folded, tf.cast(x, dtype), tf.cast(kernel, dtype), lambda y: np.cos(exact[0])
    )
    # Gradients by the kernel add up as many products as there are pixels.
    pixels = np.sqrt(np.prod(shape[:3]))
    assert_equal(exact, found, TOLERANCE[dtype] * (1 if dtype.endswith(("32", "64")) else pixels))


def layer(kind, filters, size, resample):
    keras.utils.set_random_seed(4)
    kind = {"plain": tl.ResampledConv2D, "spectral": tl.SNConv2D}[kind]
    return kind(filters, size, resample=resample, bias_initializer="random_normal", name="conv")


@pytest.mark.parametrize("kind", ["plain", "spectral"])
@pytest.mark.parametrize("resample", ["up", "down"])
@pytest.mark.parametrize("size", [1, 3])
def test_layers_keep_their_weights(kind, resample, size, rng):
    """Resampling leaves weights, spectral norm and bias as they are, and is saved."""
    folded, ordinary = layer(kind, 5, size, resample), layer(kind, 5, size, None)
    x = rng.normal(size=(2, 6, 4, 3)).astype("float32")
    assert folded.compute_output_shape((None, 6, 4, 3)) == (
        (None, 12, 8, 5) if resample == "up" else (None, 3, 2, 5)
    )
    y = folded(x)
    ordinary.build(x.shape)
    assert [(w.path, w.shape) for w in folded.weights] == [
        (w.path, w.shape) for w in ordinary.weights
    ]
    ordinary.set_weights(folded.get_weights())
    wide = x.repeat(2, 1).repeat(2, 2) if resample == "up" else x
    expected = ordinary(wide)
    if resample == "down":
        expected = tf.nn.avg_pool2d(expected, 2, 2, "VALID")
    np.testing.assert_allclose(y, expected, atol=1e-5)
    again = type(folded).from_config(folded.get_config())
    again.build(x.shape)
    again.set_weights(folded.get_weights())
    np.testing.assert_array_equal(again(x), y)


def test_half_precision_keeps_the_kernel_in_float32(rng):
    keras.config.set_dtype_policy("mixed_bfloat16")
    conv = tl.ResampledConv2D(4, 3, resample="up")
    y = conv(rng.normal(size=(1, 3, 3, 2)))
    assert y.dtype == "bfloat16"
    assert conv.kernel.dtype == "float32"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kernel_size": 3, "resample": "upp"}, "unknown resample 'upp': did you mean 'up'"),
        ({"kernel_size": 5, "resample": "up"}, "kernel of 1 or 3"),
        ({"kernel_size": 3, "resample": "down", "strides": 2}, "strides 2"),
        ({"kernel_size": 3, "resample": "down", "padding": "valid"}, "padding 'valid'"),
    ],
)
def test_what_does_not_fold_is_refused(options, message):
    with pytest.raises(UsageError, match=message):
        tl.SNConv2D(4, **options)
