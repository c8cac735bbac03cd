"""Optimizers against transcriptions of the papers, known games and closed forms."""

import keras
import ml_collections
import numpy as np
import pytest
import tensorflow as tf
import toy

from tfgan_ema import optimizers
from tfgan_ema.errors import UsageError


def descend(optimizer, gradient, start, steps, xla=True, last=1):
    """Runs the optimizer inside one compiled loop on ``gradient(p)``.

    Returns the ``last`` positions of the run, [last, *start.shape].
    """
    p = keras.Variable(np.asarray(start, "float32"))
    optimizer.build([p])

    @tf.function(jit_compile=xla)
    def run():
        def body(step, path):
            optimizer.apply([gradient(p.value, step)], [p])
            return step + 1, tf.concat([path[1:], p.value[None]], axis=0)

        path = tf.zeros([last, *p.shape])
        return tf.while_loop(lambda step, _: step < steps, body, [tf.constant(0), path])[1]

    return run().numpy()


# --- optimistic descent --------------------------------------------------------------------------


def algorithm_1(gradients, start, lr, beta_1, beta_2, epsilon=1e-8):
    """Optimistic Adam as in Daskalakis et al. 2018, in float64."""
    p, m, v, path = np.array(start), np.zeros_like(start), np.zeros_like(start), []
    last = np.zeros_like(start)
    for t, g in enumerate(gradients, start=1):
        m = beta_1 * m + (1 - beta_1) * g
        v = beta_2 * v + (1 - beta_2) * g**2
        m_hat, v_hat = m / (1 - beta_1**t), v / (1 - beta_2**t)
        direction = m_hat / (np.sqrt(v_hat) + epsilon)
        p = p - 2 * lr * direction + lr * last
        last = direction
        path.append(p)
    return np.array(path)


@pytest.mark.parametrize("xla", [False, True])
@pytest.mark.parametrize(
    "options",
    [{}, {"beta_1": 0.0, "beta_2": 0.9}, {"epsilon": 0.1}, {"amsgrad": True}, {"clipnorm": 0.5}],
)
def test_adam_is_keras_own(options, xla):
    def gradient(p, step):
        return tf.sin(tf.cast(step, "float32") + p)

    paths = [
        descend(kind(0.05, **options), gradient, np.linspace(-2, 2, 7), 60, xla, last=60)
        for kind in (optimizers.Adam, keras.optimizers.Adam)
    ]
    np.testing.assert_allclose(*paths, rtol=1e-5, atol=1e-6)
    assert np.ptp(paths[0], axis=0).max() > 0.05


def test_keras_keeps_its_slots_where_adam_looks():
    p, optimizer = keras.Variable(np.zeros(3, "float32")), optimizers.Adam()
    optimizer.build([p])
    line = "Adam.update_step in tfgan_ema/optimizers.py looks for the slots there"
    assert optimizer._get_variable_index(p) == 0, line
    for slots in (optimizer._momentums, optimizer._velocities):
        assert any(slots[0] is each for each in optimizer.variables), line


@pytest.mark.parametrize("xla", [False, True])
@pytest.mark.parametrize("betas", [(0.9, 0.999), (0.5, 0.9), (0.0, 0.99)])
def test_optimistic_adam_is_algorithm_1(betas, xla):
    rng = np.random.default_rng(0)
    gradients = (rng.normal(size=(100, 6)) * 10.0 ** np.arange(-3, 3)).astype("float32")
    start = np.linspace(-0.5, 0.5, 6, dtype="float32")
    expected = algorithm_1(gradients.astype("float64"), start.astype("float64"), 1e-3, *betas)
    optimizer = optimizers.OptimisticAdam(1e-3, *betas)
    table = tf.constant(gradients)
    got = descend(optimizer, lambda p, step: table[step], start, steps=100, xla=xla, last=100)
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-6)


def test_optimistic_sgd_is_two_gradients_less_the_last():
    gradients = np.random.default_rng(1).normal(size=(30, 4)).astype("float32")
    before = np.concatenate([np.zeros((1, 4)), gradients[:-1]])
    expected = 0.5 - np.cumsum(0.1 * (2 * gradients - before), axis=0)
    table = tf.constant(gradients)
    optimizer = optimizers.OptimisticSGD(0.1)
    got = descend(optimizer, lambda p, step: table[step], [0.5] * 4, steps=30, last=30)
    np.testing.assert_allclose(got, expected, atol=1e-6)


def bilinear(p, step):
    """The vector field of min over x, max over y of x y: both players descend at once."""
    return tf.stack([p[1], -p[0]])


@pytest.mark.parametrize(("name", "radius"), [("adam", 0.089), ("optimistic_adam", 0.024)])
def test_adams_settle_around_the_bilinear_equilibrium(name, radius):
    optimizer = optimizers.get({"kind": name, "learning_rate": 0.01, "beta_1": 0, "beta_2": 0.9})
    path = descend(optimizer, bilinear, [1.0, 1.0], steps=20_000, last=1000)
    distance = np.linalg.norm(path, axis=1)
    assert distance.mean() == pytest.approx(radius, rel=0.03)
    assert distance.std() < 0.05 * radius  # neither converges nor wanders


