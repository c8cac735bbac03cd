"""Where downloads and derived files are kept between runs."""

from __future__ import annotations

import os
from pathlib import Path


def cache_dir(override: str | os.PathLike | None = None) -> Path:
    """The folder for downloaded data and weights; it is not created here.

    Args:
        override: a folder named by the user; ``None`` means the environment variable
            ``TFGAN_EMA_CACHE`` or else ``~/.cache/tfgan_ema``.
    """
    chosen = override or os.environ.get("TFGAN_EMA_CACHE") or "~/.cache/tfgan_ema"
    return Path(chosen).expanduser()
