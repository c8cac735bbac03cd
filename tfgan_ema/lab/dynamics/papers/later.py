"""Methods after the five papers: lookahead, power-function averages, the adaptive leak."""

import numpy as np

from tfgan_ema.lab import dynamics as dy
from tfgan_ema.lab.dynamics.papers import Finding

SOURCE = "Chavdarova et al."

STEP = 0.1
ALPHA = 0.5
RETURNS = np.arange(1, 127)  # k, up to two turns of alternating descent


def lookahead_radii(rule: str, step: float = STEP, alpha: float = ALPHA) -> np.ndarray:
    """The spectral radius a step of lookahead on the bilinear game, for each k of `RETURNS`."""
    update = dy.update_matrix(dy.Bilinear(), step, rule=rule)
    radii = [float(dy.spectral_radius(dy.lookahead(update, k, alpha))) for k in RETURNS]
    return np.array(radii) ** (1 / RETURNS)


def lookahead_alternating() -> Finding:
    """Lookahead-minmax converges on the bilinear game where alternating descent cycles.

    For k steps that turn by kω the radius is √(1 − 2α(1−α)(1 − cos kω)), {error:within}: below 1
    for every k that is no whole turn. With h = 0.1 and α = 0.5 a step shrinks by {five:.2e} at k =
    5, most at half a turn, k = {best:.0f} (one return ends within {left:.3f} of the equilibrium),
    and by {turn:.1e} at a whole one, k = 63.
    """
    radii = lookahead_radii("alternating")
    angle = RETURNS * dy.turn(STEP)
    closed = np.sqrt(1 - 2 * ALPHA * (1 - ALPHA) * (1 - np.cos(angle)))
    error = np.abs(radii**RETURNS - closed).max()
    best = int(radii.argmin())
    numbers = {"five": 1 - radii[4], "best": RETURNS[best], "turn": 1 - radii[62]}
    left = radii[best] ** RETURNS[best]
    return error < 1e-9, {"error": error, "left": left, **numbers}


def lookahead_simultaneous() -> Finding:
    """It converges there with simultaneous steps as well, which diverge without it.

    With h = 0.1 and α = 0.5 for k from {first:.0f} to {last:.0f}, and again from {again:.0f} on
    around one turn and a half; between them the k steps come back to where they began, farther out.
    """
    stable = RETURNS[lookahead_radii("simultaneous") < 1]
    gap = int(np.flatnonzero(np.diff(stable) > 1)[0])
    numbers = {"first": stable[0], "last": stable[gap], "again": stable[gap + 1]}
    return 5 in stable, numbers  # the paper's k


def power_average() -> Finding:
    """A power-function average keeps a width that is a share of training.

    So its memory grows, and on a cycle it converges where an EMA levels off: after k steps
    (g+1)/(k |1 − e^(−iω)|) is left. For widths 0.05 and 0.1 after 40,000 steps of descent with h =
    0.1: {left:.5f}, measured within {error:.1e} of it. EMA 0.999
    keeps {ema:.5f} for ever, which is less until step {crossing:,.0f} and {later:,.0f}.
    """
    exponents, steps = np.array([16.97, 6.94]), 40_000  # widths 0.05 and 0.1
    run = dy.descend(dy.Bilinear(), (1, 1), steps, STEP)
    path = run.state[:, :, 0]
    left = [np.hypot(*dy.power_average(path, exponent)[-1]) for exponent in exponents]
    angle = dy.turn(STEP)
    closed = dy.power_gain(exponents, steps, angle)
    radius = run.radius[-63:].mean()  # the cycle is an ellipse
    error = np.abs(left / radius / closed - 1).max()
    ema = dy.ema_gain(0.999, angle)
    crossing, later = steps * closed / ema
    numbers = {"left": closed, "error": error, "ema": ema, "crossing": crossing, "later": later}
    return error < 0.01, numbers


power_average.source = "Karras et al. 2024"

SPEEDS, DECAY = (0.001, 0.002, 0.005), 0.99
LATER = slice(2000, None)


def adaptive_runs(target: float = 0.6) -> list[dy.Controlled]:
    """Runs of 10,000 steps, one for each of `SPEEDS`."""
    return [dy.controlled_leak(speed, DECAY, STEP, 10_000, target) for speed in SPEEDS]


def constant_radius(run: dy.Controlled) -> float:
    """The spectral radius under a constant leak of the run's mean share, of later turns."""
    leak = dy.LeakyEMA(dy.Bilinear(), run.beta[LATER].mean(), DECAY)
    return float(dy.spectral_radius(dy.update_matrix(leak, STEP)))


def adaptive_leak() -> Finding:
    """A share that follows the discriminator's mean sign holds the latter at its target.

    Not on a game that turns: the sign changes with every half turn, so the share rises and falls
    with it, the same for every target from -0.5 to 0.6. It damps as a constant leak of the mean
    share does: with speeds of {speeds:.3f} a step (h = 0.1, decay 0.99) the mean is {means:.3f}
    (π speed/2ω: {closed:.3f}) and the radius shrinks by {rates:.2e} a step, under a constant leak
    by {constant:.2e}.
    """
    runs = adaptive_runs()
    lower = adaptive_runs(-0.5)
    same = all(np.array_equal(a.beta, b.beta) for a, b in zip(runs, lower, strict=True))
    radii = np.array([np.hypot(*run.state[LATER, :2].T) for run in runs])
    rates = -np.polyfit(np.arange(radii.shape[1]), np.log(radii).T, 1)[0]
    constant = -np.log([constant_radius(run) for run in runs])
    numbers = {
        "speeds": SPEEDS, "means": [run.beta[LATER].mean() for run in runs], "rates": rates,
        "constant": constant, "closed": dy.mean_share(SPEEDS, dy.turn(STEP)),
    }  # fmt: skip
    return not (same and np.allclose(rates, constant, rtol=0.05)), numbers


adaptive_leak.source = "Jiang et al."
