"""The networks of the package torch-mimicry, without the rest of it."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
from typing import Any

from tfgan_ema.errors import UsageError


def sngan(size: int) -> tuple[Any, Any]:
    """Mimicry's SNGAN generator and discriminator for images of so many pixels a side.

    The package's first lines import TensorFlow 1 and torchvision, which its networks do not need:
    it is entered without them.

    Raises:
        UsageError: it is not installed.
    """
    spec = importlib.util.find_spec("torch_mimicry")
    if spec is None:
        raise UsageError("torch_mimicry is not installed: pip install --no-deps torch-mimicry.")
    package = types.ModuleType("torch_mimicry")
    package.__spec__, package.__path__ = spec, list(spec.submodule_search_locations or [])
    sys.modules.setdefault("torch_mimicry", package)
    module = importlib.import_module(f"torch_mimicry.nets.sngan.sngan_{size}")
    players = ("Generator", "Discriminator")
    return tuple(getattr(module, f"SNGAN{player}{size}")() for player in players)
