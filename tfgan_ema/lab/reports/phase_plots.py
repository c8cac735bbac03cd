# ruff: noqa: RUF001 (Greek letters and minus signs are meant)
"""Figures of the dynamics of small games: trajectories, eigenvalues, maps of stability."""

import math
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, SymLogNorm
from matplotlib.figure import Figure

from tfgan_ema import files
from tfgan_ema.lab.dynamics import averages, spectra
from tfgan_ema.lab.dynamics.controlled import Controlled
from tfgan_ema.lab.dynamics.games import NSGAN, Array, Bilinear, Game, unit
from tfgan_ema.lab.dynamics.regularisers import LeakyEMA
from tfgan_ema.lab.dynamics.simulate import Trajectory, descend
from tfgan_ema.lab.reports import pages

_FILE = pages.TEMPLATES / "phase_plot.mplstyle"
STYLE = matplotlib.rc_params_from_file(_FILE, use_default_template=False)
BLUE, ORANGE, GREEN, VERMILLION, PURPLE, _ = STYLE["axes.prop_cycle"].by_key()["color"]
styled = matplotlib.rc_context(STYLE)


@styled
def save(figure: Figure, folder: Path, name: str) -> list[Path]:
    """Writes ``name.svg`` and ``name.png``."""
    paths = [folder / f"{name}.svg", folder / f"{name}.png"]
    chosen = {"dpi": 90, "metadata": {"Date": None}}, {"dpi": 110}
    for path, options in zip(paths, chosen, strict=True):
        with files.replacing(path) as temporary:
            figure.savefig(temporary, **options)
    return paths


@styled
def phase_portraits(
    panels: Sequence[tuple[str, Game, Trajectory]], *, averaged: bool = True
) -> Figure:
    """(θ, ψ) of one-dimensional runs over their vector field: slides, thesis figures 1 and 4."""
    figure, axes = _grid(len(panels), 2.6)
    for axis, (title, game, run) in zip(axes, panels, strict=True):
        theta, psi = run.state[:, :2, 0].T
        _draw_field(axis, game, _draw_run(axis, theta, psi, "equilibrium"))
        if averaged:
            leaky = game.rows == 3  # the discriminator sees θ's average with ψ itself
            mean = (run.state[:, 2, 0], psi) if leaky else run.ema[:, :, 0].T
            axis.plot(*mean, color=ORANGE, label="averaged")
        axis.set(title=textwrap.fill(title, 24), xlabel="θ", ylabel="ψ")
    _add_legend(figure)
    return figure


@styled
def generator_paths(panels: Sequence[tuple[str, Trajectory, float | None]]) -> Figure:
    """θ of two-dimensional runs, as in the blog, and a circle of a radius that may be given."""
    figure, axes = _grid(len(panels), 2.6)
    for axis, (title, run, radius) in zip(axes, panels, strict=True):
        _draw_run(axis, *run.state[:, 0].T, "real data")
        if radius:
            circle = radius * np.exp(1j * np.linspace(0, 2 * np.pi, 181))
            axis.plot(circle.real, circle.imag, "--", color=ORANGE, label="limit circle")
        axis.set(title=title, xlabel="θ₁", ylabel="θ₂")
    _add_legend(figure)
    return figure


@styled
def eigenvalue_clouds(panels: Sequence[tuple[str, str, Array, Array, float | None]]) -> Figure:
    """Eigenvalues at the equilibrium in the complex plane against a parameter.

    A panel is (title, the parameter's symbol, its values ``(n,)``, eigenvalues ``(n, rows)``,
    the critical value or ``None``).
    """
    figure, axes = _grid(len(panels), 3.1)
    for axis, (title, symbol, values, roots, special) in zip(axes, panels, strict=True):
        axis.axhline(0, color="0.7", linewidth=0.6, zorder=0)
        axis.axvline(0, color="0.7", linewidth=0.6, zorder=0)
        colours = np.repeat(values, roots.shape[1])
        dots = axis.scatter(roots.real, roots.imag, 7, colours, cmap="cividis", rasterized=True)
        if special is not None:
            meeting = roots[np.abs(values - special).argmin()].mean()
            axis.plot(meeting.real, meeting.imag, "*", color=VERMILLION, markersize=10)
            text = f"{symbol} = {special:.4g}"
            axis.text(0.97, 0.94, text, ha="right", color=VERMILLION, transform=axis.transAxes)
        figure.colorbar(dots, ax=axis, label=symbol, location="bottom", shrink=0.9)
        axis.margins(0.12)
        axis.set_aspect("equal", adjustable="datalim")
        axis.set(title=title, xlabel="Re λ", ylabel="Im λ", box_aspect=1)
        axis.locator_params(nbins=5, steps=[1, 2, 5, 10])
    return figure


