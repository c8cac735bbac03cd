"""Workers of a cluster meet, compare what they train and end together, in threads and for real."""

import concurrent.futures
import json
import os
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from tfgan_ema import checkpoint, cluster, workers
from tfgan_ema.data.source import Source
from tfgan_ema.errors import UsageError, WorkerLost


def free_addresses(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    addresses = [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]
    for each in sockets:
        each.close()
    return addresses


def tf_config(addresses, index=0, kind="worker"):
    cluster = {"cluster": {"worker": addresses}, "task": {"type": kind, "index": index}}
    return json.dumps(cluster)


@pytest.fixture
def ended(monkeypatch):
    """Makes everything fast; the lines of the workers that were ended."""
    for name, value in {"BEAT": 0.05, "SILENCE": 0.5, "GRACE": 0.1, "FIRST_NOTICE": 0.2}.items():
        monkeypatch.setattr(workers, name, value)
    lines = []
    monkeypatch.setattr(workers, "_leave", lines.append)
    return lines


def each(function, items):
    """What ``function`` returns or raises for every item, each in a thread of its own."""
    with concurrent.futures.ThreadPoolExecutor(len(items)) as pool:
        futures = [pool.submit(function, item) for item in items]
        return [future.exception() or future.result() for future in futures]


@pytest.fixture
def met(ended):
    """Makes a cluster of so many workers who have met, in this process."""
    made = []

    def meet(count):
        addresses = free_addresses(count)
        clusters = [cluster.read(tf_config(addresses, index)) for index in range(count)]
        made.extend(each(lambda own: workers.meet(own, 5.0), clusters))
        return made

    yield meet
    for peers in made:
        peers.over = True


def close(peers):
    """What the system does when a process ends."""
    peers.over = True
    for line in peers.lines.values():
        line.socket.shutdown(socket.SHUT_RDWR)


def wait_for(condition):
    deadline = time.monotonic() + 10
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert condition()


def test_a_cluster_starts_with_its_chief():
    text = {"cluster": {"worker": ["b:2", "c:3"], "chief": ["a:1"]}}
    found = cluster.read(json.dumps({**text, "task": {"type": "worker", "index": 1}}))
    assert found == (("chief 0", "worker 0", "worker 1"), ("a:1", "b:2", "c:3"), 2)
    assert found.title(2) == "worker 1 (c:3)"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "TF_CONFIG (cluster and task) is not set"),
        ("{", "it is no JSON"),
        ("[]", "it has another form"),
        ('{"task": {"type": "worker", "index": 0}}', "'cluster' is missing"),
        ('{"cluster": {"worker": ["a:1"]}}', "'task' is missing"),
        (tf_config([]), "worker 0 is not of the cluster: none"),
        (tf_config(["a:1", "b:2"], 2), "worker 2 is not of the cluster: worker 0, worker 1"),
        (tf_config(["a:1", "b:2"], 0, "ps"), "ps 0 is not of the cluster"),
        (tf_config(["a:1", "a:1"]), "a:1 stands there twice"),
        (tf_config(["a", "b:2"]), "the address 'a': expected HOST:PORT"),
        (tf_config(["a:70000"]), "the address 'a:70000': expected HOST:PORT"),
    ],
)
def test_a_bad_tf_config_is_one_line(text, message):
    with pytest.raises(UsageError) as error:
        cluster.read(text)
    assert message in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_a_port_in_use_is_named():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        own = cluster.read(tf_config([f"127.0.0.1:{port}", "127.0.0.1:1"]))
        with pytest.raises(UsageError, match=f"port {port} of worker 0 .* is in use"):
            workers.meet(own, 1.0)


def test_one_worker_waits_for_nobody():
    peers = workers.meet(cluster.read(tf_config(free_addresses(1))), 0.0)
    with peers.together():
        peers.compare({"seed": 0})


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_the_missing_worker_is_named_and_the_wait_ends(ended, capsys, missing):
    addresses = free_addresses(3)
    here = [cluster.read(tf_config(addresses, i)) for i in range(3) if i != missing]
    errors = each(lambda own: workers.meet(own, 0.7), here)
    who = f"worker {missing} ({addresses[missing]})"
    for error in errors:
        assert isinstance(error, WorkerLost)
        assert str(error).startswith(f"{who} did not come within 0.7 seconds")
    notices = capsys.readouterr().err.splitlines()
    assert len(notices) == 2
    assert all(f"waiting for {who}, 0 of at most 0.7 seconds" in line for line in notices)


