"""Files and folders that appear whole or not at all, and folders that one process has to itself.

Everything is first written beside its place, under a hidden name that says which process writes it,
and renamed when it is complete and on disk. A process that is killed leaves at most that hidden
file, and the next one that writes to the same folder removes it.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import re
import secrets
import shutil
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from tfgan_ema.errors import UsageError

LOCK = ".lock"  # in a folder that a process has claimed
_TEMPORARY = re.compile(
    r"\.(?P<name>.+)\.(?P<host>[0-9a-f]{8})-(?P<process>\d+)-(?P<token>[0-9a-f]{8})"
    r"\.(?P<kind>tmp|old)(?:\..*)?",
    re.DOTALL,
)
_DAY = 24 * 3600.0  # seconds after which nobody is taken to be still writing
_claims: dict[Path, IO[str]] = {}  # the folders that this process has claimed, and their locks


@contextlib.contextmanager
def replacing(path: str | os.PathLike, *, keep: bool = False) -> Iterator[Path]:
    """A context that gives a temporary path; what is written there takes the place of ``path``.

    The temporary path keeps the ending of ``path``, since many writers choose a format by it. A
    folder may be written instead of a file, and then replaces a folder. If the block raises an
    error, ``path`` stays as it was.

    Args:
        path: what is created or replaced; its folder is created if needed.
        keep: if another process creates ``path`` while the block runs, leave it and discard what
            was written here.

    Raises:
        UsageError: ``path`` lies in a folder that was claimed and is no longer there.

    Example::

        with files.replacing("runs/a/table.csv") as temporary:
            temporary.write_text("step,loss\\n")
    """
    path = Path(path)
    check_claim(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _clear_once(os.getpid(), os.path.abspath(path.parent))
    temporary, old = _hidden(path, "tmp", path.suffix), _hidden(path, "old")
    try:
        with naming(path, temporary):
            yield temporary
            if keep and path.exists():
                return
            _flush(temporary)
            if temporary.is_dir() and path.exists():
                path.rename(old)
            try:
                temporary.replace(path)
            except OSError:
                if not (keep and path.exists()):
                    raise
            _sync(path.parent)
    finally:
        for leftover in (temporary, old):
            if os.path.lexists(leftover):
                _settle(leftover)


@contextlib.contextmanager
def naming(path: str | os.PathLike, temporary: Path | None = None) -> Iterator[None]:
    """A context whose `OSError` names ``path`` instead of ``temporary`` or of no file.

    Python names none on a full disk.
    """
    try:
        yield
    except OSError as error:
        named = error.filename is None or os.fspath(error.filename) == os.fspath(temporary or "")
        if error.errno is not None and named:
            error.filename = os.fspath(path)
        raise


def write_text(path: str | os.PathLike, text: str) -> None:
    """Writes a text file in UTF-8, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


# What killed processes leave


def clear_leftovers(folder: str | os.PathLike) -> None:
    """Removes what killed processes left half-written in a folder, not below it.

    A folder that was moved aside to be replaced gets its name back if nothing has taken its place.
    """
    for name in os.listdir(folder) if os.path.isdir(folder) else ():
        path, match = Path(folder, name), _TEMPORARY.fullmatch(name)
        if match and not _is_written(path, match):
            _settle(path)


def is_hidden(path: Path) -> bool:
    """Whether a name is that of a lock or of something unfinished, of whatever process."""
    return path.name == LOCK or _TEMPORARY.fullmatch(path.name) is not None


_clear_once = functools.cache(lambda process, folder: clear_leftovers(folder))


def _hidden(path: Path, kind: str, ending: str = "") -> Path:
    process = os.getpid()
    return path.with_name(f".{path.name}.{_host()}-{process}-{_token(process)}.{kind}{ending}")


def _host() -> str:
    return f"{zlib.crc32(os.uname().nodename.encode()):08x}"


@functools.cache
def _token(process: int) -> str:
    """Tells this process from earlier ones of the same number."""
    return secrets.token_hex(4)


def _is_written(path: Path, match: re.Match) -> bool:
    """Whether a process may still be writing an unfinished file or folder."""
    try:
        changed = max(part.lstat().st_mtime for part in [path, *path.rglob("*")])
    except FileNotFoundError:  # it is, or somebody else removes it
        return True
    if time.time() - changed > _DAY:  # a number is used again, a host does not come back
        return False
    if match["host"] != _host():
        return True
    process = int(match["process"])
    if process == os.getpid():
        return match["token"] == _token(process)
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _settle(leftover: Path) -> None:
    """Removes something unfinished; what was moved aside and not replaced gets its name back."""
    match = _TEMPORARY.fullmatch(leftover.name)
    with contextlib.suppress(OSError):
        if match["kind"] == "old":
            path = leftover.with_name(match["name"])
            if not os.path.lexists(path):
                leftover.rename(path)
                return
            # A removal that is interrupted must not leave half a folder to get its name back.
            leftover = leftover.rename(leftover.with_suffix(".tmp"))
        if leftover.is_dir() and not leftover.is_symlink():
            shutil.rmtree(leftover)
        else:
            leftover.unlink()


def _flush(path: Path) -> None:
    """Waits until a file, or every file of a folder, is on disk."""
    for part in [path, *path.rglob("*")] if path.is_dir() else [path]:
        _sync(part)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# Folders that one process has to itself


@contextlib.contextmanager
def claim(folder: str | os.PathLike) -> Iterator[None]:
    """A context in which no other process can claim a folder, which is created if needed.

    The process itself may claim it again. The claim of a process that is killed ends with it. Where
    a file system knows no locks, nobody is kept out.

    Raises:
        UsageError: another process has claimed the folder; the message says which.
    """
    folder = Path(os.path.realpath(folder))
    if folder in _claims:
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / LOCK
    with _locked(path) as file:
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        with naming(path):
            file.truncate(0)
            file.write(f"process {os.getpid()} on {os.uname().nodename} since {since}")
            file.flush()
        _claims[folder] = file
        try:
            yield
        finally:
            del _claims[folder]
            with contextlib.suppress(OSError):
                if _is_at(file, path):
                    path.unlink()


def check_claim(path: str | os.PathLike) -> None:
    """Refuses a path in a claimed folder that was deleted, moved or replaced in the meantime.

    Raises:
        UsageError: what has become of the folder.
    """
    above = Path(os.path.realpath(path)).parents if _claims else ()
    for folder, file in _claims.items():
        if folder in above and not _is_at(file, folder / LOCK):
            raise UsageError(
                f"{folder} was deleted, moved or replaced while this process wrote to it: nothing "
                "more is written there."
            )


def _locked(path: Path) -> IO[str]:
    """The open lock file, which is this process's own until it is closed."""
    while True:
        file = path.open("a+", encoding="utf-8")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with file:
                file.seek(0)
                holder = file.read() or "another process"
            raise UsageError(
                f"{path.parent} is in use by {holder}: wait until it ends, or name another folder."
            ) from None
        except OSError:
            pass  # a file system without locks
        if _is_at(file, path):  # else its last owner has just removed it
            return file
        file.close()


def _is_at(file: IO[str], path: Path) -> bool:
    """Whether ``path`` is the file that is open."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except OSError:
        return False