def test_optimism_turns_divergence_into_convergence():
    def end(name):
        optimizer = optimizers.get({"kind": name, "learning_rate": 0.1})
        return np.linalg.norm(descend(optimizer, bilinear, [1.0, 1.0], steps=1000)[-1])

    # Descent multiplies the radius by sqrt(1 + lr^2) a step.
    assert end("sgd") == pytest.approx(np.sqrt(2) * 1.01**500, rel=1e-3)
    # Optimistic descent by the largest root of z^2 - (1 + 2 i lr) z + i lr.
    decay = np.abs(np.roots([1, -(1 + 0.2j), 0.1j])).max()
    assert end("optimistic_sgd") == pytest.approx(np.sqrt(2) * decay**1000, rel=0.1)
    assert decay < 1


OURS = [optimizers.Adam, optimizers.OptimisticAdam, optimizers.OptimisticSGD]


@pytest.mark.parametrize("kind", OURS)
def test_two_replicas_take_the_steps_of_one(kind, two_replicas):
    data = np.random.default_rng(3).normal(size=(5, 2, 3)).astype("float32")

    def train(strategy):
        with strategy.scope():
            p, optimizer = keras.Variable(np.ones(3, "float32")), kind(0.05)
            optimizer.build([p])

        @tf.function
        def step(rows):
            def replica():
                context = tf.distribute.get_replica_context()
                share = 2 // context.num_replicas_in_sync
                first = context.replica_id_in_sync_group * share
                with tf.GradientTape() as tape:
                    loss = tf.reduce_sum((p.value - rows[first : first + share]) ** 4) / 2
                optimizer.apply([tape.gradient(loss, p.value)], [p])

            strategy.run(replica)

        for rows in data:
            step(tf.constant(rows))
        return [strategy.experimental_local_results(v.value) for v in (p, *optimizer.variables)]

    one = train(tf.distribute.get_strategy())
    two = train(two_replicas)
    assert len(two[0]) == 2
    for (expected,), got in zip(one, two, strict=True):
        for copy in got:
            np.testing.assert_allclose(copy, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", OURS)
def test_variables_are_the_whole_state(kind):
    gradients = np.random.default_rng(4).normal(size=(9, 2)).astype("float32")

    def fresh(values=(1.0, -1.0)):
        p, optimizer = keras.Variable(np.array(values, "float32")), kind(0.1)
        optimizer.build([p])
        return p, optimizer

    def advance(p, optimizer, rows):
        for row in rows:
            optimizer.apply([tf.constant(row)], [p])

    straight, optimizer = fresh()
    advance(straight, optimizer, gradients)

    first, interrupted = fresh()
    advance(first, interrupted, gradients[:4])
    second, resumed = fresh(first.numpy())
    for mine, saved in zip(resumed.variables, interrupted.variables, strict=True):
        mine.assign(saved)
    advance(second, resumed, gradients[4:])
    np.testing.assert_array_equal(second, straight)


@pytest.mark.parametrize("name", optimizers.names())
def test_every_optimizer_survives_serialisation(name):
    optimizer = optimizers.get(
        {
            "kind": name, "learning_rate": 0.25, "clipnorm": 2.0, "decay_steps": 90,
            "decay_start": 10, "decay_end": 0.05, "warm_up_steps": 5,
        }
    )  # fmt: skip
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(optimizer))
    assert type(again) is type(optimizer)
    assert again.get_config() == optimizer.get_config()
    assert again.clipnorm == 2
    field = tf.constant([3.0, -4.0])
    paths = [
        descend(each, lambda p, step: field * p, [1.0, 1.0], steps=30, xla=False, last=30)
        for each in (optimizer, again)
    ]
    np.testing.assert_array_equal(*paths)


# --- schedules -----------------------------------------------------------------------------------


@pytest.mark.parametrize("updates_per_step", [1, 5])
def test_schedule_of_a_configuration_counts_generator_steps(updates_per_step):
    optimizer = optimizers.get(
        {"kind": "sgd", "learning_rate": 0.5, "warm_up_steps": 2, "decay_steps": 8,
         "decay_start": 4, "decay_end": 0.1},
        updates_per_step=updates_per_step,
    )  # fmt: skip
    n = 10 * updates_per_step
    path = descend(optimizer, lambda p, step: tf.ones([1]), [0.0], steps=n, last=n)[:, 0]
    update = np.arange(n)
    expected = np.interp(update / updates_per_step, [4, 8], [0.5, 0.1])
    expected *= np.minimum(1, (update + 1) / (2 * updates_per_step))
    np.testing.assert_allclose(-np.diff(path, prepend=0), expected, atol=2e-6)


# --- configurations ------------------------------------------------------------------------------


def test_get_passes_options_on():
    optimizer = optimizers.get(
        ml_collections.ConfigDict(
            {"kind": "adam", "learning_rate": 1, "beta_1": 0.5, "clipnorm": None, "amsgrad": True}
        )
    )
    assert type(optimizer) is optimizers.Adam
    assert optimizer.get_config()["learning_rate"] == 1.0
    assert (optimizer.beta_1, optimizer.beta_2) == (0.5, 0.999)
    assert optimizer.clipnorm is None
    assert optimizer.amsgrad
    assert optimizers.get(optimizer) is optimizer
    assert type(optimizers.get("optimistic_adam")) is optimizers.OptimisticAdam


