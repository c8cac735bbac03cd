"""Cells for the tests of the runner."""

import importlib
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


def interrupted(after, whole, folder, progress, **options):
    """A cell whose function is ``whole`` and that breaks off after a share of its points."""
    module, function = whole.split(":")

    def stop(share):
        if share > after:
            raise RuntimeError("interrupted")

    measure = getattr(importlib.import_module(module), function)
    return measure(**options, folder=folder, progress=stop)
