"""(α_D, α_G)-GANs (Otstot's slides) and the relativistic GAN (Jolicoeur-Martineau)."""

import numpy as np

from tfgan_ema.lab import dynamics as dy
from tfgan_ema.lab.dynamics.papers import Finding

SOURCE = "Otstot, slides"


def _alpha_ends(saturating: bool) -> list[float]:
    """End radii for α_D = 1, 0.6, 0.5."""
    games = (dy.AlphaGAN(alpha, 1.0, saturating) for alpha in (1.0, 0.6, 0.5))
    return [dy.descend(game, (1, 1), 5000, 0.1, every=100).radius[-1] for game in games]


def saturating_alpha() -> Finding:
    """α_D < 1 steadies the saturating GAN.

    On the Dirac problem, alternating, h = 0.1, 5000 steps: end radius {ends:.2f} for α_D = 1, 0.6,
    0.5 (α_G = 1).
    """
    ends = _alpha_ends(saturating=True)
    return ends[2] < ends[1] < ends[0], {"ends": ends}


def non_saturating_alpha() -> Finding:
    """Non-saturating, α_D < 1 combats oscillation.

    End radius {ends:.3f} for α_D = 1, 0.6, 0.5: a little. To first order α only sets how fast the
    game turns: λ = ±i 2^−(1 + (k_D + k_G)/2), k = 1 − 1/α, {error:within}; {speeds:.3f} at (0.5,
    1.2), (1, 1), (2, 1).
    """
    ends = _alpha_ends(saturating=False)
    alphas = np.array([(0.5, 1.2), (1, 1), (2, 1)])
    speeds = dy.eigenvalues(dy.AlphaGAN(*alphas.T)).imag.max(-1)
    error = np.ptp(speeds - 2 ** -(1 + (1 - 1 / alphas).sum(1) / 2))
    return max(ends[1:]) < ends[0], {"ends": ends, "speeds": speeds, "error": error}


def range_of_alpha() -> Finding:
    """α lies in [0, ∞).

    In (0, ∞]: as α → 0 the loss (1 − 2^−k)/k at even odds has no limit (k = (α−1)/α; {small:.0e} at
    α = 0.02), while α = ∞, total variation, has one: {infinite:g}.
    """
    k = 1 - 1 / np.array([0.02, np.inf])
    small, infinite = (1 - 2**-k) / k
    return small < 1e3, {"small": small, "infinite": infinite}


def relativistic() -> Finding:
    """The relativistic discriminator is a key element missing from the standard GAN.

    Not on this problem: with one real and one fake point, the real one at 0, RSGAN is the
    non-saturating GAN (fields equal {error:within}). With a leak they differ.
    """
    state = np.random.default_rng(0).normal(size=(2, 3, 100))
    error = np.abs(dy.RelativisticGAN().field(state) - dy.NSGAN().field(state)).max()
    return error > 1e-6, {"error": error}


relativistic.source = "Jolicoeur-Martineau, slides"
