"""Workers that Ray starts again: the run ends by itself, with the weights of one left alone."""

import os
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from tfgan_ema import checkpoint, hosts, remote, runs

CONFIG = """
from configs import base

def get_config():
    config = base.get_config()
    config.network = {"kind": "mlp", "g_hidden": [8], "d_hidden": [8]}
    config.data.name = "ring"
    config.steps, config.batch_size = 600, 8
    config.averages = {"ema": {"decay": 0.9}}
    config.log_every, config.sample_every, config.checkpoint_every = 100, 1000, 20
    return config
"""


def training_processes(workdir):
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if f"--workdir={workdir}".encode() in words and b"--strategy=multiworker" in words:
            found.append(int(folder.name))
    return sorted(found)


def signalling(workdir, signals):
    """Sends a signal to a worker each time the run has made two more checkpoints."""

    def send():
        seen = -1
        for i, number in enumerate(signals):
            deadline = time.monotonic() + 200
            while time.monotonic() < deadline:
                latest = max(checkpoint.checkpoints(workdir / "checkpoints"), default=-1)
                if latest > seen + 40 and len(training_processes(workdir)) == 2:
                    break
                time.sleep(0.02)
            seen = latest
            os.kill(training_processes(workdir)[i % 2], number)
            sent.append(number)

    sent = []
    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    return sent


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_killed_and_stopped_workers_change_no_bit(tmp_path, monkeypatch):
    pytest.importorskip("ray", reason="needs: pip install 'tfgan_ema[cluster]'")
    for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        monkeypatch.setenv(name, "1")
    (tmp_path / "tiny.py").write_text(CONFIG)
    weights = {}
    signals = {"whole": [], "broken": [signal.SIGKILL, signal.SIGSTOP]}
    with remote.connected("local", 2):
        for name, numbers in signals.items():
            workdir = tmp_path / name
            sent = signalling(workdir, numbers)
            words = [f"--config={tmp_path / 'tiny.py'}", f"--workdir={workdir}"]
            hosts.train(words, workdir, 2, "local")
            assert sent == numbers
            weights[name] = runs.load_run(workdir).get_weights()
    assert len(weights["whole"]) > 4
    for one, other in zip(weights["whole"], weights["broken"], strict=True):
        np.testing.assert_array_equal(one, other)
