"""Vector fields, Jacobians and eigenvalues against the papers' formulas."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import expit
from scipy.stats import norm as gauss

from tfgan_ema.errors import UsageError
from tfgan_ema.lab.dynamics import (
    DRAGAN,
    GAN,
    GANQP,
    L2,
    LSGAN,
    NSGAN,
    R1,
    R2,
    WGAN,
    WGANGP,
    AlphaGAN,
    Bilinear,
    Consensus,
    InstanceNoise,
    LeakyEMA,
    NormalisedWGAN,
    RelativisticGAN,
    UnnormalisedLeakyEMA,
    critical,
    descend,
    discriminant,
    eigenvalues,
)
from tfgan_ema.lab.dynamics.methods import METHODS, method, swept

SMOOTH = [
    GAN(), NSGAN(), Bilinear(), LSGAN(), AlphaGAN(0.5, 1.2), AlphaGAN(3.0, 0.6, saturating=True),
    RelativisticGAN(), GANQP(0.7), R1(weight=0.3), L2(GANQP(), 0.1), WGANGP(target=0.0),
    InstanceNoise(sigma=0.7), Consensus(), LeakyEMA(), UnnormalisedLeakyEMA(LSGAN(), 0.3, 0.7),
    LeakyEMA(InstanceNoise(NSGAN())), Consensus(LeakyEMA(R1(weight=0.3))),
]  # fmt: skip
coordinate = st.floats(-3, 3).filter(lambda x: abs(x) > 1e-3)


def finite_difference(game, dim=1, step=1e-6):
    """The Jacobian at 0 by central differences."""
    size = game.rows * dim
    columns = []
    for row in np.eye(size):
        ahead, behind = (game.field((s * row).reshape(game.rows, dim)) for s in (step, -step))
        columns.append((ahead - behind).ravel() / (2 * step))
    return np.array(columns).T


# Mescheder et al. (table of the slides), in their own sign: D is large on fakes.
MESCHEDER = {
    "gan": (GAN(), lambda t, p: (-p * expit(-t * p), t * expit(-t * p))),
    "nsgan": (NSGAN(), lambda t, p: (-p * expit(t * p), t * expit(-t * p))),
    "bilinear": (Bilinear(), lambda t, p: (-p, t)),
    "wgan_gp": (WGANGP(weight=0.7), lambda t, p: (-p, t - 0.7 * (abs(p) - 1) * np.sign(p))),
    "dragan": (
        DRAGAN(weight=0.7),
        lambda t, p: (-p * expit(-t * p), t * expit(-t * p) - 0.7 * (abs(p) - 1) * np.sign(p)),
    ),
    "r1": (R1(weight=0.3), lambda t, p: (-p * expit(-t * p), t * expit(-t * p) - 0.3 * p)),
    "r2": (R2(weight=0.3), lambda t, p: (-p * expit(-t * p), t * expit(-t * p) - 0.3 * p)),
}


@pytest.mark.parametrize("name", MESCHEDER)
@given(theta=coordinate, psi=coordinate)
@settings(max_examples=25, deadline=None)
def test_fields_of_mescheder(name, theta, psi):
    game, v = MESCHEDER[name]
    ours = game.field(np.array([[theta], [-psi]]))[:, 0]
    np.testing.assert_allclose(ours * [1, -1], v(theta, psi), rtol=1e-12, atol=1e-14)


def blog_fields(phi, theta):
    """The blog's (φ', θ'), λ = 1 (GAN-QP), λ = .1 (GP)."""
    u, length, far = theta @ phi, np.linalg.norm(phi), np.linalg.norm(theta)
    return {
        "nsgan": (-expit(u) * theta, (1 - expit(u)) * phi),
        "wgan": (-theta / length + u * phi / length**3, phi / length),
        "gp0": (-theta - 0.2 * phi, phi),
        "gp1": (-theta - 0.2 * (1 - 1 / length) * phi, phi),
        "qp": (-theta - u * theta / far, phi),
        "qp_l2": (-theta - u * theta / far - 0.1 * phi, phi),
    }


def test_fields_of_the_blog_in_two_dimensions():
    games = {
        "nsgan": NSGAN(), "wgan": NormalisedWGAN(), "gp0": WGANGP(weight=0.2, target=0.0),
        "gp1": WGANGP(weight=0.2), "qp": GANQP(), "qp_l2": L2(GANQP(), 0.1),
    }  # fmt: skip
    for theta, phi in np.random.default_rng(0).normal(size=(20, 2, 2)):
        for name, (phi_dot, theta_dot) in blog_fields(phi, theta).items():
            ours = games[name].field(np.array([theta, phi]))
            np.testing.assert_allclose(ours, [theta_dot, phi_dot], rtol=1e-12, err_msg=name)


