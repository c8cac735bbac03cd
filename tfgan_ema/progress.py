"""What a person sees while work goes on: one line that says what is done and how far it is.

There is one line at a time. Work inside other work is named in the line of the outer one: the bar
of a training also says that it evaluates, and how far that is. The line is shown where standard
error is a terminal.
"""

from __future__ import annotations

import collections
import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator

from tqdm import tqdm

_BAR = "{desc} {percentage:.0f} %|{bar:20}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}{postfix}]"
_LINE = "{desc} {elapsed}"
_quiet = False
_shown: Line | None = None  # the outermost


class Line:
    """The line of some work.

    Attributes:
        spent: seconds by the name of what was `doing` in it.
    """

    def __init__(self, what: str, total: float | None, show: bool, keep: bool) -> None:
        self.spent: collections.Counter[str] = collections.Counter()
        self.names = [what]
        self._bar = tqdm(
            desc=what, total=total, file=sys.stderr, bar_format=_LINE if total is None else _BAR,
            dynamic_ncols=True, disable=not show, leave=keep, mininterval=0.2, smoothing=0.1,
        )  # fmt: skip

    def advance(self, amount: int = 1, **values: str) -> None:
        """Says that so much more is done; the values are shown behind the time."""
        if values:
            self._bar.set_postfix(values, refresh=False)
        self._bar.update(amount)

    def rename(self, what: str) -> None:
        """Gives the work another name."""
        if what != self.names[0]:
            self.names[0] = what
            self.describe()

    def describe(self) -> None:
        """Shows what is being done; the work's own name gives way to what it consists of."""
        self._bar.set_description_str(": ".join(self.names[1:] or self.names))

    def close(self) -> None:
        """Ends the line."""
        self._bar.close()
        if not self._bar.disable:
            sys.stderr.flush()


def set_quiet(quiet: bool) -> None:
    """Whether notes, notices and lines are left out from now on; errors and results are not."""
    global _quiet
    _quiet = quiet


def visible() -> bool:
    """Whether a line would be seen: standard error is a terminal, and nobody asked for quiet."""
    return not _quiet and sys.stderr is not None and sys.stderr.isatty()


def note(text: str) -> None:
    """Prints what a command has done, for instance where it has written, on standard output."""
    if not _quiet:
        with _cleared():
            print(text, flush=True)


def notice(text: str) -> None:
    """Prints what somebody should know, on standard error."""
    if not _quiet:
        with _cleared():
            print(text, file=sys.stderr, flush=True)


@contextlib.contextmanager
def line(
    what: str, total: float | None = None, *, show: bool | None = None, keep: bool = False
) -> Iterator[Line]:
    """The line of work that others do not contain.

    Args:
        what: its name.
        total: its size, for a bar.
        show: whether it is shown; ``None`` means where it is `visible`.
        keep: whether the line stays when the work is done.
    """
    global _shown
    made = Line(what, total, visible() if show is None else show and not _quiet, keep)
    outer, _shown = _shown, made
    try:
        yield made
    finally:
        made.close()
        _shown = outer


@contextlib.contextmanager
def doing(what: str) -> Iterator[None]:
    """Names what is done inside, in the line of the work that it belongs to."""
    start = time.perf_counter()
    with _named(what):
        yield
    if _shown is not None:
        _shown.spent[what] += time.perf_counter() - start


def track(items: Iterable, what: str, total: int, *, show: bool | None = None) -> Iterator:
    """The items, one by one, while a line says how many of them are done.

    Args:
        items: what is gone through.
        what: what they are.
        total: how many there are.
        show: see `line`; of work inside other work that one is shown.
    """
    if _shown is None:
        with line(what, total, show=show) as made:
            for item in items:
                yield item
                made.advance()
    else:
        with _named(what, total) as advance:
            for item in items:
                yield item
                advance()


@contextlib.contextmanager
def silence(*expected: type[Exception]) -> Iterator[None]:
    """A context in which nothing is shown on stderr, nor logged, unless the block fails.

    What libraries print from C++ no setting silences. After a failure of a type that is expected it
    stays hidden, as the error says all.
    """
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as hidden:
        os.dup2(hidden.fileno(), 2)
        try:
            yield
        except expected:
            raise
        except Exception:
            hidden.seek(0)
            os.write(stderr, hidden.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(stderr, 2)
            os.close(stderr)


def clock(seconds: float) -> str:
    """Seconds as people write them: ``0.4 s``, ``12 s``, ``04:32``, ``2:03:20``."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    return tqdm.format_interval(seconds)


@contextlib.contextmanager
def _named(what: str, total: int | None = None) -> Iterator[Callable[[], None]]:
    """Adds a name to the line while inside; gives what counts one more of ``total``."""
    shown, done = _shown, 0
    if shown is None:
        yield lambda: None
        return
    names, depth = shown.names, len(shown.names)

    def show() -> None:
        names[depth:] = [what if total is None else f"{what} {done}/{total}"]
        shown.describe()

    def advance() -> None:
        nonlocal done
        done += 1
        show()

    show()
    try:
        yield advance
    finally:
        del names[depth:]
        shown.describe()


def _cleared() -> contextlib.AbstractContextManager:
    """Where something can be printed, after which the line is drawn anew."""
    return contextlib.nullcontext() if _shown is None else tqdm.external_write_mode()
