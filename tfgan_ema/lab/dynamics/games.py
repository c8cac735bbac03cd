"""The games: GAN training reduced to two vectors, one small class per objective.

Dirac-GAN (Mescheder et al., 2018): the real data are the point 0, the generator makes the point
``θ`` and the discriminator is linear, ``D(x) = ψ·x`` (a logit, large on real data). Each game is a
vector field ``θ' = generator(θ, ψ)``, ``ψ' = discriminator(θ, ψ)``; both vanish at (0, 0).

Mescheder et al. and the slides write the mirror image, a discriminator that is large on fakes:
replace ``ψ`` by ``-ψ`` to go from one to the other. Their ``f(t) = -log(1 + e^-t)`` has
``f'(t) = sigmoid(-t)``, ``f'(0) = 1/2``, ``f''(0) = -1/4``.

Coordinates lie along the first axis and runs along the others: ``θ`` and ``ψ`` have the shape
``(dim, *batch)``, a state is ``(rows, dim, *batch)``, and every parameter may be an array of the
shape ``batch``, so one call moves many starts or many parameters at once.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tfgan_ema.errors import UsageError

Array = NDArray[np.floating]
STEP = 1e-30  # of the complex-step derivative: no subtraction, so no cancellation


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


# Parameters of games and runs, what is expected of them, and the test for it
_EXPECTED: tuple[tuple[str, str, Callable[[Array], Array]], ...] = (
    ("clip alpha_d alpha_g strength", "a number above 0", lambda x: x > 0),
    ("weight target sigma", "a finite number of at least 0", lambda x: (x >= 0) & np.isfinite(x)),
    ("step duration", "a finite number above 0", lambda x: (x > 0) & np.isfinite(x)),
    ("beta", "a share in [0, 1]", lambda x: (x >= 0) & (x <= 1)),
    ("decay", "a number strictly between 0 and 1", lambda x: (x > 0) & (x < 1)),
    ("steps", "a whole number of at least 0", lambda x: x >= 0),
    ("n_dis", "a whole number of at least 1", lambda x: x >= 1),
)
RANGES = {name: (text, test) for names, text, test in _EXPECTED for name in names.split()}


def check(**parameters: ArrayLike) -> None:
    """Raises a `UsageError` for a parameter with a value outside its range in `RANGES`."""
    for name, value in parameters.items():
        text, test = RANGES[name]
        if not np.all(test(np.asarray(value))):
            raise UsageError(f"{name} is {np.asarray(value).tolist()}: expected {text}.")


@dataclass(frozen=True)
class Game:
    """A vector field on (θ, ψ) and, for LeakyEMA, on the average that the discriminator sees.

    Attributes:
        rows: vectors in a state: 2, or 3 with an average.
        smooth: whether the field has a Jacobian at the equilibrium.
    """

    rows = 2
    smooth = True

    def __post_init__(self):
        check(**{name: value for name, value in vars(self).items() if name in RANGES})

    @property
    def shape(self) -> tuple[int, ...]:
        """The batch shape of the parameters."""
        parameters = vars(self).values()
        return np.broadcast_shapes(*(getattr(p, "shape", np.shape(p)) for p in parameters))

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
        """The average after a generator step of a discrete run."""
        return memory

    def drift(self, theta: Array, *memory: Array) -> tuple[Array, ...]:
        """The average's time derivative in a continuous run."""
        return memory

    def field(self, state: Array) -> Array:
        """The whole vector field; ``(rows, dim, *batch)`` in and out."""
        theta, psi, *memory = state
        players = self.generator(theta, psi, *memory), self.discriminator(theta, psi, *memory)
        return np.stack(np.broadcast_arrays(*players, *self.drift(theta, *memory)))

    def jacobian(self) -> Array:
        """The field's Jacobian at the equilibrium, ``(*batch, rows, rows)``, by complex step.

        In ``dim`` dimensions it is this matrix times the identity: the games do not change when
        all vectors are rotated together.

        Raises:
            UsageError: the field jumps at ``ψ = 0``.
        """
        if not self.smooth:
            raise UsageError(
                f"{type(self).__name__} has no eigenvalues at the equilibrium: its field jumps at "
                "ψ = 0; simulate it instead."
            )
        columns = np.eye(self.rows).reshape(self.rows, 1, self.rows, *[1] * len(self.shape))
        states = 1j * STEP * columns + np.zeros(self.shape)
        return np.moveaxis(self.field(states)[:, 0].imag / STEP, (0, 1), (-2, -1))


