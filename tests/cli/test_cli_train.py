"""``tfgan-ema train`` and what follows it, as a user types it."""

import functools
import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
import yaml

from configs import base
from tfgan_ema import __version__, checkpoint, records, training
from tfgan_ema.cli import export, main, sample, train
from tfgan_ema.engines import devices

CONFIG = """
from configs import base

def moving(start, end):
    return {"kind": "cosine", "start": start, "end": end, "steps": 50}

def get_config():
    config = base.get_config()
    config.steps = 60
    config.batch_size = 8
    config.n_dis = 2
    config.data.name = "digits"
    config.data.channels = 1
    config.data.image_size = 16
    config.network = {"kind": "dcgan_32", "width": 1 / 32}
    config.loss.kind = "hinge"
    config.penalties.r1 = {"weight": moving(1.0, 0.1)}
    config.averages = {
        "slow": {"kind": "ema", "decay": 0.9}, "uniform": {},
        "moving": {"kind": "ema", "half_life": moving(0.0, 100.0)},
    }
    config.leak = {"beta": moving(0.1, 0.6), "start_step": 20}
    config.augment = {
        "ada": {"strengths": {"flip": 1.0, "brightness": 1.0}, "probability": moving(0.0, 0.5)}
    }
    for optimizer in (config.d_optimizer, config.g_optimizer):
        with optimizer.ignore_type():
            optimizer.update(
                learning_rate=moving(2e-4, 5e-5), beta_1=moving(0.5, 0.0), beta_2=moving(0.9, 0.99)
            )
    config.checkpoint_every = 5
    config.sample_every = 20
    config.log_every = 7
    return config
"""


SCHEDULED = (  # every number that may move does in this run
    "penalties/r1/weight", "averages/moving/half_life", "leak/beta", "augment/ada/probability",
    *(f"{p}_optimizer/{key}" for p in "dg" for key in ("learning_rate", "beta_1", "beta_2")),
)  # fmt: skip
EVALUATED = "--config.evaluate_every=10"


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    path = tmp_path_factory.mktemp("config") / "tiny.py"
    path.write_text(CONFIG)
    return path


@pytest.fixture(scope="module")
def finished(config, tmp_path_factory):
    """An uninterrupted run."""
    workdir = tmp_path_factory.mktemp("run") / "w"
    assert run_train(config, workdir) == 0
    return workdir


def run_train(config, workdir, *words):
    return train.main(["tfgan-ema train", f"--config={config}", f"--workdir={workdir}", *words])


def last_state(workdir):
    found = checkpoint.checkpoints(workdir / "checkpoints")
    return checkpoint.read(found[max(found)])[0]


def test_a_run_writes_its_files(finished):
    names = {path.name for path in finished.iterdir()}
    assert {"run.json", "checkpoints", "samples", "metrics.csv"} <= names
    assert list(checkpoint.checkpoints(finished / "checkpoints")) == [50, 55, 60]
    assert len(list((finished / "samples").glob("*.png"))) == 3
    run = json.loads((finished / "run.json").read_text())
    assert run["format"] == 2
    assert run["config"]["averages"]["slow"]["decay"] == 0.9
    for key in SCHEDULED:
        number = functools.reduce(lambda part, name: part[name], key.split("/"), run["config"])
        assert number["kind"] == "cosine"
    names = list("0123456789")
    data = {"name": "digits", "shape": [16, 16, 1], "num_classes": None, "class_names": names}
    assert run["data"] == data


def alone(config, workdir):
    """A run in a process of its own that computes in one thread.

    With several, TensorFlow's CPU kernels once in a long while compute one step differently.
    """
    one_thread = {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "tfgan_ema.cli.train", f"--config={config}", f"--workdir={workdir}"],
        stdout=subprocess.DEVNULL,
        env=os.environ | one_thread,
    )


@pytest.fixture(scope="module")
def whole(config, tmp_path_factory):
    """An uninterrupted run in one thread."""
    workdir = tmp_path_factory.mktemp("whole") / "w"
    assert alone(config, workdir).wait(timeout=240) == 0
    return workdir


