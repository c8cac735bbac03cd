"""usage: tfgan-ema sample (--workdir=DIR | --model=DIR|NAME) --count=64 --seed=0 --out=FILE_OR_DIR

Draws samples of an averaged generator. The ending of --out decides the format: .png is one grid,
.npy an array (uint8 [n, h, w, c]), .npz a file of one array named images, a name without an ending
a folder of numbered PNG files.

With --format or --cluster, --out is a folder that is filled in shards of 1,024 samples: pictures,
TFRecord or Parquet files. An interrupted command continues when it is repeated, and the files are
the same whatever the number of machines.
"""

from __future__ import annotations

import itertools
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from tfgan_ema import command, files, progress
from tfgan_ema.cli.export import model_folder
from tfgan_ema.errors import UsageError

if TYPE_CHECKING:
    import numpy as np

GRID = 4096  # images that a picture may show
_OTHER_ENDINGS = (".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".zip", ".csv")

FLAGS = command.new_flags(
    ("workdir", str, None, "Work directory of `tfgan-ema train`, of an origin that you trust."),
    (
        "model",
        str,
        None,
        "Folder of `tfgan-ema export`, or a model of `tfgan-ema zoo list`. A SavedModel is a "
        "program: give only one whose origin you trust.",
    ),
    ("count", command.whole(), 64, "Number of samples."),
    ("seed", command.SEED, 0, "Equal seeds give equal samples."),
    ("out", str, None, "A .png, a .npy, a .npz or a folder."),
    (
        "format",
        command.one_of("png", "webp", "tfrecord", "parquet"),
        None,
        "Of a folder that is filled in shards: png, webp (lossless), tfrecord or parquet.",
    ),
    *command.CLUSTER,
    ("average", str, "0", "Index or name of an average, or `raw` (--workdir)."),
    (
        "truncation",
        command.number("(0, inf)"),
        None,
        "Threshold of a truncated normal latent (--workdir).",
    ),
    ("label", str, None, "Name or number of the class of all samples (conditional models)."),
    (
        "step",
        command.whole(0),
        None,
        "Step of the checkpoint; the latest unless given (--workdir).",
    ),
)


def _sample(values: command.Flags, positional: list[str]) -> None:
    folder = model_folder(values, positional)
    if not values.out:
        raise UsageError("--out is missing: a .png (grid), a .npy or .npz (array) or a folder.")
    out = Path(values.out)
    ending = out.suffix.lower()
    if ending in _OTHER_ENDINGS:
        raise UsageError(f"--out={out}: expected .png, .npy, .npz or a folder.")
    if ending == ".png" and values.count > GRID:
        raise UsageError(
            f"--count={values.count}: a picture shows at most {GRID} samples; let --out name a "
            ".npy, a .npz or a folder."
        )
    in_shards = bool(values.format or values.cluster)
    if in_shards and ending in (".png", ".npy", ".npz"):
        raise UsageError(f"--out={out}: --format and --cluster fill a folder; name one.")
    command.check_output("out", out, "file" if ending in (".png", ".npy", ".npz") else "folder")
    command.start_engine()
    from tfgan_ema import data, runs, sampling

    if in_shards:
        _sample_in_shards(values, folder, out)
        return
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
    if folder:  # one request
        parts = iter([model.sample(values.count, values.seed, **options)])
    else:
        parts = sampling.stream(model, values.count, values.seed, **options)
    with progress.line("drawing", values.count) as line:
        write(out, _counted(parts, line), values.count)
    progress.note(f"{values.count} samples: {out}")


def _counted(parts: Iterator[np.ndarray], line: progress.Line) -> Iterator[np.ndarray]:
    for part in parts:
        yield part
        line.advance(len(part))


def _sample_in_shards(values: command.Flags, folder: str | None, out: Path) -> None:
    from tfgan_ema import bulk, checkpoint, data, export, runs

    if folder:
        origin: dict[str, Any] = {"model": str(Path(folder).resolve())}
        names = export.load_generator(folder).class_names if values.label is not None else None
    else:
        record = runs.read_run(values.workdir)
        names = record["data"].get("class_names")
        steps = checkpoint.checkpoints(Path(values.workdir) / "checkpoints")
        step = values.step if values.step is not None else max(steps, default=None)
        average = command.average(values.average)
        origin = {"workdir": str(Path(values.workdir).resolve()), "step": step}
        origin |= {"average": average, "truncation": values.truncation}
    origin["label"] = None if values.label is None else data.label_of(values.label, names)
    bulk.draw(
        out, origin, values.count, values.seed, kind=values.format or "png",
        cluster=values.cluster, gpus=values.gpus,
    )  # fmt: skip
    print(f"{values.count} samples: {out}")


def write(out: Path, parts: Iterator[np.ndarray], count: int) -> None:
    """Writes ``count`` samples, which come in parts, in the form that the end of ``out`` says."""
    import numpy as np

    from tfgan_ema.data import png

    first = next(parts)
    parts = itertools.chain([first], parts)
    ending = out.suffix.lower()
    if ending in (".npy", ".npz"):
        with files.replacing(out) as temporary:
            _check_space(out, count * first[0].nbytes, temporary.parent)
            if ending == ".npy":
                with temporary.open("wb") as file:
                    _write_array(file, parts, (count, *first.shape[1:]), first.dtype)
            else:
                with (
                    zipfile.ZipFile(temporary, "w") as archive,
                    archive.open("images.npy", "w", force_zip64=True) as file,
                ):
                    _write_array(file, parts, (count, *first.shape[1:]), first.dtype)
    elif first.ndim == 2:
        points = np.concatenate([*parts])
        png.save_scatter(out if ending == ".png" else out / "samples.png", points)
    elif ending == ".png":
        png.save_grid(out, np.concatenate([*parts]))
    else:
        for i, image in enumerate(itertools.chain.from_iterable(parts)):
            png.save_png(out / f"{i:06d}.png", image)


def _write_array(
    file: IO[bytes], parts: Iterator[np.ndarray], shape: tuple[int, ...], dtype: np.dtype
) -> None:
    """An array in NumPy's format, part after part."""
    from numpy.lib import format

    header = {"descr": format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    format.write_array_header_1_0(file, header)
    for part in parts:
        file.write(part.tobytes())


def _check_space(out: Path, need: int, folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if need > free:
        raise UsageError(
            f"--out={out}: the samples need {need / 1e9:,.1f} GB, but only {free / 1e9:,.1f} GB "
            "are free; choose a smaller --count or another place."
        )


main = command.main(_sample, FLAGS, __doc__)
