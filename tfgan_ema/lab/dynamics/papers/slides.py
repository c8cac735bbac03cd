# ruff: noqa: RUF001 (Greek letters are meant)
"""Which training methods converge (Mescheder et al., 2018, as told in the slides)."""

from functools import cache

import numpy as np
from numpy.typing import ArrayLike

from tfgan_ema.lab import dynamics as dy
from tfgan_ema.lab.dynamics.games import sigmoid
from tfgan_ema.lab.dynamics.papers import Finding

SOURCE = "Mescheder et al., slides"

PLUS_MINUS_I = np.array([-1j, 1j])

# Mescheder et al.'s reference notebook starts at (1, 1) in its mirrored sign, h = 0.2, G first.
NOTEBOOK_START, NOTEBOOK_STEP, NOTEBOOK_STEPS = (1.0, -1.0), 0.2, 500
NOTEBOOK = {
    "GAN": dy.GAN(),
    "NSGAN": dy.NSGAN(),
    "WGAN, clip 1": dy.WGAN(),
    "WGAN-GP, γ = 0.7": dy.WGANGP(weight=0.7),
    "Instance noise, σ = 0.7": dy.InstanceNoise(),
    "GAN + R1, γ = 0.3": dy.R1(weight=0.3),
    "GAN + R1, γ = 1": dy.R1(),
    "Consensus, γ = 1": dy.Consensus(),
    "NSGAN + R1, γ = 0.3": dy.R1(dy.NSGAN(), 0.3),
}
NOTEBOOK_RULES = {
    "SimGD": {"rule": "simultaneous"},
    "AltGD, n_D = 1": {"first": "generator"},
    "AltGD, n_D = 5": {"first": "generator", "n_dis": 5},
}


@cache
def notebook_runs() -> dict[str, list[dy.Trajectory]]:
    """The reference notebook's runs by method, one for each of `NOTEBOOK_RULES`."""
    return {
        name: [
            dy.descend(game, NOTEBOOK_START, NOTEBOOK_STEPS, NOTEBOOK_STEP, **rule)
            for rule in NOTEBOOK_RULES.values()
        ]
        for name, game in NOTEBOOK.items()
    }


def end_radii(name: str) -> list[float]:
    """Where the notebook's runs of a method end, by rule."""
    return [run.radius[-1] for run in notebook_runs()[name]]


def eigenvalue_error(game: dy.Game, expected: ArrayLike) -> float:
    """The largest error of the expected eigenvalues at the equilibrium."""
    return np.abs(dy.eigenvalues(game) - np.sort_complex(expected)).max()


def lemma_2() -> Finding:
    """The Jacobian of the Dirac-GAN has the eigenvalues ±i f'(0) (Lemma 2).

    ±i/2 {error:within}.
    """
    error = eigenvalue_error(dy.GAN(), 0.5 * PLUS_MINUS_I)
    return error < 1e-8, {"error": error}


def lemma_2_3() -> Finding:
    """Integral curves of the GAN keep θ² + ψ² (Lemma 2.3).

    |(θ, ψ)| changes by {change:.0e} in 100 units of time.
    """
    change = np.ptp(dy.integrate(dy.GAN(), (1, -1), 100).radius)
    return change < 1e-8, {"change": change}


def unit_circle() -> Finding:
    """Simultaneous descent is unstable for every step; alternating descent turns on the unit
    circle.

    |1 ± i h f'| = {simultaneous:.6f} at h = 0.2. Alternating: the spectral radius is {inside:.3f}
    at h f' = 0.1, 1, 1.9; the circle is left beyond h f' = 2 ({outside:.3f} at 2.1).
    """
    simultaneous = dy.spectral_radius(dy.update_matrix(dy.GAN(), 0.2, rule="simultaneous"))
    *inside, outside = (
        dy.spectral_radius(dy.update_matrix(dy.GAN(), 2 * angle)) for angle in (0.1, 1, 1.9, 2.1)
    )
    agrees = simultaneous > 1 and np.allclose(inside, 1)
    return agrees, {"simultaneous": simultaneous, "inside": inside, "outside": outside}


def usual_f() -> Finding:
    """The common choice is f(t) = −log(1) + exp(−t).

    Garbled: f(t) = −log(1 + exp(−t)), with f'(0) = {slope:g} and f''(0) = {curvature:g}; the
    printed one has f'(0) = {printed:g}.
    """
    slope, printed = sigmoid(0.0), np.imag(np.exp(-1e-30j)) / 1e-30
    numbers = {"slope": slope, "curvature": -slope * (1 - slope), "printed": printed}
    return printed == slope, numbers


