"""usage: tfgan-ema evaluate --samples=DIR|SAVEDMODEL|WORKDIR|DATASET
                          --reference=DATASET|DIR|stats.npz --metrics=fid,kid,...
       tfgan-ema evaluate WORKDIR WORKDIR ... --metrics=fid,kid,...

Scores a folder of images, an exported model, a trained run or a data set against a reference, and
prints a table, with the standard error of drawing the samples. `--metrics=list` prints the names of
the metrics. With --truncation=0.3,0.5,1 a run is scored at each threshold of its truncated latent,
and --plot draws the curves. --average=all scores a run's raw generator and each of its averages on
the same latents, with their differences.

Of several runs, which may be given as a pattern such as 'runs/ring-*', it also prints the mean and
the spread over the seeds of training, and tests of the differences between averages and between
configurations.
"""

from __future__ import annotations

import contextlib
import functools
import glob
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

from tfgan_ema import __version__, command, files, progress
from tfgan_ema.errors import UsageError

if TYPE_CHECKING:
    from tfgan_ema.data import Source
    from tfgan_ema.metrics.evaluator import Evaluator, Sampler
    from tfgan_ema.metrics.report import Measured

FLAGS = command.new_flags(
    (
        "samples",
        str,
        None,
        "What is scored (see above). Exported models and runs are programs: give only those whose "
        "origin you trust. Images are data.",
    ),
    (
        "reference",
        str,
        None,
        "Data set, folder of images or statistics file (default: the training set of a run).",
    ),
    (
        "held_out",
        str,
        None,
        "Images that were not trained on, for fld: data set, folder or statistics file (default: "
        "the split `test` of the reference).",
    ),
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
    ("average", str, "0", "Index or name of a run's average, `raw`, or `all`."),
    ("step", command.whole(0), None, "Step of a run's checkpoint (default: the latest)."),
    ("truncation", list, [], "Thresholds of a run's truncated normal latent."),
    ("device", str, "auto", "Where the metrics' networks run: cpu, gpu, tpu, or such as gpu:1."),
    ("out", str, None, "JSON file to write."),
    ("plot", str, None, "PNG file of the truncation curves."),
    ("save_reference", str, None, "npz file to write the reference's statistics to."),
    ("data_dir", str, None, "Cache of data and weights."),
    (
        "shards",
        str,
        None,
        "Folder that keeps what is known of each shard, so that what failed runs again alone "
        "(--cluster, --workers).",
    ),
    (
        "workers",
        command.whole(),
        None,
        "Processes of this machine that draw and embed shards of the samples, each on one thread "
        "(default: one on all).",
    ),
    *command.CLUSTER,
)


def _evaluate(values: command.Flags, words: list[str]) -> None:
    from tfgan_ema.cli import scores
    from tfgan_ema.metrics import METRICS, Evaluator
    from tfgan_ema.metrics.evaluator import MIXTURES

    if values.metrics == ["list"]:
        print("\n".join(METRICS))
        return
    targets = _targets(values, words)
    if values.held_out and not any(name.startswith("fld_") for name in values.metrics):
        raise UsageError(f"--held_out={values.held_out} belongs to --metrics=fld_SPACE.")
    if values.plot and not values.truncation:
        raise UsageError("--plot draws truncation curves: give --truncation=0.3,0.5,1 too.")
    for name in ("out", "plot", "save_reference"):
        command.check_output(name, values[name].value)
    kind = _kind(values, targets)
    reference, shown, split = _reference(values, kind, targets)
    if "modes" in values.metrics and shown not in MIXTURES:
        raise UsageError(f"--metrics=modes: give --reference={' or '.join(MIXTURES)}.")
    command.start_engine()
    evaluator = Evaluator(
        values.metrics,
        reference,
        samples=values.count or (None if kind == "set" else 10_000),
        reference_samples=values.reference_count,
        batch=values.batch,
        seed=values.seed,
        split=split,
        held_out=values.held_out or _unseen(values, shown),
        device=values.device,
        data_dir=values.data_dir,
        progress=progress.visible(),
    )
    scored = [
        scores.Scored(target, settings, _measured(values, evaluator, kind, target, i, sampler))
        for target in targets
        for i, (settings, sampler) in enumerate(_GENERATORS[kind](values, Path(target)))
    ]
    differences = scores.differences(scored)
    report = {
        "version": __version__,
        "samples": targets[0] if len(targets) == 1 else targets,
        "count": max(score.count for score in scored[0].scores.values()),
        "seed": values.seed,
        "batch": values.batch,
        "reference": shown,
        "reference_split": split,
        "reference_count": max(s.reference_count or 0 for s in scored[0].scores.values()) or None,
        "results": [each.values for each in scored],
        "scores": scores.entries(scored, shown, split),
        "differences": differences,
    }
    if len(targets) == 1:
        scores.show(scored, f"{shown}, {split}")
        if differences:
            scores.show_differences(differences)
    else:
        from tfgan_ema.lab import seeds

        report |= seeds.summary(scored)
        scores.show_runs(scored, report, f"{shown}, {split}")
    if values.save_reference:
        evaluator.save_reference(values.save_reference)
    if values.out:
        files.write_text(values.out, json.dumps(report, indent=1) + "\n")
    if values.plot:
        from tfgan_ema.lab.reports.curves import save_truncation_curves

        save_truncation_curves([each.values for each in scored], values.plot)


