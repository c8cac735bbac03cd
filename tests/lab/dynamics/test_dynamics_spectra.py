"""The stability map, the Routh-Hurwitz condition and the discrete maps."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfgan_ema.lab.dynamics import (
    GAN,
    NSGAN,
    R1,
    Bilinear,
    Consensus,
    InstanceNoise,
    LeakyEMA,
    UnnormalisedLeakyEMA,
    controlled_leak,
    critical,
    discriminant,
    eigenvalues,
    growth_rate,
    leaky_margin,
    leaky_polynomial,
    lookahead,
    mean_share,
    routh_hurwitz,
    spectral_radius,
    update_matrix,
)
from tfgan_ema.lab.dynamics.simulate import alternating, simultaneous

BOTH = pytest.mark.parametrize("normalised", [True, False])
SLOPES = pytest.mark.parametrize("slope", [0.5, 1.0])


def thesis_16(beta, decay, slope, normalised):
    """The Jacobian (16), written out; φ'(0) = -slope, batched."""
    rate = -np.log(decay)
    a = np.zeros((*np.shape(beta), 3, 3))
    a[..., 0, 1], a[..., 1, 0], a[..., 1, 2] = slope, -slope, beta * slope
    a[..., 2, 0], a[..., 2, 2] = rate if normalised else 1 - decay, -rate
    return a


@BOTH
@SLOPES
def test_the_field_has_the_jacobian_16(normalised, slope):
    beta, decay = np.random.default_rng(0).uniform(0.01, 0.99, (2, 50))
    kind = LeakyEMA if normalised else UnnormalisedLeakyEMA
    game = kind(NSGAN() if slope == 0.5 else Bilinear(), beta, decay)
    expected = thesis_16(beta, decay, slope, normalised)
    np.testing.assert_allclose(game.jacobian(), expected, atol=1e-15)


@BOTH
@SLOPES
def test_the_map_agrees_with_eigvals(normalised, slope):
    beta, decay = np.random.default_rng(1).uniform(size=(2, 10_000))
    polynomial = leaky_polynomial(beta, decay, slope, normalised=normalised)
    values = np.linalg.eigvals(thesis_16(beta, decay, slope, normalised))
    np.testing.assert_allclose(growth_rate(*polynomial), values.real.max(-1), atol=1e-8)
    # (17) is the characteristic polynomial: minus the sum, the pairs, minus the product
    a, b, c = values.T
    roots = np.broadcast_arrays(*polynomial)
    expected = [-(a + b + c), a * b + b * c + c * a, -a * b * c]
    np.testing.assert_allclose(roots, expected, atol=1e-13)


@BOTH
@SLOPES
def test_routh_hurwitz_never_disagrees_on_a_million_pairs(normalised, slope):
    line = (np.arange(1000) + 0.5) / 1000
    polynomial = leaky_polynomial(*np.meshgrid(line, line), slope, normalised=normalised)
    stable = routh_hurwitz(*polynomial)
    np.testing.assert_array_equal(growth_rate(*polynomial) < 0, stable)
    assert stable.all()


@given(st.tuples(*[st.floats(-3, 3)] * 3))
@settings(max_examples=300, deadline=None)
def test_growth_rate_of_any_cubic(coefficients):
    a, b, c = coefficients
    values = np.roots([1, a, b, c])
    rate = growth_rate(a, b, c)[0]
    assert rate == pytest.approx(values.real.max(), abs=2e-4)  # a triple root: eps^(1/3)
    gaps = np.abs(np.subtract.outer(values, values))[np.triu_indices(3, 1)]
    if gaps.min() > 0.01:
        assert rate == pytest.approx(values.real.max(), abs=1e-9)
        if abs(rate) > 1e-9:
            assert routh_hurwitz(a, b, c) == (rate < 0)


def test_growth_rate_at_known_roots():
    assert growth_rate(6, 11, 6)[0] == pytest.approx(-1, abs=1e-14)  # -1, -2, -3
    assert growth_rate(3, 3, 1)[0] == pytest.approx(-1, abs=1e-14)  # -1 three times
    assert growth_rate(1, 4, 4)[0] == pytest.approx(0, abs=1e-15)  # -1, ±2i


