"""Relativistic GANs on CIFAR-10.

    tfgan-ema train --config=relativistic:rasgan_1 --workdir=runs/rasgan

From the slides on Jolicoeur-Martineau 2018: rows ``METHOD_1`` are the table's first line (Adam
2e-4 (0.5, 0.999), n_dis 1), ``METHOD_5`` the second (1e-4 (0.5, 0.9), n_dis 5): FIDs below.
Spectrally normalised CNN, batch 32, latent 128, 100k steps, 50k samples for the FID; the last
cell of the second line is lost.
"""

from typing import Any

from ml_collections import ConfigDict

from configs import base
from configs.tables import change, choose, optimizers

_PENALTY = {"penalties.wgan_gp.weight": 10.0}
METHODS: dict[str, dict[str, Any]] = {
    "sgan": {"loss.kind": "non_saturating"},  # 40.64, 41.32
    "rsgan": {"loss.kind": "relativistic"},  # 36.61, 55.29
    "rasgan": {"loss.kind": "relativistic_average"},  # 31.98, 37.92
    "lsgan": {"loss.kind": "least_squares"},  # 29.53, 187.01
    "ralsgan": {"loss.kind": "relativistic_average_least_squares"},  # 30.92, 219.39
    "hinge": {"loss.kind": "hinge"},  # 49.53, 80.85
    "rahinge": {"loss.kind": "relativistic_average_hinge"},  # 39.12, 37.72
    "wgan_gp": {"loss.kind": "wasserstein", **_PENALTY},  # 83.89, 27.81
    "rsgan_gp": {"loss.kind": "relativistic", **_PENALTY},  # 25.60, 28.13
    "rasgan_gp": {"loss.kind": "relativistic_average", **_PENALTY},  # 331.86
}
LINES = {
    1: optimizers("adam", learning_rate=2e-4, beta_1=0.5, beta_2=0.999),
    5: optimizers("adam", learning_rate=1e-4, beta_1=0.5, beta_2=0.9),
}
ROWS = {
    f"{method}_{n_dis}": {**METHODS[method], "n_dis": n_dis, **LINES[n_dis]}
    for n_dis in LINES
    for method in METHODS
}


def get_config(row: str = "") -> ConfigDict:
    """The run of a row of `ROWS`.

    Raises:
        UsageError: no such row.
    """
    config = base.papers_config()
    config.network.kind = "sndcgan_32"
    config.batch_size = 32
    config.checkpoint_every = config.sample_every = 5000
    config.evaluate_every = 20_000
    return change(config, choose("relativistic", row, ROWS))
