"""Trained models: made of a run, loaded by name, checked, shown; and those that come with us."""

import functools
import html.parser
import json
import re
import shlex
import shutil
from pathlib import Path

import markupsafe
import numpy as np
import pytest
from PIL import Image

import zoo
from configs import shipped as recipes
from tfgan_ema import checkpoint, export, runs, training
from tfgan_ema.cli import main
from tfgan_ema.errors import UsageError
from tfgan_ema.lab.reports import cards, gallery

RING = {
    "steps": 4, "batch_size": 16, "log_every": 2, "sample_every": 2, "checkpoint_every": 4,
    "evaluate_every": 2, "evaluate.samples": 100, "evaluate.metrics": ("modes",),
    "steps_per_execution": 1, "jit": False, "network.width": 1 / 32,
}  # fmt: skip
IMAGES = RING | {
    "evaluate_every": None, "evaluate.metrics": ("fd_pixels",), "data.name": "digits",
    "data.image_size": 16,
}  # fmt: skip


def trained(workdir, row, **changes):
    import tensorflow as tf

    config = recipes.get_config(row)
    config.update_from_flattened_dict(changes)
    assert training.train(config, workdir, tf.distribute.get_strategy()) == 0
    return workdir


@pytest.fixture(scope="module", autouse=True)
def exports(tmp_path_factory):
    """A folder of models of its own, and a cache of its own."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("zoo") / "exports"
        patch.setattr(zoo.shipped, "FOLDER", folder)
        patch.setenv("TFGAN_EMA_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield folder


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("runs") / "ring", "ring_mlp", **RING)


@pytest.fixture(scope="module")
def conditional(tmp_path_factory):
    """A run's folder with first weights in its last checkpoint, and no tables."""
    config = recipes.get_config("sngan_fashion_mnist")
    config.update_from_flattened_dict(IMAGES)
    source = runs.load_source(config)
    gan = runs.build_gan(config, source.shape, source.num_classes)
    gan.step.assign(config.steps)
    workdir = tmp_path_factory.mktemp("runs") / "digits"
    checkpoint.save(workdir / "checkpoints", config.steps, gan.state())
    runs.write_run(workdir, config, source, source.num_classes)
    return workdir


@pytest.fixture(scope="module")
def models(run, conditional):
    """Two models: points, and images with classes."""
    cards.add("ring_mlp", run, samples=200)
    cards.add("sngan_fashion_mnist", conditional, samples=100)
    return zoo.shipped.names()


def test_the_card_says_what_the_run_was(run, models):
    folder, card = zoo.shipped.folder("ring_mlp"), zoo.shipped.card("ring_mlp")
    assert card["config"] == runs.read_run(run)["config"]
    assert card["changes"]["steps"] == 4
    assert "--config.steps=4" in card["commands"]["train"]
    words = shlex.split(card["commands"]["train"])
    assert "--config.evaluate.metrics=('modes',)" in words
    assert (card["steps"], card["seed"], card["average"]) == (4, 0, "ema")
    assert card["hours"] > 0
    assert card["device"] == runs.read_run(run)["device"] == "CPU"
    assert card["commands"]["train"].startswith("tfgan-ema train")
    assert card["bytes"] == sum(
        f.stat().st_size
        for f in folder.rglob("*")
        if f.is_file() and f.name not in ("card.json", "card.md") and f.suffix != ".png"
    )
    assert [step for step, _ in card["history"]["modes"]["raw"]] == [2, 4]
    text = (folder / "card.md").read_text()
    assert text == cards.markdown(card)
    assert card["samples"]["sha256"] in text
    assert all(limit in text for limit in card["limits"])


def test_raw_and_averaged_are_scored_on_the_same_latents(run, models):
    from tfgan_ema.metrics import Evaluator

    metrics = zoo.shipped.card("ring_mlp")["metrics"]
    gan, source = runs.load_run(run), runs.load_source(recipes.get_config("ring_mlp"))
    for seed in metrics["seeds"]:
        evaluator = Evaluator(["modes"], source, samples=200, seed=seed)
        for generator, average in (("raw", "raw"), ("averaged", 0)):
            scores = evaluator(functools.partial(gan.sample, average=average))
            assert {k: v[seed] for k, v in metrics[generator].items()} == scores


