"""Penalties and constraints on a player's weights, and the drift of the logits."""

from __future__ import annotations

import math

import keras
from keras import ops

from tfgan_ema.engines import Tensor
from tfgan_ema.errors import UsageError
from tfgan_ema.penalties.base import Constraint, Penalty, PenaltyInputs, checked_player


class L2(Penalty):
    """``weight / 2 * sum |W|^2`` over the player's trainable weights: a drift of -weight * W."""

    def __init__(
        self,
        weight: float = 1e-4,
        *,
        player: str = "discriminator",
        interval: int = 1,
        name: str = "l2",
    ) -> None:
        """Creates the penalty on ``player``'s weights."""
        super().__init__(weight, interval, name)
        self.player = checked_player(player)

    def value(self, inputs: PenaltyInputs, shared: Tensor | None) -> Tensor:
        """Half the sum of squares."""
        weights = inputs.network.trainable_weights
        return 0.5 * sum(ops.sum(ops.square(ops.cast(w, "float32"))) for w in weights)


class Orthogonal(Penalty):
    """``weight * sum |W^T W * (1 - I)|_F^2`` over kernels (Brock et al. 2019, equation 3).

    A kernel is reshaped to [inputs, outputs]; its columns are pushed towards right angles while
    their norms stay free.
    """

    def __init__(
        self,
        weight: float = 1e-4,
        *,
        player: str = "generator",
        interval: int = 1,
        name: str = "orthogonal",
    ) -> None:
        """Creates the penalty on ``player``'s kernels."""
        super().__init__(weight, interval, name)
        self.player = checked_player(player)

    def value(self, inputs: PenaltyInputs, shared: Tensor | None) -> Tensor:
        """Sum of squared off-diagonal inner products."""
        total = ops.zeros(())
        for weight in inputs.network.trainable_weights:
            if len(weight.shape) < 2:
                continue
            kernel = ops.reshape(ops.cast(weight, "float32"), (-1, weight.shape[-1]))
            gram = ops.matmul(ops.transpose(kernel), kernel)
            total += ops.sum(ops.square(gram * (1.0 - ops.eye(weight.shape[-1]))))
        return total


class Drift(Penalty):
    """``weight * E[D(real)^2]``: keeps the logits near 0 (Karras et al. 2018, appendix A.1)."""

    def __init__(self, weight: float = 1e-3, *, interval: int = 1, name: str = "drift") -> None:
        """Creates the penalty on the real logits."""
        super().__init__(weight, interval, name)

    def value(self, inputs: PenaltyInputs, shared: Tensor | None) -> Tensor:
        """Mean squared real logit."""
        return ops.mean(ops.square(inputs.real_logits))


class WeightClip(Constraint):
    """Clips the discriminator's trainable weights to [-limit, limit] after each of its updates.

    The Lipschitz constraint of Arjovsky et al. 2017.
    """

    def __init__(self, limit: float = 0.01, *, name: str = "weight_clip") -> None:
        """Creates the constraint.

        Raises:
            UsageError: a limit that is not positive.
        """
        super().__init__(name)
        if not (limit > 0 and math.isfinite(limit)):
            raise UsageError(f"weight_clip limit {limit}: expected a positive number.")
        self.limit = limit

    def apply(self, network: keras.Model) -> None:
        for weight in network.trainable_weights:
            weight.assign(ops.clip(weight, -self.limit, self.limit))
