"""SNGAN-32 on CIFAR-10, the published recipe (Miyato et al. 2018) with an EMA of the generator."""

from ml_collections import ConfigDict

from configs import base


def get_config() -> ConfigDict:
    """Hinge, n_dis 5, Adam(2e-4, 0, 0.9) falling linearly to 0 over 100k generator steps."""
    config = base.get_config()
    config.n_dis = 5
    config.network.name = "sngan_32"
    config.loss.name = "hinge"
    for optimizer in (config.d_optimizer, config.g_optimizer):
        optimizer.update(beta_1=0.0, beta_2=0.9, decay_steps=config.steps)
    config.averages = {"ema": {"rule": "ema", "decay": 0.9999}}
    config.checkpoint_every = config.sample_every = 5000
    config.evaluate_every = 10_000
    return config
