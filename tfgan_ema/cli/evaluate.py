"""usage: tfgan-ema evaluate --samples=DIR|SAVEDMODEL|WORKDIR|DATASET
                          --reference=DATASET|DIR|stats.npz --metrics=fid,kid,...

Scores a folder of images, an exported model, a trained run or a data set against a reference, and
prints a table. `--metrics=list` prints the names of the metrics. With --truncation=0.3,0.5,1 a run
is scored at each threshold of its truncated latent, and --plot draws the curves.
"""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Iterator
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
    (
        "count",
        command.whole(2),
        None,
        "Number of samples (default: 10000, or all of a folder or data set).",
    ),
    ("reference_count", command.whole(2), None, "Number of reference images (default: all)."),
    ("split", str, "train", "Split of the reference data set."),
    ("samples_split", str, "test", "Split of the scored data set."),
    (
        "image_size",
        command.whole(),
        None,
        "Height and width of a folder's images (default: the reference's).",
    ),
    (
        "channels",
        command.CHANNELS,
        None,
        "Channels of a folder's images, 1 or 3 (default: the reference's).",
    ),
    (
        "batch",
        command.whole(),
        100,
        "Number of samples drawn at a time; another number draws other samples.",
    ),
    ("seed", command.whole(0, 2**63 - 1), 0, "Seed of the samples."),
    ("average", str, "0", "Index or name of a run's average, or `raw`."),
    ("step", command.whole(0), None, "Step of a run's checkpoint (default: the latest)."),
    ("truncation", list, [], "Thresholds of a run's truncated normal latent."),
    ("device", str, "auto", "Where the metrics' networks run: cpu, gpu, tpu, or such as gpu:1."),
    ("out", str, None, "JSON file to write."),
    ("plot", str, None, "PNG file of the truncation curves."),
    ("save_reference", str, None, "npz file to write the reference's statistics to."),
    ("data_dir", str, None, "Cache of data and weights."),
)


def _evaluate(values: command.Flags, positional: list[str]) -> None:
    from tfgan_ema.metrics import METRICS, Evaluator
    from tfgan_ema.metrics.evaluator import MIXTURES

    command.no_words(positional)
    if values.metrics == ["list"]:
        print("\n".join(METRICS))
        return
    if not values.samples:
        raise UsageError("--samples is missing: a folder of images, an exported model or a run.")
    if values.plot and not values.truncation:
        raise UsageError("--plot draws truncation curves: give --truncation=0.3,0.5,1 too.")
    for name in ("out", "plot", "save_reference"):
        command.check_output(name, values[name].value)
    if "modes" in values.metrics and values.reference not in MIXTURES:
        raise UsageError(f"--metrics=modes: give --reference={' or '.join(MIXTURES)}.")
    kind, path = _kind(values), Path(values.samples)
    command.start_engine()
    evaluator = Evaluator(
        values.metrics,
        values.reference,
        samples=values.count or (None if kind == "set" else 10_000),
        reference_samples=values.reference_count,
        batch=values.batch,
        seed=values.seed,
        split=values.split,
        device=values.device,
        data_dir=values.data_dir,
        progress=True,
    )
    scored = {"run": _run, "model": _model, "set": _set}[kind](values, path)
    rows = [settings | evaluator(samples) for settings, samples in scored]
    tables.print_table([[name, *(f"{row[name]:.6g}" for row in rows)] for name in rows[0]])
    if values.save_reference:
        evaluator.save_reference(values.save_reference)
    if values.out:
        report = {
            "version": __version__,
            "samples": values.samples,
            "count": evaluator.samples or scored[0][1].count,
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


def _kind(values: command.Flags) -> str:
    """What is scored: a ``run``, a ``model`` or a ``set``; refuses flags that belong to another."""
    path = Path(values.samples)
    if (path / "run.json").exists():
        kind = "run"
        _thresholds(values)
    else:
        kind = "model" if (path / "saved_model.pb").exists() else "set"
        belong = f"belongs to the work directory of `tfgan-ema train`: --samples={path} is none"
        command.given(values, ("truncation", "step", "average"), belong)
    if kind != "set":
        belong = f"belongs to a folder or a data set: --samples={path} is none"
        command.given(values, ("image_size", "channels", "samples_split"), belong)
    elif path.is_dir():
        _check_folder(values, path)
    else:
        from tfgan_ema import data

        with _as_samples(values):
            data.check(values.samples, values.samples_split)
    return kind


def _thresholds(values: command.Flags) -> list[float]:
    parse = command.number("(0, inf)").parse
    try:
        return [parse(text) for text in values.truncation]
    except ValueError as error:
        raise UsageError(f"--truncation={','.join(values.truncation)}: {error}") from None


def _model(values: command.Flags, folder: Path) -> list[tuple[dict, Sampler]]:
    from tfgan_ema.export import load_generator

    return [({}, load_generator(folder).sample)]


def _set(values: command.Flags, path: Path) -> list[tuple[dict, Source]]:
    return [({}, _folder(values, path) if path.is_dir() else _data_set(values))]


def _run(values: command.Flags, workdir: Path) -> list[tuple[dict, Sampler]]:
    from tfgan_ema.runs import load_run

    thresholds = _thresholds(values)
    gan = load_run(workdir, values.step)
    average = command.average(values.average)
    gan.average(average)  # an unknown one is refused at once
    sample = functools.partial(gan.sample, average=average)
    if not thresholds:
        return [({}, sample)]
    return [({"truncation": t}, functools.partial(sample, truncation=t)) for t in thresholds]


def _data_set(values: command.Flags) -> Source:
    from tfgan_ema import data

    with _as_samples(values):
        return data.load(
            values.samples, split=values.samples_split, image_size=values.image_size,
            channels=values.channels, data_dir=values.data_dir,
        )  # fmt: skip


@contextlib.contextmanager
def _as_samples(values: command.Flags) -> Iterator[None]:
    """Inside, an error about a data set says what else might have been meant."""
    try:
        yield
    except UsageError as error:
        raise UsageError(
            f"--samples={values.samples}: no folder of images, exported model or run, and no data "
            f"set either: {error}"
        ) from None


def _check_folder(values: command.Flags, path: Path) -> None:
    """A folder's images need a size: that of the flags or of the reference."""
    name = values.reference or ""
    if None in (values.image_size, values.channels) and (
        not name or name.endswith(".npz") or name.startswith("folder:") or Path(name).is_dir()
    ):
        raise UsageError(
            f"--samples={path}: give --image_size and --channels, or a data set as --reference."
        )


def _folder(values: command.Flags, path: Path) -> Source:
    """A folder's images, of the size given or, without one, of the reference data set's."""
    from tfgan_ema import data

    size, channels, name = values.image_size, values.channels, values.reference
    if size is None or channels is None:
        shape = data.load(name, split=values.split, data_dir=values.data_dir).shape
        if len(shape) != 3:
            raise UsageError(f"--reference={name} holds points: a folder holds images.")
        size, channels = size or shape[0], channels or shape[2]
    return data.load(f"folder:{path}", image_size=size, channels=channels, data_dir=values.data_dir)


main = command.main(_evaluate, FLAGS, __doc__)
