"""Philox 4x32-10 (Salmon et al. 2011): random bits as a pure function of 128 bits of seed.

The bits are those of ``tf.random.stateless_uniform(..., alg="philox")`` for the same seeds, in
NumPy or JAX alike, so that every backend draws the same numbers. Words are uint32 throughout,
because JAX has no wider integers unless told.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

Array = Any
Words = tuple[Array, Array]  # a 64-bit number: its low and its high word

_FACTORS = (0xD2511F53, 0xCD9E8D57)
_KEY_STEPS = (np.uint32(0x9E3779B9), np.uint32(0xBB67AE85))
_FIRST_KEY = (0x3EC8F720, 0x02461E29)


def words(number: int) -> Words:
    """A 64-bit number (two's complement where it is negative) as uint32 words."""
    return np.uint32(number & 0xFFFFFFFF), np.uint32((number >> 32) & 0xFFFFFFFF)


def add(number: int, step: Array) -> Words:
    """``number + step`` as words, for a uint32 array ``step``."""
    low, high = words(number)
    total = low + step
    return total, high + (total < low).astype("uint32")


def plain_loop(first: int, last: int, body: Callable[[int, Any], Any], state: Any) -> Any:
    """``state`` after ``body(i, state)`` for i from ``first`` to below ``last``."""
    for i in range(first, last):
        state = body(i, state)
    return state


def bits(
    xp: ModuleType, count: int, seed: tuple[Words, Words], loop: Callable[..., Any] = plain_loop
) -> Array:
    """``count`` random words, uint32 [count].

    Args:
        xp: ``numpy`` or ``jax.numpy``.
        count: how many, at least 1.
        seed: the two 64-bit numbers that TensorFlow calls a seed.
        loop: ``jax.lax.fori_loop`` under JAX: of ten unrolled rounds XLA makes one kernel that
            computes the same products again and again, a hundred times slower on CPU.
    """
    counter = [xp.reshape(xp.asarray(word, "uint32"), (1,)) for number in seed for word in number]
    first_key = [xp.full((1,), word, "uint32") for word in _FIRST_KEY]
    *key, third, fourth = loop(0, 10, _round, (counter, first_key))[0]
    index = xp.arange(-(-count // 4), dtype="uint32")
    counter = xp.broadcast_arrays(index, np.uint32(0), third, fourth)
    blocks = loop(0, 10, _round, (list(counter), key))[0]
    return xp.stack(blocks, axis=-1).reshape(-1)[:count]


def _round(_: int, state: tuple[list[Array], list[Array]]) -> tuple[list[Array], list[Array]]:
    """One of the ten rounds of the cipher."""
    (a, b, c, d), key = state
    (low, high), (low_2, high_2) = _product(_FACTORS[0], a), _product(_FACTORS[1], c)
    next_key = [word + step for word, step in zip(key, _KEY_STEPS, strict=True)]
    return [high_2 ^ b ^ key[0], low_2, high ^ d ^ key[1], low], next_key


def _product(factor: int, x: Array) -> Words:
    """The 64 bits of ``factor * x``, by halves of 16 bits."""
    factor_low, factor_high = np.uint32(factor & 0xFFFF), np.uint32(factor >> 16)
    x_low, x_high = x & np.uint32(0xFFFF), x >> np.uint32(16)
    middle = factor_high * x_low + (factor_low * x_low >> np.uint32(16))
    other = factor_low * x_high + (middle & np.uint32(0xFFFF))
    high = factor_high * x_high + (middle >> np.uint32(16)) + (other >> np.uint32(16))
    return np.uint32(factor) * x, high
