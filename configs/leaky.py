"""LeakyEMA: the runs of the thesis (Chervontsev 2021); ``--config=configs/leaky.py:ROW``.

``--config.leak.beta=0`` is the run without leak beside each row. LSUN comes through TFDS, FFHQ
from a folder: ``--config.data.name=folder:PATH``. FIDs behind rows are the thesis's, of the
averaged generator, without and with leak.

What the thesis leaves open, and stands here: Adam's beta_2, .9 as is customary with this network;
the step at which the leak starts, which it puts at the lowest FID of the run without leak, at
most 140k, and at 100k for the church: the other SNGAN and WGAN-GP runs start at 100k here, the
larger networks halfway.
"""

from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from configs import published
from configs._tables import adam, change, choose

CHURCH = "sngan_lsun_church"
# row: row of `published`, changes
ROWS: dict[str, tuple[str, Mapping[str, Any]]] = {
    # Table 3: beta and start on LSUN church; 7.94 without leak, 4.15 with .5 from 100k
    **{
        f"church_beta_{beta}_start_{start}k": (
            CHURCH, {"leak.beta": beta / 100, "leak.start_step": 1000 * start}
        )
        for start in (80, 100, 120, 140)
        for beta in (0, 25, 50, 75)
    },
    # Table 4: what is leaked
    "church_baseline": (CHURCH, {"leak.beta": 0.0}),  # 7.93
    "church_sync": (CHURCH, {}),  # 4.15
    "church_async_noise": (CHURCH, {"leak.mode": "async_noise"}),  # 4.16
    # 5.85; needs a finished generator: --config.leak.model=EXPORTED_FOLDER
    "church_async_model": (CHURCH, {"leak.mode": "async_model"}),
    "church_same_random": (CHURCH, {"leak.mode": "same_random"}),  # 8.32
    "church_same_top_k": (CHURCH, {"leak.mode": "same_top_k"}),  # 7.91
    # Table 5: beside other regularisers
    "wgan_gp_church": (
        "wgan_gp_lsun_bedroom", {"data.name": published.CHURCH}
    ),  # 9.51, 8.62
    "wgan_gp_bedroom": ("wgan_gp_lsun_bedroom", {}),  # 12.66, 11.61
    "wgan_gp_ffhq": ("wgan_gp_lsun_bedroom", {"data.name": published.FFHQ}),  # did not converge
    # Tables 5 and 6
    "sngan_church": (CHURCH, {}),  # 7.93, 4.15
    "sngan_bedroom": (CHURCH, {"data.name": published.BEDROOM}),  # 13.48, 4.67
    "sngan_ffhq": (CHURCH, {"data.name": published.FFHQ}),  # 14.80, 11.87
    "biggan_imagenet": ("biggan_imagenet_128", {}),  # 10.14, 8.85
    "stylegan2_cifar10": ("stylegan2_cifar10", {}),  # 6.32, 5.91
    "stylegan2_church": ("stylegan2_lsun_church", {}),  # 3.10, 3.48
    "stylegan2_bedroom": ("stylegan2_lsun_bedroom", {}),  # 7.76, 4.05
}  # fmt: skip


def get_config(row: str = "") -> ConfigDict:
    """The run of a row of `ROWS`.

    Raises:
        UsageError: no such row.
    """
    recipe, changes = choose("leaky", row, ROWS)
    config = published.get_config(recipe)
    if recipe.startswith(("sngan", "wgan_gp")):
        # Section 4.1: Adam 2e-4, constant, beta_1 .5; n_dis 5; 250k steps; EMA .999
        adam(config, 2e-4, 0.5, 0.9)
        config.n_dis = 5
        config.steps = 250_000
        config.averages = {"ema": {"rule": "ema", "decay": 0.999}}
        config.leak.start_step = 100_000
    else:
        config.leak.start_step = config.steps // 2
    config.leak.beta = 0.5
    return change(config, changes)
