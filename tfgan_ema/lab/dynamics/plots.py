# ruff: noqa: RUF001 (Greek letters and minus signs are meant)
"""The laboratory's figures (matplotlib's Agg canvas: no display is needed).

Colours are Okabe and Ito's, which colour-blind readers can tell apart; maps use cividis and PuOr.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, SymLogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from tfgan_ema.lab.dynamics import averages, spectra
from tfgan_ema.lab.dynamics.games import NSGAN, Array, Bilinear, Game, LeakyEMA, Separable
from tfgan_ema.lab.dynamics.simulate import Trajectory, descend

BLACK, ORANGE, SKY, GREEN, YELLOW, BLUE, VERMILLION, PURPLE = (
    "#000000", "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7",
)  # fmt: skip
CYCLE = (BLUE, ORANGE, GREEN, VERMILLION, PURPLE, SKY, BLACK)
STYLE = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "lines.linewidth": 1.2,
    "svg.hashsalt": "tfgan_ema",  # the same figure gives the same file
}


def save(figure: Figure, folder: Path, name: str) -> list[Path]:
    """Writes ``name.svg`` and ``name.png``."""
    paths = [folder / f"{name}.svg", folder / f"{name}.png"]
    with matplotlib.rc_context(STYLE):
        figure.savefig(paths[0], dpi=90, metadata={"Date": None})
        figure.savefig(paths[1], dpi=110)
    return paths


def _grid(count: int, columns: int, size: float = 2.6) -> tuple[Figure, list[Axes]]:
    columns = min(columns, count)
    rows = math.ceil(count / columns)
    figure = Figure(figsize=(size * columns, size * rows + 0.5), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes[count:]:
        axis.set_axis_off()
    return figure, list(axes[:count])


def _square(axis: Axes, *curves: Array) -> float:
    points = np.concatenate([np.abs(c).ravel() for c in curves])
    half = 1.12 * points[np.isfinite(points)].max()
    axis.set(xlim=(-half, half), ylim=(-half, half), aspect="equal")
    for side in (axis.xaxis, axis.yaxis):
        side.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    return half


def _legend(figure: Figure, entries: dict[str, dict], columns: int = 8) -> None:
    handles = [Line2D([], [], label=label, **style) for label, style in entries.items()]
    figure.legend(
        handles=handles, loc="outside lower center", ncols=min(len(handles), columns),
        columnspacing=1.2, handlelength=1.6,
    )  # fmt: skip


_DOT = {"color": VERMILLION, "marker": "o", "linestyle": "none", "markersize": 5}
_START = {"color": BLACK, "marker": "s", "linestyle": "none", "markersize": 4}


def _arrows(axis: Axes, game: Game, half: float) -> None:
    """The players' field in the plane (θ, ψ); a leaky average is taken at the equilibrium."""
    line = np.linspace(-half, half, 18)[1:-1]  # even: the equilibrium is left out
    theta, psi = np.meshgrid(line, line)
    rows = np.stack([theta, psi, *[0 * theta] * (game.rows - 2)])[:, None]
    v = game.field(rows)[:2, 0]
    length = np.hypot(*v)
    v = v / np.where(length == 0, 1, length)
    axis.quiver(theta, psi, *v, color="0.78", width=0.005, scale=22, pivot="mid", zorder=0,
                rasterized=True)  # fmt: skip


def phase_portraits(
    panels: Sequence[tuple[str, Game, Trajectory]], *, columns: int = 4, ema: bool = True
) -> Figure:
    """(θ, ψ) of one-dimensional runs over their vector field: blog, thesis figures 1 and 4."""
    with matplotlib.rc_context(STYLE):
        figure, axes = _grid(len(panels), columns)
        for axis, (title, game, run) in zip(axes, panels, strict=True):
            theta, psi = run.state[:, :2, 0].T
            half = _square(axis, theta, psi)
            _arrows(axis, game, half)
            axis.plot(theta, psi, color=BLUE, linewidth=0.9)
            if ema:
                inner = run.state[:, 2, 0] if game.rows == 3 else run.ema[:, 0, 0]
                axis.plot(inner, psi if game.rows == 3 else run.ema[:, 1, 0], color=ORANGE)
            axis.plot(theta[0], psi[0], **_START)
            axis.plot(0, 0, **_DOT)
            axis.set(title=textwrap.fill(title, 24), xlabel="θ", ylabel="ψ")
        trail = {"run": {"color": BLUE}, "averaged": {"color": ORANGE}}
        if not ema:
            del trail["averaged"]
        _legend(figure, {**trail, "start": _START, "equilibrium": _DOT})
    return figure


