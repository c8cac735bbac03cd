"""Averages against their closed forms over a recorded trajectory of weights."""

import keras
import numpy as np
import pytest
import toy
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

import tfgan_ema as tg
from tfgan_ema import averaging
from tfgan_ema.errors import UsageError

BATCH = 8


class Record(keras.callbacks.Callback):
    """Keeps the generator's weights after each step, and those of every average."""

    def on_train_begin(self, logs=None):
        self.raw, self.averaged = [self._flat(self.model.generator)], []

    def on_train_batch_end(self, batch, logs=None):
        self.raw.append(self._flat(self.model.generator))
        self.averaged.append([self._flat(model) for model in self.model.averaged])

    @staticmethod
    def _flat(model):
        weights = [w for layer in model.layers for w in layer.weights]
        kept = [ops.convert_to_numpy(w).ravel() for w in weights if "moving" not in w.name]
        return np.concatenate(kept).astype("float64")


@pytest.fixture(scope="module")
def trajectory():
    """Ten steps with several averages at once."""
    rules = [
        tg.EMA(0.9),
        tg.EMA(0.7, start_step=4),
        tg.UniformAverage(),
        tg.UniformAverage(start_step=4),
        tg.EMA(half_life=40),
        tg.EMA(half_life=1000, ramp=0.5, name="ramped"),
    ]
    record = Record()
    toy.fit(toy.gan(averages=rules), 10, callbacks=[record])
    raw = np.array(record.raw)
    assert np.abs(np.diff(raw, axis=0)).max() > 1e-4  # it moves
    return raw, np.array(record.averaged)


def closed_form(raw, decays):
    """sum over k of (1 - d_k) * prod of later decays * w_k, w_0 with all decays."""
    decays = np.concatenate([[0.0], decays])
    later = np.append(np.cumprod(decays[::-1])[::-1][1:], 1.0)
    return ((1 - decays) * later) @ raw


def test_ema_equals_its_closed_form(trajectory):
    raw, averaged = trajectory
    np.testing.assert_allclose(averaged[-1, 0], closed_form(raw, [0.9] * 10), atol=1e-6)


def test_ema_copies_until_its_start(trajectory):
    raw, averaged = trajectory
    np.testing.assert_allclose(averaged[:4, 1], raw[1:5], atol=1e-6)
    np.testing.assert_allclose(averaged[-1, 1], closed_form(raw[4:], [0.7] * 6), atol=1e-6)


def test_uniform_average_is_the_mean_of_the_visited_weights(trajectory):
    raw, averaged = trajectory
    for t in range(1, 11):
        np.testing.assert_allclose(averaged[t - 1, 2], raw[1 : t + 1].mean(0), atol=1e-6)
    np.testing.assert_allclose(averaged[:4, 3], raw[1:5], atol=1e-6)
    np.testing.assert_allclose(averaged[-1, 3], raw[5:].mean(0), atol=1e-6)


def test_half_life_counts_images(trajectory):
    raw, averaged = trajectory
    expected = closed_form(raw, [0.5 ** (BATCH / 40)] * 10)
    np.testing.assert_allclose(averaged[-1, 4], expected, atol=1e-6)
    ramped = [0.5 ** (BATCH / min(1000, 0.5 * BATCH * t)) for t in range(1, 11)]
    np.testing.assert_allclose(averaged[-1, 5], closed_form(raw, ramped), atol=1e-6)


@settings(max_examples=30, deadline=None)
@given(st.floats(0, 0.99999), st.integers(1, 10**6), st.integers(0, 1000))
def test_rates_lie_in_the_unit_interval(decay, step, start):
    for rule in (
        averaging.EMA(decay, start_step=start),
        averaging.UniformAverage(start_step=start),
    ):
        rate = float(rule.rate(ops.convert_to_tensor(step, "int32"), 64))
        assert 0 < rate <= 1
        assert step > start or rate == 1


def batch_norm_generator():
    x = keras.Input((4,))
    y = keras.layers.BatchNormalization(momentum=0.5)(keras.layers.Dense(3)(x))
    return keras.Model(x, y)


def statistics(model):
    return [w.numpy().copy() for w in model.weights if "moving" in w.name]


@pytest.mark.parametrize(("kind", "share"), [("copy", 1.0), ("average", 0.1), ("standing", 1.0)])
def test_batch_statistics_follow_the_rule(kind, share):
    source = batch_norm_generator()
    shadow = averaging.Shadow(averaging.EMA(0.9, statistics=kind), source)
    before = statistics(shadow.generator)
    source(np.random.default_rng(0).normal(3, 2, (64, 4)).astype("float32"), training=True)
    shadow.move(ops.convert_to_tensor(1), 64)
    for old, new, now in zip(before, statistics(source), statistics(shadow.generator), strict=True):
        np.testing.assert_allclose(now, old + share * (new - old), rtol=1e-5)


