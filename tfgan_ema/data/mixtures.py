"""The 2-D Gaussian mixtures on which mode collapse is measured."""

from __future__ import annotations

import numpy as np

from tfgan_ema.errors import check_memory, checked_seed, number, whole

_STREAM = 0x6D69780000000000  # keeps these draws apart from others with the same seed


def ring_centers(modes: int = 8, radius: float = 1.0) -> np.ndarray:
    """The means [modes, 2] of the ring: equally spaced on a circle, the first on the x axis."""
    angle = 2 * np.pi * np.arange(whole("modes", modes)) / modes
    radius = number("radius", radius, "(0, inf)")
    return radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)


def grid_centers(side: int = 4, spacing: float = 1.0) -> np.ndarray:
    """The means [side^2, 2] of the grid, centred on the origin."""
    spacing = number("spacing", spacing, "(0, inf)")
    axis = spacing * (np.arange(whole("side", side)) - (side - 1) / 2)
    return np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)


def draw(centers: np.ndarray, sigma: float, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """``count`` samples of the equal mixture of N(center, sigma^2 I).

    Returns:
        points float32 [count, 2] and the int32 component [count] that each came from.
    """
    check_memory(f"count {count}", 40 * whole("count", count))
    seed, sigma = checked_seed(seed), number("sigma", sigma, "[0, inf)")
    random = np.random.Generator(np.random.Philox(key=[seed % 2**64, _STREAM]))
    modes = random.integers(len(centers), size=count)
    points = centers[modes] + sigma * random.standard_normal((count, 2))
    return points.astype(np.float32), modes.astype(np.int32)


def ring(
    count: int = 50_000, seed: int = 0, modes: int = 8, radius: float = 1.0, sigma: float = 0.01
) -> tuple[np.ndarray, np.ndarray]:
    """8 Gaussians on the unit circle, variance 1e-4 (Otstot 2023, the 2D-ring)."""
    return draw(ring_centers(modes, radius), sigma, count, seed)


def grid(
    count: int = 50_000, seed: int = 0, side: int = 4, spacing: float = 1.0, sigma: float = 0.2
) -> tuple[np.ndarray, np.ndarray]:
    """A 4x4 grid of Gaussians, sigma 0.2 (Yazici et al. 2019, Table 1; spacing 1 is our choice)."""
    return draw(grid_centers(side, spacing), sigma, count, seed)
