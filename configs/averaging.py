"""EMA beside uniform averaging (arXiv 1806.04498, table 2).

    tfgan-ema train --config=averaging:cifar10_conventional --workdir=runs/conventional

Every run keeps both averages, so one training gives a whole row of the table: FID without average /
EMA / MA behind the rows. Latents lie on the sphere, batch statistics are averaged with the weights,
the generator moves before the discriminator, as in the authors' code; without a Wasserstein loss
the discriminator is spectrally normalised.
"""

from typing import Any

from ml_collections import ConfigDict

from configs import base
from configs.published import CELEBA, IMAGENET_32, STL10
from configs.tables import change, choose, optimizers

WGAN_GP = {"loss.kind": "wasserstein", "penalties.wgan_gp.weight": 10.0}
CONVENTIONAL_GP = {"network.spectral_norm": False, **WGAN_GP}
ROWS: dict[str, dict[str, Any]] = {
    "cifar10_conventional": {"steps": 500_000},  # 16.84 / 12.56 / 16.59
    "cifar10_conventional_wgan_gp_1": CONVENTIONAL_GP,  # 25.51 / 19.18 / 22.71
    "cifar10_conventional_wgan_gp_5": {**CONVENTIONAL_GP, "n_dis": 5},  # 25.32 / 19.72 / 20.02
    "cifar10_resnet_5": {
        "network.kind": "averaging_resnet_sn_32", "steps": 120_000, "n_dis": 5,
    },  # 20.64 / 17.58 / 18.30
    "cifar10_resnet_wgan_gp_1": {
        "network.kind": "averaging_resnet_32", **WGAN_GP,
    },  # 21.49 / 15.85 / 16.27
    "cifar10_resnet_wgan_gp_5": {
        "network.kind": "averaging_resnet_32", **WGAN_GP, "n_dis": 5,
    },  # 23.20 / 19.41 / 19.33
    # The text copy of the table has lost which of these FIDs belongs to which row.
    "stl10_conventional": {**STL10, "data.image_size": 48},
    "imagenet_conventional": {"steps": 500_000, "data.name": IMAGENET_32},
    "celeba_conventional": {
        "network.kind": "conventional_64", "steps": 500_000, "data.name": CELEBA,
    },
}  # fmt: skip


def get_config(row: str = "") -> ConfigDict:
    """The run of a row of `ROWS`: table 9's settings.

    Raises:
        UsageError: no such row.
    """
    changes = choose("averaging", row, ROWS)
    config = base.papers_config()
    config.network.kind = "conventional_32"
    config.steps = 250_000
    config.latent.kind = "hypersphere"
    config.update_order = "g_first"
    config.averages = {
        "ema": {"decay": 0.9999, "statistics": "average"},
        "ma": {"kind": "uniform", "start_step": 100_000, "statistics": "average"},
    }
    config.checkpoint_every = config.sample_every = 5000
    config.evaluate_every = 20_000
    adam = optimizers("adam", learning_rate=2e-4, beta_1=0.0, beta_2=0.9, epsilon=1e-8)
    return change(config, {**adam, **changes})
