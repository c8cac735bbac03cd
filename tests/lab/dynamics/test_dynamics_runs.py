# ruff: noqa: RUF001 (Greek letters are meant)
"""Discrete and continuous runs against published digits, 50-digit recursions and laws."""

import mpmath as mp
import numpy as np
import pytest

from tfgan_ema.errors import UsageError
from tfgan_ema.lab.dynamics import (
    GAN,
    GANQP,
    NSGAN,
    R1,
    AlphaGAN,
    Bilinear,
    Consensus,
    InstanceNoise,
    LeakyEMA,
    RelativisticGAN,
    descend,
    integrate,
)
from tfgan_ema.lab.dynamics.papers.blog import BLOG_RUNS, BLOG_START
from tfgan_ema.lab.dynamics.papers.slides import (
    NOTEBOOK,
    NOTEBOOK_RULES,
    NOTEBOOK_START,
    NOTEBOOK_STEP,
    NOTEBOOK_STEPS,
)
from tfgan_ema.lab.dynamics.papers.thesis import (
    LEAK_GAME,
    LEAK_START,
    LEAK_STEP,
    LEAK_STEPS,
    LEAKS,
)

# End radii of Mescheder et al.'s notebook settings: SimGD, AltGD n_D = 1, AltGD n_D = 5.
# `None` is "about 0"; the noise row of that notebook is sampled, ours is exact (test below).
END_RADII = {
    "GAN": (3.10, 1.42, 1.85),
    "NSGAN": (0.64, 0.28, 0.14),
    "WGAN, clip 1": (1.0, 1.02, 0.92),
    "WGAN-GP, γ = 0.7": (1.80, 1.22, 0.72),
    "GAN + R1, γ = 0.3": (2.6e-6, 2.3e-7, None),
    "GAN + R1, γ = 1": (None, None, 5e-12),
    "Consensus, γ = 1": (2.6e-10, 1.7e-11, 11.0),
}


def notebook(name, rule, start=NOTEBOOK_START, **kwargs):
    return descend(NOTEBOOK[name], start, NOTEBOOK_STEPS, NOTEBOOK_STEP, **rule, **kwargs)


@pytest.mark.parametrize("name", END_RADII)
def test_end_radii_of_the_reference_notebook(name):
    for rule, stated in zip(NOTEBOOK_RULES.values(), END_RADII[name], strict=True):
        found = notebook(name, rule).radius[-1]
        if stated is None:
            assert found < 1e-15
        else:  # all the digits that are stated
            digits = len(f"{stated:g}".split("e")[0].replace(".", "").lstrip("0"))
            assert found == pytest.approx(stated, rel=0.51 * 10 ** (1 - digits))


# The same recursions in 50 digits, in the notebook's own sign (D large on fakes, start (1, 1)).
def f_prime(t):
    return 1 / (1 + mp.e**t)


def gan(t, p):
    return -p * f_prime(t * p), t * f_prime(t * p)


def nsgan(t, p):
    return -p * f_prime(-t * p), t * f_prime(t * p)


def wgan(t, p):
    return -p, t


def penalised(v, weight, target=0):
    weight = mp.mpf(weight)
    return lambda t, p: (
        v(t, p)[0],
        v(t, p)[1] - weight * (abs(p) - target) * ((p > 0) - (p < 0)),
    )


def consensus(t, p):
    s = f_prime(t * p)
    square = (t * t + p * p) * s * s * (s - 1)
    return -p * s - t * s * s - square * p, t * s - p * s * s - square * t


FIFTY = {
    "GAN": gan,
    "NSGAN": nsgan,
    "WGAN, clip 1": wgan,
    "WGAN-GP, γ = 0.7": penalised(wgan, "0.7", 1),
    "GAN + R1, γ = 0.3": penalised(gan, "0.3"),
    "GAN + R1, γ = 1": penalised(gan, 1),
    "Consensus, γ = 1": consensus,
    "NSGAN + R1, γ = 0.3": penalised(nsgan, "0.3"),
}