def test_a_stranger_at_the_port_is_ignored(ended):
    addresses = free_addresses(2)
    first, second = (cluster.read(tf_config(addresses, index)) for index in range(2))

    def stranger(text):
        host, port = addresses[0].split(":")
        wait_for(lambda: not socket.socket().connect_ex((host, int(port))))
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(text)

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        waiting = pool.submit(workers.meet, first, 10.0)
        for text in (b"GET / HTTP/1.1\r\n\r\n", b"[1]\n", b"\xff\xfe\n", b"{}\n"):
            stranger(text)
        other = workers.meet(second, 10.0)
        waiting.result().over = other.over = True


def test_two_processes_of_one_place(ended):
    addresses = free_addresses(3)
    clusters = [cluster.read(tf_config(addresses, index)) for index in (0, 1, 1)]
    errors = each(lambda own: workers.meet(own, 1.0), clusters)
    refused = [error for error in errors if isinstance(error, UsageError)]
    assert len(refused) == 1
    assert f"another process is worker 1 ({addresses[1]}) already" in str(refused[0])


def test_different_clusters_are_refused(ended):
    addresses = free_addresses(3)
    clusters = [
        cluster.read(tf_config(addresses, 0)),
        cluster.read(tf_config(addresses[:2], 1)),
    ]
    errors = each(lambda own: workers.meet(own, 5.0), clusters)
    assert [type(error) for error in errors] == [UsageError] * 2
    assert "the workers have different clusters" in str(errors[1])


def test_equal_facts_let_all_go_on(met, ended):
    peers = met(3)
    for step in range(2):
        found = each(lambda own: own.compare({"step": step, "shape": (2,)}), peers)  # noqa: B023
        assert found == [None] * 3
    assert ended == []


def test_differences_are_the_same_line_on_all(met, ended):
    facts = [{"seed": 0, "loss": "hinge"}, {"seed": 0, "loss": "hinge"}, {"seed": 1, "loss": "x"}]
    peers = met(3)
    errors = each(lambda i: peers[i].compare(facts[i]), range(3))
    line = (
        "the workers differ in loss ('hinge' on worker 0, 'x' on worker 2), seed (0 on worker 0, "
        "1 on worker 2): start all with the same command, data and code."
    )
    assert [str(error) for error in errors] == [line] * 3
    time.sleep(0.5)
    assert ended == []


def test_long_values_are_left_out():
    two = cluster.Cluster(("worker 0", "worker 1"), ("a:1", "b:2"), 0)
    line = workers.difference(two, {0: {"g": "x" * 100}, 1: {"g": "y", "n": 1}})
    assert line.startswith("the workers differ in g, n (None on worker 0, 1 on worker 1): start")
    assert workers.difference(two, {0: {"n": 1}, 1: {"n": 1}}) == ""


@pytest.mark.parametrize("lost", [0, 1])
@pytest.mark.parametrize("way", ["ends", "stops", "fails"])
def test_who_is_lost_ends_the_others(met, ended, lost, way):
    peers = met(3)
    blocks = [each.together() for each in peers]
    for block in blocks:
        block.__enter__()
    if way == "ends":
        close(peers[lost])
        message = "is gone: its process has ended"
    elif way == "stops":
        peers[lost].over = True  # shows no life any more
        message = "has not answered for 0.5 seconds"
    else:
        blocks[lost].__exit__(ValueError, ValueError("bad rows\nand more"), None)
        message = "ended: ValueError: bad rows."
    wait_for(lambda: len(ended) >= 2)
    assert all(line.startswith(peers[0].cluster.title(lost)) for line in ended)
    assert all(message in line and "Repeat the command on all workers" in line for line in ended)


def test_who_has_finished_may_go(met, ended):
    one, other, third = met(3)
    with one.together(), third.together():
        with other.together():
            pass
        close(other)
        time.sleep(1.0)
        assert ended == []
    with one.together():  # but not work on something else
        wait_for(lambda: ended)
    assert "worker 1" in ended[0]


