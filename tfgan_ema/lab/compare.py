"""The page that compares runs: scores over seeds, curves over one another, what differs in them.

Everything is read from the work directories; nothing is computed anew.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from markupsafe import Markup

from tfgan_ema import recorded, runs
from tfgan_ema.errors import UsageError
from tfgan_ema.lab import seeds
from tfgan_ema.lab.reports import charts, pages, pictures
from tfgan_ema.metrics import Measured
from tfgan_ema.records import read_table

LOGGED = ("d_loss", "g_loss", "d_accuracy", "real_logit", "fake_logit")


class Run(NamedTuple):
    """What is shown of a run.

    Attributes:
        name: its folder, as short as tells it from the others.
        folder: the folder.
        settings: its configuration by dotted keys.
        training: the rows of ``metrics.csv``.
        evaluation: those of ``evaluation.csv``.
    """

    name: str
    folder: Path
    settings: Mapping[str, Any]
    training: list[dict[str, str]]
    evaluation: list[dict[str, str]]

    @property
    def step(self) -> int:
        """The last one that is logged."""
        return max((int(row["step"]) for row in self.training), default=0)


class Last(NamedTuple):
    """The last scores of a generator of a run, as `seeds.summary` takes them."""

    samples: str
    settings: Mapping[str, Any]
    scores: Mapping[str, Measured]


def page(workdirs: Sequence[str | os.PathLike]) -> str:
    """The page that compares several runs, as HTML.

    Raises:
        UsageError: fewer than two, one of them twice, or not a work directory.
    """
    folders = [Path(workdir).resolve() for workdir in workdirs]
    if len(folders) < 2 or len({*folders}) < len(folders):
        raise UsageError(
            f"runs {', '.join(map(str, workdirs)) or 'none'}: expected two or more different ones."
        )
    compared = [_read(folder, name) for folder, name in zip(folders, _names(folders), strict=True)]
    return pages.render(
        "compare.html.j2",
        title=f"Comparison of {len(compared)} runs",
        runs=compared,
        scores=_scores(compared),
        evaluation=list(_evaluation(compared)),
        samples=[each for run in compared for each in _samples(run)],
        training=[
            charts.lines(column, {run.name: _curve(run.training, column) for run in compared})
            for column in LOGGED
        ],
        differences=_differences(compared),
    )


def _read(folder: Path, name: str) -> Run:
    record = runs.read_run(folder)
    config = record["config"] or recorded.as_configuration(record["made_of"])
    settings = runs.flatten(config) | {"data": record["data"]["name"]}
    tables = (read_table(folder / f"{each}.csv") for each in ("metrics", "evaluation"))
    return Run(name, folder, settings, *tables)


def _names(folders: Sequence[Path]) -> list[str]:
    """The ends of paths, of as many parts as tell them apart."""
    for count in range(1, max(len(folder.parts) for folder in folders)):
        names = ["/".join(folder.parts[-count:]) for folder in folders]
        if len({*names}) == len(names):
            return names
    return [str(folder) for folder in folders]


def _curve(rows: Sequence[Mapping[str, str]], column: str) -> charts.Curve:
    return [(int(row["step"]), float(row[column])) for row in rows if row.get(column)]


def _evaluation(compared: Sequence[Run]) -> Iterator[Markup]:
    """A chart for each metric and generator that runs have in common, or one of them has."""
    histories = {run.name: charts.histories(run.evaluation) for run in compared}
    metrics = dict.fromkeys(metric for history in histories.values() for metric in history)
    for metric in metrics:
        found = {name: history.get(metric, {}) for name, history in histories.items()}
        for generator in dict.fromkeys(g for curves in found.values() for g in curves):
            curves = {n: known[generator] for n, known in found.items() if generator in known}
            yield charts.lines(f"{metric}, {generator}", curves)


def _scores(compared: Sequence[Run]) -> dict[str, Any] | None:
    """Last scores: means over runs that differ by their seed alone, with the spread of these."""
    last = [each for run in compared for each in _last(run)]
    if not last:
        return None
    summary = seeds.summary(last)
    metrics = list(dict.fromkeys(row["metric"] for row in summary["groups"]))
    groups: dict[tuple[str, int], dict[str, str]] = {}
    for row in summary["groups"]:
        spread = "" if row["spread"] is None else f" ± {row['spread']:.2g}"
        cells = groups.setdefault((row["group"], row["runs"]), {})
        cells[row["metric"]] = f"{row['mean']:.4g}{spread}"
    return {
        "metrics": metrics,
        "rows": [
            [group, str(count), *(cells.get(metric, "") for metric in metrics)]
            for (group, count), cells in groups.items()
        ],
        "tests": [
            [
                each["metric"],
                f"{each['group']} - {each['against']}",
                f"{each['difference']:.4g} ± {each['error']:.2g}",
                f"{each['p']:.2g} ({'paired by seed' if each['paired'] else 'Welch'})",
                f"{each['p_holm']:.2g}",
            ]
            for each in summary["tests"]
        ],
    }


def _last(run: Run) -> Iterator[Last]:
    for generator in dict.fromkeys(row["generator"] for row in run.evaluation):
        row = [row for row in run.evaluation if row["generator"] == generator][-1]
        scores = {
            metric: Measured(float(value), "", 0, None, None, None)
            for metric, value in row.items()
            if value and metric not in ("step", "generator")
        }
        yield Last(str(run.folder), {"average": generator}, scores)


def _samples(run: Run) -> list[Markup]:
    """The last picture that the run drew: raw left, averaged right."""
    return [
        figure
        for path in pictures.sample_pictures(run.folder / "samples")[-1:]
        for frame in pictures.frames([path], [run.name])
        for figure in frame["pictures"]
    ]


def _differences(compared: Sequence[Run]) -> list[list[str]]:
    """The keys of the configurations that are not the same everywhere, with the values."""
    keys = dict.fromkeys(key for run in compared for key in run.settings)
    rows = [[key, *(_text(run.settings.get(key)) for run in compared)] for key in sorted(keys)]
    return [row for row in rows if len({*row[1:]}) > 1]


def _text(value: Any) -> str:
    return "" if value is None else str(value)
