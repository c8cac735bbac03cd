"""The experiment on images: its cells, its page, and cells that go on from another's state."""

import csv
import dataclasses
import json
import re

import numpy as np
import pytest

from tfgan_ema.lab.commands import reproduce as command
from tfgan_ema.lab.experiments import cells, experiment, images
from tfgan_ema.lab.experiments.cells import Cell

NAMES = list(images.PROBLEMS)


@pytest.mark.parametrize("budget", experiment.BUDGETS)
def test_every_leak_starts_at_a_point_of_its_curve(budget):
    found = images.cells(NAMES, budget)
    assert len({cell.name for cell in found}) == len(found)
    for name, sizes in images.BUDGETS[budget].items():
        assert sizes.steps % sizes.every == 0
        assert all(start % sizes.every == 0 for start in sizes.starts)
        mine = [cell for cell in found if cell.options["problem"] == name]
        assert len(mine) == sizes.seeds * (1 + 2 * len(sizes.betas))
        for cell in mine:
            leak, plain = cell.options["leak"], cell.options["plain"]
            origin = next(other for other in mine if other.name == plain)
            assert origin.options["leak"] is None
            assert origin.options["seed"] == cell.options["seed"]
            assert leak is None or leak["start_step"] in origin.options["starts"]
            assert origin.cost >= cell.cost > 0  # so that it starts first
    if budget != "smoke":
        assert {c.options["leak"]["beta"] for c in found if c.options["leak"]} == {0.25, 0.5, 0.75}
        few = {name for name, sizes in images.BUDGETS[budget].items() if sizes.seeds < 3}
        assert few == ({"cifar10"} if budget == "desk" else set())
        assert min(sizes.final for sizes in images.BUDGETS[budget].values()) >= 10_000


def test_sets_made_apart_or_together_share_their_cells():
    both = {cell.name: cell for cell in images.cells(NAMES, "desk")}
    for name in NAMES:
        assert all(both[cell.name] == cell for cell in images.cells([name], "desk"))


def test_a_cell_changes_nothing_but_its_leak():
    cells = images.cells(["cifar10"], "smoke")
    (plain, leaky) = (images.configuration(cell.options) for cell in cells[-3:-1])
    assert (leaky.leak.beta, leaky.leak.start_step, leaky.seed) == (0.5, 10, 1)
    leaky.leak = plain.leak
    assert leaky.to_dict() == plain.to_dict()


def invented(cell: Cell, gain: dict[str, float]) -> dict:
    """What a cell returns, with the distance 100 less the gain of its generator."""
    o = cell.options
    rng = np.random.default_rng(o["seed"])
    leak = images.label(o["leak"])
    columns = ["none", "ema", "uniform", "copied"]

    def row(column, step, exact):
        return {
            "problem": o["problem"], "leak": leak, "seed": o["seed"], "generator": column,
            "step": step, "samples": o["final" if exact else "curve"], "metric": o["distance"],
            "distance": 100 + 5 * o["seed"] - gain.get(column, 0) + rng.normal(),
            "precision": 0.5 if exact else "", "recall": 0.25 if exact else "",
        }  # fmt: skip

    steps = range(o["every"], o["steps"] + 1, o["every"])
    if leak:
        rows = [row("none", o["steps"], False), row("ema", o["steps"], True)]
    else:
        rows = [row(column, step, False) for step in steps for column in columns]
        rows += [row(column, o["steps"], True) for column in columns]
    picture = images._png(np.full((images.STRIP, 16, 16, 1), 7, np.uint8))
    strip = {c: {str(s): picture for s in steps} for c in columns} if o["seed"] == 0 else {}
    return {"rows": rows, "strip": {} if leak else strip}


