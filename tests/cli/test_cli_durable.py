"""Nothing that a run has written is lost: signals, divergence, other processes, folders that go."""

import errno
import os
import resource
import shutil
import signal
import subprocess
import sys

import keras
import numpy as np
import pytest

from configs import base
from tfgan_ema import checkpoint, files, records, runs, training
from tfgan_ema.cli import sample
from tfgan_ema.engines import devices
from tfgan_ema.errors import UsageError

STEPS, MOMENT = 20, 7  # MOMENT: no multiple of any interval


def small(*callbacks):
    config = base.get_config()
    config.network = {"kind": "mlp", "g_hidden": [8], "d_hidden": [8]}
    config.data.name = "ring"
    config.steps, config.batch_size = STEPS, 8
    config.log_every, config.sample_every, config.checkpoint_every = 3, 10, 5
    config.evaluate_every = 4
    config.evaluate.update(metrics=("modes",), samples=32)
    config.callbacks = callbacks or None
    return config


def run(config, workdir, **options):
    return training.train(config, workdir, devices.strategy("cpu"), **options)


class AtMoment(keras.callbacks.Callback):
    """A callback of a run's own, which does something in the midst of it."""

    def on_train_batch_begin(self, batch, logs=None):
        if self.model.steps_done == MOMENT:
            self.act()


class Interrupt(AtMoment):
    def act(self):
        signal.raise_signal(signal.SIGINT)


class Terminate(AtMoment):
    def act(self):
        signal.raise_signal(signal.SIGTERM)


class PoisonGenerator(AtMoment):
    """The logs of this step show it, and the next callbacks look at it."""

    def act(self):
        variable = self.model.generator.weights[0]
        variable.assign(np.full(variable.shape, np.nan))


class PoisonAverage(AtMoment):
    """No log shows it."""

    def act(self):
        shadow, _ = self.model.averages[0].pairs[0]
        shadow.assign(np.full(shadow.shape, np.inf))


class Remove(AtMoment):
    folder = None

    def act(self):
        shutil.rmtree(self.folder)


def written(workdir):
    """What a run leaves, without its times."""
    arrays, metadata = checkpoint.read(checkpoint.path_of(workdir / "checkpoints", STEPS))
    rows = [records.read_table(workdir / f"{name}.csv") for name in ("metrics", "evaluation")]
    for row in rows[0]:
        del row["seconds_per_step"]
    names = sorted(
        str(path.relative_to(workdir)) for path in workdir.rglob("*") if "tfevents" not in path.name
    )
    values = {name: value.tobytes() for name, value in arrays.items()}
    return values, metadata["running_means"], rows, names


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("whole") / "w"
    assert run(small(), workdir) == 0
    return written(workdir)


@pytest.mark.parametrize(
    ("callback", "code"), [pytest.param(Interrupt, 130, marks=pytest.mark.slow), (Terminate, 143)]
)
def test_a_signal_saves_the_run_and_the_next_command_ends_it_bit_equal(
    whole, tmp_path, capsys, callback, code
):
    workdir = tmp_path / "w"
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    assert run(small(f"{__name__}:{callback.__name__}"), workdir) == code
    (line,) = capsys.readouterr().err.splitlines()
    assert f"stopped at step {MOMENT + 1} of {STEPS} and saved in {workdir}" in line
    assert list(checkpoint.checkpoints(workdir / "checkpoints")) == [5, MOMENT + 1]
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
    assert run(small(), workdir, force_config=True) == 0
    assert written(workdir) == whole


@pytest.mark.parametrize(
    "callback", [PoisonGenerator, pytest.param(PoisonAverage, marks=pytest.mark.slow)]
)
def test_weights_that_are_not_finite_are_neither_scored_nor_sampled(tmp_path, capsys, callback):
    """They come in the step of an evaluation, whose evaluator would refuse them."""
    workdir = tmp_path / "w"
    assert run(small(f"{__name__}:{callback.__name__}"), workdir) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "is not finite at step" in line
    assert f"the last good checkpoint is {workdir}/checkpoints/step_00000005.npz" in line
    assert {row["step"] for row in records.read_table(workdir / "evaluation.csv")} == {"4"}


def test_a_second_process_is_told_who_trains(tmp_path, capsys):
    holds = "import sys; from tfgan_ema import files; c = files.claim(sys.argv[1]); "
    holds += "c.__enter__(); print(flush=True); sys.stdin.read()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", holds, tmp_path], **pipes) as other:
        other.stdout.readline()
        with pytest.raises(UsageError, match=f"{tmp_path} is in use by process {other.pid} on"):
            run(small(), tmp_path)
        other.stdin.close()
    assert os.listdir(tmp_path) == []


def test_a_run_that_was_killed_before_its_first_file_does_not_bar_the_folder(tmp_path):
    (tmp_path / ".lock").write_text("process 1 on a-host since 2026-01-01 00:00:00")
    half = tmp_path / f".run.json.{files._host()}-{os.getpid()}-00000000.tmp.json"
    half.write_text('{"format": ')

    def claimed(workdir):
        return runs.claimed(workdir, lambda run: [], force=False)

    assert claimed(tmp_path) is None
    (tmp_path / ".bashrc").touch()
    with pytest.raises(UsageError, match="exists and holds no run"):
        claimed(tmp_path)


def test_a_work_directory_that_is_deleted_stays_deleted(tmp_path, monkeypatch):
    workdir = tmp_path / "w"
    monkeypatch.setattr(Remove, "folder", workdir)
    with pytest.raises(UsageError, match=r"w was deleted, moved or replaced"):
        run(small(f"{__name__}:Remove"), workdir)
    assert not workdir.exists()


def test_samples_that_find_no_room_leave_nothing_and_say_why(tmp_path):
    """NumPy's own writer gives no reason."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        with pytest.raises(OSError, match=r"a\.npy") as caught:
            sample.write(tmp_path / "a.npy", iter([np.zeros((1000, 8, 8, 3), "uint8")]), 1000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert caught.value.errno == errno.EFBIG
    assert not os.listdir(tmp_path)
