"""DCGAN-32 on Fashion-MNIST with two averages; LeakyEMA halfway."""

from ml_collections import ConfigDict

from configs import base


def get_config() -> ConfigDict:
    """About an hour on two cores."""
    config = base.get_config()
    config.steps = 20_000
    config.data.update(name="fashion_mnist", channels=1)
    config.network.update(name="dcgan_32", width=0.25)
    config.averages = {
        "ema_999": {"rule": "ema", "decay": 0.999},
        "ema_9999": {"rule": "ema", "decay": 0.9999},
    }
    config.leak.update(beta=0.5, start_step=10_000)
    return config