def test_a_fingerprint_sees_contents_labels_and_order(rng):
    points = rng.normal(size=(1000, 2)).astype("float32")
    labels = np.arange(1000, dtype="int32")
    known = Source("a", points, labels).fingerprint()
    assert known == Source("b", points.copy(), labels.copy()).fingerprint()
    for other in (Source("a", points[::-1], labels), Source("a", points, labels[::-1])):
        assert other.fingerprint() != known
    assert Source("a", points[:10]).fingerprint() != Source("a", points[:9]).fingerprint()
    assert Source("a", points[:0]).fingerprint()


# Processes

CONFIG = """
from configs import base

def get_config():
    config = base.get_config()
    config.network = {"kind": "mlp", "g_hidden": [8], "d_hidden": [8]}
    config.data.name = "ring"
    config.steps, config.batch_size = 100_000, 8
    config.averages = {"ema": {"decay": 0.9}}
    config.log_every, config.sample_every, config.checkpoint_every = 5, 10, 10
    config.evaluate_every = 10
    config.evaluate.metrics, config.evaluate.samples = ("w1",), 50
    return config
"""

# A worker that says which files of its work directory it opens to write.
WATCHED = """
import os, sys
def note(event, arguments):
    made = event in ("os.mkdir", "os.rename", "os.remove", "os.truncate")
    if made or (event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)):
        if str(arguments[0]).startswith(os.environ["WORKDIR"]):
            print("WRITES", event, *arguments, file=sys.stderr)
sys.addaudithook(note)
from tfgan_ema.cli import train
sys.exit(train.main(["tfgan-ema train", *sys.argv[1:]]))
"""


@pytest.fixture
def started(tmp_path):
    """Starts two workers, the second with more flags; they end with the test."""
    running = []

    def start(*more):
        (tmp_path / "tiny.py").write_text(CONFIG)
        addresses, workdir = free_addresses(2), tmp_path / "w"
        words = [f"--config={tmp_path / 'tiny.py'}", f"--workdir={workdir}"]
        words, folder = [*words, "--strategy=multiworker"], {"WORKDIR": str(workdir)}
        for index in range(2):
            running.append(
                subprocess.Popen(
                    [sys.executable, "-c", WATCHED, *words, *(more if index else ())],
                    env=os.environ | {"TF_CONFIG": tf_config(addresses, index)} | folder,
                    stdout=subprocess.PIPE,
                    stderr=(tmp_path / f"stderr {index}").open("w"),
                    text=True,
                )
            )
        return running, addresses, workdir

    yield start
    for process in running:
        process.kill()
        process.wait()


def lines_of(tmp_path, index):
    """What a worker wrote to stderr, and the files that it opened to write."""
    lines = (tmp_path / f"stderr {index}").read_text().splitlines()
    written = [line for line in lines if line.startswith("WRITES")]
    return [line for line in lines if line not in written], written


@pytest.mark.slow
def test_workers_with_different_flags_write_nothing(started, tmp_path):
    changes = {"seed": 1, "d_optimizer.learning_rate": 0.001, "loss.kind": "hinge"}
    changes |= {"batch_size": 16, "data.count": 500}
    processes, _, workdir = started(*(f"--config.{key}={value}" for key, value in changes.items()))
    assert [process.wait(timeout=200) for process in processes] == [2, 2]
    (line,), written = lines_of(tmp_path, 0)
    assert ([line], []) == lines_of(tmp_path, 1)
    assert written == []
    assert all(f"{key} (" in line for key in [*changes, "samples on disk"])
    assert not workdir.exists()


@pytest.mark.slow
@pytest.mark.parametrize(("lost", "how"), [(1, signal.SIGKILL), (0, signal.SIGSTOP)])
def test_a_worker_that_is_lost_in_training_ends_the_other(started, tmp_path, lost, how):
    processes, addresses, workdir = started()
    deadline = time.monotonic() + 200
    while len(checkpoint.checkpoints(workdir / "checkpoints")) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    processes[lost].send_signal(how)
    assert processes[1 - lost].wait(timeout=60) == 1
    (line,), _ = lines_of(tmp_path, 1 - lost)
    assert f"worker {lost} ({addresses[lost]})" in line
    assert "Repeat the command on all workers" in line
    assert (workdir / "evaluation.csv").exists()
    assert lines_of(tmp_path, 0)[1]
    assert lines_of(tmp_path, 1)[1] == []
