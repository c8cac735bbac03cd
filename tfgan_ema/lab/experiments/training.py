"""Trains the GANs on images that a cell of an experiment measures."""

import math
from collections.abc import Callable, Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ml_collections import ConfigDict

from tfgan_ema import data, runs
from tfgan_ema.lab.experiments import points
from tfgan_ema.lab.experiments.cells import Progress
from tfgan_ema.lab.experiments.experiment import Row


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


def run_arm(
    config: ConfigDict,
    folder: Path,
    progress: Progress,
    options: dict[str, Any],
    measured: Callable[[Any, data.Source], Iterable[Row]],
) -> list[Row]:
    """Trains an arm of a seed and measures it every ``every`` steps; returns the rows.

    The state and the rows so far are kept at each measurement, so that an interrupted cell resumes.
    An arm without a leak writes its state at the step ``start``; one with a leak continues from
    that of its ``origin``, if the file exists, and is measured from the step behind the start.

    Args:
        config: of the run.
        folder: of the cells.
        progress: takes the share done.
        options: of the cell: ``name``, ``origin``, ``leak``, ``start``, ``steps`` and ``every``.
        measured: the rows of a GAN at its step, which also takes what it is trained on.
    """
    o = SimpleNamespace(**options)
    source = runs.load_source(config)
    gan = runs.build_gan(config, source.shape, None)
    kept, fork = folder / f"{o.name}.npz", folder / f"{o.origin}-from-{o.start}.npz"
    rows: list[Row] = []
    if kept.exists():
        rows = points.restore(gan, kept)["rows"]
    elif o.leak and fork.exists():
        points.restore(gan, fork)
    while gan.steps_done < o.steps:
        train(gan, source, config, o.every)
        if not o.leak or gan.steps_done > o.start:
            rows += measured(gan, source)
        if not o.leak and gan.steps_done == o.start:
            points.save(gan, fork)
        points.save(gan, kept, rows=rows)
        progress(gan.steps_done / o.steps)
    return rows
