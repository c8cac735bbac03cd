"""Parts of one's own by import path, folders of one's own beside them, and runs that go on."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tfgan_ema import checkpoint, data, records, runs, training
from tfgan_ema.cli import train

CONFIG = """
from configs import base

def get_config():
    config = base.get_config()
    config.steps, config.batch_size, config.data.name = 10, 8, "ring"
    config.network = {"kind": "mlp", "width": 0.125}
    config.sample_every = config.log_every = config.checkpoint_every = 10
    config.evaluate.update(metrics=("w1",), samples=50)
    return config
"""
PARTS = """
import keras, pathlib
import tfgan_ema as tg

class Loss(tg.losses.Loss):
    def discriminator(self, real, fake, **inputs):
        return keras.ops.mean(fake - real)

    def generator(self, real, fake, **inputs):
        return -keras.ops.mean(fake)

class Penalty(tg.penalties.R1):
    pass

class Average(tg.EMA):
    pass

class Callback(keras.callbacks.Callback):
    def on_train_end(self, logs=None):
        pathlib.Path(__file__).with_name("ended").write_text(str(self.model.steps_done))

def build(num_classes, size):
    layers = keras.layers
    generator = keras.Sequential([layers.Input((3,)), layers.Dense(size), layers.Dense(2)])
    discriminator = keras.Sequential([layers.Input((2,)), layers.Dense(size), layers.Dense(1)])
    return generator, discriminator
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a configuration, and the current one beside it."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    (tmp_path / "tiny.py").write_text(CONFIG)
    return tmp_path


def run_train(folder, workdir, *words):
    words = [f"--config={folder / 'tiny.py'}", f"--workdir={folder / workdir}", *words]
    return train.main(["tfgan-ema train", *words])


def test_own_parts_are_found_beside_the_configuration(folder, capsys):
    (folder / "own_parts.py").write_text(PARTS)
    words = [
        "--config.loss={'kind': 'own_parts:Loss'}",
        "--config.network={'kind': 'own_parts:build', 'size': 4}",
        "--config.penalties.mine={'kind': 'own_parts:Penalty', 'weight': 2.0}",
        "--config.averages.slow={'kind': 'own_parts:Average', 'decay': 0.9}",
        "--config.callbacks=('own_parts:Callback',)",
    ]
    assert run_train(folder, "w", *words) == 0
    assert (folder / "ended").read_text() == "10"
    rows = records.read_table(folder / "w" / "metrics.csv")
    assert {"mine", "distance/slow"} <= rows[0].keys()
    gan = runs.load_run(folder / "w")
    assert type(gan.loss_pair).__name__ == "Loss"
    assert gan.generator.count_params() == 3 * 4 + 4 + 4 * 2 + 2
    capsys.readouterr()
    assert run_train(folder, "v", words[1], "--config.network.sise=4") == 2
    assert "unexpected keyword argument 'sise'" in capsys.readouterr().err


def test_a_run_of_own_parts_is_sampled_from_anywhere(folder, tmp_path_factory):
    """In a process of its own, which has not imported them."""
    (folder / "own_network.py").write_text(PARTS)
    words = ["--config.network={'kind': 'own_network:build', 'size': 4}"]
    assert run_train(folder, "w", *words) == 0
    elsewhere, out = tmp_path_factory.mktemp("elsewhere"), folder / "a.npy"
    words = ["sample", f"--workdir={folder / 'w'}", "--count=3", f"--out={out}"]
    subprocess.run([sys.executable, "-m", "tfgan_ema.cli.main", *words], check=True, cwd=elsewhere)
    np.testing.assert_array_equal(np.load(out), runs.load_run(folder / "w").sample(3))


