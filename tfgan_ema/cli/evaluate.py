"""``tfgan-ema evaluate``: scores samples against a reference set."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags

from tfgan_ema.cli import command
from tfgan_ema.errors import UsageError

if TYPE_CHECKING:
    from tfgan_ema.data.source import Source

USAGE = """
usage: tfgan-ema evaluate --samples=DIR|SAVEDMODEL|WORKDIR|DATASET
                          --reference=DATASET|DIR|stats.npz --metrics=fid,kid,...

Scores a folder of images, an exported model, a trained run or (--samples_split of) a data set
against a reference. Prints a table and, with --out, writes JSON. `--metrics=list` names the
metrics. With --truncation=.3,.5,1 a run is scored at each threshold of its truncated latent, and
--plot draws the curves.
"""

FLAGS = command.new_flags()
flags.DEFINE_string("samples", None, "What is scored (see above).", flag_values=FLAGS)
flags.DEFINE_string(
    "reference", None, "Data set, folder of images or statistics file.", flag_values=FLAGS
)
flags.DEFINE_list("metrics", ["fid"], "Names, or `list`.", flag_values=FLAGS)
flags.DEFINE_integer("count", None, "Samples: 10000, or all of a fixed set.", flag_values=FLAGS)
flags.DEFINE_integer("reference_count", None, "Reference samples; all.", flag_values=FLAGS)
flags.DEFINE_string("split", "train", "Of a reference data set.", flag_values=FLAGS)
flags.DEFINE_string("samples_split", "test", "Of a scored data set.", flag_values=FLAGS)
flags.DEFINE_integer(
    "image_size", None, "Side of a folder's images; the reference's.", flag_values=FLAGS
)
flags.DEFINE_integer("channels", None, "Of a folder's images: 1 or 3.", flag_values=FLAGS)
flags.DEFINE_integer("batch", 100, "Samples at a time.", flag_values=FLAGS)
flags.DEFINE_integer("seed", 0, "Of the samples.", flag_values=FLAGS)
flags.DEFINE_string(
    "average", "0", "Index or name of an average, or `raw` (runs).", flag_values=FLAGS
)
flags.DEFINE_integer("step", None, "Checkpoint of a run; the latest.", flag_values=FLAGS)
flags.DEFINE_list(
    "truncation", [], "Thresholds of a truncated normal latent (runs).", flag_values=FLAGS
)
flags.DEFINE_string("device", "auto", "cpu, gpu, tpu, or such as gpu:1.", flag_values=FLAGS)
flags.DEFINE_string("out", None, "JSON file to write.", flag_values=FLAGS)
flags.DEFINE_string("plot", None, "PNG of the truncation curves.", flag_values=FLAGS)
flags.DEFINE_string(
    "save_reference", None, "npz file to keep the reference's statistics in.", flag_values=FLAGS
)
flags.DEFINE_string("data_dir", None, "Cache of data and weights.", flag_values=FLAGS)

Sampler = Callable[[int, int], object]


def main(argv: Sequence[str]) -> int:
    """Runs the command; returns its exit code."""
    return command.run(_evaluate, FLAGS, USAGE, argv)


def _evaluate(values: flags.FlagValues, positional: list[str]) -> None:
    if positional:
        raise UsageError(f"unexpected {positional[0]!r}: everything is given by flags.")
    if values.metrics == ["list"]:
        from tfgan_ema.metrics import METRICS

        print("\n".join(METRICS))
        return
    if not values.samples:
        raise UsageError("--samples is missing: a folder of images, an exported model or a run.")
    thresholds = _thresholds(values)
    if values.plot and not thresholds:
        raise UsageError("--plot draws truncation curves: give --truncation=.3,.5,1 too.")
    for name in ("out", "plot", "save_reference"):
        command.check_output(name, getattr(values, name))
    sampler, count = _sampler(values)

    from tfgan_ema.metrics import Evaluator

    evaluator = Evaluator(
        values.metrics,
        values.reference,
        samples=values.count or count or 10_000,
        reference_samples=values.reference_count,
        batch=values.batch,
        seed=values.seed,
        split=values.split,
        device=values.device,
        data_dir=values.data_dir,
        progress=True,
    )
    rows = [
        {**({} if t is None else {"truncation": t}), **evaluator(sampler(t))}
        for t in thresholds or [None]
    ]
    _print_table(rows)
    if values.save_reference:
        evaluator.save_reference(values.save_reference)
    if values.out:
        _write(Path(values.out), _report(values, evaluator.samples, rows))
    if values.plot:
        plot(rows, Path(values.plot))
        print(f"curves: {values.plot}")


def _thresholds(values: flags.FlagValues) -> list[float]:
    try:
        return [float(text) for text in values.truncation]
    except ValueError:
        raise UsageError(
            f"--truncation={','.join(values.truncation)}: expected numbers such as .3,.5,1."
        ) from None


def _sampler(values: flags.FlagValues) -> tuple[Callable[[float | None], Sampler], int | None]:
    """From a truncation threshold to a sampler, and how many samples there are if it is fixed."""
    path = Path(values.samples)
    if (path / "run.json").exists():
        from tfgan_ema.runs import load_run

        gan = load_run(path, values.step)
        average = command.average(values.average)

        def sampler(threshold: float | None) -> Sampler:
            return lambda count, seed: gan.sample(
                count, seed, average=average, truncation=threshold
            )

        return sampler, None
    if values.truncation or values.step is not None or values.average != "0":
        raise UsageError(
            f"--samples={path} is not a run: --truncation, --step and --average belong to the work "
            "directory of `tfgan-ema train`."
        )
    if (path / "saved_model.pb").exists():
        from tfgan_ema.export import load_generator

        model = load_generator(path)
        return lambda _: lambda count, seed: model.sample(count, seed), None
    return _set_sampler(_folder(values, path) if path.is_dir() else _data_set(values), values.count)


def _set_sampler(
    source: Source, count: int | None
) -> tuple[Callable[[float | None], Sampler], int]:
    """Samples of a fixed set one after the other, whatever the seeds."""
    import numpy as np

    if count and count > source.count:
        raise UsageError(f"--count={count}: {source.name} has {source.count} samples.")

    def sampler(_: float | None) -> Sampler:
        place = iter(range(source.count))
        return lambda count, _: source.batch(np.fromiter(place, int, count))[0]

    return sampler, source.count


def _data_set(values: flags.FlagValues) -> Source:
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


def _folder(values: flags.FlagValues, path: Path) -> Source:
    from tfgan_ema import data

    size, channels = values.image_size, values.channels
    if size is None or channels is None:
        shape = _reference_shape(values)
        size, channels = size or shape[0], channels or shape[2]
    return data.load(f"folder:{path}", image_size=size, channels=channels, data_dir=values.data_dir)


def _reference_shape(values: flags.FlagValues) -> tuple[int, ...]:
    from tfgan_ema import data

    name = values.reference
    if not name:
        raise UsageError(
            "--reference is missing; metrics that need none need --image_size and --channels."
        )
    if name.endswith(".npz") or Path(name).is_dir() or name.startswith("folder:"):
        raise UsageError("--image_size and --channels are missing: the folder's images need them.")
    shape = data.load(name, split=values.split, data_dir=values.data_dir).shape
    if len(shape) != 3:
        raise UsageError(f"--reference={name} holds points: a folder holds images.")
    return shape


def _report(values: flags.FlagValues, count: int, rows: list[dict[str, float]]) -> dict:
    import tfgan_ema

    return {
        "version": tfgan_ema.__version__,
        "samples": values.samples,
        "count": count,
        "seed": values.seed,
        "batch": values.batch,
        "reference": values.reference,
        "reference_split": values.split,
        "reference_count": values.reference_count,
        "results": rows,
    }


def _write(path: Path, report: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=1) + "\n")


def _print_table(rows: list[dict[str, float]]) -> None:
    """One result as lines of name and value, several as columns."""
    if len(rows) == 1:
        width = max(map(len, rows[0]))
        for name, value in rows[0].items():
            print(f"{name:<{width}}  {value:.6g}")
        return
    print("  ".join(f"{name:>12}" for name in rows[0]))
    for row in rows:
        widths = [max(12, len(name)) for name in row]
        cells = [f"{value:.6g}" for value in row.values()]
        print("  ".join(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True)))


def plot(rows: list[dict[str, float]], path: Path) -> None:
    """Draws the truncation curves that the metrics allow.

    Precision against recall and a Frechet distance against an Inception Score, both along the
    thresholds; other metrics against the threshold.

    Args:
        rows: one dictionary a threshold, with ``truncation`` and the metrics.
        path: the PNG to write.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    names = [name for name in rows[0] if name != "truncation" and not name.endswith("_std")]
    panels = []
    for x, y in (("recall_", "precision_"), ("is_", "f")):
        pair = [next((n for n in names if n.startswith(stem)), None) for stem in (x, y)]
        if None not in pair:
            panels.append(tuple(pair))
            names = [name for name in names if name not in pair]
    panels += [("truncation", name) for name in names]
    figure, axes = pyplot.subplots(
        1, len(panels), figsize=(4.5 * len(panels), 3.8), layout="constrained", squeeze=False
    )
    for axis, (x, y) in zip(axes[0], panels, strict=True):
        axis.plot([row[x] for row in rows], [row[y] for row in rows], marker="o")
        if x != "truncation":
            for row in rows:
                axis.annotate(
                    f"{row['truncation']:g}", (row[x], row[y]), xytext=(4, 4),
                    textcoords="offset points", fontsize=8,
                )  # fmt: skip
        axis.set(xlabel=x, ylabel=y)
        axis.grid(alpha=0.3)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


if __name__ == "__main__":
    sys.exit(main(["tfgan-ema evaluate", *sys.argv[1:]]))
