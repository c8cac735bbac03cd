"""Cells on a Ray of this machine give what they give in a pool."""

import subprocess
import sys
import time

import pytest
import ray_cluster

from tfgan_ema import remote
from tfgan_ema.lab.commands import reproduce as command
from tfgan_ema.lab.experiments import cells
from tfgan_ema.lab.experiments.cells import Cell
from tfgan_ema.lab.experiments.experiment import Experiment


def measure(value, folder, progress):
    for part in range(4):
        time.sleep(0.1)
        progress(part / 4)
    return [{"square": value * value, "third": value / 3}]


def table(out, **options):
    """The CSV of an experiment of 16 short cells."""
    name = f"{__name__}:measure"
    wanted = [Cell(f"c{i}", name, {"value": i}, head={"cell": i}) for i in range(16)]
    experiment = Experiment("squares", "Squares", "Squares.", lambda _: wanted, lambda *_: [])
    experiment.run(out, "smoke", **options)
    return (out / "results.csv").read_bytes()


@pytest.fixture(scope="module")
def ray():
    pytest.importorskip("ray", reason="needs: pip install 'tfgan_ema[cluster]'")
    with remote.connected("local", 2):
        yield


@pytest.mark.slow
def test_the_table_is_that_of_a_pool_also_when_processes_are_killed(ray, tmp_path):
    serial = table(tmp_path / "serial")
    with ray_cluster.killing(5, 0.6) as killed:
        assert table(tmp_path / "ray", cluster="local") == serial
    assert len(killed) == 5
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "ray" / "cells").iterdir()}
    assert table(tmp_path / "ray", cluster="local") == serial
    assert kept == {path: path.stat().st_mtime_ns for path in (tmp_path / "ray/cells").iterdir()}


def test_a_folder_that_no_other_machine_sees_is_not_needed(tmp_path):
    cell = Cell("a", f"{__name__}:measure", {"value": 3})
    text = cells.measured(cell, str(tmp_path / "nowhere"), {})
    assert '"square": 9' in text
    assert not (tmp_path / "nowhere").exists()


def test_a_cluster_without_ray_is_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ray", None)
    words = ["grid", "--budget=smoke", "--cluster=local", f"--out={tmp_path / 'new'}"]
    assert command.main(["tfgan-ema reproduce", *words]) == 2
    error = capsys.readouterr().err
    assert error == "tfgan-ema reproduce: ray is not installed: pip install 'tfgan_ema[cluster]'.\n"
    assert not (tmp_path / "new").exists()


@pytest.mark.slow
def test_without_the_flag_ray_is_not_imported(tmp_path):
    program = f"""
import sys
if __name__ == "__main__":
    sys.modules["ray"] = None
    from tfgan_ema.lab.experiments import cells
    print(cells.run([cells.Cell("a", "{__name__}:measure", {{"value": 3}})], cells.Path("out")))
"""
    (tmp_path / "program.py").write_text(program)
    path = ":".join(filter(None, sys.path))
    done = subprocess.run(
        [sys.executable, "program.py"], cwd=tmp_path, env={"PYTHONPATH": path, "PATH": ""},
        capture_output=True, text=True, timeout=300, check=True,
    )  # fmt: skip
    assert "'square': 9" in done.stdout
