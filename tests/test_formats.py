"""Exports in other formats: as the SavedModel, by their names, by their own code, or one line."""

import json
import runpy

import keras
import numpy as np
import pytest
import toy

import tfgan_ema as tg
import zoo
from tfgan_ema import command, export, formats, latents, usage
from tfgan_ema.cli import main
from tfgan_ema.errors import UsageError


def run(*words):
    return main.main([str(word) for word in words])


NAMES = ["two\nlines", 'a "quote"', "it's"]
FORMATS = [
    pytest.param(format, marks=pytest.mark.slow if format == "openvino" else ())
    for format in formats.FORMATS
]


def need(format):
    for package in formats.FORMATS[format].needs:
        pytest.importorskip(package, reason=f"needs: {command.INSTALL[package]}")


@pytest.fixture(scope="module")
def conditional(tmp_path_factory):
    """A conditional GAN and its SavedModel, whose classes have names that are hard to write."""
    model = toy.gan(averages=[tg.EMA(0.5)], num_classes=3)
    toy.fit(model, 2)
    folder = tmp_path_factory.mktemp("saved") / "model"
    return model, export.saved_model(model, folder, class_names=NAMES)


@pytest.fixture(scope="module", params=FORMATS)
def written(request, conditional, tmp_path_factory):
    """A conditional generator in a format."""
    need(request.param)
    gan, folder = conditional
    out = tmp_path_factory.mktemp("formats") / request.param
    formats.write(request.param, folder, out, generator=gan.ready_generator(0))
    return request.param, out


def test_each_format_is_the_saved_model(conditional, written):
    format, out = written
    record = json.loads((out / "export.json").read_text())
    assert record["latent"] == {"kind": "normal", "dim": 6}
    assert record["class_names"] == NAMES
    assert record["largest_difference_in_grey_levels"] < 0.01
    feed = formats.inputs(export.load_generator(conditional[1]), 5, seed=3)  # another size of batch
    images = formats.FORMATS[format].load(out / usage.FILES[format])(feed)
    wanted = conditional[0].generate(feed["latent"], feed["label"])
    np.testing.assert_allclose(images, wanted, atol=1e-5)


def test_the_code_beside_an_export_draws_images(written, capsys):
    _, out = written
    images = runpy.run_path(str(out / "usage.py"))["images"]
    assert (images.shape, images.dtype) == ((16, 8, 8, 3), np.uint8)
    assert images.std() > 1
    assert capsys.readouterr().out == "(16, 8, 8, 3) uint8\n"


@pytest.mark.parametrize("wrong", ["width", "label"])
def test_a_bad_request_is_an_error_and_the_next_is_answered(conditional, written, wrong):
    format, out = written
    if (format, wrong) == ("openvino", "label"):
        pytest.skip("OpenVINO takes every label")
    generate = formats.FORMATS[format].load(out / usage.FILES[format])
    feed = formats.inputs(export.load_generator(conditional[1]), 2)
    bad = {
        "width": {"latent": feed["latent"][:, :5]},
        "label": {"label": np.array([0, 3], "int32")},
    }
    with pytest.raises(Exception, match=r"\S"):
        generate(feed | bad[wrong])
    assert generate(feed).shape == (2, 8, 8, 3)


def test_a_format_replaces_an_export_only_if_asked(conditional, tmp_path):
    need("litert")
    for overwrite in (False, True):
        formats.write("litert", conditional[1], tmp_path / "a", overwrite=overwrite)
    with pytest.raises(UsageError, match="exists: choose another folder, or pass overwrite=True"):
        formats.write("litert", conditional[1], tmp_path / "a")
    (tmp_path / "precious.txt").touch()
    with pytest.raises(UsageError, match="is not an exported model"):
        formats.write("litert", conditional[1], tmp_path, overwrite=True)


@pytest.mark.parametrize("format", ["keras", "litert"])
def test_the_command_says_how_near_it_is(format, tmp_path, capfd):
    need(format)
    words = [f"--format={format}", "--model=ring_mlp", f"--out={tmp_path / 'o'}"]
    assert run("export", *words) == 0
    printed = capfd.readouterr()
    assert f"{format}, 0." in printed.out
    assert "256 samples differ from the SavedModel's by at most" in printed.out
    assert printed.out.count("\n") == 1
    assert printed.err == ""


@pytest.mark.slow
@pytest.mark.parametrize("format", formats.FORMATS)
@pytest.mark.parametrize("name", zoo.shipped.names())
def test_shipped_models_in_each_format(name, format, tmp_path):
    need(format)
    generator = zoo.load(name, keras=True) if format == "keras" else None
    folder = zoo.shipped.folder(name)
    made = formats.write(format, folder, tmp_path / "o", generator=generator)
    assert made.largest < 0.01
    images = runpy.run_path(str(tmp_path / "o" / "usage.py"))["images"]
    assert list(images.shape[1:]) == zoo.shipped.card(name)["data"]["shape"]


FILTERED = {"r3gan_32": 1 / 24, "stylegan2_32": 1 / 32}  # with convolutions in groups, and without


