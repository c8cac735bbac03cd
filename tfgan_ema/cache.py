"""Where downloads and derived files are kept between runs."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from tfgan_ema import files
from tfgan_ema.errors import UsageError


def cache_dir(override: str | os.PathLike | None = None) -> Path:
    """The folder for downloaded data and weights; it is not created here.

    Args:
        override: a folder named by the user; ``None`` means the environment variable
            ``TFGAN_EMA_CACHE`` or else ``~/.cache/tfgan_ema``.
    """
    chosen = override or os.environ.get("TFGAN_EMA_CACHE") or "~/.cache/tfgan_ema"
    return Path(chosen).expanduser()


@contextlib.contextmanager
def adding(path: Path) -> Iterator[Path]:
    """A context that gives a temporary path; what is written there joins the cache as ``path``.

    If another process adds ``path`` first, its version stays: both hold the same.

    Raises:
        UsageError: the cache cannot be written.
    """
    try:
        with files.replacing(path, keep=True) as temporary:
            yield temporary
    except OSError as error:
        raise UsageError(
            f"cannot write to {path.parent} ({error.strerror or error}): choose another cache "
            "folder with data_dir= or TFGAN_EMA_CACHE."
        ) from error
