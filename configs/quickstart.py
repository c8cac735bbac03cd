"""Five minutes on two cores: DCGAN-32 with an average of its generator on Fashion-MNIST.

    tfgan-ema train --config=quickstart --workdir=runs/quickstart

If the download fails, it trains on scikit-learn's digits and prints a notice.
"""

from ml_collections import ConfigDict

from configs import base


def get_config() -> ConfigDict:
    """Small and quick, with images that are easy to recognise."""
    config = base.get_config()
    config.steps = 5000
    config.data.update(name="fashion_mnist", fallback="digits", channels=1)
    config.network = {"kind": "dcgan_32", "width": 0.375}
    config.checkpoint_every = 500
    return config
