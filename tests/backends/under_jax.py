# ruff: noqa: E402
"""Tests of the JAX engine, for a process of its own in which TensorFlow cannot be imported.

``KERAS_BACKEND=jax python -m pytest --noconftest tests/backends/under_jax.py``
"""

import dataclasses
import itertools
import re
import sys

sys.modules["tensorflow"] = None  # as where it is not installed

import jax
import keras
import numpy as np
import pytest
import toy

import tfgan_ema as tg
from tfgan_ema import checkpoint, data, runs
from tfgan_ema.cli import evaluate, export, sample, train
from tfgan_ema.engines import devices
from tfgan_ema.engines import jax as engine
from tfgan_ema.errors import UsageError
from tfgan_ema.lab.experiments import cells, images

CONFIG = """
from configs import base

def get_config():
    config = base.get_config()
    config.steps = 20
    config.batch_size = 8
    config.data.name = "ring"
    config.network = {"kind": "mlp", "g_hidden": (8,), "d_hidden": (8,)}
    config.penalties = {"r1": {"weight": 1.0, "interval": 2}}
    config.leak = {"beta": 0.5, "start_step": 5}
    config.checkpoint_every = config.sample_every = config.log_every = 10
    config.evaluate_every = 20
    config.evaluate.update(metrics=("modes",), samples=500)
    return config
"""


def model(**options):
    """State of every kind: averages, leak, optimizers, path length, spectral and batch norm."""
    return toy.gan(
        averages=[tg.EMA(0.9), tg.UniformAverage(start_step=1)],
        leak=tg.LeakyEMA(0.5, start_step=2),
        penalties=[tg.penalties.R1(1.0, interval=2), tg.penalties.PathLength(interval=2)],
        augment=[tg.InstanceNoise(0.1, steps=100)],
        num_classes=3,
        **options,
    )


def small(**options):
    """Two small perceptrons on points."""
    return toy.gan("mlp", averages=[tg.EMA(0.9)], leak=tg.LeakyEMA(0.5, start_step=2), **options)


def test_resume_is_bit_equal(tmp_path):
    whole = toy.fit(model(compiled={"steps_per_execution": 2}), 6)
    first = model()
    checkpoint.save(tmp_path, 3, first.state())  # the first state, to be overwritten
    toy.fit(first, 3)
    checkpoint.save(tmp_path, 3, first.state())
    second = model()
    assert checkpoint.restore(second, tmp_path) == second.steps_done == 3
    toy.assert_close(toy.fit(second, 3), whole, 0)


def test_eager_steps_agree_with_compiled_ones():
    states = [
        toy.fit(toy.gan("mlp", compiled={"run_eagerly": eager}), 1, chosen=toy.points())
        for eager in (True, False)
    ]
    toy.assert_close(*states, 1e-5)


def test_the_resident_loop_is_fit():
    points = toy.points()
    fitted = small()
    state = toy.fit(fitted, 8, chosen=points)
    batches = data.pipeline(points, 8, seed=1)
    table = jax.numpy.stack([batch for (batch,) in itertools.islice(batches, 8)])
    looped = small()
    logs = [looped.run(lambda step: table[step], steps) for steps in (3, 5)][-1]
    toy.assert_close(checkpoint.to_arrays(looped.state()), state, 1e-6)
    assert looped.steps_done == 8
    assert logs.keys() == {metric.name for metric in fitted.metrics}
    assert np.isfinite(list(logs.values())).all()


def test_finite_data_end_inside_an_execution():
    gan = small(compiled={"steps_per_execution": 4})
    batches = ((np.ones((8, 2), "float32"),) for _ in range(6))
    gan.fit(batches, verbose=0)
    assert gan.steps_done == 6
    assert all(np.isfinite(v.numpy()).all() for v in gan.state().values())


def test_steps_of_an_execution_are_one_program():
    one = toy.fit(small(), 7, chosen=toy.points())
    several = toy.fit(small(compiled={"steps_per_execution": 3}), 7, chosen=toy.points())
    toy.assert_close(several, one, 1e-6)


@pytest.mark.parametrize(
    ("backend", "shape", "bytes", "lengths"),
    [
        ("cpu", (8, 2), 2**20, [3, 3, 1]),
        ("cpu", (8, 4, 4, 3), 2**20, [1] * 7),  # convolutions are slow in loops
        ("gpu", (8, 4, 4, 3), 2**20, [3, 3, 1]),
        ("gpu", (8, 4, 4, 3), 2 * 8 * 4 * 4 * 3, [2, 2, 2, 1]),  # as many as fit
        ("gpu", (8, 4, 4, 3), 1, [1] * 7),
    ],
)
def test_batches_of_a_program(monkeypatch, backend, shape, bytes, lengths):
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    monkeypatch.setattr(engine, "STACK", bytes)
    batches = [(np.full(shape, i, "uint8"),) for i in range(7)]
    stacks = list(engine._stacks(iter(batches), 3))
    assert [len(stack) for stack in stacks] == lengths
    assert [batch[0].flat[0] for stack in stacks for batch in stack] == list(range(7))


