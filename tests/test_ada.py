"""ADA's pipe against SciPy's resampling, NumPy's moves and colour arithmetic."""

import functools

import keras
import numpy as np
import pytest
import scipy.ndimage
import tensorflow as tf

from tfgan_ema import ada, augment
from tfgan_ema.errors import UsageError
from tfgan_ema.latents import Draws
from tfgan_ema.schedules import ConstantValue

DRAWS = Draws(5, 3, "test/")
ROWS = 48


@pytest.fixture
def images(rng):
    return rng.uniform(-1, 1, (ROWS, 12, 9, 3)).astype("float32")


def moves(name, images, probability=1.0):
    return traced(augment.ADA({name: 1.0}, probability=probability), images, probability)


def traced(pipe, images, probability=1.0):
    """Where each image's pixels come from."""
    size = images.shape[1:3]
    matrices = pipe.matrices(ada._MOVES, 3, len(images), DRAWS, probability, size)
    return functools.reduce(np.matmul, map(np.asarray, matrices))


def scipys(image, matrix):
    """One image by SciPy, whose coordinates are (row, column) from the corner."""
    swapped = matrix[[1, 0, 2]][:, [1, 0, 2]]
    middle = (np.array(image.shape[:2]) - 1) / 2
    offset = swapped[:2, 2] + middle - swapped[:2, :2] @ middle
    planes = [
        scipy.ndimage.affine_transform(
            image[..., c].astype("float64"), swapped[:2, :2], offset, order=1, mode="mirror"
        )
        for c in range(3)
    ]
    return np.stack(planes, axis=-1)


@pytest.mark.parametrize("name", [*augment.ADA.GEOMETRY, None])
def test_geometry_is_scipys(name, images):
    """Each transform, and all of them at once."""
    pipe = augment.ADA({name: 1.0} if name else dict.fromkeys(augment.ADA.GEOMETRY, 0.9))
    matrices = traced(pipe, images)
    assert np.abs(matrices - np.eye(3)).max() > 0.1
    expected = [scipys(*pair) for pair in zip(images, matrices.astype("float64"), strict=True)]
    np.testing.assert_allclose(np.asarray(pipe(images, DRAWS)), expected, atol=2e-4)


def test_moves_by_whole_pixels_are_exact(images):
    square = images[:, :9]
    flipped = np.asarray(augment.ADA({"flip": 1.0})(square, DRAWS))
    turned = np.asarray(augment.ADA({"rotate90": 1.0})(square, DRAWS))
    seen = set()
    for image, mirror, turn in zip(square, flipped, turned, strict=True):
        assert any((mirror == each).all() for each in (image, image[:, ::-1]))
        fits = [k for k in range(4) if np.abs(turn - np.rot90(image, k)).max() < 1e-6]
        seen |= set(fits)
        assert len(fits) == 1
    assert seen == {0, 1, 2, 3}
    assert 0 < sum((a == b).all() for a, b in zip(flipped, square, strict=True)) < ROWS
    shifts = moves("integer_translation", images)[:, :2, 2]
    assert (shifts == np.round(shifts)).all()
    assert np.abs(shifts).max(0).tolist() == [1, 1]  # 1/8 of 9 and of 12


def test_the_sizes_of_moves_are_the_papers():
    images = np.zeros((4000, 64, 64, 1), "float32")
    logs = np.log2(moves("scale", images)[:, 0, 0]), np.log2(moves("anisotropy", images)[:, 0, 0])
    for each in logs:
        assert abs(each.std() - 0.2) < 0.01
    assert abs((moves("translation", images)[:, :2, 2] / 64).std() - 0.125) < 0.005
    determinant = np.linalg.det(moves("anisotropy", images))
    np.testing.assert_allclose(determinant, 1, atol=1e-5)
    # Of two rotations at least one comes with the probability.
    still = (moves("rotation", images, 0.4) == np.eye(3)).all(axis=(1, 2)).mean()
    assert abs(still - 0.6) < 0.03


def colours(name, images):
    pipe = augment.ADA({name: 1.0})
    (matrices,) = pipe.matrices(ada._COLOURS, 4, ROWS, DRAWS, 1.0, images.shape[1:3])
    homogeneous = np.concatenate([images, np.ones_like(images[..., :1])], axis=-1)
    expected = np.einsum("nij,nhwj->nhwi", np.asarray(matrices), homogeneous)[..., :3]
    found = np.asarray(pipe(images, DRAWS))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    return found


