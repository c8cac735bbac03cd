"""What is put around a game: gradient penalties, instance noise, consensus, and the leak.

LeakyEMA goes around penalties and noise; consensus goes around LeakyEMA, since its gradient must
see the leak.
"""

from dataclasses import dataclass, field
from operator import attrgetter

import numpy as np
from numpy.typing import ArrayLike

from tfgan_ema.errors import UsageError
from tfgan_ema.lab.dynamics.games import GAN, NSGAN, STEP, Array, Bilinear, Game, Separable, unit


@dataclass(frozen=True)
class Wrapper(Game):
    """A change to another game, which gives everything that the wrapper does not define."""

    game: Game = field(default_factory=GAN)

    def __post_init__(self):
        super().__post_init__()
        leaky_inside = self.game.rows > 2 and not isinstance(self, Consensus)
        if leaky_inside or isinstance(self.game, Consensus):
            raise UsageError(
                f"{type(self).__name__} of {type(self.game).__name__}: expected a plain game; "
                "LeakyEMA goes around the penalties and Consensus around LeakyEMA."
            )

    rows = property(attrgetter("game.rows"))
    smooth = property(attrgetter("game.smooth"))
    generator = property(attrgetter("game.generator"))
    project = property(attrgetter("game.project"))
    remember = property(attrgetter("game.remember"))
    drift = property(attrgetter("game.drift"))


@dataclass(frozen=True)
class GradientPenalty(Wrapper):
    """``weight/2 · E(|∇D| - target)²``; ``∇D = ψ`` everywhere, so it may be taken anywhere.

    The blog's ``λ(|ψ| - c)²`` is ``weight = 2λ``.
    """

    weight: ArrayLike = 1.0
    target: float = 0.0

    @property
    def smooth(self) -> bool:
        return not self.target and self.game.smooth

    def discriminator(self, theta, psi, real=0.0):
        """``ψ'`` of the game ``- weight (|ψ| - target) ψ/|ψ|``."""
        pull = psi - self.target * unit(psi) if self.target else psi
        return self.game.discriminator(theta, psi, real) - self.weight * pull


class R1(GradientPenalty):
    """``weight/2 · E_real |∇D|²`` (slides (1))."""


class R2(GradientPenalty):
    """``weight/2 · E_fake |∇D|²`` (slides (2)); on this problem the same field as R1."""


class L2(GradientPenalty):
    """The blog's weight decay ``-weight ψ``: for a linear discriminator, R1 under another name."""


@dataclass(frozen=True)
class WGANGP(GradientPenalty):
    """WGAN with the one-centred penalty of Gulrajani et al. (``target=0``: WGAN-div)."""

    game: Game = field(default_factory=Bilinear)
    target: float = 1.0


@dataclass(frozen=True)
class DRAGAN(GradientPenalty):
    """The GAN with the same one-centred penalty, taken around the data."""

    target: float = 1.0


# Gauss-Hermite nodes x and weights w with Σ w h(x) ≈ E h(ε), ε ~ N(0, 1)
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(64)
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()


@dataclass(frozen=True)
class InstanceNoise(Wrapper):
    """Gaussian noise of deviation ``sigma`` on real and fake samples of a `Separable` game.

    The expectation is a Gauss-Hermite sum, not a sample mean.
    """

    sigma: ArrayLike = 0.7

    def __post_init__(self):
        super().__post_init__()
        if not isinstance(self.game, Separable):
            raise UsageError(
                f"instance noise on {type(self.game).__name__}: expected losses of single samples, "
                "such as GAN or NSGAN."
            )

    def _expectation(self, function, theta, psi):
        """``E function(ε, θ, ψ)`` over ``ε`` like ``θ``; the nodes lie along a new second axis."""
        dim, batch = len(theta), [1] * (theta.ndim - 1)
        x = np.stack(np.meshgrid(*[_NODES] * dim)).reshape(dim, -1, *batch)
        w = np.prod(np.meshgrid(*[_WEIGHTS] * dim), 0).reshape(-1, *batch)
        return (w * function(self.sigma * x, theta[:, None], psi[:, None])).sum(1)

    def generator(self, theta, psi, *memory):
        """``θ' = E over ε of the game's``."""
        return self._expectation(lambda e, t, p: self.game.generator(t + e, p), theta, psi)

    def discriminator(self, theta, psi, real=0.0):
        """``ψ' = E over ε of the game's``; one ε may serve both samples, as the losses add up."""
        real = np.broadcast_to(real, theta.shape)[:, None]
        return self._expectation(
            lambda e, t, p: self.game.discriminator(t + e, p, real + e), theta, psi
        )


