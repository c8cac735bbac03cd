"""usage: tfgan-ema export (--workdir=DIR | --model=DIR|NAME) --out=DIR

Writes a SavedModel that loads with TensorFlow alone, with the signatures `serving_default` (latent
-> images in [-1, 1]) and `sample` (count, seed -> uint8 images). --model copies an exported model,
or one of those of `tfgan-ema zoo list`.
"""

from __future__ import annotations

from pathlib import Path

from tfgan_ema import command
from tfgan_ema.errors import UsageError
from zoo import shipped

FLAGS = command.new_flags(
    ("workdir", str, None, "Work directory of `tfgan-ema train`."),
    ("model", str, None, "Folder of `tfgan-ema export`, or a model of `tfgan-ema zoo list`."),
    ("out", str, None, "The SavedModel's folder."),
    ("average", str, "0", "Index or name of an average, or `raw` (--workdir)."),
    (
        "truncation",
        command.number("(0, inf)"),
        None,
        "Threshold of a truncated normal latent (--workdir).",
    ),
    (
        "step",
        command.whole(0),
        None,
        "Step of the checkpoint; the latest unless given (--workdir).",
    ),
    ("overwrite", bool, False, "Replace an existing SavedModel."),
)


def _export(values: command.Flags, positional: list[str]) -> None:
    model = model_folder(values, positional)
    if not values.out:
        raise UsageError("--out is missing: name the folder of the SavedModel.")
    command.check_output("out", values.out, "folder")
    command.start_engine()
    from tfgan_ema import export, runs

    export.check_target(Path(values.out), values.overwrite)
    if model:
        print(f"{values.model}: {export.copy(model, values.out, overwrite=values.overwrite)}")
        return
    gan = runs.load_run(values.workdir, values.step)
    folder = export.saved_model(
        gan,
        values.out,
        average=command.average(values.average),
        truncation=values.truncation,
        class_names=runs.class_names(values.workdir),
        overwrite=values.overwrite,
    )
    print(f"step {gan.steps_done} of {values.workdir}: {folder}")


def model_folder(values: command.Flags, positional: list[str]) -> Path | None:
    """The folder of the exported model that ``--model`` names; ``None``: there is a ``--workdir``.

    Raises:
        UsageError: not one of the two, an unknown model, or what does not fit a model.
    """
    command.no_words(positional)
    if (values.workdir is None) == (values.model is None):
        raise UsageError(
            "give either --workdir=DIR (a run) or --model=DIR (an exported model, or the name of a "
            "shipped one)."
        )
    if values.model is None:
        from tfgan_ema import runs

        runs.read_run(values.workdir)  # a wrong folder is refused at once
        return None
    belong = "belongs to --workdir: an exported model is fixed"
    command.given(values, ("average", "truncation", "step"), belong)
    return shipped.locate(values.model)


main = command.main(_export, FLAGS, __doc__)
