# ruff: noqa: RUF001 (Greek letters and minus signs are meant)
"""The papers' claims about small games, checked one by one.

A claim is a sentence of a paper, what we find (with the numbers of this run) and whether they
agree; where they do not, the finding is the corrected statement.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from tfgan_ema.lab.dynamics import averages
from tfgan_ema.lab.dynamics.games import (
    DRAGAN,
    GAN,
    GANQP,
    L2,
    NSGAN,
    R1,
    WGAN,
    WGANGP,
    AlphaGAN,
    Bilinear,
    Consensus,
    InstanceNoise,
    LeakyEMA,
    NormalisedWGAN,
    RelativisticGAN,
    UnnormalisedLeakyEMA,
    sigmoid,
)
from tfgan_ema.lab.dynamics.simulate import Trajectory, descend, integrate
from tfgan_ema.lab.dynamics.spectra import (
    critical,
    discriminant,
    eigenvalues,
    growth_rate,
    leaky_margin,
    leaky_polynomial,
    routh_hurwitz,
    spectral_radius,
    update_matrix,
)

SLIDES = "Mescheder et al., slides"
BLOG = "Su, blog"
THESIS = "Chervontsev, thesis"
AVERAGING = "Yazici et al."
ALPHA = "Otstot, slides"

# Mescheder et al.'s reference notebook starts at (1, 1) in its mirrored sign, h = 0.2, G first.
NOTEBOOK_START, NOTEBOOK_STEP, NOTEBOOK_STEPS = (1.0, -1.0), 0.2, 500
NOTEBOOK = {
    "GAN": GAN(),
    "NSGAN": NSGAN(),
    "WGAN, clip 1": WGAN(),
    "WGAN-GP, γ = 0.7": WGANGP(weight=0.7),
    "Instance noise, σ = 0.7": InstanceNoise(),
    "GAN + R1, γ = 0.3": R1(weight=0.3),
    "GAN + R1, γ = 1": R1(),
    "Consensus, γ = 1": Consensus(),
    "NSGAN + R1, γ = 0.3": R1(NSGAN(), 0.3),
}
NOTEBOOK_RULES = {
    "SimGD": {"rule": "simultaneous"},
    "AltGD, n_D = 1": {"first": "generator"},
    "AltGD, n_D = 5": {"first": "generator", "n_dis": 5},
}

# The blog's state (φ, θ) = (.1, .2, .2, .1), its times, and the radius each path tends to.
BLOG_START = np.array([[0.2, 0.1], [0.1, 0.2]])
CIRCLE = float(np.sqrt(0.03))
BLOG_RUNS = {
    "NSGAN": (NSGAN(), 100.0, CIRCLE),
    "WGAN, normalised": (NormalisedWGAN(), 10.0, None),
    "WGAN-GP, c = 0": (WGANGP(weight=0.2, target=0.0), 40.0, None),
    "WGAN-GP, c = 1": (WGANGP(weight=0.2), 40.0, 1.0),
    "GAN-QP": (GANQP(), 40.0, CIRCLE),
    "GAN-QP + L2": (L2(GANQP(), 0.1), 70.0, None),
}

# Discrete LeakyEMA on NSGAN, h = 0.1, start (1, 1), D first; beta = 0 is the plain game.
LEAKS = {
    "no leak": (0.0, 0.9),
    "β .5, γ .9": (0.5, 0.9),
    "β .5, γ .99": (0.5, 0.99),
    "β .5, γ .999": (0.5, 0.999),
    "β .25, γ .99": (0.25, 0.99),
    "β 1, γ .9": (1.0, 0.9),
}
LEAK_GAME = LeakyEMA(NSGAN(), *(np.array(column) for column in zip(*LEAKS.values(), strict=True)))
LEAK_START, LEAK_STEP, LEAK_STEPS = (1.0, 1.0), 0.1, 20_000


@dataclass(frozen=True)
class Claim:
    """A row of the table; ``agrees`` is computed, never written by hand."""

    source: str
    claim: str
    finding: str
    agrees: bool


def notebook_runs() -> dict[str, list[Trajectory]]:
    """The reference notebook's runs, one per rule."""
    return {
        name: [
            descend(game, NOTEBOOK_START, NOTEBOOK_STEPS, NOTEBOOK_STEP, **rule)
            for rule in NOTEBOOK_RULES.values()
        ]
        for name, game in NOTEBOOK.items()
    }