@styled
def stability_maps() -> Figure:
    """Thesis figure 7: the slowest decay of LeakyEMA over 10⁶ pairs, for both objectives."""
    line = (np.arange(1000) + 0.5) / 1000
    beta, decay = np.meshgrid(line, line)
    figure = Figure(figsize=(8.4, 3.8))
    axes = figure.subplots(1, 2)
    objectives = {"non-saturating, φ'(0) = −1/2": 0.5, "Wasserstein, φ'(0) = −1": 1}
    for axis, (title, slope) in zip(axes, objectives.items(), strict=True):
        rate = -spectra.growth_rate(*spectra.leaky_polynomial(beta, decay, slope))
        norm = LogNorm(1e-5, 0.6, clip=True)
        image = axis.imshow(rate, "cividis", norm, origin="lower", extent=(0, 1, 0, 1))
        coarse, levels = np.s_[::5, ::5], [1e-4, 1e-3, 1e-2, 3e-2, 1e-1]
        lines = axis.contour(
            beta[coarse], decay[coarse], rate[coarse], levels, colors="white", linewidths=0.7
        )
        axis.set(title=title, xlabel="β (share of leaked samples)", ylabel="γ (decay)")
    figure.colorbar(image, ax=axes, label="−max Re λ", shrink=0.9).add_lines(lines)
    return figure


@styled
def learning_rate_maps() -> Figure:
    """The third axis: growth per unit of time, ``ln ρ / h``, of LeakyEMA descent on NSGAN."""
    beta, forget = np.meshgrid(np.linspace(0, 1, 91), np.geomspace(1e-4, 0.5, 91))
    figure = Figure(figsize=(10.4, 5.2))
    axes = figure.subplots(2, 4, sharex=True, sharey=True)
    for row, rule in zip(axes, ("simultaneous", "alternating"), strict=True):
        for axis, step in zip(row, (0.01, 0.05, 0.1, 0.2), strict=True):
            update = spectra.update_matrix(LeakyEMA(NSGAN(), beta, 1 - forget), step, rule=rule)
            growth = np.log(spectra.spectral_radius(update)) / step
            norm = SymLogNorm(1e-3, vmin=-0.1, vmax=0.1)
            image = axis.pcolormesh(beta, forget, growth, norm=norm, cmap="PuOr_r", rasterized=True)
            if growth.max() > 1e-9:
                axis.contour(beta, forget, growth, [1e-9], colors="black")
            if rule == "simultaneous":
                margin = spectra.leaky_margin(beta, 1 - forget, step)
                axis.contour(beta, forget, margin, [0], colors=VERMILLION, linestyles="--")
            axis.set(title=f"{rule}, h = {step:g}", yscale="log", xlabel="β", ylabel="1 − γ")
            axis.label_outer()
    axis.plot([], [], color="black", label="border of stability")
    axis.plot([], [], "--", color=VERMILLION, label="β L/(φ'² + L²) = h, L = (1−γ)/h")
    figure.colorbar(image, ax=axes, label="ln ρ / h   (above 0: unstable)", shrink=0.7)
    _add_legend(figure)
    return figure


@styled
def lookahead_maps() -> Figure:
    """Lookahead on the bilinear game: growth per step, ``ln ρ / k``, over k and alpha."""
    alphas, returns = np.linspace(0.01, 1, 100), np.arange(1, 127)
    figure = Figure(figsize=(10.4, 5.2))
    axes = figure.subplots(2, 3, sharex=True, sharey=True)
    norm = SymLogNorm(1e-4, vmin=-0.1, vmax=0.1)
    for row, rule in zip(axes, ("simultaneous", "alternating"), strict=True):
        for axis, step in zip(row, (0.05, 0.1, 0.2), strict=True):
            update = spectra.update_matrix(Bilinear(), step, rule=rule)
            radii = [spectra.spectral_radius(spectra.lookahead(update, k, alphas)) for k in returns]
            growth = np.log(np.array(radii)) / returns[:, None]
            image = axis.pcolormesh(
                returns, alphas, growth.T, norm=norm, cmap="PuOr_r", rasterized=True
            )
            axis.contour(returns, alphas, growth.T, [1e-9], colors="black")
            axis.set(title=f"{rule}, h = {step:g}", xlabel="k", ylabel="α")
            axis.label_outer()
    axis.plot([], [], color="black", label="border of stability")
    figure.colorbar(image, ax=axes, label="ln ρ / k   (above 0: unstable)", shrink=0.7)
    _add_legend(figure)
    return figure


@styled
def controlled_leaks(runs: Mapping[str, Controlled], constant: Mapping[str, Array]) -> Figure:
    """The distance from the equilibrium and the share of adaptive leaks, beside constant ones."""
    figure = Figure(figsize=(8.6, 3.6))
    left, right = figure.subplots(1, 2)
    colours = (BLUE, ORANGE, GREEN)
    for colour, (label, run) in zip(colours, runs.items(), strict=True):
        radius = np.hypot(*run.state[:, :2].T)
        left.semilogy(radius, color=colour, linewidth=0.5, label=label)
        left.semilogy(constant[label], ":", color=colour)
        right.plot(run.beta[:400], color=colour)
    left.plot([], [], ":", color="0.3", label="constant leak of the mean share")
    left.set(xlabel="steps", ylabel="|(u, ψ)|")
    right.set(xlabel="steps", ylabel="β", title="the first turns")
    _add_legend(figure)
    return figure


