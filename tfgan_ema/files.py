"""Files and folders that appear whole or not at all.

Everything is first written beside its place, under a hidden name that carries the number of the
process, and renamed when it is complete and on disk. A process that is killed leaves at most that
hidden file, and the next one that writes to the same place removes it.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

_TEMPORARY = re.compile(r"\..+\.(\d+)\.(?:tmp|old)(?:\.[\w.]+)?")


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

    Example::

        with files.replacing("runs/a/table.csv") as temporary:
            temporary.write_text("step,loss\\n")
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    clear_leftovers(path.parent, path.name)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp{path.suffix}")
    try:
        with naming(path):
            yield temporary
        if keep and path.exists():
            return
        _flush(temporary)
        if temporary.is_dir() and path.exists():
            old = path.with_name(f".{path.name}.{os.getpid()}.old")
            path.rename(old)
            temporary.rename(path)
            shutil.rmtree(old)
        else:
            temporary.replace(path)
        _sync(path.parent)
    finally:
        _remove(temporary)


@contextlib.contextmanager
def naming(path: str | os.PathLike) -> Iterator[None]:
    """A context whose `OSError` names ``path`` where Python names no file, as on a full disk."""
    try:
        yield
    except OSError as error:
        if error.errno is not None:
            error.filename = error.filename or os.fspath(path)
        raise


def write_text(path: str | os.PathLike, text: str) -> None:
    """Writes a text file in UTF-8, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def clear_leftovers(folder: str | os.PathLike, name: str = "") -> None:
    """Removes what killed processes left half-written in a folder.

    Args:
        folder: where to look; not below it.
        name: only leftovers of this file or folder; all of them unless given.
    """
    for path in Path(folder).glob(f".{name}*"):
        match = _TEMPORARY.fullmatch(path.name)
        if match and not _alive(int(match[1])):
            _remove(path)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


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


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
