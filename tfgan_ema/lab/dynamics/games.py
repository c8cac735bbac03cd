"""The games: GAN training reduced to two vectors, one small class per method.

Dirac-GAN (Mescheder et al., 2018): the real data are the point 0, the generator makes the point
``θ`` and the discriminator is linear, ``D(x) = ψ·x`` (a logit, large on real data). Each method is
a vector field ``θ' = generator(θ, ψ)``, ``ψ' = discriminator(θ, ψ)``; both vanish at (0, 0).

Mescheder et al. and the slides write the mirror image, a discriminator that is large on fakes:
replace ``ψ`` by ``-ψ`` to go from one to the other. Their ``f(t) = -log(1 + e^-t)`` has
``f'(t) = sigmoid(-t)``, ``f'(0) = 1/2``, ``f''(0) = -1/4``.

Coordinates lie along the first axis and runs along the others: ``θ`` and ``ψ`` have the shape
``(dim, *batch)``, a state is ``(rows, dim, *batch)``, and every parameter may be an array of the
shape ``batch``, so one call moves many starts or many parameters at once.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tfgan_ema.errors import UsageError

Array = NDArray[np.floating]
_STEP = 1e-30  # of the complex-step derivative: no subtraction, so no cancellation


def dot(a: ArrayLike, b: ArrayLike) -> Array:
    """``a·b`` over the coordinates; analytic (no conjugate), so a complex step passes through."""
    return (np.asarray(a) * b).sum(0) if np.ndim(a) or np.ndim(b) else np.asarray(a) * b


def norm(a: Array) -> Array:
    """The Euclidean norm over the coordinates."""
    return np.sqrt(dot(a, a))


def unit(a: Array) -> Array:
    """``a/|a|``, and 0 at 0 (in one dimension: the sign)."""
    length = norm(a)
    return a / np.where(length == 0, 1, length)


def sigmoid(t: ArrayLike) -> Array:
    """``1/(1 + e^-t)``, real or complex; small values keep their digits (alpha < 1 needs them)."""
    with np.errstate(over="ignore"):  # e^-t = inf gives the 0 that it should
        return 1 / (1 + np.exp(-np.asarray(t)))


def matrix(rows: list[list[ArrayLike]]) -> Array:
    """A ``(*batch, n, n)`` matrix from entries that broadcast against each other."""
    flat = np.broadcast_arrays(*(entry for row in rows for entry in row))
    return np.stack(flat, -1).reshape(*flat[0].shape, len(rows), len(rows[0])).astype(float)


def require(name: str, value: ArrayLike, good: ArrayLike, expected: str) -> None:
    """Raises a `UsageError` unless all of ``good`` holds."""
    if not np.all(good):
        raise UsageError(f"{name} is {np.asarray(value).tolist()}: expected {expected}.")


def _above(name: str, value: ArrayLike, low: float = 0.0) -> None:
    require(name, value, np.asarray(value) > low, f"a number above {low:g}")


def _at_least(name: str, value: ArrayLike, low: float = 0.0) -> None:
    finite = np.isfinite(value) & (np.asarray(value) >= low)
    require(name, value, finite, f"a finite number of at least {low:g}")


@dataclass(frozen=True)
class Game:
    """A vector field on (θ, ψ) and, for LeakyEMA, the memory that the discriminator looks at."""

    @property
    def rows(self) -> int:
        """How many vectors a state holds: 2, or 3 with a memory."""
        return 2

    @property
    def shape(self) -> tuple[int, ...]:
        """The batch shape of the parameters."""
        values = (getattr(self, f.name) for f in fields(self))
        return np.broadcast_shapes(
            *(v.shape if isinstance(v, Game) else np.shape(v) for v in values)
        )

    def generator(self, theta: Array, psi: Array, *memory: Array) -> Array:
        """``θ'``."""
        raise NotImplementedError

    def discriminator(self, theta: Array, psi: Array, real: ArrayLike = 0.0) -> Array:
        """``ψ'`` when the real data are the point ``real`` (0, unless a leak moves it)."""
        raise NotImplementedError

    def project(self, psi: Array) -> Array:
        """Back into the set of allowed discriminators after a step (weight clipping)."""
        return psi

    def remember(self, theta: Array, *memory: Array) -> tuple[Array, ...]:
        """The memory after a generator step of a discrete run."""
        return memory

    def drift(self, theta: Array, *memory: Array) -> tuple[Array, ...]:
        """The memory's time derivative in a continuous run."""
        return ()

    def field(self, state: Array) -> Array:
        """The whole vector field; ``(rows, dim, *batch)`` in and out."""
        theta, psi, *memory = state
        parts = (
            self.generator(theta, psi, *memory),
            self.discriminator(theta, psi, *memory),
            *self.drift(theta, *memory),
        )
        return np.stack(np.broadcast_arrays(*parts))

    def jacobian(self) -> Array:
        """The field's Jacobian at the equilibrium, ``(*batch, rows, rows)``, by complex step.

        In ``dim`` dimensions it is this matrix times the identity: the games do not change when
        all vectors are rotated together.
        """
        columns = []
        for row in range(self.rows):
            state = np.zeros((self.rows, 1, *self.shape), complex)
            state[row] = 1j * _STEP
            columns.append(self.field(state)[:, 0].imag / _STEP)
        return np.moveaxis(np.array(columns), (0, 1), (-1, -2))


