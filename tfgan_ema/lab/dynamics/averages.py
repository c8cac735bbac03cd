"""Averages of a cycle in closed form: the bilinear game of the averaging paper, section 3.1.

``x' = y, y' = -x`` turns clockwise: ``(x, y) = (cos t, -sin t)`` (the paper's ``(cos t, sin t)``
solves the mirrored system; nothing else changes).
"""

import numpy as np
from numpy.typing import ArrayLike

from tfgan_ema.lab.dynamics.games import Array, check


def ema_on_cycle(decay: ArrayLike, time: ArrayLike) -> Array:
    """``C ∫_0^T decay^(T-t) (cos t, -sin t) dt`` with ``C = 1/∫ decay^(T-t) dt``; ``(2, ...)``.

    The paper's formula, for both components and with the terms in ``decay^T`` kept.
    """
    check(decay=decay)
    rate, left = -np.log(decay), np.power(decay, time)
    x = rate * np.cos(time) + np.sin(time) - left * rate
    y = rate * np.sin(time) - np.cos(time) + left
    return rate / (1 + rate**2) / (1 - left) * np.stack([x, -y])


def ema_amplitude(decay: ArrayLike) -> Array:
    """The radius that remains: ``L/sqrt(1 + L²)`` with ``L = -ln decay``."""
    check(decay=decay)
    rate = -np.log(decay)
    return rate / np.sqrt(1 + rate**2)


def ema_gain(decay: ArrayLike, angle: ArrayLike) -> Array:
    """The same for descent turning by ``angle`` a step: ``(1-decay)/|1 - decay e^(-i angle)|``."""
    check(decay=decay)
    return (1 - np.asarray(decay)) / np.abs(1 - decay * np.exp(-1j * np.asarray(angle)))


def turn(step: ArrayLike, slope: float = 1.0) -> Array:
    """The angle per step of alternating descent, ``cos(angle) = 1 - (step slope)²/2``."""
    return np.arccos(1 - np.square(np.multiply(step, slope)) / 2)


def uniform_on_cycle(time: ArrayLike) -> Array:
    """``|1/T ∫_0^T (cos t, -sin t) dt| = 2 |sin(T/2)|/T``: it falls like 1/T."""
    time = np.asarray(time)
    return 2 * np.abs(np.sin(time / 2)) / time


def power_gain(exponent: ArrayLike, step: ArrayLike, angle: ArrayLike) -> Array:
    """What a power-function average leaves of a cycle that turns by ``angle`` a step.

    ``(g+1)/(step |1 - e^(-i angle)|)`` to leading order in 1/step, with ``g`` the ``exponent``
    (Karras et al. 2024): its memory grows with training, so it falls like 1/step.
    """
    return (np.asarray(exponent) + 1) / (step * np.abs(1 - np.exp(-1j * np.asarray(angle))))


def power_average(path: Array, exponent: float) -> Array:
    """The power-function average ``(K, ...)`` at each point of a path; at its start a copy."""
    average, averages = path[0], [path[0]]
    for k, point in enumerate(path[1:], start=1):
        average = average + (1 - (1 - 1 / k) ** (exponent + 1)) * (point - average)
        averages.append(average)
    return np.array(averages)