def test_a_model_is_loaded_by_name_and_is_the_run_average(run, conditional, models):
    for name, workdir in (("ring_mlp", run), ("sngan_fashion_mnist", conditional)):
        made = zoo.load(name).sample(70, seed=3)
        np.testing.assert_array_equal(made, runs.load_run(workdir).sample(70, 3))
    first = zoo.load("sngan_fashion_mnist").sample(64)
    with Image.open(zoo.shipped.folder("sngan_fashion_mnist") / "samples.png") as file:
        picture = np.asarray(file)
    np.testing.assert_array_equal(picture[2:18, 2:18], first[0, ..., 0])
    np.testing.assert_array_equal(picture[-18:-2, -18:-2], first[63, ..., 0])


def test_check_holds_and_notices_what_has_changed(models, monkeypatch, capsys):
    assert main.main(["zoo", "check", "ring_mlp"]) == 0
    printed = capsys.readouterr().out
    assert printed.count("holds: ") == 1 + 3  # samples; modes, high_quality, mode_kl
    path = zoo.shipped.folder("ring_mlp") / "card.json"
    kept = path.read_text()
    card = json.loads(kept)
    card["metrics"]["averaged"]["mode_kl"][0] += 100
    card["metrics"]["averaged"]["mode_kl"][1] += 100
    path.write_text(json.dumps(card))
    monkeypatch.setattr(cards, "plain_hash", lambda *_: "0" * 64)
    try:
        assert main.main(["zoo", "check", "ring_mlp"]) == 1
    finally:
        path.write_text(kept)
    lines = capsys.readouterr().out.splitlines()
    failed = [line for line in lines if line.startswith("FAILS")]
    assert len(failed) == 2
    assert "first 2000 samples" in failed[0]
    assert "mode_kl" in failed[1]


def test_the_commands_take_a_name(models, tmp_path, capsys):
    out = tmp_path / "s.npy"
    assert main.main(["sample", "--model=ring_mlp", "--count=5", "--seed=2", f"--out={out}"]) == 0
    np.testing.assert_array_equal(np.load(out), zoo.load("ring_mlp").sample(5, 2))
    capsys.readouterr()
    assert main.main(["zoo", "show", "ring_mlp"]) == 0
    assert capsys.readouterr().out.startswith("# ring_mlp")
    for words in (["sample", "--model=rng_mlp", f"--out={tmp_path / 'x.png'}"],
                  ["zoo", "check", "rng_mlp"], ["zoo", "show", "rng_mlp"]):  # fmt: skip
        assert main.main(words) == 2
        error = capsys.readouterr().err
        assert "did you mean 'ring_mlp'" in error
        assert error.count("\n") == 1
    assert not (tmp_path / "x.png").exists()


def test_what_cannot_be_shipped_is_refused_and_leaves_nothing(
    run, models, exports, monkeypatch, tmp_path
):
    before = {p: p.stat().st_mtime_ns for p in exports.rglob("*")}
    with pytest.raises(UsageError, match="pass overwrite=True"):
        cards.add("ring_mlp", run)
    with pytest.raises(UsageError, match="ships no raw weights"):
        cards.add("grid_mlp", run, average="raw")
    unfinished = tmp_path / "w"
    shutil.copytree(run, unfinished)
    content = json.loads((unfinished / "run.json").read_text())
    content["config"]["steps"] = 100
    (unfinished / "run.json").write_text(json.dumps(content))
    with pytest.raises(UsageError, match="is at step 4 of 100"):
        cards.add("grid_mlp", unfinished)
    for limit, what in (("MOST_BYTES", "grid_mlp"), ("MOST_BYTES_TOGETHER", "all models")):
        with monkeypatch.context() as patch:
            patch.setattr(cards, limit, 1000)
            with pytest.raises(UsageError, match=f"{what}.*at most"):
                cards.add("grid_mlp", run)
    assert {p: p.stat().st_mtime_ns for p in exports.rglob("*")} == before


