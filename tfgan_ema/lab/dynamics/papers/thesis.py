# ruff: noqa: RUF001 (Greek letters are meant)
"""LeakyEMA (Chervontsev's thesis, section 3.4 and appendix A)."""

from functools import cache

import numpy as np

from tfgan_ema.lab import dynamics as dy
from tfgan_ema.lab.dynamics.games import sigmoid
from tfgan_ema.lab.dynamics.papers import Finding
from tfgan_ema.lab.dynamics.papers.slides import PLUS_MINUS_I, eigenvalue_error

SOURCE = "Chervontsev, thesis"

# Discrete LeakyEMA on NSGAN, h = 0.1, start (1, 1), D first: label -> (β, γ).
LEAKS = {
    "no leak": (0.0, 0.9),
    "β 0.5, γ 0.9": (0.5, 0.9),
    "β 0.5, γ 0.99": (0.5, 0.99),
    "β 0.5, γ 0.999": (0.5, 0.999),
    "β 0.25, γ 0.99": (0.25, 0.99),
    "β 1, γ 0.9": (1.0, 0.9),
}
LEAK_GAME = dy.LeakyEMA(dy.NSGAN(), *np.transpose(list(LEAKS.values())))
LEAK_START, LEAK_STEP, LEAK_STEPS = (1.0, 1.0), 0.1, 20_000
RULES = ("simultaneous", "alternating")


@cache
def leak_runs() -> dict[str, dy.Trajectory]:
    """LeakyEMA descent by rule, for all of `LEAKS` at once."""
    return {
        rule: dy.descend(LEAK_GAME, LEAK_START, LEAK_STEPS, LEAK_STEP, rule=rule, every=50)
        for rule in RULES
    }


def spectral_radii(game: dy.Game) -> dict[str, np.ndarray]:
    """The spectral radius of a step by rule: below 1, descent converges."""
    return {
        rule: dy.spectral_radius(dy.update_matrix(game, LEAK_STEP, rule=rule)) for rule in RULES
    }


def without_a_leak() -> Finding:
    """Without a leak: λ = ±φ'(0) i, not linearly stable (Lemma 1).

    ±i/2 {error:within}.
    """
    error = eigenvalue_error(dy.NSGAN(), 0.5 * PLUS_MINUS_I)
    return error < 1e-8, {"error": error}


def equation_17() -> Finding:
    """(17) is the characteristic polynomial of (16).

    The coefficients are equal {error:within}.
    """
    matrix_16 = np.poly(dy.UnnormalisedLeakyEMA().jacobian())[1:]
    error = np.abs(matrix_16 - dy.leaky_polynomial(0.5, 0.9, normalised=False)).max()
    return error < 1e-12, {"error": error}


def _stability_map(slope: float) -> tuple[float, int]:
    """Figure 7: the largest real part, and where its sign is not what Routh–Hurwitz gives."""
    line = (np.arange(1000) + 0.5) / 1000
    polynomial = dy.leaky_polynomial(*np.meshgrid(line, line), slope)
    growth = dy.growth_rate(*polynomial)
    return growth.max(), ((growth < 0) != dy.routh_hurwitz(*polynomial)).sum()


def figure_7() -> Finding:
    """With β > 0 all real parts are negative (figure 7, 10⁶ pairs, both objectives).

    For 0 < β < 1, at all 2·10⁶ grid points: the largest real parts are {growth:.1e}. Routh–Hurwitz
    proves it (a b − c = φ'² L β, c = φ'² L (1 − β)); sign and criterion differ at {differ:.0f}
    points.
    """
    growth, differ = np.transpose([_stability_map(slope) for slope in (0.5, 1.0)])
    return max(growth) < 0 and sum(differ) == 0, {"growth": growth, "differ": sum(differ)}


def beta_of_1() -> Finding:
    """With β > 0, so with β = 1 too, the eigenvalues are negative.

    Only because (11) is not normalised: its gain on a constant is (1−γ)/(−ln γ) = {gain:.3f} at γ =
    0.9, and λ = {thesis:.4f}. With the normalised average λ = {normalised:.0e}: a line of
    equilibria θ = θ_e. Discrete runs stop at θ = {rest:.3f} and stay there.
    """
    thesis = dy.eigenvalues(dy.UnnormalisedLeakyEMA(beta=1.0)).real.max()
    normalised = dy.eigenvalues(dy.LeakyEMA(beta=1.0)).real.max()
    rest = leak_runs()["alternating"].state[-1, 0, 0, -1]
    numbers = {"thesis": thesis, "normalised": abs(normalised), "rest": rest}
    return normalised < -1e-6, {"gain": 0.1 / -np.log(0.9), **numbers}


def gradient_descent() -> Finding:
    """LeakyEMA is locally convergent with gradient descent (section 3.4).

    The ODE takes one EMA step per unit of time, that is, learning rate 1. With step h the rate is L
    = (1−γ)/h, and simultaneous descent is stable, to leading order, iff β L/(φ'² + L²) > h (right
    at {agreement:.1%} of an 80 × 80 grid, h = 0.05). At h = 0.1, β = 0.5, γ = 0.999 simultaneous
    descent cycles (end radius {end:.3f}, ρ = {simultaneous:.4f}); alternating descent converges (ρ
    = {alternating:.5f}).
    """
    beta, forget = np.meshgrid(np.linspace(0.01, 0.99, 80), np.geomspace(1e-4, 0.5, 80))
    leak = dy.LeakyEMA(dy.NSGAN(), beta, 1 - forget)
    stable = dy.spectral_radius(dy.update_matrix(leak, 0.05, rule="simultaneous")) < 1
    agreement = (stable == (dy.leaky_margin(beta, 1 - forget, 0.05) > 0)).mean()
    rho = {rule: radii[3] for rule, radii in spectral_radii(LEAK_GAME).items()}
    end = leak_runs()["simultaneous"].radius[-1, 3]
    return rho["simultaneous"] < 1, {"agreement": agreement, "end": end, **rho}


def figure_4() -> Finding:
    """LeakyEMA converges where the plain game cycles (figure 4).

    h = 0.1, γ = 0.9, β = 0.5, 20 000 steps: |(θ, ψ)| = {leaky:.0e} (simultaneous, alternating);
    without the leak {plain:.3g}.
    """
    plain, leaky, *_ = np.transpose([run.radius[-1] for run in leak_runs().values()])
    return leaky.max() < 1e-8, {"plain": plain, "leaky": leaky}


def wasserstein() -> Finding:
    """The Wasserstein objective is stabilised as well (figure 7, right).

    In continuous time. At h = 0.1, β = 0.5 simultaneous descent converges with γ = 0.9 (ρ =
    {simultaneous[0]:.4f}) and diverges with γ = 0.99 (ρ = {simultaneous[1]:.4f}); alternating
    descent converges with both ({alternating:.4f}).
    """
    leak = dy.LeakyEMA(dy.Bilinear(), 0.5, np.array([0.9, 0.99]))
    return _stability_map(1.0)[0] < 0, spectral_radii(leak)


def sign_of_phi() -> Finding:
    """φ(t) = log σ(t) (section 2), φ(t) = −log σ(t) (appendix A).

    One letter, two signs: φ'(0) = {section_2:g} and {appendix:g}. The losses are minimised, so φ(t)
    = softplus(−t) = −log σ(t), φ'(0) = −1/2.
    """
    section_2, appendix = 1 - sigmoid(0.0), dy.NSGAN().g(0.0)
    return section_2 == appendix, {"section_2": section_2, "appendix": appendix}
