"""Averages of a cycle: closed forms against simulation (averaging paper, section 3.1)."""

import numpy as np
import pytest
from scipy.integrate import quad

from tfgan_ema.errors import UsageError
from tfgan_ema.lab.dynamics import (
    GAN,
    Bilinear,
    descend,
    ema_amplitude,
    ema_gain,
    ema_on_cycle,
    integrate,
    power_average,
    power_gain,
    turn,
    uniform_on_cycle,
)
from tfgan_ema.lab.dynamics.claims import check
from tfgan_ema.lab.dynamics.papers import averaging, later

DECAYS = np.array([0.9, 0.99, 0.999])


@pytest.mark.parametrize("decay", DECAYS)
@pytest.mark.parametrize("time", [0.5, 7.0, 40.0])
def test_closed_form_is_the_papers_integral(decay, time):
    scale = 1 / quad(lambda t: decay ** (time - t), 0, time)[0]
    expected = [
        scale * quad(lambda t, w=wave: decay ** (time - t) * w(t), 0, time, limit=200)[0]
        for wave in (np.cos, lambda t: -np.sin(t))
    ]
    np.testing.assert_allclose(ema_on_cycle(decay, time), expected, atol=1e-10)
    # and the paper's own right-hand side, for sin
    log = np.log(decay)
    paper = -log / (1 + log**2) * (decay**time - np.cos(time) - log * np.sin(time))
    np.testing.assert_allclose(-ema_on_cycle(decay, time)[1], paper / (1 - decay**time))


def test_amplitude_is_what_remains():
    time = 40 / -np.log(DECAYS)[:, None] + np.linspace(0, 2 * np.pi, 50)
    radius = np.linalg.norm(ema_on_cycle(DECAYS[:, None], time), axis=0)
    np.testing.assert_allclose(radius, np.tile(ema_amplitude(DECAYS), (50, 1)).T, atol=1e-12)


@pytest.mark.parametrize("decay", DECAYS)
def test_simulated_amplitude_equals_the_closed_form(decay):
    # start on the stationary orbit of the EMA: it stays on the circle of the closed-form radius
    rate = -np.log(decay)
    run = integrate(Bilinear(), (1.0, 0.0), 30, decay=decay, samples=301)
    # the recorded EMA starts at the start; take that transient out
    stationary = rate / (1 + rate**2) * np.array([rate, 1.0])
    transient = (np.array([1.0, 0.0]) - stationary) * decay ** run.time[:, None]
    radius = np.linalg.norm(run.ema[:, :, 0] - transient, axis=1)
    np.testing.assert_allclose(radius, ema_amplitude(decay), atol=1e-6)


def test_amplitude_in_alternating_descent():
    step = 0.1
    run = descend(Bilinear(), np.ones((2, 1, 3)), 30_000, step, decay=DECAYS)
    angle, k = turn(step), run.time[-3000:]
    waves = np.stack([np.cos(angle * k), np.sin(angle * k)], 1)

    def amplitude(x):
        fit, rest, *_ = np.linalg.lstsq(waves, x[-3000:, 0, 0], rcond=None)
        assert rest.max() < 1e-16
        return np.hypot(*fit)

    gain = amplitude(run.ema) / amplitude(run.state)
    np.testing.assert_allclose(gain, ema_gain(DECAYS, angle), atol=1e-6)


def test_turn_is_the_angle_of_the_update():
    from tfgan_ema.lab.dynamics import update_matrix

    for game, slope in ((Bilinear(), 1.0), (GAN(), 0.5)):
        angles = np.angle(np.linalg.eigvals(update_matrix(game, 0.3)))
        np.testing.assert_allclose(np.abs(angles), turn(0.3, slope), atol=1e-12)


def test_small_step_gain_is_the_continuous_amplitude():
    step = 1e-4
    gain = ema_gain(DECAYS**step, turn(step))  # decay is per unit of time
    np.testing.assert_allclose(gain, ema_amplitude(DECAYS), rtol=1e-4)


def test_uniform_average_falls_like_one_over_t():
    run = integrate(Bilinear(), (1.0, 0.0), 60, samples=601)
    radius = np.linalg.norm(run.mean[1:, :, 0], axis=1)
    np.testing.assert_allclose(radius, uniform_on_cycle(run.time[1:]), atol=1e-6)
    assert (radius * run.time[1:] <= 2 + 1e-6).all()
    steps = descend(Bilinear(), (1, 1), 20_000, 0.1, every=20_000)
    assert np.linalg.norm(steps.mean[-1]) < 2 * np.sqrt(2) / (turn(0.1) * 20_000) * 1.1


def test_decay_of_one_is_refused():
    for function in (ema_amplitude, lambda d: ema_gain(d, 0.1), lambda d: ema_on_cycle(d, 1.0)):
        with pytest.raises(UsageError, match="decay is"):
            function(1.0)


def test_averaging_claims():
    verdicts = [claim.agrees for claim in check(averaging)]
    assert verdicts == [True, True, True, True, False]  # the last: which way the cycle turns


def test_power_average_is_its_weighted_sum():
    path = np.random.default_rng(0).normal(size=(60, 2))
    for exponent in (0.0, 3.0, 6.94):
        shares = np.diff(np.arange(60.0) ** (exponent + 1)) / 59.0 ** (exponent + 1)
        np.testing.assert_allclose(power_average(path, exponent)[-1], shares @ path[1:], atol=1e-12)


def test_power_average_of_a_cycle_falls_like_one_over_the_step():
    angle, steps = turn(0.1), 30_000
    path = np.exp(-1j * angle * np.arange(steps + 1))
    for exponent in (2.0, 6.94):
        radius = np.abs(power_average(path, exponent)[-1])
        np.testing.assert_allclose(radius, power_gain(exponent, steps, angle), rtol=0.01)


def test_later_claims():
    assert [claim.agrees for claim in check(later)] == [True, True, True, False]