class Reader(html.parser.HTMLParser):
    """What a page refers to."""

    def __init__(self, text):
        super().__init__()
        self.targets, self.ids = [], set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.targets += [attrs[key] for key in ("src", "href") if key in attrs]
        if "id" in attrs:
            self.ids.add(attrs["id"])


@pytest.fixture(scope="module")
def text(models):
    return gallery.page()


def test_the_gallery_stands_alone_and_shows_every_model(text, models):
    page = Reader(text)
    assert all(target.startswith(("data:", "#")) for target in page.targets)
    assert not re.search(r"https?://|@import|url\((?!#)", text)
    for name in models:
        assert name.replace(" ", "-") in page.ids
        card = zoo.shipped.card(name)
        for row in cards.score_rows(card):
            assert f"<td>{row[2]}</td>" in text
        assert markupsafe.escape(card["commands"]["train"]) in text
        assert all(markupsafe.escape(limit) in text for limit in card["limits"])
    assert "Their labels: 0, 1, 2, 3, 4, 5." in text
    # The ring's run left pictures of steps 2 and 4; the other was never trained.
    assert re.findall(r'data-step="(\d+)"', text) == ["2", "4"]
    assert gallery.page() == text


def test_no_model_is_no_gallery(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(zoo.shipped, "FOLDER", tmp_path)
    out = tmp_path / "g.html"
    assert main.main(["zoo", "gallery", f"--out={out}"]) == 2
    assert "holds no model" in capsys.readouterr().err
    assert not out.exists()


def test_a_browser_shows_the_gallery(text, tmp_path, views):
    path = tmp_path / "gallery.html"
    path.write_text(text, encoding="utf-8")
    grounds = set()
    for page in views(path):
        strip = page.locator(".strip").first
        assert strip.locator("output").inner_text() == "4"
        strip.locator("input").press("ArrowLeft")
        assert strip.locator("output").inner_text() == "2"
        assert not page.get_by_text("command: train").first.is_visible()
        page.locator("summary").first.press(" ")
        assert page.get_by_text("command: train").first.is_visible()
        grounds.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert len(grounds) == 2


# What comes with the package

HERE = Path(zoo.__file__).parent / "exports"
COMING = sorted(path.parent.name for path in HERE.glob("*/card.json"))


def test_the_shipped_models_are_within_their_limits():
    sizes = {name: cards.size(HERE / name) for name in COMING}
    assert sizes
    assert set(sizes) <= set(recipes.ROWS)
    assert max(sizes.values()) <= cards.MOST_BYTES
    assert sum(sizes.values()) <= cards.MOST_BYTES_TOGETHER


@pytest.mark.parametrize("name", COMING)
def test_a_shipped_model_is_what_its_card_says(name):
    """Loads, and makes as good samples; the bits are checked by `zoo check` where it was made."""
    card = json.loads((HERE / name / "card.json").read_text())
    assert (HERE / name / "card.md").read_text() == cards.markdown(card)
    samples = export.load_generator(HERE / name).sample(16)
    assert list(samples.shape[1:]) == card["data"]["shape"]
    assert samples.std() > 0.1


def test_the_wheel_holds_the_shipped_models():
    from setuptools import Distribution
    from setuptools.command.build_py import build_py

    declared = re.search(r'"zoo": \["(.*?)"\]', (HERE.parents[1] / "setup.py").read_text())[1]
    command = build_py(Distribution({"packages": ["zoo"], "package_data": {"zoo": [declared]}}))
    command.finalize_options()
    command.manifest_files = {}
    kept = {Path(p) for p in command.find_data_files("zoo", str(HERE.parent))}
    assert kept == {path for path in HERE.rglob("*") if path.is_file()}
