"""Times the stability map of thesis figure 7: ``python benchmarks/dynamics.py``.

10^6 (beta, decay) pairs, both objectives, on one core; beside it ``numpy.linalg.eigvals``. Ratios
come from one run of this script; CPU seconds, the median of five.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import statistics
import time

import numpy as np

from tfgan_ema.lab.dynamics import (
    NSGAN,
    Bilinear,
    LeakyEMA,
    growth_rate,
    leaky_polynomial,
    routh_hurwitz,
)


def seconds(function, repeats: int = 5) -> float:
    """The median CPU time of a call."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        function()
        times.append(time.process_time() - start)
    return statistics.median(times)


def main() -> None:
    """Prints one line per objective."""
    line = (np.arange(1000) + 0.5) / 1000
    beta, decay = np.meshgrid(line, line)
    pairs = np.random.default_rng(0).uniform(size=(2, 10_000))
    for name, game, slope in (("non-saturating", NSGAN(), 0.5), ("Wasserstein", Bilinear(), 1.0)):

        def stability_map(slope=slope):
            polynomial = leaky_polynomial(beta, decay, slope)
            return growth_rate(*polynomial), routh_hurwitz(*polynomial)

        matrices = LeakyEMA(game, *pairs).jacobian()
        ours, theirs = seconds(stability_map), seconds(lambda m=matrices: np.linalg.eigvals(m))
        growth, stable = stability_map()
        some = growth_rate(*leaky_polynomial(*pairs, slope))
        off = np.abs(some - np.linalg.eigvals(matrices).real.max(-1)).max()
        print(
            f"{name}: {ours:.2f} s for 10^6 pairs ({100 * theirs:.2f} s with eigvals, "
            f"{100 * theirs / ours:.0f} times as long); largest difference {off:.0e} on 10^4 "
            f"pairs; the sign differs from Routh-Hurwitz at {((growth < 0) != stable).sum()} pairs"
        )


if __name__ == "__main__":
    main()
