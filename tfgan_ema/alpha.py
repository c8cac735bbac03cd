"""The alpha loss of (alpha_D, alpha_G)-GANs (arXiv 2302.14320), kept within float32."""

from __future__ import annotations

import math

from keras import ops

from tfgan_ema.engines import Tensor

# Where exp(t) of the alpha loss is continued by its tangent. float32 ends at exp(88.7); the room
# above exp(80) is for the tangent itself and for sums over a batch.
_LARGEST_EXPONENT = 80.0


def alpha_loss(logits: Tensor, alpha: float) -> Tensor:
    """l1(s) = (1 - sigmoid(s)^k)/k with k = (alpha - 1)/alpha, elementwise."""
    k = 1.0 if alpha == math.inf else (alpha - 1.0) / alpha
    return -_scaled_expm1(ops.log_sigmoid(logits), k)


def _scaled_expm1(x: Tensor, k: float) -> Tensor:
    """``(e^(k x) - 1)/k``, past ``k x = _LARGEST_EXPONENT`` along the tangent there.

    Its derivative is e^(k x) in every backend. The left piece is there for that: ``expm1`` may be
    differentiated as ``expm1 + 1``, which has no digits left below -17, where ``exp`` keeps them
    all. Pieces that could overflow outside their range are clamped a little beyond the joint, not
    at it: at a tie backends differ about the derivative of a clamp.
    """
    t = k * x
    if abs(k) < 1e-5:  # t is so small that three terms of the series are exact
        return x * (1.0 + t / 2.0 + ops.square(t) / 6.0)
    end = _LARGEST_EXPONENT
    left = (ops.exp(ops.minimum(t, 0.0)) - 1.0) / k
    middle = ops.expm1(ops.clip(t, -2.0, end + 1.0)) / k
    tangent = math.exp(end) / k * (t - end + 1.0) - 1.0 / k
    return ops.where(t < -1.0, left, ops.where(t > end, tangent, middle))


def minimises_a_divergence(alpha_d: float, alpha_g: float, saturating: bool) -> bool:
    """Whether G minimises a divergence at the optimal D, arXiv 2302.14320."""
    if not saturating:
        return 1 / alpha_d + 1 / alpha_g > 1
    if alpha_d <= 1:
        return alpha_g > alpha_d / (alpha_d + 1)
    # Equal alphas are inside, infinite ones too, where the halves cannot be compared.
    return alpha_g == alpha_d or alpha_d / 2 < alpha_g <= alpha_d