@pytest.mark.parametrize(
    ("clip", "step"),
    [
        ({}, [[3.0, 4.0], [0.0, 12.0]]),
        ({"clipvalue": 2.0}, [[2.0, 2.0], [0.0, 2.0]]),
        ({"clipnorm": 1.0}, [[0.6, 0.8], [0.0, 1.0]]),
        ({"global_clipnorm": 1.3}, [[0.3, 0.4], [0.0, 1.2]]),
    ],
)
def test_clipping(clip, step):
    optimizer = optimizers.get({"kind": "sgd", "learning_rate": 1, **clip})
    variables = [keras.Variable(np.zeros(2, "float32")) for _ in range(2)]
    optimizer.apply([tf.constant([3.0, 4.0]), tf.constant([0.0, 12.0])], variables)
    np.testing.assert_allclose([-v.numpy() for v in variables], step, rtol=1e-6)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ("adom", ["'adom'", "'adam'"]),
        ({"learning_rate": 0.1}, ["no kind", "optimistic_adam"]),
        ({"kind": "adam", "beta1": 0.5}, ["'beta1'", "'beta_1'"]),
        ({"kind": "adam", "gradient_accumulation_steps": 2}, ["gradient_accumulation_steps"]),
        ({"kind": "adam", "beta_1": 1}, ["beta_1=1", "[0, 1)"]),
        ({"kind": "adam", "beta_2": -0.1}, ["beta_2=-0.1", "[0, 1)"]),
        ({"kind": "rmsprop", "learning_rate": "fast"}, ["learning_rate='fast'", "number"]),
        ({"kind": "sgd", "learning_rate": float("nan")}, ["learning_rate=nan", "finite"]),
        ({"kind": "sgd", "nesterov": 1}, ["nesterov=1", "True or False"]),
        ({"kind": "adam", "decay_steps": 10.5}, ["decay_steps=10.5", "whole"]),
        ({"kind": "adam", "decay_start": 10}, ["decay_start", "need decay_steps"]),
        ({"kind": "adam", "decay_steps": 10, "decay_start": 10}, ["0 <= begin < steps"]),
        ({"kind": "adam", "clipnorm": 1, "clipvalue": 1}, ["'adam'", "Only one of"]),
    ],
)
def test_wrong_configurations_are_answered_in_one_line(config, words):
    with pytest.raises(UsageError) as caught:
        optimizers.get(config)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message


# --- lazy penalties ------------------------------------------------------------------------------


def test_lazy_rescaling_moves_and_forgets_as_before():
    config = {"kind": "adam", "learning_rate": 2e-3, "beta_1": 0.0, "beta_2": 0.99, "clipnorm": 1}
    scaled = optimizers.lazy_rescaled(config, 16)
    # Seventeen rescaled updates stand for sixteen.
    assert scaled["learning_rate"] * 17 == pytest.approx(2e-3 * 16)
    assert scaled["beta_2"] ** 17 == pytest.approx(0.99**16)
    assert scaled["beta_1"] == 0
    assert scaled["clipnorm"] == 1
    assert config["learning_rate"] == 2e-3
    optimizer = optimizers.get(scaled)
    assert optimizer.get_config()["learning_rate"] == pytest.approx(2e-3 * 16 / 17)
    assert optimizer.beta_2 == scaled["beta_2"]


def test_lazy_rescaling_knows_defaults_and_other_names_of_beta():
    assert optimizers.lazy_rescaled("adam", 1) == pytest.approx(
        {"kind": "adam", "learning_rate": 5e-4, "beta_1": 0.9**0.5, "beta_2": 0.999**0.5,
         "epsilon": 1e-7, "amsgrad": False}
    )  # fmt: skip
    assert optimizers.lazy_rescaled({"kind": "rmsprop", "rho": 0.81}, 1)["rho"] == 0.9


@pytest.mark.parametrize("interval", [0, 2.5, "16"])
def test_lazy_rescaling_refuses_a_broken_interval(interval):
    with pytest.raises(UsageError, match=r"interval .*>= 1"):
        optimizers.lazy_rescaled("adam", interval)


def test_a_name_alone_takes_the_rate_of_gans_or_none():
    model = toy.gan("mlp")
    model.compile("adam", "adam")
    assert float(model.g_optimizer.learning_rate) == pytest.approx(2e-4)
    assert model.d_optimizer.beta_1 == 0.5
    for options, words in (
        ({"g_optimizer": "rmsprop"}, "Keras's learning rate of 0.001, which few GANs bear"),
        ({"g_optimizer": "adamm"}, "did you mean 'adam'"),
        ({"optimizer": "adam"}, "a GAN takes d_optimizer= and g_optimizer="),
    ):
        with pytest.raises(UsageError, match=words) as error:
            model.compile(**options)
        assert "\n" not in str(error.value)
