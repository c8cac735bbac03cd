"""EMA beside uniform averaging (arXiv 1806.04498, table 2); ``--config=configs/averaging.py:ROW``.

Every run keeps both averages, so one training gives a whole row of the table: FID without average /
EMA / MA behind the rows. Latents lie on the sphere, batch statistics are averaged with the weights,
the generator moves before the discriminator, as in the authors' code; without a Wasserstein loss
the discriminator is spectrally normalised.
"""

from ml_collections import ConfigDict

from configs import base
from configs._tables import adam, change, choose
from configs.published import CELEBA, IMAGENET_32, STL10

CIFAR10 = {"data.name": "cifar10"}
# row: network, steps, n_dis, Wasserstein?, data
ROWS = {
    "cifar10_conventional": ("conventional_32", 500_000, 1, False, CIFAR10),  # 16.84/12.56/16.59
    "cifar10_conventional_wgan_gp_1": (
        "conventional_32", 250_000, 1, True, CIFAR10
    ),  # 25.51 / 19.18 / 22.71
    "cifar10_conventional_wgan_gp_5": (
        "conventional_32", 250_000, 5, True, CIFAR10
    ),  # 25.32 / 19.72 / 20.02
    "cifar10_resnet_5": (
        "averaging_resnet_sn_32", 120_000, 5, False, CIFAR10
    ),  # 20.64 / 17.58 / 18.30
    "cifar10_resnet_wgan_gp_1": (
        "averaging_resnet_32", 250_000, 1, True, CIFAR10
    ),  # 21.49 / 15.85 / 16.27
    "cifar10_resnet_wgan_gp_5": (
        "averaging_resnet_32", 250_000, 5, True, CIFAR10
    ),  # 23.20 / 19.41 / 19.33
    # The text copy of the table has lost which of these FIDs belongs to which row.
    "stl10_conventional": (
        "conventional_32", 250_000, 1, False, {**STL10, "data.image_size": 48}
    ),
    "imagenet_conventional": ("conventional_32", 500_000, 1, False, {"data.name": IMAGENET_32}),
    "celeba_conventional": ("conventional_64", 500_000, 1, False, {"data.name": CELEBA}),
}  # fmt: skip


def get_config(row: str = "") -> ConfigDict:
    """The run of a row of `ROWS`: table 9's settings.

    Raises:
        UsageError: no such row.
    """
    network, steps, n_dis, wasserstein, changes = choose("averaging", row, ROWS)
    config = base.get_config()
    config.network.name = network
    config.steps, config.n_dis, config.batch_size = steps, n_dis, 64
    config.latent = "hypersphere"
    config.update_order = "g_first"
    adam(config, 2e-4, 0.0, 0.9, epsilon=1e-8)
    if wasserstein:
        config.loss.name = "wasserstein"
        config.penalties = {"wgan_gp": {"weight": 10.0}}
        if network.startswith("conventional"):
            config.network["spectral_norm"] = False
    config.averages = {
        "ema": {"rule": "ema", "decay": 0.9999, "statistics": "average"},
        "ma": {"rule": "uniform", "start_step": 100_000, "statistics": "average"},
    }
    config.checkpoint_every = config.sample_every = 5000
    config.evaluate_every = 20_000
    return change(config, changes)
