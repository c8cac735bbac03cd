"""GANs with averaged generators, for TensorFlow and Keras 3.

Names are imported when first used: `tfgan_ema.lab.dynamics` loads neither Keras nor TensorFlow.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.2.0"

_NAMES = {
    "GAN": "gan",
    "EMA": "averaging",
    "PowerEMA": "averaging",
    "UniformAverage": "averaging",
    "LeakyEMA": "mixing",
    "InstanceNoise": "augment",
    "DiffAugment": "augment",
    "ADA": "augment",
    "TopK": "mixing",
    "Lookahead": "lookahead",
    "EMACallback": "callbacks",
    "AverageWeights": "supervised",
    "SampleGrid": "callbacks",
    "Evaluate": "callbacks",
    "Checkpoint": "callbacks",
    "StopOnNaN": "guards",
    "Run": "run",
    "ForPlayer": "rates",
    "OptimisticAdam": "optimizers",
}
_MODULES = (
    "augment", "averaging", "callbacks", "checkpoint", "data", "engines", "errors", "export",
    "gan", "interop", "latents", "layers", "losses", "metrics", "mixing", "optimizers",
    "penalties", "posthoc", "schedules",
)  # fmt: skip
__all__ = ["__version__", *_NAMES, *_MODULES]


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        return getattr(importlib.import_module(f"{__name__}.{_NAMES[name]}"), name)
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
