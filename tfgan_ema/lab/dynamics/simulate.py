"""Runs of a game: continuous time, and simultaneous, alternating or optimistic descent."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.integrate import solve_ivp

from tfgan_ema.errors import UsageError, unknown
from tfgan_ema.lab.dynamics.games import Array, Game, check


@dataclass(frozen=True)
class Trajectory:
    """A run and the averages recorded along it.

    Attributes:
        time: ``(K,)``; in a discrete run, generator steps.
        state: ``(K, rows, dim, *batch)``: θ, ψ and, with LeakyEMA, its average.
        ema: ``(K, 2, dim, *batch)``, the exponential average of θ and ψ, started at the start.
        mean: the same for the uniform average.
    """

    time: Array
    state: Array
    ema: Array
    mean: Array

    @property
    def radius(self) -> Array:
        """``sqrt(|θ|² + |ψ|²)``, ``(K, *batch)``."""
        return np.sqrt((self.state[:, :2] ** 2).sum((1, 2)))


def initial(game: Game, start: ArrayLike) -> Array:
    """The first state ``(rows, dim, *batch)`` from ``start``, ``(2,)`` or ``(2, dim, *batch)``.

    A leaky average starts at θ.

    Raises:
        UsageError: a start that is not finite, or not θ and ψ.
    """
    start = np.asarray(start, float)
    if len(start) != 2 or not np.isfinite(start).all():
        raise UsageError(
            f"start is {start.tolist()}: expected two finite numbers (or vectors), θ and ψ."
        )
    if start.ndim == 1:
        start = start[:, None]
    batch = np.broadcast_shapes(start.shape[2:], game.shape)
    start = start.reshape(*start.shape, *[1] * (len(batch) + 2 - start.ndim))
    start = np.broadcast_to(start, (*start.shape[:2], *batch))
    return np.concatenate([start, *[start[:1]] * (game.rows - 2)])


def integrate(
    game: Game,
    start: ArrayLike,
    duration: float,
    *,
    decay: ArrayLike = 0.99,
    samples: int = 1001,
    rtol: float = 1e-10,
    atol: float = 1e-13,
) -> Trajectory:
    """Solves ``(θ, ψ)' = v(θ, ψ)`` with SciPy's DOP853, and the averages' equations with it.

    Args:
        game: the vector field.
        start: ``(2,)`` or ``(2, dim, *batch)``.
        duration: the length of the run, > 0.
        decay: of the recorded EMA per unit of time, in (0, 1): ``e' = -ln(decay) (x - e)``.
        samples: how many equally spaced times to return.
        rtol: the integrator's relative tolerance.
        atol: the integrator's absolute tolerance.

    Raises:
        UsageError: bad arguments, or a run that the integrator cannot finish.
    """
    check(duration=duration, decay=decay)
    state = initial(game, start)
    players, rows = state[:2], game.rows
    # one array of θ, ψ and memory; the EMA of θ and ψ; their integral
    first = np.concatenate([state, players, 0 * players])

    def slope(_, y):
        y = y.reshape(first.shape)
        state, ema = y[:rows], y[rows : rows + 2]
        moves = game.field(state), -np.log(decay) * (state[:2] - ema), state[:2]
        return np.concatenate(moves).ravel()

    times = np.linspace(0, duration, samples)
    with np.errstate(over="ignore", invalid="ignore"):  # an escape ends the run below
        run = solve_ivp(slope, (0, duration), first.ravel(), "DOP853", times, rtol=rtol, atol=atol)
    if run.status < 0:
        raise UsageError(
            f"the integrator stopped after time {run.t[-1]:g} of {duration:g}: {run.message} "
            "Take a shorter duration or a nearer start."
        )
    y = run.y.T.reshape(-1, *first.shape)
    elapsed = times.reshape(-1, *[1] * players.ndim)
    mean = np.where(elapsed > 0, y[:, rows + 2 :] / np.where(elapsed > 0, elapsed, 1), players)
    return Trajectory(times, y[:, :rows], y[:, rows : rows + 2], mean)


def _moved(game: Game, state: Array, move: Array) -> Array:
    """The state after θ and ψ moved by ``move`` together; then the memory follows."""
    theta, psi, *memory = state
    theta = theta + move[0]
    return np.stack([theta, game.project(psi + move[1]), *game.remember(theta, *memory)])


def simultaneous(game: Game, step: ArrayLike) -> Callable[[Array], Array]:
    """Both players step from the same point."""
    return lambda state: _moved(game, state, step * game.field(state)[:2])


def alternating(
    game: Game, step: ArrayLike, n_dis: int = 1, first: str = "discriminator"
) -> Callable[[Array], Array]:
    """``n_dis`` discriminator steps and one generator step, each from the newest point."""
    turns = ["discriminator"] * n_dis
    turns.insert(0 if first == "generator" else n_dis, "generator")

    def update(state):
        theta, psi, *memory = state
        for player in turns:
            if player == "generator":
                theta = theta + step * game.generator(theta, psi, *memory)
                memory = game.remember(theta, *memory)
            else:
                psi = game.project(psi + step * game.discriminator(theta, psi, *memory))
        return np.stack([theta, psi, *memory])

    return update


def optimistic(game: Game, step: ArrayLike) -> Callable[[Array], Array]:
    """Daskalakis et al.: ``w <- w + 2h v(w_t) - h v(w_{t-1})``, with ``v(w_{-1}) = v(w_0)``."""
    before = None

    def update(state):
        nonlocal before
        v = game.field(state)[:2]
        ahead = 2 * v - (v if before is None else before)
        before = v
        return _moved(game, state, step * ahead)

    return update


RULES = {"simultaneous": simultaneous, "alternating": alternating, "optimistic": optimistic}


def check_rule(step: ArrayLike, rule: str, n_dis: int, first: str) -> None:
    """Raises a `UsageError` for a rule of descent that does not exist."""
    check(step=step, n_dis=n_dis)
    if rule not in RULES:
        raise unknown("rule", rule, RULES)
    if first not in ("generator", "discriminator"):
        raise unknown("first player", first, ("generator", "discriminator"))
    if rule != "alternating" and n_dis != 1:
        raise UsageError(f"n_dis is {n_dis}: expected 1, as {rule} descent moves both at once.")


def descend(
    game: Game,
    start: ArrayLike,
    steps: int,
    step: ArrayLike,
    *,
    rule: str = "alternating",
    n_dis: int = 1,
    first: str = "discriminator",
    decay: ArrayLike = 0.99,
    every: int = 1,
) -> Trajectory:
    """A discrete run of ``steps`` generator steps of size ``step``.

    Args:
        game: the vector field.
        start: ``(2,)`` or ``(2, dim, *batch)``.
        steps: generator updates, >= 0.
        step: the step size (learning rate), > 0; may be an array of the batch's shape.
        rule: one of `RULES`.
        n_dis: discriminator steps per generator step (alternating only).
        first: who moves first in each iteration (alternating only).
        decay: of the recorded EMA, in (0, 1): ``e <- decay e + (1 - decay) x`` after each step.
        every: record every so many steps (the first and the last are always recorded).

    A run that grows without bound ends in ``inf`` or ``nan``; that is a result, not an error.
    """
    check_rule(step, rule, n_dis, first)
    check(decay=decay, steps=steps)
    order = (n_dis, first) if rule == "alternating" else ()
    update = RULES[rule](game, step, *order)
    state = initial(game, start)
    ema = mean = state[:2]
    records = [(0, state, ema, mean)]
    with np.errstate(over="ignore", invalid="ignore"):
        for k in range(1, steps + 1):
            state = update(state)
            ema = decay * ema + (1 - decay) * state[:2]
            mean = mean + (state[:2] - mean) / k
            if k % every == 0 or k == steps:
                records.append((k, state, ema, mean))
    return Trajectory(*(np.array(column) for column in zip(*records, strict=True)))
