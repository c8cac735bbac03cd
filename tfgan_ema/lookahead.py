"""Lookahead for two players: from time to time both go back part of the way they came."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import keras
from keras import ops

from tfgan_ema.engines import Engine, Tensor
from tfgan_ema.errors import UsageError, number, one_of, whole
from tfgan_ema.parts import Part

FOLLOW = ("slow", "fast")


class Lookahead(Part, keras.layers.Layer):
    """Both players return together to slow weights (Chavdarova et al. 2021, algorithm 1).

    Every ``k`` generator steps ``slow = slow + alpha * (fast - slow)`` and then ``fast = slow``,
    for all trainable weights of both networks; the optimizers keep their moments. Where descent
    circles around an equilibrium, the return is a step towards it.

    ``super_slow`` adds a second, slower pair of weights, to which the slow ones return in the same
    way (the nested variant).
    """

    def __init__(
        self,
        k: int = 5,
        alpha: float = 0.5,
        *,
        super_slow: int | None = None,
        averages: str = "slow",
        name: str = "lookahead",
    ) -> None:
        """Creates the rule.

        Args:
            k: generator steps between two returns.
            alpha: the share of the way that is kept, in (0, 1]; 1 never returns.
            super_slow: generator steps between two returns of the slow weights, a multiple of
                ``k``; ``None`` has none.
            averages: which weights the averages of the generator follow: ``"slow"``, each counted
                for the steps that it stays, or ``"fast"``.
            name: the layer's name.

        Raises:
            UsageError: a value out of range.
        """
        super().__init__(name=name, trainable=False, dtype="float32")
        self.k = whole("Lookahead k", k)
        self.super_slow = None if super_slow is None else whole("Lookahead super_slow", super_slow)
        if self.super_slow and (self.super_slow % self.k or self.super_slow == self.k):
            raise UsageError(
                f"Lookahead super_slow {super_slow}: expected a larger multiple of k {k}."
            )
        self.alpha = number("Lookahead alpha", alpha, "(0, 1]", ", e.g. 0.5")
        self.averages = one_of("Lookahead averages", averages, FOLLOW)

    def follow(self, fast: Sequence[keras.Variable]) -> None:
        """Makes slow copies of these weights, the trainable ones of both players."""
        self.intervals = [self.k] if self.super_slow is None else [self.k, self.super_slow]
        self.copies = [[self._copy(weight) for weight in fast] for _ in self.intervals]
        self.built = True

    def _copy(self, weight: keras.Variable) -> keras.Variable:
        copy = self.add_weight(
            shape=weight.shape, dtype=weight.dtype, trainable=False, name=f"slow_{weight.name}"
        )
        copy.assign(ops.copy(weight))  # JAX would share the buffer and free it
        return copy

    def move(self, engine: Engine, step: Tensor, fast: Sequence[keras.Variable]) -> None:
        """Returns to the slow weights, where that is due after generator step ``step``."""
        faster = list(fast)
        for interval, slow in zip(self.intervals, self.copies, strict=True):
            values = engine.lazy(
                step % interval == 0,
                functools.partial(self._returned, slow, faster, len(fast)),
                lambda every=(*slow, *faster): [weight.value for weight in every],
            )
            for weight, value in zip((*slow, *faster), values, strict=True):
                weight.assign(value)
            faster += slow

    def _returned(
        self, slow: Sequence[keras.Variable], faster: Sequence[keras.Variable], count: int
    ) -> list[Tensor]:
        """The new slow weights, and the same for every copy of the faster ones."""
        pairs = zip(slow, faster[:count], strict=True)
        moved = [s + ops.cast(self.alpha, s.dtype) * (f - s) for s, f in pairs]
        return moved * (1 + len(faster) // count)

    def followed(self, fast: Sequence[keras.Variable]) -> dict[int, keras.Variable]:
        """By the ``id`` of a weight, its slow copy, where the averages follow these."""
        if self.averages == "fast":
            return {}
        return {id(weight): slow for weight, slow in zip(fast, self.copies[-1], strict=True)}