@given(theta=coordinate, psi=coordinate, average=coordinate)
@settings(max_examples=50, deadline=None)
def test_leaky_field_is_thesis_15(theta, psi, average):
    def slope(t):
        return -expit(-t)  # φ'(t)

    beta, gamma = 0.3, 0.8
    expected = [
        -slope(psi * theta) * psi,
        slope(-psi * theta) * theta - beta * slope(psi * average) * average,
        (1 - gamma) * theta + np.log(gamma) * average,
    ]
    state = np.array([theta, psi, average])[:, None]
    field = UnnormalisedLeakyEMA(NSGAN(), beta, gamma).field(state)[:, 0]
    np.testing.assert_allclose(field, expected, rtol=1e-12, atol=1e-14)
    normalised = LeakyEMA(NSGAN(), beta, gamma).field(state)[:, 0]
    expected[2] = -np.log(gamma) * (theta - average)
    np.testing.assert_allclose(normalised, expected, rtol=1e-12, atol=1e-14)


def slope_of(loss, s, step=1e-5):
    return (loss(s + step) - loss(s - step)) / (2 * step)


@pytest.mark.parametrize("alpha_d", [0.2, 0.5, 1.2, 2.0, np.inf])
@pytest.mark.parametrize("saturating", [False, True])
def test_alpha_gan_slopes_are_the_derivatives_of_its_losses(alpha_d, saturating):
    alpha_g = 1.7
    game = AlphaGAN(alpha_d, alpha_g, saturating)

    def l1(s, alpha):
        k = 1 - 1 / alpha
        return (1 - expit(s) ** k) / k

    s = np.linspace(-3, 3, 13)
    np.testing.assert_allclose(game.r(s), slope_of(lambda t: l1(t, alpha_d), s), rtol=1e-7)
    np.testing.assert_allclose(game.f(s), slope_of(lambda t: l1(-t, alpha_d), s), rtol=1e-7)
    generator = (lambda t: -l1(-t, alpha_g)) if saturating else (lambda t: l1(t, alpha_g))
    np.testing.assert_allclose(game.g(s), slope_of(generator, s), rtol=1e-7)


def test_alpha_one_is_the_gan():
    state = np.random.default_rng(1).normal(size=(2, 3, 50))
    for saturating, twin in ((False, NSGAN()), (True, GAN())):
        ours = AlphaGAN(1.0, 1.0, saturating).field(state)
        np.testing.assert_allclose(ours, twin.field(state), rtol=1e-13)


def test_separable_losses_of_lsgan_and_relativistic():
    theta, psi, real = 0.7, -1.1, 0.4

    def lsgan(p):
        return 0.5 * (0.5 + p * real - 1) ** 2 + 0.5 * (0.5 + p * theta) ** 2

    def rsgan(p):
        return np.logaddexp(0, -(p * real - p * theta))

    arrays = np.array([theta]), np.array([psi])
    for game, loss in ((LSGAN(), lsgan), (RelativisticGAN(), rsgan)):
        np.testing.assert_allclose(
            game.discriminator(*arrays, real)[0], -slope_of(loss, psi), rtol=1e-8
        )
    np.testing.assert_allclose(
        LSGAN().generator(*arrays)[0],
        -slope_of(lambda t: 0.5 * (0.5 + psi * t - 1) ** 2, theta),
        rtol=1e-8,
    )


@pytest.mark.parametrize(("theta", "psi", "sigma"), [(0.8, -0.6, 0.7), (1.5, 1.2, 1.0)])
def test_instance_noise_is_the_expectation(theta, psi, sigma):
    def expect(h):
        return quad(lambda e: h(sigma * e) * gauss.pdf(e), -12, 12, epsabs=1e-13)[0]

    expected = [
        expect(lambda e: psi * expit(psi * (theta + e))),
        -expect(lambda e: expit(psi * (theta + e)) * (theta + e))
        + expect(lambda e: expit(-psi * e) * e),
    ]
    field = InstanceNoise(sigma=sigma).field(np.array([[theta], [psi]]))[:, 0]
    np.testing.assert_allclose(field, expected, atol=1e-10)
    # in two dimensions, along an axis: the noise across it averages out
    flat = InstanceNoise(sigma=sigma).field(np.array([[theta, 0], [psi, 0]]))
    np.testing.assert_allclose(flat, np.array([expected, [0, 0]]).T, atol=1e-10)


