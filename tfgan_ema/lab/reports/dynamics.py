# ruff: noqa: RUF001 (Greek letters are meant)
"""The page of the dynamics of small games: the papers' claims, tables and every figure."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from tfgan_ema import files
from tfgan_ema.lab.dynamics.claims import claims
from tfgan_ema.lab.dynamics.controlled import Controlled
from tfgan_ema.lab.dynamics.games import GAN, NSGAN
from tfgan_ema.lab.dynamics.methods import method, swept
from tfgan_ema.lab.dynamics.papers import blog, later, slides, thesis
from tfgan_ema.lab.dynamics.regularisers import LeakyEMA
from tfgan_ema.lab.dynamics.simulate import descend
from tfgan_ema.lab.dynamics.spectra import eigenvalues
from tfgan_ema.lab.reports import alpha_plots, pages, phase_plots


def reproduce(out: Path) -> Path:
    """Runs every experiment and writes the page, ``index.html`` in ``out``; returns its path.

    About 25 s on one core; nothing depends on chance.
    """
    page = out / "index.html"
    text = pages.render(
        "dynamics.html.j2",
        title="Dynamics of small GANs",
        claims=claims(),
        notebook=slides.notebook_runs(),
        notebook_rules=slides.NOTEBOOK_RULES,
        rounding=_rounding(),
        leaks=thesis.LEAKS,
        leak_runs=thesis.leak_runs(),
        spectral_radii=thesis.spectral_radii(thesis.LEAK_GAME),
        figures={name: pages.svg(figure) for name, figure in _figures().items()},
    )
    files.write_text(page, text)
    return page


def _rounding() -> float:
    """How far the end radii of the notebook's delicate rows differ over nearly equal starts."""
    noise = 1e-12 * np.random.default_rng(0).normal(size=(2, 1, 200))
    start = np.array(slides.NOTEBOOK_START)[:, None, None] + noise
    steps, step = slides.NOTEBOOK_STEPS, slides.NOTEBOOK_STEP
    runs = (
        descend(slides.NOTEBOOK[name], start, steps, step, every=steps, **rule)
        for name in ("WGAN, clip 1", "WGAN-GP, γ = 0.7", "Consensus, γ = 1")
        for rule in slides.NOTEBOOK_RULES.values()
    )
    return max(np.ptp(run.radius[-1]) for run in runs)


def _figures() -> dict[str, Figure]:
    """The figures by their names in the template, which has the captions."""

    def run(title, game, rule="alternating"):
        return title, game, descend(game, (1, 1), 600, 0.1, rule=rule)

    def cloud(symbol, chosen, special=None):
        return chosen.label, symbol, chosen.sweep[1], eigenvalues(swept(chosen)), special

    methods = [(k, slides.NOTEBOOK[k], runs[1]) for k, runs in slides.notebook_runs().items()]
    thesis_1 = [
        run("GAN, simultaneous", GAN(), "simultaneous"),
        run("GAN, alternating", GAN()),
        run("NSGAN, alternating", NSGAN()),
    ]
    thesis_4 = [
        run("conventional", LeakyEMA(NSGAN(), 0.0, 0.99)),
        run("LeakyEMA", LeakyEMA(NSGAN(), 0.5, 0.99)),
    ]
    paths = [(name, path, blog.BLOG_RUNS[name][2]) for name, path in blog.blog_runs().items()]
    clouds = [
        cloud("γ", method("r1"), 1.0),
        cloud("σ", method("instance_noise"), np.sqrt(2)),
        cloud("weight", method("consensus")),
        cloud("β", method("leaky_ema", decay=0.6)),
    ]
    return {
        "methods": phase_plots.phase_portraits(methods),
        "thesis_1": phase_plots.phase_portraits(thesis_1, averaged=False),
        "thesis_4": phase_plots.phase_portraits(thesis_4),
        "blog": phase_plots.generator_paths(paths),
        "eigenvalues": phase_plots.eigenvalue_clouds(clouds),
        "stability": phase_plots.stability_maps(),
        "learning_rate": phase_plots.learning_rate_maps(),
        "leaky_radii": phase_plots.radii(thesis.leak_runs(), list(thesis.LEAKS)),
        "averages": phase_plots.averaged_cycle(),
        "scalars": alpha_plots.scalars(),
        "line": alpha_plots.line(),
        "directions": alpha_plots.directions(),
        "lookahead": phase_plots.lookahead_maps(),
        "adaptive": phase_plots.controlled_leaks(*_adaptive()),
    }


def _adaptive() -> tuple[dict[str, Controlled], dict[str, np.ndarray]]:
    """Runs with adaptive leaks, and how constant leaks of the same mean share shrink."""
    labels = [f"{speed:g} a step" for speed in later.SPEEDS]
    runs = dict(zip(labels, later.adaptive_runs(), strict=True))
    steps = np.arange(10_001)
    start = {label: np.abs(run.state[:63, 0]).max() for label, run in runs.items()}
    return runs, {k: start[k] * later.constant_radius(run) ** steps for k, run in runs.items()}