@dataclass(frozen=True)
class Separable(Game):
    """Losses that are sums over single samples.

    D minimises ``E r(D(x_real)) + E f(D(x_fake))`` and G minimises ``E g(D(x_fake))``; a method
    gives the three derivatives with respect to the logit.
    """

    def r(self, logit: ArrayLike) -> Array:
        """The slope of D's loss on a real sample."""
        raise NotImplementedError

    def f(self, logit: ArrayLike) -> Array:
        """The slope of D's loss on a fake sample."""
        raise NotImplementedError

    def g(self, logit: ArrayLike) -> Array:
        """The slope of G's loss."""
        raise NotImplementedError

    def generator(self, theta: Array, psi: Array, *memory: Array) -> Array:
        """``θ' = -g'(ψ·θ) ψ``."""
        return -self.g(dot(psi, theta)) * psi

    def discriminator(self, theta: Array, psi: Array, real: ArrayLike = 0.0) -> Array:
        """``ψ' = -f'(ψ·θ) θ - r'(ψ·x) x``."""
        return -self.f(dot(psi, theta)) * theta - self.r(dot(psi, real)) * real

    def jacobian(self) -> Array:
        """Rows θ and ψ: ``[[0, -g'(0)], [-f'(0), 0]]``."""
        zero = np.zeros(self.shape)
        return matrix([[zero, -self.g(zero)], [-self.f(zero), zero]])


class GAN(Separable):
    """The saturating (min-max) GAN: ``r = softplus(-s)``, ``f = softplus(s)``, ``g = -f``."""

    def r(self, logit):  # noqa: D102
        return -sigmoid(-logit)

    def f(self, logit):  # noqa: D102
        return sigmoid(logit)

    def g(self, logit):  # noqa: D102
        return -sigmoid(logit)


class NSGAN(GAN):
    """The non-saturating GAN, ``g = softplus(-s)`` (Goodfellow et al.; thesis (7), blog)."""

    def g(self, logit):  # noqa: D102
        return -sigmoid(-logit)


class Bilinear(Separable):
    """``max_θ min_ψ θ·ψ``: WGAN without a constraint; the game of the averaging paper, 3.1."""

    def r(self, logit):  # noqa: D102
        return -np.ones_like(logit)

    def f(self, logit):  # noqa: D102
        return np.ones_like(logit)

    g = r


