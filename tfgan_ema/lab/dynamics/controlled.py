"""The adaptive leak on the bilinear game, where it is a linear system that switches.

The real data are the point 1, the generator makes ``1 + u`` and the discriminator is
``D(x) = ψ·x``. Near the equilibrium real samples and leaked ones have logits of one sign, that of
``ψ``, so the controller (Jiang et al. 2021, see `mixing.LeakyEMA`) sees +1 in one half of each turn
and -1 in the other, whatever its target is: the share rises and falls with the turns.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from tfgan_ema.lab.dynamics.games import Array, check


class Controlled(NamedTuple):
    """A run.

    Attributes:
        state: ``(steps + 1, 3)``: u, ψ and the average of u.
        beta: ``(steps + 1,)``, the share that leaks.
    """

    state: Array
    beta: Array


def controlled_leak(
    speed: float, decay: float, step: float, steps: int, target: float = 0.6, start: float = 0.01
) -> Controlled:
    """Alternating descent of the bilinear game with an adaptive leak, discriminator first.

    Args:
        speed: what the share moves by after each step, towards 1 while the discriminator's mean
            sign on the mixed batch is above the target, else towards 0.
        decay: of the leaking average.
        step: the learning rate.
        steps: generator steps.
        target: of the mean sign, in (-1, 1).
        start: u of the first step; ψ starts at 0.
    """
    check(decay=decay, step=step, steps=steps)
    u, psi, mean, beta = start, 0.0, start, 0.0
    states, shares = [(u, psi, mean)], [beta]
    for _ in range(steps):
        psi += step * (beta * mean - u)
        u += step * psi
        mean = decay * mean + (1 - decay) * u
        sign = (1 - beta) * np.sign(psi) + beta * np.sign(psi * (1 + mean))
        beta = float(np.clip(beta + speed * np.sign(sign - target), 0, 1))
        states.append((u, psi, mean))
        shares.append(beta)
    return Controlled(np.array(states), np.array(shares))


def mean_share(speed: ArrayLike, angle: ArrayLike) -> Array:
    """The share's mean over a turn: it rises for half of one, to ``speed π/angle``, and falls."""
    return np.multiply(speed, np.pi) / (2 * np.asarray(angle))