def test_stated_growth_rates():
    # at slope 1/2, beta .5; the first is the unnormalised one's, the others are alike
    decay = np.array([0.9, 0.99, 0.999])
    thesis = growth_rate(*leaky_polynomial(0.5, decay, normalised=False))
    np.testing.assert_allclose(thesis, [-0.02469, -0.00250, -0.00025], atol=5e-6)
    normalised = growth_rate(*leaky_polynomial(0.5, decay))
    np.testing.assert_allclose(normalised, [-0.02604, -0.00251, -0.00025], atol=5e-6)


def test_beta_one_is_stable_only_without_normalisation():
    decay = np.array([0.5, 0.9, 0.99])
    gain = (1 - decay) / -np.log(decay)
    np.testing.assert_allclose(gain, [0.72, 0.949, 0.995], atol=2e-3)
    normalised = eigenvalues(LeakyEMA(beta=1.0, decay=decay)).real.max(-1)
    np.testing.assert_allclose(normalised, 0, atol=1e-15)
    assert (eigenvalues(UnnormalisedLeakyEMA(beta=1.0, decay=decay)).real < 0).all()


def linear_map(update, rows, tiny=1e-7):
    """The derivative of one real step at 0 by central differences."""
    return np.array(
        [(update(tiny * row[:, None]) - update(-tiny * row[:, None]))[:, 0] / (2 * tiny)
         for row in np.eye(rows)]
    ).T  # fmt: skip


@pytest.mark.parametrize(
    "game", [GAN(), R1(weight=0.3), Consensus(), InstanceNoise(), LeakyEMA(), LeakyEMA(R1())],
    ids=repr,
)  # fmt: skip
def test_update_matrix_is_the_derivative_of_a_step(game):
    found = update_matrix(game, 0.2, rule="simultaneous")
    expected = linear_map(simultaneous(game, 0.2), game.rows)
    np.testing.assert_allclose(found, expected, atol=1e-7)
    for n_dis in (1, 5):
        for first in ("generator", "discriminator"):
            found = update_matrix(game, 0.2, n_dis=n_dis, first=first)
            expected = linear_map(alternating(game, 0.2, n_dis, first), game.rows)
            np.testing.assert_allclose(found, expected, atol=1e-7)


def test_unregularised_descent_in_closed_form():
    h = 0.2
    found = np.sort_complex(np.linalg.eigvals(update_matrix(GAN(), h, rule="simultaneous")))
    np.testing.assert_allclose(found, [1 - 0.5j * h, 1 + 0.5j * h], atol=1e-12)
    for step in (0.1, 1.0, 3.0, 4.5):
        for n_dis in (1, 3):
            half = 1 - n_dis * (step * 0.5) ** 2 / 2
            expected = np.sort_complex(half + np.emath.sqrt(half**2 - 1) * np.array([-1, 1]))
            found = np.sort_complex(np.linalg.eigvals(update_matrix(GAN(), step, n_dis=n_dis)))
            np.testing.assert_allclose(found, expected, atol=1e-8)
    edge = critical(lambda s: discriminant(update_matrix(GAN(), s)), 1.0, 6.0)
    assert edge == pytest.approx(4, abs=1e-6)  # h f' = 2


def test_optimistic_descent_in_closed_form():
    # λ² = λ(1 + 2 i h) - i h for the rotation ±i
    h = 0.1
    found = np.linalg.eigvals(update_matrix(Bilinear(), h, rule="optimistic"))
    expected = np.concatenate([np.roots([1, -1 - 2j * s * h, 1j * s * h]) for s in (1, -1)])
    np.testing.assert_allclose(np.sort_complex(found), np.sort_complex(expected), atol=1e-12)
    assert spectral_radius(update_matrix(Bilinear(), h, rule="optimistic")) < 1
    batch = update_matrix(LeakyEMA(beta=np.array([0.1, 0.5])), h, rule="optimistic")
    one = update_matrix(LeakyEMA(beta=0.5), h, rule="optimistic")
    np.testing.assert_allclose(batch[1], one)


