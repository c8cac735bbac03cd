"""The command on folders, exported models and runs."""

import json

import numpy as np
import pytest

from tfgan_ema import data
from tfgan_ema.cli import main
from tfgan_ema.lab.reports.curves import save_truncation_curves


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TFGAN_EMA_CACHE", str(tmp_path / "cache"))


def trained(workdir, **changes):
    """A run of two steps on digits, with a truncatable latent."""
    import tensorflow as tf

    from configs import quickstart
    from tfgan_ema.training import train

    config = quickstart.get_config()
    config.update(steps=2, batch_size=8)
    config.data.name, config.network.width = "digits", 0.0625
    config.update(changes)
    train(config, workdir, tf.distribute.get_strategy())
    return workdir


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    from tfgan_ema.runs import load_run

    workdir = trained(tmp_path_factory.mktemp("runs") / "digits-0")
    return workdir, load_run(workdir)


@pytest.fixture
def folder(tmp_path):
    images = data.load("digits").samples
    for i in range(40):
        data.png.save_png(tmp_path / "images" / f"{i:03d}.png", images[i])
    return tmp_path / "images"


def command(*arguments):
    return main.main(["evaluate", *map(str, arguments)])


def test_a_folder_against_a_data_set(folder, tmp_path, capsys):
    out = tmp_path / "deep" / "scores.json"
    code = command(
        f"--samples={folder}", "--reference=digits", "--metrics=fd_pixels,precision_recall_pixels",
        f"--out={out}", "--reference_count=1000",
    )  # fmt: skip
    assert code == 0
    printed, said = capsys.readouterr()
    assert said.count("fd_pixels: 40 samples are too few: half of them change") == 1
    report = json.loads(out.read_text())
    (scores,) = report["results"]
    assert list(scores) == ["fd_pixels", "precision_pixels", "recall_pixels"]
    assert report["count"] == 40
    assert report["reference"] == "digits"
    for name, value in scores.items():
        assert f"{name:<16}  {value:.6g}" in printed
    assert scores["precision_pixels"] > 0.9


def test_a_folder_against_itself_and_saved_statistics(folder, tmp_path):
    stats, out = tmp_path / "stats.npz", tmp_path / "scores.json"
    common = [f"--samples={folder}", "--metrics=fd_pixels", f"--out={out}",
              "--image_size=8", "--channels=1"]  # fmt: skip
    assert command(*common, f"--reference={folder}", f"--save_reference={stats}") == 0
    assert json.loads(out.read_text())["results"][0]["fd_pixels"] < 1e-6
    out.unlink()
    assert command(*common, f"--reference={stats}") == 0
    assert json.loads(out.read_text())["results"][0]["fd_pixels"] < 1e-6


def test_a_data_set_against_itself(tmp_path):
    out = tmp_path / "scores.json"
    code = command("--samples=digits", "--samples_split=train", "--reference=digits",
                   "--metrics=fd_pixels", f"--out={out}")  # fmt: skip
    assert code == 0
    report = json.loads(out.read_text())
    assert report["count"] == 1797
    assert report["results"][0]["fd_pixels"] < 1e-6


def test_metrics_are_listed(capsys):
    assert command("--metrics=list") == 0
    names = capsys.readouterr().out.split()
    assert {"fid", "kid", "fd_fashion_classifier", "w1", "modes", "is_resnet50"} <= set(names)


def test_curves_are_drawn(tmp_path):
    rows = [
        {"truncation": t, "precision_x": 1 - t / 2, "recall_x": t / 2, "fd_x": 3 - t, "is_x": 1 + t,
         "is_x_std": 0.1, "density_x": 1.0}
        for t in (0.3, 0.6, 1.0)
    ]  # fmt: skip
    path = tmp_path / "new" / "curves.png"
    save_truncation_curves(rows, path)
    from PIL import Image

    width, height = Image.open(path).size
    assert width > 3 * height  # precision-recall, FID-IS and density


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "--samples is missing"),
        (["--samples=nowhere", "--reference=digits"], "nowhere: no folder of images"),
        (["--samples={folder}"], "or a data set as --reference"),
        (["--samples={folder}", "--image_size=8", "--channels=1"], "a reference set is missing"),
        (["--samples={folder}", "--reference=digits", "--metrics=fjd_pixels"], "did you mean"),
        (["--samples={folder}", "--reference={folder}"], "--image_size and --channels"),
        (["--samples={folder}", "--reference=ring"], "ring holds points"),
        (["--samples={folder}", "--reference=digits", "--count=41"], "images has 40"),
        (["--samples={folder}", "--reference=digits", "--truncation=.5"], "is none."),
        (["--samples={folder}", "--reference=digits", "--average=raw"], "is none."),
        (["--samples={run}", "--truncation=a"], "--truncation=a: expected a number"),
        (["--samples={folder}", "--plot=x.png"], "give --truncation"),
        (["--samples={folder}", "--reference=digits", "--device=abacus"], "device 'abacus'"),
        (["--samples={folder}", "--referense=digits"], "referense"),
        (["--samples={folder}", "--save_reference={empty}"], "--save_reference="),
        (["--samples=digits", "--truncation=1", "--plot=/dev/null/x.png"], "--plot=/dev"),
        (["{folder}"], "is no run: expected work directories"),
        (["--samples=digits", "{run}"], "give one of them"),
        (["--samples={empty}", "--reference=digits"], "no images"),
    ],
)
def test_mistakes_exit_with_2_and_write_nothing(arguments, words, folder, tmp_path, capsys):
    empty, run = tmp_path / "empty", tmp_path / "run"
    empty.mkdir()
    run.mkdir()
    (run / "run.json").write_text("{}")
    out = tmp_path / "scores.json"
    filled = [a.format(folder=folder, empty=empty, run=run) for a in arguments]
    assert command(*filled, f"--out={out}") == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert words in last
    assert last.startswith("tfgan-ema evaluate: ")
    assert not out.exists()


