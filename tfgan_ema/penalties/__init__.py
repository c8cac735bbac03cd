"""What is added to the game: penalties of a player, constraints, a regulariser of both.

A `Penalty` adds a term to its player's loss, a `Constraint` acts on its weights after each of its
updates, and `Consensus` regularises the game itself and needs the gradients of both players.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tfgan_ema.errors import build
from tfgan_ema.penalties.base import (
    PLAYERS,
    Consensus,
    Constraint,
    Penalty,
    PenaltyInputs,
    Regularisation,
    by_kind,
)
from tfgan_ema.penalties.gradient import (
    R1,
    R1R2,
    R2,
    GradientPenalty,
    dragan,
    wgan_gp,
    zero_centred,
)
from tfgan_ema.penalties.lecam import LeCam
from tfgan_ema.penalties.path_length import PathLength
from tfgan_ema.penalties.weights import L2, Drift, Orthogonal, WeightClip

__all__ = [
    "L2", "PLAYERS", "R1", "R1R2", "R2", "Consensus", "Constraint", "Drift", "GradientPenalty",
    "LeCam", "Orthogonal", "PathLength", "Penalty", "PenaltyInputs", "Regularisation", "WeightClip",
    "by_kind", "dragan", "get", "names", "wgan_gp", "zero_centred",
]  # fmt: skip

Kind = Penalty | Constraint | Consensus

_CLASSES = (
    GradientPenalty, R1, R2, R1R2, L2, Orthogonal, Drift, WeightClip, Consensus, PathLength, LeCam,
)  # fmt: skip
_PENALTIES: dict[str, Callable[..., Kind]] = {
    **{kind.name: kind for kind in _CLASSES},  # its default name in the logs
    **{made_by.__name__: made_by for made_by in (wgan_gp, zero_centred, dragan)},
}


def names() -> Sequence[str]:
    """The names that `get` knows."""
    return sorted(_PENALTIES)


def get(name: str, **options: Any) -> Kind:
    """The penalty of that name.

    Raises:
        UsageError: unknown name or option, or a value out of range.
    """
    return build("penalty", name, _PENALTIES, options)
