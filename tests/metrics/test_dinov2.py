"""DINOv2's weights from files of other packages, which are made here on random weights."""

import json
from importlib.util import find_spec

import numpy as np
import pytest

from tfgan_ema.errors import UsageError
from tfgan_ema.interop.safetensors import read_safetensors
from tfgan_ema.metrics import dinov2, networks, weights

TINY = dinov2.Form(width=64, depth=2)
NAME = "dinov2_vits14"


def write(path, tensors, **changes):
    """A safetensors file of float32 tensors; ``changes`` replace parts of their headers."""
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name, value in tensors.items():
        new = value.astype("<f4").tobytes()
        header[name] = {"dtype": "F32", "shape": list(value.shape),
                        "data_offsets": [len(data), len(data) + len(new)]}  # fmt: skip
        data += new
    for name, change in changes.items():
        header[name] |= change
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return path


@pytest.fixture
def tensors(rng, monkeypatch, tmp_path):
    """Random weights of a tiny transformer, under a name of DINOv2."""
    monkeypatch.setitem(dinov2.FORMS, NAME, TINY)
    monkeypatch.setenv("TFGAN_EMA_CACHE", str(tmp_path / "cache"))
    shapes = dinov2._shapes(TINY) | {"pos_embed": (1, 257, 64)}
    return {name: 0.1 * rng.standard_normal(shape) for name, shape in shapes.items()}


def by_hand(tensors, images):
    """The class token of a plain NumPy transformer."""
    t = {name: value.astype(np.float64) for name, value in tensors.items()}

    def norm(x, name):
        x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)
        return x * t[f"{name}.weight"] + t[f"{name}.bias"]

    def dense(x, name):
        return x @ t[f"{name}.weight"].T + t[f"{name}.bias"]

    def gelu(x):
        from scipy.special import erf

        return x * (1 + erf(x / np.sqrt(2))) / 2

    scaled = (images / 255 - networks.IMAGENET_MEAN) / networks.IMAGENET_DEVIATION
    cut = scaled.reshape(-1, 16, 14, 16, 14, 3).transpose(0, 1, 3, 5, 2, 4).reshape(-1, 256, 588)
    kernel = t["patch_embed.proj.weight"].reshape(64, 588)
    x = cut @ kernel.T + t["patch_embed.proj.bias"]
    first = np.broadcast_to(t["cls_token"], (len(x), 1, 64))
    x = np.concatenate([first, x], axis=1) + t["pos_embed"]
    for i in range(TINY.depth):
        block = f"blocks.{i}"
        q, k, v = np.split(dense(norm(x, f"{block}.norm1"), f"{block}.attn.qkv"), 3, axis=-1)
        shares = np.exp(q @ k.transpose(0, 2, 1) / 8)
        mixed = shares / shares.sum(-1, keepdims=True) @ v
        x = x + t[f"{block}.ls1.gamma"] * dense(mixed, f"{block}.attn.proj")
        hidden = gelu(dense(norm(x, f"{block}.norm2"), f"{block}.mlp.fc1"))
        x = x + t[f"{block}.ls2.gamma"] * dense(hidden, f"{block}.mlp.fc2")
    return norm(x, "norm")[:, 0]


def test_the_network_is_the_transformer_of_its_weights(tensors, tmp_path, rng, capsys):
    path = write(tmp_path / "tiny.safetensors", tensors)
    with pytest.raises(UsageError, match=f"weights of {NAME}: no package has them"):
        weights.load(NAME)
    assert weights.main([f"{NAME}={path}"]) == 0
    assert f"{NAME}-" in capsys.readouterr().out
    model = networks.vision_transformer(weights.load(NAME))
    images = rng.integers(0, 256, (2, 224, 224, 3)).astype(np.float32)
    np.testing.assert_allclose(
        model.predict(images, verbose=0), by_hand(tensors, images), atol=1e-4
    )
    assert len(weights.version(NAME)) == 12


