"""Spectral normalisation against SVDs, numerical derivatives and saved copies."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfgan_ema import layers as tl

CASES = {
    "dense": (lambda **kw: tl.SNDense(5, **kw), (3, 7)),
    "conv": (lambda **kw: tl.SNConv2D(5, 3, strides=2, **kw), (3, 6, 6, 4)),
    "embedding": (lambda **kw: tl.SNEmbedding(6, 4, **kw), (3,)),
}


@pytest.fixture(params=CASES)
def case(request):
    make, shape = CASES[request.param]
    keras.utils.set_random_seed(3)
    rng = np.random.default_rng(0)
    x = rng.integers(0, 6, shape) if len(shape) == 1 else rng.normal(size=shape).astype("float32")
    layer = make()
    layer.build(shape)
    return layer, x


def svd_norm(matrix):
    return np.linalg.svd(np.asarray(matrix, "float64"), compute_uv=False)[0]


def converge(layer, iterations=300):
    for _ in range(iterations):
        layer.power_iteration()


def test_sigma_is_the_svds_norm(case):
    layer, _ = case
    start = float(layer.sigma())
    converge(layer)
    norm = svd_norm(layer.matrix())
    assert abs(float(layer.sigma()) / norm - 1) < 1e-5
    assert 0.7 < start / norm < 1 + 1e-6  # a usable estimate before the first update


def test_power_iteration_is_the_papers_formula(case):
    layer, _ = case
    matrix, u = np.asarray(layer.matrix(), "float64"), np.asarray(layer.u, "float64")
    layer.power_iteration()
    v = matrix.T @ u
    v /= np.linalg.norm(v)
    u = matrix @ v
    np.testing.assert_allclose(layer.v, v, atol=1e-6)
    np.testing.assert_allclose(layer.u, u / np.linalg.norm(u), atol=1e-6)
    np.testing.assert_allclose(layer.sigma(), np.linalg.norm(u), rtol=1e-5)


def test_calls_change_nothing(case):
    layer, x = case
    before = [np.asarray(w) for w in layer.weights]
    first = np.asarray(layer(x))
    second = np.asarray(layer(x))
    np.testing.assert_array_equal(first, second)
    for old, new in zip(before, layer.weights, strict=True):
        np.testing.assert_array_equal(old, new)


def test_forward_is_the_plain_layer_with_a_divided_kernel(case):
    layer, x = case
    kernel = np.asarray(layer.kernel) / float(layer.sigma())
    if isinstance(layer, tl.SNDense):
        expected = x @ kernel
    elif isinstance(layer, tl.SNConv2D):
        expected = tf.nn.conv2d(x, kernel, 2, "SAME")
    else:
        expected = kernel[x]
    np.testing.assert_allclose(layer(x), expected, atol=1e-5)


def test_gradient_passes_through_sigma(case):
    """d/dW of f(W / norm(W)), norm by SVD, by central differences in float64."""
    layer, _ = case
    converge(layer)
    shape = layer.kernel.shape
    rng = np.random.default_rng(1)
    weight = rng.normal(size=shape)  # f(W) = <weight, W / sigma>, the kernel seen by the layer
    kernel = np.asarray(layer.kernel, "float64")

    def objective(value):
        matrix = value if isinstance(layer, tl.SNEmbedding) else value.reshape(-1, shape[-1])
        return np.sum(weight * value) / svd_norm(matrix)

    with tf.GradientTape() as tape:
        tape.watch(layer.kernel.value)
        loss = tf.reduce_sum(tf.constant(weight, tf.float32) * layer.normalized_kernel())
    gradient = np.asarray(tf.convert_to_tensor(tape.gradient(loss, layer.kernel.value)))
    for _ in range(5):
        direction = rng.normal(size=shape)
        step = 1e-6
        slope = (objective(kernel + step * direction) - objective(kernel - step * direction)) / (
            2 * step
        )
        assert abs(np.sum(gradient * direction) - slope) < 1e-3 * np.linalg.norm(gradient)


def test_only_kernel_and_bias_are_trained():
    layer = tl.SNDense(5)
    layer.build((None, 7))
    assert [w.name for w in layer.trainable_weights] == ["kernel", "bias"]
    assert [w.shape for w in layer.non_trainable_weights] == [(5,), (7,)]


def test_power_iterate_reaches_nested_models():
    keras.utils.set_random_seed(0)
    inner = keras.Sequential([keras.Input((20,)), tl.SNDense(30)])
    inputs = keras.Input((20,))
    model = keras.Model(inputs, tl.SNDense(20)(keras.layers.Dense(30)(inner(inputs))))
    layers = tl.spectral_layers(model)
    assert len(layers) == 2
    before = [np.asarray(layer.u) for layer in layers]
    tl.power_iterate(model)
    for old, layer in zip(before, layers, strict=True):
        assert np.any(old != np.asarray(layer.u))


def test_saved_models_keep_u_and_v(tmp_path):
    label = keras.Input((), dtype="int32")
    image = keras.Input((8, 8, 3))
    x = keras.layers.GlobalAveragePooling2D()(tl.SNConv2D(6, 3, padding="valid")(image))
    x = keras.layers.Add()([tl.SNDense(4)(x), tl.SNEmbedding(10, 4, epsilon=1e-6)(label)])
    model = keras.Model([image, label], x)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for old, new in zip(model.weights, loaded.weights, strict=True):
        np.testing.assert_array_equal(old, new)
    rng = np.random.default_rng(0)
    inputs = [rng.normal(size=(2, 8, 8, 3)).astype("float32"), np.array([1, 9], "int32")]
    np.testing.assert_array_equal(model(inputs), loaded(inputs))
    assert {layer.epsilon for layer in tl.spectral_layers(loaded)} == {1e-12, 1e-6}


def test_mixed_precision_keeps_sigma_and_kernel_in_float32():
    layer = tl.SNDense(64, dtype="mixed_bfloat16")
    layer.build((None, 64))
    converge(layer)
    kernel = np.asarray(layer.kernel)
    assert layer.kernel.dtype == layer.u.dtype == "float32"
    assert abs(float(layer.sigma()) / svd_norm(layer.matrix()) - 1) < 1e-4  # bfloat16 has 8 bits
    assert layer(np.ones((2, 64), "float32")).dtype == tf.bfloat16
    np.testing.assert_array_equal(layer.kernel, kernel)


def test_compiles_under_xla(case):
    layer, x = case

    @tf.function(jit_compile=True)
    def step(x):
        y = layer(x)
        layer.power_iteration()
        return y

    expected = np.asarray(layer(x))
    np.testing.assert_allclose(step(x), expected, atol=1e-5)
    once = np.asarray(layer.u)
    assert np.isfinite(once).all()
    assert abs(np.linalg.norm(once) - 1) < 1e-5
