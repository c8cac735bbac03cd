"""Exported models against the GAN they came from, also in a process without this package."""

import errno
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import toy

import tfgan_ema as tg
from tfgan_ema import export
from tfgan_ema.errors import UsageError


@pytest.fixture(scope="module")
def trained():
    model = toy.gan(averages=[tg.EMA(0.5), tg.EMA(0.9, statistics="standing")])
    toy.fit(model, 3)
    return model


@pytest.fixture(scope="module")
def folder(trained, tmp_path_factory):
    return export.saved_model(trained, tmp_path_factory.mktemp("export") / "model")


def test_signatures_have_the_promised_names_shapes_and_types(folder):
    signatures = tf.saved_model.load(str(folder)).signatures
    assert set(signatures) == {"serving_default", "sample"}
    latent = signatures["serving_default"].structured_input_signature[1]["latent"]
    assert (latent.shape.as_list(), latent.dtype) == ([None, 6], tf.float32)
    request = signatures["sample"].structured_input_signature[1]
    assert (request["count"].shape.rank, request["count"].dtype) == (0, tf.int32)
    assert (request["seed"].shape.rank, request["seed"].dtype) == (0, tf.int64)
    images = signatures["sample"].structured_outputs["images"]
    assert (images.shape.as_list(), images.dtype) == ([None, 8, 8, 3], tf.uint8)
    images = signatures["serving_default"].structured_outputs["images"]
    assert (images.shape.as_list(), images.dtype) == ([None, 8, 8, 3], tf.float32)


def test_samples_are_bit_equal(trained, folder):
    model = export.load_generator(folder)
    for count, seed in [(0, 0), (5, 1), (64, 2**40), (130, 3)]:
        np.testing.assert_array_equal(model.sample(count, seed), trained.sample(count, seed))
    latent = np.random.default_rng(0).normal(size=(7, 6)).astype("float32")
    np.testing.assert_allclose(model(latent), trained.generate(latent), atol=1e-6)


PLAIN = """
import sys
sys.modules["tfgan_ema"] = None  # importing it now fails
import numpy as np, tensorflow as tf
loaded = tf.saved_model.load(sys.argv[1])
sample = loaded.signatures["sample"]
images = sample(count=tf.constant(70), seed=tf.constant(9, tf.int64))["images"]
np.save(sys.argv[2], images.numpy())
"""


def test_tensorflow_alone_serves_it(trained, folder, tmp_path):
    out = tmp_path / "images.npy"
    subprocess.run(
        [sys.executable, "-c", PLAIN, str(folder), str(out)], check=True, capture_output=True,
        cwd=tmp_path,
    )  # fmt: skip
    np.testing.assert_array_equal(np.load(out), trained.sample(70, 9))


