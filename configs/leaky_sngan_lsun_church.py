"""The thesis's main run: SNGAN-128 on LSUN church, LeakyEMA .5 from step 100k; FID 7.93 to 4.15."""

from ml_collections import ConfigDict

from configs import leaky


def get_config() -> ConfigDict:
    """Hinge, n_dis 5, Adam(2e-4, .5, .9), batch 64, 250k steps, EMA .999."""
    return leaky.get_config("sngan_church")
