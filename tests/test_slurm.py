"""The workers of a step of SLURM find each other by its variables."""

import json

import pytest

from tfgan_ema import cluster
from tfgan_ema.engines import tensorflow_devices
from tfgan_ema.errors import UsageError


def variables(rank, local, host):
    return {
        "SLURM_JOB_ID": "40123",
        "SLURM_PROCID": str(rank),
        "SLURM_LOCALID": str(local),
        "SLURMD_NODENAME": host,
        "SLURM_STEP_NUM_TASKS": "4",
        "SLURM_STEP_NODELIST": "node[9-10]",
        "SLURM_STEP_TASKS_PER_NODE": "2(x2)",
    }


@pytest.fixture
def step(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)

    def be(**of):
        for name, value in variables(**of).items():
            monkeypatch.setenv(name, value)

    return be


def test_every_task_has_one_place_and_its_own_host(step):
    """SLURM's rank 0 is on node9, which TensorFlow sorts after node10."""
    places, lists = {}, set()
    for rank, (host, local) in enumerate([(h, i) for h in ("node9", "node10") for i in (0, 1)]):
        step(rank=rank, local=local, host=host)
        found = cluster.read(tensorflow_devices.slurm_config())
        lists.add(found.addresses)
        assert found.addresses[found.place] == f"{host}:{12_123 + local}"
        places[found.place] = rank
    assert sorted(places) == [0, 1, 2, 3]
    assert len(lists) == 1


@pytest.mark.parametrize("missing", ["SLURM_LOCALID", "SLURM_JOB_ID", "SLURMD_NODENAME"])
def test_a_missing_variable_is_one_line(step, monkeypatch, missing):
    step(rank=0, local=0, host="node9")
    monkeypatch.delenv(missing)
    with pytest.raises(UsageError, match=f"{missing}.* is missing"):
        tensorflow_devices.slurm_config()


def test_a_host_that_is_not_of_the_step_is_one_line(step):
    step(rank=0, local=0, host="elsewhere")
    with pytest.raises(UsageError, match="start them with srun") as error:
        tensorflow_devices.slurm_config()
    assert len(str(error.value).splitlines()) == 1


def test_the_strategy_reads_them_unless_tf_config_is_set(step, monkeypatch):
    step(rank=0, local=0, host="node9")
    asked = []
    monkeypatch.setattr(tensorflow_devices, "slurm_config", lambda: json.dumps({"slurm": 1}))
    monkeypatch.setattr(cluster, "read", lambda text: asked.append(text) or 1 / 0)
    for text in (None, '{"cluster": {}}'):
        if text:
            monkeypatch.setenv("TF_CONFIG", text)
        with pytest.raises(ZeroDivisionError):
            tensorflow_devices.strategy("multiworker")
        monkeypatch.delenv("TF_CONFIG", raising=False)
    assert asked == ['{"slurm": 1}', '{"cluster": {}}']
