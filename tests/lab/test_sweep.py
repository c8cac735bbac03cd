"""Sweeps: settings and seeds of one configuration, trained, scored and compared."""

import csv

import pytest

from tfgan_ema import remote
from tfgan_ema.cli import sweep as command
from tfgan_ema.errors import UsageError
from tfgan_ema.lab import sweep

CONFIG = """
from configs import base

def get_config():
    config = base.get_config()
    config.network = {"kind": "mlp", "g_hidden": [8], "d_hidden": [8]}
    config.data.name = "ring"
    config.steps, config.batch_size = 6, 8
    config.averages = {"ema": {"decay": 0.9}}
    config.checkpoint_every = 3
    config.evaluate.metrics, config.evaluate.samples = ("w1",), 50
    return config
"""
RATES = "d_optimizer.learning_rate+g_optimizer.learning_rate"


def swept(folder, *words):
    (folder / "tiny.py").write_text(CONFIG)
    words = [f"--config={folder / 'tiny.py'}", f"--out={folder / 'out'}", *words]
    return command.main(["tfgan-ema sweep", *words])


def test_a_grid_is_every_combination_of_its_values():
    grid = sweep.parse_grid("a.b+c=1e-4,2e-4; loss.kind=hinge,non_saturating;leak=None")
    assert grid == {"a.b+c": [1e-4, 2e-4], "loss.kind": ["hinge", "non_saturating"], "leak": [None]}
    assert len(list(sweep.settings(grid))) == 4
    assert list(sweep.settings({})) == [{}]
    assert sweep.parse_grid("betas=(0,1),(1,2)") == {"betas": [(0, 1), (1, 2)]}


@pytest.mark.parametrize("text", ["a", "a=", "=1", "a=1;a=2"])
def test_a_bad_grid_is_refused(text):
    with pytest.raises(UsageError, match="expected KEY=VALUE"):
        sweep.parse_grid(text)


@pytest.mark.parametrize(("text", "seeds"), [("0..3", [0, 1, 2, 3]), ("5,7..8", [5, 7, 8])])
def test_seeds_are_read(text, seeds):
    assert sweep.parse_seeds(text) == seeds


@pytest.mark.parametrize("text", ["", "a", "3..1", "1,1", "0..", "-1"])
def test_bad_seeds_are_refused(text):
    with pytest.raises(UsageError, match="seeds="):
        sweep.parse_seeds(text)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--grid=stpes=1,2"], "did you mean 'steps'"),
        (["--grid=steps=1,a"], "steps 'a': expected int"),
        (["--seeds=x"], "--seeds=x: expected"),
        (["--grid=x"], "--grid=x: expected"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_trained(tmp_path, capsys, words, message):
    assert swept(tmp_path, *words) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_sweep_is_one_table_and_one_page_and_continues(tmp_path, capsys):
    """Also: it diverges where a learning rate is absurd, and a cluster gives the same scores."""
    words = [f"--grid={RATES}=1e-3,1e30", "--seeds=0..1"]
    assert swept(tmp_path, *words) == 0
    out = tmp_path / "out"
    made = (out / "results.csv").read_bytes()
    with (out / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    trained = [row for row in rows if row["diverged"] == "False"]
    assert [(row["seed"], row["generator"]) for row in trained] == [
        ("0", "raw"), ("0", "ema"), ("1", "raw"), ("1", "ema"),
    ]  # fmt: skip
    assert len({row["w1"] for row in trained}) == 4
    assert len(rows) - len(trained) == 2
    page = (out / "index.html").read_text()
    assert "2 runs diverged" in page
    assert "paired by seed" in page
    assert len(list((out / "runs").glob("*/run.json"))) == 4

    kept = sorted((out / "cells").iterdir())
    stamps = [path.stat().st_mtime_ns for path in kept[1:]]
    kept[0].unlink()
    capsys.readouterr()
    assert swept(tmp_path, *words) == 0
    assert "1 of 4 runs to train" in capsys.readouterr().out
    assert (out / "results.csv").read_bytes() == made
    assert [path.stat().st_mtime_ns for path in kept[1:]] == stamps

    pytest.importorskip("ray", reason="needs: pip install 'tfgan_ema[cluster]'")
    (tmp_path / "ray").mkdir()
    with remote.connected("local", 2):
        assert swept(tmp_path / "ray", f"--grid={RATES}=1e-3", "--seeds=0", "--cluster=local") == 0
    with (tmp_path / "ray" / "out" / "results.csv").open() as file:
        assert list(csv.DictReader(file)) == rows[:2]
