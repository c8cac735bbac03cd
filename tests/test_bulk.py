"""Samples in shards: the same bytes wherever they are drawn and however often it is interrupted."""

import io
import itertools
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import ray_cluster
from PIL import Image

from tfgan_ema import bulk, export, remote, runs
from tfgan_ema.cli import sample as command
from tfgan_ema.data import shards
from tfgan_ema.errors import UsageError
from tfgan_ema.training import train

COUNT = 150


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    """A run of two steps on digits."""
    import tensorflow as tf

    from configs import quickstart

    config = quickstart.get_config()
    config.update(steps=2, batch_size=8)
    config.data.name, config.network.width = "digits", 0.0625
    folder = tmp_path_factory.mktemp("runs") / "digits"
    train(config, folder, tf.distribute.get_strategy())
    return folder


def sampled(workdir, out, *words):
    words = [f"--workdir={workdir}", f"--count={COUNT}", "--seed=3", f"--out={out}", *words]
    return command.main(["tfgan-ema sample", *words])


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def small(monkeypatch):
    """Small shards, which this process draws."""
    monkeypatch.setattr(bulk, "SHARD", 64)
    monkeypatch.setattr(
        bulk.processes,
        "results",
        lambda function, calls, workers: ((c.name, bulk.shard(**c.arguments)) for c in calls),
    )


def images_of(folder, kind):
    """The samples of a folder in their order, read as their users do."""
    if kind in ("png", "webp"):
        return [np.asarray(Image.open(path)) for path in sorted(folder.glob(f"*.{kind}"))]
    paths = sorted(str(path) for path in folder.glob(f"*.{kind}"))
    if kind == "parquet":
        from pyarrow import parquet

        rows = itertools.chain.from_iterable(parquet.read_table(p).to_pylist() for p in paths)
        rows = [(row["index"], row["image"]) for row in rows]
    else:
        import tensorflow as tf

        form = {"index": tf.io.FixedLenFeature([], tf.int64),
                "image": tf.io.FixedLenFeature([], tf.string)}  # fmt: skip
        rows = (tf.io.parse_single_example(row, form) for row in tf.data.TFRecordDataset(paths))
        rows = [(int(row["index"]), row["image"].numpy()) for row in rows]
    assert [index for index, _ in rows] == list(range(COUNT))
    return [np.asarray(Image.open(io.BytesIO(image))) for _, image in rows]


@pytest.mark.parametrize("kind", shards.FORMATS)
def test_every_format_holds_the_samples_of_the_run(workdir, tmp_path, small, kind):
    if kind == "parquet":
        pytest.importorskip("pyarrow", reason="needs: pip install pyarrow")
    assert sampled(workdir, tmp_path / "out", f"--format={kind}") == 0
    found = images_of(tmp_path / "out", kind)
    expected = runs.load_run(workdir).sample(COUNT, seed=3)[..., 0]
    shown = [image[..., 0] if image.ndim == 3 else image for image in found]  # WebP has colours
    np.testing.assert_array_equal(np.stack(shown), expected)


def test_what_is_there_is_kept_and_what_is_missing_drawn_again(workdir, tmp_path, small):
    out = tmp_path / "out"
    assert sampled(workdir, out, "--format=tfrecord") == 0
    whole = contents(out)
    assert sorted(whole) == ["samples-00000-of-00003.tfrecord", "samples-00001-of-00003.tfrecord",
                             "samples-00002-of-00003.tfrecord", "samples.json"]  # fmt: skip
    first, second, *_ = sorted(out.glob("*.tfrecord"))
    stamp = first.stat().st_mtime_ns
    second.unlink()
    assert sampled(workdir, out, "--format=tfrecord") == 0
    assert contents(out) == whole
    assert first.stat().st_mtime_ns == stamp


def test_another_seed_or_other_files_are_refused(workdir, tmp_path, small, capsys):
    out = tmp_path / "out"
    assert sampled(workdir, out, "--format=webp") == 0
    assert sampled(workdir, out, "--format=webp", "--seed=4") == 2
    assert "holds other samples (seed differ)" in capsys.readouterr().err
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "a").touch()
    with pytest.raises(UsageError, match="holds other files"):
        bulk.draw(tmp_path / "files", {"model": "m", "label": None}, 3)
    assert sampled(workdir, tmp_path / "a.npy", "--format=webp") == 2


def test_an_exported_model(workdir, tmp_path, small):
    model = tmp_path / "model"
    export.saved_model(runs.load_run(workdir), model)
    found = []
    for name in ("a", "b"):
        bulk.draw(tmp_path / name, {"model": str(model), "label": None}, COUNT, seed=1)
        found.append(contents(tmp_path / name))
    assert found[0] == found[1]
    assert len({*found[0].values()}) > COUNT // 2


def test_points_are_no_pictures():
    with pytest.raises(UsageError, match="the samples are points"):
        shards.encoded("png", np.zeros((3, 2), "float32"), 0)
    (file,) = shards.encoded("tfrecord", np.zeros((3, 2), "float32"), 0)
    assert len(file) > 3 * 8


@pytest.mark.slow
def test_a_pool_and_a_cluster_with_kills_give_the_same_bytes(workdir, tmp_path):
    """The command is killed once, and processes of Ray while it runs again."""
    pytest.importorskip("ray", reason="needs: pip install 'tfgan_ema[cluster]'")
    count = 4 * bulk.SHARD
    words = [f"--workdir={workdir}", f"--count={count}", "--format=tfrecord"]
    assert command.main(["tfgan-ema sample", *words, f"--out={tmp_path / 'serial'}"]) == 0
    out = tmp_path / "out"
    program = [sys.executable, "-m", "tfgan_ema.cli.main", "sample", *words, f"--out={out}"]
    with subprocess.Popen(program, stderr=subprocess.DEVNULL, start_new_session=True) as process:
        while not list(out.glob("samples-*")):
            assert process.poll() is None
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGKILL)
    assert len(list(out.glob("samples-*"))) < 4
    with remote.connected("local", 2), ray_cluster.killing(1, 2.0) as killed:
        words = [*words, f"--out={out}", "--cluster=local"]
        assert command.main(["tfgan-ema sample", *words]) == 0
    assert len(killed) >= 1
    assert contents(out) == contents(tmp_path / "serial")
