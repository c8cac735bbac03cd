"""Dirac-GANs in two dimensions (Su's blog)."""

from functools import cache

import numpy as np

from tfgan_ema.lab import dynamics as dy
from tfgan_ema.lab.dynamics.papers import Finding

SOURCE = "Su, blog"

# The state (φ, θ) = (0.1, 0.2, 0.2, 0.1), the times, and the radius that each path tends to.
BLOG_START = np.array([[0.2, 0.1], [0.1, 0.2]])
CIRCLE = float(np.sqrt(0.03))
BLOG_RUNS = {
    "NSGAN": (dy.NSGAN(), 100.0, CIRCLE),
    "WGAN, normalised": (dy.NormalisedWGAN(), 10.0, None),
    "WGAN-GP, c = 0": (dy.WGANGP(weight=0.2, target=0.0), 40.0, None),
    "WGAN-GP, c = 1": (dy.WGANGP(weight=0.2), 40.0, 1.0),
    "GAN-QP": (dy.GANQP(), 40.0, CIRCLE),
    "GAN-QP + L2": (dy.L2(dy.GANQP(), 0.1), 70.0, None),
}


@cache
def blog_runs() -> dict[str, dy.Trajectory]:
    """The blog's six two-dimensional runs."""
    return {
        name: dy.integrate(game, BLOG_START, duration, samples=2001)
        for name, (game, duration, _) in BLOG_RUNS.items()
    }


def _generator_radius(name: str) -> np.ndarray:
    return np.hypot(*blog_runs()[name].state[:, 0].T)


def _change_of_cross_product(name: str) -> float:
    (a, b), (c, d) = blog_runs()[name].state.transpose(1, 2, 0)
    return float(np.ptp(a * d - b * c))


def _late_radius(game: dy.Game, duration: float) -> float:
    run = dy.integrate(game, BLOG_START, duration, samples=101)
    return float(np.hypot(*run.state[-1, 0]))


def non_saturating_in_2d() -> Finding:
    """The non-saturating GAN circles around the equilibrium (2-D).

    Yes, because it keeps θ×φ = 0.03 ({error:within}); the path tends to the circle of radius √0.03
    = {circle:.4f} (|θ| = {late:.4f} at T = 4000). In 1-D nothing is kept and it converges slowly:
    radius {flat:.3f} at T = 4000.
    """
    error = _change_of_cross_product("NSGAN")
    flat = dy.integrate(dy.NSGAN(), (0.2, 0.1), 4000, samples=101).radius[-1]
    late = _late_radius(dy.NSGAN(), 4000)
    return error < 1e-8, {"error": error, "circle": CIRCLE, "late": late, "flat": flat}


def wgan_in_2d() -> Finding:
    """WGAN circles around the equilibrium (2-D).

    |θ| spans {low:.3g} to {high:.3g}; |φ| is kept to {kept:.0e}.
    """
    radius = _generator_radius("WGAN, normalised")
    kept = np.ptp(np.hypot(*blog_runs()["WGAN, normalised"].state[:, 1].T))
    return radius.min() > 0.05, {"low": radius.min(), "high": radius.max(), "kept": kept}


def wgan_gp_with_c_0() -> Finding:
    """WGAN-GP with c = 0 converges to the equilibrium.

    |θ| = {end:.1e} at T = 40.
    """
    end = _generator_radius("WGAN-GP, c = 0")[-1]
    return end < 5e-3, {"end": end}


def wgan_gp_with_c_1() -> Finding:
    """WGAN-GP with c = 1 converges to a circle.

    Of radius c = 1: |θ| = {late:.6f} at T = 400.
    """
    late = _late_radius(dy.WGANGP(weight=0.2), 400)
    return abs(late - 1) < 1e-4, {"late": late}


def gan_qp() -> Finding:
    """GAN-QP circles around the equilibrium (2-D).

    It keeps θ×φ too ({error:within}) and tends to the same circle (|θ| = {late:.4f} at T = 4000).
    """
    error = _change_of_cross_product("GAN-QP")
    return error < 1e-8, {"error": error, "late": _late_radius(dy.GANQP(), 4000)}


def gan_qp_with_l2() -> Finding:
    """L2 regularisation makes GAN-QP converge.

    |θ| = {end:.4f} at T = 70. For a linear discriminator weight decay and the zero-centred penalty
    are the same field.
    """
    end = _generator_radius("GAN-QP + L2")[-1]
    return end < 1e-2, {"end": end}


def only_the_penalty() -> Finding:
    """The zero-centred penalty is the only one that is locally convergent.

    The largest real parts of consensus, instance noise and LeakyEMA are {rates:.3f}: all converge
    locally.
    """
    games = dy.Consensus(), dy.InstanceNoise(), dy.LeakyEMA()
    rates = [dy.eigenvalues(game).real.max() for game in games]
    return max(rates) >= 0, {"rates": rates}
