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
        self.averaged.append([self._flat(average.shadow) for average in self.model.averages])

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
        tg.UniformAverage(start_step=1, period=3),
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


def test_a_period_makes_the_mean_of_the_last_steps(trajectory):
    """Exact at steps 4, 7 and 10; in between the mean of those since the last of these."""
    raw, averaged = trajectory
    np.testing.assert_allclose(averaged[0, 6], raw[1], atol=1e-6)
    for t in range(2, 11):
        count = (t - 2) % 3 + 1
        np.testing.assert_allclose(
            averaged[t - 1, 6], raw[t - count + 1 : t + 1].mean(0), atol=1e-6
        )
    assert [rule.name for rule in (tg.UniformAverage(period=5), tg.UniformAverage())] == [
        "mean_of_5", "uniform",
    ]  # fmt: skip


def test_half_life_counts_images(trajectory):
    raw, averaged = trajectory
    expected = closed_form(raw, [0.5 ** (BATCH / 40)] * 10)
    np.testing.assert_allclose(averaged[-1, 4], expected, atol=1e-6)
    ramped = [0.5 ** (BATCH / min(1000, 0.5 * BATCH * t)) for t in range(1, 11)]
    np.testing.assert_allclose(averaged[-1, 5], closed_form(raw, ramped), atol=1e-6)


def test_a_ramp_forgets_the_first_weights_sooner():
    """The half-life is a twentieth of the steps so far until it is the decay's own."""
    steps = np.arange(1, 30_001)
    rates = tg.EMA(0.999, ramp=0.05).rate(ops.convert_to_tensor(steps, "int32"), 64)
    expected = np.maximum(1 - 0.5 ** (1 / (0.05 * steps)), 0.001)
    np.testing.assert_allclose(rates, expected, rtol=1e-4)
    own = np.log(0.5) / np.log(0.999)  # steps
    assert (np.asarray(rates) > 0.00101).sum() == pytest.approx(own / 0.05, rel=0.02)


@settings(max_examples=30, deadline=None)
@given(st.floats(0, 0.99999), st.integers(1, 10**6), st.integers(0, 1000))
def test_rates_lie_in_the_unit_interval(decay, step, start):
    for rule in (
        averaging.EMA(decay, start_step=start),
        averaging.EMA(decay, start_step=start, ramp=0.05),
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
    average = averaging.Average(averaging.EMA(0.9, statistics=kind), source)
    before = statistics(average.shadow)
    source(np.random.default_rng(0).normal(3, 2, (64, 4)).astype("float32"), training=True)
    average.move(ops.convert_to_tensor(1), 64)
    for old, new, now in zip(before, statistics(source), statistics(average.shadow), strict=True):
        np.testing.assert_allclose(now, old + share * (new - old), rtol=1e-5)


@keras.saving.register_keras_serializable("tests")
class Counter(keras.layers.Layer):
    """Counts its training calls in a weight that cannot be averaged."""

    def __init__(self, kind="int32", **kwargs):
        super().__init__(**kwargs)
        self.kind = kind

    def build(self, shape):
        self.calls = self.add_weight((), "zeros", self.kind, trainable=False)

    def call(self, x, training=False):
        if training:
            self.calls.assign(ops.cast(ops.cast(self.calls, "int32") + 1, self.kind))
        return x

    def get_config(self):
        return {**super().get_config(), "kind": self.kind}


@pytest.mark.parametrize("kind", ["int32", "bool"])
def test_whole_numbers_and_truth_values_are_copied(kind):
    layers = [keras.Input((2,)), keras.layers.Dense(2), Counter(kind)]
    generator, discriminator = keras.Sequential(layers), toy.zoo.build("mlp")[1]
    rule = tg.EMA(0.9, statistics="average")
    model = tg.GAN(generator, discriminator, latent=2, averages=[rule])
    model.compile()
    toy.fit(model, 3, chosen=toy.points())
    raw, averaged = (each.layers[-1].calls for each in (generator, model.averages[0].shadow))
    assert int(raw) == int(averaged) > 0


def test_distance_is_euclidean():
    source = batch_norm_generator()
    average = averaging.Average(averaging.EMA(0.9), source)
    source.layers[1].kernel.assign_add(np.ones((4, 3)))
    assert average.distance() == pytest.approx(np.sqrt(12))


def test_under_mixed_precision_averages_stay_float32():
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = toy.gan(averages=[tg.EMA(0.999)])
    toy.fit(model, 2)
    assert {w.dtype for w in model.averages[0].shadow.weights} == {"float32"}
    raw = model.generator.weights[0].numpy()
    assert 0 < np.abs(model.averages[0].shadow.weights[0].numpy() - raw).max() < 1e-2


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"decay": 1.0}, r"decay 1.0: expected a number in \[0, 1\)"),
        ({"decay": -0.1}, "decay -0.1"),
        ({"decay": 0.9, "half_life": 10}, "give one of the two"),
        ({"decay": 0.9, "ramp": 0.0}, "EMA ramp 0.0"),
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