def fifty_digits(v, rule, steps, clip=False):
    with mp.workdps(50):
        h, t, p = mp.mpf("0.2"), mp.mpf(1), mp.mpf(1)
        bound = (lambda x: max(-1, min(1, x))) if clip else (lambda x: x)
        for _ in range(steps):
            if "rule" in rule:
                dt, dp = v(t, p)
                t, p = t + h * dt, bound(p + h * dp)
                continue
            t = t + h * v(t, p)[0]
            for _ in range(rule.get("n_dis", 1)):
                p = bound(p + h * v(t, p)[1])
        return float(t), float(p)


@pytest.mark.parametrize("name", FIFTY)
def test_float64_equals_fifty_digits(name):
    for rule in NOTEBOOK_RULES.values():
        found = notebook(name, rule, every=NOTEBOOK_STEPS).state[-1, :2, 0]
        exact = fifty_digits(FIFTY[name], rule, NOTEBOOK_STEPS, clip="clip" in name)
        np.testing.assert_allclose(found, np.array(exact) * [1, -1], atol=1e-6)


@pytest.mark.parametrize("name", ["WGAN, clip 1", "WGAN-GP, γ = 0.7", "Consensus, γ = 1"])
def test_jumps_and_instability_do_not_amplify_rounding(name):
    # 200 starts moved by 1e-12: the end radii stay within 1e-9 of each other
    noise = 1e-12 * np.random.default_rng(0).normal(size=(2, 1, 200))
    for rule in NOTEBOOK_RULES.values():
        start = np.array(NOTEBOOK_START)[:, None, None] + noise
        assert np.ptp(notebook(name, rule, start, every=NOTEBOOK_STEPS).radius[-1]) < 1e-9


def test_exact_instance_noise_in_fifty_digits():
    x, w = np.polynomial.hermite_e.hermegauss(64)
    x, w = [mp.mpf(float(v)) for v in x], [mp.mpf(float(v)) for v in w / w.sum()]

    def v(t, p):
        fake, real = [t + mp.mpf("0.7") * e for e in x], [mp.mpf("0.7") * e for e in x]
        on_fake = [c * f_prime(p * s) for c, s in zip(w, fake, strict=True)]
        on_real = [c * f_prime(-p * s) for c, s in zip(w, real, strict=True)]
        return -p * mp.fsum(on_fake), mp.fdot(on_fake, fake) - mp.fdot(on_real, real)

    rule = {"rule": "simultaneous"}
    found = descend(InstanceNoise(), (1, -1), 30, 0.2, **rule).state[-1, :, 0]
    np.testing.assert_allclose(found, np.array(fifty_digits(v, rule, 30)) * [1, -1], atol=1e-12)


def test_sampled_noise_has_a_floor_that_the_exact_run_has_not():
    # the notebook draws 1000 samples per evaluation; its end radii are single draws of such runs
    rng = np.random.default_rng(0)

    def v(t, p):
        t, p = t[:, None], p[:, None]
        fake, real = t + 0.7 * rng.normal(size=(5, 1000)), 0.7 * rng.normal(size=(5, 1000))
        a, b = 1 / (1 + np.exp(p * fake)), 1 / (1 + np.exp(-p * real))
        return -p[:, 0] * a.mean(1), (fake * a).mean(1) - (real * b).mean(1)

    stated = dict(zip(NOTEBOOK_RULES, (0.019, 0.012, 0.004), strict=True))
    for name, rule in NOTEBOOK_RULES.items():
        t, p = np.ones((2, 5))
        for _ in range(500):
            if "rule" in rule:
                dt, dp = v(t, p)
                t, p = t + 0.2 * dt, p + 0.2 * dp
                continue
            t = t + 0.2 * v(t, p)[0]
            for _ in range(rule.get("n_dis", 1)):
                p = p + 0.2 * v(t, p)[1]
        ends = np.hypot(t, p)
        assert ends.min() / 4 < stated[name] < ends.max() * 4
        assert notebook("Instance noise, σ = 0.7", rule).radius[-1] < ends.min() / 10


