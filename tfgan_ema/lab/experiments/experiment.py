"""What every experiment does around its cells: the estimate, the CSV table, the page."""

from __future__ import annotations

import csv
import datetime
import io
import os
import platform
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from tfgan_ema.errors import unknown
from tfgan_ema.lab.experiments import cells as cells_module
from tfgan_ema.lab.experiments.cells import Cell
from tfgan_ema.lab.reports import pages

BUDGETS = ("smoke", "desk", "paper")


def run(
    name: str,
    title: str,
    budget: str,
    out: Path,
    cells: Callable[[str], list[Cell]],
    rows: Callable[[dict[str, Any]], list[dict[str, Any]]],
    body: Callable[[list[dict[str, Any]], dict[str, Any]], list[str]],
    prepare: Callable[[], None] | None = None,
) -> Path:
    """Runs the cells that are missing, writes ``results.csv`` and ``index.html``.

    Args:
        name: of the experiment on the command line.
        title: of the page.
        budget: one of `BUDGETS`.
        out: the folder.
        cells: budget -> cells, their cost in seconds of one core.
        rows: results by cell -> rows of the table, one a seed and cell.
        body: rows and results -> the page's markup.
        prepare: makes what cells share, in a process of its own on all cores, if any is to run.

    Returns:
        The page.

    Raises:
        UsageError: an unknown budget, or a folder of another budget.
    """
    if budget not in BUDGETS:
        raise unknown("budget", budget, BUDGETS)
    wanted = cells(budget)
    workers = os.cpu_count() or 1
    left = [cell for cell in wanted if not cells_module.path(out, cell).exists()]
    minutes = sum(cell.cost for cell in left) / min(workers, len(left) or 1) / 60
    print(
        f"{name}, budget {budget}: {len(left)} of {len(wanted)} cells to run, {workers} at a time, "
        f"about {_duration(minutes)} (at the rate of cores with AVX-512). An interrupted run goes "
        "on at the first cell that is missing.",
        flush=True,
    )
    if left and prepare:
        cells_module.run_apart(prepare)
    results = cells_module.run(wanted, out, workers=workers)
    table = rows(results)
    _write(out / "results.csv", _csv(table))
    made_by = sorted({cells_module.made_by(out, cell) for cell in wanted})
    backend = "KERAS_BACKEND=jax " if all(by.startswith("JAX") for by in made_by) else ""
    command = f"{backend}tfgan-ema reproduce {name} --budget={budget} --out={out}"
    seconds = sum(cells_module.seconds(out, cell) for cell in wanted)
    last = max(cells_module.path(out, cell).stat().st_mtime for cell in wanted)
    made = (
        f"<p>Made by <code>{command}</code> in cells of {_duration(seconds / 60)} together, one "
        f"thread each, the last on {datetime.date.fromtimestamp(last)}; {' and '.join(made_by)}, "
        f"{_versions()}. "
        "Every seed is a row of <a href='results.csv'>results.csv</a>.</p>"
    )
    page = out / "index.html"
    _write(page, pages.page(title, [made, *body(table, results)]))
    return page


def _duration(minutes: float) -> str:
    return f"{minutes:.0f} minutes" if minutes < 120 else f"{minutes / 60:.1f} hours"


def _versions() -> str:
    packages = ("tfgan_ema", "keras", "numpy", "scipy")
    found = [f"{name} {metadata.version(name)}" for name in packages]
    return ", ".join([f"Python {platform.python_version()}", *found])


def _csv(rows: Sequence[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
