"""Penalties against closed forms, finite differences and plain loops."""

import dataclasses
import functools
import itertools
import types

import keras
import numpy as np
import pytest
import scipy.special
import tensorflow as tf
import toy

from tfgan_ema import checkpoint, penalties
from tfgan_ema.adapt import Batch
from tfgan_ema.engines import tensorflow as engine
from tfgan_ema.errors import UsageError
from tfgan_ema.latents import Draws

N = 6


def inputs(forward, real=None, fake=None, *, network=None, logits=None, latent=None, step=0,
           fake_logits=None):  # fmt: skip
    """What a penalty sees; ``forward`` is a function of points alone."""

    def tensor(x):
        return None if x is None else tf.constant(x, tf.float32)

    return penalties.PenaltyInputs(
        network=network,
        forward=lambda x, labels: forward(x),
        real=Batch(tensor(real)),
        fake=Batch(tensor(fake), latent=tensor(latent)),
        real_logits=tensor(logits),
        fake_logits=tensor(fake_logits),
        draws=Draws(11, tf.constant(step), "test/"),
    )


@pytest.fixture(params=[(3,), (4, 4, 2)], ids=["points", "images"])
def clouds(request, rng):
    """Real and fake samples and the weight vector of a linear critic."""
    shape = request.param
    return (*rng.normal(size=(2, N, *shape)), rng.normal(size=np.prod(shape)))


def linear(weight):
    """D(x) = w.x + 1: its gradient is w everywhere."""
    return lambda x: tf.linalg.matvec(tf.reshape(x, (len(x), -1)), tf.cast(weight, x.dtype)) + 1.0


CENTRED = {
    "wgan_gp": (penalties.wgan_gp(3.0), 3.0, 1.0),
    "dragan": (penalties.dragan(3.0), 3.0, 1.0),
    "target": (penalties.GradientPenalty(2.0, points="fake", target=0.3), 2.0, 0.3),
    "real": (penalties.GradientPenalty(2.0, points="real"), 2.0, 1.0),
    "zero_centred": (penalties.zero_centred(3.0), 3.0, 0.0),
    "zero_dragan": (penalties.GradientPenalty(1.5, points="around", target=0.0), 1.5, 0.0),
    "r1": (penalties.R1(10.0), 5.0, 0.0),
    "r1_without_half": (penalties.R1(10.0, factor=1.0), 10.0, 0.0),
    "r2": (penalties.R2(10.0), 5.0, 0.0),
    "r2_without_half": (penalties.R2(10.0, factor=1.0), 10.0, 0.0),
}


def test_linear_critic(clouds):
    """weight (|w| - target)^2 wherever it is taken, and its gradient."""
    real, fake, w = clouds
    for (name, (penalty, weight, target)), scale in itertools.product(CENTRED.items(), (0.1, 1.0)):
        kernel = tf.Variable(scale * w, dtype=tf.float32)
        with tf.GradientTape() as tape:
            found = penalty(inputs(lambda x, k=kernel: linear(k)(x), real, fake))
        norm = np.linalg.norm(scale * w)
        assert found.dtype == tf.float32
        assert found.numpy() == pytest.approx(weight * (norm - target) ** 2, rel=1e-4), name
        slope = 2 * weight * (norm - target) * scale * w / norm
        found = tape.gradient(found, kernel)
        np.testing.assert_allclose(found, slope, rtol=1e-3, atol=1e-5, err_msg=name)


def test_one_sided_frees_small_slopes(clouds):
    real, fake, w = clouds
    norm = np.linalg.norm(w)
    steep, flat = (
        inputs(linear(3 * w / norm), real, fake),
        inputs(linear(0.9 * w / norm), real, fake),
    )
    for points in penalties.GradientPenalty.POINTS:
        penalty = penalties.GradientPenalty(2.0, points=points, one_sided=True)
        assert penalty(steep).numpy() == pytest.approx(2 * (3 - 1) ** 2, rel=1e-5)
        assert penalty(flat).numpy() == 0


def test_a_flat_critic_gives_a_finite_gradient(clouds):
    real, fake, w = clouds
    for penalty in (penalties.wgan_gp(), penalties.zero_centred(), penalties.R1()):
        kernel = tf.Variable(0 * w, dtype=tf.float32)
        with tf.GradientTape() as tape:
            found = penalty(inputs(lambda x, k=kernel: linear(k)(x), real, fake))
        assert np.isfinite(found)
        assert np.isfinite(tape.gradient(found, kernel)).all()