@pytest.fixture(scope="module", params=FILTERED)
def filtered(request, tmp_path_factory):
    """A network that upsamples with a filter, and its SavedModel."""
    keras.utils.set_random_seed(4)
    pair = zoo.build(request.param, width=FILTERED[request.param])
    toy.random_last_kernels(*pair)
    model = tg.GAN(*pair, latent=pair[0].inputs[0].shape[-1], averages=[tg.EMA(0.5)])
    return model, export.saved_model(model, tmp_path_factory.mktemp("filtered") / "model")


@pytest.mark.slow
def test_filters_and_groups_in_a_saved_model(filtered):
    gan, folder = filtered
    loaded = export.load_generator(folder)
    latent = formats.inputs(loaded, 5, seed=3)["latent"]
    assert gan.generate(latent).std() > 0.1
    np.testing.assert_allclose(loaded(latent), gan.generate(latent), atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("format", formats.FORMATS)
def test_filters_and_groups_in_each_format(filtered, format, tmp_path):
    need(format)
    gan, folder = filtered
    made = formats.write(format, folder, tmp_path / "o", generator=gan.ready_generator(0))
    assert made.largest < 0.01
    feed = formats.inputs(export.load_generator(folder), 5, seed=3)
    images = formats.FORMATS[format].load(tmp_path / "o" / usage.FILES[format])(feed)
    np.testing.assert_allclose(images, gan.generate(feed["latent"]), atol=1e-4)
    pixels = runpy.run_path(str(tmp_path / "o" / "usage.py"))["images"]
    assert pixels.shape == (16, 32, 32, 3)


@pytest.fixture(scope="module")
def gan():
    model = toy.gan(averages=[tg.EMA(0.5)])
    toy.fit(model, 2)
    return model


def test_the_keras_file_of_a_run_is_its_average(gan, tmp_path):
    saved = export.saved_model(gan, tmp_path / "saved")
    generator = gan.ready_generator(0)
    written = formats.write("keras", saved, tmp_path / "k", generator=generator)
    assert written.largest < 0.01
    model = keras.models.load_model(tmp_path / "k" / "generator.keras")
    latent = np.ones((3, 6), "float32")
    np.testing.assert_allclose(model(latent), gan.generate(latent), atol=1e-6)
    with pytest.raises(UsageError, match="a SavedModel has no layers"):
        formats.write("keras", saved, tmp_path / "other")
    with pytest.raises(UsageError, match=r"images differ by .* grey levels"):
        formats.write("keras", saved, tmp_path / "other", generator=gan.generator)
    assert not (tmp_path / "other").exists()


def test_eight_bit_weights_are_smaller_and_near(tmp_path):
    pytest.importorskip("ai_edge_litert", reason=command.INSTALL["ai_edge_litert"])
    model = zoo.shipped.folder("ring_mlp")
    exact = formats.write("litert", model, tmp_path / "exact")
    small = formats.write("litert", model, tmp_path / "small", quantize=True)
    assert small.size < exact.size / 3
    assert exact.largest < 0.01 < small.mean < 2


@pytest.mark.parametrize("kind", latents.PRIORS)
def test_a_saved_model_comes_with_its_prior_and_code(tmp_path, kind):
    pair = zoo.build("mlp", g_hidden=(8, 8), d_hidden=(8, 8))
    gan = tg.GAN(*pair, latent=latents.get(kind, 2))
    truncation = 0.5 if kind == "normal" else None
    folder = export.saved_model(gan, tmp_path / "m", truncation=truncation)
    loaded = export.load_generator(folder)
    truncated = {"truncation": truncation} if truncation else {}
    assert loaded.prior == {"kind": kind, "dim": 2, **truncated}
    points = runpy.run_path(str(folder / "assets.extra" / "usage.py"))["images"]
    np.testing.assert_array_equal(points, gan.sample(16, 0, truncation=truncation))
    text = usage.code("onnx", loaded.prior, images=False, folder='"."', count=2000)
    scope = {}
    exec(text.partition("session")[0].replace("import onnxruntime", ""), scope)
    ours, theirs = formats.inputs(loaded, 2000)["latent"], scope["latent"]
    assert ours.dtype == theirs.dtype == np.float32
    assert ours.shape == theirs.shape == (2000, 2)
    if truncation:
        assert 0.45 < np.abs(theirs).max() <= 0.5
    np.testing.assert_allclose(theirs.std(), ours.std(), atol=0.03)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--format=onnx", "--quantize"], "--quantize belongs to --format=litert"),
        (["--format=onxx"], "onnx"),
        (["--format=keras", f"--model={zoo.shipped.folder('ring_mlp')}"], "has no layers"),
    ],
)
def test_wrong_requests_are_one_line(words, message, tmp_path, capsys):
    model = [] if any("--model" in word for word in words) else ["--model=ring_mlp"]
    assert run("export", *model, *words, f"--out={tmp_path / 'o'}") == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("package", ["tf2onnx", "ai_edge_litert", "openvino"])
def test_a_missing_converter_is_one_line(package, tmp_path, capsys, monkeypatch):
    format, _ = next(item for item in formats.FORMATS.items() if package in item[1].needs)
    monkeypatch.setattr(formats.importlib.util, "find_spec", lambda name: None)
    assert run("export", "--model=ring_mlp", f"--format={format}", f"--out={tmp_path / 'o'}") == 2
    error = capsys.readouterr().err
    assert "is not installed: pip install 'tfgan_ema[" in error
    assert error.count("\n") == 1