def test_colours_do_what_their_names_say(images):
    grey = images.mean(axis=3, keepdims=True)
    difference = colours("brightness", images) - images
    np.testing.assert_allclose(difference, difference[:, :1, :1, :1] + 0 * images, atol=1e-6)
    ratio = colours("contrast", images) / images
    np.testing.assert_allclose(ratio, ratio[:, :1, :1, :1] + 0 * images, rtol=1e-4)
    inverted = images - 2 * grey
    for new, old, other in zip(colours("luma_flip", images), images, inverted, strict=True):
        assert min(np.abs(new - old).max(), np.abs(new - other).max()) < 1e-5
    turned = colours("hue", images)
    np.testing.assert_allclose(turned.mean(3, keepdims=True), grey, atol=1e-5)
    length = np.linalg.norm(images - grey, axis=3)
    np.testing.assert_allclose(np.linalg.norm(turned - grey, axis=3), length, atol=1e-5)
    stronger = (colours("saturation", images) - grey) / (images - grey)
    np.testing.assert_allclose(stronger, stronger[:, :1, :1, :1] + 0 * images, rtol=2e-2)
    one = np.asarray(augment.ADA({"contrast": 1.0})(images[..., :1], DRAWS))
    np.testing.assert_allclose(one / images[..., :1], ratio[..., :1], rtol=1e-4)


def test_cutout_is_a_square_of_half_the_size():
    cut = np.asarray(augment.ADA({"cutout": 1.0})(np.ones((64, 8, 8, 3), "float32"), DRAWS)) == 0
    rows, columns = cut.any(axis=(2, 3)).sum(1), cut.any(axis=(1, 3)).sum(1)
    assert rows.max() == columns.max() == 4
    assert (cut.sum(axis=(1, 2, 3)) == 3 * rows * columns).all()


@pytest.mark.parametrize("probability", [0.0, ConstantValue(0.0)])
def test_probability_0_is_the_identity_to_the_bit(images, probability):
    unchanged = np.asarray(augment.ADA(probability=probability)(images, DRAWS))
    assert unchanged.tobytes() == images.tobytes()


def test_rows_are_chosen_by_themselves(rng):
    images = rng.uniform(-1, 1, (1000, 4, 4, 1)).astype("float32")
    new = np.asarray(augment.ADA({"contrast": 0.5}, probability=0.6)(images, DRAWS))
    assert abs((new != images).any(axis=(1, 2, 3)).mean() - 0.3) < 0.05


def test_gradients_are_finite_and_those_of_a_linear_map(images):
    pipe = augment.ADA(probability=0.8)
    x = tf.constant(images)
    with tf.GradientTape() as tape:
        tape.watch(x)
        total = tf.reduce_sum(pipe(x, DRAWS) * images)
    gradient = tf.convert_to_tensor(tape.gradient(total, x)).numpy()
    assert np.isfinite(gradient).all()
    direction = np.random.default_rng(1).normal(size=images.shape).astype("float32")
    rise = np.sum(
        (np.asarray(pipe(images + direction, DRAWS)) - np.asarray(pipe(x, DRAWS))) * images
    )
    np.testing.assert_allclose(np.sum(gradient * direction), rise, rtol=1e-3)


def test_a_graph_gives_the_same_as_eager_execution(images):
    pipe = augment.ADA(probability=0.8)
    images = images[:4]
    compiled = tf.function(lambda x: pipe(x, DRAWS))(tf.constant(images))
    np.testing.assert_allclose(np.asarray(pipe(images, DRAWS)), compiled, atol=1e-4)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(pipe))
    np.testing.assert_array_equal(pipe(images, DRAWS), again(images, DRAWS))


def test_bad_requests():
    with pytest.raises(UsageError, match="did you mean 'rotate90'"):
        augment.ADA({"rotate_90": 1.0})
    with pytest.raises(UsageError, match="expected numbers by name"):
        augment.ADA(["hue"])
    with pytest.raises(UsageError, match="it needs images"):
        augment.ADA()(np.zeros((4, 2), "float32"), DRAWS)
