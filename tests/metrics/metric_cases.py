"""Feature sets on which our metrics are compared with other packages, drawn from fixed seeds.

``RandomState`` draws the same numbers in every NumPy release. The stored values in
``fixtures/peers.json`` belong to exactly these sets; ``fixtures/make_peers.py`` remakes them.
"""

from __future__ import annotations

import zlib

import numpy as np

# name: kind, rows of a, rows of b, width
CASES = {
    "random_2": ("random", 500, 400, 2),
    "random_64_below": ("random", 40, 50, 64),
    "random_64": ("random", 300, 400, 64),
    "random_2048_below": ("random", 300, 250, 2048),
    "structured_2": ("structured", 600, 600, 2),
    "structured_64_below": ("structured", 50, 40, 64),
    "structured_64": ("structured", 700, 500, 64),
    "structured_2048_below": ("structured", 400, 400, 2048),
    "structured_2048": ("structured", 2300, 2400, 2048),
}


def features(name: str) -> tuple[np.ndarray, np.ndarray]:
    """The two float64 sets of a case; structured ones are rectified mixtures, like activations."""
    kind, n, m, width = CASES[name]
    random = np.random.RandomState(zlib.crc32(name.encode()))
    if kind == "random":
        return random.randn(n, width), 1.2 * random.randn(m, width) + 0.1
    scales = np.geomspace(1, 0.05, width)
    mixing = random.randn(min(width, 40), width) * scales
    centres = random.randn(5, len(mixing))

    def draw(rows: int, shift: float) -> np.ndarray:
        latent = centres[random.randint(5, size=rows)] + 0.5 * random.randn(rows, len(mixing))
        return np.maximum(latent @ mixing + scales * random.randn(rows, width) + shift, 0.0)

    return draw(n, 0.3), draw(m, 0.5)


def probabilities(rows: int = 1000, classes: int = 10) -> np.ndarray:
    """Class probabilities, some nearly certain."""
    random = np.random.RandomState(7)
    logits = 4 * random.randn(rows, classes)
    exp = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exp / exp.sum(axis=1, keepdims=True)
