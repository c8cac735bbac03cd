"""(alpha_D, alpha_G)-GANs on images (arXiv 2302.14320).

    tfgan-ema train --config=alpha:celeba_0.6_5e-4 --workdir=runs/alpha

Rows ``celeba_D_LR`` and ``lsun_D_LR``: alpha_D and the learning rate of both players, alpha_G = 1,
non-saturating; ``_lsgan_`` is the least-squares baseline with 0-1 coding. The paper's numbers come
from Inception's logits and are on another scale than FIDs here. Its length is 100 epochs, of 80 %
of the images: 162,080 of Celeb-A (batch 128), about 134,000 of LSUN classroom (batch 64).
"""

from ml_collections import ConfigDict

from configs import base
from configs.published import CELEBA, CLASSROOM
from configs.tables import change, choose, optimizers

LOSSES = {"lsgan": {"kind": "least_squares"}} | {
    alpha: {"kind": "alpha", "alpha_d": float(alpha), "alpha_g": 1.0}
    for alpha in ("1", "0.9", "0.8", "0.7", "0.6", "0.5")
}
DATA = {
    "celeba": {
        "network.kind": "dcgan_alpha_64",
        "data.name": CELEBA,
        "batch_size": 128,
        "steps": 126_600,
    },
    "lsun": {
        "network.kind": "dcgan_alpha_112",
        "data.name": CLASSROOM,
        "batch_size": 64,
        "steps": 210_000,
    },
}
ROWS = {
    f"{data}_{loss}_{rate}": {
        **DATA[data],
        "loss": LOSSES[loss],
        **optimizers("adam", learning_rate=float(rate), beta_1=0.9, beta_2=0.99),
    }
    for data in DATA
    for loss in LOSSES
    for rate in ("1e-4", "2e-4", "5e-4", "1e-3")
}


def get_config(row: str = "") -> ConfigDict:
    """The run of a row of `ROWS`.

    Raises:
        UsageError: no such row.
    """
    config = base.papers_config()
    config.checkpoint_every = config.sample_every = 5000
    return change(config, choose("alpha", row, ROWS))
