"""What the rooms of the data share: one error, and one voice on stderr."""

from __future__ import annotations

import sys

from tfgan_ema.errors import UsageError


class Unavailable(UsageError):
    """A data set, or one way to it, cannot be had here; the message says why."""


def say(line: str) -> None:
    """Tells the user something on stderr."""
    print(f"tfgan_ema: {line}", file=sys.stderr, flush=True)