def killed_run(config, workdir, moment):
    """Starts a run and kills it with SIGKILL at ``moment(workdir)``."""
    process = alone(config, workdir)
    deadline = time.monotonic() + 240
    while process.poll() is None and not moment(workdir) and time.monotonic() < deadline:
        time.sleep(0.0005)
    killed = process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert killed, "the run ended before it could be killed"


def after(step):
    return lambda workdir: (workdir / "checkpoints" / f"step_{step:08d}.npz").exists()


def while_writing(workdir):
    return any((workdir / "checkpoints").glob(".step_0000003*.tmp*"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "moment", [after(10), while_writing, after(40)], ids=["early", "writing", "late"]
)
def test_a_killed_run_resumes_bit_for_bit(config, whole, tmp_path, moment):
    workdir = tmp_path / "w"
    killed_run(config, workdir, moment)
    assert max(checkpoint.checkpoints(workdir / "checkpoints"), default=0) < 60
    assert alone(config, workdir).wait(timeout=240) == 0
    state, expected = last_state(workdir), last_state(whole)
    assert state.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(state[name], value, err_msg=name)
    assert not list((workdir / "checkpoints").glob(".*.tmp*"))
    assert logged(workdir) == logged(whole)


def logged(workdir):
    """The rows of metrics.csv without their times."""
    rows = records.read_table(workdir / "metrics.csv")
    return [{key: row[key] for key in row if key != "seconds_per_step"} for row in rows]


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["mirrored", "multiworker"])
def test_strategies_train_the_same_run(config, finished, tmp_path, strategy):
    """One mirrored device, or two worker processes that share a work directory."""
    ports = [socket.socket() for _ in range(2)]
    for port in ports:
        port.bind(("127.0.0.1", 0))
    addresses = [f"127.0.0.1:{port.getsockname()[1]}" for port in ports]
    for port in ports:
        port.close()
    words = [f"--config={config}", f"--workdir={tmp_path / 'w'}", f"--strategy={strategy}"]
    processes = []
    for index in range(2 if strategy == "multiworker" else 1):
        cluster = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        extra = {"TF_CONFIG": json.dumps(cluster)} if strategy == "multiworker" else {}
        command = [sys.executable, "-m", "tfgan_ema.cli.train", *words]
        processes.append(
            subprocess.Popen(command, env=os.environ | extra, stdout=subprocess.DEVNULL)
        )
    assert [process.wait(timeout=300) for process in processes] == [0] * len(processes)
    state, whole = last_state(tmp_path / "w"), last_state(finished)
    for name, value in whole.items():
        np.testing.assert_allclose(state[name], value, atol=1e-3, err_msg=name)


def test_a_complete_run_is_left_alone(config, finished, capsys):
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("*.npz")}
    assert run_train(config, finished) == 0
    assert "is complete: 60 of 60 steps" in capsys.readouterr().out
    assert before == {path: path.stat().st_mtime_ns for path in finished.rglob("*.npz")}


def test_metrics_are_logged_at_their_own_interval(finished):
    rows = records.read_table(finished / "metrics.csv")
    assert [int(row["step"]) for row in rows] == [7, 14, 21, 28, 35, 42, 49, 56]
    assert {"d_loss", "g_loss", "r1", "distance/slow", "seconds_per_step"} <= rows[0].keys()


def test_steps_and_intervals_share_no_divisor(tmp_path):
    config = base.get_config()
    config.network = {"kind": "mlp", "g_hidden": [8], "d_hidden": [8]}
    config.data.name = "ring"
    config.steps, config.steps_per_execution, config.batch_size = 5001, 10, 8
    config.log_every, config.sample_every, config.checkpoint_every = 100, 150, 1005
    assert training.train(config, tmp_path / "w", devices.strategy("cpu")) == 0
    rows = records.read_table(tmp_path / "w" / "metrics.csv")
    assert [int(row["step"]) for row in rows] == list(range(100, 5001, 100))
    pictures = sorted(path.name for path in (tmp_path / "w" / "samples").iterdir())
    assert pictures == [f"step_{step:08d}.png" for step in range(150, 5001, 150)]
    # The first boundaries of an execution on or after 3015 and 4020, and the last step.
    assert list(checkpoint.checkpoints(tmp_path / "w" / "checkpoints")) == [3020, 4020, 5001]


