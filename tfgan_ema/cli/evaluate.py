"""usage: tfgan-ema evaluate --samples=DIR|SAVEDMODEL|WORKDIR|DATASET
                          --reference=DATASET|DIR|stats.npz --metrics=fid,kid,...

Scores a folder of images, an exported model, a trained run or a data set against a reference, and
prints a table. `--metrics=list` prints the names of the metrics. With --truncation=0.3,0.5,1 a run
is scored at each threshold of its truncated latent, and --plot draws the curves.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import TYPE_CHECKING

from tfgan_ema import __version__, command, files
from tfgan_ema.cli import tables
from tfgan_ema.errors import UsageError

if TYPE_CHECKING:
    from tfgan_ema.data import Source
    from tfgan_ema.metrics.evaluator import Sampler

FLAGS = command.new_flags(
    (
        "samples",
        str,
        None,
        "What is scored (see above). Exported models and runs are programs: give only those whose "
        "origin you trust. Images are data.",
    ),
    ("reference", str, None, "Data set, folder of images or statistics file."),
    ("metrics", list, ["fid"], "Names of metrics, or `list` to print them."),
    ("count", int, None, "Number of samples (default: 10000, or all of a folder or data set)."),
    ("reference_count", int, None, "Number of reference images (default: all)."),
    ("split", str, "train", "Split of the reference data set."),
    ("samples_split", str, "test", "Split of the scored data set."),
    ("image_size", int, None, "Height and width of a folder's images (default: the reference's)."),
    ("channels", int, None, "Channels of a folder's images, 1 or 3 (default: the reference's)."),
    ("batch", int, 100, "Number of samples drawn at a time; another number draws other samples."),
    ("seed", int, 0, "Seed of the samples."),
    ("average", str, "0", "Index or name of a run's average, or `raw`."),
    ("step", int, None, "Step of a run's checkpoint (default: the latest)."),
    ("truncation", list, [], "Thresholds of a run's truncated normal latent."),
    ("device", str, "auto", "Where the metrics' networks run: cpu, gpu, tpu, or such as gpu:1."),
    ("out", str, None, "JSON file to write."),
    ("plot", str, None, "PNG file of the truncation curves."),
    ("save_reference", str, None, "npz file to write the reference's statistics to."),
    ("data_dir", str, None, "Cache of data and weights."),
)


def _evaluate(values: command.Flags, positional: list[str]) -> None:
    from tfgan_ema.metrics import METRICS, Evaluator

    if positional:
        raise UsageError(f"unexpected {positional[0]!r}: everything is given by flags.")
    if values.metrics == ["list"]:
        print("\n".join(METRICS))
        return
    if not values.samples:
        raise UsageError("--samples is missing: a folder of images, an exported model or a run.")
    if values.plot and not values.truncation:
        raise UsageError("--plot draws truncation curves: give --truncation=0.3,0.5,1 too.")
    for name in ("out", "plot", "save_reference"):
        command.check_output(name, values[name].value)
    scored, count = _scored(values)
    evaluator = Evaluator(
        values.metrics,
        values.reference,
        samples=values.count or count,
        reference_samples=values.reference_count,
        batch=values.batch,
        seed=values.seed,
        split=values.split,
        device=values.device,
        data_dir=values.data_dir,
        progress=True,
    )
    rows = [settings | evaluator(samples) for settings, samples in scored]
    tables.print_table([[name, *(f"{row[name]:.6g}" for row in rows)] for name in rows[0]])
    if values.save_reference:
        evaluator.save_reference(values.save_reference)
    if values.out:
        report = {
            "version": __version__,
            "samples": values.samples,
            "count": evaluator.samples,
            "seed": values.seed,
            "batch": values.batch,
            "reference": values.reference,
            "reference_split": values.split,
            "reference_count": values.reference_count,
            "results": rows,
        }
        files.write_text(values.out, json.dumps(report, indent=1) + "\n")
    if values.plot:
        from tfgan_ema.lab.reports.curves import save_truncation_curves

        save_truncation_curves(rows, values.plot)


def _scored(values: command.Flags) -> tuple[list[tuple[dict, Sampler | Source]], int]:
    """What is scored: pairs of settings and samples; and how many samples there are by default."""
    path = Path(values.samples)
    if (path / "run.json").exists():
        return _run(values, path), 10_000
    if values.truncation or values.step is not None or values.average != "0":
        raise UsageError(
            f"--samples={path} is not a run: --truncation, --step and --average belong to the work "
            "directory of `tfgan-ema train`."
        )
    if (path / "saved_model.pb").exists():
        from tfgan_ema.export import load_generator

        return [({}, load_generator(path).sample)], 10_000
    source = _folder(values, path) if path.is_dir() else _data_set(values)
    return [({}, source)], source.count


def _run(values: command.Flags, workdir: Path) -> list[tuple[dict, Sampler]]:
    from tfgan_ema.runs import load_run

    try:
        thresholds = [float(text) for text in values.truncation]
    except ValueError:
        raise UsageError(
            f"--truncation={','.join(values.truncation)}: expected numbers such as 0.3,0.5,1."
        ) from None
    gan = load_run(workdir, values.step)
    sample = functools.partial(gan.sample, average=command.average(values.average))
    if not thresholds:
        return [({}, sample)]
    return [({"truncation": t}, functools.partial(sample, truncation=t)) for t in thresholds]


def _data_set(values: command.Flags) -> Source:
    from tfgan_ema import data

    try:
        return data.load(
            values.samples, split=values.samples_split, image_size=values.image_size,
            channels=values.channels, data_dir=values.data_dir,
        )  # fmt: skip
    except UsageError as error:
        raise UsageError(
            f"--samples={values.samples}: no folder of images, exported model or run, and no data "
            f"set either: {error}"
        ) from None


def _folder(values: command.Flags, path: Path) -> Source:
    """A folder's images, of the size given or, without one, of the reference data set's."""
    from tfgan_ema import data

    size, channels, name = values.image_size, values.channels, values.reference
    if size is None or channels is None:
        if not name or name.endswith(".npz") or name.startswith("folder:") or Path(name).is_dir():
            raise UsageError(
                f"--samples={path}: give --image_size and --channels, or a data set as --reference."
            )
        shape = data.load(name, split=values.split, data_dir=values.data_dir).shape
        if len(shape) != 3:
            raise UsageError(f"--reference={name} holds points: a folder holds images.")
        size, channels = size or shape[0], channels or shape[2]
    return data.load(f"folder:{path}", image_size=size, channels=channels, data_dir=values.data_dir)


main = command.main(_evaluate, FLAGS, __doc__)
