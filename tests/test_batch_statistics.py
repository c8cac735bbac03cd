"""Batch statistics of averaged weights against the moments of the activations themselves."""

import contextlib

import keras
import numpy as np
import pytest
from keras import ops

from tfgan_ema import averaging, batch_statistics


def generator(norm=keras.layers.BatchNormalization):
    x = keras.Input((4,))
    return keras.Model(x, norm(momentum=0.5)(keras.layers.Dense(3)(x)))


def moving(model):
    return [w.numpy().copy() for w in model.weights if "moving" in w.name]


def test_statistics_of_one_batch_are_those_it_is_trained_by_and_nothing_moves(rng):
    model = generator()
    norm = model.layers[2]
    norm.gamma.assign([1.0, 2.0, 3.0])
    norm.beta.assign([0.5, 0.0, -1.0])
    batch = rng.normal(1, 2, (32, 4)).astype("float32")
    before, outputs = model.get_weights(), []
    values = batch_statistics.of_batch(model, lambda: outputs.append(model(batch, training=True)))
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    hidden = ops.convert_to_numpy(model.layers[1](batch))
    for value, expected in zip(values, (hidden.mean(0), hidden.var(0)), strict=True):
        np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-5)
    stored = ops.convert_to_numpy(model(batch))
    assert norm.momentum == 0.5
    norm.momentum = 0.0
    trained = ops.convert_to_numpy(model(batch, training=True))
    np.testing.assert_allclose(outputs[0], trained, rtol=1e-3, atol=1e-5)
    assert not np.allclose(stored, trained)
    for value, variable in zip(values, batch_statistics.variables(model), strict=True):
        np.testing.assert_allclose(value, variable, rtol=1e-4, atol=1e-5)


def test_standing_statistics_are_means_over_batches_and_leave_no_trace(rng, monkeypatch):
    monkeypatch.setattr(batch_statistics, "BATCHES", 5)
    model = generator()
    model.trainable = False
    batches = rng.normal(1, 2, (5, 32, 4)).astype("float32")
    before = model.get_weights()
    hidden = np.stack([ops.convert_to_numpy(model.layers[1](batch)) for batch in batches])
    mean, variance = batch_statistics.standing(model, lambda i: model(batches[i], training=True))
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert model.layers[2].momentum == 0.5
    assert not model.layers[2].trainable
    np.testing.assert_allclose(mean, hidden.mean(1).mean(0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(variance, hidden.var(1).mean(0), rtol=1e-4)


def test_the_raw_statistics_make_an_average_pale(rng):
    """Two opposite generators: their mean's activations have less variance than theirs."""
    source = generator()
    dense = source.layers[1]
    shared, apart = rng.normal(size=(2, 4, 3)).astype("float32")
    batch = rng.normal(size=(512, 4)).astype("float32")
    average = averaging.Average(averaging.UniformAverage(), source)
    for step in range(1, 41):
        dense.kernel.assign(shared + (-1) ** step * 2 * apart)
        source(batch, training=True)
        average.move(ops.convert_to_tensor(step), 64)
    copied = ops.convert_to_numpy(average.shadow(batch)).std(0)
    ready = average.ready_generator(
        contextlib.nullcontext(), 40, lambda model, i: model(batch, training=True)
    )
    np.testing.assert_allclose(ops.convert_to_numpy(ready(batch)).std(0), 1, rtol=1e-2)
    assert (copied < 0.8).all()


@pytest.mark.parametrize("statistics", ["copy", "average"])
def test_other_rules_need_no_copy(statistics):
    average = averaging.Average(averaging.EMA(0.9, statistics=statistics), generator())
    assert average.ready_generator(contextlib.nullcontext(), 1, None) is average.shadow