@dataclass(frozen=True)
class Consensus(Wrapper):
    """Consensus optimisation (Mescheder et al., 2017): ``v - weight ∇(|v|²/2)``.

    ``∇(|v|²/2) = J^T v`` with the Jacobian ``J`` of the two players by complex step. Around
    LeakyEMA, the average is held fixed in the gradient.
    """

    weight: ArrayLike = 1.0

    def players(self, *state: Array) -> Array:
        """``v - weight J^T v`` for θ and ψ, ``(2, dim, *batch)``."""
        v = self.game.field(state)[:2]
        gradient = np.empty_like(v)
        for row, i in np.ndindex(v.shape[:2]):
            moved = np.array(state, complex)
            moved[row, i] += 1j * STEP
            slope = self.game.field(moved)[:2].imag / STEP
            gradient[row, i] = (slope * v).sum((0, 1))
        return v - self.weight * gradient

    def generator(self, *state):
        return self.players(*state)[0]

    def discriminator(self, *state):
        return self.players(*state)[1]

    def jacobian(self):
        """``J - weight J^T J`` on the players' rows: ``v = 0`` there, so no second derivative."""
        jacobian = self.game.jacobian() + np.zeros((*self.shape, 1, 1))
        players = jacobian[..., :2, :]
        gradient = np.swapaxes(players[..., :2], -1, -2) @ players
        jacobian[..., :2, :] -= np.asarray(self.weight)[..., None, None] * gradient
        return jacobian


@dataclass(frozen=True)
class LeakyEMA(Wrapper):
    """A share ``beta`` of the real data are samples of the averaged generator (thesis 3.1, A).

    The discriminator meets ``β δ(θ_e) + (1-β) δ(0)`` (13); the generator does not see the leak.
    Continuous time takes the normalised average, ``θ_e' = L(θ - θ_e)`` with ``L = -ln decay``: one
    unit of time is one EMA step.
    """

    game: Game = field(default_factory=NSGAN)
    beta: ArrayLike = 0.5
    decay: ArrayLike = 0.9

    rows = 3

    def discriminator(self, theta, psi, average):
        """(14): the game's ``ψ'``, averaged over the two real points."""
        leak = self.game.discriminator(theta, psi, average)
        return (1 - self.beta) * self.game.discriminator(theta, psi) + self.beta * leak

    def remember(self, theta, average):
        """``θ_e <- decay θ_e + (1 - decay) θ``."""
        return (self.decay * average + (1 - self.decay) * theta,)

    def drift(self, theta, average):
        """``θ_e' = L(θ - θ_e)``, ``L = -ln decay``."""
        return (-np.log(self.decay) * (theta - average),)


class UnnormalisedLeakyEMA(LeakyEMA):
    """LeakyEMA with the thesis's continuous average (11), (15), whose weights sum to less than 1.

    Its gain on a constant is ``(1 - decay)/(-ln decay)``, which makes ``beta = 1`` look stable.
    """

    def drift(self, theta, average):
        """``θ_e' = (1 - decay) θ + ln(decay) θ_e`` (15)."""
        return ((1 - self.decay) * theta + np.log(self.decay) * average,)