def _measured(
    values: command.Flags,
    evaluator: Evaluator,
    kind: str,
    target: str,
    index: int,
    sampler: Sampler | Source,
) -> dict[str, Measured]:
    """The scores of one generator, computed in this process or in others."""
    if not values.cluster:
        command.given(values, ("gpus",), "belongs to --cluster")
        if not values.workers:
            command.given(values, ("shards",), "belongs to --cluster or --workers")
            return evaluator.measure(sampler)
    flags = {name: values[name].value for name in _OF_SAMPLES}
    arguments = {"kind": kind, "target": str(Path(target).absolute()), "index": index}
    if kind == "set" and not Path(target).is_dir():
        arguments["target"] = target
    from tfgan_ema.metrics.sharded import Drawn

    drawn = Drawn(f"{__name__}:sampler", arguments | {"flags": flags})
    shards = values.shards and Path(values.shards) / Path(target).name / str(index)
    return evaluator.measure(
        drawn,
        cluster=values.cluster,
        shards=shards or None,
        gpus=values.gpus,
        workers=values.workers,
    )


def sampler(kind: str, target: str, index: int, flags: dict) -> Sampler | Source:
    """What another process draws; the flags are those of `_OF_SAMPLES`."""
    _, found = _GENERATORS[kind](SimpleNamespace(**flags), Path(target))[index]
    return found


def _targets(values: command.Flags, words: list[str]) -> list[str]:
    """What is scored: `--samples`, or the runs that the words name."""
    if not words:
        if not values.samples:
            raise UsageError(
                "--samples is missing: a folder of images, an exported model or a run."
            )
        return [values.samples]
    if values.samples:
        raise UsageError(f"--samples={values.samples} beside {words[0]!r}: give one of them.")
    found = [path for word in words for path in sorted(glob.glob(word)) or [word]]
    for path in found:
        if not (Path(path) / "run.json").exists():
            raise UsageError(
                f"{path!r} is no run: expected work directories of `tfgan-ema train`; name other "
                "samples with --samples."
            )
        if found.count(path) > 1:
            raise UsageError(f"{path!r} is given twice: name each run once.")
    if len(found) > 1 and (values.truncation or values.plot):
        raise UsageError("--truncation belongs to one run: several are given.")
    return found


def _reference(
    values: command.Flags, kind: str, targets: list[str]
) -> tuple[str | Source | None, str | None, str]:
    """The reference, what it is called, and its split: by default a run's training set."""
    from tfgan_ema import runs
    from tfgan_ema.metrics import METRICS
    from tfgan_ema.training import training_set

    metrics = [METRICS[name] for name in values.metrics if name in METRICS]
    if values.reference or kind != "run" or not any(metric.reference for metric in metrics):
        return values.reference, values.reference, values.split
    first, *others = (runs.read_run(target) for target in targets)
    command.given(values, ("split",), "belongs to --reference, and none is given")
    for target, other in zip(targets[1:], others, strict=True):
        if _trained_on(other) != _trained_on(first):
            raise UsageError(
                f"{targets[0]} and {target} were trained on different data: give a --reference."
            )
    source = training_set(targets[0])
    return source, source.name, first["config"]["data"]["split"]


def _unseen(values: command.Flags, shown: str | None) -> str | None:
    """The set whose split ``test`` a run has not seen, if its training set has a name."""
    return None if values.reference or ":" in (shown or ":") else shown


def _trained_on(run: dict) -> tuple:
    return run["data"]["name"], run["data"]["shape"], run["config"] and run["config"]["data"]


def _kind(values: command.Flags, targets: list[str]) -> str:
    """What is scored: a ``run``, a ``model`` or a ``set``; refuses flags that belong to another."""
    path = Path(targets[0])
    if (path / "run.json").exists():
        kind = "run"
        _thresholds(values)
        if values.average == "all" and values.truncation:
            raise UsageError("--average=all with --truncation: give one of them.")
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
    if values.average == "all":
        names = ["raw", *(average.name for average in gan.averages)]
        return [({"average": n}, functools.partial(gan.sample, average=n)) for n in names]
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


_GENERATORS = {"run": _run, "model": _model, "set": _set}
_OF_SAMPLES = (  # the flags that samples depend on
    "average", "channels", "data_dir", "image_size", "reference", "samples", "samples_split",
    "split", "step", "truncation",
)  # fmt: skip

main = command.main(_evaluate, FLAGS, __doc__)
