"""What a generated sample feels at the optimal discriminator of an (α_D, α_G)-GAN (Otstot).

Everything is a function of the log-odds ``log p_r(x) - log p_g(x)`` of the true posterior
P(Y = 1|x), which the GAN with α_D = 1 learns. Densities are mixtures of equal round Gaussians,
given by their centres ``(k, dim)`` and one sigma; points are ``(..., dim)``.
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import logsumexp, softmax

from tfgan_ema.lab.dynamics.games import AlphaGAN, Array, check, sigmoid


def tilted_posterior(log_odds: ArrayLike, alpha_d: ArrayLike = 1.0) -> Array:
    """The optimal discriminator, ``p_r^α / (p_r^α + p_g^α)`` (theorem 1); α = 1: the posterior."""
    check(alpha_d=alpha_d)
    return sigmoid(np.multiply(alpha_d, log_odds))


def gradient_scalar(
    log_odds: ArrayLike, alpha_d: ArrayLike, alpha_g: ArrayLike, saturating: bool = False
) -> Array:
    """The factor of the gradient that depends on the alphas (theorems 2 and 3).

    With P the tilted posterior, C = α_D P (1 - P)^(1 - 1/α_G) if ``saturating``, and else
    C_NS = α_D (1 - P) P^(1 - 1/α_G).
    """
    check(alpha_d=alpha_d, alpha_g=alpha_g)
    logit = np.multiply(alpha_d, log_odds)
    return -np.asarray(alpha_d) * AlphaGAN.l1(-logit if saturating else logit, alpha_g)


def log_density(points: Array, centres: ArrayLike, sigma: float) -> Array:
    """The logarithm of a mixture's density, without the constant that the sigma sets."""
    return logsumexp(_exponents(points, centres, sigma), axis=-1) - np.log(len(centres))


def score(points: Array, centres: ArrayLike, sigma: float) -> Array:
    """The gradient of `log_density`, ``(..., dim)``."""
    shares = softmax(_exponents(points, centres, sigma), axis=-1)
    return (shares @ np.asarray(centres) - points) / sigma**2


def log_odds(points: Array, real: ArrayLike, fake: ArrayLike, sigma: float) -> Array:
    """``log p_r - log p_g`` of two mixtures of one sigma."""
    return log_density(points, real, sigma) - log_density(points, fake, sigma)


def direction(points: Array, real: ArrayLike, fake: ArrayLike, sigma: float) -> Array:
    """Where a sample moves, for all alphas and both objectives: ``∇p_r/p_r - ∇p_g/p_g``.

    `gradient_scalar` times this is minus the gradient of the generator's loss at the sample.
    """
    return score(points, real, sigma) - score(points, fake, sigma)


def _exponents(points: Array, centres: ArrayLike, sigma: float) -> Array:
    offsets = np.asarray(points)[..., None, :] - np.asarray(centres)
    return -np.square(offsets).sum(-1) / (2 * sigma**2)