# LeakyEMA descent (h = 0.1, NSGAN, D first, 20k steps): radius, simultaneous and alternating.
LEAKY_RADII = {
    "no leak": (0.449, 0.0625),
    "β 0.5, γ 0.9": (None, None),
    "β 0.5, γ 0.99": (3e-12, 5e-23),
    "β 0.5, γ 0.999": (0.397, 2e-5),
    "β 0.25, γ 0.99": (0.078, 9e-12),
    "β 1, γ 0.9": (1.43, 1.41),
}


@pytest.fixture(scope="module")
def leaky_runs():
    return {
        rule: descend(LEAK_GAME, LEAK_START, LEAK_STEPS, LEAK_STEP, rule=rule, every=2000)
        for rule in ("simultaneous", "alternating")
    }


@pytest.mark.parametrize("name", LEAKS)
def test_end_radii_of_leaky_descent(leaky_runs, name):
    for run, stated in zip(leaky_runs.values(), LEAKY_RADII[name], strict=True):
        found = run.radius[-1, list(LEAKS).index(name)]
        if stated is None:
            assert found < 1e-30
        else:
            digits = len(f"{stated:g}".split("e")[0].replace(".", "").lstrip("0"))
            assert found == pytest.approx(stated, rel=0.6 * 10 ** (1 - digits))


def leaky_fifty(rule, beta, decay, steps):
    """Thesis (2), (14) with the average of section 3.1, in 50 digits."""
    with mp.workdps(50):
        h, t, p, e = mp.mpf("0.1"), mp.mpf(1), mp.mpf(1), mp.mpf(1)
        beta, decay = mp.mpf(str(beta)), mp.mpf(str(decay))
        for _ in range(steps):
            ahead = p - h * t * f_prime(-p * t) + h * beta * e * f_prime(p * e)
            t = t + h * f_prime((p if rule == "simultaneous" else ahead) * t) * (
                p if rule == "simultaneous" else ahead
            )
            p = ahead
            e = decay * e + (1 - decay) * t
        return float(mp.hypot(t, p))


