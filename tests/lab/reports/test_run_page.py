"""The page of a run: what it shows, what it refuses, and how a browser takes it."""

import base64
import html.parser
import io
import json
import re
import shutil

import numpy as np
import pytest
import toy
from PIL import Image

import tfgan_ema as tg
from tfgan_ema import data
from tfgan_ema.callbacks import GAP
from tfgan_ema.lab.commands import report as command
from tfgan_ema.lab.reports import interpolation, pages, pictures
from tfgan_ema.lab.reports import run as report
from tfgan_ema.training import train

STEPS = [2, 4, 6]


def trained(workdir, leak=None, **changes):
    import tensorflow as tf

    from configs import base

    config = base.get_config()
    config.update(steps=6, batch_size=8, log_every=2, sample_every=2, checkpoint_every=6)
    config.leak = leak
    config.update_from_flattened_dict(changes)
    assert train(config, workdir, tf.distribute.get_strategy()) == 0
    return workdir


@pytest.fixture(scope="module", autouse=True)
def _own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TFGAN_EMA_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run on digits that is logged, sampled and evaluated three times."""
    return trained(
        tmp_path_factory.mktemp("runs") / "digits <run>",
        leak={"beta": 0.5, "start_step": 3},
        **{
            "data.name": "digits", "data.image_size": 16, "data.channels": 1,
            "network.kind": "dcgan_32", "network.width": 1 / 32,
            "evaluate_every": 2, "evaluate.metrics": ("fd_pixels",), "evaluate.samples": 300,
        },
    )  # fmt: skip


@pytest.fixture(scope="module")
def points(tmp_path_factory):
    """A run on the ring, without an average and without evaluation."""
    return trained(
        tmp_path_factory.mktemp("runs") / "ring",
        **{"data.name": "ring", "network.kind": "mlp", "averages": {}},
    )


@pytest.fixture(scope="module")
def text(run):
    return report.page(run)


@pytest.fixture(scope="module")
def copied(run, tmp_path_factory):
    """What makes copies of the run to be spoilt."""

    def copy(*left_out):
        workdir = tmp_path_factory.mktemp("copy") / "w"
        shutil.copytree(run, workdir, ignore=shutil.ignore_patterns(*left_out))
        return workdir

    return copy


class Reader(html.parser.HTMLParser):
    """All tags of a page, as (name, attributes)."""

    def __init__(self, text):
        super().__init__()
        self.tags = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def decoded(uri):
    """The image of a data URI, in grey."""
    head, content = uri.split(",")
    assert head == "data:image/webp;base64"
    with Image.open(io.BytesIO(base64.b64decode(content))) as image:
        return np.asarray(image.convert("L"))


def images_of(text):
    """The page's images as arrays, by their descriptions."""
    images = {}
    for attributes in Reader(text).all("img"):
        images.setdefault(attributes["alt"], []).append(decoded(attributes["src"]))
    return images


def test_the_page_stands_alone(text):
    page = Reader(text)
    targets = [a[key] for _, a in page.tags for key in ("src", "href") if key in a]
    assert all(target.startswith(("data:", "#")) for target in targets)
    sections = [attributes["id"] for attributes in page.all("section")]
    assert [t for t in targets if t.startswith("#")] == [f"#{section}" for section in sections]
    assert sections == [
        "samples", "evaluation", "training", "interpolation", "nearest-neighbours", "configuration",
    ]  # fmt: skip
    assert "<h1>digits &lt;run&gt;</h1>" in text
    assert not re.search(r"https?://|@import|url\((?!#)", text)
    assert all(image["alt"] for image in page.all("img"))


def test_the_same_run_gives_the_same_page(run, text):
    assert report.page(run) == text


def test_the_slider_has_a_frame_for_each_picture_of_the_run(run, text):
    page = Reader(text)
    (slider,) = page.all("input")
    assert (slider["min"], slider["max"], slider["value"]) == ("0", "2", "2")
    frames = [a for a in page.all("div") if a.get("class") == "frame pair"]
    assert [frame["data-step"] for frame in frames] == ["2", "4", "6"]
    assert ["hidden" in frame for frame in frames] == [True, True, False]
    shown = images_of(text)
    for step in STEPS:
        with Image.open(run / "samples" / f"step_{step:08d}.png") as file:
            whole = np.asarray(file)
        raw, averaged = shown[f"raw, step {step}"], shown[f"averaged (power_ema), step {step}"]
        gap = np.full((len(whole), GAP), 255, "uint8")
        np.testing.assert_array_equal(np.concatenate([raw[0], gap, averaged[0]], axis=1), whole)


def test_long_runs_show_evenly_spaced_pictures(run, copied):
    workdir = copied("samples")
    (workdir / "samples").mkdir()
    picture = run / "samples" / "step_00000002.png"
    for step in range(1, 61):
        shutil.copy(picture, workdir / "samples" / f"step_{step:08d}.png")
    text = report.page(workdir)
    steps = [int(step) for step in re.findall(r'data-step="(\d+)"', text)]
    assert (steps[0], steps[-1], len(steps)) == (1, 60, report.MOST_STEPS)
    assert set(np.diff(steps)) <= {2, 3}
    assert f"{report.MOST_STEPS} of 60 pictures" in text


