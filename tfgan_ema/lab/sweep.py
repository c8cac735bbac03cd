"""A sweep: one configuration trained with several settings and seeds, and scored.

Each run is a cell of the experiments' runner, so a sweep that is interrupted continues with the
runs that are missing, and those with the steps that are missing.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import io
import itertools
import json
import math
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from tfgan_ema import progress, runs
from tfgan_ema.errors import UsageError, say
from tfgan_ema.lab import seeds as tables
from tfgan_ema.lab.experiments import cells as runner
from tfgan_ema.lab.experiments import experiment
from tfgan_ema.lab.experiments.cells import Cell, Progress
from tfgan_ema.lab.reports import pages

Grid = Mapping[str, Sequence[Any]]


class Score(NamedTuple):
    """A score and its standard error, as a table of runs reads them."""

    value: float
    error: float | None


class Scored(NamedTuple):
    """The scores of one generator of a run."""

    samples: str
    settings: Mapping[str, Any]
    scores: Mapping[str, Score]


def run(
    config: ConfigDict,
    grid: Grid,
    seeds: Sequence[int],
    out: Path,
    made: str,
    *,
    own: Path | None = None,
    cluster: str | None = None,
    gpus: float = 0.0,
) -> Path:
    """Trains and scores every setting with every seed; writes ``results.csv`` and a page.

    Args:
        config: what is common to all runs; ``evaluate`` says how they are scored.
        grid: values by dotted key; several keys with ``+`` between them take the same value.
        seeds: of the runs.
        out: the folder; the runs are in ``out/runs``, if the machines that train see it.
        made: the command, for the page.
        own: where modules with parts of one's own are.
        cluster: trains on Ray, see `remote.connected`.
        gpus: how much of a GPU a run takes there.

    Returns:
        The page.

    Raises:
        UsageError: a setting that is wrong, or a folder of another sweep.
    """
    cells = [_cell(config, setting, seed, own) for setting in settings(grid) for seed in seeds]
    missing = [cell for cell in cells if runner.record(out, cell) is None]
    for data in {json.dumps(cell.options["config"]["data"]): cell for cell in missing}.values():
        runner.run_apart(prepare, data.options["config"])  # downloads once what all read
    progress.note(f"{len(missing)} of {len(cells)} runs to train. To resume, repeat the command.")
    results = runner.run(cells, out, cluster=cluster, gpus=gpus)
    table = _filled(experiment.rows(cells, results))
    return experiment.write(out, cells, table, "Sweep", _parts(grid, table), made)


def settings(grid: Grid) -> Iterator[dict[str, Any]]:
    """Each combination of the values of a grid."""
    for chosen in itertools.product(*grid.values()):
        yield dict(zip(grid, chosen, strict=True))


def _cell(config: ConfigDict, setting: Mapping[str, Any], seed: int, own: Path | None) -> Cell:
    """One run, checked before any is trained."""
    from configs import base, tables

    each = config.copy_and_resolve_references()
    changes = {key: value for keys, value in setting.items() for key in keys.split("+")}
    base.check(tables.change(each, {**changes, "seed": seed}))
    text = ",".join(f"{keys.rpartition('.')[2]}={value}" for keys, value in setting.items())
    digest = zlib.crc32(json.dumps(setting, default=str).encode())
    readable = re.sub(r"[^\w.=,-]+", "_", text)[:80] or "as_given"
    name = f"{readable}-{digest:08x}-seed{seed}"
    options = {"name": name, "config": runs.plain(each), "own": own and str(own)}
    head = {key: str(value) for key, value in setting.items()} | {"seed": seed}
    return Cell(name, f"{__name__}:measure", options, head=head)


def prepare(config: Mapping[str, Any]) -> None:
    """Brings the data of a configuration onto this machine."""
    runs.load_source(ConfigDict(config))


def measure(
    name: str, config: Mapping[str, Any], own: str | None, folder: Path, progress: Progress
) -> list[dict[str, Any]]:
    """Trains a run and scores its raw generator and each of its averages on the same latents.

    Returns:
        A row for each generator; one without scores if training diverged.
    """
    from tfgan_ema import training
    from tfgan_ema.engines import devices

    config, workdir = ConfigDict(config), folder.parent / "runs" / name
    with contextlib.redirect_stdout(io.StringIO()):  # of many runs at a time
        code = training.train(config, workdir, devices.strategy("auto"), folder=own)
    if code > 1:
        raise RuntimeError(f"{name}: stopped and saved")
    if code:
        return [{"generator": "", "diverged": True}]
    progress(0.9)
    gan = runs.load_run(workdir)
    evaluator = training.evaluator_of(config, training.training_set(workdir), runs.load_source)
    rows = []
    for generator in ["raw", *(average.name for average in gan.averages)]:
        row: dict[str, Any] = {"generator": generator, "diverged": False}
        for metric, score in evaluator.measure(
            functools.partial(gan.sample, average=generator)
        ).items():
            row |= {metric: score.value, f"{metric}_error": score.error}
        rows.append(row)
    return rows


def _filled(table: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The table with the same columns in each row."""
    columns = dict.fromkeys(key for row in table for key in row)
    return [{key: row.get(key) for key in columns} for row in table]


