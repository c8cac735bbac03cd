"""(alpha_D, alpha_G)-GANs on images (arXiv 2302.14320); ``--config=configs/alpha.py:ROW``.

Rows ``celeba_D_LR`` and ``lsun_D_LR``: alpha_D and the learning rate of both players, alpha_G = 1,
non-saturating; ``_lsgan_`` is the least-squares baseline with 0-1 coding. The paper's numbers come
from Inception's logits and are on another scale than FIDs here. Its length is 100 epochs, of 80 %
of the images: 162,080 of Celeb-A (batch 128), about 134,000 of LSUN classroom (batch 64).
"""

from ml_collections import ConfigDict

from configs import base
from configs._tables import adam, choose
from configs.published import CELEBA, CLASSROOM

ALPHAS = {"1": 1.0, "0.9": 0.9, "0.8": 0.8, "0.7": 0.7, "0.6": 0.6, "0.5": 0.5, "lsgan": None}
RATES = {"1e-4": 1e-4, "2e-4": 2e-4, "5e-4": 5e-4, "1e-3": 1e-3}
# data: network, data, batch, steps
DATA = {
    "celeba": ("dcgan_alpha_64", CELEBA, 128, 126_600),
    "lsun": ("dcgan_alpha_112", CLASSROOM, 64, 210_000),
}
ROWS = {
    f"{data}_{alpha}_{rate}": (data, alpha, rate)
    for data in DATA
    for alpha in ALPHAS
    for rate in RATES
}


def get_config(row: str = "") -> ConfigDict:
    """The run of a row of `ROWS`.

    Raises:
        UsageError: no such row.
    """
    data, alpha, rate = choose("alpha", row, ROWS)
    config = base.get_config()
    config.network.name, config.data.name, config.batch_size, config.steps = DATA[data]
    adam(config, RATES[rate], 0.9, 0.99)
    if alpha == "lsgan":
        config.loss.name = "least_squares"
    else:
        config.loss = {"name": "alpha", "alpha_d": ALPHAS[alpha], "alpha_g": 1.0}
    config.checkpoint_every = config.sample_every = 5000
    return config
