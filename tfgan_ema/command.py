"""What every command shares: flags of its own, ``--help``, and errors of one line."""

from __future__ import annotations

import contextlib
import errno
import functools
import io
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from absl import flags

from tfgan_ema import errors, progress
from tfgan_ema.errors import UsageError, WorkerLost

Flags = flags.FlagValues
BACKENDS = ("tensorflow", "jax")
_BACKEND = "pip install {0}, or choose the other backend with KERAS_BACKEND={1}"
_EXTRA = "pip install 'tfgan_ema[{}]'"
_LAB = _EXTRA.format("lab")
INSTALL = {
    "tensorflow": _BACKEND.format("tensorflow", "jax"),
    "jax": _BACKEND.format("jax", "tensorflow"),
    "torch": "choose a backend with KERAS_BACKEND=tensorflow, or jax",
    "jinja2": _LAB,
    "matplotlib": _LAB,
    "scipy": _LAB,
    "sklearn": _LAB,
    **dict.fromkeys(("tf2onnx", "onnx", "onnxruntime"), _EXTRA.format("onnx")),
    "ai_edge_litert": _EXTRA.format("litert"),
    **dict.fromkeys(("pyarrow", "ray"), _EXTRA.format("cluster")),
    "openvino": _EXTRA.format("openvino"),
    "huggingface_hub": _EXTRA.format("hub"),
    "yaml": _LAB,
    **dict.fromkeys(
        ("aiohttp", "grpc_health", "orjson", "prometheus_client", "tensorflow_serving"),
        _EXTRA.format("serve"),
    ),
}  # what brings a package that is not always needed
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_ARGUMENT = re.compile(r"(?<![\w.-])((\w+)(?:\.\w+)*)=(?:True\b|'([^']*)')?")


class Kind(flags.ArgumentParser):
    """A kind of flag, whose values are checked when the command line is read."""

    def __init__(self, type_: type, check: Callable[[str, Any], Any]) -> None:
        """Values are made by ``type_`` from the text, and returned by ``check("", value)``."""
        self._type, self._check = type_, check

    def parse(self, argument: Any) -> Any:
        value = argument
        with contextlib.suppress(ValueError):  # text that is no number is for the check
            value = self._type(argument)
        try:
            return self._check("", value)
        except UsageError as error:  # its beginning is the name and the value, as absl says them
            raise ValueError(str(error).partition(": ")[2]) from None

    def flag_type(self) -> str:
        return {int: "integer", float: "float"}.get(self._type, "string")


def whole(least: int = 1, most: int = errors.INT32) -> Kind:
    """Whole numbers from ``least`` to ``most``."""
    return Kind(int, functools.partial(errors.whole, least=least, most=most))


def number(interval: str) -> Kind:
    """Numbers in an interval such as ``"[0, 1)"``."""
    return Kind(float, functools.partial(errors.number, interval=interval))


def one_of(*names: str) -> Kind:
    """One of some names."""
    return Kind(str, functools.partial(errors.one_of, known=names))


def _text(name: str, value: str) -> str:
    if not value:
        raise UsageError(": it is empty; write what you mean, or leave the flag out.")
    return value


def _texts(name: str, value: str | list[str]) -> list[str]:
    texts = [text.strip() for text in value.split(",")] if isinstance(value, str) else value
    if "" in texts:
        raise UsageError(": expected values with a comma between two.")
    return texts


def _channels(name: str, value: Any) -> int:
    if value not in (1, 3):
        raise UsageError(": expected 1 (grey) or 3 (colour).")
    return value


CHANNELS = Kind(int, _channels)
SEED = Kind(int, lambda name, value: errors.checked_seed(value))
CLUSTER = (  # flags of the commands whose work many machines can share
    (
        "cluster",
        str,
        None,
        "Where the work runs: local starts Ray on this machine, auto is the Ray cluster that it "
        "belongs to, anything else is the address of one.",
    ),
    ("gpus", number("[0, inf)"), 0.0, "How much of a GPU each piece of work takes (--cluster)."),
)
_KINDS = {str: Kind(str, _text), list: Kind(lambda value: value, _texts)}