@pytest.mark.parametrize(
    ("name", "seeds", "gain", "word"),
    [
        ("cifar10", 3, 30, "holds"),
        ("cifar10", 3, -30, "is reversed"),
        ("fashion_mnist", 3, 30, "holds"),
        ("cifar10", 1, 30, None),
    ],
)
def test_the_page_says_what_the_rows_say(name, seeds, gain, word, monkeypatch):
    sizes = images.BUDGETS["desk"][name]
    monkeypatch.setitem(images.BUDGETS["desk"], name, sizes._replace(seeds=seeds))
    results = {c.name: invented(c, {"ema": gain}) for c in images.cells(NAMES, "desk")}
    results = json.loads(json.dumps(results))
    table = [row for result in results.values() for row in result["rows"]]
    page = "".join(images.section(name, "desk", table, results))
    verdict = rf"{word}: ([+-][\d.]+) \(p = 0\.0\d+\)" if word else r"([+-][\d.]+)"
    line = rf"<td>EMA better than no average</td><td>{verdict}</td>"
    assert float(re.search(line, page)[1]) == pytest.approx(-gain, abs=3)
    assert page.count("EMA better than without") == page.count("raw generator better") == 6
    assert page.count("<td>not told apart: ") >= 6 * (seeds > 1)
    assert page.count("<figure>") == 1 + 4  # curves; strips of four generators
    assert (" (p = " in page) == (seeds > 1)
    assert ("±" in page) == (seeds > 1)
    (other,) = (problem for key, problem in images.PROBLEMS.items() if key != name)
    assert other.title not in page
    assert not re.search(r"\bnan\b", page)
    keys = list(table[0])
    assert all(list(row) == keys for row in table)


def test_the_reference_is_prepared_once_for_all_cells(tmp_path, monkeypatch):
    monkeypatch.setenv("TFGAN_EMA_CACHE", str(tmp_path))
    images.prepare(NAMES, "smoke")
    (statistics,) = tmp_path.glob("statistics/*")
    assert any(name.endswith("radii") for name in np.load(statistics).files)


@pytest.mark.slow
def test_smoke(tmp_path):
    """Both sets at once; then one of them alone takes over its cells."""
    words = ["--budget=smoke", f"--out={tmp_path}"]
    assert command.main(["tfgan-ema reproduce", "images", *words]) == 0
    with (tmp_path / "results.csv").open() as file:
        table = list(csv.DictReader(file))
    seeds = images.BUDGETS["smoke"]["cifar10"].seeds
    # Three points of four generators and their last scores; at each start a leak: 1 + 1.
    assert len(table) == len(NAMES) * seeds * (3 * 4 + 4 + 2 * 2)
    assert all(float(row["distance"]) > 0 for row in table)
    exact = [row for row in table if row["precision"]]
    assert all(0 <= float(row[key]) <= 1 for row in exact for key in ("precision", "recall"))
    values = {(r["seed"], r["leak"], r["generator"]): r["distance"] for r in exact}
    assert len(set(values.values())) == len(values)
    page = (tmp_path / "index.html").read_text()
    assert page.count("<table>") == 2 * 2
    stamps = {p: p.stat().st_mtime_ns for p in (tmp_path / "cells").iterdir()}
    assert command.main(["tfgan-ema reproduce", "fashion", *words]) == 0
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "cells").iterdir()} == stamps


@pytest.mark.slow
def test_a_cell_has_one_result_however_it_starts(tmp_path):
    """From scratch, from the plain cell's state, and after an interruption; each in one thread."""
    plain, leaky = images.cells(["cifar10"], "smoke")[:2]
    assert leaky.options["leak"]

    def run(folder, *wanted):
        return cells.run(wanted, tmp_path / folder, workers=1)

    whole, scratch = run("whole", plain), run("scratch", leaky)
    for after in (0.2, 0.6):  # in training, and between its last measurements
        options = {**plain.options, "after": after, "whole": plain.function}
        broken = dataclasses.replace(plain, function="cell_functions:interrupted", options=options)
        with pytest.raises(RuntimeError, match="interrupted"):
            run("broken", broken)
    assert (tmp_path / "broken" / "cells" / f"{plain.name}.npz").exists()
    assert (tmp_path / "broken" / "cells" / f"{plain.name}-from-10.npz").exists()
    assert run("broken", plain, leaky) == whole | scratch