def test_large_pictures_stay_small():
    noise = np.random.default_rng(0).integers(0, 256, (2100, 2100, 3), dtype=np.uint8)
    smooth = np.linspace(0, 255, 2100, dtype=np.uint8)[None, :, None].repeat(2100, 0)
    for image in (noise, smooth):
        content = pictures.data_uri(image, pictures.WIDEST)
        assert decoded(content).shape == (pictures.WIDEST, pictures.WIDEST)
        assert len(content) < 5e5
    small = noise[:40, :50]
    np.testing.assert_array_equal(decoded(pictures.data_uri(small[..., :1], 100)), small[..., 0])


def test_curves_and_tables_hold_what_was_recorded(run, text):
    rows = report.read_table(run / "evaluation.csv")
    assert [row["generator"] for row in rows] == ["raw", "power_ema"] * 3
    for row in rows[-2:]:
        assert f"<td>{pages.short(float(row['fd_pixels']))}</td>" in text
    for title in ("fd_pixels", "Losses", "Mean logits", "Distance of the raw weights"):
        assert f"<b>{title}" in text
    assert text.count("leak starts") == text.count('<figure class="chart">')
    assert "<tr><td>leak.beta</td><td>0.5</td><td></td></tr>" in text
    assert "<tr><td>steps</td><td>6</td><td>100000</td></tr>" in text


def test_the_neighbours_are_in_the_page(text):
    assert "256 samples of the averaged (power_ema) generator" in text
    assert "1,797 of 1,797 training samples" in text
    assert "Euclidean distance in pixels (0 to 1, at most 32 px wide)" in text
    assert re.search(r"\d % are suspiciously close to a training sample", text)
    assert len(images_of(text)["sample"]) == report.SHOWN
    distances = re.findall(r'alt="training image">([\d.]+)</td>', text)
    assert len(distances) == report.SHOWN * report.NEAREST
    rows = np.reshape(distances, (report.SHOWN, report.NEAREST)).astype(float)
    assert (np.diff(rows) >= 0).all()
    assert (np.diff(rows[:, 0]) >= 0).all()


def test_interpolations_run_between_latents_at_fixed_labels(monkeypatch):
    gan = toy.gan(averages=[tg.EMA(0.5)], num_classes=3)
    asked = []
    generate = gan.generate
    monkeypatch.setattr(gan, "generate", lambda *a, **k: asked.append((a, k)) or generate(*a, **k))
    paths = report._interpolation(gan, None)
    assert "Their labels: 0, 1, 2, 0, 1, 2." in paths["description"]
    assert [options["average"] for _, options in asked] == ["raw", 0]
    (latent, labels), _ = asked[0]
    np.testing.assert_array_equal(
        labels.reshape(interpolation.PATHS, interpolation.STOPS),
        np.arange(6)[:, None] % 3 + np.zeros((1, 9)),
    )
    norms = np.linalg.norm(latent, axis=1).reshape(interpolation.PATHS, interpolation.STOPS)
    # Along a great circle, lengths go over linearly; along a chord they would dip.
    np.testing.assert_allclose(np.diff(norms, 2, axis=1), 0, atol=1e-5)
    (shown,) = images_of(paths["figures"][1])[f"averaged ({gan.averages[0].name}), 6 latent paths"]
    assert shown.shape == (6 * 10 + 2, 9 * 10 + 2)


def test_uniform_latents_are_joined_by_straight_lines(monkeypatch):
    gan = toy.gan()
    gan.latent = tg.latents.Uniform(6)
    asked = []
    generate = gan.generate
    monkeypatch.setattr(gan, "generate", lambda *a, **k: asked.append(a[0]) or generate(*a, **k))
    assert "Straight paths" in report._interpolation(gan, None)["description"]
    path = np.reshape(asked[0], (interpolation.PATHS, interpolation.STOPS, 6))
    np.testing.assert_allclose(np.diff(path, 2, axis=1), 0, atol=1e-6)


@pytest.mark.parametrize("copies", [report.DRAWN, 20])
def test_copies_of_the_training_set_are_found(monkeypatch, rng, copies):
    gan, source = toy.gan(), toy.source(count=600)
    samples = rng.integers(0, 256, (report.DRAWN, 8, 8, 3), dtype=np.uint8)
    samples[-copies:] = source.samples[-copies:]
    monkeypatch.setattr(gan, "sample", lambda count, seed, **_: samples[:count])
    neighbours = report._neighbours(gan, source)
    ratio = neighbours["nearest"].ratio
    assert ratio == 0 if copies == report.DRAWN else 0.8 < ratio < 1.2
    assert abs(neighbours["nearest"].copies - copies / report.DRAWN) < 0.05
    assert len(neighbours["closest"]) == report.SHOWN
    for row in neighbours["closest"]:
        sample, nearest, *others = map(decoded, row["images"])
        np.testing.assert_array_equal(sample, nearest)
        assert row["distances"][0] == 0
        assert len(others) == report.NEAREST - 1