def test_what_a_callback_assigns_stays():
    class Start(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if self.model.steps_done == 4:  # also the last batch of its epoch
                self.model.leak.start.assign(9)

    gan = small()
    toy.fit(gan, 4, chosen=toy.points(), callbacks=[Start()])
    assert int(gan.leak.start.value) == 9
    toy.fit(gan, 1, chosen=toy.points())
    assert (gan.steps_done, int(gan.leak.start.value)) == (5, 9)


def test_a_callback_adds_an_average_and_saves_it(tmp_path):
    gan = toy.gan("mlp")
    path = tmp_path / "ema_{step}.keras"
    callback = tg.EMACallback(0.5, save_to=path, every=3)
    toy.fit(gan, 3, chosen=toy.points(), callbacks=[callback])
    latent = np.ones((4, 2), "float32")
    saved = keras.models.load_model(tmp_path / "ema_3.keras")
    np.testing.assert_allclose(saved(latent), gan.generate(latent), atol=1e-6)
    assert np.abs(gan.sample(5) - gan.sample(5, average="raw")).max() > 0
    toy.fit(gan, 1, chosen=toy.points())


def test_a_gan_is_saved_whole_and_trains_on(tmp_path):
    gan = model(compiled={"steps_per_execution": 2})
    toy.fit(gan, 2)
    gan.save(tmp_path / "gan.keras")
    again = keras.models.load_model(tmp_path / "gan.keras")
    toy.assert_close(toy.fit(again, 2), toy.fit(gan, 2), 0)


def test_keras_callbacks_reach_both_players_and_restore_a_killed_run(tmp_path):
    def fit(gan, *more, epochs=4):
        slower = keras.callbacks.LearningRateScheduler(lambda epoch, rate: 0.5 * rate)
        backup = keras.callbacks.BackupAndRestore(tmp_path / "backup")
        chosen = [slower, backup, *more]
        gan.fit(toy.points(64).samples, batch_size=16, epochs=epochs, verbose=0, callbacks=chosen)
        return checkpoint.to_arrays(gan.state())

    def kill(epoch, logs):
        if epoch == 2:
            raise KeyboardInterrupt

    whole = small()
    expected = fit(whole)
    assert float(whole.d_optimizer.learning_rate) == pytest.approx(1e-3 / 16)
    with pytest.raises(KeyboardInterrupt):
        fit(small(), keras.callbacks.LambdaCallback(on_epoch_begin=kill))
    toy.assert_close(fit(small()), expected, 0)


def test_a_run_goes_on_by_the_same_call_and_keeps_snapshots(tmp_path):
    def fit(folder, *more):
        gan = toy.gan("mlp", averages=[tg.PowerEMA(0.1), tg.PowerEMA(0.2)])
        run = tg.Run(folder, log_every=4, checkpoint_every=4, sample_every=8, snapshot_every=4)
        rows = toy.points(64).samples
        gan.fit(rows, batch_size=8, epochs=2, verbose=0, callbacks=[run, *more])
        return gan

    class Kill(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if self.model.steps_done == 10:
                raise KeyboardInterrupt

    whole = fit(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path / "cut", Kill())
    again = fit(tmp_path / "cut")
    toy.assert_close(*(checkpoint.to_arrays(gan.state()) for gan in (again, whole)), 0)
    made = tg.posthoc.synthesise(tmp_path / "cut", sigma=0.1)
    average = tg.posthoc.add(again, "made", made, tmp_path)
    np.testing.assert_allclose(
        *(again.sample(9, average=name) for name in (average.name, 0)), atol=1e-5
    )


def test_all_ways_to_an_average_agree_and_leave_no_trace():
    gan, alone = (toy.gan(averages=[tg.EMA(0.9)]) for _ in range(2))
    latent = np.random.default_rng(0).normal(size=(70, 6)).astype("float32")
    images = np.zeros((8, 8, 8, 3), "float32")
    for _ in range(2):
        state = toy.fit(gan, 2)
        scores = gan.evaluate(images, batch_size=8, verbose=0)
        assert scores == gan.evaluate(images, batch_size=8, verbose=0)
        averaged = gan.generate(latent)
        np.testing.assert_allclose(np.asarray(gan(latent)), averaged, atol=1e-6)
        np.testing.assert_allclose(gan.predict(latent, verbose=0), averaged, atol=1e-5)
        assert np.abs(averaged - gan.generate(latent, average="raw")).max() > 1e-3
    toy.assert_close(state, toy.fit(alone, 4), 0)


def test_a_lazy_branch_is_not_run_and_may_assign():
    layer = keras.layers.BatchNormalization()
    layer.build((None, 2))
    runs_made = []

    def then():
        jax.debug.callback(lambda: runs_made.append(1))
        return layer(jax.numpy.ones((4, 2)), training=True).sum()

    for predicate, expected in ((False, 0.0), (True, 0.01)):
        engine.lazy(jax.numpy.array(predicate), then, lambda: jax.numpy.zeros(()))
        jax.effects_barrier()
        assert len(runs_made) == int(predicate)
        np.testing.assert_allclose(layer.moving_mean, [expected] * 2, rtol=1e-5)


def test_gradients_see_the_given_weights_and_are_differentiable():
    x = jax.numpy.array([[1.0, 2.0]])
    slope = jax.grad(lambda x: engine.input_gradient(lambda y: (y**3).sum(axis=1), x).sum())(x)
    np.testing.assert_allclose(slope, 6 * x)
    weight, other = keras.Variable(3.0), keras.Variable(0.0, trainable=False)

    def objective():
        other.assign(weight * 2)
        return weight * other, {"loss": weight.value}

    (gradient,), report = engine.gradients([objective, objective], [weight])
    assert float(gradient) == 12.0
    assert (float(other.value), float(report["loss"]), float(weight.value)) == (6.0, 3.0, 3.0)


def test_a_step_that_assigns_a_foreign_variable_is_refused():
    foreign = keras.Variable(0.0)
    gan = toy.gan("mlp", augment=[lambda images, draws: images + foreign.assign(1.0)])
    with pytest.raises(UsageError, match="which the model does not know"):
        toy.fit(gan, 1, chosen=toy.points())


def test_the_train_command(tmp_path, capsys):
    config, workdir = tmp_path / "tiny.py", tmp_path / "w"
    config.write_text(CONFIG)
    words = [f"--config={config}", f"--workdir={workdir}"]
    assert train.main(["tfgan-ema train", *words]) == 0
    assert list(checkpoint.checkpoints(workdir / "checkpoints")) == [10, 20]
    assert (workdir / "evaluation.csv").read_text().count("\n") == 3
    assert {"jax", "keras"} <= runs.read_run(workdir)["versions"].keys()
    out = tmp_path / "points.npy"
    assert sample.main(["sample", f"--workdir={workdir}", "--count=70", f"--out={out}"]) == 0
    assert np.load(out).shape == (70, 2)
    words = [f"--samples={workdir}", "--reference=ring", "--metrics=modes", "--count=500"]
    assert evaluate.main(["evaluate", *words]) == 0
    capsys.readouterr()
    assert export.main(["tfgan-ema", f"--workdir={workdir}", f"--out={tmp_path / 'm'}"]) == 2
    error = capsys.readouterr().err.strip()
    assert "a SavedModel under KERAS_BACKEND=jax: it needs TensorFlow" in error
    assert "\n" not in error


def test_features_are_not_rounded_to_tf32():
    def product(x):
        return jax.make_jaxpr(lambda x: x @ x)(x).eqns[0].params["precision"]

    x = np.ones((2, 2), np.float32)
    with devices.full_float32():
        assert {str(p) for p in product(x)} == {"HIGHEST"}
    assert product(x) is None


def test_an_experiment(tmp_path):
    """A cell without a leak and one that goes on from it, as `tfgan-ema reproduce` runs them."""
    plain, leaky = images.cells(["fashion_mnist"], "smoke")[:2]
    few = {"steps": 4, "every": 2, "curve": 20, "final": 40, "starts": [2, 4]}
    leak = {"leak": leaky.options["leak"] | {"start_step": 2}}
    wanted = [
        dataclasses.replace(plain, options=plain.options | few),
        dataclasses.replace(leaky, options=leaky.options | few | leak),
    ]
    found = cells.run(wanted, tmp_path, workers=1)
    steps = {name: {row["step"] for row in result["rows"]} for name, result in found.items()}
    assert steps == {plain.name: {2, 4}, leaky.name: {4}}
    assert all(row["distance"] > 0 for result in found.values() for row in result["rows"])
    assert re.fullmatch(r"JAX [\d.]+ on .+", cells.made_by(tmp_path, wanted[0]))


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda: devices.strategy("multiworker"), "several processes are for TensorFlow"),
        (lambda: devices.strategy("tpu"), "JAX sees no TPU here"),
        (lambda: devices.strategy("cpu", "10.0.0.1"), "finds its own TPUs"),
        (lambda: devices.strategy("single"), "unknown strategy 'single'"),
        (lambda: data.load("tfds:mnist"), "TFDS needs TensorFlow"),
        (lambda: __import__("tfgan_ema.interop.tfgan"), "TF-GAN needs TensorFlow"),
        (lambda: tg.export.load_generator("folder"), "a SavedModel under"),
    ],
)
def test_what_is_not_there_is_one_line(ask, message):
    with pytest.raises(UsageError, match=message) as error:
        ask()
    assert "\n" not in str(error.value)