def blog_runs() -> dict[str, Trajectory]:
    """The blog's six two-dimensional runs."""
    return {
        name: integrate(game, BLOG_START, duration, samples=2001)
        for name, (game, duration, _) in BLOG_RUNS.items()
    }


def leak_runs() -> dict[str, Trajectory]:
    """LeakyEMA descent for all of `LEAKS` at once, by rule."""
    return {
        rule: descend(LEAK_GAME, LEAK_START, LEAK_STEPS, LEAK_STEP, rule=rule, every=50)
        for rule in ("simultaneous", "alternating")
    }


def _off(found: np.ndarray, expected: Iterable[complex]) -> float:
    return float(np.abs(found - np.sort_complex(np.array(list(expected), complex))).max())


def _within(error: float) -> str:
    return f"within {error:.0e}" if error else "exactly"


def _spread(values: np.ndarray) -> str:
    return f"{values.min():.3g} to {values.max():.3g}"


def slide_claims(runs: dict[str, list[Trajectory]]) -> list[Claim]:
    """Which training methods converge (Mescheder et al., as told in the slides)."""
    end = {name: [float(r.radius[-1]) for r in row] for name, row in runs.items()}
    consensus = end["Consensus, γ = 1"]
    circle = integrate(GAN(), (1, -1), 100).radius
    h, slope = 0.2, 0.5
    sim = np.linalg.eigvals(update_matrix(GAN(), h, rule="simultaneous"))
    rotates = [spectral_radius(update_matrix(GAN(), a / slope)) for a in (0.1, 1.0, 1.9, 2.1)]
    noise, gamma, sigma = 0.7, 0.3, (lambda s: discriminant(InstanceNoise(sigma=s).jacobian()))
    noise_off = _off(
        eigenvalues(InstanceNoise(sigma=noise)),
        -(noise**2) / 4 + 1j * np.sqrt(0.25 - noise**4 / 16) * np.array([-1, 1]),
    )
    noise_at = critical(sigma, 1.0, 2.0) ** 2
    r1_off = _off(
        eigenvalues(R1(weight=gamma)),
        -gamma / 2 + 1j * np.sqrt(0.25 - gamma**2 / 4) * np.array([-1, 1]),
    )
    r1_at = critical(lambda w: discriminant(R1(weight=w).jacobian()), 0.1, 3.0)
    consensus_off = _off(eigenvalues(Consensus()), [-0.25 - 0.5j, -0.25 + 0.5j])
    rest = descend(DRAGAN(weight=2.0), (0.1, 0.1), 40_000, 0.01, every=1000).state[-1, :2, 0]
    cycle = descend(WGANGP(weight=0.7), (0.1, 0.1), 8_000, 0.01).radius[-2000:]
    decay = descend(R1(NSGAN(), 0.3), (1, 1), 400, 0.1, rule="simultaneous").radius
    rate = float((decay[400] / decay[200]) ** (1 / 200))
    rho = float(spectral_radius(update_matrix(R1(NSGAN(), 0.3), 0.1, rule="simultaneous")))
    settles = [
        float(descend(NSGAN(), (1, 1), 20_000, s, rule="simultaneous", every=1000).radius[-1])
        / np.sqrt(2 * s)
        for s in (0.05, 0.1)
    ]
    slow = descend(NSGAN(), (1, 1), 100_000, 0.1, every=10_000)
    law = float(slow.radius[-1] * np.sqrt(0.1 * 100_000 / 8))
    at_0, printed = float(sigmoid(0.0)), float(np.imag(np.exp(-1e-30j)) / 1e-30)
    return [
        Claim(SLIDES, "The Jacobian of the Dirac-GAN has the eigenvalues ±i f'(0) (Lemma 2).",
              f"±i/2 {_within(_off(eigenvalues(GAN()), [-0.5j, 0.5j]))}.",
              _off(eigenvalues(GAN()), [-0.5j, 0.5j]) < 1e-8),
        Claim(SLIDES, "Integral curves of the GAN keep θ² + ψ² (Lemma 2.3).",
              f"|(θ, ψ)| moves by {np.ptp(circle):.0e} in 100 units of time.",
              np.ptp(circle) < 1e-8),
        Claim(SLIDES, "Simultaneous descent is unstable for every step; alternating descent turns "
              "on the unit circle.",
              f"|1 ± i h f'| = {np.abs(sim).max():.6f} at h = {h}. Alternating: spectral radius "
              f"{rotates[0]:.3f}, {rotates[1]:.3f}, {rotates[2]:.3f} at h f' = .1, 1, 1.9; the "
              f"circle is left beyond h f' = 2 ({rotates[3]:.3f} at 2.1).",
              bool(np.abs(sim).max() > 1 and np.allclose(rotates[:3], 1))),
        Claim(SLIDES, "The common choice is f(t) = −log(1) + exp(−t).",
              "Garbled: f(t) = −log(1 + exp(−t)), with f'(0) = "
              f"{at_0:g} and f''(0) = {-at_0 * (1 - at_0):g}; the printed one has "
              f"f'(0) = {printed:g}.", printed == at_0),
        Claim(SLIDES, "With all |λ| < 1 the algorithm converges in sublinear time.",
              f"It converges linearly: R1 on NSGAN shrinks by {rate:.5f} a step, the spectral "
              f"radius is {rho:.5f}. Sublinear is what the unit circle allows.",
              abs(rate - rho) > 1e-2),
        Claim(SLIDES, "WGAN does not converge.",
              f"End radii {end['WGAN, clip 1'][0]:.2f}, {end['WGAN, clip 1'][1]:.2f}, "
              f"{end['WGAN, clip 1'][2]:.2f} after 500 steps (simultaneous, n_D = 1, n_D = 5).",
              min(end["WGAN, clip 1"]) > 0.1),
        Claim(SLIDES, "WGAN-GP does not converge.",
              f"With weight .7 it ends on a cycle, radius {_spread(cycle)} (h = .01).",
              cycle.min() > 0.1),
        Claim(SLIDES, "DRAGAN does not converge.",
              f"With weight γ = 2 it comes to rest at |θ| = {abs(rest[0]):.4f} = γ/f'(0), "
              f"ψ = {abs(rest[1]):.0e}: at rest, and away from the data. With γ < 1 it may also "
              "end on a cycle.",
              abs(rest[0]) > 0.1),
        Claim(SLIDES, "Instance noise: λ = f''σ² ± √(f''²σ⁴ − f'²) (Lemma 3.2).",
              f"Equal {_within(noise_off)}; no rotation from σ² = {noise_at:.9f}.",
              noise_off < 1e-8 and abs(noise_at - 2) < 1e-6),
        Claim(SLIDES, "Zero-centred penalty: λ = −γ/2 ± √(γ²/4 − f'²), critical γ = 2|f'(0)| "
              "(Lemma 3.3); R1 and R2 converge.",
              f"Equal {_within(r1_off)}; critical γ = {r1_at:.9f}; end radii "
              f"{end['GAN + R1, γ = 0.3'][0]:.1e}, {end['GAN + R1, γ = 0.3'][1]:.1e} with γ = .3. "
              "R1 and R2 are the same field here.",
              r1_off < 1e-8 and abs(r1_at - 1) < 1e-6),
        Claim(SLIDES, "Consensus optimisation converges.",
              f"λ = −γ f'² ± i f' {_within(consensus_off)}; end radii {consensus[0]:.1e} and "
              f"{consensus[1]:.1e}. But with five discriminator steps of .2 per generator step it "
              f"does not (end radius {consensus[2]:.1f}).",
              consensus_off < 1e-8 and max(consensus[:2]) < 1e-6),
        Claim("Slides and thesis", "The non-saturating GAN does not converge.",
              "Not linearly (λ = ±i/2), but it never diverges in one dimension: d(r²/2)/dt = "
              "−u tanh(u/2), u = ψθ. Alternating descent decays like √(8/(h k)) "
              f"(ratio {law:.3f} after 10⁵ steps); simultaneous descent settles on a cycle of "
              f"radius √(2h) (ratios {settles[0]:.3f}, {settles[1]:.3f} at h = .05, .1).",
              law > 1.1),
    ]  # fmt: skip


