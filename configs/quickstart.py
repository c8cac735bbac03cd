"""Five minutes on two cores: DCGAN-32 with EMA and LeakyEMA on Fashion-MNIST.

Where Fashion-MNIST cannot be fetched, scikit-learn's bundled digits take its place.
"""

from ml_collections import ConfigDict

from configs import base


def get_config() -> ConfigDict:
    """Small, quick, and already recognisable."""
    config = base.get_config()
    config.steps = 5000
    config.data.update(name="fashion_mnist", fallback="digits", channels=1)
    config.network.update(name="dcgan_32", width=0.375)
    config.averages = {"ema": {"rule": "ema", "decay": 0.998}}
    config.leak.update(beta=0.25, start_step=2500)
    config.sample_every = 1000
    config.checkpoint_every = 500
    config.log_every = 100
    return config
