"""Lookahead against its algorithm in NumPy and its spectrum on the bilinear game."""

import keras
import numpy as np
import pytest
import test_dirac
import toy

import tfgan_ema as tg
from tfgan_ema import checkpoint
from tfgan_ema.errors import UsageError

PLAYERS = ("generator/", "discriminator/")


def new(lookahead=None, network="mlp", averages=(), **options):
    return toy.gan(network, lookahead=lookahead, averages=averages, **options)


def with_sgd(model):
    model.compile(keras.optimizers.SGD(0.05), keras.optimizers.SGD(0.05))
    return model


def trained_weights(model):
    return [np.array(variable.numpy()) for variable in model.players.trained]


def transcription(steps, intervals, alpha, network="mlp", averages=None):
    """Plain training, whose weights NumPy moves as algorithm 1 says."""
    model = with_sgd(new(network=network))
    slow = [trained_weights(model) for _ in intervals]
    for step in range(1, steps + 1):
        toy.fit(model, 1, chosen=toy.points() if network == "mlp" else None)
        fast = trained_weights(model)
        for level, interval in enumerate(intervals):
            if step % interval == 0:
                fast = [s + alpha * (f - s) for s, f in zip(slow[level], fast, strict=True)]
                for faster in range(level + 1):
                    slow[faster] = fast
        for variable, value in zip(model.players.trained, fast, strict=True):
            variable.assign(value)
        if averages is not None:
            for average, weight in zip(averages, slow[-1], strict=False):
                average += (1 - 0.9) * (weight - average)
    return fast


@pytest.mark.parametrize(
    ("options", "intervals"),
    [
        ({"super_slow": 20}, [5, 20]),
        pytest.param({}, [5], marks=pytest.mark.slow),
        pytest.param({"k": 1}, [1], marks=pytest.mark.slow),
    ],
)
def test_it_is_its_transcription(options, intervals):
    model = with_sgd(new(tg.Lookahead(**options, alpha=0.4)))
    toy.fit(model, 50, chosen=toy.points())
    expected = transcription(50, intervals, 0.4)
    for found, value in zip(trained_weights(model), expected, strict=True):
        np.testing.assert_allclose(found, value, rtol=1e-5, atol=1e-6)


def test_averages_follow_the_slow_weights():
    averages = [tg.EMA(0.9)]
    slow = with_sgd(new(tg.Lookahead(5), averages=averages))
    fast = with_sgd(new(tg.Lookahead(5, averages="fast"), averages=averages))
    plain = with_sgd(new())
    expected = trained_weights(plain)[: len(plain.generator.trainable_variables)]
    transcription(17, [5], 0.5, averages=expected)
    for model in (slow, fast):
        toy.fit(model, 17, chosen=toy.points())
    for (average, _), value in zip(slow.averages[0].pairs, expected, strict=True):
        np.testing.assert_allclose(average.numpy(), value, rtol=1e-5, atol=1e-6)
    toy.assert_close(*({k: v for k, v in checkpoint.to_arrays(m.state()).items()
                        if k.startswith(PLAYERS)} for m in (slow, fast)), 0)  # fmt: skip
    assert slow.averages[0].distance() != pytest.approx(fast.averages[0].distance(), rel=1e-3)


def test_alpha_1_never_returns():
    plain, kept = new(), new(tg.Lookahead(5, 1.0))
    states = [toy.fit(model, 12, chosen=toy.points()) for model in (plain, kept)]
    players = [{k: v for k, v in s.items() if k.startswith(PLAYERS)} for s in states]
    toy.assert_close(*players, 1e-6)


@pytest.mark.parametrize("cut", [7, 10])
def test_a_run_goes_on_between_returns_and_at_one(tmp_path, cut):
    def made():
        return new(tg.Lookahead(5, super_slow=10), averages=[tg.EMA(0.9)])

    points = {"chosen": toy.points()}
    whole = toy.fit(made(), 13, **points)
    first = made()
    toy.fit(first, cut, **points)
    checkpoint.save(tmp_path, cut, first.state())
    second = made()
    checkpoint.restore(second, tmp_path)
    toy.assert_close(whole, toy.fit(second, 13 - cut, **points), 0)


def test_it_is_saved_with_the_gan(tmp_path):
    model = new(tg.Lookahead(3, super_slow=6), averages=[tg.EMA(0.9)])
    toy.fit(model, 4, chosen=toy.points())
    model.save(tmp_path / "gan.keras")
    again = keras.models.load_model(tmp_path / "gan.keras")
    toy.assert_close(*(toy.fit(each, 5, chosen=toy.points()) for each in (model, again)), 0)


def test_two_replicas_are_one_device(two_replicas):
    ends = [
        toy.fit(new(tg.Lookahead(2), strategy=strategy), 5, chosen=toy.points())
        for strategy in (None, two_replicas)
    ]
    toy.assert_close(*ends, 2e-5)


def bilinear(rule, rate):
    """The map of one step on θ ψ: the generator climbs ψ θ, the discriminator descends it."""
    generator, discriminator = np.array([[1, rate], [0, 1]]), np.array([[1, 0], [-rate, 1]])
    if rule == "simultaneous":
        return np.array([[1, rate], [-rate, 1]])
    return discriminator @ generator


@pytest.mark.parametrize("rule", ["alternating", "simultaneous"])
def test_it_converges_on_the_bilinear_game_at_the_rate_of_its_spectrum(rule):
    rate, k, alpha, steps = 0.2, 5, 0.5, 200
    options = test_dirac.RULES[rule][0]
    paths = [
        test_dirac.run(
            (1.0, -1.0), steps, rate, looks=steps // k, loss="wasserstein", lookahead=lookahead,
            **options,
        )
        for lookahead in (None, tg.Lookahead(k, alpha))
    ]  # fmt: skip
    power = np.linalg.matrix_power(bilinear(rule, rate), k)
    returning = (1 - alpha) * np.eye(2) + alpha * power
    for path, step in zip(paths, (power, returning), strict=True):
        state = np.array([1.0, -1.0])
        for found in path:
            state = step @ state
            np.testing.assert_allclose(found, state, atol=2e-4 * max(1, np.abs(state).max()))
    spectral = np.abs(np.linalg.eigvals(returning)).max()
    norms = np.hypot(*paths[1].T)
    found = (norms[-1] / norms[4]) ** (1 / (len(norms) - 5))
    assert found == pytest.approx(spectral, abs=2e-2 if rule == "alternating" else 2e-3)
    assert spectral < 1
    assert np.hypot(*paths[0][-1]) > 0.9  # descent alone circles or leaves


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"k": 0}, "Lookahead k 0"),
        ({"k": 2.5}, "Lookahead k 2.5"),
        ({"alpha": 0}, "alpha 0"),
        ({"alpha": 1.1}, "alpha 1.1"),
        ({"super_slow": 7}, "a larger multiple of k 5"),
        ({"super_slow": 5}, "a larger multiple of k 5"),
        ({"averages": "none"}, "Known: fast, slow"),
    ],
)
def test_wrong_options_are_one_line(options, said):
    with pytest.raises(UsageError, match=said):
        tg.Lookahead(**options)