def blog_claims(runs: dict[str, Trajectory]) -> list[Claim]:
    """Two-dimensional Dirac-GANs (Su)."""
    radius = {n: np.sqrt((r.state[:, 0] ** 2).sum(1)) for n, r in runs.items()}

    def cross(name):
        theta, psi = np.moveaxis(runs[name].state, 1, 0)
        product = theta[:, 0] * psi[:, 1] - theta[:, 1] * psi[:, 0]
        return float(np.ptp(product))

    kept = np.sqrt((runs["WGAN, normalised"].state[:, 1] ** 2).sum(1))
    late = integrate(WGANGP(weight=0.2), BLOG_START, 400).state[-1, 0]
    late_qp = integrate(GANQP(), BLOG_START, 4000, samples=101).state[-1, 0]
    late_ns = integrate(NSGAN(), BLOG_START, 4000, samples=101).state[-1, 0]
    flat = integrate(NSGAN(), (0.2, 0.1), 4000, samples=101).radius[-1]
    others = {
        "consensus": Consensus(), "instance noise": InstanceNoise(), "LeakyEMA": LeakyEMA(),
    }  # fmt: skip
    worst = {name: float(eigenvalues(game).real.max()) for name, game in others.items()}
    return [
        Claim(BLOG, "The non-saturating GAN circles around the equilibrium (2-D).",
              f"Yes, because it keeps θ×φ = .03 ({_within(cross('NSGAN'))}); the path tends to the "
              f"circle of radius √.03 = {CIRCLE:.4f} (|θ| = {np.hypot(*late_ns):.4f} at T = 4000). "
              f"In 1-D nothing is kept and it creeps in: radius {flat:.3f} at T = 4000.",
              cross("NSGAN") < 1e-8),
        Claim(BLOG, "WGAN circles around the equilibrium (2-D).",
              f"|θ| spans {_spread(radius['WGAN, normalised'])}; |φ| is kept to "
              f"{np.ptp(kept):.0e}.", radius["WGAN, normalised"].min() > 0.05),
        Claim(BLOG, "WGAN-GP with c = 0 converges to the equilibrium.",
              f"|θ| = {radius['WGAN-GP, c = 0'][-1]:.1e} at T = 40.",
              radius["WGAN-GP, c = 0"][-1] < 5e-3),
        Claim(BLOG, "WGAN-GP with c = 1 converges to a circle.",
              f"Of radius c = 1: |θ| = {np.hypot(*late):.6f} at T = 400.",
              abs(np.hypot(*late) - 1) < 1e-4),
        Claim(BLOG, "GAN-QP circles around the equilibrium (2-D).",
              f"It keeps θ×φ too ({_within(cross('GAN-QP'))}) and tends to the same circle "
              f"(|θ| = {np.hypot(*late_qp):.4f} at T = 4000).", cross("GAN-QP") < 1e-8),
        Claim(BLOG, "L2 regularisation makes GAN-QP converge.",
              f"|θ| = {radius['GAN-QP + L2'][-1]:.4f} at T = 70. For a linear discriminator weight "
              "decay and the zero-centred penalty are the same field.",
              radius["GAN-QP + L2"][-1] < 1e-2),
        Claim(BLOG, "The zero-centred penalty is the only one that is locally convergent.",
              "Largest real parts: "
              + ", ".join(f"{name} {value:.3f}" for name, value in worst.items())
              + ": all converge locally.", max(worst.values()) >= 0),
    ]  # fmt: skip


