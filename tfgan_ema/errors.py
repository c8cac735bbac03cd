"""What users are told: one-line errors that say what was wrong and what to do, and notices."""

from __future__ import annotations

import difflib
import inspect
import operator
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any


class UsageError(ValueError):
    """Bad input. The message is one line; the command line prints it and exits with 2."""


class Unavailable(UsageError):
    """Something cannot be downloaded or loaded here; the message says why."""


def say(line: str) -> None:
    """Prints a notice on stderr."""
    print(f"tfgan_ema: {line}", file=sys.stderr, flush=True)


def whole(name: str, value: Any, least: int | None = 1, also: str = "") -> int:
    """A whole number of Python or NumPy, as Python's; else raises `UsageError`.

    Args:
        name: what the number is, e.g. ``"n_dis"``.
        value: what the user gave.
        least: the smallest number allowed; ``None`` allows all.
        also: what the message adds, for arguments that allow something else.
    """
    try:
        number = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = None
    if number is None or (least is not None and number < least):
        bound = "" if least is None else f" >= {least}"
        raise UsageError(f"{name} {value!r}: expected a whole number{bound}{also}.")
    return number


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
    if name not in table:
        raise unknown(kind, name, table)
    known = [key for key in inspect.signature(table[name]).parameters if key != "name"]
    for key in options:
        if key not in known and key != "name":
            raise unknown(f"option of the {kind} {name!r}", key, known)
    return table[name](**options)
