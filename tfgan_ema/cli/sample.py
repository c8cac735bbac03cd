"""usage: tfgan-ema sample (--workdir=DIR | --model=DIR|NAME) --count=64 --seed=0 --out=FILE_OR_DIR

Draws samples of an averaged generator. The ending of --out decides the format: .png is one grid,
.npy an array (uint8 [n, h, w, c]), anything else a folder of numbered PNG files.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfgan_ema import command
from tfgan_ema.cli.export import model_folder
from tfgan_ema.errors import UsageError

if TYPE_CHECKING:
    import numpy as np

FLAGS = command.new_flags(
    ("workdir", str, None, "Work directory of `tfgan-ema train`, of an origin that you trust."),
    (
        "model",
        str,
        None,
        "Folder of `tfgan-ema export`, or a model of `tfgan-ema zoo list`. A SavedModel is a "
        "program: give only one whose origin you trust.",
    ),
    ("count", int, 64, "Number of samples."),
    ("seed", int, 0, "Equal seeds give equal samples."),
    ("out", str, None, "A .png, a .npy or a folder."),
    ("average", str, "0", "Index or name of an average, or `raw` (--workdir)."),
    ("truncation", float, None, "Threshold of a truncated normal latent (--workdir)."),
    ("label", str, None, "Name or number of the class of all samples (conditional models)."),
    ("step", int, None, "Step of the checkpoint; the latest unless given (--workdir)."),
)


def _sample(values: command.Flags, positional: list[str]) -> None:
    folder = model_folder(values, positional)
    if not values.out:
        raise UsageError("--out is missing: a .png (grid), a .npy (array) or a folder.")
    if values.count < 1:
        raise UsageError(f"--count={values.count}: expected at least 1.")
    out = Path(values.out)
    command.check_output("out", out, "file" if out.suffix in (".png", ".npy") else "folder")
    command.start_engine()
    from tfgan_ema import data, runs

    options: dict[str, Any] = {}
    if folder:
        from tfgan_ema import export  # needs TensorFlow

        model = export.load_generator(folder)
        conditional, names = model.conditional, model.class_names
    else:
        model, names = runs.load_run(values.workdir, values.step), runs.class_names(values.workdir)
        conditional = model.num_classes is not None
        average = command.average(values.average)
        options = {"average": average, "truncation": values.truncation}
    if values.label is not None:
        if not conditional:
            raise UsageError(
                f"--label={values.label}: the generator is unconditional, leave it out."
            )
        options["labels"] = [data.label_of(values.label, names)] * values.count
    images = model.sample(values.count, values.seed, **options)
    write(out, images)
    print(f"{len(images)} samples: {out}")


def write(out: Path, images: np.ndarray) -> None:
    """Writes samples as a grid, an array or a folder of images, by the end of ``out``."""
    import numpy as np

    from tfgan_ema import files
    from tfgan_ema.data import png

    if out.suffix == ".npy":
        with files.replacing(out) as temporary, temporary.open("wb") as file:
            # As np.save, whose error on a full disk does not say what it is.
            images = np.ascontiguousarray(images)
            header = np.lib.format.header_data_from_array_1_0(images)
            np.lib.format.write_array_header_1_0(file, header)
            file.write(images.data)
    elif images.ndim == 2:
        png.save_scatter(out if out.suffix == ".png" else out / "samples.png", images)
    elif out.suffix == ".png":
        png.save_grid(out, images)
    else:
        for i, image in enumerate(images):
            png.save_png(out / f"{i:06d}.png", image)


main = command.main(_sample, FLAGS, __doc__)
