"""The small classifiers of grey-scale sets, shipped with the package: their names and weights.

The networks are ours, so a distance in their features is comparable between runs of this package,
not with other people's numbers. `tfgan_ema.lab.classifier` trains them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

SPACES = {"mnist": "mnist_classifier", "fashion_mnist": "fashion_classifier"}


def path(space: str) -> Path:
    """Where a classifier's weights are kept, inside the package."""
    return Path(__file__).with_name(f"{space}.npz")


def load(space: str) -> dict[str, np.ndarray]:
    """A classifier's weights as float32; they are stored, and tested, rounded to float16."""
    with np.load(path(space), allow_pickle=False) as arrays:
        return {name: arrays[name].astype(np.float32) for name in arrays.files}
