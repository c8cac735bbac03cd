# ruff: noqa: RUF001 (Greek letters and minus signs are meant)
"""The page of the laboratory: every figure, and the table of the papers' claims."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from tfgan_ema.lab.dynamics import plots
from tfgan_ema.lab.dynamics.claims import (
    BLOG_RUNS,
    LEAK_GAME,
    LEAK_STEP,
    LEAKS,
    NOTEBOOK,
    NOTEBOOK_RULES,
    NOTEBOOK_START,
    NOTEBOOK_STEP,
    NOTEBOOK_STEPS,
    blog_runs,
    claims,
    leak_runs,
    notebook_runs,
)
from tfgan_ema.lab.dynamics.games import GAN, NSGAN, LeakyEMA
from tfgan_ema.lab.dynamics.methods import method, swept
from tfgan_ema.lab.dynamics.simulate import Trajectory, descend
from tfgan_ema.lab.dynamics.spectra import eigenvalues, spectral_radius, update_matrix
from tfgan_ema.lab.reports import pages


def _figures(
    notebook: dict[str, list[Trajectory]], blog: dict[str, Trajectory], leaks: dict[str, Trajectory]
) -> dict[str, tuple[str, Figure]]:
    """Every figure of the page with its caption, by file name."""
    plain, leaky = LeakyEMA(NSGAN(), 0.0, 0.99), LeakyEMA(NSGAN(), 0.5, 0.99)
    alternating = {"step": 0.1, "steps": 600, "start": (1, 1)}
    clouds = {
        "γ": (method("r1"), 1.0), "σ": (method("instance_noise"), np.sqrt(2)),
        "weight": (method("consensus"), None), "β": (method("leaky_ema", decay=0.6), None),
    }  # fmt: skip
    return {
        "methods": (
            "Alternating descent of the reference notebook (h = 0.2, n_D = 1, G first, 500 steps) "
            "over the vector fields. Averages: EMA with decay 0.99.",
            plots.phase_portraits(
                [(name, NOTEBOOK[name], runs[1]) for name, runs in notebook.items()], columns=3
            ),
        ),
        "thesis_1": (
            "Thesis figure 1: simultaneous and alternating descent on the min-max objective, "
            "alternating descent on the non-saturating one (h = 0.1, 600 steps).",
            plots.phase_portraits(
                [
                    ("GAN, simultaneous", GAN(),
                     descend(GAN(), rule="simultaneous", **alternating)),
                    ("GAN, alternating", GAN(), descend(GAN(), **alternating)),
                    ("NSGAN, alternating", NSGAN(), descend(NSGAN(), **alternating)),
                ],
                columns=3, ema=False,
            ),
        ),
        "thesis_4": (
            "Thesis figure 4: the trajectories of (θ, ψ) and (θ_EMA, ψ) of the non-saturating GAN, "
            "β = 0 and β = 0.5, γ = 0.99 (alternating, h = 0.1, 600 steps).",
            plots.phase_portraits(
                [
                    ("conventional", plain, descend(plain, **alternating)),
                    ("LeakyEMA", leaky, descend(leaky, **alternating)),
                ],
                columns=2,
            ),
        ),
        "blog": (
            "The blog's two-dimensional runs: the path of the generated point. What is kept, "
            "θ×φ or |φ|, is why two dimensions differ from one.",
            plots.generator_paths(
                [(name, run, BLOG_RUNS[name][2]) for name, run in blog.items()]
            ),
        ),
        "eigenvalues": (
            "Eigenvalues at the equilibrium against a parameter; the star marks the critical one, "
            "where rotation ends. LeakyEMA with γ = 0.6.",
            plots.eigenvalue_clouds(
                [
                    (found.label, symbol, found.sweep[1], eigenvalues(swept(found)), special)
                    for symbol, (found, special) in clouds.items()
                ],
                columns=2,
            ),
        ),
        "stability": (
            "Thesis figure 7, 10⁶ pairs: the slowest rate of decay of LeakyEMA in continuous time.",
            plots.stability_maps(),
        ),
        "learning_rate": (
            "What the thesis lacks: the same for descent with learning rate h. Alternating descent "
            "keeps the whole square, simultaneous descent loses most of it.",
            plots.learning_rate_maps(),
        ),
        "leaky_radii": (
            "LeakyEMA descent on the non-saturating GAN, h = 0.1, start (1, 1).",
            plots.radii(
                [
                    (rule, {name: (run.time[1:], run.radius[1:, i])
                            for i, name in enumerate(LEAKS)})
                    for rule, run in leaks.items()
                ],
                "steps",
            ),
        ),
        "averages": (
            "Averages inside the cycle of the bilinear game (averaging paper, section 3.1). "
            "Dotted: closed forms.",
            plots.averaged_cycle(),
        ),
    }  # fmt: skip


def _rounding_spread() -> float:
    """How far the end radii of the notebook's delicate rows spread over nearly equal starts."""
    noise = 1e-12 * np.random.default_rng(0).normal(size=(2, 1, 200))
    start = np.array(NOTEBOOK_START)[:, None, None] + noise
    return max(
        float(np.ptp(descend(NOTEBOOK[name], start, NOTEBOOK_STEPS, NOTEBOOK_STEP, **rule,
                             every=NOTEBOOK_STEPS).radius[-1]))
        for name in ("WGAN, clip 1", "WGAN-GP, γ = 0.7", "Consensus, γ = 1")
        for rule in NOTEBOOK_RULES.values()
    )  # fmt: skip


