"""Averages of models that are no GANs."""

import re
from pathlib import Path

import keras
import numpy as np
import pytest

import tfgan_ema as tg
from tfgan_ema.errors import UsageError

PAGE = Path(__file__).parents[1] / "docs" / "classifiers.md"


def classifier(norm=True):
    keras.utils.set_random_seed(0)
    norms = [keras.layers.BatchNormalization(momentum=0.5)] if norm else []
    layers = [keras.Input((4,)), keras.layers.Dense(6), *norms, keras.layers.Dense(2)]
    model = keras.Sequential(layers)
    model.compile("sgd", keras.losses.MeanSquaredError())
    return model


@pytest.fixture
def inputs(rng):
    return rng.normal(2.0, 3.0, (64, 4)).astype("float32")


class Weights(keras.callbacks.Callback):
    """Keeps the trainable weights after each step."""

    def on_train_begin(self, logs=None):
        self.seen = []

    def on_train_batch_end(self, batch, logs=None):
        self.seen.append([np.array(w) for w in self.model.trainable_weights])


def fit(model, x, *callbacks, **options):
    return model.fit(x, x[:, :2], batch_size=16, verbose=0, shuffle=False, callbacks=callbacks,
                     **options)  # fmt: skip


def test_the_average_is_the_rules_and_training_stays_as_it_was(inputs):
    plain, model, seen = classifier(), classifier(), Weights()
    average = tg.AverageWeights(tg.UniformAverage(), inputs=inputs)
    fit(plain, inputs, epochs=2)
    history = fit(model, inputs, seen, average, epochs=2)
    for ours, others in zip(model.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, others)
    pairs = [pair for pair in average.average.pairs if pair[1].trainable]
    for (shadow, _), *steps in zip(pairs, *seen.seen, strict=True):
        np.testing.assert_allclose(shadow, np.mean(steps, axis=0), atol=1e-6)
    assert history.history["distance/uniform"][-1] == pytest.approx(average.average.distance())
    fit(model, inputs, average)
    assert average.step == 12  # it continues


def test_the_averaged_model_has_batch_statistics_of_its_own(inputs, tmp_path):
    model, path = classifier(), tmp_path / "averaged.keras"
    average = tg.AverageWeights(tg.EMA(0.5), inputs=inputs, save_to=path)
    fit(model, inputs, average, epochs=2)
    averaged = average.averaged_model()
    norm = averaged.layers[1]
    met = averaged.layers[0](inputs)
    means = np.array(met).reshape(16, 4, 6)  # sixteen batches
    np.testing.assert_allclose(norm.moving_mean, means.mean(1).mean(0), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(norm.moving_variance, means.var(1).mean(0), rtol=1e-3)
    assert np.abs(np.array(norm.moving_mean) - np.array(model.layers[1].moving_mean)).max() > 1e-3
    np.testing.assert_allclose(keras.models.load_model(path)(inputs), averaged(inputs), atol=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: fit(classifier(), np.ones((16, 4)), tg.AverageWeights(tg.EMA(0.9))), "inputs="),
        (lambda: tg.AverageWeights(tg.EMA(half_life=100)), "half-life"),
        (lambda: tg.AverageWeights(tg.EMA(0.9), save_to="a.h5"), ".keras"),
        (
            lambda: tg.AverageWeights(tg.EMA(0.9)).set_model(
                keras.Sequential([keras.layers.Dense(1)])
            ),
            "build it first",
        ),
        (lambda: tg.EMACallback(0.9).set_model(classifier()), "AverageWeights"),
    ],
)
def test_what_cannot_be_averaged_is_refused(make, message):
    with pytest.raises(UsageError, match=message):
        make()


def test_several_steps_in_one_execution_are_refused(inputs):
    model = classifier(norm=False)
    model.compile("sgd", "mse", steps_per_execution=2)
    with pytest.raises(UsageError, match="steps_per_execution 2"):
        fit(model, inputs, tg.AverageWeights(tg.EMA(0.9)))


@pytest.mark.slow
def test_the_example_of_the_page_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert len(code.splitlines()) <= 40
    found = {}
    exec(code.replace("EPOCHS = 20", "EPOCHS = 3"), found)
    assert len(found["curves"]) == 3
    assert found["curves"][-1][1] > 0.5
    assert (tmp_path / "averaged.keras").exists()
