"""The width map: scores of averages by their width and time, made of the snapshots of a run."""

import functools
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from keras import ops
from matplotlib.figure import Figure

from tfgan_ema import GAN, checkpoint, files, posthoc, profiles, runs
from tfgan_ema.metrics import Evaluator
from tfgan_ema.records import Table
from tfgan_ema.training import training_set

SWEPT = "made_of_snapshots"  # the generator of a row; other rows are of the run's own averages

Row = Mapping[str, str]


def sweep(
    workdir: str | os.PathLike,
    widths: Sequence[float],
    steps: Sequence[int],
    metrics: Sequence[str],
    samples: int,
    reference: Any = None,
) -> list[Row]:
    """Scores averages of each width at each step, and the run's own at its last checkpoint.

    All are scored on the same latents. Rows go to ``WORKDIR/widths.csv`` as they come, and those
    that it has are not scored again.

    Args:
        workdir: of a run with snapshots.
        widths: in (0, 0.2887).
        steps: up to the last snapshot, which an empty list means.
        metrics: names in `metrics.METRICS`.
        samples: how many are scored.
        reference: see `metrics.Evaluator`; the run's training set unless given.

    Returns:
        The rows of this sweep.

    Raises:
        UsageError: no snapshots, or a value out of range.
    """
    workdir = Path(workdir)
    last = max(checkpoint.checkpoints(workdir / "snapshots"), default=0)
    wanted = [(step, sigma) for step in steps or [last] for sigma in widths]
    first = posthoc.synthesise(workdir, widths[0], wanted[0][0])  # an error before work is done
    gan = runs.load_run(workdir)
    evaluator = Evaluator(metrics, reference or training_set(workdir), samples=samples)
    later = posthoc.kept(workdir)
    own = [average.name for average in gan.averages if average.name not in later]
    average = posthoc.add(gan, SWEPT, first, workdir)
    table = Table(workdir / "widths.csv", resume_step=2**62)

    def row(generator: str, step: int, sigma: float | None, residual: float) -> Row:
        head = {"step": step, "generator": generator, "samples": samples}
        head = {key: str(value) for key, value in head.items()}
        head["sigma"] = "" if sigma is None else f"{sigma:.4g}"
        names = [name for metric in evaluator.metrics.values() for name in metric.results]
        for old in table.rows():
            if head.items() <= old.items() and all(old.get(name) for name in names):
                return old
        scores = evaluator(functools.partial(gan.sample, average=generator))
        scores = {name: f"{value:.6g}" for name, value in scores.items()}
        table.append(new := {**head, "residual": f"{residual:.3g}", **scores})
        return new

    found = [row(name, gan.steps_done, _width(gan, name), 0.0) for name in own]
    for step, sigma in wanted:
        made = posthoc.synthesise(workdir, sigma, step)
        posthoc.set_weights(average, made, workdir)
        found.append(row(SWEPT, step, sigma, made.residual))
    return found


def save_map(rows: Sequence[Row], path: str | os.PathLike) -> None:
    """Draws scores against the width, a line for each step; the run's own averages are marked.

    Args:
        rows: of `sweep`.
        path: the picture, by its ending PNG, PDF or SVG.
    """
    names = [k for k in rows[0] if k not in ("step", "generator", "samples", "sigma", "residual")]
    figure = Figure(figsize=(5.2 * len(names), 4.2), layout="constrained")
    steps = sorted({int(row["step"]) for row in rows if row["generator"] == SWEPT})
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        for i, step in enumerate(steps):
            curve = [r for r in rows if r["generator"] == SWEPT and int(r["step"]) == step]
            points = sorted((float(r["sigma"]), float(r[name])) for r in curve)
            shade = 0.85 * (1 - (i + 1) / len(steps))
            axes.plot(*zip(*points, strict=True), "o-", color=str(shade), label=f"step {step:,}")
        for row in rows:
            if row["generator"] != SWEPT and row["sigma"]:
                axes.plot(
                    float(row["sigma"]), float(row[name]), "*", markersize=12,
                    label=f"{row['generator']} of the run",
                )  # fmt: skip
        axes.set(xscale="log", xlabel="width (share of training)", ylabel=name)
        ticks = [w for w in (0.01, 0.02, 0.05, 0.1, 0.2) if _inside(w, axes.get_xlim())]
        axes.set_xticks(ticks, map(str, ticks))
        axes.minorticks_off()
        axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    with files.replacing(path) as temporary:
        figure.savefig(temporary, dpi=120)


def _inside(value: float, limits: tuple[float, float]) -> bool:
    return limits[0] <= value <= limits[1]


def _width(gan: GAN, name: str) -> float | None:
    """The width of a run's own average; ``None`` where it counts images."""
    rule = gan.average(name).rule
    if getattr(rule, "half_life", None) is not None:
        return None
    steps = ops.arange(1, gan.steps_done + 1)
    rates = ops.broadcast_to(rule.rate(steps, 1), steps.shape)
    return profiles.width_of(ops.convert_to_numpy(rates))
