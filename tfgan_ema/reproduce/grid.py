"""Table 1 of the averaging paper (Yazici et al. 2019): a 4x4 grid of Gaussians.

Four ways of training, each with no average, EMA and the uniform average, by transport distance;
and, which no paper has, each with LeakyEMA. The paper leaves open the spacing of the grid (1 here),
the latent (N(0, I_2) here) and the cost of the transport, so both costs are reported.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tfgan_ema.data import mixtures
from tfgan_ema.latents import Normal
from tfgan_ema.metrics import squared_wasserstein_2, wasserstein_1
from tfgan_ema.reproduce import points
from tfgan_ema.reproduce.cells import Cell
from tfgan_ema.reproduce.points import Method

SIGMA = 0.2
NETWORKS = {"g_hidden": [256] * 4, "d_hidden": [256] * 4, "d_slope": 0.0}
BATCH_SIZE = 64
EXTENT = 2.5

_LOSS = {"loss": "non_saturating"}
_ADAM = {"name": "adam", "learning_rate": 2e-4, "beta_1": 0.0, "beta_2": 0.9, "epsilon": 1e-8}
_RMSPROP = {"name": "rmsprop", "learning_rate": 2e-4, "rho": 0.9, "epsilon": 1e-10}
_GP = ("wgan_gp", {"weight": 1.0})

# The paper's tables 5 to 8; the zero-centred penalty is R1 without its half (its citation).
METHODS = {
    "baseline": Method(_LOSS, _ADAM, [_GP]),
    "optimistic_adam": Method(_LOSS, {**_ADAM, "name": "optimistic_adam"}, [_GP]),
    "consensus": Method(
        _LOSS, _RMSPROP, [_GP, ("consensus", {"weight": 10.0})], update="simultaneous"
    ),
    "zero_gp": Method(_LOSS, _ADAM, [("r1", {"weight": 1.0, "factor": 1.0})]),
}
TITLES = {
    "baseline": "Baseline", "optimistic_adam": "Optimistic Adam",
    "consensus": "Consensus", "zero_gp": "Zero-centred GP",
}  # fmt: skip
COST = {"baseline": 1.0, "optimistic_adam": 1.0, "consensus": 2.7, "zero_gp": 1.0}

# Mean and standard deviation of five repetitions (the paper's table 1).
PAPER = {
    ("baseline", "none"): (0.0419, 0.0054), ("baseline", "ema"): (0.0251, 0.0026),
    ("baseline", "uniform"): (0.0274, 0.0016),
    ("optimistic_adam", "none"): (0.0494, 0.0041), ("optimistic_adam", "ema"): (0.0431, 0.0042),
    ("optimistic_adam", "uniform"): (0.0525, 0.0024),
    ("consensus", "none"): (0.0286, 0.0034), ("consensus", "ema"): (0.0252, 0.0035),
    ("consensus", "uniform"): (0.0390, 0.0105),
    ("zero_gp", "none"): (0.0363, 0.0018), ("zero_gp", "ema"): (0.0246, 0.0068),
    ("zero_gp", "uniform"): (0.0317, 0.0121),
}  # fmt: skip
PAPER_SEEDS = 5

# steps; a measurement every so many; how many of the last count, at squared cost and at Euclidean;
# samples in a measurement; seeds
BUDGETS = {
    "smoke": {"steps": 60, "every": 30, "last": 2, "euclidean": 1, "count": 256, "seeds": 2},
    "desk": {"steps": 40_000, "every": 2000, "last": 10, "euclidean": 2, "count": 2048, "seeds": 5},
    "paper": {
        "steps": 40_000, "every": 2000, "last": 10, "euclidean": 10, "count": 2048, "seeds": 5,
    },
}  # fmt: skip


def averages(steps: int) -> dict[str, dict[str, Any]]:
    """The columns: EMA .999, the uniform average over the second half, and a slower EMA."""
    return {
        "ema": {"rule": "ema", "decay": 0.999},
        "uniform": {"rule": "uniform", "start_step": steps // 2},
        "ema_0.9999": {"rule": "ema", "decay": 0.9999},
    }


def cells(budget: str) -> list[Cell]:
    """One cell for each way of training, without and with the leak; the seeds are a stack."""
    options = BUDGETS[budget]
    return [
        Cell(
            f"{method}{'_leaky' if leaky else ''}",
            "tfgan_ema.reproduce.grid:measure",
            {"method": method, "leaky": leaky, **options},
            COST[method] * (1.05 if leaky else 1.0),
        )
        for method in METHODS
        for leaky in (False, True)
    ]


def measure(
    method: str,
    leaky: bool,
    steps: int,
    every: int,
    last: int,
    euclidean: int,
    count: int,
    seeds: int,
    progress: Callable[[float], None],
) -> dict[str, Any]:
    """Trains a stack of seeds and measures its generators.

    Returns:
        ``rows``: one for each seed and column with ``squared`` and ``euclidean``, the transport
        cost in the mean over the last measurements; ``pictures``: of the first seed, by step.
    """
    real = points.mixture(mixtures.grid_centers(), SIGMA)
    gan = points.stack(
        METHODS[method],
        range(seeds),
        networks=NETWORKS,
        latent=Normal(2),
        averages=averages(steps),
        leak={"beta": 0.5, "start_step": steps // 2} if leaky else None,
    )
    found: dict[tuple[int, str], dict[str, list[float]]] = {}
    pictures = {}
    for step, _ in points.train(gan, real, BATCH_SIZE, steps, every):
        left = (steps - step) // every
        latent = np.random.default_rng(step).standard_normal((count, 2), np.float32)
        made = points.samples(gan, latent) if left < last or step % (steps // 4) == 0 else {}
        if step % (steps // 4) == 0:
            pictures[step] = _picture(made, points.support(gan, EXTENT))
        if left < last:
            truth = points.draw(real, count, seed=step)
            for column, generated in made.items():
                for seed in range(seeds):
                    row = found.setdefault((seed, column), {"squared": [], "euclidean": []})
                    row["squared"].append(squared_wasserstein_2(generated[seed], truth))
                    if left < euclidean:
                        row["euclidean"].append(wasserstein_1(generated[seed], truth))
        progress(step / steps)
    rows = [
        {"seed": seed, "column": column} | {key: float(np.mean(v)) for key, v in values.items()}
        for (seed, column), values in found.items()
    ]
    return {"rows": rows, "pictures": pictures}


def _picture(made: dict[str, np.ndarray], logits: np.ndarray) -> dict[str, Any]:
    """400 points of each column and the discriminator's logits, rounded: what a figure needs."""
    shown = {column: np.round(generated[0, :400], 3).tolist() for column, generated in made.items()}
    return {"samples": shown, "logits": np.round(logits, 2).tolist()}


def floor(count: int = 2048, draws: int = 10) -> dict[str, tuple[float, float]]:
    """Mean and standard deviation of the distances between two sets of true samples."""
    sets = [mixtures.grid(count, seed=1000 + i)[0] for i in range(2 * draws)]
    pairs = list(zip(sets[::2], sets[1::2], strict=True))
    measures = {"squared": squared_wasserstein_2, "euclidean": wasserstein_1}
    values = {key: [measure(a, b) for a, b in pairs] for key, measure in measures.items()}
    return {key: (float(np.mean(v)), float(np.std(v, ddof=1))) for key, v in values.items()}