def sublinear() -> Finding:
    """With all |λ| < 1 the algorithm converges in sublinear time.

    It converges linearly: R1 on NSGAN shrinks by {rate:.5f} a step, and the spectral radius is
    {rho:.5f}. Sublinear convergence is what the unit circle allows.
    """
    game = dy.R1(dy.NSGAN(), 0.3)
    radius = dy.descend(game, (1, 1), 400, 0.1, rule="simultaneous").radius
    rate = (radius[400] / radius[200]) ** (1 / 200)
    rho = dy.spectral_radius(dy.update_matrix(game, 0.1, rule="simultaneous"))
    return abs(rate - rho) > 1e-2, {"rate": rate, "rho": rho}


def wgan() -> Finding:
    """WGAN does not converge.

    The end radii are {ends:.2f} after 500 steps (simultaneous, n_D = 1, n_D = 5).
    """
    ends = end_radii("WGAN, clip 1")
    return min(ends) > 0.1, {"ends": ends}


def wgan_gp() -> Finding:
    """WGAN-GP does not converge.

    With weight 0.7 it ends on a cycle of radius {low:.3g} to {high:.3g} (h = 0.01).
    """
    cycle = dy.descend(dy.WGANGP(weight=0.7), (0.1, 0.1), 8_000, 0.01).radius[-2000:]
    return cycle.min() > 0.1, {"low": cycle.min(), "high": cycle.max()}


def dragan() -> Finding:
    """DRAGAN does not converge.

    With weight γ = 2 it comes to rest at |θ| = {theta:.4f} = γ/f'(0), ψ = {psi:.0e}: at rest, and
    away from the data. With γ < 1 it may also end on a cycle.
    """
    run = dy.descend(dy.DRAGAN(weight=2.0), (0.1, 0.1), 40_000, 0.01, every=1000)
    theta, psi = np.abs(run.state[-1, :, 0])
    return theta > 0.1, {"theta": theta, "psi": psi}


def instance_noise() -> Finding:
    """Instance noise: λ = f''σ² ± √(f''²σ⁴ − f'²) (Lemma 3.2).

    Equal {error:within}; no rotation from σ² = {critical:.9f}.
    """
    square = 0.7**2
    expected = -square / 4 + np.sqrt(0.25 - square**2 / 16) * PLUS_MINUS_I
    error = eigenvalue_error(dy.InstanceNoise(sigma=0.7), expected)
    critical = dy.critical(lambda s: dy.discriminant(dy.InstanceNoise(sigma=s).jacobian()), 1, 2)
    agrees = error < 1e-8 and abs(critical**2 - 2) < 1e-6
    return agrees, {"error": error, "critical": critical**2}


def zero_centred_penalty() -> Finding:
    """Zero-centred penalty: λ = −γ/2 ± √(γ²/4 − f'²), critical γ = 2|f'(0)| (Lemma 3.3); R1 and R2
    converge.

    Equal {error:within}; critical γ = {critical:.9f}; end radii {ends:.1e} with γ = 0.3. R1 and R2
    are the same field here.
    """
    gamma, ends = 0.3, end_radii("GAN + R1, γ = 0.3")
    expected = -gamma / 2 + np.sqrt(0.25 - gamma**2 / 4) * PLUS_MINUS_I
    error = eigenvalue_error(dy.R1(weight=gamma), expected)
    critical = dy.critical(lambda w: dy.discriminant(dy.R1(weight=w).jacobian()), 0.1, 3)
    agrees = error < 1e-8 and abs(critical - 1) < 1e-6
    return agrees, {"error": error, "critical": critical, "ends": ends[:2]}


def consensus() -> Finding:
    """Consensus optimisation converges.

    λ = −γ f'² ± i f' {error:within}; end radii {ends:.1e}. But with five discriminator steps of 0.2
    per generator step it does not (end radius {n_dis_5:.1f}).
    """
    error = eigenvalue_error(dy.Consensus(), -0.25 + 0.5 * PLUS_MINUS_I)
    *ends, n_dis_5 = end_radii("Consensus, γ = 1")
    agrees = error < 1e-8 and max(ends) < 1e-6
    return agrees, {"error": error, "ends": ends, "n_dis_5": n_dis_5}


def non_saturating() -> Finding:
    """The non-saturating GAN does not converge.

    Not linearly (λ = ±i/2), but it never diverges in one dimension: d(r²/2)/dt = −u tanh(u/2), u =
    ψθ. Alternating descent decays like √(8/(h k)) (ratio {law:.3f} after 10⁵ steps); simultaneous
    descent settles on a cycle of radius √(2h) (ratios {ratios:.3f} at h = 0.05, 0.1).
    """
    slow = dy.descend(dy.NSGAN(), (1, 1), 100_000, 0.1, every=10_000).radius[-1]
    law = slow * np.sqrt(0.1 * 100_000 / 8)
    steps = np.array([0.05, 0.1])
    start, simultaneous = np.ones((2, 1, 2)), {"rule": "simultaneous", "every": 1000}
    cycles = dy.descend(dy.NSGAN(), start, 20_000, steps, **simultaneous).radius[-1]
    return law > 1.1, {"law": law, "ratios": cycles / np.sqrt(2 * steps)}


non_saturating.source = "Slides and thesis"  # both state it