@dataclass(frozen=True)
class WGAN(Bilinear):
    """WGAN with each discriminator weight clipped to ``[-clip, clip]`` after each step."""

    clip: ArrayLike = 1.0

    def __post_init__(self):
        _above("clip", self.clip)

    def discriminator(self, theta, psi, real=0.0):
        """``ψ' = x - θ``, stopped at the border."""
        speed = super().discriminator(theta, psi, real)
        return np.where((np.abs(psi) >= self.clip) & (np.real(speed * psi) > 0), 0, speed)

    def project(self, psi):  # noqa: D102
        return np.clip(psi, -self.clip, self.clip)


class NormalisedWGAN(Game):
    """The blog's WGAN: ``D(x) = ψ·x/|ψ|`` is 1-Lipschitz by construction. It keeps ``|ψ|``."""

    def generator(self, theta, psi, *memory):
        """``θ' = ψ/|ψ|``."""
        return unit(psi)

    def discriminator(self, theta, psi, real=0.0):
        """``ψ' = (x - θ)/|ψ| - ((x - θ)·ψ) ψ/|ψ|³``."""
        gap = real - theta
        return (gap - dot(gap, unit(psi)) * unit(psi)) / norm(psi)

    def jacobian(self):
        """Refuses: the field is not defined at ``ψ = 0``."""
        raise _undefined(self)


class LSGAN(Separable):
    """Least squares with labels 0 and 1 (Mao et al.) for the output ``1/2 + ψ·x``.

    The half stands for the bias that a linear ``D`` through 0 lacks; without it the Jacobian at
    (0, 0) is nilpotent and says nothing.
    """

    def r(self, logit):  # noqa: D102
        return logit - 0.5

    def f(self, logit):  # noqa: D102
        return logit + 0.5

    g = r


@dataclass(frozen=True)
class AlphaGAN(Separable):
    """The (α_D, α_G)-GAN (Otstot): α = 1 is the GAN, 1/2 Hellinger, ∞ total variation.

    ``l1(s) = (1 - sigmoid(s)^k)/k`` with ``k = (α-1)/α`` and ``l0(s) = l1(-s)``; both α in (0, ∞].
    """

    alpha_d: ArrayLike = 1.0
    alpha_g: ArrayLike = 1.0
    saturating: bool = False

    def __post_init__(self):
        _above("alpha_d", self.alpha_d)
        _above("alpha_g", self.alpha_g)

    @staticmethod
    def l1(logit, alpha):
        """The slope of ``l1``: ``-sigmoid(s)^k sigmoid(-s)``."""
        return -(sigmoid(logit) ** (1 - 1 / np.asarray(alpha))) * sigmoid(-logit)

    def r(self, logit):  # noqa: D102
        return self.l1(logit, self.alpha_d)

    def f(self, logit):  # noqa: D102
        return -self.l1(-logit, self.alpha_d)

    def g(self, logit):  # noqa: D102
        if self.saturating:
            return self.l1(-logit, self.alpha_g)
        return self.l1(logit, self.alpha_g)


class RelativisticGAN(Game):
    """RSGAN (Jolicoeur-Martineau): the discriminator scores ``D(x_real) - D(x_fake)``.

    With the real data at 0 it is the non-saturating GAN; a leak tells them apart.
    """

    def generator(self, theta, psi, *memory):
        """``θ' = sigmoid(-ψ·θ) ψ``; as in thesis (14), only D sees the leak."""
        return sigmoid(-dot(psi, theta)) * psi

    def discriminator(self, theta, psi, real=0.0):
        """``ψ' = sigmoid(ψ·(θ - x)) (x - θ)``."""
        gap = real - theta
        return sigmoid(-dot(psi, gap)) * gap


@dataclass(frozen=True)
class GANQP(Game):
    """GAN-QP (Su): D minimises ``-d + d²/(2λ|x_real - x_fake|)``, ``d = D(x_real) - D(x_fake)``."""

    strength: ArrayLike = 1.0  # λ

    def __post_init__(self):
        _above("strength", self.strength)

    def generator(self, theta, psi, *memory):
        """``θ' = ψ``."""
        return psi

    def discriminator(self, theta, psi, real=0.0):
        """``ψ' = (1 - d/(λ|x - θ|)) (x - θ)``."""
        gap = real - theta
        return gap - dot(psi, gap) / self.strength * unit(gap)


