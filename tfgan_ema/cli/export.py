"""usage: tfgan-ema export (--workdir=DIR | --model=DIR|NAME) --out=DIR [--format=saved_model]

Writes a SavedModel that loads with TensorFlow alone, with the signatures `serving_default` (latent
-> images in [-1, 1]) and `sample` (count, seed -> uint8 images). --model copies an exported model,
or one of those of `tfgan-ema zoo list`.

The other formats are keras, onnx, litert and openvino. Each takes latents, is compared with the
SavedModel on 256 of them, and comes with `usage.py`, which draws samples with it.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tfgan_ema import command, progress
from tfgan_ema.errors import UsageError
from zoo import shipped

if TYPE_CHECKING:
    import keras

FORMATS = ("saved_model", "keras", "onnx", "litert", "openvino")

FLAGS = command.new_flags(
    ("workdir", str, None, "Work directory of `tfgan-ema train`."),
    ("model", str, None, "Folder of `tfgan-ema export`, or a model of `tfgan-ema zoo list`."),
    ("out", str, None, "The folder of the export."),
    ("format", command.one_of(*FORMATS), "saved_model", f"One of {', '.join(FORMATS)}."),
    (
        "quantize",
        bool,
        False,
        "Keep weights in 8 bits: a quarter of the size, slightly worse images (--format=litert).",
    ),
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
    ("overwrite", bool, False, "Replace an existing export."),
)


def _export(values: command.Flags, positional: list[str]) -> None:
    model = model_folder(values, positional)
    if not values.out:
        raise UsageError("--out is missing: name the folder of the export.")
    command.check_output("out", values.out, "folder")
    if values.quantize and values.format != "litert":
        raise UsageError("--quantize belongs to --format=litert.")
    if values.format == "keras" and model and values.model not in shipped.names():
        raise UsageError(
            f"--model={values.model}: a SavedModel has no layers to write as --format=keras; give "
            "--workdir, or the name of a shipped model."
        )
    command.start_engine()
    from tfgan_ema import export

    export.check_target(Path(values.out), values.overwrite)
    if values.format != "saved_model":
        _convert(values, model)
    elif model:
        copied = export.copy(model, values.out, overwrite=values.overwrite)
        progress.note(f"{values.model}: {copied}")
    else:
        _, made = _save(values, values.out)
        progress.note(f"{made}: {values.out}")


def _convert(values: command.Flags, model: Path | None) -> None:
    from tfgan_ema import formats

    formats.check(values.format, values.quantize)
    generator, made = None, values.model
    with tempfile.TemporaryDirectory() as scratch:
        if not model:
            generator, made = _save(values, model := Path(scratch, "model"))
        elif values.format == "keras":
            generator = shipped.load(values.model, keras=True)
        with progress.line(f"converting to {values.format}"), progress.silence(UsageError):
            written = formats.write(
                values.format,
                model,
                values.out,
                generator=generator,
                quantize=values.quantize,
                overwrite=values.overwrite,
            )
    progress.note(
        f"{made}: {values.out}, {values.format}, {written.size / 1e6:.2f} MB; "
        f"{formats.COMPARED} samples differ from the SavedModel's by at most "
        f"{written.largest:.2g} grey levels ({written.mean:.2g} on average)"
    )


def _save(values: command.Flags, folder: str | Path) -> tuple[keras.Model, str]:
    """Writes the SavedModel of a run; gives its generator, and what it is."""
    from tfgan_ema import export, runs

    gan = runs.load_run(values.workdir, values.step)
    average = command.average(values.average)
    export.saved_model(
        gan,
        folder,
        average=average,
        truncation=values.truncation,
        class_names=runs.class_names(values.workdir),
        overwrite=values.overwrite,
    )
    return gan.ready_generator(average), f"step {gan.steps_done} of {values.workdir}"


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
