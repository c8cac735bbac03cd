"""Relativistic losses as functions of margins (Jolicoeur-Martineau 2018, equations 11 and 15)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras import ops

from tfgan_ema.engines import Tensor
from tfgan_ema.errors import UsageError, one_of

Pair = tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]

# Prices (f1, f2) of a margin: f1 where the real sample should be ahead, f2 where the fake one is
PAIRS: dict[str, Pair] = {
    "logistic": (lambda t: ops.softplus(-t), ops.softplus),
    "least_squares": (lambda t: ops.square(t - 1.0), lambda t: ops.square(t + 1.0)),
    "hinge": (lambda t: ops.relu(1.0 - t), lambda t: ops.relu(1.0 + t)),
    "wasserstein": (lambda t: -t, lambda t: t),
}


def pair_of(pair: Any) -> Pair:
    """The functions of a name in `PAIRS`; two functions pass through.

    Raises:
        UsageError: an unknown name, or something else.
    """
    if isinstance(pair, str):
        return PAIRS[one_of("pair of relativistic_f", pair, PAIRS)]
    if not isinstance(pair, list | tuple) or len(pair) != 2 or not all(map(callable, pair)):
        raise UsageError(f"pair of relativistic_f {pair!r}: expected a name or two functions.")
    return tuple(pair)


def margins(pair: Pair, real: Tensor, fake: Tensor, mean: Callable | None = None) -> Tensor:
    """E f1(r - f) + E f2(f - r) of float32 logits [n], a scalar.

    With a ``mean``, a logit is compared with the mean of the others instead of its partner.
    """
    first, second = pair
    of_fake, of_real = (mean(fake), mean(real)) if mean else (fake, real)
    return ops.mean(first(real - of_fake)) + ops.mean(second(fake - of_real))
