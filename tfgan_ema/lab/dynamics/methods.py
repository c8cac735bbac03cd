"""The methods by name, with the parameters of the papers' figures."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from tfgan_ema.errors import UsageError, unknown
from tfgan_ema.lab.dynamics import games
from tfgan_ema.lab.dynamics.games import Game


@dataclass(frozen=True)
class Method:
    """A named game; ``sweep`` is the parameter whose eigenvalues are drawn, with its values."""

    label: str
    game: Game
    sweep: tuple[str, np.ndarray] | None = None

    @property
    def smooth(self) -> bool:
        """Whether the field has a Jacobian at the equilibrium."""
        try:
            self.game.jacobian()
        except UsageError:
            return False
        return True


_WEIGHTS = np.linspace(0, 2, 121)

METHODS = {
    "gan": Method("GAN", games.GAN()),
    "nsgan": Method("NSGAN", games.NSGAN()),
    "wgan": Method("WGAN, clipped", games.WGAN()),
    "wgan_normalised": Method("WGAN, normalised", games.NormalisedWGAN()),
    "wgan_gp": Method("WGAN-GP", games.WGANGP(weight=0.7)),
    "wgan_div": Method("WGAN-div", games.WGANGP(weight=0.7, target=0.0), ("weight", _WEIGHTS)),
    "dragan": Method("DRAGAN", games.DRAGAN(weight=0.7)),
    "r1": Method("R1", games.R1(weight=0.3), ("weight", _WEIGHTS)),
    "r2": Method("R2", games.R2(weight=0.3), ("weight", _WEIGHTS)),
    "consensus": Method("Consensus", games.Consensus(), ("weight", _WEIGHTS)),
    "instance_noise": Method(
        "Instance noise", games.InstanceNoise(), ("sigma", np.linspace(0, 2, 121))
    ),
    "gan_qp": Method("GAN-QP", games.GANQP()),
    "gan_qp_l2": Method("GAN-QP + L2", games.L2(games.GANQP(), 0.1), ("weight", _WEIGHTS)),
    "alpha_gan": Method("(0.5, 1.2)-GAN", games.AlphaGAN(0.5, 1.2)),
    "lsgan": Method("LSGAN", games.LSGAN()),
    "relativistic": Method("RSGAN", games.RelativisticGAN()),
    "bilinear": Method("Bilinear game", games.Bilinear()),
}
LEAKS = {
    "leaky_ema": games.LeakyEMA,
    "leaky_ema_unnormalised": games.UnnormalisedLeakyEMA,
}


def method(name: str, beta: float = 0.5, decay: float = 0.9) -> Method:
    """A method by name: one of `METHODS`, ``NAME+LEAK`` for a leak on it, or ``LEAK`` for NSGAN's.

    Args:
        name: such as ``r1``, ``leaky_ema``, ``lsgan+leaky_ema_unnormalised``.
        beta: the leaking share.
        decay: the leaking average's decay.
    """
    base, _, leak = (f"nsgan+{name}" if name in LEAKS else name).partition("+")
    if base not in METHODS or (leak and leak not in LEAKS):
        pairs = [f"NAME+{key}" for key in LEAKS]
        raise unknown("method", name, [*METHODS, *LEAKS, *pairs])
    found = METHODS[base]
    if not leak:
        return found
    label = f"{found.label} + {leak.replace('leaky_ema', 'LeakyEMA').replace('_', ', ')}"
    game = leaky(found.game, LEAKS[leak], beta, decay)
    return Method(label, game, ("beta", np.linspace(0, 1, 101)))


def leaky(game: Game, kind: type[games.LeakyEMA], beta: float, decay: float) -> Game:
    """A leak on ``game``; inside consensus, whose gradient then sees it."""
    if isinstance(game, games.Consensus):
        return replace(game, game=leaky(game.game, kind, beta, decay))
    return kind(game, beta, decay)


def swept(found: Method) -> Game:
    """The method's game with the whole sweep of its parameter at once."""
    name, values = found.sweep
    inner = isinstance(found.game, games.Consensus) and name == "beta"
    if inner:
        return replace(found.game, game=replace(found.game.game, beta=values))
    return replace(found.game, **{name: values})
