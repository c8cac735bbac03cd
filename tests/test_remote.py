"""Calls on a Ray of this machine: results, errors, processes that are killed."""

import os
import time

import pytest
import ray_cluster

from tfgan_ema import remote
from tfgan_ema.errors import UsageError

pytestmark = pytest.mark.slow
HERE = "test_remote"


@pytest.fixture(scope="module", autouse=True)
def cpus():
    pytest.importorskip("ray", reason="needs: pip install 'tfgan_ema[cluster]'")
    with remote.connected("local", 2) as count:
        yield count


def square(number):
    if number == 3:
        raise UsageError("3 is not allowed: give another number.")
    if number == 5:
        raise KeyError("five")
    return number * number, os.environ["OMP_NUM_THREADS"]


def slow(number):
    time.sleep(0.4)
    return number


def deadly():
    os._exit(1)


def each(function, numbers):
    calls = (remote.Call(f"call {n}", {"number": n}) for n in numbers)
    return remote.results(f"{HERE}:{function}", calls)


def test_results_come_with_their_names_and_on_one_thread(cpus):
    assert cpus == 2
    found = dict(each("square", [0, 1, 2, 4]))
    assert found == {f"call {n}": (n * n, "1") for n in (0, 1, 2, 4)}


@pytest.mark.parametrize(("wrong", "kind"), [(3, UsageError), (5, RuntimeError)])
def test_a_call_that_fails_is_named_after_the_others_have_finished(wrong, kind):
    found = []
    with pytest.raises(kind) as error:
        found.extend(each("square", [wrong, *[2] * 20]))
    assert len(found) == 20
    assert f"call {wrong}" in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_calls_whose_process_is_killed_are_repeated():
    with ray_cluster.killing(5, 0.8) as killed:
        found = dict(each("slow", range(24)))
    assert len(killed) == 5
    assert found == {f"call {n}": n for n in range(24)}


def test_a_call_that_ends_its_process_again_and_again_is_named(monkeypatch):
    monkeypatch.setattr(remote, "LOSSES", 1)
    with pytest.raises(remote.WorkerLost, match=r"bad: the process .* was lost 2 times"):
        list(remote.results(f"{HERE}:deadly", [remote.Call("bad", {})]))


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "nowhere", "a:b"])
def test_an_address_without_a_cluster_is_refused_at_once(address):
    with pytest.raises(UsageError, match="no Ray cluster answers there"):  # noqa: SIM117
        with remote.connected(address):
            pass