def generator_paths(
    panels: Sequence[tuple[str, Trajectory, float | None]], *, columns: int = 3
) -> Figure:
    """θ of two-dimensional runs, as in the blog; a limit circle's radius may stand with a panel."""
    with matplotlib.rc_context(STYLE):
        figure, axes = _grid(len(panels), columns)
        for axis, (title, run, radius) in zip(axes, panels, strict=True):
            x, y = run.state[:, 0].T
            _square(axis, x, y)
            axis.plot(x, y, color=BLUE, linewidth=0.9)
            if radius:
                angle = np.linspace(0, 2 * np.pi, 181)
                circle = radius * np.stack([np.cos(angle), np.sin(angle)])
                axis.plot(*circle, color=ORANGE, linestyle="--")
            axis.plot(x[0], y[0], **_START)
            axis.plot(0, 0, **_DOT)
            axis.set(title=title, xlabel="θ₁", ylabel="θ₂")
        entries = {"θ(t)": {"color": BLUE}, "start": _START, "real data": _DOT}
        if any(radius for *_, radius in panels):
            entries["limit circle"] = {"color": ORANGE, "linestyle": "--"}
        _legend(figure, entries)
    return figure


def eigenvalue_clouds(
    panels: Sequence[tuple[str, str, Array, Array, float | None]], *, columns: int = 3
) -> Figure:
    """Eigenvalues at the equilibrium in the complex plane against a parameter.

    A panel is (title, the parameter's symbol, its values ``(n,)``, eigenvalues ``(n, rows)``,
    the critical value or ``None``).
    """
    with matplotlib.rc_context(STYLE):
        figure, axes = _grid(len(panels), columns, size=3.1)
        for axis, (title, symbol, values, roots, special) in zip(axes, panels, strict=True):
            axis.axhline(0, color="0.7", linewidth=0.6, zorder=0)
            axis.axvline(0, color="0.7", linewidth=0.6, zorder=0)
            dots = axis.scatter(
                roots.real, roots.imag, c=np.repeat(values, roots.shape[1]), s=7, cmap="cividis",
                rasterized=True,
            )  # fmt: skip
            if special is not None:
                at = roots[np.abs(values - special).argmin()].mean()  # where they meet
                axis.plot(at.real, at.imag, "*", color=VERMILLION, markersize=10)
                axis.annotate(
                    f"{symbol} = {special:.4g}", (0.97, 0.94), xycoords="axes fraction",
                    ha="right", color=VERMILLION,
                )  # fmt: skip
            figure.colorbar(dots, ax=axis, label=symbol, location="bottom", shrink=0.9)
            axis.margins(0.12)
            axis.set_box_aspect(1)
            axis.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
            axis.set_aspect("equal", adjustable="datalim")
            axis.set(title=title, xlabel="Re λ", ylabel="Im λ")
    return figure


def stability_maps(points: int = 1000) -> Figure:
    """Thesis figure 7: the slowest decay over ``points²`` pairs, for both objectives."""
    line = (np.arange(points) + 0.5) / points
    beta, decay = np.meshgrid(line, line)
    levels = [1e-4, 1e-3, 1e-2, 3e-2, 1e-1]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(8.4, 3.8), layout="constrained")
        axes = figure.subplots(1, 2)
        for axis, (title, slope) in zip(
            axes, (("non-saturating, φ'(0) = −1/2", 0.5), ("Wasserstein, φ'(0) = −1", 1)),
            strict=True,
        ):  # fmt: skip
            rate = -spectra.growth_rate(*spectra.leaky_polynomial(beta, decay, slope))
            shown = axis.imshow(
                rate, origin="lower", extent=(0, 1, 0, 1), cmap="cividis",
                norm=LogNorm(1e-5, 0.6, clip=True), interpolation="nearest",
            )  # fmt: skip
            lines = axis.contour(
                line[::5], line[::5], rate[::5, ::5], levels, colors="white", linewidths=0.7
            )
            axis.set(title=title, xlabel="β (share of leaked samples)", ylabel="γ (decay)")
        figure.colorbar(shown, ax=axes, label="−max Re λ", shrink=0.9).add_lines(lines)
    return figure


