"""``tfgan-ema zoo``: what it prints, and that bad input touches nothing."""

import importlib
import types
from pathlib import Path

import keras
import numpy as np
import pytest

import zoo
from tfgan_ema.cli import main

FIXTURES = Path(__file__).parent / "fixtures"


def test_list_names_every_network(capsys):
    assert main.main(["zoo", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    networks, trained = lines[: lines.index("")], lines[lines.index("") + 1 :]
    assert [line.split()[0] for line in networks] == ["network", *zoo.names()]
    assert [line.split()[0] for line in trained] == ["trained", *zoo.shipped.names()]
    row = next(line for line in lines if line.startswith("sngan_32 ")).split()
    assert row[1:4] == ["32", "4,276,739", "1,053,825"]


def test_show_counts_the_layers(capsys):
    assert main.main(["zoo", "show", "sngan_32", "--width=0.125", "--num_classes=5"]) == 0
    lines = capsys.readouterr().out.splitlines()
    totals = [int(x.split(", ")[-1].split()[0].replace(",", "")) for x in lines if " -> " in x]
    layers = [int(line.split()[-1].replace(",", "")) for line in lines if line.startswith("  ")]
    assert sum(totals) == sum(layers) > 0
    generator, discriminator = zoo.build("sngan_32", width=0.125, num_classes=5)
    for total, model in zip(totals, (generator, discriminator), strict=True):
        assert total == sum(int(np.prod(w.shape)) for w in model.trainable_weights)


@pytest.fixture
def theirs(monkeypatch):
    """The script that drew the reference's weights, and what the reference made of them."""
    monkeypatch.syspath_prepend(FIXTURES)
    draw = importlib.import_module("draw")
    with np.load(FIXTURES / "wgan_gp_32.npz") as file:
        return types.SimpleNamespace(**vars(draw), reference=dict(file))


def test_convert_a_checkpoint(theirs, tmp_path, capsys):
    """A state dict in PyTorch's zip format, written by hand from the reference's weights."""
    path = tmp_path / "netG.pth"
    write_state_dict(path, theirs.weights(theirs.reference, "G"))
    out = tmp_path / "made" / "g.keras"
    flags = ["--width=0.125", f"--checkpoint={path}", f"--out={out}"]
    assert main.main(["zoo", "convert", "wgan_gp_32", *flags]) == 0
    assert "generator of wgan_gp_32" in capsys.readouterr().out
    generator = keras.models.load_model(out)
    images = np.moveaxis(np.asarray(generator(2 * theirs.uniform((0, 0), (2, 128)))), 3, 1)
    np.testing.assert_allclose(images[:, :, 1::3, ::5], theirs.reference["images"], atol=1e-4)


def test_a_network_without_converter_is_refused(tmp_path, capsys):
    path, out = tmp_path / "netG.pth", tmp_path / "g.keras"
    write_state_dict(path, {"w": np.ones((2, 3), np.float32)})
    assert main.main(["zoo", "convert", "dcgan_32", f"--checkpoint={path}", f"--out={out}"]) == 2
    assert "no converter" in capsys.readouterr().err
    assert not out.exists()


def write_state_dict(path, tensors):
    """What ``torch.save({name: tensor})`` holds, as a pickle written opcode by opcode."""
    import struct
    import zipfile

    def text(word):
        return b"X" + struct.pack("<I", len(word)) + word.encode()

    def numbers(values):
        return b"(" + b"".join(b"J" + struct.pack("<i", n) for n in values) + b"t"

    payload = b"\x80\x02}("
    for key, (name, value) in enumerate(tensors.items()):
        pid = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text(str(key)) + text("cpu")
        pid += b"J" + struct.pack("<i", value.size) + b"tQ"
        strides = np.array(value.strides) // 4
        payload += text(name) + b"ctorch._utils\n_rebuild_tensor_v2\n(" + pid + b"J\0\0\0\0"
        payload += numbers(value.shape) + numbers(strides) + b"\x89ccollections\nOrderedDict\n)RtR"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", payload + b"u.")
        for key, value in enumerate(tensors.values()):
            archive.writestr(f"archive/data/{key}", np.ascontiguousarray(value, "<f4").tobytes())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "say what to do"),
        (["lst"], "did you mean 'list'"),
        (["gallery"], "--out is missing"),
        (["gallery", "ring_mlp", "--out=OUT"], "leave 'ring_mlp' out"),
        (["check"], "check: expected one name"),
        (["check", "no_such"], "unknown shipped model"),
        (["add", "ring_mlp"], "--workdir is missing"),
        (["add", "no_such", "--workdir=none"], "is not a work directory"),
        (["add", "ring_mlp", "--workdir=none", "--overwrite"], "is not a work directory"),
        (["show"], "show: expected one name"),
        (["show", "sngan_33"], "did you mean 'sngan_32'"),
        (["list", "sngan_32"], "zoo show sngan_32"),
        (["convert", "sngan_32", "--out=OUT"], "--checkpoint is missing"),
        (["convert", "sngan_32", "--checkpoint=none", "--out=OUT"], "no such file"),
        (["convert", "sngan_32", "--checkpoint=none", "--out=g.h5"], "ending in .keras"),
        (["convert", "sngan_32", "--checkpoint=none", "--out=OUT", "--part=both"], "--part=both"),
    ],
)
def test_bad_input(words, message, tmp_path, capsys):
    out = tmp_path / "g.keras"
    assert main.main(["zoo", *[word.replace("OUT", str(out)) for word in words]]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_weights_that_are_not_finite_are_refused(theirs, tmp_path, capsys):
    path, out = tmp_path / "netG.pth", tmp_path / "g.keras"
    tensors = theirs.weights(theirs.reference, "G")
    tensors["block2.c1.weight"] = np.full_like(tensors["block2.c1.weight"], np.nan)
    write_state_dict(path, tensors)
    flags = ["--width=0.125", f"--checkpoint={path}", f"--out={out}"]
    assert main.main(["zoo", "convert", "wgan_gp_32", *flags]) == 2
    assert "NaN or infinity in block2.c1.weight" in capsys.readouterr().err
    assert not out.exists()
