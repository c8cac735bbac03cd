"""What every experiment does around its cells: the estimate, the table, the page."""

import contextlib
import csv
import dataclasses
import datetime
import platform
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from tfgan_ema import engines, files, progress, remote
from tfgan_ema.errors import unknown
from tfgan_ema.lab.experiments import BUDGETS
from tfgan_ema.lab.experiments import cells as runner
from tfgan_ema.lab.experiments.cells import Cell
from tfgan_ema.lab.reports import pages

Row = dict[str, Any]
Results = dict[str, Any]  # by name of the cell


@dataclasses.dataclass(frozen=True)
class Experiment:
    """One experiment of the papers.

    Attributes:
        name: on the command line.
        title: of the page.
        about: the introduction of the page: paragraphs with empty lines between them.
        cells: budget -> cells, their cost in seconds of one core. A result is a list of rows, one
            for each seed and measurement, or a dictionary that has such ``rows``.
        parts: budget, table, results -> the parts of the page, as `pages` makes them; text becomes
            a paragraph.
        prepare: called with the budget, in a process of its own on all cores, if any cell is to
            run: makes what cells share.
    """

    name: str
    title: str
    about: str
    cells: Callable[[str], list[Cell]]
    parts: Callable[[str, list[Row], Results], list[str]]
    prepare: Callable[[str], None] | None = None

    def run(self, out: Path, budget: str, *, cluster: str | None = None, gpus: float = 0.0) -> Path:
        """Runs the cells that are missing, writes ``results.csv`` and ``index.html``.

        Args:
            out: the folder of the experiment.
            budget: how much work.
            cluster: runs the cells on Ray, see `remote.connected`.
            gpus: how much of a GPU a cell takes there.

        Returns:
            The page.

        Raises:
            UsageError: an unknown budget, a folder with cells of another budget, or a Keras
                backend without an engine.
        """
        engines.current()  # an error here rather than in every cell
        if budget not in BUDGETS:
            raise unknown("budget", budget, BUDGETS)
        cells = self.cells(budget)
        missing = [cell for cell in cells if runner.record(out, cell) is None]
        with _connected(cluster if missing else None) as workers:
            minutes = sum(cell.cost for cell in missing) / min(workers, len(missing) or 1) / 60
            progress.note(
                f"{self.name}, budget {budget}: {len(missing)} of {len(cells)} cells to run, "
                f"{workers} at a time, about {_duration(minutes)}. To resume, repeat the command."
            )
            if missing and self.prepare:
                runner.run_apart(self.prepare, budget)
            results = runner.run(cells, out, workers=workers, cluster=cluster, gpus=gpus)
        table = rows(cells, results)
        about = [" ".join(part.split()) for part in self.about.split("\n\n")]
        return write(
            out, cells, table, self.title, [*about, *self.parts(budget, table, results)],
            f"tfgan-ema reproduce {self.name} --budget={budget} --out={out}",
        )  # fmt: skip


def rows(cells: Sequence[Cell], results: Results) -> list[Row]:
    """The table of the results of cells."""
    return [cell.head | row for cell in cells for row in _rows(results[cell.name])]


def write(
    out: Path, cells: Sequence[Cell], table: Sequence[Row], title: str, parts: list[str], made: str
) -> Path:
    """Writes a table and a page, ``results.csv`` and ``index.html``; returns the page.

    Args:
        out: the folder of the cells.
        cells: that are finished.
        table: their rows, which have the same columns.
        title: of the page.
        parts: of the page, see `Experiment`.
        made: the command that made it, without the backend.
    """
    with files.replacing(out / "results.csv") as temporary, temporary.open("w") as file:
        writer = csv.DictWriter(file, list(table[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(table)
    records = [runner.record(out, cell) for cell in cells]
    made_by = sorted({record["made_by"] for record in records})
    backend = "KERAS_BACKEND=jax " if all(by.startswith("JAX") for by in made_by) else ""
    page = out / "index.html"
    text = pages.render(
        "experiment.html.j2",
        title=title,
        parts=parts,
        command=f"{backend}{made}",
        duration=_duration(sum(record["seconds"] for record in records) / 60),
        date=datetime.date.fromtimestamp(max(record["finished"] for record in records)),
        made_by=" and ".join(made_by),
        versions=_versions(),
    )
    files.write_text(page, text)
    return page


def select(table: Sequence[Row], **wanted: Any) -> list[Row]:
    """The rows with these values, by seed."""
    rows = [row for row in table if all(row[key] == value for key, value in wanted.items())]
    return sorted(rows, key=lambda row: row["seed"])


def values(table: Sequence[Row], key: str, **wanted: Any) -> list[float]:
    """One column of the rows with these values, by seed."""
    return [row[key] for row in select(table, **wanted)]


def _connected(cluster: str | None) -> contextlib.AbstractContextManager[int]:
    """A context with a cluster, or without one; gives how many cells run at a time."""
    return remote.connected(cluster) if cluster else contextlib.nullcontext(runner.cores())


def _rows(result: Any) -> list[Row]:
    return result["rows"] if isinstance(result, dict) else result


def _duration(minutes: float) -> str:
    return f"{minutes:.0f} minutes" if minutes < 120 else f"{minutes / 60:.1f} hours"


def _versions() -> str:
    packages = ("tfgan_ema", "keras", "numpy", "scipy")
    versions = (f"{name} {metadata.version(name)}" for name in packages)
    return f"Python {platform.python_version()}, {', '.join(versions)}"