def learning_rate_maps(
    game: Separable | None = None, steps: Sequence[float] = (0.01, 0.05, 0.1, 0.2), points: int = 91
) -> Figure:
    """The third axis: growth per unit of time, ``ln ρ / h``, of discrete LeakyEMA descent."""
    game = game or NSGAN()
    slope = float(np.abs(np.linalg.eigvals(game.jacobian())).max())
    beta, forget = np.meshgrid(np.linspace(0, 1, points), np.geomspace(1e-4, 0.5, points))
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(2.4 * len(steps) + 0.8, 5.2), layout="constrained")
        axes = figure.subplots(2, len(steps), sharex=True, sharey=True)
        for row, rule in enumerate(("simultaneous", "alternating")):
            for axis, step in zip(axes[row], steps, strict=True):
                update = spectra.update_matrix(LeakyEMA(game, beta, 1 - forget), step, rule=rule)
                growth = np.log(spectra.spectral_radius(update)) / step
                shown = axis.pcolormesh(
                    beta, forget, growth, cmap="PuOr_r", rasterized=True, shading="nearest",
                    norm=SymLogNorm(1e-3, vmin=-0.1, vmax=0.1),
                )  # fmt: skip
                if growth.max() > 1e-9:
                    axis.contour(beta, forget, growth, [1e-9], colors=BLACK, linewidths=1.2)
                if rule == "simultaneous":
                    margin = spectra.leaky_margin(beta, 1 - forget, step, slope)
                    axis.contour(
                        beta, forget, margin, [0], colors=VERMILLION, linestyles="--",
                        linewidths=1.2,
                    )  # fmt: skip
                axis.set(title=f"{rule}, h = {step:g}", yscale="log")
                if row:
                    axis.set_xlabel("β")
        for axis in axes[:, 0]:
            axis.set_ylabel("1 − γ")
        figure.colorbar(shown, ax=axes, label="ln ρ / h   (above 0: unstable)", shrink=0.7)
        _legend(
            figure,
            {
                "border of stability": {"color": BLACK},
                "β L/(φ'² + L²) = h, L = (1−γ)/h": {"color": VERMILLION, "linestyle": "--"},
            },
        )
    return figure


def averaged_cycle(decays: Sequence[float] = (0.9, 0.99, 0.999), step: float = 0.1) -> Figure:
    """The averaged trajectory inside the cycle (averaging paper, figure 1) and its amplitude."""
    run = descend(Bilinear(), np.ones((2, 1, len(decays))), 20_000, step, decay=np.array(decays))
    ema, mean, time = run.ema[:, :, 0], run.mean[:, :, 0, 0], run.time[1:]
    start, angle = run.radius[0, 0], averages.turn(step)
    turns = slice(round(16 * np.pi / angle))
    k = np.unique(np.geomspace(1, len(time), 400).astype(int))
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(8.6, 3.9), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=(1, 1.2))
        left.plot(*run.state[turns, :2, 0, 0].T, color=BLACK, linewidth=0.9)
        left.plot(*mean[turns].T, color=PURPLE, linewidth=0.9)
        for i, (decay, color) in enumerate(zip(decays, CYCLE, strict=False)):
            left.plot(*ema[turns, :, i].T, color=color, linewidth=0.9)
            right.loglog(k, np.hypot(*ema[k, :, i].T) / start, color=color, linewidth=1)
            gain = averages.ema_gain(decay, angle)
            right.axhline(gain, color=color, linestyle=":", linewidth=1.2)
        left.plot(1, 1, **_START)
        left.plot(0, 0, **_DOT)
        _square(left, run.state[turns, :2])
        left.set(xlabel="x", ylabel="y", title="the first 8 turns")
        right.loglog(k, np.hypot(*mean[k].T) / start, color=PURPLE, linewidth=1)
        right.loglog(k, 2 / (angle * k), color=PURPLE, linestyle=":", linewidth=1.2)
        right.set(xlabel=f"steps of alternating descent, h = {step:g}", ylim=(1e-4, 2))
        right.set(ylabel="|average| / |start|", title="EMA levels off, the mean falls like 1/T")
        entries = {"run": {"color": BLACK}, "mean": {"color": PURPLE}}
        for decay, color in zip(decays, CYCLE, strict=False):
            entries[f"EMA {decay:g}"] = {"color": color}
        entries["closed form"] = {"color": "0.3", "linestyle": ":"}
        _legend(figure, entries | {"start": _START, "equilibrium": _DOT})
    return figure


def radii(groups: Sequence[tuple[str, dict[str, tuple[Array, Array]]]], xlabel: str) -> Figure:
    """Distance from the equilibrium against time; a group is (title, {label: (time, radius)})."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(4.4 * len(groups), 3.6), layout="constrained")
        axes = figure.subplots(1, len(groups), sharey=True, squeeze=False)[0]
        for axis, (title, curves) in zip(axes, groups, strict=True):
            for color, (time, radius) in zip(CYCLE, curves.values(), strict=False):
                axis.loglog(time, np.maximum(radius, 1e-12), color=color)
            axis.set(title=title, xlabel=xlabel, ylim=(1e-6, 4))
        axes[0].set_ylabel("|(θ, ψ)|")
        entries = {
            label: {"color": color} for color, label in zip(CYCLE, groups[0][1], strict=False)
        }
        _legend(figure, entries, columns=4)
    return figure
