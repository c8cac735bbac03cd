"""Averages on the bilinear game (Yazici et al., 2019, section 3.1)."""

import numpy as np

from tfgan_ema.lab import dynamics as dy
from tfgan_ema.lab.dynamics.papers import Finding

SOURCE = "Yazici et al."

DECAYS = np.array([0.9, 0.99, 0.999])
STEP = 0.1  # of alternating descent


def _cycle() -> dy.Trajectory:
    start = np.array([[[1.0] * 3], [[0.0] * 3]])
    return dy.integrate(dy.Bilinear(), start, 40.0, decay=DECAYS, samples=401)


def ema_of_a_cycle() -> Finding:
    """C ∫ γ^(T−t) sin t dt = −ln γ/(1 + ln²γ) · (γ^T − cos T − ln γ sin T)/(1 − γ^T).

    Equal to the integrated EMA {error:within} for γ = 0.9, 0.99, 0.999 and T ≤ 40.
    """
    run = _cycle()
    left = (DECAYS ** run.time[1:, None])[:, None]
    # the recorded EMA starts at (1, 0): take the start out and renormalise
    ema = (run.ema[1:, :, 0] - left * [[1.0], [0.0]]) / (1 - left)
    closed = dy.ema_on_cycle(DECAYS, run.time[1:, None]).transpose(1, 0, 2)
    error = np.abs(ema - closed).max()
    return error < 1e-6, {"error": error}


def remaining_cycle() -> Finding:
    """EMA does not converge; a cycle of small amplitude remains.

    L/√(1 + L²), L = −ln γ: {amplitudes:.6f} for γ = 0.9, 0.99, 0.999. In alternating descent with h
    = 0.1 it is (1−γ)/|1 − γ e^(−iω)|, measured {error:within}.
    """
    run = dy.descend(dy.Bilinear(), np.ones((2, 1, 3)), 40_000, STEP, decay=DECAYS)
    angles = dy.turn(STEP) * run.time[-5000:]
    waves = np.stack([np.cos(angles), np.sin(angles)], 1)
    ema, cycle = (
        np.hypot(*np.linalg.lstsq(waves, part[-5000:, 0, 0], rcond=None)[0])
        for part in (run.ema, run.state)
    )
    error = np.abs(ema / cycle - dy.ema_gain(DECAYS, dy.turn(STEP))).max()
    return error < 1e-6, {"amplitudes": dy.ema_amplitude(DECAYS), "error": error}


def amplitude_near_1() -> Finding:
    """Near γ = 1 it is ln(γ) cos T.

    The amplitude's relative error is {errors[2]:.0e} at γ = 0.999 and {errors[0]:.0e} at 0.9.
    """
    errors = np.abs(dy.ema_amplitude(DECAYS) / -np.log(DECAYS) - 1)
    return errors[2] < 1e-6, {"errors": errors}


def uniform_average() -> Finding:
    """The uniform average converges like 1/T.

    2|sin(T/2)|/T, {error:within}.
    """
    run = _cycle()
    radius = np.hypot(*run.mean[1:, :, 0, 0].T)
    error = np.abs(radius - dy.uniform_on_cycle(run.time[1:])).max()
    return error < 1e-6, {"error": error}


def direction_of_the_cycle() -> Finding:
    """The solution of x' = y, y' = −x is (A cos t, A sin t).

    It turns the other way: (A cos t, −A sin t) ({error:within}). No amplitude changes.
    """
    run = _cycle()
    cos, sin = np.cos(run.time), np.sin(run.time)
    ours, paper = (
        np.abs(run.state[:, :, 0, 0].T - solution).max() for solution in ([cos, -sin], [cos, sin])
    )
    return paper < 1e-6, {"error": ours}
