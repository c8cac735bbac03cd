"""Metrics: pure functions of samples or features, NumPy arrays or tensors in, plain numbers out.

    metrics.frechet_distance(a, b)
    metrics.Evaluator(["fid", "kid"], reference="cifar10")(sample_fn)

Names are imported when first used; only the networks behind feature spaces need Keras.
"""

from __future__ import annotations

import importlib
from typing import Any

# No module may bear the name of a function: importing it would hide the function.
_NAMES = {
    "frechet_distance": "frechet",
    "fid_infinity": "frechet",
    "fid_bootstrap": "frechet",
    "kernel_distance": "kernel",
    "kernel_distance_subsets": "kernel",
    "inception_score": "classes",
    "precision_recall": "manifold",
    "density_coverage": "manifold",
    "manifold_scores": "manifold",
    "wasserstein_1": "wasserstein",
    "squared_wasserstein_2": "wasserstein",
    "sliced_wasserstein": "wasserstein",
    "mode_coverage": "classes",
    "perceptual_path_length": "path_length",
    "slerp": "path_length",
    "nearest_real": "manifold",
    "NearestReal": "manifold",
    "Evaluator": "evaluator",
    "METRICS": "catalogue",
}
__all__ = [*_NAMES]


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        return getattr(importlib.import_module(f"{__name__}.{_NAMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