@pytest.mark.slow
def test_a_run_resumed_between_two_rows_logs_those_of_an_undisturbed_run(
    config, finished, tmp_path
):
    """Training stops at 25, four steps after a row, as if it were killed there."""
    workdir = tmp_path / "w"
    assert run_train(config, workdir, "--config.steps=25") == 0
    assert run_train(config, workdir, "--force_config") == 0
    rows, expected = logged(workdir), logged(finished)
    assert [row["step"] for row in rows] == [row["step"] for row in expected]
    for row, other in zip(rows, expected, strict=True):
        for key, value in row.items():
            assert float(value) == pytest.approx(float(other[key]), rel=1e-3, abs=1e-4), key


def test_sample_and_export_agree(finished, tmp_path):
    model = tmp_path / "model"
    words = [f"--workdir={finished}", f"--out={model}", "--average=uniform"]
    assert export.main(["export", *words]) == 0
    assert sample.main(["sample", f"--model={model}", "--count=9", f"--out={tmp_path}/a.npy"]) == 0
    words = [f"--workdir={finished}", "--count=9", "--average=uniform", f"--out={tmp_path}/b.npy"]
    assert sample.main(["sample", *words]) == 0
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), np.load(tmp_path / "b.npy"))
    for out in ("grid.png", "folder"):
        words = [f"--workdir={finished}", "--count=3", f"--out={tmp_path}/{out}", "--average=raw"]
        assert sample.main(["sample", *words]) == 0
    assert (tmp_path / "grid.png").is_file()
    assert len(list((tmp_path / "folder").glob("*.png"))) == 3


def test_an_exported_generator_can_leak(config, finished, tmp_path, capsys):
    folder = tmp_path / "model"
    assert export.main(["export", f"--workdir={finished}", f"--out={folder}"]) == 0
    leak = ["--config.leak.mode=async_model", f"--config.leak.model={folder}"]
    assert run_train(config, tmp_path / "w", "--config.steps=2", *leak) == 0
    assert run_train(config, tmp_path / "v", "--dry_run", leak[0], "--config.leak.model=x") == 2
    assert "x holds no SavedModel" in capsys.readouterr().err