def quadratic(matrix, vector):
    """D(x) = x.A x/2 + b.x with a symmetric A: its gradient is A x + b."""
    matrix, vector = tf.constant(matrix, tf.float32), tf.constant(vector, tf.float32)
    return lambda x: tf.reduce_sum(x * (x @ matrix / 2 + vector), axis=1)


def test_quadratic_critic(rng):
    """R1, R2 and zero-centred interpolates exactly, given the shares that were drawn."""
    d = 3
    real, fake = rng.normal(size=(2, N, d))
    a, b = rng.normal(size=(d, d)), rng.normal(size=d)
    a = a + a.T

    def squares(x):
        return np.mean(np.sum((x @ a + b) ** 2, axis=1))

    here = inputs(quadratic(a, b), real, fake)
    assert penalties.R1(10.0)(here).numpy() == pytest.approx(5 * squares(real), rel=1e-5)
    assert penalties.R2(10.0)(here).numpy() == pytest.approx(5 * squares(fake), rel=1e-5)
    share = here.draws.uniform((N, 1), "share").numpy()
    assert share.std() > 0.1  # one share a row
    between = real + share * (fake - real)
    found = penalties.zero_centred(3.0)(here).numpy()
    assert found == pytest.approx(3 * squares(between), rel=1e-5)
    norms = np.linalg.norm(between @ a + b, axis=1)
    found = penalties.wgan_gp(3.0)(here).numpy()
    assert found == pytest.approx(3 * np.mean((norms - 1) ** 2), rel=1e-4)


def test_dragan_of_a_quadratic_critic_in_expectation(rng):
    """D(x) = a |x|^2/2: |grad D|/(a s) has a noncentral chi distribution around each data point."""
    d, a, copies = 3, 0.7, 20_000
    data = rng.normal(size=(5, d)) * [1, 2, 0.5] + 0.3
    real = np.repeat(data, copies, axis=0)
    s = np.std(data) / 2  # of all values, as in the authors' code
    lam = np.sum(data**2, axis=1) / s**2
    length = (
        a * s * np.sqrt(2) * scipy.special.gamma((d + 1) / 2) / scipy.special.gamma(d / 2)
        * scipy.special.hyp1f1(-0.5, d / 2, -lam / 2)
    )  # fmt: skip
    square = a**2 * (s**2 * d + np.sum(data**2, axis=1))
    here = inputs(quadratic(a * np.eye(d), np.zeros(d)), real)
    found = penalties.dragan(1.0)(here).numpy()
    assert found == pytest.approx(np.mean(square - 2 * length + 1), rel=0.01)
    zero = penalties.GradientPenalty(1.0, points="around", target=0.0)(here).numpy()
    assert zero == pytest.approx(np.mean(square), rel=0.01)


# Penalties on weights and logits


def small_network(player="discriminator"):
    keras.utils.set_random_seed(1)
    layers = [
        keras.layers.Conv2D(3, 2),
        keras.layers.BatchNormalization(),
        keras.layers.Flatten(),
        keras.layers.Dense(2, bias_initializer="random_normal"),
    ]
    return keras.Sequential([keras.Input((4, 4, 2)), *layers])


def test_l2_is_half_the_sum_of_squares_of_what_is_trained():
    network = small_network()
    expected = sum(np.sum(w.numpy() ** 2) for w in network.trainable_weights) / 2
    assert len(network.trainable_weights) < len(network.weights)
    found = penalties.L2(0.3)(inputs(None, network=network)).numpy()
    assert found == pytest.approx(0.3 * expected, rel=1e-5)


def test_orthogonal_counts_pairs_of_different_columns():
    network = small_network()
    expected = 0.0
    for weight in network.trainable_weights:
        if weight.ndim < 2:
            continue
        kernel = weight.numpy().reshape(-1, weight.shape[-1]).astype(float)
        for i in range(kernel.shape[1]):
            for j in range(kernel.shape[1]):
                expected += (i != j) * (kernel[:, i] @ kernel[:, j]) ** 2
    found = penalties.Orthogonal(0.5)(inputs(None, network=network)).numpy()
    assert found == pytest.approx(0.5 * expected, rel=1e-4)


def test_orthogonal_kernels_cost_nothing_whatever_their_norms():
    layer = keras.Sequential([keras.Input((5,)), keras.layers.Dense(3)])
    q = np.linalg.qr(np.random.default_rng(0).normal(size=(5, 3)))[0]
    layer.set_weights([q * [1, 10, 0.1], np.ones(3)])
    assert penalties.Orthogonal(1.0)(inputs(None, network=layer)).numpy() < 1e-9


