"""Relativistic GANs on CIFAR-10.

    tfgan-ema train --config=relativistic:rasgan_1 --workdir=runs/rasgan

From the slides on Jolicoeur-Martineau 2018. Their left table: rows ``METHOD_1`` are Adam 2e-4 (0.5,
0.0.999), n_dis 1, rows ``METHOD_5`` 1e-4 (0.5, 0.9), n_dis 5: FIDs behind methods; the last cell of
the second column is lost. Their right table, unstable settings without the last two methods: rows
``METHOD_rate``, ``_betas``, ``_no_norm`` and ``_tanh``, n_dis 1: FIDs behind settings, in the order
of methods. What the slides leave open there is as in the author's scripts: Adam 1e-4 (0.5, 0.999)
unless the column says otherwise, and batch normalisation in the place of spectral.

Plain CNN, batch 32, latent 128, 100k steps, 50k samples for the FID.
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
STABLE = {
    "1": {"n_dis": 1, **optimizers("adam", learning_rate=2e-4, beta_1=0.5, beta_2=0.999)},
    "5": {"n_dis": 5, **optimizers("adam", learning_rate=1e-4, beta_1=0.5, beta_2=0.9)},
}
_BATCH_NORM = {"network.norm": "batch"}
_ADAM = optimizers("adam", learning_rate=1e-4, beta_1=0.5, beta_2=0.999)
UNSTABLE = {
    # 154.20, 50.95, 55.55, 52.27, 33.33, 43.28, 51.05, 61.97
    "rate": {**_BATCH_NORM, **optimizers("adam", learning_rate=1e-3, beta_1=0.5, beta_2=0.999)},
    # 35.29, 45.12, 43.46, 225.94, 48.92, 33.47, 42.78, 104.95
    "betas": {**_BATCH_NORM, **optimizers("adam", learning_rate=1e-4, beta_1=0.9, beta_2=0.9)},
    # 35.54, 37.11, 41.96, 38.54, 34.66, 34.21, 43.75, 85.27
    "no_norm": {"network.norm": "none", **_ADAM},
    # 59.17, 77.21, 54.42, 147.87, 53.07, 58.51, 50.69, 59.94
    "tanh": {**_BATCH_NORM, "network.tanh": True, **_ADAM},
}
TABLES = (STABLE, list(METHODS)), (UNSTABLE, list(METHODS)[:-2])
ROWS = {
    f"{method}_{column}": {**METHODS[method], **columns[column]}
    for columns, methods in TABLES
    for column in columns
    for method in methods
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