def thesis_claims(runs: dict[str, Trajectory]) -> list[Claim]:
    """LeakyEMA (section 3.4 and appendix A)."""
    line = (np.arange(1000) + 0.5) / 1000
    beta, decay = np.meshgrid(line, line)
    polynomials = [leaky_polynomial(beta, decay, slope) for slope in (0.5, 1.0)]
    growth = [growth_rate(*p) for p in polynomials]
    differ = sum(
        int(((g < 0) != routh_hurwitz(*p)).sum()) for g, p in zip(growth, polynomials, strict=True)
    )
    matrix16 = np.poly(UnnormalisedLeakyEMA().jacobian())[1:]
    off17 = float(np.abs(matrix16 - leaky_polynomial(0.5, 0.9, normalised=False)).max())
    edge = {kind: float(eigenvalues(kind(beta=1.0)).real.max())
            for kind in (LeakyEMA, UnnormalisedLeakyEMA)}  # fmt: skip
    held = runs["alternating"].state[-1, :, 0, list(LEAKS).index("β 1, γ .9")]
    end = {rule: run.radius[-1] for rule, run in runs.items()}
    rho = {rule: spectral_radius(update_matrix(LEAK_GAME, LEAK_STEP, rule=rule)) for rule in runs}
    grid_b, grid_f = np.meshgrid(np.linspace(0.01, 0.99, 80), np.geomspace(1e-4, 0.5, 80))
    stable = spectral_radius(
        update_matrix(LeakyEMA(NSGAN(), grid_b, 1 - grid_f), 0.05, rule="simultaneous")
    ) < 1  # fmt: skip
    agree = (stable == (leaky_margin(grid_b, 1 - grid_f, 0.05) > 0)).mean()
    wasserstein = {
        rule: spectral_radius(
            update_matrix(LeakyEMA(Bilinear(), 0.5, np.array([0.9, 0.99])), 0.1, rule=rule)
        )
        for rule in runs
    }
    slopes = 1 - float(sigmoid(0.0)), float(NSGAN().g(0.0))
    return [
        Claim(THESIS, "Without a leak: λ = ±φ'(0) i, not linearly stable (Lemma 1).",
              f"±i/2 {_within(_off(eigenvalues(NSGAN()), [-0.5j, 0.5j]))}.",
              _off(eigenvalues(NSGAN()), [-0.5j, 0.5j]) < 1e-8),
        Claim(THESIS, "(17) is the characteristic polynomial of (16).",
              f"Coefficients equal {_within(off17)}.", off17 < 1e-12),
        Claim(THESIS, "With β > 0 all real parts are negative (figure 7, 10⁶ pairs, both "
              "objectives).",
              f"For 0 < β < 1, at all 2·10⁶ grid points: largest real parts {growth[0].max():.1e} "
              f"and {growth[1].max():.1e}. Routh–Hurwitz proves it (a b − c = φ'² L β, "
              f"c = φ'² L (1 − β)); sign and criterion differ at {differ} points.",
              growth[0].max() < 0 and growth[1].max() < 0 and differ == 0),
        Claim(THESIS, "With β > 0, so with β = 1 too, the eigenvalues are negative.",
              f"Only because (11) is not normalised: its gain on a constant is (1−γ)/(−ln γ) = "
              f"{0.1 / -np.log(0.9):.3f} at γ = .9, and λ = {edge[UnnormalisedLeakyEMA]:.4f}. With "
              f"the normalised average λ = {abs(edge[LeakyEMA]):.0e}: a line of equilibria "
              f"θ = θ_e. Discrete runs stop at θ = {held[0]:.3f} and stay there.",
              edge[LeakyEMA] < -1e-6),
        Claim(THESIS, "LeakyEMA is locally convergent with gradient descent (section 3.4).",
              "The ODE takes one EMA step per unit of time, that is, learning rate 1. With step h "
              "the rate is L = (1−γ)/h, and simultaneous descent is stable, to leading order, iff "
              f"β L/(φ'² + L²) > h (right at {agree:.1%} of an 80 × 80 grid, h = .05). At h = .1, "
              f"β = .5, γ = .999 simultaneous descent cycles (end radius "
              f"{end['simultaneous'][3]:.3f}, ρ = {rho['simultaneous'][3]:.4f}); alternating "
              f"descent converges (ρ = {rho['alternating'][3]:.5f}).",
              bool(rho["simultaneous"][3] < 1)),
        Claim(THESIS, "LeakyEMA converges where the plain game cycles (figure 4).",
              f"h = .1, γ = .9, β = .5, 20 000 steps: |(θ, ψ)| = {end['simultaneous'][1]:.0e} "
              f"(simultaneous), {end['alternating'][1]:.0e} (alternating); without the leak "
              f"{end['simultaneous'][0]:.3f} and {end['alternating'][0]:.4f}.",
              bool(max(end["simultaneous"][1], end["alternating"][1]) < 1e-8)),
        Claim(THESIS, "The Wasserstein objective is stabilised as well (figure 7, right).",
              "In continuous time. At h = .1, β = .5 simultaneous descent converges with γ = .9 "
              f"(ρ = {wasserstein['simultaneous'][0]:.4f}) and diverges with γ = .99 "
              f"(ρ = {wasserstein['simultaneous'][1]:.4f}); alternating descent converges with "
              f"both ({wasserstein['alternating'][0]:.4f}, {wasserstein['alternating'][1]:.4f}).",
              growth[1].max() < 0),
        Claim(THESIS, "φ(t) = log σ(t) (section 2), φ(t) = −log σ(t) (appendix A).",
              f"One letter, two signs: φ'(0) = {slopes[0]:g} and {slopes[1]:g}. The losses are "
              "minimised, so φ(t) = softplus(−t) = −log σ(t), φ'(0) = −1/2.",
              slopes[0] == slopes[1]),
    ]  # fmt: skip