@pytest.mark.slow
def test_saved_model_cli_lists_and_runs_it(trained, folder, tmp_path):
    def cli(*words):
        command = [str(tg.cache.Path(sys.executable).parent / "saved_model_cli"), *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    shown = cli("show", "--dir", str(folder), "--all")
    assert "signature_def['sample']" in shown
    assert "signature_def['serving_default']" in shown
    cli(
        "run", "--dir", str(folder), "--tag_set", "serve", "--signature_def", "sample",
        "--input_exprs", "count=5;seed=9", "--outdir", str(tmp_path),
    )  # fmt: skip
    np.testing.assert_array_equal(np.load(tmp_path / "images.npy"), trained.sample(5, 9))


def test_each_average_and_the_raw_generator_can_be_exported(trained, tmp_path):
    sets = []
    for average in ("raw", 0, 1):
        out = export.saved_model(trained, tmp_path / f"model_{average}", average=average)
        sets.append(export.load_generator(out).sample(8, 1))
        np.testing.assert_array_equal(sets[-1], trained.sample(8, 1, average=average))
    assert (sets[0] != sets[1]).any()
    assert (sets[1] != sets[2]).any()


def test_truncation_is_fixed_in_the_export(trained, tmp_path):
    out = export.saved_model(trained, tmp_path / "model", truncation=0.5)
    np.testing.assert_array_equal(
        export.load_generator(out).sample(9, 2), trained.sample(9, 2, truncation=0.5)
    )


def test_conditional_models_take_labels(tmp_path):
    model = toy.gan(averages=[tg.EMA(0.5)], num_classes=3)
    toy.fit(model, 1)
    loaded = export.load_generator(export.saved_model(model, tmp_path / "model"))
    np.testing.assert_array_equal(loaded.sample(9, 2), model.sample(9, 2))
    labels = np.arange(70) % 3
    np.testing.assert_array_equal(
        loaded.sample(70, 2, labels=labels), model.sample(70, 2, labels=labels)
    )
    assert loaded.sample(0, labels=np.zeros(0, int)).shape == (0, 8, 8, 3)
    latent = np.zeros((2, 6), "float32")
    np.testing.assert_allclose(
        loaded([latent, np.array([0, 2])]), model.generate(latent, [0, 2]), atol=1e-6
    )
    with pytest.raises(tf.errors.InvalidArgumentError, match="label"):
        loaded([latent, np.array([0, 3])])
    cases = ([0, 3], "labels from 0 to 3: expected 0 to 2"), ([-1], "from -1"), ([0.5], "integers")
    for labels, message in cases:
        with pytest.raises(UsageError, match=message):
            loaded.sample(len(labels), labels=labels)


def test_class_names_lie_beside_the_model(tmp_path):
    model = toy.gan(num_classes=3)
    names = ["cat", "two\nlines", "ß"]
    folder = export.saved_model(model, tmp_path / "named", class_names=names)
    assert export.load_generator(folder).class_names == tuple(names)
    moved = export.copy(folder, tmp_path / "copy")
    assert export.load_generator(moved).class_names == tuple(names)
    folder = export.saved_model(model, tmp_path / "plain")
    assert export.load_generator(folder).class_names == ("0", "1", "2")
    shutil.rmtree(folder / "assets.extra")  # as version 0.1.0 exported it
    old = export.load_generator(folder)
    assert old.class_names is None
    with pytest.raises(UsageError, match="label 7: the generator has fewer classes"):
        old.sample(2, labels=[7, 0])


def test_a_full_disk_is_an_error_that_names_the_folder(trained, tmp_path, monkeypatch):
    def save(*arguments, **options):
        raise tf.errors.OutOfRangeError(None, None, "File too large")

    monkeypatch.setattr(tf.saved_model, "save", save)
    with pytest.raises(OSError, match="No space left") as caught:
        export.saved_model(trained, tmp_path / "model")
    assert caught.value.filename == str(tmp_path / "model")
    assert not list(tmp_path.iterdir())


def test_a_full_disk_while_a_model_is_copied(folder, tmp_path, monkeypatch):
    def write_bytes(path, content):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", write_bytes)
    with pytest.raises(OSError, match="No space left") as caught:
        export.copy(folder, tmp_path / "model")
    assert caught.value.filename == str(tmp_path / "model")
    assert not list(tmp_path.iterdir())


def test_bad_requests_are_refused(folder):
    sample = tf.saved_model.load(str(folder))
    request = sample.signatures["sample"]
    for count in (-1, export.MOST_SAMPLES + 1):
        with pytest.raises(tf.errors.InvalidArgumentError, match="count must"):
            request(count=tf.constant(count), seed=tf.constant(0, tf.int64))
    with pytest.raises((ValueError, TypeError, tf.errors.InvalidArgumentError)):
        sample.signatures["serving_default"](latent=tf.zeros([2, 5]))
    loaded = export.load_generator(folder)
    for bad, words in [
        (lambda: loaded.sample(-1), "count -1"),
        (lambda: loaded.sample(5000), "at most 4096"),
        (lambda: loaded.sample(1, labels=[0]), "unconditional"),
        (lambda: loaded.sample(1, seed=2**63), "seed 9223372036854775808: expected a whole number"),
        (lambda: loaded.sample(1, seed=0.5), "seed 0.5"),
    ]:
        with pytest.raises(UsageError, match=words):
            bad()


def test_nothing_is_overwritten_unasked(trained, folder, tmp_path):
    with pytest.raises(UsageError, match="pass overwrite=True"):
        export.saved_model(trained, folder)
    (tmp_path / "precious.txt").write_text("x")
    with pytest.raises(UsageError, match="not an exported model"):
        export.saved_model(trained, tmp_path, overwrite=True)
    assert (tmp_path / "precious.txt").exists()
    export.saved_model(trained, folder, overwrite=True)
    assert export.load_generator(folder).sample(2).shape == (2, 8, 8, 3)
    with pytest.raises(UsageError, match="holds no SavedModel"):
        export.load_generator(tmp_path)


@pytest.mark.parametrize("share", [0.0, 0.5])
@pytest.mark.parametrize(
    "name",
    ["saved_model.pb", "variables/variables.index", "variables/variables.data-00000-of-00001"],
)
def test_a_damaged_model_is_one_line(folder, tmp_path, name, share):
    damaged = tmp_path / "m"
    shutil.copytree(folder, damaged)
    content = (damaged / name).read_bytes()
    (damaged / name).write_bytes(content[: int(len(content) * share)])
    with pytest.raises(UsageError, match="is damaged") as error:
        export.load_generator(damaged)
    assert str(error.value).isprintable()


@pytest.mark.parametrize("names", ["{", "[1]", '"ab"', "7", '["\\ud800"]'])
def test_damaged_class_names_are_one_line(folder, tmp_path, names):
    damaged = tmp_path / "m"
    shutil.copytree(folder, damaged)
    (damaged / "assets.extra" / "class_names.json").write_text(names)
    with pytest.raises(UsageError, match="is damaged"):
        export.load_generator(damaged)
