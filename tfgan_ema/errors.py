"""What users are told: one-line errors that say what was wrong and what to do, and notices."""

from __future__ import annotations

import difflib
import inspect
import numbers
import operator
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tfgan_ema import progress

INT32 = 2**31 - 1  # steps, counts and class indices are of this type inside a step


class UsageError(ValueError):
    """Bad input. The message is one line; the command line prints it and exits with 2."""


class Unavailable(UsageError):
    """Something cannot be downloaded or loaded here; the message says why."""


class WorkerLost(RuntimeError):
    """Another worker of the run is missing. One line; the command line exits with 1."""


def say(line: str) -> None:
    """Prints a notice on stderr."""
    progress.notice(f"tfgan_ema: {line}")


def whole(
    name: str, value: Any, least: int | None = 1, also: str = "", most: int | None = INT32
) -> int:
    """A whole number of Python or NumPy, as Python's; else raises `UsageError`.

    Args:
        name: what the number is, e.g. ``"n_dis"``.
        value: what the user gave.
        least: the smallest number allowed; ``None`` allows all.
        also: what the message adds, for arguments that allow something else.
        most: the largest number allowed; ``None`` allows all.
    """
    try:
        number = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = None
    if number is not None and most is not None and number > most:
        raise UsageError(f"{name} {value!r}: expected a whole number up to {most}{also}.")
    if number is None or (least is not None and number < least):
        bound = "" if least is None else f" >= {least}"
        raise UsageError(f"{name} {value!r}: expected a whole number{bound}{also}.")
    return number


def checked_seed(seed: Any) -> int:
    """A seed as Python's integer; raises `UsageError` unless it is one of 64 bits."""
    seed = whole("seed", seed, least=None, most=None)
    if not -(2**63) <= seed < 2**63:
        raise UsageError(f"seed {seed}: expected a whole number from -2^63 to 2^63 - 1.")
    return seed


def number(name: str, value: Any, interval: str, also: str = "") -> float:
    """A real number of Python or NumPy, as Python's float; else raises `UsageError`.

    Args:
        name: what the number is, e.g. ``"EMA decay"``.
        value: what the user gave.
        interval: what is allowed, as one writes it: ``"[0, 1)"``, ``"(0, inf)"``.
        also: what the message adds.
    """
    low, high = map(float, interval[1:-1].split(","))
    is_real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    above = is_real and (value > low or (value == low and interval[0] == "["))
    below = is_real and (value < high or (value == high and interval[-1] == "]"))
    if not (above and below):  # also NaN
        raise UsageError(f"{name} {value!r}: expected a number in {interval}{also}.")
    return float(value)


def one_of(name: str, value: Any, known: Iterable[str]) -> str:
    """The value, which is one of some names; else raises `UsageError`."""
    if not isinstance(value, str) or value not in known:
        raise unknown(name, value, known)
    return value


def check_memory(what: str, size: float) -> None:
    """Refuses what would need more memory than the machine has.

    Args:
        what: the subject of the message, with its value, e.g. ``"image_size 100000"``.
        size: bytes that are needed at least.
    """
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if size > memory:
        raise UsageError(
            f"{what}: it needs {size / 1e9:,.0f} GB of memory, this machine has "
            f"{memory / 1e9:,.0f} GB; choose a smaller one."
        )


def unknown(kind: str, name: object, known: Iterable[str]) -> UsageError:
    """An error for a name that is not in a table, with the nearest known name as a suggestion.

    Args:
        kind: what was looked up, e.g. ``"loss"``.
        name: what the user wrote.
        known: the names that exist.
    """
    known = sorted(known)
    near = difflib.get_close_matches(str(name), known, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]!r}?" if near else "choose one of these."
    return UsageError(f"unknown {kind} {name!r}: {hint} Known: {', '.join(known)}.")


def build(kind: str, name: str, table: Mapping[str, Callable[..., Any]], options: Mapping) -> Any:
    """``table[name](**options)``, with one-line errors for unknown names and options.

    Args:
        kind: what is built, e.g. ``"penalty"``.
        name: its key in ``table``.
        table: constructors by name.
        options: keyword arguments.
    """
    takes = inspect.signature(table[one_of(kind, name, table)]).parameters
    known = [key for key in takes if key != "name"]
    for key in options:
        if key not in known and key != "name":
            raise unknown(f"option of the {kind} {name!r}", key, known)
    for key in known:
        if takes[key].default is inspect.Parameter.empty and key not in options:
            raise UsageError(f"{kind} {name!r} needs {key}; it takes {', '.join(known)}.")
    return table[name](**options)