@pytest.mark.parametrize(
    ("name", "space"),
    [("noise", "pixels"), ("fashion_mnist", "fashion_classifier")],
)
def test_the_space_of_the_neighbours_is_the_sets_own(monkeypatch, name, space):
    made = toy.source(size=40, channels=1, count=40)
    gan, source = toy.gan(), data.Source(name, made.samples)
    monkeypatch.setattr(gan, "sample", lambda count, seed, **_: 255 - source.samples)
    neighbours = report._neighbours(gan, source)
    assert neighbours["space"] == space
    assert (neighbours["training"], neighbours["of"]) == (40, 40)


def test_points_are_scattered(points):
    text = report.page(points)
    page = Reader(text)
    assert [image["alt"] for image in page.all("img")] == [f"raw, step {step}" for step in STEPS]
    assert len(page.all("use")) == 2 * interpolation.CLOUD  # dots: the data and the samples
    assert "Euclidean distance in the plane" in text
    assert "No scores yet" in text
    assert "Averages: none." in text


def test_a_run_that_recorded_nothing_has_a_page(copied):
    text = report.page(copied("samples", "*.csv"))
    for note in ("No samples yet", "No scores yet", "Nothing is logged yet"):
        assert note in text
    assert not Reader(text).all("input")


def test_missing_training_data_are_not_fetched(copied, monkeypatch):
    workdir = copied()
    content = json.loads((workdir / "run.json").read_text())
    content["data"]["name"] = "cifar10"
    (workdir / "run.json").write_text(json.dumps(content))
    monkeypatch.setattr(data.sets, "fetch", lambda *_: pytest.fail("a download"))
    assert "cifar10 is not on disk" in report.page(workdir)


def test_the_command_writes_one_file(run, text, copied, tmp_path, capsys):
    out = tmp_path / "deep" / "page.html"
    before = sorted(run.rglob("*"))
    assert command.main(["tfgan-ema report", str(run), f"--out={out}"]) == 0
    assert capsys.readouterr().out.strip() == str(out)
    assert out.read_text(encoding="utf-8") == text
    assert sorted(run.rglob("*")) == before
    workdir = copied("samples")
    assert command.main(["tfgan-ema report", str(workdir)]) == 0
    assert (workdir / "report.html").is_file()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "expected a WORKDIR"),
        (["{0}", "{0}"], "--out is missing"),
        (["{0}/none"], "is not a work directory"),
        (["{0}/file"], "is not a work directory"),
        (["{0}/damaged"], "is damaged"),
        (["{0}/foreign"], "was not written by `tfgan-ema train`"),
        (["{0}/listed"], "was not written by `tfgan-ema train`"),
        (["{0}/fresh"], "has no checkpoint yet"),
        (["{1}", "--out={0}"], "cannot be written"),
        (["{1}", "--out={0}/file/page.html"], "cannot be written"),
    ],
)
def test_wrong_folders_are_one_line_exit_2_and_write_nothing(run, tmp_path, capsys, words, message):
    (tmp_path / "file").write_text("x")
    contents = {"damaged": "{", "foreign": '{"name": "x"}', "listed": "[]"}
    for name, content in contents.items() | {("fresh", (run / "run.json").read_text())}:
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").write_text(content)
    before = sorted([*tmp_path.rglob("*"), *run.rglob("*")])
    assert command.main(["tfgan-ema report", *(w.format(tmp_path, run) for w in words)]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert message in lines[0]
    assert sorted([*tmp_path.rglob("*"), *run.rglob("*")]) == before


def test_a_browser_shows_it_at_both_widths_in_light_and_dark(text, tmp_path, views):
    path = tmp_path / "report.html"
    path.write_text(text, encoding="utf-8")
    grounds = []
    for page in views(path):
        slider, step = page.locator("input"), page.locator("output")
        visible = page.locator(".frame:visible")
        assert (step.inner_text(), visible.get_attribute("data-step")) == ("6", "6")
        seen = []
        for key in ("ArrowLeft", "ArrowLeft", "End", "Home"):
            slider.press(key)
            assert step.inner_text() == visible.get_attribute("data-step")
            seen.append(step.inner_text())
        assert seen == ["4", "2", "6", "2"]
        assert slider.get_attribute("aria-valuetext") == "step 2"
        ink = "getComputedStyle(document.querySelector('.chart text')).fill"
        ground = "getComputedStyle(document.body).backgroundColor"
        grounds.append((page.evaluate(ground), page.evaluate(ink)))
    assert grounds[:2] == grounds[2:]
    assert grounds[0][0] != grounds[1][0]
    assert all(ground != ink for ground, ink in grounds)
