"""What the site holds beyond the Markdown files of docs.

Files from above the folder, which pages link to as GitHub shows them, become pages too. A page
``results/NAME.md`` ends with the table that its front matter describes, and with the report that
``tfgan-ema reproduce`` wrote. A tutorial is also a notebook, which lies beside it.
"""

from __future__ import annotations

import csv
import math
import re
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jupytext
from mkdocs.structure.files import File, Files
from nbformat import NotebookNode

DOCS = Path(__file__).parents[1]
PAGES = ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
TUTORIALS = ("photos.md", *sorted(f"tutorials/{p.name}" for p in DOCS.glob("tutorials/*.md")))
PICTURES = "zoo/exports/*/samples.png"
KERNEL = """---
jupyter:
  kernelspec: {name: python3, language: python, display_name: Python 3}
---
"""
WORDS = {
    "": "no leak",
    "False": "no leak",
    "True": "leak",
    "none": "no average",
    "ema": "EMA 0.999",
    "ema_0.9999": "EMA 0.9999",
    "uniform": "uniform average",
    "zero_gp": "zero-centred penalty",
    "optimistic_adam": "optimistic Adam",
    "wgan_gp": "WGAN-GP",
    "r1": "R1",
    "r2": "R2",
    "copied": "EMA, batch statistics of the raw generator",
}


def on_files(files: Files, config: Any) -> Files:
    """Adds the files."""
    above = DOCS.parent
    for path in (*PAGES, *(p.relative_to(above).as_posix() for p in above.glob(PICTURES))):
        files.append(File.generated(config, path, abs_src_path=str(above / path)))
    for path in TUTORIALS:
        text = jupytext.writes(notebook((DOCS / path).read_text("utf-8")), fmt="ipynb")
        files.append(File.generated(config, path.removesuffix("md") + "ipynb", content=text))
    return files


def notebook(markdown: str) -> NotebookNode:
    """A page as a notebook: its Python and shell are cells, its files are written by theirs."""
    made = jupytext.reads(KERNEL + markdown, fmt="md")  # else most cells would say the language
    for cell in made.cells:
        if cell.cell_type == "code":
            cell.source = re.sub(r"^%%(ba)?sh\n", "%%bash -e\n", cell.source)
            cell.source = re.sub(r"^# (\w+\.py)\n", r"%%writefile \1\n", cell.source)
    return made


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Points links at them; adds an experiment's table."""
    if page.file.src_uri in PAGES:
        return markdown.replace("](docs/", "](")
    if page.file.src_uri in TUTORIALS:
        name = Path(page.file.src_uri).stem
        markdown = re.sub(r"^(# .*\n)", rf"\1\n[This page as a notebook]({name}.ipynb)\n", markdown)
    if "table" in page.meta:
        markdown += "\n\n" + summary(_folder(page) / "results.csv", **page.meta["table"])
    return markdown.replace("](../", "](") if "/" not in page.file.src_uri else markdown


def on_page_content(html: str, page: Any, **_: Any) -> str:
    """Adds an experiment's report."""
    if page.meta.get("report"):
        html += report((_folder(page) / "index.html").read_text("utf-8"), _folder(page).name)
    return html


def summary(
    path: Path,
    *,
    rows: Sequence[str],
    value: str,
    best: str,
    columns: str | None = None,
    where: Mapping[str, Any] | None = None,
) -> str:
    """A Markdown table of means and deviations over the seeds of a ``results.csv``.

    Args:
        path: the file.
        rows: its columns whose values make a row.
        value: its column that is averaged.
        best: ``"lowest"`` or ``"highest"``: this mean is bold in each row, or in the one column.
        columns: the column whose values make the columns.
        where: what other columns must hold.
    """
    with path.open(encoding="utf-8", newline="") as file:
        found = [
            row
            for row in csv.DictReader(file)
            if all(row[key] == str(wanted) for key, wanted in (where or {}).items())
        ]
    cells: dict[tuple[str, ...], dict[str, list[float]]] = {}
    for row in found:
        line = cells.setdefault(tuple(row[key] for key in rows), {})
        line.setdefault(row[columns] if columns else value, []).append(float(row[value]))
    head = list(dict.fromkeys(column for line in cells.values() for column in line))
    means = {key: {c: statistics.fmean(v) for c, v in line.items()} for key, line in cells.items()}
    choose = {"lowest": min, "highest": max}[best]
    overall = choose(mean for line in means.values() for mean in line.values())

    def cell(key: tuple[str, ...], column: str) -> str:
        if column not in cells[key]:
            return ""
        values, mean = cells[key][column], means[key][column]
        text = _measured(mean, statistics.stdev(values) if len(values) > 1 else 0.0)
        compared = means[key].values() if columns else (overall,)
        marked = mean == choose(compared) and not (columns and len(set(compared)) == 1)
        return f"**{text}**" if marked else text

    lines = [[*rows, *map(_word, head)], ["---"] * (len(rows) + len(head))]
    lines += [[*map(_word, key), *(cell(key, column) for column in head)] for key in cells]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def report(text: str, name: str) -> str:
    """The body of a report without its title, as a part of a page one folder above it."""
    body = re.sub(r"^.*?</h1>|</?(body|main|html)[^>]*>", "", text, flags=re.DOTALL)
    body = body.replace("href='results.csv'", f"href='{name}/results.csv'")
    return f'<h2 id="report">The whole report</h2>\n<div class="report">{body}</div>\n'


def _folder(page: Any) -> Path:
    return DOCS / page.file.src_uri.removesuffix(".md")


def _measured(mean: float, deviation: float) -> str:
    """Both with the decimals that give the deviation two digits, on one line."""
    if not deviation:
        return f"{mean:.4g}"
    decimals = max(0, 1 - math.floor(math.log10(deviation)))
    return f"{mean:.{decimals}f}\u00a0±\u00a0{deviation:.{decimals}f}"


def _word(value: str) -> str:
    return WORDS.get(value, value.replace("_", " "))