def test_standing_statistics_are_means_over_batches_and_leave_no_trace():
    model = batch_norm_generator()
    model.trainable = False
    rng = np.random.default_rng(1)
    batches = rng.normal(1, 2, (5, 32, 4)).astype("float32")
    before = [w.copy() for w in model.get_weights()]
    dense = model.layers[1]
    hidden = np.stack([ops.convert_to_numpy(dense(batch)) for batch in batches])
    values = averaging.standing_statistics(model, lambda i: model(batches[i], training=True), 5)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert model.layers[2].momentum == 0.5
    assert not model.layers[2].trainable
    with averaging.replaced(averaging.statistics(model), values):
        mean, variance = statistics(model)
    np.testing.assert_allclose(mean, hidden.mean(1).mean(0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(variance, hidden.var(1).mean(0), rtol=1e-4)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_statistics_of_one_batch_are_those_it_is_trained_by_and_nothing_moves(rng):
    model = batch_norm_generator()
    norm = model.layers[2]
    norm.gamma.assign([1.0, 2.0, 3.0])
    norm.beta.assign([0.5, 0.0, -1.0])
    batch = rng.normal(1, 2, (32, 4)).astype("float32")
    before, outputs = statistics(model), []
    found = averaging.batch_statistics(model, lambda: outputs.append(model(batch)))
    for old, new in zip(before, statistics(model), strict=True):
        np.testing.assert_array_equal(old, new)
    hidden = ops.convert_to_numpy(model.layers[1](batch))
    for value, expected in zip(found, (hidden.mean(0), hidden.var(0)), strict=True):
        np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-5)
    stored = ops.convert_to_numpy(model(batch))  # the layer is itself again
    norm.momentum = 0.0
    trained = ops.convert_to_numpy(model(batch, training=True))
    np.testing.assert_allclose(outputs[0], trained, rtol=1e-3, atol=1e-5)
    assert not np.allclose(stored, trained)
    for value, variable in zip(found, averaging.statistics(model), strict=True):
        np.testing.assert_allclose(value, variable, rtol=1e-4, atol=1e-5)


def test_the_raw_statistics_make_an_average_pale():
    """Two opposite generators: their mean's activations have less variance than theirs."""
    source = batch_norm_generator()
    dense = source.layers[1]
    rng = np.random.default_rng(0)
    shared, apart = rng.normal(size=(2, 4, 3)).astype("float32")
    batch = rng.normal(size=(512, 4)).astype("float32")
    shadow = averaging.Shadow(averaging.UniformAverage(), source)
    for step in range(1, 41):
        dense.kernel.assign(shared + (-1) ** step * 2 * apart)
        source(batch, training=True)
        shadow.move(ops.convert_to_tensor(step), 64)
    copied = ops.convert_to_numpy(shadow.generator(batch)).std(0)
    values = averaging.standing_statistics(
        shadow.generator, lambda i: shadow.generator(batch, training=True)
    )
    with averaging.replaced(averaging.statistics(shadow.generator), values):
        standing = ops.convert_to_numpy(shadow.generator(batch)).std(0)
    np.testing.assert_allclose(standing, 1, rtol=1e-2)
    assert (copied < 0.8).all()


def test_swap_twice_is_nothing():
    source = batch_norm_generator()
    shadow = averaging.Shadow(averaging.EMA(0.9), source)
    source.layers[1].kernel.assign_add(np.ones((4, 3)))
    assert shadow.distance() == pytest.approx(np.sqrt(12))
    raw, mean = source.get_weights(), shadow.generator.get_weights()
    with shadow.swapped():
        np.testing.assert_array_equal(source.get_weights()[0], mean[0])
    np.testing.assert_array_equal(source.get_weights()[0], raw[0])


def test_under_mixed_precision_averages_stay_float32():
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = toy.gan(averages=[tg.EMA(0.999)])
    toy.fit(model, 2)
    assert {w.dtype for w in model.averaged[0].weights} == {"float32"}
    raw = model.generator.weights[0].numpy()
    assert 0 < np.abs(model.averaged[0].weights[0].numpy() - raw).max() < 1e-2


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"decay": 1.0}, r"decay 1.0: expected a number in \[0, 1\)"),
        ({"decay": -0.1}, "decay -0.1"),
        ({"decay": 0.9, "half_life": 10}, "give one of the two"),
        ({"decay": 0.9, "ramp": 0.1}, "a ramp belongs to a half_life"),
        ({"half_life": 0}, "half_life 0"),
        ({"decay": 0.9, "start_step": -1}, "start_step -1"),
        ({"decay": 0.9, "statistics": "none"}, "statistics 'none'"),
    ],
)
def test_bad_rules_are_refused_in_one_line(options, words):
    with pytest.raises(UsageError, match=words) as error:
        averaging.EMA(**options)
    assert "\n" not in str(error.value)


def test_unknown_rules_and_options_are_named():
    with pytest.raises(UsageError, match="did you mean 'uniform'"):
        averaging.get("unifrom")
    with pytest.raises(UsageError, match="did you mean 'decay'"):
        averaging.get("ema", deccay=0.9)
