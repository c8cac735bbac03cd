"""Parts of a set: slices of a split, as in ``train[:90%]``, and a number of samples by seed.

Both follow a random order of the set, a function of its size and a seed alone, because the order
of many sets says something: in a folder the classes come one after another. Smaller parts of one
seed lie within larger ones. A part keeps its samples in the order of the set.
"""

from __future__ import annotations

import dataclasses
import re
from typing import NamedTuple

import numpy as np

from tfgan_ema.data import arrays
from tfgan_ema.data.source import Source
from tfgan_ema.errors import UsageError

CHOICE = 0x63686F696365  # the stream of random numbers
_SLICE = re.compile(r"([^\[\]]+)\[(-?\d+%?)?:(-?\d+%?)?\]")


class Part(NamedTuple):
    """A split or a slice of it.

    Attributes:
        text: as it was written.
        split: the name of the split.
        ends: of the slice, as they were written, ``None`` where one is left out; ``None`` for the
            whole split.
    """

    text: str
    split: str
    ends: tuple[str | None, str | None] | None

    def rows(self, count: int) -> tuple[int, int]:
        """The first row of a split of ``count`` samples, and the row behind the last.

        Raises:
            UsageError: they lie outside of the split, or nothing between them.
        """
        first, last = (
            default if end is None else _row(end, count)
            for end, default in zip(self.ends or (None, None), (0, count), strict=True)
        )
        if not 0 <= first < last <= count:
            raise UsageError(
                f"split {self.text!r} has rows {first} to {last} of {count}: expected a slice "
                "within the split that is not empty."
            )
        return first, last

    def of(self, source: Source) -> Source:
        """The part of a source that holds the whole split."""
        if self.ends is None:
            return source
        return _rows(source, order(source.count, 0)[slice(*self.rows(source.count))])


def parse(text: str) -> Part:
    """``train``, or a slice such as ``train[:90%]``, ``train[10000:]`` or ``train[-1000:]``.

    Raises:
        UsageError: another text with brackets, or with a plus.
    """
    found = _SLICE.fullmatch(text)
    if not found and re.search(r"[\[\]+]", text):
        raise UsageError(
            f"split {text!r}: expected the name of a split, or a slice of one such as "
            "'train[:90%]' or 'train[10000:]'."
        )
    return Part(text, found[1], (found[2], found[3])) if found else Part(text, text, None)


def choose(source: Source, count: int, seed: int = 0) -> Source:
    """``count`` of a source's samples, whatever their classes; more of one seed hold them, too.

    Raises:
        UsageError: the source has fewer.
    """
    if not 1 <= count <= source.count:
        raise UsageError(
            f"data.count {count}: {source.name} has {source.count} samples; choose at most that."
        )
    return _rows(source, order(source.count, seed)[:count])


def order(count: int, seed: int) -> np.ndarray:
    """A permutation of ``count`` rows, int64: a function of the two numbers."""
    return np.argsort(arrays.bits(count, seed, CHOICE, 0), kind="stable")


def _row(end: str, count: int) -> int:
    """The row at an end of a slice: a number or a share, from the front or from the back."""
    is_share = end.endswith("%")
    number = int(end.rstrip("%"))
    if end.startswith("-"):
        number += 100 if is_share else count
    return round(number * count / 100) if is_share else number


def _rows(source: Source, rows: np.ndarray) -> Source:
    samples, labels = source.batch(np.sort(rows))
    return dataclasses.replace(source, samples=samples, labels=labels)
