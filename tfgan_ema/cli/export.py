"""usage: tfgan-ema export --workdir=DIR --out=DIR

Writes a SavedModel that loads with TensorFlow alone, with the signatures `serving_default` (latent
-> images in [-1, 1]) and `sample` (count, seed -> uint8 images).
"""

from tfgan_ema import command
from tfgan_ema.errors import UsageError

FLAGS = command.new_flags(
    ("workdir", str, None, "Work directory of `tfgan-ema train`."),
    ("out", str, None, "The SavedModel's folder."),
    ("average", str, "0", "Index or name of an average, or `raw`."),
    ("truncation", float, None, "Threshold of a truncated normal latent in `sample`."),
    ("step", int, None, "Step of the checkpoint; the latest unless given."),
    ("overwrite", bool, False, "Replace an existing SavedModel."),
)


def _export(values: command.Flags, positional: list[str]) -> None:
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


main = command.main(_export, FLAGS, __doc__)
