"""Every public method of `keras.Model`, called on a GAN as a Keras user would: docs/keras.md."""

import inspect
import re
from pathlib import Path

import keras
import numpy as np
import pytest
import toy

import tfgan_ema as tg
from tfgan_ema.errors import UsageError

DOCS = Path(__file__).parents[1] / "docs" / "keras.md"
LATENT = np.zeros((3, 6), "float32")


@pytest.fixture(scope="module")
def gan():
    model = toy.gan(averages=[tg.EMA(0.9)])
    model.fit(np.zeros((16, 8, 8, 3), "uint8"), batch_size=8, verbose=0)
    return model


def test_predict_on_batch_is_predict(gan):
    np.testing.assert_array_equal(gan.predict_on_batch(LATENT), gan.predict(LATENT, verbose=0))


def test_a_symbolic_call_has_the_shape_of_the_samples(gan):
    assert gan(keras.KerasTensor((None, 6))).shape == (None, 8, 8, 3)
    assert gan.symbolic_call(keras.KerasTensor((None, 6))).shape == (None, 8, 8, 3)
    assert gan.compute_output_spec(keras.KerasTensor((None, 6))).shape == (None, 8, 8, 3)
    assert gan.compute_output_shape((None, 6)) == (None, 8, 8, 3)


def test_a_stateless_call_takes_the_values_of_variables(gan):
    values = [
        [v.value for v in group] for group in (gan.trainable_variables, gan.non_trainable_variables)
    ]
    images, _ = gan.stateless_call(*values, LATENT)
    np.testing.assert_allclose(images, gan(LATENT), atol=1e-6)


def test_weights_are_read_and_set(gan, tmp_path):
    before = gan.get_weights()
    gan.save_weights(tmp_path / "a.weights.h5")
    gan.set_weights([0 * weight for weight in before])
    assert gan.sample(2).min() == gan.sample(2).max()  # the average's bias is 0, too
    gan.load_weights(tmp_path / "a.weights.h5")
    for one, other in zip(gan.get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_a_model_says_of_itself(gan):
    lines = []
    gan.summary(print_fn=lambda line, **_: lines.append(line))
    assert "discriminator" in "".join(lines)
    assert gan.count_params() == sum(weight.size for weight in gan.get_weights())
    assert gan.get_layer("discriminator") is gan.discriminator
    assert gan.get_layer("generator") is gan.generator
    assert gan.metrics_names[:2] == ["d_loss", "g_loss"]
    assert set(gan.get_metrics_result()) == set(gan.metrics_names)


def test_metrics_start_anew(gan):
    gan.test_on_batch(np.zeros((4, 8, 8, 3), "uint8"))
    gan.reset_metrics()
    assert not any(float(value) for value in gan.get_metrics_result().values())


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda m: m.compute_loss(LATENT, LATENT, LATENT), "evaluate gives the losses"),
        (lambda m: m.stateless_compute_loss([], [], []), "evaluate gives the losses"),
        (lambda m: m.compute_loss_and_updates([], [], []), "evaluate gives the losses"),
        (lambda m: m.add_loss(1.0), "write a penalty"),
        (lambda m: m.add_metric(1.0), "write a penalty"),
        (lambda m: m.get_state_tree(), r"use state\(\)"),
        (lambda m: m.set_state_tree({}), r"use state\(\)"),
        (lambda m: m.quantize("int8"), "its players train"),
        (lambda m: m.compile(loss="mse"), "a GAN takes d_optimizer= and g_optimizer="),
        (lambda m: m.compile(metrics=["mse"]), "a GAN takes d_optimizer= and g_optimizer="),
    ],
)
def test_what_a_gan_has_no_use_for_is_one_line(gan, call, words):
    with pytest.raises(UsageError, match=words) as error:
        call(gan)
    assert "\n" not in str(error.value)


def public_names():
    """Methods and properties that `keras.Model` documents, and the callbacks."""
    names = {name for name in dir(keras.Model) if not name.startswith("_")}
    callbacks = {
        name
        for name, value in vars(keras.callbacks).items()
        if inspect.isclass(value) and issubclass(value, keras.callbacks.Callback)
    }
    return names | callbacks


def test_the_table_of_the_docs_names_every_method_and_callback():
    rows = [line for line in DOCS.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    named = set(re.findall(r"`(\w+)[`(]", " ".join(row.split("|")[1] for row in rows)))
    assert public_names() - named == set()


def test_the_tests_that_the_table_names_exist():
    text = DOCS.read_text(encoding="utf-8")
    for file, name in re.findall(r"`(test_\w+)\.py::(test_\w+)`", text):
        source = (Path(__file__).parent / f"{file}.py").read_text(encoding="utf-8")
        assert f"def {name}(" in source, f"{file}::{name}"