@styled
def averaged_cycle() -> Figure:
    """The averaged trajectory inside the cycle (averaging paper, figure 1) and its amplitude."""
    step, decays = 0.1, np.array([0.9, 0.99, 0.999])
    run = descend(Bilinear(), np.ones((2, 1, len(decays))), 20_000, step, decay=decays)
    angle = averages.turn(step)
    turns = slice(round(16 * np.pi / angle))
    k = np.unique(np.geomspace(1, 20_000, 400).astype(int))
    figure = Figure(figsize=(8.6, 3.9))
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.2))
    _draw_run(left, *run.state[turns, :2, 0, 0].T, "equilibrium", color="black")
    exponent = 6.94  # width 0.1
    labels = [*(f"EMA {decay:g}" for decay in decays), "mean", "power function, width 0.1"]
    power = averages.power_average(run.state[:, :2, 0, 0], exponent)
    paths = [*np.moveaxis(run.ema[:, :, 0], -1, 0), run.mean[:, :, 0, 0], power]
    closed = [*averages.ema_gain(decays, angle), 2 / (angle * k)]
    closed.append(np.minimum(averages.power_gain(exponent, k, angle), 1))
    colours = (BLUE, ORANGE, GREEN, PURPLE, VERMILLION)
    for colour, label, path, form in zip(colours, labels, paths, closed, strict=True):
        left.plot(*path[turns].T, color=colour, linewidth=0.9, label=label)
        right.plot(k, np.hypot(*path[k].T) / run.radius[0, 0], color=colour, linewidth=1)
        right.plot(k, np.broadcast_to(form, k.shape), ":", color=colour)
    right.plot([], [], ":", color="0.3", label="closed form")
    left.set(xlabel="x", ylabel="y", title="the first 8 turns")
    right.set(xlabel=f"steps of alternating descent, h = {step:g}", xscale="log", yscale="log")
    right.set_ylim(1e-4, 2)
    right.set(ylabel="|average| / |start|", title="EMA levels off, the others fall like 1/T")
    _add_legend(figure, columns=4)
    return figure


@styled
def radii(runs: Mapping[str, Trajectory], labels: Sequence[str]) -> Figure:
    """The distance from the equilibrium by step: a panel a rule, a curve a run of the batch."""
    figure = Figure(figsize=(4.4 * len(runs), 3.6))
    axes = figure.subplots(1, len(runs), sharey=True)
    for axis, (rule, run) in zip(axes, runs.items(), strict=True):
        axis.loglog(run.time[1:], np.maximum(run.radius[1:], 1e-12), label=labels)
        axis.set(title=rule, xlabel="steps", ylabel="|(θ, ψ)|", ylim=(1e-6, 4))
        axis.label_outer()
    _add_legend(figure, columns=4)
    return figure


def _grid(count: int, size: float) -> tuple[Figure, Sequence[Axes]]:
    """A figure of ``count`` panels, at most three side by side."""
    columns = min(count, 2 if count == 4 else 3)
    rows = math.ceil(count / columns)
    figure = Figure(figsize=(size * columns, size * rows + 0.5))
    return figure, [figure.add_subplot(rows, columns, i + 1) for i in range(count)]


def _draw_run(axis: Axes, x: Array, y: Array, centre: str, color: str = BLUE) -> float:
    """Draws a run around ``centre``, at (0, 0); returns half the side of the square in view."""
    half = 1.12 * np.max(np.abs([x, y]), where=np.isfinite([x, y]), initial=0)
    axis.plot(x, y, color=color, linewidth=0.9, label="run")
    axis.plot(x[0], y[0], "s", color="black", markersize=4, zorder=3, label="start")
    axis.plot(0, 0, "o", color=VERMILLION, zorder=3, label=centre)
    axis.set(xlim=(-half, half), ylim=(-half, half), aspect="equal")
    axis.locator_params(nbins=5, steps=[1, 2, 5, 10])
    return half


def _draw_field(axis: Axes, game: Game, half: float) -> None:
    """The players' field in the plane (θ, ψ); a leaky average is taken at the equilibrium."""
    line = np.linspace(-half, half, 18)[1:-1]  # even: the equilibrium is left out
    theta, psi = np.meshgrid(line, line)
    rows = np.stack([theta, psi, *[0 * theta] * (game.rows - 2)])[:, None]
    field = unit(game.field(rows)[:2, 0])
    shape = {"width": 0.005, "scale": 22, "pivot": "mid"}
    axis.quiver(theta, psi, *field, color="0.78", zorder=0, rasterized=True, **shape)


def _add_legend(figure: Figure, columns: int = 8) -> None:
    """One legend below all panels, with each label once, lines before markers."""
    labelled = [axis.get_legend_handles_labels() for axis in figure.axes]
    entries = {label: handle for pair in labelled for handle, label in zip(*pair, strict=True)}
    labels = sorted(entries, key=lambda label: entries[label].get_linestyle() == "None")
    figure.legend([entries[x] for x in labels], labels, loc="outside lower center", ncols=columns)
