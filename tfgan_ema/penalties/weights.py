"""Penalties and constraints on a player's weights, and the drift of the logits."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass

import keras
from keras import ops

from tfgan_ema.engines import Tensor
from tfgan_ema.errors import number, one_of
from tfgan_ema.penalties.base import PLAYERS, Constraint, Penalty, PenaltyInputs
from tfgan_ema.schedules import Number


@dataclass(eq=False)
class _WeightPenalty(Penalty):
    """A penalty on the weights of either player."""

    weight: Number = 1e-4
    _: KW_ONLY
    player: str = "discriminator"

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("player", self.player, PLAYERS)


@dataclass(eq=False)
class L2(_WeightPenalty):
    """``weight / 2 * sum |W|^2`` over the player's trainable weights: a drift of -weight * W."""

    name: str = "l2"

    def value(self, inputs: PenaltyInputs, shared: Tensor | None) -> Tensor:
        """Half the sum of squares."""
        weights = inputs.network.trainable_weights
        return 0.5 * sum(ops.sum(ops.square(ops.cast(w, "float32"))) for w in weights)


@dataclass(eq=False)
class Orthogonal(_WeightPenalty):
    """``weight * sum |W^T W * (1 - I)|_F^2`` over kernels (Brock et al. 2019, equation 3).

    A kernel is reshaped to [inputs, outputs]; its columns are pushed towards right angles while
    their norms stay free.
    """

    name: str = "orthogonal"
    player: str = "generator"

    def value(self, inputs: PenaltyInputs, shared: Tensor | None) -> Tensor:
        """Sum of squared off-diagonal inner products."""
        total = ops.zeros(())
        for weight in (w for w in inputs.network.trainable_weights if len(w.shape) >= 2):
            kernel = ops.reshape(ops.cast(weight, "float32"), (-1, weight.shape[-1]))
            gram = ops.matmul(ops.transpose(kernel), kernel)
            total += ops.sum(ops.square(gram * (1.0 - ops.eye(weight.shape[-1]))))
        return total


@dataclass(eq=False)
class Drift(Penalty):
    """``weight * E[D(real)^2]``: keeps the logits near 0 (Karras et al. 2018, appendix A.1)."""

    weight: Number = 1e-3
    name: str = "drift"

    def value(self, inputs: PenaltyInputs, shared: Tensor | None) -> Tensor:
        """Mean squared real logit."""
        return ops.mean(ops.square(inputs.real_logits))


@dataclass(eq=False)
class WeightClip(Constraint):
    """Clips the discriminator's trainable weights to [-limit, limit] after each of its updates.

    The Lipschitz constraint of Arjovsky et al. 2017.

    Raises:
        UsageError: a limit that is not positive.
    """

    limit: float = 0.01
    _: KW_ONLY
    name: str = "weight_clip"

    def __post_init__(self) -> None:
        self.limit = number("weight_clip limit", self.limit, "(0, inf)")

    def apply(self, network: keras.Model) -> None:
        for weight in network.trainable_weights:
            weight.assign(ops.clip(weight, -self.limit, self.limit))
