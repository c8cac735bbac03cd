# ruff: noqa: RUF001 (Greek letters and minus signs are meant)
"""Figures of the theory of (α_D, α_G)-GANs: what a generated sample feels (Otstot's slides)."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from scipy.special import logit

from tfgan_ema.lab.dynamics import tilted
from tfgan_ema.lab.dynamics.games import Array, unit
from tfgan_ema.lab.reports.phase_plots import GREEN, VERMILLION, styled

Pair = tuple[float, float]  # α_D, α_G

TILTS = (0.3, 0.6, 1.0, 2.0)
PAIRS = ((1.0, 1.0), (0.5, 1.0), (1.0, 1.5), (0.5, 1.5))
SIGMA = 0.5
# Real centres, generated centres, on a line
LINES = {
    "generated data approach a real mode": ([1.0], [-1.0]),
    "a second real mode is missing": ([-1.0, 1.0], [-1.0]),
    "a few generated samples are outliers": ([1.0], [1.0] * 9 + [-1.0]),
}


@styled
def scalars() -> Figure:
    """The tilted posterior, C and C_NS over the true posterior P(Y = 1|x)."""
    posterior = np.linspace(0.001, 0.999, 250)
    odds = logit(posterior)
    figure = Figure(figsize=(9.6, 3.4))
    left, *right = figure.subplots(1, 3)
    for alpha in TILTS:
        left.plot(posterior, tilted.tilted_posterior(odds, alpha), label=f"$α_D$ = {alpha:g}")
    left.set(title="optimal discriminator", ylabel="tilted posterior")
    for axis, saturating in zip(right, (True, False), strict=True):
        for pair in PAIRS:
            scalar = tilted.gradient_scalar(odds, *pair, saturating)
            axis.plot(posterior, scalar, label=_name(pair))
        axis.set(title=_objective(saturating), ylabel="$C$" if saturating else "$C_{NS}$")
    for axis in (left, right[0]):
        axis.legend(loc="upper left")
    for axis in (left, *right):
        axis.set(xlabel="P(Y = 1|x)", xlim=(0, 1), ylim=(0, 1))
    return figure


@styled
def line() -> Figure:
    """Densities, discriminators and where samples move, on the line through two modes."""
    x = np.linspace(-2, 2, 161)
    points = x[:, None]
    figure = Figure(figsize=(9.6, 7.2))
    axes = figure.subplots(3, len(LINES), sharex=True, sharey="row")
    for (above, *below), (title, modes) in zip(axes.T, LINES.items(), strict=True):
        real, fake = (np.array(centres)[:, None] for centres in modes)
        odds = tilted.log_odds(points, real, fake, SIGMA)
        for centres, color in ((real, GREEN), (fake, VERMILLION)):
            density = np.exp(tilted.log_density(points, centres, SIGMA))
            above.fill_between(x, density, color=color, alpha=0.25, linewidth=0)
        for alpha, style in ((1.0, "-"), (0.5, "--")):
            above.plot(x, tilted.tilted_posterior(odds, alpha), style, color="black")
        above.set_title(title)
        way = tilted.direction(points, real, fake, SIGMA)[:, 0]
        for axis, saturating in zip(below, (True, False), strict=True):
            axis.axhline(0, color="0.7", linewidth=0.6)
            for pair in PAIRS:
                axis.plot(x, tilted.gradient_scalar(odds, *pair, saturating) * way)
        below[1].set_xlabel("x")
    axes[0, 0].set_ylabel("densities, discriminators")
    for row, saturating in ((axes[1], True), (axes[2], False)):
        row[0].set_ylabel(f"push to the right,\n{_objective(saturating)}")
    _legend(figure, axes[0, 0], axes[1, 0])
    return figure


@styled
def directions() -> Figure:
    """The push on samples in the plane: the arrows never change, their sizes do."""
    real, fake = np.array([[1.0, 0.6], [1.0, -0.6]]), np.array([[-0.6, 0.2]])
    figure = Figure(figsize=(9.6, 4.9))
    axes = figure.subplots(2, 3, sharex=True, sharey=True)
    for row, saturating in zip(axes, (True, False), strict=True):
        for axis, pair in zip(row, PAIRS, strict=False):
            image = _push(axis, real, fake, pair, saturating)
            axis.set_title(f"{_objective(saturating)}, {_name(pair)}")
    figure.colorbar(image, ax=axes, label="size of the push", shrink=0.8, extend="both")
    return figure


def _push(axis: Axes, real: Array, fake: Array, pair: Pair, saturating: bool) -> QuadMesh:
    """Sizes as colours, directions as arrows of one length; the two mixtures as marks."""
    grid = np.stack(np.meshgrid(np.linspace(-2, 2, 81), np.linspace(-1.5, 1.5, 61)), -1)
    way = tilted.direction(grid, real, fake, SIGMA)
    scalar = tilted.gradient_scalar(tilted.log_odds(grid, real, fake, SIGMA), *pair, saturating)
    size = np.linalg.norm(way, axis=-1) * scalar
    norm = LogNorm(1e-3, 10, clip=True)
    x, y = np.moveaxis(grid, -1, 0)
    image = axis.pcolormesh(x, y, size, norm=norm, cmap="cividis", rasterized=True)
    coarse = np.s_[6::8, 4::8]
    arrows = unit(np.moveaxis(way[coarse], -1, 0))
    shape = {"color": "white", "width": 0.005, "scale": 22, "pivot": "mid"}
    axis.quiver(x[coarse], y[coarse], *arrows, rasterized=True, **shape)
    axis.plot(*real.T, "o", color=GREEN, markersize=7, markeredgecolor="white")
    axis.plot(*fake.T, "s", color=VERMILLION, markersize=7, markeredgecolor="white")
    axis.set_aspect("equal")
    return image


def _name(pair: Pair) -> str:
    return f"({pair[0]:g}, {pair[1]:g})"


def _objective(saturating: bool) -> str:
    return "saturating" if saturating else "non-saturating"


def _legend(figure: Figure, above: Axes, below: Axes) -> None:
    """The colours of densities, discriminators and pairs below all panels."""
    entries = dict(zip(["real", "generated"], above.collections, strict=True))
    entries |= dict(zip(["$D, α_D$ = 1", "$D, α_D$ = 0.5"], above.lines, strict=True))
    entries |= dict(zip(map(_name, PAIRS), below.lines[1:], strict=True))
    figure.legend(entries.values(), entries.keys(), loc="outside lower center", ncols=8)
