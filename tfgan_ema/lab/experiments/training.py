"""Trains the GANs on images that a cell of an experiment measures."""

import math
from typing import Any

from ml_collections import ConfigDict

from tfgan_ema import data


def dcgan(width: float) -> dict[str, Any]:
    """What a cell changes in a configuration to train a DCGAN of 32 pixels."""
    return {"network": {"name": "dcgan_32", "width": width}}


def configuration(options: dict[str, Any], averages: dict[str, Any]) -> ConfigDict:
    """The run of a cell.

    Args:
        options: of the cell: ``changes`` of the default configuration, ``steps``, ``seed``,
            ``leak``, and ``every``, the steps between two measurements.
        averages: of the generator, as a configuration holds them.
    """
    from configs import base

    config = base.get_config()
    for part, change in options["changes"].items():
        if part != "data" and isinstance(change, dict):  # a cell's name is a configuration's kind
            change = {"kind" if key == "name" else key: value for key, value in change.items()}
        config.update({part: change})
    config.steps, config.seed = options["steps"], options["seed"]
    config.averages, config.leak = averages, options["leak"]
    config.steps_per_execution = math.gcd(options["every"], 100)
    return config


def train(gan: Any, source: data.Source, config: ConfigDict, steps: int) -> None:
    """Trains a GAN for some steps more on the batches that come next."""
    rows, place = config.n_dis * config.batch_size, {"seed": config.seed, "start": gan.steps_done}
    batches = data.pipeline(source, rows, flip=config.data.flip, **place)
    gan.fit(batches, steps_per_epoch=steps, verbose=0, shuffle=False)