def new_flags(*rows: tuple[str, type | Kind, Any, str]) -> Flags:
    """A set of flags with ``--help``, apart from absl's process-wide set.

    Several commands can therefore live in one process.

    Args:
        rows: a flag's name, kind (``bool``, ``list``, ``str`` or a `Kind`), default and help.
    """
    values = Flags()
    flags.DEFINE_bool("help", False, "Show this help and exit.", short_name="h", flag_values=values)
    flags.DEFINE_bool("quiet", False, "Print results and errors alone.", flag_values=values)
    for name, kind, default, text in rows:
        if kind is bool:
            flags.DEFINE_bool(name, default, text, flag_values=values)
        else:
            joined = flags.CsvListSerializer(",") if kind is list else None
            parser = _KINDS.get(kind, kind)
            flags.DEFINE(parser, name, default, text, flag_values=values, serializer=joined)
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
    return 2; a full disk and a missing worker return 1, Ctrl-C 130 and SIGTERM 143.
    """
    values.unparse_flags()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        if any(word in ("-h", "--help") for word in argv):
            print(f"{usage.strip()}\n\nFlags:{_describe(values)}")
            return 0
        with _interruptible():
            words = values(list(argv))[1:]
            progress.set_quiet(values.quiet)
            return function(values, words) or 0
    except UsageError as error:
        return refuse(argv[0], in_flags(str(error), values))
    except WorkerLost as error:
        return refuse(argv[0], in_flags(str(error), values), 1)
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
    finally:
        progress.set_quiet(False)


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


def no_words(words: Sequence[str]) -> None:
    """Refuses words beside the flags."""
    if words:
        raise UsageError(f"unexpected argument {words[0]!r}: flags only, see --help.")


def given(values: Flags, names: Iterable[str], belong: str) -> None:
    """Refuses flags that were given where they have no meaning; ``belong`` says where they have."""
    for name in names:
        if not values[name].using_default_value:
            raise UsageError(f"--{name} {belong}.")


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
    try:
        there = next(place for place in places if place.exists())
    except OSError as error:  # a name that is too long, a link to itself
        raise UsageError(f"--{flag}={name}: {error.strerror}; name another {kind}.") from None
    longest = os.pathconf(there, "PC_NAME_MAX") - 20 if there.is_dir() else 0  # see `files`
    if longest and max(len(os.fsencode(part)) for part in path.parts) > longest:
        raise UsageError(f"--{flag}={name}: the name is too long; give one of {longest} letters.")
    wrong = not there.is_dir() or not os.access(there, os.W_OK)
    if wrong or (kind == "file" and path.exists() and not path.is_file()):
        raise UsageError(
            f"--{flag}={name}: cannot be written in {there}; name a {kind} where you may write."
        )


def check_backend() -> None:
    """Raises `UsageError` if the environment asks Keras for a backend without an engine."""
    backend = os.environ.get("KERAS_BACKEND") or BACKENDS[0]
    if backend not in BACKENDS:
        raise UsageError(f"KERAS_BACKEND={backend}: expected {' or '.join(BACKENDS)}.")


def start_engine() -> None:
    """Loads Keras and its backend without the lines that TensorFlow prints while it starts.

    They come from C++ and no setting silences them. If loading fails, they are shown.

    Raises:
        UsageError: as `check_backend`.
    """
    check_backend()
    with progress.line("loading Keras"), progress.silence(UsageError):
        from tfgan_ema.engines import devices

        devices.find_devices()


class _Output(io.FileIO):
    """Standard output that nobody need read: once its pipe is closed, it leads nowhere."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
            return len(data)


def keep_writing() -> None:
    """Makes prints harmless: neither a closed pipe nor a letter without a code ends a command.

    A letter that the terminal's encoding lacks is written as its number.
    """
    for name in ("stdout", "stderr"):
        old = getattr(sys, name)
        if old is None:  # the process was started without it
            continue
        output = io.BufferedWriter(_Output(old.fileno(), "w", closefd=False))
        options = {"errors": "backslashreplace", "line_buffering": old.line_buffering}
        setattr(sys, name, io.TextIOWrapper(output, old.encoding, **options))


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