def averaging_claims() -> list[Claim]:
    """EMA and uniform averages on the bilinear game (section 3.1)."""
    decays, duration = np.array([0.9, 0.99, 0.999]), 40.0
    run = integrate(
        Bilinear(), np.array([[[1.0] * 3], [[0.0] * 3]]), duration, decay=decays, samples=401
    )
    left = decays ** run.time[1:, None]
    # the recorded EMA starts at (1, 0): take the start out and renormalise
    ema = (run.ema[1:, :, 0] - left[:, None] * [[1.0], [0.0]]) / (1 - left[:, None])
    closed = averages.ema_on_cycle(decays, run.time[1:, None]).transpose(1, 0, 2)
    off = float(np.abs(ema - closed).max())
    turned = run.state[1:, :2, 0, 0]
    exact = np.stack([np.cos(run.time[1:]), -np.sin(run.time[1:])], 1)
    mean_off = float(
        np.abs(np.hypot(*run.mean[1:, :, 0, 0].T) - averages.uniform_on_cycle(run.time[1:])).max()
    )
    step = 0.1
    discrete = descend(Bilinear(), np.ones((2, 1, 3)), 40_000, step, decay=decays)
    angle = averages.turn(step)
    k = discrete.time[-5000:]
    waves = np.stack([np.cos(angle * k), np.sin(angle * k)], 1)
    fit = [np.linalg.lstsq(waves, x[-5000:, 0, 0], rcond=None)[0]
           for x in (discrete.ema, discrete.state)]  # fmt: skip
    gain = np.hypot(*fit[0]) / np.hypot(*fit[1])
    gain_off = float(np.abs(gain - averages.ema_gain(decays, angle)).max())
    amplitude = averages.ema_amplitude(decays)
    return [
        Claim(AVERAGING, "C ∫ γ^(T−t) sin t dt = −ln γ/(1 + ln²γ) · (γ^T − cos T − ln γ sin T)"
              "/(1 − γ^T).",
              f"Equal to the integrated EMA {_within(off)} for γ = .9, .99, .999 and T ≤ 40.",
              off < 1e-6),
        Claim(AVERAGING, "EMA does not converge; a cycle of small amplitude remains.",
              "L/√(1 + L²), L = −ln γ: "
              + ", ".join(f"{a:.6f}" for a in amplitude)
              + " for γ = .9, .99, .999. In alternating descent with h = .1 it is (1−γ)/|1 − "
              f"γ e^(−iω)|, measured {_within(gain_off)}.", gain_off < 1e-6),
        Claim(AVERAGING, "Near γ = 1 it is ln(γ) cos T.",
              f"The amplitude's relative error is {abs(amplitude[2] / -np.log(0.999) - 1):.0e} at "
              f"γ = .999 and {abs(amplitude[0] / -np.log(0.9) - 1):.0e} at .9.",
              abs(amplitude[2] / -np.log(0.999) - 1) < 1e-6),
        Claim(AVERAGING, "The uniform average converges like 1/T.",
              f"2|sin(T/2)|/T, {_within(mean_off)}.", mean_off < 1e-6),
        Claim(AVERAGING, "The solution of x' = y, y' = −x is (A cos t, A sin t).",
              "It turns the other way: (A cos t, −A sin t) "
              f"({_within(np.abs(turned - exact).max())}). No amplitude changes.",
              float(np.abs(turned - exact * [1, -1]).max()) < 1e-6),
    ]  # fmt: skip


