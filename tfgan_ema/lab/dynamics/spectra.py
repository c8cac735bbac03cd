"""Eigenvalues at the equilibrium, critical parameters, and the stability map of LeakyEMA."""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq

from tfgan_ema.errors import UsageError
from tfgan_ema.lab.dynamics.games import Array, Game
from tfgan_ema.lab.dynamics.simulate import check_rule


def eigenvalues(game: Game) -> Array:
    """The eigenvalues of the continuous field at (0, 0), ``(*batch, rows)``, by real part."""
    return np.sort_complex(np.linalg.eigvals(game.jacobian()))


def update_matrix(
    game: Game,
    step: ArrayLike,
    *,
    rule: str = "alternating",
    n_dis: int = 1,
    first: str = "discriminator",
) -> Array:
    """The linear map of one generator step at (0, 0), ``(*batch, n, n)``; arguments of `descend`.

    For optimistic descent it acts on the state and the state before (``n = 2 rows``).
    """
    check_rule(step, rule, n_dis, first)
    slope = np.asarray(step)[..., None, None] * game.jacobian()
    one, zero = np.eye(game.rows), np.zeros((game.rows, game.rows))
    player = [np.outer(row, row) for row in one]  # picks one player's row
    memory = _memory_update(game)
    if rule == "alternating":
        generator = memory @ (one + player[0] @ slope)
        discriminator = np.linalg.matrix_power(one + player[1] @ slope, n_dis)
        if first == "generator":
            return discriminator @ generator
        return generator @ discriminator
    moves = (player[0] + player[1]) @ slope
    if rule == "simultaneous":
        return memory @ (one + moves)
    now, before = memory @ (one + 2 * moves), -memory @ moves
    now, before, one, zero = np.broadcast_arrays(now, before, one, zero)
    return np.block([[now, before], [one, zero]])


def _memory_update(game: Game) -> Array:
    """The linear map of the memory after a generator step, θ and ψ held fixed."""
    theta, psi, *memory = np.eye(game.rows).reshape(game.rows, game.rows, *[1] * len(game.shape))
    moved = np.broadcast_arrays(theta, psi, *game.remember(theta, *memory))
    return np.moveaxis(np.stack(moved), (0, 1), (-2, -1))


def lookahead(update: Array, k: int, alpha: ArrayLike) -> Array:
    """The linear map of k steps and a return, ``(1-alpha) I + alpha update^k``.

    Both players go back to their slow weights together (Chavdarova et al. 2021). ``alpha`` is in
    [0, 1] and may be an array of the batch's shape.
    """
    alpha = np.asarray(alpha)[..., None, None]
    return (1 - alpha) * np.eye(update.shape[-1]) + alpha * np.linalg.matrix_power(update, k)


def spectral_radius(update: Array) -> Array:
    """The largest ``|eigenvalue|`` of a map, ``(*batch,)``: below 1, runs converge linearly."""
    return np.abs(np.linalg.eigvals(update)).max(-1)


def discriminant(square: Array) -> Array:
    """``Π_{i<j} (λ_i - λ_j)²``: negative where a pair of eigenvalues rotates, 0 where it meets."""
    values = np.linalg.eigvals(square)
    i, j = np.triu_indices(square.shape[-1], 1)
    return ((values[..., i] - values[..., j]) ** 2).prod(-1).real


def critical(function: Callable[[float], float], low: float, high: float) -> float:
    """The parameter in ``[low, high]`` where ``function`` changes its sign (Brent's method).

    For instance the least penalty without rotation:
    ``critical(lambda w: discriminant(R1(weight=w).jacobian()), 0.1, 3)``.
    """
    ends = float(function(low)), float(function(high))
    if not np.isfinite(ends).all() or ends[0] * ends[1] > 0:
        raise UsageError(
            f"no critical value between {low} and {high}: expected a change of sign, "
            f"got {ends[0]:.3g} and {ends[1]:.3g}; widen the interval."
        )
    return brentq(lambda x: float(function(x)), low, high, xtol=1e-14, rtol=1e-14)


def leaky_polynomial(
    beta: ArrayLike, decay: ArrayLike, slope: float = 0.5, *, normalised: bool = True
) -> tuple[Array, Array, Array]:
    """(a, b, c) of thesis (17), ``λ³ + a λ² + b λ + c = det(λ - A)``.

    Args:
        beta: the leaking share, in [0, 1].
        decay: of the average per unit of time, in (0, 1).
        slope: ``|φ'(0)|``: 1/2 for the non-saturating objective, 1 for the Wasserstein one.
        normalised: whether the average of a constant is that constant; the thesis's (11) is not.
    """
    rate = -np.log(decay)
    gain = rate if normalised else 1 - np.asarray(decay)
    return rate, np.square(slope), np.square(slope) * (rate - np.multiply(gain, beta))


def routh_hurwitz(a: ArrayLike, b: ArrayLike, c: ArrayLike) -> Array:
    """Whether all roots of ``λ³ + a λ² + b λ + c`` lie in the open left half-plane.

    For the normalised `leaky_polynomial`, ``c > 0`` reads ``beta < 1`` and ``a b > c`` reads
    ``beta > 0``: a proof where the thesis has a picture.
    """
    return (np.asarray(a) > 0) & (np.asarray(c) > 0) & (np.multiply(a, b) > c)


def growth_rate(a: ArrayLike, b: ArrayLike, c: ArrayLike) -> Array:
    """The largest real part of the roots of ``λ³ + a λ² + b λ + c``, elementwise.

    Cardano's largest real root, polished by Newton's method; the other two roots sum to
    ``-(a + root)``, so a complex pair has half of that as its real part.
    """
    a, b, c = np.broadcast_arrays(*np.atleast_1d(a, b, c))
    p = b - a * a / 3  # t³ + p t + q with λ = t - a/3
    q = a * (2 * a * a / 27 - b / 3) + c
    inside = (q / 2) ** 2 + (p / 3) ** 3
    pair = inside > 0
    root = np.empty(a.shape)
    u = np.cbrt(-q[pair] / 2 - np.copysign(np.sqrt(inside[pair]), q[pair]))
    root[pair] = u - p[pair] / (3 * u)
    m = np.sqrt(np.maximum(-p[~pair], 0) / 3)
    cosine = -q[~pair] / 2 / np.where(m**3 == 0, 1, m**3)
    root[~pair] = 2 * m * np.cos(np.arccos(np.clip(cosine, -1, 1)) / 3)
    root -= a / 3

    def cubic(x):
        return ((x + a) * x + b) * x + c

    with np.errstate(over="ignore", invalid="ignore"):  # such a step is not taken
        for _ in range(2):
            value, slope = cubic(root), (3 * root + 2 * a) * root + b
            moved = root - value / np.where(slope == 0, np.inf, slope)
            root = np.where(np.abs(cubic(moved)) < np.abs(value), moved, root)
    return np.where(pair, np.maximum(root, -(a + root) / 2), root)


def leaky_margin(beta: ArrayLike, decay: ArrayLike, step: ArrayLike, slope: float = 0.5) -> Array:
    """Simultaneous LeakyEMA descent is stable, to leading order in ``step``, where this is > 0.

    ``beta L/(slope² + L²) - step`` with the average's rate per unit of time ``L = (1-decay)/step``:
    the leak's damping against what a step of Euler's method adds. The learning rate sets the scale
    of the map, which the thesis's ``L = -ln decay`` fixes at one.
    """
    rate = (1 - np.asarray(decay)) / step
    return np.multiply(beta, rate) / (slope**2 + rate**2) - step