def test_drift_is_the_mean_square_of_the_real_logits():
    logits = [1.0, -2.0, 0.5]
    found = penalties.Drift(0.1)(inputs(None, logits=logits)).numpy()
    assert found == pytest.approx(0.1 * (1 + 4 + 0.25) / 3)


def test_weights_stay_clipped_and_the_generator_free():
    gan = toy.gan("mlp", penalties=[penalties.WeightClip(0.02)], loss="wasserstein")
    toy.fit(gan, 3, chosen=toy.points())
    largest = max(np.abs(w.numpy()).max() for w in gan.discriminator.trainable_weights)
    assert largest == pytest.approx(0.02, rel=1e-6)
    assert max(np.abs(w.numpy()).max() for w in gan.generator.trainable_weights) > 0.1


# Path length


def linear_generator(weight, shape):
    return lambda z: tf.reshape(z @ tf.constant(weight, tf.float32), (len(z), *shape))


def test_path_length_of_a_linear_generator(rng):
    """J = W: |W y| for the projections y that were drawn; only the first half of the rows."""
    shape, d = (4, 3, 2), 5
    weight = rng.normal(size=(d, np.prod(shape)))
    here = inputs(linear_generator(weight, shape), latent=rng.normal(size=(N, d)))
    penalty = penalties.PathLength(2.0, decay=0.1, interval=1)
    y = here.draws.normal((N // 2, *shape), "path_length").numpy() / np.sqrt(4 * 3)
    lengths = np.linalg.norm(y.reshape(N // 2, -1) @ weight.T, axis=1)
    np.testing.assert_allclose(penalty.lengths(here), lengths, rtol=1e-4)
    mean = 0.0
    for _ in range(3):  # each step is held against the mean of the steps before
        expected = 2 * np.mean((lengths - mean) ** 2)
        assert penalty(here).numpy() == pytest.approx(expected, rel=1e-4)
        mean += 0.1 * (lengths.mean() - mean)
        assert penalty.mean.numpy() == pytest.approx(mean, rel=1e-4)


def test_mean_square_path_length_is_the_frobenius_norm(rng):
    shape, d, rows = (4, 4, 1), 3, 20_000
    weight = rng.normal(size=(d, 16))
    here = inputs(linear_generator(weight, shape), latent=rng.normal(size=(rows, d)))
    lengths = penalties.PathLength(shrink=1).lengths(here).numpy()
    assert len(lengths) == rows
    assert np.mean(lengths**2) == pytest.approx(np.sum(weight**2) / 16, rel=0.02)


def test_path_length_of_a_style_network_is_taken_at_w(rng):
    """Two rows of w, one a layer: the mean of both squares under the root."""
    z = keras.Input((3,))
    w = keras.layers.Dense(4, use_bias=False)(z)
    mapping = keras.Model(z, keras.layers.RepeatVector(2)(w), name="mapping")
    w = keras.Input((2, 4))
    x = keras.layers.Dense(8, use_bias=False, name="flat")(keras.layers.Flatten()(w))
    synthesis = keras.Model(w, keras.layers.Reshape((2, 2, 2))(x), name="synthesis")
    generator = keras.Model(z, synthesis(mapping(z)))
    here = inputs(None, network=generator, latent=rng.normal(size=(4, 3)))
    y = here.draws.normal((2, 2, 2, 2), "path_length").numpy().reshape(2, 8) / 2
    kernel = synthesis.get_layer("flat").kernel.numpy()
    per_layer = np.sum((y @ kernel.T).reshape(2, 2, 4) ** 2, axis=2)
    expected = np.sqrt(per_layer.mean(axis=1))
    np.testing.assert_allclose(penalties.PathLength().lengths(here), expected, rtol=1e-4)


# Lazy penalties


def gradient_at(gan, step, batch):
    """The discriminator's gradient at a step, as `GAN.train_step` takes it."""
    gan.step.assign(step)
    same = functools.partial(engine.random_bits, step=0)  # the same draws in every step

    def bits(shape, count, seed, stream, step):
        return same(shape, count, seed, stream)

    draws = Draws(
        0, tf.constant(step), "same/", types.SimpleNamespace(**vars(engine) | {"random_bits": bits})
    )
    real = Batch(batch)
    fake = gan.players.fakes(*gan._latents(real, draws))
    grads, _ = engine.gradients(
        [lambda: gan.discriminator_objective(real, fake, draws)],
        gan.discriminator.trainable_variables,
    )
    return [g.numpy() if g is not None else None for g in grads]


@pytest.mark.parametrize(
    "make",
    [
        penalties.R1,
        penalties.dragan,
        lambda weight, interval: penalties.L2(weight, interval=interval),
    ],
    ids=["r1", "dragan", "l2"],
)
def test_lazy_penalties_accumulate_the_same_gradient(make, rng):
    """At fixed weights and on the same data, k steps at interval k equal k plain ones."""
    batch, k = tf.constant(rng.normal(size=(8, 2)), tf.float32), 4
    totals = []
    for interval in (1, k):
        gan = toy.gan("mlp", penalties=[make(3.0, interval=interval)])
        per_step = [gradient_at(gan, step, batch) for step in range(k)]
        totals.append([sum(column) for column in zip(*per_step, strict=True)])
    bare = [k * g for g in gradient_at(toy.gan("mlp"), 0, batch)]
    for plain, lazy in zip(*totals, strict=True):
        np.testing.assert_allclose(lazy, plain, rtol=1e-4, atol=1e-5)
    moved = max(np.abs(p - b).max() for p, b in zip(totals[0], bare, strict=True))
    assert moved > 0.01


@pytest.mark.parametrize("xla", [False, True])
def test_lazy_penalties_are_not_computed_in_between(xla, rng):
    """Counts the critic's passes, or under XLA, where nothing can be counted, checks the values."""
    calls = tf.Variable(0)
    x = rng.normal(size=(N, 3))

    def critic(points):
        if not xla:
            calls.assign_add(1)
        return tf.reduce_sum(points**2, axis=1)

    penalty = penalties.R1(2.0, interval=3)

    @tf.function(jit_compile=xla)
    def at(step):
        here = inputs(critic, x)
        return penalty(dataclasses.replace(here, draws=Draws(11, step, "test/")))

    values = [at(tf.constant(step)).numpy() for step in range(7)]
    exact = 3 * 4 * np.mean(np.sum(x**2, axis=1))
    due = [step % 3 == 0 for step in range(7)]
    np.testing.assert_allclose(values, np.where(due, exact, 0), rtol=1e-5)
    if not xla:
        assert calls.numpy() == sum(due)


def test_lazy_path_length_keeps_its_mean_in_between(rng):
    weight = rng.normal(size=(3, 4))
    latent = rng.normal(size=(N, 3))
    penalty = penalties.PathLength(1.0, interval=2)
    means = []
    for step in range(4):
        penalty(inputs(linear_generator(weight, (2, 2, 1)), latent=latent, step=step))
        means.append(penalty.mean.numpy())
    assert means[0] == means[1] < means[2] == means[3]


# Consensus


def test_consensus_is_the_gradient_of_half_the_squared_field():
    """Each player's pull along a direction equals a central difference of R, in float64."""
    rng = np.random.default_rng(4)
    data, noise = rng.normal(size=(2, 7, 3))
    shapes = [[(3, 5), (5,), (5, 1)], [(3, 4), (4, 3), (3,)]]
    players = [
        [keras.Variable(0.5 * rng.normal(size=s), dtype="float64") for s in player]
        for player in shapes
    ]

    def objective():
        (a, b, c), (p, q, r) = [[v.value for v in player] for player in players]

        def critic(x):
            return tf.tanh(x @ a + b) @ c

        fake = tf.tanh(noise @ p) @ q + r
        d_loss = tf.reduce_mean(tf.nn.softplus(-critic(data)) + tf.nn.softplus(critic(fake)))
        return (d_loss, tf.reduce_mean(tf.nn.softplus(-critic(fake)))), {}

    def squared_field():
        grads, _ = engine.game_gradients(objective, players, 0.0)
        return sum(np.sum(g.numpy() ** 2) for player in grads for g in player) / 2

    plain, _ = engine.game_gradients(objective, players, 0.0)
    pulled, _ = engine.game_gradients(objective, players, 3.0)
    for i, player in enumerate(players):  # directions that move one player, both players' losses
        pull = [(b - a).numpy() / 3 for a, b in zip(plain[i], pulled[i], strict=True)]
        direction = [rng.normal(size=v.shape) for v in player]
        ends = []
        for sign in (1, -1):
            for v, u in zip(player, direction, strict=True):
                v.assign(v + sign * 1e-5 * u)
            ends.append(squared_field())
            for v, u in zip(player, direction, strict=True):
                v.assign(v - sign * 1e-5 * u)
        slope = (ends[0] - ends[1]) / 2e-5
        along = sum(np.sum(g * u) for g, u in zip(pull, direction, strict=True))
        assert along == pytest.approx(slope, rel=1e-6)
        assert abs(slope) > 1e-3


# Names and refusals


def test_every_name_builds():
    for name in penalties.names():
        penalty = penalties.get(name)
        assert name == "consensus" or penalty.player in penalties.PLAYERS
    assert penalties.get("l2", player="generator").player == "generator"
    r1 = penalties.get("r1", weight=10.0, factor=1.0)
    assert (r1.weight, r1.factor) == (10.0, 1.0)
    r1 = penalties.get("r1", weight=10.0)
    assert (r1.weight, r1.factor) == (10.0, 0.5)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("r3", {}, "did you mean 'r1'|did you mean 'r2'"),
        ("r1", {"wieght": 1.0}, "did you mean 'weight'"),
        ("r1", {"weight": -1.0}, "weight -1.0"),
        ("r2", {"factor": 0.0}, "factor 0.0"),
        ("r1", {"weight": float("inf")}, "a number in .0, inf."),
        ("r1", {"interval": 0}, "interval 0"),
        ("r1", {"points": "data"}, "Known: around, fake, interpolates, real"),
        ("wgan_gp", {"interval": 2.5}, "whole number"),
        ("gradient_penalty", {"target": -1.0}, "target -1"),
        ("l2", {"player": "both"}, "Known: discriminator, generator"),
        ("weight_clip", {"limit": 0.0}, "limit 0"),
        ("path_length", {"decay": 0.0}, "decay 0"),
        ("path_length", {"shrink": 0}, "shrink 0"),
    ],
)
def test_wrong_values_are_answered_in_one_line(name, options, words):
    with pytest.raises(UsageError, match=words) as error:
        penalties.get(name, **options)
    assert "\n" not in str(error.value)


def test_lecam_is_its_formula_with_the_averages_of_earlier_updates(rng):
    penalty = penalties.LeCam(0.3, decay=0.9, start_step=1)
    real_mean = fake_mean = 0.0
    for step, update in [(0, 0), (1, 0), (1, 1), (2, 0), (2, 1), (3, 0)]:
        real, fake = np.add(rng.normal(size=(2, 7)), [[0.5], [-0.5]]).astype("float32")
        found = penalty(inputs(None, logits=real, fake_logits=fake, step=step))
        term = np.mean(np.maximum(real - fake_mean, 0) ** 2)
        term += np.mean(np.maximum(real_mean - fake, 0) ** 2)
        started = step > 1
        assert float(found) == pytest.approx(0.3 * term * started, rel=1e-5), (step, update)
        share = 0.9 if started else 0.0
        real_mean = share * real_mean + (1 - share) * real.mean()
        fake_mean = share * fake_mean + (1 - share) * fake.mean()
        np.testing.assert_allclose(
            [float(value) for value in penalty.state], [real_mean, fake_mean], rtol=1e-5
        )


def test_lecam_trains_alike_on_two_replicas_and_after_a_restart(tmp_path, two_replicas):
    def made(strategy=None):
        return toy.gan(strategy=strategy, penalties=[penalties.LeCam(0.5)], loss="hinge")

    whole = toy.fit(made(), 5)
    toy.assert_close(whole, toy.fit(made(two_replicas), 5), 1e-4)
    first, second = made(), made()
    toy.fit(first, 3)
    checkpoint.save(tmp_path, 3, first.state())
    checkpoint.restore(second, tmp_path)
    toy.assert_close(whole, toy.fit(second, 2), 0)
    assert second.get_metrics_result()["lecam"] > 0


@pytest.mark.parametrize(("network", "interval"), [("mlp", 1), ("mlp", 2), ("dcgan_32", 1)])
def test_r1r2_is_r1_and_r2(network, interval):
    """In one call of D for all rows, or in two calls where rows see each other (DCGAN)."""
    options = {"interval": interval, "weight": 3.0}
    chosen = toy.points() if network == "mlp" else None
    found = []
    for terms in (
        [penalties.R1R2(**options)],
        [penalties.R1(**options), penalties.R2(**options)],
    ):
        model = toy.gan(network, penalties=terms, loss="relativistic", num_classes=None)
        state = toy.fit(model, 3, chosen=chosen)
        # R1 and R2 move the batch statistics of a discriminator by calls of their own.
        found.append([v for k, v in state.items() if "moving" not in k])
        logs = {metric.name: float(metric.result()) for metric in model.metrics}
        found[-1].append(sum(logs[term.name] for term in terms))
    assert found[0][-1] > 0
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
