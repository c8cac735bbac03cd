"""EMA beside uniform averaging (arXiv 1806.04498, table 2, figure 5 and the CelebA figures).

    tfgan-ema train --config=averaging:cifar10_conventional --workdir=runs/conventional

Every run keeps both averages, so one training gives a whole row of the table: FID without average /
EMA / MA behind the rows; the run on CelebA keeps every decay of its figures. Latents lie on the
sphere, batch statistics are averaged with the weights, the generator moves before the
discriminator, as in the authors' code; without a Wasserstein loss the conventional discriminator is
spectrally normalised. All images but CelebA's are 32 px, STL-10's too.

Rows ``cifar10_dcgan...`` are figure 5, with the settings of tables 5 to 7 and a gradient penalty of
10; as in the grid of Gaussians (`tfgan-ema reproduce grid`), consensus has none. Its steps are
those of the figure's axis.
"""

from typing import Any

from ml_collections import ConfigDict

from configs import base
from configs.published import CELEBA, IMAGENET_32, STL10
from configs.tables import change, choose, optimizers

WGAN_GP = {"loss.kind": "wasserstein", "penalties.wgan_gp.weight": 10.0}
CONVENTIONAL_GP = {"network.spectral_norm": False, **WGAN_GP}
DCGAN = {
    "network.kind": "dcgan_32",
    "steps": 180_000,
    "averages.ema.decay": 0.999,
    "averages.ma.start_step": 20_000,
}
DCGAN_GP = {**DCGAN, "penalties.wgan_gp.weight": 10.0}
ADAM = {"learning_rate": 2e-4, "beta_1": 0.0, "beta_2": 0.9, "epsilon": 1e-8}
ROWS: dict[str, dict[str, Any]] = {
    "cifar10_conventional": {"steps": 500_000},  # 16.84 / 12.56 / 16.59
    "cifar10_conventional_5": {"n_dis": 5, "steps": 80_000},  # figure 19; not in the table
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
    # The text copy lists these two triples of FIDs after CIFAR-10's, in the order of the rows.
    "stl10_conventional": STL10,  # most likely 22.33 / 19.64 / 26.11
    "imagenet_conventional": {
        "steps": 500_000, "data.name": IMAGENET_32,
    },  # most likely 24.59 / 21.83 / 26.77
    "cifar10_dcgan": DCGAN_GP,
    "cifar10_dcgan_optimistic": {**DCGAN_GP, **optimizers("optimistic_adam", **ADAM)},
    "cifar10_dcgan_consensus": {
        **DCGAN,
        **optimizers("rmsprop", learning_rate=2e-4, rho=0.9, epsilon=1e-10),
        "update_order": "simultaneous",
        "penalties.consensus.weight": 10.0,
    },
    # Figures 6, 7 and 10 to 14: at step 250k the MA is of the last 200k.
    "celeba_conventional": {
        "network.kind": "conventional_64",
        "steps": 500_000,
        "data.name": CELEBA,
        "averages.ma.start_step": 50_000,
        "averages.ema_9": {"kind": "ema", "decay": 0.9, "statistics": "average"},
        "averages.ema_99": {"kind": "ema", "decay": 0.99, "statistics": "average"},
        "averages.ema_999": {"kind": "ema", "decay": 0.999, "statistics": "average"},
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
    return change(config, {**optimizers("adam", **ADAM), **changes})