@pytest.mark.parametrize("name", LEAKS)
@pytest.mark.parametrize("rule", ["simultaneous", "alternating"])
def test_leaky_descent_equals_fifty_digits(leaky_runs, rule, name):
    found = leaky_runs[rule].radius[1, list(LEAKS).index(name)]  # after 2000 steps
    assert found == pytest.approx(leaky_fifty(rule, *LEAKS[name], 2000), abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", LEAKS)
@pytest.mark.parametrize("rule", ["simultaneous", "alternating"])
def test_leaky_descent_equals_fifty_digits_to_the_end(leaky_runs, rule, name):
    found = leaky_runs[rule].radius[-1, list(LEAKS).index(name)]
    assert found == pytest.approx(leaky_fifty(rule, *LEAKS[name], LEAK_STEPS), abs=1e-6)


def test_wasserstein_leaks():
    game = LeakyEMA(Bilinear(), 0.5, np.array([0.9, 0.99]))
    both = {
        rule: descend(game, (1, 1), 5000, 0.1, rule=rule, every=5000).radius[-1]
        for rule in ("simultaneous", "alternating")
    }
    assert both["simultaneous"][0] < 1e-20
    assert both["simultaneous"][1] > 1e5
    assert (both["alternating"] < 1e-5).all()


def test_nsgan_does_not_diverge_in_one_dimension():
    step, start = np.array([0.05, 0.1, 0.2]), np.ones((2, 1, 3))
    run = descend(NSGAN(), start, 20_000, step, rule="simultaneous", every=20_000)
    np.testing.assert_allclose(run.radius[-1], np.sqrt(2 * step), rtol=0.01)
    run = descend(NSGAN(), start, 20_000, step, every=20_000)
    np.testing.assert_allclose(run.radius[-1], np.sqrt(8 / (step * 20_000)), rtol=0.05)
    flow = integrate(NSGAN(), (1, 1), 1000, samples=11)
    assert flow.radius[-1] == pytest.approx(np.sqrt(8 / 1000), rel=0.01)


@pytest.mark.parametrize("name", BLOG_RUNS)
def test_blog_runs_do_not_depend_on_the_tolerance(name):
    game, duration, _ = BLOG_RUNS[name]
    run = integrate(game, BLOG_START, duration)
    tight = integrate(game, BLOG_START, duration, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(run.state, tight.state, atol=1e-6)


def test_blog_limits():
    runs = {name: integrate(g, BLOG_START, t) for name, (g, t, _) in BLOG_RUNS.items()}
    radius = {name: np.linalg.norm(run.state[:, 0], axis=1) for name, run in runs.items()}
    for name in ("NSGAN", "GAN-QP"):
        theta, phi = np.moveaxis(runs[name].state, 1, 0)
        cross = theta[:, 0] * phi[:, 1] - theta[:, 1] * phi[:, 0]
        np.testing.assert_allclose(cross, 0.2 * 0.2 - 0.1 * 0.1, atol=1e-9)
    assert radius["WGAN, normalised"].min() == pytest.approx(0.088, abs=5e-4)
    assert radius["WGAN, normalised"].max() == pytest.approx(0.399, abs=5e-4)
    assert radius["WGAN-GP, c = 0"][-1] < 5e-3
    assert radius["GAN-QP + L2"][-1] == pytest.approx(0.006, abs=5e-4)
    far = integrate(BLOG_RUNS["WGAN-GP, c = 1"][0], BLOG_START, 400, samples=11).state[-1, 0]
    assert np.linalg.norm(far) == pytest.approx(1, abs=1e-6)
    for name in ("NSGAN", "GAN-QP"):
        far = integrate(BLOG_RUNS[name][0], BLOG_START, 3000, samples=11, rtol=1e-7, atol=1e-9)
        assert np.linalg.norm(far.state[-1, 0]) == pytest.approx(np.sqrt(0.03), abs=5e-4)


def test_gan_keeps_its_radius():
    starts = np.random.default_rng(0).normal(size=(2, 1, 8))
    run = integrate(GAN(), starts, 100)
    np.testing.assert_allclose(run.radius, np.broadcast_to(run.radius[0], (1001, 8)), atol=1e-8)


@pytest.mark.parametrize(
    "game",
    [NSGAN(), R1(weight=0.3), Consensus(), LeakyEMA(), AlphaGAN(0.5, 1.2), InstanceNoise()],
    ids=repr,
)
def test_other_continuous_runs_do_not_depend_on_the_tolerance(game):
    run = integrate(game, (1, -1), 40, samples=201)
    tight = integrate(game, (1, -1), 40, samples=201, rtol=1e-12, atol=1e-15)
    for part in ("state", "ema", "mean"):
        np.testing.assert_allclose(getattr(run, part), getattr(tight, part), atol=1e-6)


def test_linear_flow_is_a_matrix_exponential():
    from scipy.linalg import expm

    game = R1(Bilinear(), 0.4)
    run = integrate(game, (1.0, 0.5), 10, samples=11)
    for time, state in zip(run.time, run.state[:, :, 0], strict=True):
        np.testing.assert_allclose(state, expm(game.jacobian() * time) @ [1.0, 0.5], atol=1e-9)


@pytest.mark.parametrize("rule", ["simultaneous", "alternating", "optimistic"])
def test_a_batch_of_starts_is_a_loop_over_them(rule):
    starts = np.random.default_rng(3).normal(size=(2, 2, 5))
    beta = np.linspace(0, 1, 5)
    run = descend(LeakyEMA(RelativisticGAN(), beta, 0.9), starts, 50, 0.1, rule=rule)
    for i in range(5):
        single = LeakyEMA(RelativisticGAN(), beta[i], 0.9)
        one = descend(single, starts[..., i], 50, 0.1, rule=rule)
        np.testing.assert_allclose(run.state[..., i], one.state, rtol=1e-13, atol=1e-15)


def test_recorded_averages():
    run = descend(GANQP(), (1, 0.3), 40, 0.1, decay=0.8)
    x = run.state[:, :2]
    np.testing.assert_allclose(run.mean[1:], np.cumsum(x[1:], 0) / run.time[1:, None, None])
    weights = 0.2 * 0.8 ** np.arange(39, -1, -1)
    expected = np.tensordot(weights, x[1:], 1) + 0.8**40 * x[0]
    np.testing.assert_allclose(run.ema[-1], expected, rtol=1e-12)
    thinned = descend(GANQP(), (1, 0.3), 40, 0.1, decay=0.8, every=7)
    assert thinned.time.tolist() == [0, 7, 14, 21, 28, 35, 40]
    np.testing.assert_array_equal(thinned.ema[-1], run.ema[-1])


def test_who_moves_first_and_how_often():
    h, t, p = 0.1, 1.0, 0.5
    first_g = descend(Bilinear(), (t, p), 1, h, first="generator", n_dis=2).state[-1, :, 0]
    t1 = t + h * p
    np.testing.assert_allclose(first_g, [t1, p - 2 * h * t1])
    first_d = descend(Bilinear(), (t, p), 1, h, n_dis=2).state[-1, :, 0]
    p1 = p - 2 * h * t
    np.testing.assert_allclose(first_d, [t + h * p1, p1])


def test_optimistic_descent_converges_where_plain_descent_does_not():
    w, before, h = np.array([1.0, 1.0]), None, 0.1
    for _ in range(100):  # Daskalakis et al., Algorithm of section 2, by hand
        v = np.array([w[1], -w[0]])
        w, before = w + 2 * h * v - h * (v if before is None else before), v
    run = descend(Bilinear(), (1, 1), 100, h, rule="optimistic")
    np.testing.assert_allclose(run.state[-1, :, 0], w, rtol=1e-13)
    far = descend(Bilinear(), (1, 1), 5000, h, rule="optimistic", every=5000)
    assert far.radius[-1] < 1e-6
    assert descend(Bilinear(), (1, 1), 5000, h, rule="simultaneous").radius[-1] > 1e6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"step": -0.1}, "step is -0.1"),
        ({"step": np.nan}, "step is nan"),
        ({"rule": "both"}, "unknown rule"),
        ({"first": "nobody"}, "unknown first player"),
        ({"n_dis": 0}, "n_dis is 0"),
        ({"n_dis": 2, "rule": "optimistic"}, "n_dis is 2"),
        ({"decay": 1.0}, "decay is 1.0"),
        ({"steps": -1}, "steps is -1"),
        ({"start": (np.inf, 0)}, "start is"),
        ({"start": (1, 2, 3)}, "start is"),
    ],
)
def test_bad_runs(arguments, message):
    with pytest.raises(UsageError, match=message):
        descend(**{"game": GAN(), "start": (1, 1), "steps": 10, "step": 0.1} | arguments)


def test_bad_durations():
    for duration in (0, -1, np.inf, np.nan):
        with pytest.raises(UsageError, match="duration"):
            integrate(GAN(), (1, 1), duration)


def test_a_run_that_cannot_be_finished_says_so():
    class Escape(GAN):  # θ' = θ²: at infinity at time 1/θ
        def generator(self, theta, psi, *memory):
            return theta**2

    with pytest.raises(UsageError, match="stopped after time"):
        integrate(Escape(), (1.0, 0.0), 2.0)
