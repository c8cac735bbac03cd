"""Relativistic GANs on CIFAR-10; ``--config=configs/relativistic.py:ROW``.

From the slides on Jolicoeur-Martineau 2018: rows ``METHOD_1`` are the table's first line (Adam
2e-4 (.5, .999), n_dis 1), ``METHOD_5`` the second (1e-4 (.5, .9), n_dis 5): FIDs below.
Spectrally normalised CNN, batch 32, latent 128, 100k steps, 50k samples for the FID; the last
cell of the second line is lost.
"""

from ml_collections import ConfigDict

from configs import base
from configs._tables import adam, choose

# method: loss, gradient penalty?, FID with n_dis 1, FID with n_dis 5
METHODS = {
    "sgan": ("non_saturating", False, 40.64, 41.32),
    "rsgan": ("relativistic", False, 36.61, 55.29),
    "rasgan": ("relativistic_average", False, 31.98, 37.92),
    "lsgan": ("least_squares", False, 29.53, 187.01),
    "ralsgan": ("relativistic_average_least_squares", False, 30.92, 219.39),
    "hinge": ("hinge", False, 49.53, 80.85),
    "rahinge": ("relativistic_average_hinge", False, 39.12, 37.72),
    "wgan_gp": ("wasserstein", True, 83.89, 27.81),
    "rsgan_gp": ("relativistic", True, 25.60, 28.13),
    "rasgan_gp": ("relativistic_average", True, 331.86, None),
}
ROWS = {f"{method}_{n_dis}": (method, n_dis) for n_dis in (1, 5) for method in METHODS}


def get_config(row: str = "") -> ConfigDict:
    """The run of a row of `ROWS`.

    Raises:
        UsageError: no such row.
    """
    method, n_dis = choose("relativistic", row, ROWS)
    loss, penalised, *_ = METHODS[method]
    config = base.get_config()
    config.network.name = "sndcgan_32"
    config.batch_size, config.n_dis = 32, n_dis
    config.loss.name = loss
    if penalised:
        config.penalties = {"wgan_gp": {"weight": 10.0}}
    adam(config, *((2e-4, 0.5, 0.999) if n_dis == 1 else (1e-4, 0.5, 0.9)))
    config.checkpoint_every = config.sample_every = 5000
    config.evaluate_every = 20_000
    return config
