"""Calls in processes of this machine."""

import os
import signal

import pytest

from tfgan_ema import processes, remote
from tfgan_ema.errors import UsageError, WorkerLost


def square(value):
    if value == 3:
        raise UsageError("three is no number for this.")
    if value == 4:
        raise ValueError("four")
    if value == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return value**2


def squares(*values):
    calls = (remote.Call(f"square {value}", {"value": value}) for value in values)
    return processes.results("test_processes:square", calls, 2)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("wrong", "error", "words"),
    [
        (3, UsageError, "^square 3: three is no number"),
        (4, RuntimeError, "^square 4 failed: ValueError: four"),
        (5, WorkerLost, "a process was killed"),
    ],
)
def test_a_call_that_fails_is_named(wrong, error, words):
    assert dict(squares(1, 2)) == {"square 1": 1, "square 2": 4}
    with pytest.raises(error, match=words) as raised:
        dict(squares(wrong))
    assert "\n" not in str(raised.value)
