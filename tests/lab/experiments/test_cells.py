"""The runner of cells and what is made of them."""

import csv
import functools
import os

import cell_functions
import pytest

from tfgan_ema.errors import UsageError
from tfgan_ema.lab.commands import reproduce as command
from tfgan_ema.lab.experiments import cells
from tfgan_ema.lab.experiments.cells import Cell
from tfgan_ema.lab.experiments.experiment import Experiment

COUNT = 4


def wanted(folder, **options):
    log = str(folder / "log")
    return [
        Cell(
            f"c{i}",
            "cell_functions:square",
            {"value": i, "log": log, **options},
            head={"cell": f"c{i}"},
        )
        for i in range(COUNT)
    ]


def table(folder):
    """The experiment made of these cells, as its CSV."""
    out = folder / "out"
    Experiment(
        "squares", "Squares", "The squares\nof numbers.", lambda budget: wanted(folder),
        lambda budget, rows, results: [f"{len(rows)} squares"],
        functools.partial(cell_functions.prepared, folder / "prepared"),
    ).run(out, "smoke")  # fmt: skip
    return (out / "results.csv").read_text()


def ran(folder):
    return sorted(int(line) for line in (folder / "log").read_text().split())


@pytest.mark.slow
def test_an_interrupted_run_ends_as_an_uninterrupted_one(tmp_path):
    for name in ("whole", "broken"):
        (tmp_path / name).mkdir()
    whole = table(tmp_path / "whole")
    assert list(csv.DictReader(whole.splitlines()))[2]["square"] == "4"

    folder = tmp_path / "broken"
    (folder / "broken-2").touch()
    with pytest.raises(RuntimeError, match="cell 2"):
        table(folder)
    assert not (folder / "out" / "results.csv").exists()
    (folder / "broken-2").unlink()
    assert table(folder) == whole
    before = ran(folder)
    assert before.count(2) == 2  # what had failed ran again
    assert table(folder) == whole
    assert ran(folder) == before  # and nothing that was finished
    assert not list((folder / "out" / "cells").glob("*.npz"))


def test_what_cells_share_is_made_once_in_a_process_of_its_own(tmp_path):
    table(tmp_path)
    table(tmp_path)  # when no cell is left, nothing is made
    (process,) = (tmp_path / "prepared").read_text().split()
    assert int(process) != os.getpid()


def test_the_page_names_the_command_and_the_versions(tmp_path):
    table(tmp_path)
    page = (tmp_path / "out" / "index.html").read_text()
    assert f"tfgan-ema reproduce squares --budget=smoke --out={tmp_path / 'out'}" in page
    assert "TensorFlow 2." in page
    assert " on CPU" in page
    assert "<p>The squares of numbers.</p>" in page
    assert "<p>4 squares</p>" in page


def test_cells_start_by_turn_and_on_the_cores_that_are_left(tmp_path, monkeypatch):
    started = []

    def results(function, calls, workers, watch):
        started.append(([call.name for call in calls], workers))
        raise RuntimeError

    monkeypatch.setattr(cells.processes, "results", results)
    monkeypatch.setattr(cells.os, "sched_getaffinity", lambda process: {3, 5}, raising=False)
    costs = {"late": (1, 9.0), "short": (0, 1.0), "long": (0, 5.0), "as_long": (0, 5.0)}
    made = [
        Cell(name, "cell_functions:square", {}, cost, turn=turn)
        for name, (turn, cost) in costs.items()
    ]
    with pytest.raises(RuntimeError):
        cells.run(made, tmp_path)
    assert started == [(["long", "as_long", "short", "late"], 2)]


def test_cells_of_another_budget_are_refused_and_kept(tmp_path):
    out = tmp_path / "out"
    cells.run(wanted(tmp_path), out)
    kept = {path: path.read_bytes() for path in (out / "cells").iterdir()}
    others = [Cell("c0", "cell_functions:square", {"value": 7, "log": ""})]
    with pytest.raises(UsageError, match="another budget or version"):
        cells.run(others, out)
    assert {path: path.read_bytes() for path in (out / "cells").iterdir()} == kept


def test_a_damaged_cell_is_named(tmp_path):
    out = tmp_path / "out"
    cells.run(wanted(tmp_path)[:1], out)
    (out / "cells" / "c0.json").write_text("{")
    with pytest.raises(UsageError, match=r"c0\.json is damaged"):
        cells.run(wanted(tmp_path)[:1], out)


@pytest.mark.parametrize("words", [["gird"], ["grid", "--budget=smok"], ["ring", "--budget="]])
def test_bad_words_are_one_line_and_write_nothing(tmp_path, capsys, words):
    out = tmp_path / "new"
    assert command.main(["tfgan-ema reproduce", *words, f"--out={out}"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not out.exists()
