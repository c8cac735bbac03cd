"""64 real images for comparisons with other packages: crops of scikit-learn's two photographs."""

from __future__ import annotations

import numpy as np


def crops(size: int) -> np.ndarray:
    """uint8 ``[64, size, size, 3]``, ``size`` at most 427: the first 32 of the one photograph."""
    from sklearn.datasets import load_sample_images

    made = []
    for photo in load_sample_images().images:
        downs = np.linspace(0, photo.shape[0] - size, 4).astype(int)
        rights = np.linspace(0, photo.shape[1] - size, 8).astype(int)
        made += [photo[y : y + size, x : x + size] for y in downs for x in rights]
    return np.stack(made)
