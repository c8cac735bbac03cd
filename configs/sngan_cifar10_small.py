"""SNGAN-32 on CIFAR-10 at a quarter of its width: what a CPU can train overnight.

    tfgan-ema train --config=sngan_cifar10_small --workdir=runs/sngan_cifar10_small

The published recipe, narrower and shorter, with one discriminator update a step.
"""

from ml_collections import ConfigDict

from configs import published


def get_config() -> ConfigDict:
    """Hinge, Adam(2e-4, 0, 0.9) falling linearly to 0 over 20k steps."""
    config = published.get_config("sngan_cifar10")
    config.network.width = 0.25
    config.steps = 20_000
    config.n_dis = 1
    config.d_optimizer.decay_steps = config.g_optimizer.decay_steps = config.steps
    config.checkpoint_every = config.sample_every = 1000
    config.evaluate_every = None
    return config
