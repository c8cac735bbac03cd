"""LeakyEMA: the runs of the thesis (Chervontsev 2021).

    tfgan-ema train --config=leaky:sngan_church --workdir=runs/sngan_church

``--config.leak=None`` is the run without leak beside each row. LSUN comes through TFDS, FFHQ from a
folder: ``--config.data.name=folder:PATH``. FIDs behind rows are the thesis's, of the averaged
generator, without and with leak.

What the thesis leaves open, and is chosen here: Adam's beta_2, 0.9 as is customary with this
network; the step at which the leak starts, which it puts at the lowest FID of the run without leak,
at most 140k, and at 100k for the church: the other SNGAN and WGAN-GP runs start at 100k here, the
larger networks halfway.
"""

from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from configs import published
from configs.tables import change, choose, optimizers

# Section 4.1: Adam 2e-4, constant, beta_1 0.5; n_dis 5; 250k steps; EMA 0.999
THESIS = {
    **optimizers("adam", learning_rate=2e-4, beta_1=0.5, beta_2=0.9),
    "n_dis": 5,
    "steps": 250_000,
    "averages.ema.decay": 0.999,
    "leak": {"beta": 0.5, "start_step": 100_000},
}
CHURCH = "sngan_lsun_church"
WGAN_GP = "wgan_gp_lsun_bedroom"


def halfway(step: int) -> dict[str, Any]:
    """A leak into the published recipe, from half of its steps on."""
    return {"leak": {"beta": 0.5, "start_step": step}}


# row: row of `published`, changes
ROWS: dict[str, tuple[str, Mapping[str, Any]]] = {
    # Tables 5 and 6
    "sngan_church": (CHURCH, THESIS),  # 7.93, 4.15
    "sngan_bedroom": (CHURCH, {**THESIS, "data.name": published.BEDROOM}),  # 13.48, 4.67
    "sngan_ffhq": (CHURCH, {**THESIS, "data.name": published.FFHQ}),  # 14.80, 11.87
    "biggan_imagenet": ("biggan_imagenet_128", halfway(75_000)),  # 10.14, 8.85
    "stylegan2_cifar10": ("stylegan2_cifar10", halfway(781_250)),  # 6.32, 5.91
    "stylegan2_church": ("stylegan2_lsun_church", halfway(195_312)),  # 3.10, 3.48
    "stylegan2_bedroom": ("stylegan2_lsun_bedroom", halfway(195_312)),  # 7.76, 4.05
    # Table 5: beside other regularisers
    "wgan_gp_church": (WGAN_GP, {**THESIS, "data.name": published.CHURCH}),  # 9.51, 8.62
    "wgan_gp_bedroom": (WGAN_GP, THESIS),  # 12.66, 11.61
    "wgan_gp_ffhq": (WGAN_GP, {**THESIS, "data.name": published.FFHQ}),  # did not converge
    # Table 4: what is leaked, beside `sngan_church`
    "church_async_noise": (CHURCH, {**THESIS, "leak.mode": "async_noise"}),  # 4.16
    # 5.85; needs a finished generator: --config.leak.model=EXPORTED_FOLDER
    "church_async_model": (CHURCH, {**THESIS, "leak.mode": "async_model"}),
    "church_same_random": (CHURCH, {**THESIS, "leak.mode": "same_random"}),  # 8.32
    "church_same_top_k": (CHURCH, {**THESIS, "leak.mode": "same_top_k"}),  # 7.91
    # Table 3: beta and start beside `sngan_church`, which is 0.5 from 100k
    **{
        f"church_beta_{beta}_start_{start}k": (
            CHURCH, {**THESIS, "leak.beta": beta / 100, "leak.start_step": 1000 * start}
        )
        for start in (80, 100, 120, 140)
        for beta in (25, 50, 75)
        if (beta, start) != (50, 100)
    },
}  # fmt: skip


def get_config(row: str = "") -> ConfigDict:
    """The run of a row of `ROWS`.

    Raises:
        UsageError: no such row.
    """
    recipe, changes = choose("leaky", row, ROWS)
    return change(published.get_config(recipe), changes)