@given(theta=coordinate, psi=coordinate)
@settings(max_examples=50, deadline=None)
def test_consensus_field_by_hand(theta, psi):
    # |v|²/2 = (θ² + ψ²) s(u)²/2 with s = sigmoid, u = ψθ
    s = expit(theta * psi)
    slope, square = s * (1 - s), theta**2 + psi**2
    gradient = np.array([theta, psi]) * s**2 + square * s * slope * np.array([psi, theta])
    expected = np.array([psi * s, -theta * s]) - 0.7 * gradient
    field = Consensus(weight=0.7).field(np.array([[theta], [psi]]))[:, 0]
    np.testing.assert_allclose(field, expected, rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("game", SMOOTH, ids=repr)
def test_jacobian_is_the_derivative_in_every_dimension(game):
    np.testing.assert_allclose(game.jacobian(), finite_difference(game), atol=1e-6)
    in_2d = finite_difference(game, dim=2)
    np.testing.assert_allclose(in_2d, np.kron(game.jacobian(), np.eye(2)), atol=1e-6)


def test_eigenvalues_of_the_table():
    root = np.emath.sqrt
    sign = np.array([-1, 1])
    for gamma in (0.0, 0.3, 0.9, 1.1, 3.0):
        for game in (R1(weight=gamma), R2(weight=gamma), R1(NSGAN(), gamma)):
            expected = -gamma / 2 + sign * root(gamma**2 / 4 - 0.25)
            np.testing.assert_allclose(eigenvalues(game), expected, atol=1e-8)
        expected = -gamma / 4 + sign * 0.5j
        np.testing.assert_allclose(eigenvalues(Consensus(weight=gamma)), expected, atol=1e-8)
    for sigma in (0.0, 0.7, 1.3, 1.5, 2.0):
        expected = -(sigma**2) / 4 + sign * root(sigma**4 / 16 - 0.25)
        np.testing.assert_allclose(eigenvalues(InstanceNoise(sigma=sigma)), expected, atol=1e-8)
    for game, speed in ((GAN(), 0.5), (NSGAN(), 0.5), (WGAN(), 1.0), (LSGAN(), 0.5)):
        np.testing.assert_allclose(eigenvalues(game), sign * 1j * speed, atol=1e-8)
    for a, b in ((0.5, 1.2), (2.0, np.inf)):
        speed = 2 ** -(1 + (2 - 1 / a - 1 / b) / 2)
        np.testing.assert_allclose(eigenvalues(AlphaGAN(a, b)), sign * 1j * speed, atol=1e-8)


def test_critical_values():
    r1 = critical(lambda w: discriminant(R1(weight=w).jacobian()), 0.1, 3.0)
    noise = critical(lambda s: discriminant(InstanceNoise(sigma=s).jacobian()), 0.5, 2.0) ** 2
    assert r1 == pytest.approx(1, abs=1e-6)
    assert noise == pytest.approx(2, abs=1e-6)
    with pytest.raises(UsageError, match="change of sign"):
        critical(lambda w: discriminant(R1(weight=w).jacobian()), 2.0, 3.0)


@pytest.mark.parametrize(
    "game",
    [WGANGP(), DRAGAN(), NormalisedWGAN(), LeakyEMA(WGANGP()), Consensus(DRAGAN())],
    ids=repr,
)
def test_no_eigenvalues_where_the_field_jumps(game):
    with pytest.raises(UsageError, match="jumps"):
        eigenvalues(game)


def test_dragan_rests_away_from_the_data():
    weight = np.array([1.0, 1.0, 2.0, 2.0])
    start = np.array([[1, 0.1, 3, 1], [1, 0.1, -0.5, -1]])[:, None]
    run = descend(DRAGAN(weight=weight), start, 4000, 0.05, every=4000)
    theta, psi = run.state[-1, :, 0]
    np.testing.assert_allclose(np.abs(theta), weight / 0.5, rtol=2e-3)  # γ/f'(0)
    np.testing.assert_allclose(psi, 0, atol=1e-3)


def test_a_batch_of_parameters_is_a_loop_over_them():
    weights = np.array([0.1, 0.5, 2.0])
    state = np.random.default_rng(2).normal(size=(2, 2, 3))
    for kind in (R1, Consensus):
        batch = kind(weight=weights)
        for i, weight in enumerate(weights):
            single = kind(weight=weight)
            np.testing.assert_allclose(batch.field(state)[..., i], single.field(state[..., i]))
            np.testing.assert_allclose(batch.jacobian()[i], single.jacobian())


@pytest.mark.parametrize("name", [*METHODS, "leaky_ema", "consensus+leaky_ema"])
def test_every_method_by_name(name):
    found = method(name)
    run = descend(found.game, (0.5, -0.5), 20, 0.1)
    assert np.isfinite(run.state).all()
    assert run.state.shape == (21, found.game.rows, 1)
    if found.sweep:
        assert eigenvalues(swept(found)).shape == (len(found.sweep[1]), found.game.rows)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LeakyEMA(decay=1.0), "decay is 1.0"),
        (lambda: LeakyEMA(beta=1.5), "beta is 1.5"),
        (lambda: R1(weight=-1.0), "weight is -1.0"),
        (lambda: InstanceNoise(sigma=np.nan), "sigma is nan"),
        (lambda: AlphaGAN(alpha_d=0.0), "alpha_d is 0.0"),
        (lambda: InstanceNoise(GANQP()), "single samples"),
        (lambda: LeakyEMA(Consensus()), "plain game"),
        (lambda: R1(LeakyEMA()), "plain game"),
        (lambda: method("gann"), "did you mean 'gan'"),
        (lambda: method("gan+leaky"), "unknown method"),
    ],
)
def test_bad_parameters(make, message):
    with pytest.raises(UsageError, match=message) as error:
        make()
    assert "\n" not in str(error.value)


def test_importing_loads_no_framework():
    code = (
        "import sys, tfgan_ema.lab.dynamics; "
        "print([m for m in ('tensorflow', 'keras', 'torch', 'jax') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
