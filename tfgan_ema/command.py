"""What every command shares: flags of its own, ``--help``, and errors of one line."""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import re
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from absl import flags

from tfgan_ema.errors import UsageError

Flags = flags.FlagValues
_DEFINE = {
    bool: flags.DEFINE_bool,
    float: flags.DEFINE_float,
    int: flags.DEFINE_integer,
    list: flags.DEFINE_list,
    str: flags.DEFINE_string,
}
_BACKEND = "pip install {0}, or choose the other backend with KERAS_BACKEND={1}"
_LAB = "pip install 'tfgan_ema[lab]'"
INSTALL = {
    "tensorflow": _BACKEND.format("tensorflow", "jax"),
    "jax": _BACKEND.format("jax", "tensorflow"),
    "jinja2": _LAB,
    "matplotlib": _LAB,
    "scipy": _LAB,
    "sklearn": _LAB,
}  # what brings a package that is not always needed
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_ARGUMENT = re.compile(r"(?<![\w.-])((\w+)(?:\.\w+)*)=(?:True\b|'([^']*)')?")


def new_flags(*rows: tuple[str, type, Any, str]) -> Flags:
    """A set of flags with ``--help``, apart from absl's process-wide set.

    Several commands can therefore live in one process.

    Args:
        rows: a flag's name, type (``bool``, ``float``, ``int``, ``list`` or ``str``), default and
            help. Other kinds of flags are added with ``flags.DEFINE_...(..., flag_values=FLAGS)``.
    """
    values = Flags()
    flags.DEFINE_bool("help", False, "Show this help and exit.", short_name="h", flag_values=values)
    for name, kind, default, text in rows:
        _DEFINE[kind](name, default, text, flag_values=values)
    return values


def run(
    function: Callable[[Flags, list[str]], int | None],
    values: Flags,
    usage: str,
    argv: Sequence[str],
) -> int:
    """Parses ``argv`` and calls ``function(flags, positional)``; returns the exit code.

    Args:
        function: the command; it may return an exit code, ``None`` means 0.
        values: the command's flags, from `new_flags`.
        usage: the text above the flags in ``--help``.
        argv: the arguments, with the command's name first.

    Bad flags, `UsageError` and files that cannot be read or written print one line on stderr and
    return 2; a full disk returns 1, Ctrl-C 130 and SIGTERM 143.
    """
    values.unparse_flags()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        if any(word in ("-h", "--help") for word in argv):
            print(f"{usage.strip()}\n\nFlags:{_describe(values)}")
            return 0
        with _interruptible():
            return function(values, values(list(argv))[1:]) or 0
    except UsageError as error:
        return refuse(argv[0], in_flags(str(error), values))
    except flags.Error as error:
        return refuse(argv[0], error)
    except OSError as error:
        if error.filename is None and error.errno not in FULL:
            raise
        notes = getattr(error, "__notes__", ["Files that were complete are kept."])
        full = error.errno in FULL
        advice = "Free some space and repeat the command" if full else "Name another place"
        what = f"{error.filename or 'a file'}: {error.strerror}"
        return refuse(argv[0], f"{what}. {' '.join(notes)} {advice}.", 1 if full else 2)
    except KeyboardInterrupt as stop:
        number = stop.args[0] if stop.args else signal.SIGINT
        return refuse(argv[0], f"interrupted by {signal.Signals(number).name}.", 128 + number)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in INSTALL:
            raise
        return refuse(argv[0], f"{package} is not installed: {INSTALL[package]}.")


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Where SIGTERM is raised as Ctrl-C is, so that nothing unfinished is left behind."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt(number)

    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL
    ):
        yield
        return
    signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def main(
    function: Callable[[Flags, list[str]], int | None], values: Flags, usage: str
) -> Callable[[Sequence[str]], int]:
    """The ``main(argv)`` of a command, which returns its exit code; the arguments are `run`'s."""
    return functools.partial(run, function, values, usage)


def average(text: str) -> int | str:
    """The value of an ``--average`` flag: an index, a name or ``raw``."""
    return int(text) if text.isdecimal() else text


def check_output(flag: str, name: str | os.PathLike | None, kind: str = "file") -> None:
    """Refuses a file or a folder that cannot be written before anything is computed.

    Args:
        flag: the flag that names it.
        name: what it names; ``None`` is none.
        kind: ``"file"`` or ``"folder"``.
    """
    if not name:
        return
    path = Path(name).absolute()
    places = [path, *path.parents] if kind == "folder" else path.parents
    there = next(place for place in places if place.exists())
    wrong = not there.is_dir() or not os.access(there, os.W_OK)
    if wrong or (kind == "file" and path.is_dir()):
        raise UsageError(
            f"--{flag}={name}: cannot be written in {there}; name a {kind} where you may write."
        )


def start_engine() -> None:
    """Loads Keras and its backend without the lines that TensorFlow prints while it starts.

    They come from C++ and no setting silences them. If loading fails, they are shown.
    """
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as hidden:
        os.dup2(hidden.fileno(), 2)
        try:
            from tfgan_ema.engines import devices

            devices.find_devices()
        except Exception:
            hidden.seek(0)
            os.write(stderr, hidden.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


def refuse(command: str, error: object, code: int = 2) -> int:
    """Prints an error as one line on stderr; returns the exit code, 2 for bad input."""
    print(f"{command}: {' '.join(str(error).split())}", file=sys.stderr)
    return code


def in_flags(message: str, values: Flags) -> str:
    """A message of the library, whose arguments are written as the flags of the command.

    ``overwrite=True`` becomes ``--overwrite``, ``strategy='cpu'`` becomes ``--strategy=cpu``.
    """

    def flag(match: re.Match) -> str:
        if match[2] not in values:
            return match[0]
        ending = "" if match[0].endswith("=True") else f"={match[3] or ''}"
        return f"--{match[1]}{ending}"

    return _ARGUMENT.sub(flag, message)


def _describe(values: Flags) -> str:
    lines = []
    for name in sorted(set(values) - {"h", "help"}):
        flag = values[name]
        if flag.name != name:  # a short alias
            continue
        kind = flag.flag_type()
        default = "" if flag.default is None else f" (default: {flag.default_as_str})"
        lines.append(f"  --{name}=<{kind}>: {' '.join((flag.help or '').split())}{default}")
    return "\n" + "\n".join(lines)
