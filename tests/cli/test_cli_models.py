"""`sample` and `export` of shipped and exported models, and labels by name."""

import numpy as np
import pytest

import zoo
from tfgan_ema import export
from tfgan_ema.cli import main, sample

CONDITIONAL = "sngan_fashion_mnist"


def run(*words):
    return main.main([str(word) for word in words])


def test_a_label_is_the_name_or_the_number_of_a_class(tmp_path):
    model = zoo.load(CONDITIONAL)
    assert model.class_names == tuple(zoo.shipped.card(CONDITIONAL)["data"]["class_names"])
    expected = model.sample(3, 4, labels=[8] * 3)
    for label in ("Bag", "8"):
        out = tmp_path / f"{label}.npy"
        words = ["--count=3", "--seed=4", f"--label={label}", f"--out={out}"]
        assert run("sample", f"--model={CONDITIONAL}", *words) == 0
        np.testing.assert_array_equal(np.load(out), expected)


@pytest.mark.parametrize("count", [3, 150])
def test_arrays_are_written_part_by_part(tmp_path, count):
    rng = np.random.default_rng(0)
    for images in (
        rng.integers(0, 256, (count, 4, 4, 3), "uint8"),
        rng.random((count, 2), "float32"),
    ):
        for name in ("a.npy", "a.NPZ"):
            sample.write(tmp_path / name, iter(np.array_split(images, 2)), count)
            loaded = np.load(tmp_path / name)
            written = loaded if name == "a.npy" else loaded["images"]
            np.testing.assert_array_equal(written, images)
            assert written.dtype == images.dtype


def test_a_shipped_model_is_exported_without_its_card(tmp_path, capsys):
    out = tmp_path / "model" / "1"
    assert run("export", f"--model={CONDITIONAL}", f"--out={out}") == 0
    names = {path.name for path in out.iterdir()}
    assert names == {"saved_model.pb", "fingerprint.pb", "variables", "assets.extra"}
    copy, shipped = export.load_generator(out), zoo.load(CONDITIONAL)
    np.testing.assert_array_equal(copy.sample(5, 1), shipped.sample(5, 1))
    assert copy.class_names == shipped.class_names
    assert run("export", f"--model={CONDITIONAL}", f"--out={out}") == 2
    assert "exists: choose another folder, or pass --overwrite." in capsys.readouterr().err
    assert run("export", f"--model={out}", f"--out={out}", "--overwrite") == 0
    np.testing.assert_array_equal(export.load_generator(out).sample(5, 1), copy.sample(5, 1))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["sample", "--label=bags"], "label 'bags': expected the name of a class, such as 'Bag'"),
        (["sample", "--label=10"], "or its number, 0 to 9"),
        (["sample", "--label=-1"], "or its number, 0 to 9"),
        (["sample", "--model=ring_mlp", "--label=Bag"], "the generator is unconditional"),
        (["sample", "--seed=99999999999999999999"], "expected a whole number from -2^63"),
        (["sample", "--average=raw"], "--average belongs to --workdir"),
        (["sample", "--count=5000"], "count 5000: one request draws at most 4096"),
        (["sample", "extra"], "unexpected argument 'extra'"),
        (["export", "--truncation=0.5"], "--truncation belongs to --workdir"),
        (["export", "--model=rng_mlp"], "did you mean 'ring_mlp'"),
        (["export", "--model=./none"], "none holds no SavedModel"),
        (["export", "--workdir=w"], "give either --workdir=DIR"),
    ],
)
def test_wrong_requests_are_one_line(words, message, tmp_path, capsys):
    model = [] if any("--model" in word for word in words) else [f"--model={CONDITIONAL}"]
    assert run(*words, *model, f"--out={tmp_path / 'o'}") == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())
