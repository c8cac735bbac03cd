"""What every command shares: flags of its own, ``--help``, and one-line errors with exit code 2."""

from __future__ import annotations

import functools
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
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

    Bad flags and `UsageError` print one line on stderr and return 2; so does Ctrl-C, with 130.
    """
    values.unparse_flags()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        if any(word in ("-h", "--help") for word in argv):
            print(f"{usage.strip()}\n\nFlags:{_describe(values)}")
            return 0
        return function(values, values(list(argv))[1:]) or 0
    except (UsageError, flags.Error) as error:
        return refuse(argv[0], error)
    except KeyboardInterrupt:
        print(f"{argv[0]}: interrupted.", file=sys.stderr)
        return 130
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in INSTALL:
            raise
        return refuse(argv[0], UsageError(f"{package} is not installed: {INSTALL[package]}."))


def main(
    function: Callable[[Flags, list[str]], int | None], values: Flags, usage: str
) -> Callable[[Sequence[str]], int]:
    """The ``main(argv)`` of a command, which returns its exit code; the arguments are `run`'s."""
    return functools.partial(run, function, values, usage)


def average(text: str) -> int | str:
    """The value of an ``--average`` flag: an index, a name or ``raw``."""
    return int(text) if text.isdecimal() else text


def check_output(flag: str, name: str | os.PathLike | None) -> None:
    """Refuses a file that cannot be written before anything is computed; ``None`` is none."""
    if not name:
        return
    path = Path(name)
    there = next(folder for folder in path.absolute().parents if folder.exists())
    if path.is_dir() or not there.is_dir() or not os.access(there, os.W_OK):
        raise UsageError(f"--{flag}={path}: cannot be written; name a file in a folder of yours.")


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
        except BaseException:
            hidden.seek(0)
            os.write(stderr, hidden.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


def refuse(command: str, error: Exception) -> int:
    """Prints an error as one line on stderr; returns the exit code of bad input, 2."""
    print(f"{command}: {' '.join(str(error).split())}", file=sys.stderr)
    return 2


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
