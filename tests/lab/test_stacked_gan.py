"""A stack of seeds trains as its seeds would alone."""

import numpy as np
import pytest
import tensorflow as tf

import tfgan_ema as tg
import zoo
from tfgan_ema import latents, losses
from tfgan_ema.data import mixtures
from tfgan_ema.errors import UsageError
from tfgan_ema.lab.experiments import grid, points
from tfgan_ema.lab.experiments.points import Method
from tfgan_ema.lab.stacked import Replay, StackedDraws, StackedGAN, slice_weights, stacked_mlp
from tfgan_ema.latents import Draws

NETWORKS = {"g_hidden": [16, 16], "d_hidden": [12, 12]}
AVERAGES = {
    "ema": {"rule": "ema", "decay": 0.9},
    "uniform": {"rule": "uniform", "start_step": 50},
}
LEAK = {"beta": 0.5, "start_step": 20}
BATCH = 8
STEPS = 200
REAL = points.mixture(mixtures.grid_centers(), 0.2)

ADAM = {"kind": "adam", "learning_rate": 2e-4, "beta_1": 0.5}
METHODS = {
    **grid.METHODS,
    "relativistic_average": Method({"loss": "relativistic_average"}, ADAM),
    "alpha": Method({"loss": "alpha", "alpha_d": 0.5, "alpha_g": 1, "saturating": True}, ADAM),
    "gan_qp": Method({"loss": "gan_qp"}, ADAM),
}


def build(method, seeds, **options):
    options = {"averages": AVERAGES, "leak": LEAK, "latent": latents.Normal(2)} | options
    return points.stack(METHODS[method], seeds, networks=NETWORKS, **options)


def trained(gan, steps=STEPS):
    return dict(points.train(gan, REAL, BATCH, steps, steps))


def weights(gan, index):
    """All weights of one seed: both players and the averages."""
    models = [gan.generator, gan.discriminator, *(average.shadow for average in gan.averages)]
    return [w for model in models for w in slice_weights(model, index)]


QUICK = ("baseline", "consensus")  # of each kind of step one


@pytest.mark.parametrize(
    "method", [pytest.param(m, marks=[] if m in QUICK else pytest.mark.slow) for m in METHODS]
)
def test_a_seed_in_a_stack_equals_the_seed_alone(method):
    stack, alone = build(method, (3, 5, 9)), build(method, (5,))
    start = weights(stack, 1)
    for gan in (stack, alone):
        trained(gan)
    pairs = list(zip(weights(stack, 1), weights(alone, 0), strict=True))
    for ours, theirs in pairs:
        np.testing.assert_allclose(ours, theirs, atol=1e-4)
    assert np.abs(pairs[0][0] - start[0]).max() > 1e-2
    assert np.abs(weights(stack, 0)[0] - pairs[0][0]).max() > 1e-2


def test_a_stack_of_one_equals_plain_networks_under_fit():
    """The resident loop, its data and its draws are those of plain networks trained by `fit`."""
    stack = build("baseline", (5,))
    trained(stack, 60)

    plain = zoo.build("mlp", **NETWORKS)
    fresh = build("baseline", (5,))
    for network, stacked in zip(plain, (fresh.generator, fresh.discriminator), strict=True):
        network.set_weights(slice_weights(stacked, 0))
    averages = [tg.EMA(0.9), tg.UniformAverage(start_step=50)]
    gan = tg.GAN(*plain, latent=2, penalties=stack.regularisation.terms, averages=averages,
                 leak=tg.LeakyEMA(0.5, start_step=20), seed=5)  # fmt: skip
    gan.compile(METHODS["baseline"].optimizer, METHODS["baseline"].optimizer)
    rows = [REAL(BATCH, Draws(5, step, "data/")).numpy() for step in range(60)]
    data = tf.data.Dataset.from_tensor_slices(np.concatenate(rows))
    gan.fit(data.batch(BATCH, drop_remainder=True), verbose=0)
    for model, stacked in [
        (gan.generator, stack.generator),
        (gan.discriminator, stack.discriminator),
        *((a.shadow, b.shadow) for a, b in zip(gan.averages, stack.averages, strict=True)),
    ]:
        for ours, theirs in zip(model.get_weights(), slice_weights(stacked, 0), strict=True):
            np.testing.assert_allclose(ours, theirs, atol=2e-5)


@pytest.mark.slow
def test_the_length_of_a_call_changes_nothing_and_a_rerun_repeats_it():
    one, many, again = (build("baseline", (1, 2)) for _ in range(3))
    trained(one, 40)
    list(points.train(many, REAL, BATCH, 40, 7))
    trained(again, 40)
    for index in range(2):
        for a, b, c in zip(*(weights(gan, index) for gan in (one, many, again)), strict=True):
            np.testing.assert_array_equal(a, b)
            np.testing.assert_array_equal(a, c)


@pytest.mark.slow
def test_logs_are_means_over_seeds():
    stack = build("relativistic_average", (3, 5))
    (logs,) = trained(stack, 10).values()
    each = [next(iter(trained(build("relativistic_average", (s,)), 10).values())) for s in (3, 5)]
    for key, value in logs.items():
        assert value == pytest.approx(np.mean([one[key] for one in each]), abs=1e-5)


def test_replayed_latents_come_back_every_epoch():
    table = np.arange(22, dtype="float32").reshape(11, 2)
    prior = Replay(table)
    for step in range(6):
        first = 4 * (step % 2)  # two whole batches of 4; three rows are dropped
        drawn = prior.draw(8, StackedDraws((1, 2), step, "d0/"))
        np.testing.assert_array_equal(drawn, np.tile(table[first : first + 4], (2, 1)))
    with pytest.raises(UsageError, match="from a table of 11"):
        prior.draw(12, Draws(1, 0))


def test_one_seed_is_copied_into_plain_networks(rng):
    gan = build("baseline", (1, 2))
    trained(gan, 5)
    generator, _ = zoo.build("mlp", **NETWORKS)
    generator.set_weights(slice_weights(gan.generator, 1))
    z = rng.normal(size=(6, 2)).astype("float32")
    stacked = gan.generate(np.tile(z, (2, 1)), average="raw")
    np.testing.assert_allclose(generator(z), stacked[6:], atol=1e-6)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"penalties": [tg.penalties.L2()]}, "such a penalty"),
        ({"penalties": [tg.penalties.dragan()]}, "such a penalty"),
        ({"top_k": tg.mixing.TopK()}, "top_k"),
        ({"leak": tg.LeakyEMA(0.5, mode="same_top_k")}, "leak"),
        ({"averages": [tg.EMA(half_life=100)]}, "half_life"),
        ({"seed": (1, 2, 3)}, "3 seeds with networks on"),
    ],
)
def test_what_would_mix_the_seeds_is_refused(options, words):
    networks = stacked_mlp((1, 2), **NETWORKS)
    with pytest.raises(UsageError, match=words) as error:
        StackedGAN(*networks, latent=2, **{"seed": (1, 2)} | options)
    assert "\n" not in str(error.value)


def test_a_stack_serves_no_single_samples():
    gan = build("baseline", (1, 2))
    for call in (lambda: gan.sample(4), lambda: gan.discriminate(np.zeros((4, 2), "float32"))):
        with pytest.raises(UsageError, match="slice_weights"):
            call()


def test_losses_with_means_see_their_own_seed_only():
    gan = build("baseline", (1, 2))
    logits = np.arange(8, dtype="float32")
    np.testing.assert_allclose(gan.players.batch_mean(tf.constant(logits)), [1.5] * 4 + [5.5] * 4)
    assert losses.get("relativistic_average").generator_needs_real