def _undefined(game: Game) -> UsageError:
    return UsageError(
        f"{type(game).__name__} has no eigenvalues at the equilibrium: its field jumps at ψ = 0; "
        "simulate it instead."
    )


@dataclass(frozen=True)
class Wrapper(Game):
    """A change to the discriminator's side of another game."""

    game: Game = field(default_factory=GAN)

    def __post_init__(self):
        if self.game.rows != 2 or isinstance(self.game, Consensus):
            raise UsageError(
                f"{type(self).__name__} of {type(self.game).__name__}: expected a plain game; "
                "LeakyEMA goes around the penalties and Consensus around LeakyEMA."
            )

    def generator(self, theta, psi, *memory):  # noqa: D102
        return self.game.generator(theta, psi, *memory)

    def project(self, psi):  # noqa: D102
        return self.game.project(psi)


@dataclass(frozen=True)
class GradientPenalty(Wrapper):
    """``weight/2 · E(|∇D| - target)²``. As ``∇D = ψ`` everywhere, where it is taken is no matter.

    The blog's ``λ(|ψ| - c)²`` is ``weight = 2λ``.
    """

    weight: ArrayLike = 1.0
    target: float = 0.0

    def __post_init__(self):
        super().__post_init__()
        _at_least("weight", self.weight)
        _at_least("target", self.target)

    def discriminator(self, theta, psi, real=0.0):
        """``ψ'`` of the game ``- weight (|ψ| - target) ψ/|ψ|``."""
        pull = psi - self.target * unit(psi) if self.target else psi
        return self.game.discriminator(theta, psi, real) - self.weight * pull

    def jacobian(self):
        """The game's Jacobian, ``weight`` less at (ψ, ψ); undefined for a target."""
        if self.target:
            raise _undefined(self)
        return self.game.jacobian() - matrix([[0, 0], [0, self.weight]])


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


@cache
def _gauss_hermite(nodes: int) -> tuple[Array, Array]:
    """Points and weights with ``Σ w function(x) ≈ E function(ε)``, ``ε ~ N(0, 1)``."""
    x, w = np.polynomial.hermite_e.hermegauss(nodes)
    return x, w / w.sum()


@dataclass(frozen=True)
class InstanceNoise(Wrapper):
    """Gaussian noise of deviation ``sigma`` on real and fake samples, averaged exactly.

    The expectation is a Gauss-Hermite sum, not a sample mean. The game must be `Separable`.
    """

    sigma: ArrayLike = 0.7
    nodes: int = 64

    def __post_init__(self):
        _at_least("sigma", self.sigma)
        if not isinstance(self.game, Separable):
            raise UsageError(
                f"instance noise on {type(self.game).__name__}: expected losses of single samples, "
                "such as GAN or NSGAN."
            )

    def _expectation(self, function, theta, psi):
        """``E function(ε, θ, ψ)`` over ``ε`` like ``θ``; the nodes lie along a new second axis."""
        x, w = _gauss_hermite(self.nodes)
        dim, batch = len(theta), [1] * (theta.ndim - 1)
        x = np.stack(np.meshgrid(*[x] * dim)).reshape(dim, -1, *batch)
        w = np.prod(np.meshgrid(*[w] * dim), 0).reshape(-1, *batch)
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
class Consensus(Game):
    """Consensus optimisation (Mescheder et al., 2017): ``v - weight ∇(|v|²/2)``.

    ``∇(|v|²/2) = J^T v`` with the Jacobian ``J`` of the two players by complex step. It goes
    outermost: over LeakyEMA the average is held fixed in the gradient.
    """

    game: Game = field(default_factory=GAN)
    weight: ArrayLike = 1.0

    def __post_init__(self):
        _at_least("weight", self.weight)

    @property
    def rows(self):  # noqa: D102
        return self.game.rows

    def remember(self, theta, *memory):  # noqa: D102
        return self.game.remember(theta, *memory)

    def drift(self, theta, *memory):  # noqa: D102
        return self.game.drift(theta, *memory)

    def _players(self, theta, psi, memory):
        """The game's ``v = (θ', ψ')``."""
        return np.stack(
            [self.game.generator(theta, psi, *memory), self.game.discriminator(theta, psi, *memory)]
        )

    def _player(self, row, theta, psi, memory):
        v = self._players(theta, psi, memory)
        gradient = np.empty_like(v[row])
        for i in range(len(theta)):
            state = np.array([theta, psi], complex)
            state[row, i] += 1j * _STEP
            slope = self._players(*state, memory).imag / _STEP
            gradient[i] = (slope * v).sum((0, 1))
        return v[row] - self.weight * gradient

    def generator(self, theta, psi, *memory):  # noqa: D102
        return self._player(0, theta, psi, memory)

    def discriminator(self, theta, psi, *memory):  # noqa: D102
        return self._player(1, theta, psi, memory)

    def jacobian(self):
        """``J - weight J^T J`` on the players' rows: ``v = 0`` there, so no second derivative."""
        full = self.game.jacobian()
        players = full[..., :2, :]
        pull = np.swapaxes(players[..., :2], -1, -2) @ players
        moved = players - np.asarray(self.weight)[..., None, None] * pull
        memory = np.broadcast_to(full[..., 2:, :], (*self.shape, self.rows - 2, self.rows))
        return np.concatenate([moved, memory], -2)