def alpha_claims() -> list[Claim]:
    """(α_D, α_G)-GANs and relativistic GANs on the Dirac problem."""

    def at_even(alpha):
        k = 1 - 1 / alpha
        return (1 - 2**-k) / k

    def end(alpha_d, alpha_g, saturating):
        game = AlphaGAN(alpha_d, alpha_g, saturating)
        return float(descend(game, (1, 1), 5000, 0.1, every=100).radius[-1])

    saturating = [end(a, 1.0, True) for a in (1.0, 0.6, 0.5)]
    plain = [end(a, 1.0, False) for a in (1.0, 0.6, 0.5)]
    frequency = [
        float(eigenvalues(AlphaGAN(a, b)).imag.max()) for a, b in ((0.5, 1.2), (1, 1), (2, 1))
    ]
    formula = [2 ** -((1 - 1 / a + 1 - 1 / b) / 2 + 1) for a, b in ((0.5, 1.2), (1, 1), (2, 1))]
    probe = np.random.default_rng(0).normal(size=(2, 3, 100))
    same = float(np.abs(RelativisticGAN().field(probe) - NSGAN().field(probe)).max())
    return [
        Claim(ALPHA, "α_D < 1 steadies the saturating GAN.",
              "On the Dirac problem, alternating, h = .1, 5000 steps: end radius "
              f"{saturating[0]:.2f}, {saturating[1]:.2f}, {saturating[2]:.2f} for "
              "α_D = 1, .6, .5 (α_G = 1).", saturating[2] < saturating[1] < saturating[0]),
        Claim(ALPHA, "Non-saturating, α_D < 1 combats oscillation.",
              f"End radius {plain[0]:.3f}, {plain[1]:.3f}, {plain[2]:.3f} for α_D = 1, .6, .5: a "
              "little. To first order α only sets how fast the game turns: λ = ±i 2^−(1 + "
              f"(k_D + k_G)/2), k = 1 − 1/α, {_within(np.ptp(np.subtract(frequency, formula)))}; "
              f"{frequency[0]:.3f}, {frequency[1]:.3f}, {frequency[2]:.3f} at (.5, 1.2), (1, 1), "
              "(2, 1).", max(plain[1:]) < plain[0]),
        Claim(ALPHA, "α lies in [0, ∞).",
              "In (0, ∞]: as α → 0 the loss (1 − 2^−k)/k at even odds has no limit (k = (α−1)/α; "
              f"{at_even(0.02):.0e} at α = .02), while α = ∞, total variation, has one: "
              f"{at_even(np.inf):g}.", at_even(0.02) < 1e3),
        Claim("Jolicoeur-Martineau, slides", "The relativistic discriminator is a key element "
              "missing from the standard GAN.",
              "Not on this problem: with one real and one fake point, the real one at 0, RSGAN is "
              f"the non-saturating GAN (fields equal {_within(same)}). With a leak they differ.",
              same > 1e-6),
    ]  # fmt: skip


def claims(
    notebook: dict[str, list[Trajectory]], blog: dict[str, Trajectory], leaks: dict[str, Trajectory]
) -> list[Claim]:
    """All rows of the table, in the order of the papers."""
    return [
        *slide_claims(notebook),
        *blog_claims(blog),
        *thesis_claims(leaks),
        *averaging_claims(),
        *alpha_claims(),
    ]
