"""Runs of a game: continuous time, and simultaneous, alternating or optimistic descent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.integrate import solve_ivp

from tfgan_ema.errors import UsageError, unknown
from tfgan_ema.lab.dynamics.games import Array, Game, check_decay, require


@dataclass(frozen=True)
class Trajectory:
    """A run and the averages recorded along it.

    Attributes:
        time: ``(K,)``; in a discrete run, generator steps.
        state: ``(K, rows, dim, *batch)``: θ, ψ and, with LeakyEMA, its average.
        ema: ``(K, 2, dim, *batch)``, the exponential average of θ and ψ, started at the start.
        mean: the same for the uniform average.
        converged: whether the run was stopped at the equilibrium.
    """

    time: Array
    state: Array
    ema: Array
    mean: Array
    converged: bool = False

    @property
    def radius(self) -> Array:
        """``sqrt(|θ|² + |ψ|²)``, ``(K, *batch)``."""
        return np.sqrt((self.state[:, :2] ** 2).sum((1, 2)))


def initial(game: Game, start: ArrayLike) -> Array:
    """The first state ``(rows, dim, *batch)`` from ``start``, ``(2,)`` or ``(2, dim, *batch)``.

    A leaky average starts at θ. Raises a `UsageError` for a start that is not finite.
    """
    start = np.asarray(start, float)
    if start.ndim == 1:
        start = start[:, None]
    require("start", start, len(start) == 2, "two values (or vectors), θ and ψ")
    require("start", start, np.isfinite(start), "finite numbers")
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
    until: float | None = None,
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
        until: stop once ``|(θ, ψ)|`` of every run is below this.

    Raises a `UsageError` for bad arguments, and for a run that the integrator cannot finish.
    """
    require("duration", duration, 0 < duration < np.inf, "a finite number above 0")
    check_decay(decay)
    state = initial(game, start)
    players, sizes = state[:2], np.cumsum([state.size, state[:2].size])

    def split(y):
        parts = np.split(y, sizes)
        return parts[0].reshape(state.shape), *(p.reshape(players.shape) for p in parts[1:])

    def slope(_, y):
        s, ema, _ = split(y)
        return np.concatenate(
            [game.field(s).ravel(), (-np.log(decay) * (s[:2] - ema)).ravel(), s[:2].ravel()]
        )

    def arrived(_, y):
        return np.sqrt((split(y)[0][:2] ** 2).sum((0, 1))).max() - until

    arrived.terminal = True
    with np.errstate(over="ignore", invalid="ignore"):  # an escape ends the run below
        run = solve_ivp(
            slope,
            (0, duration),
            np.concatenate([state.ravel(), players.ravel(), 0 * players.ravel()]),
            method="DOP853",
            t_eval=np.linspace(0, duration, samples),
            events=arrived if until else None,
            rtol=rtol,
            atol=atol,
        )
    if run.status < 0:
        raise UsageError(
            f"the integrator stopped after time {run.t[-1]:g} of {duration:g}: {run.message} "
            "Take a shorter duration or a nearer start."
        )
    stopped = run.status == 1
    time = np.append(run.t, run.t_events[0]) if stopped else run.t
    y = np.append(run.y, run.y_events[0].T, axis=1) if stopped else run.y
    states, ema, integral = (np.stack(part) for part in zip(*map(split, y.T), strict=True))
    elapsed = time.reshape(-1, *[1] * players.ndim)
    mean = np.where(elapsed > 0, integral / np.where(elapsed > 0, elapsed, 1), players)
    return Trajectory(time, states, ema, mean, stopped)


def simultaneous(game: Game, step: ArrayLike) -> Callable[[Array], Array]:
    """Both players step from the same point; then the memory moves."""

    def update(state):
        theta, psi, *memory = state
        moved = theta + step * game.generator(theta, psi, *memory)
        psi = game.project(psi + step * game.discriminator(theta, psi, *memory))
        return np.stack([moved, psi, *game.remember(moved, *memory)])

    return update


def alternating(
    game: Game, step: ArrayLike, n_dis: int = 1, first: str = "discriminator"
) -> Callable[[Array], Array]:
    """``n_dis`` discriminator steps and one generator step, each from the newest point."""

    def discriminator(theta, psi, *memory):
        for _ in range(n_dis):
            psi = game.project(psi + step * game.discriminator(theta, psi, *memory))
        return theta, psi, *memory

    def generator(theta, psi, *memory):
        theta = theta + step * game.generator(theta, psi, *memory)
        return theta, psi, *game.remember(theta, *memory)

    def update(state):
        if first == "generator":
            return np.stack(discriminator(*generator(*state)))
        return np.stack(generator(*discriminator(*state)))

    return update


def optimistic(game: Game, step: ArrayLike) -> Callable[[Array], Array]:
    """Daskalakis et al.: ``w <- w + 2h v(w_t) - h v(w_{t-1})``, with ``v(w_{-1}) = v(w_0)``."""
    before = None

    def update(state):
        nonlocal before
        theta, psi, *memory = state
        v = np.stack([game.generator(*state), game.discriminator(*state)])
        ahead = 2 * v - (v if before is None else before)
        before = v
        theta, psi = theta + step * ahead[0], game.project(psi + step * ahead[1])
        return np.stack([theta, psi, *game.remember(theta, *memory)])

    return update


RULES = ("simultaneous", "alternating", "optimistic")


def check_rule(step: ArrayLike, rule: str, n_dis: int, first: str) -> None:
    """Raises a `UsageError` for a rule of descent that does not exist."""
    good = np.isfinite(step) & (np.asarray(step) > 0)
    require("step", step, good, "a finite number above 0")
    if rule not in RULES:
        raise unknown("rule", rule, RULES)
    if first not in ("generator", "discriminator"):
        raise unknown("first player", first, ("generator", "discriminator"))
    require("n_dis", n_dis, n_dis >= 1, "a whole number of at least 1")
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
        every: record every so many steps (the first and the last are always there).

    A run that grows without bound ends in ``inf`` or ``nan``; that is a result, not an error.
    """
    check_rule(step, rule, n_dis, first)
    check_decay(decay)
    require("steps", steps, steps >= 0, "a whole number of at least 0")
    update = {
        "simultaneous": lambda: simultaneous(game, step),
        "alternating": lambda: alternating(game, step, n_dis, first),
        "optimistic": lambda: optimistic(game, step),
    }[rule]()
    state = initial(game, start)
    ema = mean = state[:2]
    rows = [(0, state, ema, mean)]
    with np.errstate(over="ignore", invalid="ignore"):
        for k in range(1, steps + 1):
            state = update(state)
            ema = decay * ema + (1 - decay) * state[:2]
            mean = mean + (state[:2] - mean) / k
            if k % every == 0 or k == steps:
                rows.append((k, state, ema, mean))
    return Trajectory(*(np.array(column) for column in zip(*rows, strict=True)))