def _number(value: float) -> str:
    return f"{value:.3g}" if value > 1e-15 else "< 1e-15"


def reproduce(out: Path) -> Path:
    """Runs every experiment, writes the figures and ``index.html`` into ``out``; returns the page.

    About 25 s on one core; nothing depends on chance.
    """
    notebook, blog, leaks = notebook_runs(), blog_runs(), leak_runs()
    rows = claims(notebook, blog, leaks)
    figures = _figures(notebook, blog, leaks)
    rho = {r: spectral_radius(update_matrix(LEAK_GAME, LEAK_STEP, rule=r)) for r in leaks}
    tables = [
        "<h2>The papers' claims</h2>",
        pages.table(
            ("source", "claim in the paper", "what we find", "agrees"),
            ((c.source, c.claim, c.finding, "yes" if c.agrees else "no") for c in rows),
        ),
        "<h2>End radii, reference notebook</h2>"
        "<p>h = 0.2, 500 steps, generator first. The fields of WGAN and WGAN-GP jump, and "
        "consensus with n_D = 5 is unstable; still the digits hold: 200 starts moved by 10⁻¹² end "
        f"within {_rounding_spread():.0e} of each other in radius.</p>",
        pages.table(
            ("method", *NOTEBOOK_RULES),
            ((name, *(_number(r.radius[-1]) for r in runs)) for name, runs in notebook.items()),
        ),
        "<h2>End radii, LeakyEMA</h2>"
        "<p>NSGAN, h = 0.1, 20 000 steps, discriminator first; ρ is the spectral radius of one "
        "step at the equilibrium.</p>",
        pages.table(
            ("leak", *(f"{rule}{what}" for rule in leaks for what in ("", ", ρ"))),
            (
                (name, *(cell for rule, run in leaks.items()
                         for cell in (_number(run.radius[-1][i]), f"{rho[rule][i]:.6f}")))
                for i, name in enumerate(LEAKS)
            ),
        ),
    ]  # fmt: skip
    out.mkdir(parents=True, exist_ok=True)
    for name, (_, figure) in figures.items():
        plots.save(figure, out, name)
    pictures = [
        pages.figure(pages.image(f"{name}.svg", caption), caption)
        for name, (caption, _) in figures.items()
    ]
    introduction = (
        "<p>The Dirac-GAN in one and two dimensions and the bilinear game: D(x) = ψ·x (large on "
        "real data), real data at 0, generated data at θ. Every number and figure was computed by "
        "<code>tfgan-ema reproduce dynamics</code>.</p>"
    )
    page = out / "index.html"
    body = [introduction, *tables, "<h2>Figures</h2>", *pictures]
    page.write_text(pages.page("Dynamics of small GANs", body), encoding="utf-8")
    return page