@pytest.mark.parametrize(
    ("game", "sim", "alt"),
    [
        (LeakyEMA(beta=0.5, decay=0.9), 0.9952, 0.9945),
        (LeakyEMA(beta=0.5, decay=0.99), 0.99877, 0.99752),
        (LeakyEMA(beta=0.5, decay=0.999), 1.0010, 0.99975),
        (LeakyEMA(beta=0.25, decay=0.99), 1.000025, None),
        (InstanceNoise(NSGAN()), 0.9889, 0.9877),
        (R1(NSGAN(), 0.3), 0.9862, 0.9849),
        (LeakyEMA(Bilinear(), 0.5, 0.99), 1.0025, None),
    ],
    ids=repr,
)
def test_stated_spectral_radii(game, sim, alt):
    for rule, stated in (("simultaneous", sim), ("alternating", alt)):
        if stated is not None:
            digits = len(str(stated).split(".")[1])
            found = spectral_radius(update_matrix(game, 0.1, rule=rule))
            assert found == pytest.approx(stated, abs=0.6 * 10**-digits)


@pytest.mark.parametrize("step", [0.01, 0.05, 0.1])
@SLOPES
def test_margin_predicts_simultaneous_stability_to_leading_order(step, slope):
    beta, forget = np.meshgrid(np.linspace(0.01, 0.99, 60), np.geomspace(1e-4, 0.5, 60))
    game = LeakyEMA(NSGAN() if slope == 0.5 else Bilinear(), beta, 1 - forget)
    radius = spectral_radius(update_matrix(game, step, rule="simultaneous"))
    margin = leaky_margin(beta, 1 - forget, step, slope)
    wrong = (radius < 1) != (margin > 0)
    assert wrong.mean() < 0.01 + 0.2 * step
    # and never far from the border
    assert np.abs(margin[wrong]).max(initial=0) < 2 * step


def test_alternating_leaks_keep_the_whole_square():
    beta, forget = np.meshgrid(np.linspace(0.02, 0.98, 40), np.geomspace(1e-4, 0.5, 40))
    for step in (0.01, 0.1, 0.2):
        game = LeakyEMA(NSGAN(), beta, 1 - forget)
        assert (spectral_radius(update_matrix(game, step)) < 1).all()


def test_critical_decay_of_simultaneous_descent():
    # from the leading-order condition at beta = .5, h = .1: L = (1-γ)/h solves β L = h (f'² + L²)
    low_rate = (0.5 - np.sqrt(0.25 - 4 * 0.01 * 0.25)) / (2 * 0.1)
    found = critical(
        lambda decay: spectral_radius(
            update_matrix(LeakyEMA(NSGAN(), 0.5, decay), 0.1, rule="simultaneous")
        ) - 1,
        0.99, 0.9999,
    )  # fmt: skip
    assert (1 - found) / 0.1 == pytest.approx(low_rate, rel=0.05)


@pytest.mark.parametrize("rule", [alternating, simultaneous])
def test_lookahead_map_is_k_steps_and_a_return(rule):
    update = rule(Bilinear(), 0.2)
    state = np.random.default_rng(0).normal(size=(2, 1))
    fast = state
    for _ in range(7):
        fast = update(fast)
    returned = state + 0.3 * (fast - state)
    matrix = lookahead(update_matrix(Bilinear(), 0.2, rule=rule.__name__), 7, 0.3)
    np.testing.assert_allclose(matrix @ state, returned, atol=1e-14)


def test_lookahead_of_share_one_is_descent():
    update = update_matrix(Bilinear(), 0.2)
    np.testing.assert_allclose(lookahead(update, 3, 1.0), update @ update @ update)
    np.testing.assert_allclose(lookahead(update, 3, [0.0, 0.5])[0], np.eye(2))


def test_controlled_leak_without_speed_is_descent():
    run, update = controlled_leak(0.0, 0.9, 0.1, 50, start=1.0), alternating(Bilinear(), 0.1)
    state = np.array([[1.0], [0.0]])
    for _ in range(50):
        state = update(state)
    np.testing.assert_allclose(run.state[-1, :2], state[:, 0], atol=1e-12)
    assert not run.beta.any()


def test_controlled_leak_follows_the_half_turns():
    run = controlled_leak(0.001, 0.99, 0.05, 10_000)
    angle = np.arccos(1 - 0.05**2 / 2)
    np.testing.assert_allclose(run.beta[2000:].mean(), mean_share(0.001, angle), rtol=0.05)
    np.testing.assert_allclose(run.beta.max(), 0.001 * np.pi / angle, rtol=0.1)