@pytest.mark.parametrize("way", ["command", pytest.param("module", marks=pytest.mark.slow)])
def test_folders_of_ones_own_that_bear_our_names_break_nothing(folder, way):
    """The installed command, and ``python -m``, which finds modules in the current folder first."""
    for name in ("configs", "zoo"):
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text("raise RuntimeError('not ours')")
    (folder / "configs" / "mine.py").write_text(CONFIG)
    command = [str(Path(sys.executable).with_name("tfgan-ema"))]
    command = command if way == "command" else [sys.executable, "-m", "tfgan_ema.cli.main"]
    env = os.environ | ({"PYTHONPATH": str(folder)} if way == "command" else {})
    words = ["train", "--config=configs/mine.py", "--dry_run"]
    done = subprocess.run(
        [*command, *words], cwd=folder, env=env, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "data: ring, 50,000 samples" in done.stdout


def test_a_run_is_extended_without_force(folder, capsys):
    assert run_train(folder, "w") == 0
    assert run_train(folder, "w", "--config.steps=20") == 0
    assert runs.read_run(folder / "w")["config"]["steps"] == 20
    assert max(checkpoint.checkpoints(folder / "w" / "checkpoints")) == 20
    capsys.readouterr()
    assert run_train(folder, "w", "--config.steps=15") == 2
    assert "steps (was 20, now 15)" in capsys.readouterr().err


def test_another_best_metric_on_resume(folder):
    """Rows that were written before have no column of it."""
    evaluated = "--config.evaluate_every=10"
    assert run_train(folder, "w", evaluated) == 0
    words = ["--config.evaluate.metrics=('fd_points',)", "--config.evaluate.best_metric=fd_points"]
    assert run_train(folder, "w", evaluated, "--config.steps=20", "--force_config", *words) == 0
    rows = records.read_table(folder / "w" / "evaluation.csv")
    assert [(row["step"], row["w1"] != "", row["fd_points"] != "") for row in rows[::2]] == [
        ("10", True, False), ("20", False, True),
    ]  # fmt: skip


def test_a_full_disk_says_which_checkpoints_are_kept(folder, monkeypatch, capsys):
    def full(path, arrays, **metadata):
        if metadata["step"] == 20:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        return write(path, arrays, **metadata)

    write = checkpoint.write
    monkeypatch.setattr(checkpoint, "write", full)
    assert run_train(folder, "w", "--config.steps=30") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "step_00000020.npz: No space left on device. Checkpoints that are kept: step 10." in line


def test_a_workdir_below_a_file_is_refused(folder, capsys):
    assert run_train(folder, "tiny.py/w") == 2
    assert f"--workdir={folder}/tiny.py/w: cannot be written in" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (
            ["leaky:sngan_church"],
            "tfds:lsun/church_outdoor, not on disk, samples of shape (128, 128, 3)",
        ),
        (["alpha:celeba_0.6_5e-4"], "tfds:celeb_a, not on disk, samples of shape (64, 64, 3)"),
        (["averaging:stl10_conventional"], "tfds:stl10, not on disk, samples of shape (32, 32, 3)"),
        (
            ["quickstart", "--config.data.count=1000"],
            "fashion_mnist, not on disk, samples of shape",
        ),
        (["shipped:sngan_fashion_mnist"], "samples of shape (32, 32, 1)"),
        *(
            pytest.param([config], shape, marks=pytest.mark.slow)
            for config, shape in {
                "averaging:cifar10_dcgan_consensus": "(32, 32, 3)",
                "methods:r1_lazy": "(2,)",
                "published:stylegan2_cifar10": "(32, 32, 3)",
                "relativistic:wgan_gp_tanh": "(32, 32, 3)",
                "sngan_cifar10_small": "(32, 32, 3)",
                "widths:ring_mlp": "(2,)",
            }.items()
        ),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_dry_run_needs_no_data(words, shown, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = [
        words[0],
        *words[1:],
        "--config.network.width=0.02",
        f"--config.data.data_dir={tmp_path}",
    ]
    assert train.main(["tfgan-ema train", "--dry_run", f"--config={words[0]}", *words[1:]]) == 0
    assert shown in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--config=quickstart", "--config.data.name=tfds:celeb_b"],
            "TFDS cannot find 'celeb_b' (near names: celeb_a",
        ),
        (["--config=leaky:sngan_ffhq"], "no folder 'ffhq': folder:PATH takes a folder of images"),
    ],
)
def test_a_dry_run_refuses_data_that_no_download_can_bring(words, message, capsys):
    assert train.main(["tfgan-ema train", "--dry_run", *words]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("name", ["digits", "ring"])
def test_a_limited_set_is_chosen_by_its_own_seed(name):
    from configs import base

    config = base.get_config()
    config.data.name, config.data.labels = name, True
    config.network.kind = "dcgan_32" if name == "digits" else "mlp"
    everything = runs.load_source(config)
    config.data.count, config.data.seed = 100, 3
    limited = runs.load_source(config)
    assert (limited.count, limited.num_classes) == (100, everything.num_classes)
    expected = data.choose(everything, 100, seed=3)
    config.seed = 7  # of the run, which chooses nothing
    for source in (limited, runs.load_source(config)):
        np.testing.assert_array_equal(source.samples, expected.samples)
        np.testing.assert_array_equal(source.labels, expected.labels)
    assert (data.choose(everything, 100, seed=4).samples != limited.samples).any()


def test_a_run_is_scored_against_images_that_it_does_not_train_on():
    from configs import base

    config = base.get_config()
    config.data.update(name="digits", split="train[:1000]", count=100)
    config.network.kind, config.evaluate.metrics = "dcgan_32", ("fd_pixels",)
    source = runs.load_source(config)
    assert training.evaluator_of(config, source, runs.load_source).reference.origin is source
    config.evaluate.split = "train[1000:]"
    held_out = training.evaluator_of(config, source, runs.load_source).reference.origin
    assert (source.count, held_out.count) == (100, 797)
    trained = {image.tobytes() for image in source.samples}
    assert not trained & {image.tobytes() for image in held_out.samples}
    config.evaluate.reference = "digits"
    evaluator = training.evaluator_of(config, source, runs.load_source)
    assert (evaluator.reference.origin, evaluator.reference.split) == ("digits", "train[1000:]")