@dataclass(frozen=True)
class LeakyEMA(Wrapper):
    """A share ``beta`` of the real data are samples of the averaged generator (thesis 3.1, A).

    The discriminator meets ``β δ(θ_e) + (1-β) δ(0)`` (13). Continuous time takes the normalised
    average, ``θ_e' = L(θ - θ_e)`` with ``L = -ln decay``: one unit of time is one EMA step.
    """

    game: Game = field(default_factory=NSGAN)
    beta: ArrayLike = 0.5
    decay: ArrayLike = 0.9

    def __post_init__(self):
        super().__post_init__()
        good = (np.asarray(self.beta) >= 0) & (np.asarray(self.beta) <= 1)
        require("beta", self.beta, good, "a share in [0, 1]")
        check_decay(self.decay)

    @property
    def rows(self):  # noqa: D102
        return 3

    def discriminator(self, theta, psi, average):
        """(14): the game's ``ψ'``, averaged over the two real points."""
        leak = self.game.discriminator(theta, psi, average)
        return (1 - self.beta) * self.game.discriminator(theta, psi) + self.beta * leak

    def generator(self, theta, psi, average):
        """(14): the game's ``θ'``; the generator does not see the leak."""
        return self.game.generator(theta, psi)

    def remember(self, theta, average):
        """``θ_e <- decay θ_e + (1 - decay) θ``."""
        return (self.decay * average + (1 - self.decay) * theta,)

    def drift(self, theta, average):
        """``θ_e' = L(θ - θ_e)``, ``L = -ln decay``."""
        return (-np.log(self.decay) * (theta - average),)

    def jacobian(self):
        """(16), by complex step; undefined where the game's own Jacobian is."""
        self.game.jacobian()
        return super().jacobian()


class UnnormalisedLeakyEMA(LeakyEMA):
    """LeakyEMA with the thesis's continuous average (11), (15), whose weights sum to less than 1.

    Its gain on a constant is ``(1 - decay)/(-ln decay)``, which makes ``beta = 1`` look stable.
    """

    def drift(self, theta, average):
        """``θ_e' = (1 - decay) θ + ln(decay) θ_e`` (15)."""
        return ((1 - self.decay) * theta + np.log(self.decay) * average,)


def check_decay(decay: ArrayLike) -> None:
    """Raises a `UsageError` unless 0 < decay < 1."""
    decay = np.asarray(decay)
    require("decay", decay, (decay > 0) & (decay < 1), "a number strictly between 0 and 1")