class Separable(Game):
    """Losses that are sums over single samples.

    D minimises ``E r(D(x_real)) + E f(D(x_fake))`` and G minimises ``E g(D(x_fake))``. A game
    defines the slopes of the three with respect to the logit, as methods ``r``, ``f`` and ``g``;
    unless it defines ``g``, that is ``-f``, as in a min-max game.
    """

    def g(self, logit):
        return -self.f(logit)

    def generator(self, theta: Array, psi: Array, *memory: Array) -> Array:
        """``θ' = -g'(ψ·θ) ψ``."""
        return -self.g(dot(psi, theta)) * psi

    def discriminator(self, theta: Array, psi: Array, real: ArrayLike = 0.0) -> Array:
        """``ψ' = -f'(ψ·θ) θ - r'(ψ·x) x``."""
        return -self.f(dot(psi, theta)) * theta - self.r(dot(psi, real)) * real


class GAN(Separable):
    """The saturating (min-max) GAN: ``r = softplus(-s)``, ``f = softplus(s)``, ``g = -f``."""

    def r(self, logit):
        return -sigmoid(-logit)

    def f(self, logit):
        return sigmoid(logit)


class NSGAN(GAN):
    """The non-saturating GAN, ``g = softplus(-s)`` (Goodfellow et al.; thesis (7), blog)."""

    g = GAN.r


class Bilinear(Separable):
    """``max_θ min_ψ θ·ψ``: WGAN without a constraint; the game of the averaging paper, 3.1."""

    def r(self, logit):
        return -np.ones_like(logit)

    def f(self, logit):
        return np.ones_like(logit)


@dataclass(frozen=True)
class WGAN(Bilinear):
    """WGAN with each discriminator weight clipped to ``[-clip, clip]`` after each step."""

    clip: ArrayLike = 1.0

    def discriminator(self, theta, psi, real=0.0):
        """``ψ' = x - θ``, stopped at the border."""
        speed = super().discriminator(theta, psi, real)
        return np.where((np.abs(psi) >= self.clip) & (np.real(speed * psi) > 0), 0, speed)

    def project(self, psi):
        return np.clip(psi, -self.clip, self.clip)


class NormalisedWGAN(Game):
    """The blog's WGAN: ``D(x) = ψ·x/|ψ|`` is 1-Lipschitz by construction. It keeps ``|ψ|``."""

    smooth = False

    def generator(self, theta, psi, *memory):
        """``θ' = ψ/|ψ|``."""
        return unit(psi)

    def discriminator(self, theta, psi, real=0.0):
        """``ψ' = (x - θ)/|ψ| - ((x - θ)·ψ) ψ/|ψ|³``."""
        gap = real - theta
        return (gap - dot(gap, unit(psi)) * unit(psi)) / norm(psi)


class LSGAN(Separable):
    """Least squares with labels 0 and 1 (Mao et al.) for the output ``1/2 + ψ·x``.

    The half stands for the bias that a linear ``D`` through 0 lacks; without it the Jacobian at
    (0, 0) is nilpotent and tells nothing.
    """

    def r(self, logit):
        return logit - 0.5

    def f(self, logit):
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

    @staticmethod
    def l1(logit, alpha):
        """The slope of ``l1``: ``-sigmoid(s)^k sigmoid(-s)``."""
        return -(sigmoid(logit) ** (1 - 1 / np.asarray(alpha))) * sigmoid(-logit)

    def r(self, logit):
        return self.l1(logit, self.alpha_d)

    def f(self, logit):
        return -self.l1(-logit, self.alpha_d)

    def g(self, logit):
        return self.l1(-logit if self.saturating else logit, self.alpha_g)


class RelativisticGAN(Game):
    """RSGAN (Jolicoeur-Martineau): the discriminator scores ``D(x_real) - D(x_fake)``.

    With the real data at 0 it is the non-saturating GAN; with a leak the two differ.
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

    def generator(self, theta, psi, *memory):
        """``θ' = ψ``."""
        return psi

    def discriminator(self, theta, psi, real=0.0):
        """``ψ' = (1 - d/(λ|x - θ|)) (x - θ)``."""
        gap = real - theta
        return gap - dot(psi, gap) / self.strength * unit(gap)
