"""The GAN as a user meets it: fit, sample, discriminate, evaluate, refusals."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import toy
from keras import ops

import tfgan_ema as tg
from tfgan_ema import batch_statistics, data, teacher
from tfgan_ema.errors import UsageError


@pytest.fixture(scope="module")
def trained():
    model = toy.gan(averages=[tg.EMA(0.5), tg.UniformAverage()], loss="hinge")
    toy.fit(model, 4)
    return model


@pytest.fixture(scope="module")
def conditional():
    model = toy.gan(averages=[tg.EMA(0.5)], leak=tg.LeakyEMA(0.5), num_classes=3, n_dis=2)
    toy.fit(model, 3)
    return model


def test_samples_are_a_function_of_weights_and_seed(trained):
    one = trained.sample(70, seed=3)
    assert one.shape == (70, 8, 8, 3)
    assert one.dtype == np.uint8
    np.testing.assert_array_equal(one, trained.sample(70, seed=3))
    np.testing.assert_array_equal(one[:64], trained.sample(64, seed=3))
    assert (one != trained.sample(70, seed=4)).mean() > 0.5
    assert trained.sample(0).shape == (0, 8, 8, 3)


def test_averages_are_told_apart(trained):
    sets = [trained.sample(16, average=a).astype(int) for a in ("raw", 0, 1)]
    for i in range(3):
        for j in range(i):
            assert np.abs(sets[i] - sets[j]).max() > 0
    latent = np.random.default_rng(0).normal(size=(5, 6)).astype("float32")
    images = trained.ready_generator(0)(latent, training=False)
    np.testing.assert_array_equal(trained.generate(latent, average=0), images)


def test_truncation_narrows_the_samples(trained):
    spread = [
        trained.sample(256, truncation=t).astype(float).std(axis=0).mean() for t in (0.1, 1.0, None)
    ]
    assert spread[0] < spread[1] < spread[2]


def test_discriminate_takes_bytes_and_floats(trained):
    images = trained.sample(70)
    logits = trained.discriminate(images)
    assert logits.shape == (70,)
    np.testing.assert_allclose(
        logits, trained.discriminate(images.astype("float32") / 127.5 - 1), rtol=1e-5, atol=1e-6
    )


def test_labels_reach_both_networks(conditional):
    zeros, ones = (conditional.sample(8, labels=[c] * 8).astype(int) for c in (0, 1))
    assert np.abs(zeros - ones).max() > 0
    images = conditional.sample(8)
    assert (conditional.discriminate(images, [0] * 8) != conditional.discriminate(
        images, [2] * 8)).all()  # fmt: skip
    drawn = conditional.sample(300, seed=1)
    np.testing.assert_array_equal(drawn, conditional.sample(300, seed=1))


def test_evaluation_uses_averaged_weights_and_repeats_itself(trained):
    batches = data.pipeline(toy.source(), 8, seed=2).take(3)
    first = trained.evaluate(batches, verbose=0, return_dict=True)
    assert first == trained.evaluate(batches, verbose=0, return_dict=True)
    raw, mean = trained.generator.get_weights(), trained.averages[0].shadow.get_weights()
    trained.averages[0].shadow.set_weights(raw)
    trained.weights_were_set()
    other = trained.evaluate(batches, verbose=0, return_dict=True)
    trained.averages[0].shadow.set_weights(mean)
    trained.weights_were_set()
    assert other["fake_logit"] != first["fake_logit"]
    assert other["real_logit"] == first["real_logit"]
    assert {"d_loss", "g_loss", "d_accuracy"} <= first.keys()


def test_validation_data_in_fit_changes_nothing():
    states = []
    for validation in (None, data.pipeline(toy.source(), 8, seed=2).take(2)):
        model = toy.gan(averages=[tg.EMA(0.5)])
        batches = data.pipeline(toy.source(), 8, seed=1)
        history = model.fit(
            batches, steps_per_epoch=2, epochs=2, validation_data=validation, verbose=0
        )
        states.append(tg.checkpoint.to_arrays(model.state()))
    toy.assert_close(*states, 0)
    assert "val_d_loss" in history.history


def test_history_holds_losses_penalties_and_gradient_norms():
    model = toy.gan(penalties=[tg.penalties.R1(1.0)], track_gradients=True)
    history = model.fit(data.pipeline(toy.source(), 8, seed=1), steps_per_epoch=3, verbose=0)
    expected = {
        "d_loss", "g_loss", "real_logit", "fake_logit", "d_accuracy", "r1",
        "d_gradient_norm", "g_gradient_norm",
    }  # fmt: skip
    assert set(history.history) == expected
    assert all(np.isfinite(value[0]) for value in history.history.values())


def test_gradient_norm_is_the_gradients_norm():
    model = toy.gan("mlp", track_gradients=True)
    before = [w.numpy().copy() for w in model.generator.trainable_weights]
    model.compile(keras.optimizers.SGD(0.0), keras.optimizers.SGD(1.0))
    logs = model.fit(data.pipeline(toy.points(), 8, seed=1), steps_per_epoch=1, verbose=0).history
    moved = [a - w.numpy() for a, w in zip(before, model.generator.trainable_weights, strict=True)]
    norm = np.sqrt(sum((m.astype(float) ** 2).sum() for m in moved))
    assert logs["g_gradient_norm"][0] == pytest.approx(norm, rel=1e-4)


def test_leak_before_its_start_changes_nothing_and_runs_nothing():
    calls = []

    @keras.saving.register_keras_serializable("tests")
    class Counted(keras.layers.Layer):
        def call(self, x):
            if not self.trainable:  # an average's copy
                tf.py_function(lambda: calls.append(1), [], [])
            return x

    def counted(**options):
        keras.utils.set_random_seed(0)
        z = keras.Input((3,))
        generator = keras.Model(z, Counted()(keras.layers.Dense(2)(z)))
        x = keras.Input((2,))
        model = tg.GAN(generator, keras.Model(x, keras.layers.Dense(1)(x)), latent=3, **options)
        model.compile()
        return model

    states = []
    for leak in (None, tg.LeakyEMA(0.5, start_step=3)):
        model = counted(averages=[tg.EMA(0.5)], leak=leak)
        states.append(toy.fit(model, 3, chosen=toy.points()))
    states[1].pop("leak/000/start")
    toy.assert_close(*states, 0)
    assert not calls
    toy.fit(model, 2, chosen=toy.points())
    assert len(calls) == 2


def test_a_leaking_average_goes_by_statistics_of_its_own(monkeypatch):
    """From its start on, every so many steps, those of the reference batch; until then copies."""
    monkeypatch.setattr(teacher, "REFRESH", 2)
    model = toy.gan(averages=[tg.EMA(0.9), tg.EMA(0.5)], leak=tg.LeakyEMA(0.5, start_step=2))
    average = model.averages[0].shadow

    draws = tg.latents.Draws(model.seed, 0, "reference/")
    reference = model.latent.draw(teacher.REFERENCE, draws)

    def own():
        return batch_statistics.of_batch(average, lambda: average(reference, training=True))

    def stored(generator):
        return [ops.convert_to_numpy(v) for v in batch_statistics.variables(generator)]

    for step in range(6):
        before, expected = stored(average), [ops.convert_to_numpy(v) for v in own()]
        toy.fit(model, 1)
        if step < 2:
            expected = stored(model.generator)
        elif step % 2:
            expected = before
        toy.assert_close(dict(enumerate(stored(average))), dict(enumerate(expected)), 1e-5)
        assert not np.allclose(stored(average)[0], stored(model.averages[1].shadow)[0]) or step < 2


def test_statistics_are_estimated_once_for_the_same_weights(monkeypatch):
    model = toy.gan(averages=[tg.EMA(0.9)])
    toy.fit(model, 2)
    calls, estimate = [], batch_statistics.standing
    monkeypatch.setattr(
        batch_statistics, "standing", lambda *args: calls.append(args) or estimate(*args)
    )
    variables = [id(v) for v in model.variables]
    first = model.sample(4, 1)
    np.testing.assert_array_equal(model.sample(4, 1), first)
    assert [id(v) for v in model.variables] == variables  # Keras tracks what a model holds
    latent = np.ones((3, 6), "float32")
    images = model.generate(latent)
    np.testing.assert_allclose(model.predict(latent, verbose=0), images, atol=1e-6)
    assert len(calls) == 1
    model.sample(4, 1, average="raw")
    toy.fit(model, 1)
    assert (model.sample(4, 1) != first).any()
    assert len(calls) == 2


def test_same_latents_for_fakes_and_leak():
    """Where the average is the generator itself, sync leaks exactly the fakes."""
    model = toy.gan("mlp", averages=[tg.EMA(0.0)], leak=tg.LeakyEMA(0.5))
    seen = []
    original = model.discriminator_objective

    def spy(real, fake, draws):
        seen.append((real.images, fake.images))
        return original(real, fake, draws)

    model.discriminator_objective = spy
    model.compile(run_eagerly=True)
    toy.fit(model, 1, chosen=toy.points())
    real, fake = (x.numpy() for x in seen[0])
    leaked = (real == fake).all(axis=1)
    assert leaked.sum() == 4


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"update_order": "both"}, "update_order 'both'"),
        ({"n_dis": 0}, "n_dis 0"),
        ({"leak": "leak"}, "follows average 0, but the GAN has none"),
        ({"num_classes": 3}, "num_classes 3 with a generator of 1"),
        ({"update_order": "simultaneous", "n_dis": 2}, "both players move once"),
        ({"penalties": "consensus"}, "use update_order='simultaneous'"),
        ({"penalties": "twice"}, "two penalties are named 'r1'"),
        ({"averages": "twice"}, "two averages are named 'ema_0.9'"),
        ({"loss": "hing"}, "did you mean 'hinge'"),
    ],
)
def test_parts_that_do_not_fit_are_refused(options, words):
    made = {
        "leak": {"leak": lambda: tg.LeakyEMA(0.5)},
        "penalties": {
            "consensus": lambda: [tg.penalties.Consensus()],
            "twice": lambda: [tg.penalties.R1(), tg.penalties.R1()],
        },
        "averages": {"twice": lambda: [tg.EMA(0.9), tg.EMA(0.9)]},
    }
    options = {k: made[k][v]() if k in made and v in made[k] else v for k, v in options.items()}
    pair = toy.zoo.build("mlp", g_hidden=(4,), d_hidden=(4,))
    with pytest.raises(UsageError, match=words) as error:
        tg.GAN(*pair, latent=2, **options)
    assert "\n" not in str(error.value)


def test_batches_that_do_not_fit_are_refused():
    model = toy.gan("mlp", n_dis=3)
    with pytest.raises(UsageError, match="steps of 8 rows for n_dis 3"):
        model.fit(data.pipeline(toy.points(), 8, seed=0), steps_per_epoch=1, verbose=0)
    labelled = tf.data.Dataset.from_tensors((np.zeros((6, 2), "float32"), np.zeros(6, "int32")))
    with pytest.raises(UsageError, match="batches with labels for num_classes None"):
        model.fit(labelled.repeat(), steps_per_epoch=1, verbose=0)


def test_bad_requests_for_samples_are_refused(trained, conditional):
    for request, words in [
        (lambda: trained.sample(-1), "count -1"),
        (lambda: trained.sample(4, average=5), "average 5: expected an index"),
        (lambda: trained.sample(4, truncation=-1.0), "truncation -1.0"),
        (lambda: trained.sample(4, labels=[0] * 4), "unconditional"),
        (lambda: conditional.sample(4, labels=[0] * 3), r"labels of shape \(3,\)"),
        (lambda: conditional.sample(4, labels=[3] * 4), "expected 0 to 2"),
    ]:
        with pytest.raises(UsageError, match=words):
            request()


@pytest.mark.parametrize(
    "options",
    [
        {"loss": "hinge", "num_classes": 3, "n_dis": 2},
        *(
            pytest.param(options, marks=pytest.mark.slow)
            for options in (
                {"loss": "relativistic_average", "penalties": [tg.penalties.R1(1.0)]},
                {"loss": "wasserstein", "penalties": [tg.penalties.wgan_gp()], "accumulate": 2},
                {"update_order": "simultaneous", "penalties": [tg.penalties.Consensus(0.1)]},
                {
                    "top_k": tg.mixing.TopK(0.5, decay=0.5, every=1),
                    "augment": [tg.InstanceNoise(0.3)],
                },
            )
        ),
    ],
    ids=lambda options: "-".join(options),
)
def test_real_and_fake_in_one_call_change_nothing(options):
    """The same training as with a call for each, with fewer calls."""
    states, calls = [], []
    for together in (True, False):
        leak = tg.LeakyEMA(0.5, start_step=1)
        model = toy.gan(averages=[tg.EMA(0.9)], leak=leak, track_gradients=True, **options)
        assert model.players._rows_are_independent
        model.players._rows_are_independent = together
        rows = []
        original = model.players.logits
        model.players.logits = lambda images, *args, rows=rows, original=original, **kwargs: (
            rows.append(images.shape[0]) or original(images, *args, **kwargs)
        )
        state = toy.fit(model, 4)
        logs = {metric.name: np.array(metric.result()) for metric in model.metrics}
        states.append(state | logs)
        calls.append(rows)
    toy.assert_close(*states, 1e-5)
    assert sum(calls[0]) == sum(calls[1])
    assert len(calls[1]) - len(calls[0]) == options.get("n_dis", 1) * options.get("accumulate", 1)