def _parts(grid: Grid, table: Sequence[Mapping[str, Any]]) -> list[str]:
    """The page: means over the seeds and tests of the differences."""
    metrics = [key.removesuffix("_error") for key in table[0] if key.endswith("_error")]
    scored, facts = [], {}
    for row in table:
        if row["diverged"]:
            continue
        name = " ".join(str(row[key]) for key in (*grid, "seed"))
        facts[name] = {key: row[key] for key in (*grid, "seed")}
        scores = {key: Score(row[key], row[f"{key}_error"]) for key in metrics}
        scored.append(Scored(name, {"average": row["generator"]}, scores))
    diverged = sum(row["diverged"] for row in table)
    parts = [f"{diverged} runs diverged; they have no scores."] if diverged else []
    if not scored:
        say("all runs diverged.")
        return parts
    summary = tables.summary(scored, facts)
    columns = ("mean", "spread", "sampling_error", "training")
    means = [
        [each["metric"], each["group"], str(each["runs"]), *(_shown(each[c]) for c in columns)]
        for each in summary["groups"]
    ]
    tests = [
        [
            each["metric"], f"{each['group']} - {each['against']}",
            f"{_shown(each['difference'])} ± {_shown(each['error'])}",
            "paired by seed" if each["paired"] else "Welch", f"{each['p']:.2g}",
            f"{each['p_holm']:.2g}",
        ]
        for each in summary["tests"]
    ]  # fmt: skip
    head = ("metric", "runs of", "seeds", "mean", "spread", "of drawing", "of training")
    parts += [
        "The spread is the standard deviation over the seeds. A part of it is due to drawing the "
        "samples, the rest to training again.",
        pages.table(head, means),
    ]
    if tests:
        parts += [
            pages.heading("Differences"),
            "Two-sided t-tests; the last column is corrected for their number (Holm).",
            pages.table(("metric", "runs of", "difference", "test", "p", "corrected"), tests),
        ]
    return parts


def _shown(value: float | None) -> str:
    return "-" if value is None or math.isnan(value) else f"{value:.4g}"


def parse_grid(text: str) -> dict[str, list[Any]]:
    """``"KEY=1,2;OTHER=a,b"`` as values by key.

    Raises:
        UsageError: it has another form.
    """
    grid: dict[str, list[Any]] = {}
    for part in filter(None, (part.strip() for part in text.split(";"))):
        key, equals, values = part.partition("=")
        if not (equals and key and values) or key in grid:
            raise UsageError(
                f"grid={text!r}: expected KEY=VALUE,VALUE with ; between two keys, each once."
            )
        grid[key.strip()] = _values(values)
    return grid


def _values(text: str) -> list[Any]:
    with contextlib.suppress(ValueError, SyntaxError):
        return list(ast.literal_eval(f"[{text}]"))
    return [_literal(part.strip()) for part in text.split(",")]


def _literal(text: str) -> Any:
    with contextlib.suppress(ValueError, SyntaxError):
        return ast.literal_eval(text)
    return text


def parse_seeds(text: str) -> list[int]:
    """``"0..31"`` or ``"0,2,5"`` as numbers.

    Raises:
        UsageError: it has another form, or a seed twice.
    """
    found: list[int] = []
    for part in text.split(","):
        first, dots, last = part.partition("..")
        ends = [first, last if dots else first]
        if not all(end.strip().isdecimal() for end in ends):
            raise UsageError(f"seeds={text!r}: expected such as 0..31 or 0,2,5.")
        found += range(int(ends[0]), int(ends[1]) + 1)
    if not found or len({*found}) < len(found):
        raise UsageError(f"seeds={text!r}: expected each seed once, from the least to the largest.")
    return found