def test_a_run_is_scored_along_truncation(run, tmp_path, capsys):
    workdir, gan = run
    out, png = tmp_path / "scores.json", tmp_path / "curves.png"
    code = command(
        f"--samples={workdir}", "--reference=digits", "--count=30", "--batch=20",
        "--metrics=fd_pixels,precision_recall_pixels", "--truncation=.3,1", f"--plot={png}",
        f"--out={out}",
    )  # fmt: skip
    assert code == 0
    rows = json.loads(out.read_text())["results"]
    assert [row["truncation"] for row in rows] == [0.3, 1]
    printed = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert printed[0] == ["truncation", "0.3", "1"]
    assert printed[1][1::3] == [f"{row['fd_pixels']:.6g}" for row in rows]
    assert png.exists()
    from tfgan_ema.metrics import Evaluator

    expected = Evaluator(["fd_pixels"], "digits", samples=30, batch=20)(
        lambda count, seed: gan.sample(count, seed, truncation=0.3)
    )
    assert rows[0]["fd_pixels"] == expected["fd_pixels"]


def test_raw_generator_and_exported_model(run, tmp_path):
    from tfgan_ema import export

    workdir, gan = run
    exported = export.saved_model(gan, tmp_path / "model")
    scores = {}
    for name, samples in {
        "average": [f"--samples={workdir}"],
        "raw": [f"--samples={workdir}", "--average=raw"],
        "exported": [f"--samples={exported}"],
    }.items():
        out = tmp_path / f"{name}.json"
        code = command(*samples, "--reference=digits", "--count=30", "--metrics=fd_pixels",
                       f"--out={out}")  # fmt: skip
        assert code == 0
        scores[name] = json.loads(out.read_text())["results"][0]["fd_pixels"]
    assert scores["exported"] == scores["average"]
    assert scores["raw"] != scores["average"]


def test_all_generators_of_a_run_against_its_training_set(run, tmp_path, capsys):
    workdir, gan = run
    out = tmp_path / "scores.json"
    names = "--metrics=fd_pixels,authenticity_pixels"
    assert command(workdir, "--average=all", "--count=60", names, f"--out={out}") == 0
    report = json.loads(out.read_text())
    names = ["raw", *(average.name for average in gan.averages)]
    assert [row["average"] for row in report["results"]] == names
    first = report["scores"][0]
    assert (first["reference"], first["split"]) == ("digits", "train")
    assert (first["count"], first["reference_count"]) == (60, 1797)
    assert (first["space"], first["resize"]) == ("pixels", None)
    raw, averaged = (row["fd_pixels"] for row in report["results"][:2])
    change = report["differences"][0]
    assert change["difference"] == pytest.approx(averaged - raw)
    errors = [each["error"] for each in report["scores"] if each["metric"] == "fd_pixels"]
    assert 0 < change["error"] < np.hypot(*errors[:2])  # equal latents: less than independent ones
    assert "Differences on the same latents" in capsys.readouterr().out


def test_runs_of_several_seeds(run, tmp_path, capsys):
    first, _ = run
    for seed in (1, 2):
        trained(first.parent / f"digits-{seed}", seed=seed)
    trained(first.parent / "other-0", loss={"kind": "hinge"})
    out = tmp_path / "scores.json"
    words = [first.parent / "digits-*", first.parent / "other-0", "--average=all", "--count=40"]
    assert command(*words, "--metrics=fd_pixels,swd_pixels", f"--out={out}") == 0
    report = json.loads(out.read_text())
    row = report["groups"][0]
    scores = [each for each in report["scores"] if each["metric"] == "fd_pixels"]
    values = [each["value"] for each in scores if each["average"] == "raw"][:3]
    assert (row["runs"], row["seeds"]) == (3, [0, 1, 2])
    assert row["mean"] == pytest.approx(np.mean(values))
    assert row["spread"] == pytest.approx(np.std(values, ddof=1))
    assert row["training"] ** 2 <= row["spread"] ** 2
    assert len(report["groups"]) == 2 * 4  # metrics, two configurations, two generators
    tests = report["tests"]  # one run of the other configuration allows none
    assert [test["paired"] for test in tests] == [True, True]
    low, high = sorted(test["p"] for test in tests)
    assert sorted(test["p_holm"] for test in tests) == pytest.approx(
        [min(2 * low, 1), min(max(2 * low, high), 1)]
    )
    printed = capsys.readouterr().out
    assert "of training" in printed
    assert "t-test, paired by seed" in printed
    assert "by Holm for 2 tests" in printed


def test_a_run_without_checkpoint_is_no_empty_result(tmp_path, capsys):
    (tmp_path / "run.json").write_text("{}")
    assert command(f"--samples={tmp_path}", "--reference=digits", "--metrics=fd_pixels") == 2
    assert capsys.readouterr().err.startswith("tfgan-ema evaluate: ")


def test_help_is_quick(capsys):
    assert command("--help") == 0
    assert "--truncation" in capsys.readouterr().out
