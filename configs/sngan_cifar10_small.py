"""SNGAN-32 on CIFAR-10 at a quarter of the width: what a CPU can train overnight."""

from ml_collections import ConfigDict

from configs import sngan_cifar10


def get_config() -> ConfigDict:
    """The recipe of `sngan_cifar10`, narrower and shorter, one discriminator update a step."""
    config = sngan_cifar10.get_config()
    config.network.width = 0.25
    config.steps = 20_000
    config.n_dis = 1
    config.d_optimizer.decay_steps = config.g_optimizer.decay_steps = config.steps
    config.averages.ema.decay = 0.999
    config.checkpoint_every = config.sample_every = 1000
    config.evaluate_every = 0
    return config
