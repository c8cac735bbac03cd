"""(α_D, α_G)-GANs (Otstot's slides) and the relativistic GAN (Jolicoeur-Martineau)."""

import numpy as np
from scipy.special import logit

from tfgan_ema.lab import dynamics as dy
from tfgan_ema.lab.dynamics.papers import Finding

SOURCE = "Otstot, slides"

_ALPHAS = np.array([(0.3, 0.8), (0.5, 1.2), (1.5, 2.0), (2.0, 1.2)])
_POSTERIORS = np.linspace(0.01, 0.99, 99)
_STEP = 1e-30j


def _l1(s: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """The α-loss of a logit, real or complex; not for α = 1."""
    k = 1 - 1 / alpha
    return (1 - (1 + np.exp(-s)) ** -k) / k


def theorem_1() -> Finding:
    """The optimal discriminator is the posterior tilted by α_D (theorem 1).

    There the expected α-loss is flat, {error:within}, for posteriors from 0.01 to 0.99 and α_D from
    0.3 to 2; a tenth of a logit away on either side it is higher.
    """
    alpha, posterior = _ALPHAS[:, :1], _POSTERIORS
    best = alpha * logit(posterior)

    def expected(s):
        return posterior * _l1(s, alpha) + (1 - posterior) * _l1(-s, alpha)

    error = np.abs(expected(best + _STEP).imag / _STEP.imag).max()
    least = all((expected(best + shift) > expected(best)).all() for shift in (-0.1, 0.1))
    return error < 1e-12 and least, {"error": error}


def theorems_2_and_3() -> Finding:
    """The alphas change the size of the gradient that a sample receives, not its direction.

    It is C or C_NS times ∇p_g/p_g − ∇p_r/p_r (theorems 2 and 3), {error:within} relative to the
    derivative of the loss; C_NS at a posterior P is C at 1 − P.
    """
    alpha_d, alpha_g = _ALPHAS[:, :1], _ALPHAS[:, 1:]
    odds = logit(_POSTERIORS)
    tilted = alpha_d * (odds + _STEP)  # the log-odds' gradient is minus that direction
    losses = {True: -_l1(-tilted, alpha_g), False: _l1(tilted, alpha_g)}
    errors = [
        loss.imag / -_STEP.imag / dy.gradient_scalar(odds, alpha_d, alpha_g, saturating) - 1
        for saturating, loss in losses.items()
    ]
    error = np.abs(errors).max()
    return error < 1e-12, {"error": error}


def _far_and_near(saturating: bool) -> np.ndarray:
    """The scalar at P = 0.01 and 0.99, for (1, 1), (0.5, 1) and (1, 1.2)."""
    odds = logit([0.01, 0.99])[:, None]
    return dy.gradient_scalar(odds, [1, 0.5, 1], [1, 1, 1.2], saturating)


def saturating_scalar() -> Finding:
    """α_D < 1 enlarges C far from the real data, α_G > 1 lessens it close to them.

    For (1, 1), (0.5, 1), (1, 1.2): C = {far:.3f} at P = 0.01, {near:.3f} at P = 0.99. α_D < 1
    lessens it close to them as well.
    """
    far, near = _far_and_near(saturating=True)
    return far[1] > far[0] and near[2] < near[0], {"far": far, "near": near}


def non_saturating_scalar() -> Finding:
    """α_D < 1 lessens C_NS far from the real data and enlarges it close to them; α_G > 1 lessens it
    far away.

    For (1, 1), (0.5, 1), (1, 1.2): C_NS = {far:.3f} at P = 0.01, {near:.3f} at P = 0.99.
    """
    far, near = _far_and_near(saturating=False)
    return far[2] < far[0] > far[1] and near[1] > near[0], {"far": far, "near": near}


def _alpha_ends(saturating: bool) -> np.ndarray:
    """End radii for α_D = 1, 0.6, 0.5."""
    game = dy.AlphaGAN(np.array([1.0, 0.6, 0.5]), 1.0, saturating)
    return dy.descend(game, np.ones((2, 1, 3)), 5000, 0.1, every=100).radius[-1]


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
