"""How far a score would move if other samples were drawn.

To first order a score is a mean over the samples: each moves it by its influence, the derivative of
the score with respect to the weight of that sample. The deviation of the influences over the square
root of their number is the score's standard error (the infinitesimal jackknife, Jaeckel 1972), for
the price of one more evaluation. Two generators that are scored on the same latents have influences
sample by sample, so the error of their difference follows in the same way.

The reference is taken as given: all generators are compared with the same one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class Spread(NamedTuple):
    """What the sampling error of a score follows from.

    Attributes:
        influence: by sample, ``[n]``, up to a constant.
        more: variance of the score beside that of the mean of the influences.
    """

    influence: np.ndarray
    more: float = 0.0

    @property
    def error(self) -> float:
        """The standard error of the score."""
        variance = np.var(self.influence, ddof=1) / len(self.influence) + self.more
        return float(np.sqrt(max(variance, 0.0)))

    def less(self, other: Spread) -> Spread:
        """The spread of the difference of two scores of samples from the same latents."""
        return Spread(self.influence - other.influence, self.more + other.more)


class Score(NamedTuple):
    """A number, and where it is known its `Spread`, which is computed when it is called for."""

    value: float
    spread: Callable[[], Spread] | None = None


def of_mean(each: np.ndarray) -> Score:
    """The score that is a mean over the samples."""
    return Score(float(np.mean(each)), lambda: Spread(np.asarray(each, np.float64)))
