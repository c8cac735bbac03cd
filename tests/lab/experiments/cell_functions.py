"""Cells for the tests of the runner."""

import os
from pathlib import Path


def square(value, log, folder, progress):
    """Notes that it ran, and fails as long as a file says so."""
    progress(0.5)
    with Path(log).open("a") as file:
        file.write(f"{value}\n")
    if (Path(log).parent / f"broken-{value}").exists():
        raise RuntimeError(f"cell {value} is broken")
    (folder / f"shared-{value}.npz").touch()
    return [{"square": value * value, "third": value / 3}]


def prepared(log, budget):
    """Notes the process that ran it."""
    with Path(log).open("a") as file:
        file.write(f"{os.getpid()}\n")


def interrupted(after, folder, progress, **options):
    """A cell of `images` that breaks off after a share of its points."""
    from tfgan_ema.lab.experiments import images

    def stop(share):
        if share > after:
            raise RuntimeError("interrupted")

    return images.measure(**options, folder=folder, progress=stop)
