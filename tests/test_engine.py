"""One step is one step: for any number of replicas, steps per execution, with and without XLA."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
import toy

import tfgan_ema as tg
from tfgan_ema.engines import tensorflow as engine
from tfgan_ema.errors import UsageError
from tfgan_ema.latents import Draws


def everything(**options):
    """Spectral norm, R1, two averages, a leak from step 2 on, n_dis 2."""
    return {
        "loss": "hinge",
        "penalties": [tg.penalties.R1(1.0)],
        "averages": [tg.EMA(0.9), tg.UniformAverage(start_step=1)],
        "leak": tg.LeakyEMA(0.4, start_step=2),
        "n_dis": 2,
        "track_gradients": True,
    } | options


@pytest.fixture(scope="module")
def alone():
    """Five generator steps on one device."""
    return toy.fit(toy.gan(**everything()), 5)


def test_two_replicas_equal_one(alone, two_replicas):
    two = toy.gan(strategy=two_replicas, **everything())
    toy.assert_close(toy.fit(two, 5), alone, 1e-5)


def test_steps_per_execution_change_nothing(alone):
    many = toy.gan(compiled={"steps_per_execution": 4}, **everything())
    plain = toy.gan(**everything())
    toy.assert_close(toy.fit(many, 8), toy.fit(plain, 8), 0)


@pytest.mark.slow
def test_steps_per_execution_under_two_replicas(two_replicas):
    states = [
        toy.fit(toy.gan(strategy=two_replicas, compiled=compiled, **everything()), 4)
        for compiled in ({"steps_per_execution": 1}, {"steps_per_execution": 4})
    ]
    toy.assert_close(*states, 0)


def test_xla_agrees_with_the_plain_graph(alone):
    compiled = toy.gan(compiled={"jit_compile": True}, **everything())
    toy.assert_close(toy.fit(compiled, 5), alone, 1e-4)


def test_eager_agrees_with_the_graph():
    states = [
        toy.fit(toy.gan(compiled={"run_eagerly": eager}, **everything()), 3)
        for eager in (False, True)
    ]
    toy.assert_close(*states, 1e-5)


def test_xla_under_replicas_is_refused(two_replicas):
    with pytest.raises(UsageError, match="jit_compile=True under 2 replicas"):
        toy.gan(strategy=two_replicas, compiled={"jit_compile": True})


def test_finite_data_end_inside_an_execution():
    model = toy.gan("mlp", averages=[tg.EMA(0.5)], compiled={"steps_per_execution": 4})
    x = np.random.default_rng(0).normal(size=(6 * 8, 2)).astype("float32")
    model.fit(tf.data.Dataset.from_tensor_slices(x).batch(8, drop_remainder=True), verbose=0)
    assert model.steps_done == 6


@pytest.mark.slow
@pytest.mark.parametrize("update", ["simultaneous", "g_first"])
def test_other_orders_under_two_replicas(update, two_replicas):
    options = {
        "update_order": update,
        "averages": [tg.EMA(0.9)],
        "leak": tg.LeakyEMA(0.5),
        "penalties": [tg.penalties.Consensus(0.5)] if update == "simultaneous" else [],
    }
    states = [toy.fit(toy.gan(strategy=s, **options), 4) for s in (None, two_replicas)]
    toy.assert_close(*states, 1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {"loss": "relativistic_average", "penalties": [tg.penalties.dragan(1.0, interval=2)]},
        {"loss": "relativistic_average_hinge", "leak": tg.LeakyEMA(0.5, mode="same_top_k")},
        {"loss": "gan_qp", "augment": [tg.InstanceNoise(0.3, steps=10)]},
        {"loss": "wasserstein", "penalties": [tg.penalties.wgan_gp()], "top_k": "half"},
        {"penalties": [tg.penalties.PathLength(interval=2), tg.penalties.Orthogonal(0.01)]},
    ],
    ids=lambda options: "-".join(options),
)
def test_methods_under_two_replicas(options, two_replicas):
    if "top_k" in options:
        options["top_k"] = tg.mixing.TopK(0.5, decay=0.5, every=1)
    states = []
    for chosen in (None, two_replicas):
        fresh = dict(options)
        if "leak" in options:
            fresh["leak"] = tg.LeakyEMA(0.5, mode="same_top_k")
        if any(p.name == "path_length" for p in options.get("penalties", [])):
            with chosen.scope() if chosen else tf.init_scope():
                fresh["penalties"] = [tg.penalties.PathLength(shrink=1, interval=2)]
        states.append(toy.fit(toy.gan("mlp", strategy=chosen, **fresh), 4, chosen=toy.points()))
    toy.assert_close(*states, 1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [4, 64])
@pytest.mark.parametrize(
    "loss",
    [
        "relativistic_average",
        "relativistic_average_least_squares",
        "relativistic_average_hinge",
    ],
)
def test_batch_means_are_over_the_global_batch(loss, batch_size, two_replicas):
    states = [
        toy.fit(
            toy.gan("mlp", strategy=s, loss=loss), 2, chosen=toy.points(), batch_size=batch_size
        )
        for s in (None, two_replicas)
    ]
    toy.assert_close(*states, 1e-5)


@pytest.mark.parametrize("clip", [{"global_clipnorm": 0.05}, {"clipnorm": 0.02}])
def test_clipping_is_of_the_whole_gradient(clip, two_replicas):
    states = []
    for chosen in (None, two_replicas):
        model = toy.gan("mlp", strategy=chosen)
        with chosen.scope() if chosen else tf.init_scope():
            model.compile(*(keras.optimizers.SGD(0.5, **clip) for _ in range(2)))
        states.append(toy.fit(model, 4, chosen=toy.points()))
    toy.assert_close(*states, 1e-5)


def test_accumulated_gradients_equal_one_large_batch():
    options = {"loss": "hinge", "penalties": [tg.penalties.R1(1.0)], "averages": [tg.EMA(0.9)]}
    whole = toy.fit(toy.gan("mlp", **options), 4, chosen=toy.points())
    parts = toy.fit(toy.gan("mlp", accumulate=4, **options), 4, chosen=toy.points())
    toy.assert_close(parts, whole, 1e-5)


def test_draws_depend_on_seed_stream_and_step_alone():
    def draw(*key):
        seed, stream, step = key
        return Draws(seed, step).normal((4, 3), stream).numpy()

    first = draw(0, "a", 0)
    np.testing.assert_array_equal(first, draw(0, "a", tf.constant(0)))
    for other in (draw(1, "a", 0), draw(0, "b", 0), draw(0, "a", 1)):
        assert np.abs(first - other).min() > 0


def test_draws_are_the_same_under_xla_and_have_the_right_moments():
    def draw():
        shape = (1 << 16, 4)
        return (
            Draws(3, 5).normal(shape, "a"),
            Draws(3, 5).uniform(shape, "b"),
            Draws(3, 5).integers(shape, 10, "c"),
        )

    plain = [x.numpy() for x in tf.function(draw)()]
    compiled = [x.numpy() for x in tf.function(draw, jit_compile=True)()]
    for one, other in zip(plain, compiled, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-6)
    z, u, k = plain
    assert scipy.stats.kstest(z.ravel(), "norm").pvalue > 1e-3
    assert scipy.stats.kstest(u.ravel(), "uniform").pvalue > 1e-3
    assert scipy.stats.chisquare(np.bincount(k.ravel())).pvalue > 1e-3
    assert abs(np.corrcoef(z.T) - np.eye(4)).max() < 0.02


def test_input_gradient_is_differentiable():
    x = tf.constant([[1.0, 2.0]])
    with tf.GradientTape() as tape:
        tape.watch(x)
        slope = engine.input_gradient(lambda y: tf.reduce_sum(y**3, axis=1), x)
        total = tf.reduce_sum(slope)
    np.testing.assert_allclose(slope, 3 * x**2)
    np.testing.assert_allclose(tape.gradient(total, x), 6 * x)


WORKER = """
import os, sys
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import numpy as np, tensorflow as tf
strategy = tf.distribute.MultiWorkerMirroredStrategy()
import test_engine, toy
state = toy.fit(toy.gan(strategy=strategy, **test_engine.everything()), 5)
if strategy.cluster_resolver.task_id == 0:
    np.savez(sys.argv[1], **state)
"""


def _free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@pytest.mark.slow
def test_two_workers_equal_one_device(alone, tmp_path):
    workers = [f"127.0.0.1:{_free_port()}" for _ in range(2)]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent), "WORKER_OF_A_TEST": "1"}
    processes = []
    for index in range(2):
        cluster = {"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}}
        processes.append(
            subprocess.Popen(
                [sys.executable, "-c", WORKER, str(tmp_path / "state.npz")],
                env=environment | {"TF_CONFIG": json.dumps(cluster)},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )
    outputs = [process.communicate(timeout=300)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs[0][-3000:]
    with np.load(tmp_path / "state.npz") as file:
        toy.assert_close(dict(file), alone, 1e-5)
