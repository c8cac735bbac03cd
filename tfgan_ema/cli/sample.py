"""usage: tfgan-ema sample (--workdir=DIR | --model=DIR|NAME) --count=64 --seed=0 --out=FILE_OR_DIR

Draws samples of an averaged generator. The ending of --out decides the format: .png is one grid,
.npy an array (uint8 [n, h, w, c]), anything else a folder of numbered PNG files.
"""

from pathlib import Path

from tfgan_ema import command
from tfgan_ema.errors import UsageError
from zoo import shipped

FLAGS = command.new_flags(
    ("workdir", str, None, "Work directory of `tfgan-ema train`."),
    ("model", str, None, "Folder of `tfgan-ema export`, or a model of `tfgan-ema zoo`."),
    ("count", int, 64, "Number of samples."),
    ("seed", int, 0, "Equal seeds give equal samples."),
    ("out", str, None, "A .png, a .npy or a folder."),
    ("average", str, "0", "Index or name of an average, or `raw` (--workdir)."),
    ("truncation", float, None, "Threshold of a truncated normal latent (--workdir)."),
    ("label", int, None, "The class of all samples (conditional models)."),
    ("step", int, None, "Step of the checkpoint; the latest unless given (--workdir)."),
)


def _sample(values: command.Flags, positional: list[str]) -> None:
    if (values.workdir is None) == (values.model is None):
        raise UsageError(
            "give either --workdir=DIR (a run) or --model=DIR (an exported model, or the name of a "
            "shipped one)."
        )
    if not values.out:
        raise UsageError("--out is missing: a .png (grid), a .npy (array) or a folder.")
    if values.count < 1:
        raise UsageError(f"--count={values.count}: expected at least 1.")
    out = Path(values.out)
    if out.suffix not in (".png", ".npy") and out.exists() and not out.is_dir():
        raise UsageError(f"--out={out} is a file: expected a .png, a .npy or a folder.")
    folder = shipped.locate(values.model) if values.model else None
    command.start_engine()
    images = _from_model(values, folder) if folder else _from_run(values)
    write(out, images)
    print(f"{len(images)} samples: {out}")


def _from_model(values: command.Flags, folder: Path):
    from tfgan_ema import export

    for name in ("truncation", "step"):
        if values[name].value is not None:
            raise UsageError(f"--{name} belongs to --workdir: an exported model is fixed.")
    return export.load_generator(folder).sample(values.count, values.seed, values.label)


def _from_run(values: command.Flags):
    from tfgan_ema.runs import load_run

    gan = load_run(values.workdir, values.step)
    return gan.sample(
        values.count,
        values.seed,
        average=command.average(values.average),
        truncation=values.truncation,
        labels=None if values.label is None else [values.label] * values.count,
    )


def write(out: Path, images) -> None:
    """Writes samples as a grid, an array or a folder of images, by the end of ``out``."""
    import numpy as np

    from tfgan_ema import files
    from tfgan_ema.data import png

    if out.suffix == ".npy":
        with files.replacing(out) as temporary:
            np.save(temporary, images)
    elif images.ndim == 2:
        png.save_scatter(out if out.suffix == ".png" else out / "samples.png", images)
    elif out.suffix == ".png":
        png.save_grid(out, images)
    else:
        for i, image in enumerate(images):
            png.save_png(out / f"{i:06d}.png", image)


main = command.main(_sample, FLAGS, __doc__)
