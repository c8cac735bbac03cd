"""``tfgan-ema reproduce EXPERIMENT --out=DIR``: redoes an experiment of the papers."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

from absl import flags

from tfgan_ema.cli.command import new_flags, run
from tfgan_ema.errors import UsageError, unknown

# name -> module:function; the function takes the output folder and returns what to look at
EXPERIMENTS = {"dynamics": "tfgan_ema.dynamics.report:reproduce"}

FLAGS = new_flags()
flags.DEFINE_string("out", None, "The folder to write into.", flag_values=FLAGS)

USAGE = f"""usage: tfgan-ema reproduce EXPERIMENT --out=DIR

Redoes an experiment of the papers and writes one HTML page with its figures and tables.
Experiments: {", ".join(EXPERIMENTS)}."""


def output_folder(out: str | None) -> Path:
    """The folder named by ``--out``; it need not exist."""
    if not out:
        raise UsageError("no --out: name the folder to write into, e.g. --out=results.")
    if Path(out).exists() and not Path(out).is_dir():
        raise UsageError(f"--out={out} is a file: expected a folder, there or not yet.")
    return Path(out)


def reproduce(values: flags.FlagValues, words: list[str]) -> None:
    """Finds the experiment and runs it."""
    if len(words) != 1:
        raise UsageError(f"got {words or 'nothing'}: expected one of {', '.join(EXPERIMENTS)}.")
    if words[0] not in EXPERIMENTS:
        raise unknown("experiment", words[0], EXPERIMENTS)
    out = output_folder(values.out)
    module, function = EXPERIMENTS[words[0]].split(":")
    print(getattr(importlib.import_module(module), function)(out))


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    return run(reproduce, FLAGS, USAGE, argv or sys.argv)


if __name__ == "__main__":
    sys.exit(main())
