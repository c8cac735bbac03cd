"""The methods by name, with the parameters of the papers' figures."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from tfgan_ema.errors import unknown
from tfgan_ema.lab.dynamics import games, regularisers
from tfgan_ema.lab.dynamics.games import Game, check


@dataclass(frozen=True)
class Method:
    """A named game; ``sweep`` is the parameter whose eigenvalues are drawn, with its values."""

    label: str
    game: Game
    sweep: tuple[str, np.ndarray] | None = None


_WEIGHTS = ("weight", np.linspace(0, 2, 121))
_SIGMAS = ("sigma", np.linspace(0, 2, 121))
_BETAS = ("beta", np.linspace(0, 1, 101))

METHODS = {
    "gan": Method("GAN", games.GAN()),
    "nsgan": Method("NSGAN", games.NSGAN()),
    "wgan": Method("WGAN, clipped", games.WGAN()),
    "wgan_normalised": Method("WGAN, normalised", games.NormalisedWGAN()),
    "wgan_gp": Method("WGAN-GP", regularisers.WGANGP(weight=0.7)),
    "wgan_div": Method("WGAN-div", regularisers.WGANGP(weight=0.7, target=0.0), _WEIGHTS),
    "dragan": Method("DRAGAN", regularisers.DRAGAN(weight=0.7)),
    "r1": Method("R1", regularisers.R1(weight=0.3), _WEIGHTS),
    "r2": Method("R2", regularisers.R2(weight=0.3), _WEIGHTS),
    "consensus": Method("Consensus", regularisers.Consensus(), _WEIGHTS),
    "instance_noise": Method("Instance noise", regularisers.InstanceNoise(), _SIGMAS),
    "gan_qp": Method("GAN-QP", games.GANQP()),
    "gan_qp_l2": Method("GAN-QP + L2", regularisers.L2(games.GANQP(), 0.1), _WEIGHTS),
    "alpha_gan": Method("(0.5, 1.2)-GAN", games.AlphaGAN(0.5, 1.2)),
    "lsgan": Method("LSGAN", games.LSGAN()),
    "relativistic": Method("RSGAN", games.RelativisticGAN()),
    "bilinear": Method("Bilinear game", games.Bilinear()),
}
LEAKS = {
    "leaky_ema": ("LeakyEMA", regularisers.LeakyEMA),
    "leaky_ema_unnormalised": ("LeakyEMA, unnormalised", regularisers.UnnormalisedLeakyEMA),
}


def method(name: str, beta: float = 0.5, decay: float = 0.9) -> Method:
    """A method by name: one of `METHODS`, ``NAME+LEAK`` for a leak on it, or ``LEAK`` for NSGAN's.

    Args:
        name: such as ``r1``, ``leaky_ema``, ``lsgan+leaky_ema_unnormalised``.
        beta: the leaking share.
        decay: the leaking average's decay.

    Raises:
        UsageError: an unknown name, or a share or decay out of range.
    """
    check(beta=beta, decay=decay)
    base, _, leak = (f"nsgan+{name}" if name in LEAKS else name).partition("+")
    if base not in METHODS or (leak and leak not in LEAKS):
        raise unknown("method", name, [*METHODS, *LEAKS, *(f"NAME+{key}" for key in LEAKS)])
    if not leak:
        return METHODS[base]
    label, kind = LEAKS[leak]
    game = _leaky(METHODS[base].game, kind, beta, decay)
    return Method(f"{METHODS[base].label} + {label}", game, _BETAS)


def _leaky(game: Game, kind: type[regularisers.LeakyEMA], beta: float, decay: float) -> Game:
    """A leak on ``game``; inside consensus, whose gradient must see it."""
    if isinstance(game, regularisers.Consensus):
        return replace(game, game=_leaky(game.game, kind, beta, decay))
    return kind(game, beta, decay)


def swept(method: Method) -> Game:
    """The method's game with all values of its ``sweep`` at once."""
    return _with(method.game, *method.sweep)


def _with(game: Game, name: str, values: ArrayLike) -> Game:
    """The game with other values of a parameter, its own or one of the game inside."""
    if hasattr(game, name):
        return replace(game, **{name: values})
    return replace(game, game=_with(game.game, name, values))
