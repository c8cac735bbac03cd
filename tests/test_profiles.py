"""Profiles of averages, against numerical integration."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, optimize

import tfgan_ema as tg
from tfgan_ema import profiles
from tfgan_ema.errors import UsageError

WIDTHS = st.floats(0.005, 0.28)


@given(WIDTHS)
def test_the_exponent_has_the_width(sigma):
    g = profiles.exponent(sigma)
    assert profiles.width(g) == pytest.approx(sigma, rel=1e-10)
    moments = [
        integrate.quad(lambda x, k=k: (g + 1) * x ** (g + k), 0, 1, epsabs=1e-13)[0]
        for k in (0, 1, 2)
    ]
    assert moments[0] == pytest.approx(1, rel=1e-10)
    assert np.sqrt(moments[2] - moments[1] ** 2) == pytest.approx(sigma, rel=1e-6)


def test_published_exponents():
    assert profiles.exponent(0.05) == pytest.approx(16.97, abs=0.01)
    assert profiles.exponent(0.10) == pytest.approx(6.94, abs=0.01)


@given(WIDTHS, st.floats(1, 1e5), WIDTHS, st.floats(1, 1e5))
def test_inner_products_are_integrals(sigma, time, other, other_time):
    a, b = profiles.exponent(sigma), profiles.exponent(other)
    end = min(time, other_time)

    def product(x):  # of the two profiles, x in [0, 1] of the shorter
        return (a + 1) * (b + 1) * (x * end / time) ** a * (x * end / other_time) ** b

    # The integrand is a power, whose mass lies where x is near 1.
    start = max(0.0, 1 - 60 / (a + b + 1))
    parts = [integrate.quad(product, *ends, epsabs=0, epsrel=1e-12)[0]
             for ends in ((0, start), (start, 1)) if ends[0] < ends[1]]  # fmt: skip
    expected = sum(parts) * end / (time * other_time)
    found = profiles.inner_products([a], [time], [b], [other_time])
    assert found == pytest.approx(expected, rel=1e-10)


def test_an_average_that_was_kept_is_taken_as_it_is():
    exponents = [profiles.exponent(0.05), profiles.exponent(0.1)] * 20
    times = np.repeat(np.arange(1, 21) * 100, 2)
    shares, residual = profiles.combination(exponents, times, 0.1, 1500)
    expected = np.zeros(40)
    expected[29] = 1
    np.testing.assert_allclose(shares, expected, atol=1e-9)
    assert residual < 1e-6


@pytest.mark.parametrize("sigma", [0.03, 0.07, 0.2])
def test_the_residual_is_what_the_profile_misses(sigma):
    exponents = [profiles.exponent(0.05), profiles.exponent(0.1)] * 10
    times = np.repeat(np.arange(1, 11) / 10, 2)
    shares, residual = profiles.combination(exponents, times, sigma, 1.0)
    x = (np.arange(200_000) + 0.5) / 200_000
    wanted = profiles.exponent(sigma)
    target = (wanted + 1) * x**wanted
    made = sum(
        share * (g + 1) / t * np.where(x < t, x / t, 0) ** g
        for share, g, t in zip(shares, exponents, times, strict=True)
    )
    expected = np.sqrt(np.mean((made - target) ** 2) / np.mean(target**2))
    assert residual == pytest.approx(expected, rel=1e-3)
    assert shares.sum() == pytest.approx(1)


def test_the_width_of_an_average_is_that_of_its_shares():
    constant = np.full(100_000, 0.001)
    assert profiles.width_of(constant) == pytest.approx(0.01, rel=1e-3)
    steps, decay = 50, 0.9
    shares = [(1 - decay) * decay ** (steps - k) for k in range(1, steps + 1)]
    times = np.arange(steps + 1)
    shares = np.array([decay**steps, *shares])
    mean = shares @ times
    expected = np.sqrt(shares @ (times - mean) ** 2) / steps
    assert profiles.width_of(np.full(steps, 1 - decay)) == pytest.approx(expected)


def test_the_widths_of_rules():
    steps = np.arange(1, 20_001)
    assert profiles.width_of(1 / steps) == pytest.approx(1 / np.sqrt(12), rel=1e-3)  # uniform
    for sigma in (0.03, 0.1):
        rates = np.asarray(tg.PowerEMA(sigma).rate(steps.astype("int32"), 1))
        assert profiles.width_of(rates) == pytest.approx(sigma, rel=1e-3)
    ramped = np.asarray(tg.EMA(1 - 1e-6, ramp=0.05).rate(steps.astype("int32"), 1))
    power = profiles.width(np.log(2) / 0.05 - 1)  # a half-life that grows is a power function
    assert profiles.width_of(ramped) == pytest.approx(power, rel=1e-3)


def test_an_ema_is_near_the_power_function_of_its_width():
    decay, steps = 0.99, 2000
    ema = (1 - decay) * decay ** np.arange(steps)[::-1]
    tau = np.arange(1, steps + 1) / steps

    def distance(sigma):
        g = profiles.exponent(sigma)
        return np.sum((ema - (g + 1) * tau**g / steps) ** 2)

    nearest = optimize.minimize_scalar(distance, bounds=(0.01, 0.2), method="bounded").x
    assert profiles.width_of(np.full(steps, 1 - decay)) == pytest.approx(nearest, rel=0.1)


@pytest.mark.parametrize("sigma", [0, -0.1, 0.2887, 1, float("nan")])
def test_widths_out_of_range(sigma):
    with pytest.raises(UsageError, match="the width"):
        profiles.exponent(sigma)


def test_a_time_before_all_snapshots():
    with pytest.raises(UsageError, match="the first is 100"):
        profiles.combination([5.0], [100], 0.1, 99)