def test_foreign_and_damaged_files_are_refused_by_name(tensors, tmp_path):
    def refused(words, path):
        with pytest.raises(UsageError, match=words) as error:
            weights.bring(NAME, str(path))
        assert path.name in str(error.value)
        assert not (tmp_path / "cache").exists()

    path = tmp_path / "tiny.safetensors"
    refused("no such file", path)
    refused(
        "norm.bias is missing", write(path, {k: v for k, v in tensors.items() if k != "norm.bias"})
    )
    refused("cls_token is", write(path, tensors | {"cls_token": np.zeros((1, 1, 32))}))
    refused("pos_embed is", write(path, tensors | {"pos_embed": np.zeros((1, 256, 64))}))
    bad = tensors["norm.bias"].copy()
    bad[3] = np.nan
    refused("not finite", write(path, tensors | {"norm.bias": bad}))
    path.write_bytes(write(path, tensors).read_bytes()[:-100])
    refused("lies outside of the file", path)
    path.write_bytes(b"PK\x03\x04" + bytes(200))
    refused("cannot be read", path)
    refused("cannot be read", write(path, tensors, **{"norm.bias": {"shape": [3]}}))
    refused("cannot be read", write(path, tensors, **{"norm.bias": {"data_offsets": [-4, 252]}}))
    damaged = tmp_path / "tiny.pth"
    damaged.write_bytes(bytes(100))
    refused("cannot be read", damaged)
    with pytest.raises(UsageError, match="did you mean"):
        weights.bring("dinov2_vits", str(path))


def test_other_types_of_numbers_are_read(tmp_path):
    values = np.arange(6, dtype="<i8")
    header = {"a": {"dtype": "I64", "shape": [2, 3], "data_offsets": [0, 48]}}
    text = json.dumps(header).encode()
    path = tmp_path / "a.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text + values.tobytes())
    np.testing.assert_array_equal(read_safetensors(path)["a"], values.reshape(2, 3))


def test_positions_are_resized_as_the_authors_do(rng):
    """Values of a quadratic grid, which bicubic interpolation with a = -0.5 alone would keep."""
    grid = rng.standard_normal((37 * 37 + 1, 3))
    resized = dinov2.at_224_pixels(grid)
    assert resized.shape == (257, 3)
    np.testing.assert_allclose(resized[0], grid[0], rtol=1e-6)
    matrix = dinov2._bicubic(37, 16, 16.1 / 37)
    np.testing.assert_allclose(matrix.sum(axis=1), 1)
    np.testing.assert_array_equal(dinov2.at_224_pixels(grid[:257]), grid[:257])
    np.testing.assert_allclose(dinov2.at_224_pixels(np.ones((1370, 2))), 1, rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "timm_name"), [
    ("dinov2_vits14", "vit_small_patch14_dinov2"), ("dinov2_vitb14", "vit_base_patch14_dinov2"),
])  # fmt: skip
def test_networks_equal_timm_on_random_weights(name, timm_name, tmp_path):
    if not all(map(find_spec, ("timm", "torch"))):
        pytest.skip("pip install timm")
    import timm
    import torch

    torch.manual_seed(0)
    peer = timm.create_model(timm_name, pretrained=False, img_size=224, num_classes=0).eval()
    with torch.no_grad():
        for key, value in peer.named_parameters():
            positive = "gamma" in key or "norm" in key
            value.copy_(
                0.2 + torch.rand_like(value) if positive else 0.05 * torch.randn_like(value)
            )
        images = torch.rand(2, 3, 224, 224)
        mean, deviation = (torch.from_numpy(x)[:, None, None] for x in (
            networks.IMAGENET_MEAN, networks.IMAGENET_DEVIATION))  # fmt: skip
        expected = peer((images - mean) / deviation).numpy()
    torch.save(peer.state_dict(), tmp_path / "weights.pth")
    model = networks.vision_transformer(dinov2.read(name, tmp_path / "weights.pth"))
    found = model.predict(255 * images.permute(0, 2, 3, 1).numpy(), verbose=0)
    np.testing.assert_allclose(found, expected, atol=1e-4)
