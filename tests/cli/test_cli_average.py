"""`tfgan-ema average`: an average of another width, made and scored after training."""

import csv

import numpy as np
import pytest

from tfgan_ema import runs
from tfgan_ema.cli import average, evaluate, sample, train

CONFIG = """
from configs import base

def get_config():
    config = base.get_config()
    config.data.name = "ring"
    config.network = {"kind": "mlp", "g_hidden": (16,), "d_hidden": (16,)}
    config.averages = {
        "narrow": {"kind": "power_ema", "sigma": 0.05},
        "wide": {"kind": "power_ema", "sigma": 0.1},
        "ema": {"decay": 0.9},
    }
    config.update(
        steps=60, snapshot_every=5, sample_every=None, steps_per_execution=5, batch_size=16
    )
    return config
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("average")
    (folder / "config.py").write_text(CONFIG)
    words = [f"--config={folder / 'config.py'}", f"--workdir={folder / 'run'}"]
    assert train.main(["train", *words]) == 0
    return folder / "run"


def test_the_size_of_snapshots_is_said_before(run, capsys):
    words = [f"--config={run.parent / 'config.py'}", "--dry_run"]
    assert train.main(["train", *words, "--config.snapshot_dtype=float16"]) == 0
    assert "snapshots: 12 of " in capsys.readouterr().out
    assert train.main(["train", *words, "--config.snapshot_dtype=int8"]) == 2
    assert train.main(["train", *words, "--config.averages={}"]) == 2
    assert "without power-function averages" in capsys.readouterr().err


def test_an_average_is_made_and_used_by_name(run, tmp_path, capsys):
    assert average.main(["average", str(run), "--sigma=0.07", "--out=chosen"]) == 0
    assert "the average of width 0.07 at step 60" in capsys.readouterr().out
    out = tmp_path / "points.npy"
    words = [f"--workdir={run}", "--average=chosen", "--count=8", f"--out={out}"]
    assert sample.main(["sample", *words]) == 0
    expected = runs.load_run(run).sample(8, 0, average="chosen")
    np.testing.assert_array_equal(np.load(out), expected)
    words = [f"--samples={run}", "--average=chosen", "--metrics=modes", "--reference=ring"]
    assert evaluate.main(["evaluate", *words, "--count=50"]) == 0
    assert average.main(["average", str(run), "--sigma=0.05", "--out=chosen"]) == 2
    assert "--overwrite" in capsys.readouterr().err


def test_widths_are_scored_once_and_drawn(run, tmp_path, capsys):
    words = ["--sweep=0.03..0.2", "--widths=3", "--at=30,60", "--metrics=modes", "--samples=50"]
    plot = tmp_path / "map.png"
    for _ in range(2):
        assert average.main(["average", str(run), *words, f"--plot={plot}"]) == 0
    assert plot.read_bytes()[:4] == b"\x89PNG"
    with (run / "widths.csv").open() as file:
        rows = list(csv.DictReader(file))
    made = [(r["step"], r["sigma"]) for r in rows if r["generator"] == "made_of_snapshots"]
    assert made == [(s, w) for s in ("30", "60") for w in ("0.03", "0.07746", "0.2")]
    own = {r["generator"]: r["sigma"] for r in rows if r["generator"] != "made_of_snapshots"}
    assert own.keys() == {"narrow", "wide", "ema"}
    assert float(own["ema"]) == pytest.approx(0.154, abs=0.01)
    assert "mode_kl" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "one WORKDIR"),
        (["RUN"], "either --sigma"),
        (["RUN", "--sigma=0.1", "--sweep=0.1..0.2"], "either --sigma"),
        (["RUN", "--sigma=0.1"], "--out=NAME"),
        (["RUN", "--sigma=0.5", "--out=a"], "--sigma=0.5: expected a number in (0, 0.2886)"),
        (["RUN", "--sigma=0.1", "--out=raw"], "average name"),
        (["RUN", "--sigma=0.1", "--at=70", "--out=a"], "last snapshot, 60"),
        (["RUN", "--sigma=0.1", "--at=x", "--out=a"], "--at=x"),
        (["RUN", "--sweep=0.1"], "LEAST..MOST"),
        (["RUN", "--sweep=0.2..0.1"], "smaller width first"),
        (["RUN", "--sweep=0.1..0.2", "--widths=0"], "--widths=0"),
        (["RUN", "--sweep=0.1..0.2", "--metrics=nothing"], "unknown metric"),
        (["nowhere", "--sigma=0.1", "--out=a"], "not a work directory"),
    ],
)
def test_wrong_words_are_one_line(run, words, said, capsys):
    before = sorted(run.rglob("*"))
    words = [str(run) if word == "RUN" else word for word in words]
    assert average.main(["average", *words]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert sorted(run.rglob("*")) == before