def test_a_dry_run_writes_nothing(config, tmp_path, capsys):
    workdir = tmp_path / "w"
    assert run_train(config, workdir, "--dry_run") == 0
    out = capsys.readouterr().out
    assert "first batch: (16, 16, 16, 1) (2 x 8 rows)" in out
    assert "parameters" in out
    assert "update_order: alternating" in out
    assert not workdir.exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--config.stpes=3"], "unknown config key 'stpes': did you mean 'steps'"),
        (["--config.data.nmae=digits"], "did you mean 'data.name'"),
        (["--config.steps=many"], "steps 'many': expected int (default: 100000)"),
        (["--config.steps=None"], "steps None: expected int"),
        (["--config.data.flip=1"], "data.flip 1: expected bool"),
        (["--config.data.image_size=big"], "data.image_size 'big': expected int (default: None)"),
        (["--config.data=digits"], "data 'digits': expected options, as in --config.data.KEY"),
        (["--config.steps.x=3"], "'steps.x': steps is 60 and has no options"),
        (["--config.jit"], "--config.jit: expected --config.KEY=VALUE"),
        (["--config.loss=hinge"], "loss 'hinge': expected options"),
        (["--config.loss=None"], "loss None: expected options"),
        (["--config.loss.kind=hing"], "did you mean 'hinge'"),
        (["--config.network.kind=dcgan_23"], "did you mean 'dcgan_32'"),
        (["--config.network.widht=2"], "unknown option of dcgan_32 'widht'"),
        (["--config.leak.beta=1.0"], "beta 1.0: expected a number in [0, 1)"),
        (["--config.leak.bta=0.5"], "did you mean 'beta'"),
        (["--config.leak.beta=half"], "LeakyEMA beta 'half': expected a number in"),
        (["--config.top_k.leest=0.5"], "did you mean 'least'"),
        (["--config.averages.slow.decay=1.0"], "decay 1.0: expected a number in [0, 1)"),
        (["--config.averages.slow=0.9"], "slow 0.9: expected its options, or None"),
        (["--config.penalties.r3.weight=1"], "unknown penalty 'r3'"),
        (["--config.penalties.r1.weight=big"], "r1 weight 'big': expected a number in [0, inf)"),
        (["--config.batch_size=0"], "batch_size 0"),
        (["--config.steps=0"], "steps 0"),
        (["--config.log_every=0"], "log_every 0: expected a whole number >= 1"),
        (["--config.precision=float12"], "unknown precision 'float12'"),
        (["--config.d_optimizer.kind=adamm"], "did you mean 'adam'"),
        (["--config.data.name=folder:/nonexistent"], "/nonexistent"),
        (["--config.data.name=imagenot"], "imagenot"),
        (["--config.latent.kind=gauss"], "unknown latent prior 'gauss'"),
        (["--config.accumulate=3"], "accumulate 3"),
        (["--config.data.count=0"], "data.count 0: expected a whole number >= 1"),
        (["--config.data.count=1798"], "data.count 1798: digits has 1797 samples"),
        (["--config.loss.kind=nowhere:Loss"], "loss 'nowhere:Loss': No module named 'nowhere'"),
        (["--config.loss.kind=json:Loss"], "loss 'json:Loss': json has no 'Loss'"),
        (["--config.loss.kind=:Loss"], "expected MODULE:NAME"),
        (["--config.callbacks=json:x"], "callbacks 'json:x': expected tuple"),
        (["--config.callbacks=('json:x',)"], "callback 'json:x': json has no 'x'"),
        ([EVALUATED, "--config.evaluate.metrics=('fdi',)"], "did you mean 'fid'"),
        ([EVALUATED, "--config.evaluate.metrics=('w1',)"], "the data are images"),
        ([EVALUATED, "--config.evaluate.samples=1"], "evaluate.samples 1: expected a whole number"),
        (
            [EVALUATED, "--config.evaluate.best_metric=fdi"],
            "evaluate.best_metric 'fdi': did you mean",
        ),
        ([EVALUATED, "--config.evaluate.reference=cifra10"], "did you mean 'cifar10'"),
        ([EVALUATED, "--config.evaluate.split=test"], "'digits' has no split 'test'"),
        (["--config.data.split=train[90%"], "split 'train[90%': expected the name of a split"),
        (["--config.leak.start_step=auto"], "evaluate_every"),
        (["--strategy=tpu"], "no TPU answers"),
        (["--strategy=gpu"], "no GPU"),
        (["--strategy=multiworker"], "TF_CONFIG"),
        (["--strategy=single"], "--strategy=single: choose one of these"),
        (["--stratgey=cpu"], "stratgey"),
        (["extra"], "unexpected argument"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_wrong_input_is_one_line_exit_2_and_touches_nothing(
    config, tmp_path, capsys, words, message
):
    if words == ["--strategy=gpu"]:
        tf = pytest.importorskip("tensorflow")
        if tf.config.list_physical_devices("GPU"):
            pytest.skip("this machine has a GPU")
    workdir = tmp_path / "w"
    assert run_train(config, workdir, *words) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert message in lines[0]
    assert not workdir.exists()
    assert run_train(config, workdir, *words, "--dry_run") == 2


def test_batch_must_divide_over_replicas(config, tmp_path, capsys):
    words = ["--strategy=mirrored", "--config.batch_size=7"]
    assert run_train(config, tmp_path / "w", *words) == 2
    assert "batch_size 7 over 2 replicas" in capsys.readouterr().err


def test_missing_flags_and_unknown_configs_are_named(tmp_path, capsys):
    (tmp_path / "empty.py").write_text("")
    for words, message in [
        ([], "--config is missing"),
        (["--config=quickstrat", "--workdir=x"], "did you mean 'quickstart'"),
        (["--config=quickstart"], "--workdir is missing"),
        (["--config=quickstart:fast", "--workdir=x"], "leave out :fast"),
        (["--config=leaky", "--workdir=x"], "name one, as in --config=leaky:sngan_church"),
        (["--config=leaky:sngan_chruch", "--workdir=x"], "did you mean 'sngan_church'"),
        ([f"--config={tmp_path}/empty.py", "--workdir=x"], "has no get_config()"),
    ]:
        assert train.main(["tfgan-ema train", *words]) == 2
        error = capsys.readouterr().err
        assert message in error
        assert len(error.strip().splitlines()) == 1


def test_another_runs_folder_is_refused_by_key(config, finished, capsys):
    before = (finished / "run.json").read_bytes()
    words = ["--config.n_dis=3", "--config.loss.kind=wasserstein", "--config.leak=None"]
    assert run_train(config, finished, *words) == 2
    error = capsys.readouterr().err
    assert "loss.kind (was 'hinge', now 'wasserstein')" in error
    assert re.search(r"leak\.\S+ \(was ", error)
    assert "n_dis (was 2, now 3)" in error
    assert "--force_config" in error
    assert (finished / "run.json").read_bytes() == before


@pytest.mark.parametrize("command", [train, sample, export])
def test_a_run_of_an_older_version_is_refused_in_one_line(
    config, finished, tmp_path, capsys, command
):
    workdir = tmp_path / "w"
    shutil.copytree(finished, workdir)
    run = json.loads((workdir / "run.json").read_text())
    del run["format"]
    (workdir / "run.json").write_text(json.dumps(run))
    words = [f"--config={config}"] if command is train else [f"--out={tmp_path / 'o'}"]
    assert command.main(["tfgan-ema", f"--workdir={workdir}", *words]) == 2
    error = capsys.readouterr().err
    assert "was made by an older version of tfgan_ema: train anew, or use version 0.1.0" in error
    assert len(error.strip().splitlines()) == 1


def overridden(capsys, *words):
    """The configuration that a dry run prints, as YAML."""
    words = ["--config=sngan_cifar10_small", "--config.data.name=digits", *words]
    assert train.main(["tfgan-ema train", "--dry_run", "--config.network.width=0.02", *words]) == 0
    text = capsys.readouterr().out
    return yaml.safe_load(text[: text.index("generator: ")])


def test_the_command_line_reaches_parts_that_are_absent_and_switches_parts_off(capsys):
    found = overridden(
        capsys,
        "--config.leak.beta=0.5",
        "--config.leak.average=1",
        "--config.penalties.r1.weight=20",
        "--config.penalties.second.kind=r1",
        "--config.averages.ema.decay=0.99",
        "--config.averages.slow.kind=ema",
        "--config.augment.diff_augment.policy=color,cutout",
        "--config.d_optimizer={'kind': 'rmsprop', 'learning_rate': 1e-3}",
        "--config.g_optimizer.decay_steps=None",
        "--config.data.image_size=16",
        "--config.evaluate_every=1000",
        "--config.evaluate.metrics=('fd_pixels', 'kid')",
    )
    assert found["leak"] == {"beta": 0.5, "average": 1}
    assert found["penalties"] == {"r1": {"weight": 20}, "second": {"kind": "r1"}}
    assert found["averages"] == {"ema": {"decay": 0.99}, "slow": {"kind": "ema"}}
    assert found["augment"] == {"diff_augment": {"policy": "color,cutout"}}
    assert found["d_optimizer"] == {"kind": "rmsprop", "learning_rate": 1e-3}
    assert (found["data"]["image_size"], found["evaluate_every"]) == (16, 1000)
    off = overridden(
        capsys, "--config.averages=None", "--config.leak=None", "--config.penalties.r1=None",
        "--config.sample_every=None",
    )  # fmt: skip
    assert (off["averages"], off["leak"], off["sample_every"]) == (None, None, None)


def test_a_folder_with_other_files_is_refused(config, tmp_path, capsys):
    (tmp_path / "thesis.tex").write_text("x")
    assert run_train(config, tmp_path) == 2
    assert "exists and holds no run" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize(
    ("command", "words", "message"),
    [
        (export, ["--workdir={0}/none", "--out={0}/m"], "is not a work directory"),
        (export, ["--workdir={0}/empty", "--out={0}/m"], "has no checkpoint yet"),
        (export, ["--out={0}/m"], "give either --workdir"),
        (export, ["--workdir={1}"], "--out is missing"),
        (export, ["--workdir={1}", "--out={1}/run.json/m"], "cannot be written in {1}/run.json"),
        (export, ["--workdir={1}", "--out={1}"], "{1} exists: choose another folder, or pass --ov"),
        (
            sample,
            ["--workdir={1}", "--out={1}/run.json/m.png"],
            "cannot be written in {1}/run.json",
        ),
        (
            sample,
            ["--workdir={1}", "--out={0}/m", "--seed=9223372036854775808"],
            "--seed=9223372036854775808: expected",
        ),
        (export, ["--workdir={1}", "--out={0}/m", "--average=foo"], "average 'foo'"),
        (export, ["--workdir={1}", "--out={0}/m", "--step=7"], "no checkpoint of step 7"),
        (sample, ["--out={0}/m.png"], "give either --workdir"),
        (sample, ["--workdir={1}"], "--out is missing"),
        (sample, ["--workdir={1}", "--out={0}/m", "--count=0"], "--count=0"),
        (sample, ["--workdir={1}", "--out={0}/m", "--truncation=-1"], "--truncation=-1: expected"),
        (sample, ["--workdir={1}", "--out={0}/m", "--label=1"], "unconditional"),
        (sample, ["--model={0}/none", "--out={0}/m"], "holds no SavedModel"),
        (sample, ["--model={0}/none", "--out={0}/m", "--step=3"], "--step belongs to --workdir"),
    ],
)
def test_wrong_requests_to_sample_and_export(finished, tmp_path, capsys, command, words, message):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "run.json").write_text((finished / "run.json").read_text())
    assert command.main(["tfgan-ema", *(w.format(tmp_path, finished) for w in words)]) == 2
    error = capsys.readouterr().err
    assert message.format(tmp_path, finished) in error
    assert len(error.strip().splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


def test_help_is_light_and_complete():
    out = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "tfgan_ema.cli.main", "--help"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    for name in main.COMMANDS:
        assert name in out.stdout
    assert not any(f"| {module}\n" in out.stderr for module in ("tensorflow", "keras", "numpy"))
    for name in main.COMMANDS:
        assert main.main([name, "--help"]) == 0


def test_the_version_and_the_help_of_a_command(capsys):
    assert main.main(["--version"]) == 0
    assert capsys.readouterr().out == f"tfgan-ema {__version__}\n"
    assert main.main(["help", "sample"]) == 0
    assert "--count=<integer>" in capsys.readouterr().out
    assert main.main(["help", "smaple"]) == 2
    assert "did you mean 'sample'" in capsys.readouterr().err


def test_unknown_commands_are_suggested(capsys):
    assert main.main(["trian"]) == 2
    assert "did you mean 'train'" in capsys.readouterr().err


def test_the_bar_says_what_is_being_done(config, tmp_path, monkeypatch):
    """A terminal shows one bar; a file gets lines."""

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(sys, "stdout", terminal)
    words = [EVALUATED, "--config.evaluate.metrics=('fd_pixels',)", "--config.evaluate.samples=20"]
    assert run_train(config, tmp_path / "w", *words, "--config.steps=20") == 0
    shown = terminal.getvalue()
    for what in ("compiling 0 %", "training 50 %", "drawing 100 %", "saving", "20/20", "d_loss="):
        assert what in shown
    assert "evaluating: samples 1/1 100 %" in shown
    assert "step 7:" not in shown
    assert re.search(r"done: \S+ in .+ s \(.*evaluating .+ s.*\)\n$", shown)
