"""``tfgan-ema export``: writes a SavedModel of an averaged generator."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from absl import flags

from tfgan_ema import command
from tfgan_ema.errors import UsageError

USAGE = """
usage: tfgan-ema export --workdir=DIR --out=DIR

Writes a SavedModel that loads with TensorFlow alone, with the signatures `serving_default` (latent
-> images in [-1, 1]) and `sample` (count, seed -> uint8 images).
"""

FLAGS = command.new_flags()
flags.DEFINE_string("workdir", None, "Work directory of `tfgan-ema train`.", flag_values=FLAGS)
flags.DEFINE_string("out", None, "The SavedModel's folder.", flag_values=FLAGS)
flags.DEFINE_string("average", "0", "Index or name of an average, or `raw`.", flag_values=FLAGS)
flags.DEFINE_float(
    "truncation", None, "Threshold of a truncated normal latent in `sample`.", flag_values=FLAGS
)
flags.DEFINE_integer(
    "step", None, "Step of the checkpoint; the latest unless given.", flag_values=FLAGS
)
flags.DEFINE_bool("overwrite", False, "Replace an existing SavedModel.", flag_values=FLAGS)


def main(argv: Sequence[str]) -> int:
    """Runs the command; returns its exit code."""
    return command.run(_export, FLAGS, USAGE, argv)


def _export(values: flags.FlagValues, positional: list[str]) -> None:
    for name in ("workdir", "out"):
        if not values[name].value:
            raise UsageError(f"--{name} is missing.")
    command.start_engine()
    from tfgan_ema import export
    from tfgan_ema.runs import load_run

    gan = load_run(values.workdir, values.step)
    folder = export.saved_model(
        gan,
        values.out,
        average=command.average(values.average),
        truncation=values.truncation,
        overwrite=values.overwrite,
    )
    print(f"step {gan.steps_done} of {values.workdir}: {folder}")


if __name__ == "__main__":
    sys.exit(main(["tfgan-ema export", *sys.argv[1:]]))
