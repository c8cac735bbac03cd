"""Calls of functions on the machines of a Ray cluster.

Ray chooses where a call runs and repeats those whose process or host is lost; each runs on one
thread, so that it gives the same numbers wherever it runs. A function is named as
``"module:function"`` and imported there, so the package must be installed on every machine.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from tfgan_ema import progress
from tfgan_ema.errors import UsageError, WorkerLost

LOSSES = 20  # a call whose process is lost more often is given up
OBJECTS = 128 * 2**20  # bytes of Ray's object store where Ray is started here
PATIENCE = (
    120  # seconds in which Ray's own processes have to start; Ray's 30 pass on a busy machine
)
BACKEND = ("KERAS_BACKEND", "TFGAN_EMA_CACHE")  # variables that are the same on all machines


class Call(NamedTuple):
    """One call: its name, for messages, and the arguments of the function."""

    name: str
    arguments: Mapping[str, Any]


@contextlib.contextmanager
def connected(cluster: str, processes: int | None = None) -> Iterator[int]:
    """A context in which `results` can be called; gives how many CPUs there are.

    Args:
        cluster: ``"local"`` starts Ray on this machine, and ends it with the context; ``"auto"`` is
            the cluster that this machine belongs to; anything else is the address of one. Where
            Ray is connected already, that is used and left as it is.
        processes: CPUs of a local one; by default those of the machine.

    Raises:
        UsageError: there is no such cluster.
        ModuleNotFoundError: Ray is not installed.
    """
    if cluster not in ("local", "auto"):
        _reach(cluster)
    os.environ.setdefault("RAY_raylet_start_wait_time_s", str(PATIENCE))
    os.environ.setdefault("RAY_agent_register_timeout_ms", str(1000 * PATIENCE))
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    import ray

    if ray.is_initialized():
        yield int(ray.cluster_resources().get("CPU", 1))
        return
    options: dict[str, Any] = {"address": cluster}
    if cluster == "local":
        options |= {"num_cpus": processes, "object_store_memory": OBJECTS}
        options |= {"include_dashboard": False}
    main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGTERM) if main else None
    try:
        ray.init(**options, logging_level="ERROR", log_to_driver=False)
    except Exception as error:  # Ray has none narrower for processes that start too late
        line = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise UsageError(
            f"cluster={cluster!r}: {line.rstrip('.')}; expected the address of a running Ray "
            "cluster, auto or local."
        ) from error
    finally:
        if main:
            signal.signal(signal.SIGTERM, before)  # Ray's handler would end the process
    try:
        yield int(ray.cluster_resources().get("CPU", 1))
    finally:
        ray.shutdown()


def _reach(address: str) -> None:
    """Raises `UsageError` unless something listens there: Ray itself would try for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), 5.0).close()
    except (OSError, ValueError, OverflowError) as error:
        raise UsageError(
            f"cluster={address!r}: no Ray cluster answers there ({error}); expected HOST:PORT, "
            "ray://HOST:PORT, auto or local."
        ) from None


def results(
    function: str,
    calls: Iterable[Call],
    *,
    gpus: float = 0.0,
    watch: Callable[[], None] = lambda: None,
) -> Iterator[tuple[str, Any]]:
    """Calls a function many times on the cluster; gives names and results as they are ready.

    Memory does not grow with the number of calls: a few for each CPU are under way, the next are
    taken from ``calls`` when some are finished. A call that fails leaves the others alone.

    Args:
        function: ``"module:function"``.
        calls: names and arguments; each must be safe to repeat.
        gpus: how much of a GPU a call takes, beside one CPU.
        watch: called about each second.

    Raises:
        UsageError: a call raised it; the message names the first such call.
        WorkerLost: the process of a call ended again and again.
        RuntimeError: a call raised something else.
    """
    import ray
    from ray.exceptions import RayError

    task = ray.remote(_call).options(num_cpus=1, num_gpus=gpus, max_retries=LOSSES)
    setting = {name: os.environ[name] for name in BACKEND if name in os.environ}
    waiting, running, failed = iter(calls), {}, []
    while True:
        most = 2 * int(ray.cluster_resources().get("CPU", 1)) + 2
        while len(running) < most and (call := next(waiting, None)) is not None:
            reference = task.remote(function, dict(call.arguments), setting, tuple(sys.path))
            running[reference] = call.name
        if not running:
            break
        ready, _ = ray.wait([*running], timeout=1.0)
        for reference in ready:
            name = running.pop(reference)
            try:
                result = ray.get(reference)
            except RayError as error:
                failed.append((name, error))
            else:
                yield name, result
            del reference
        watch()
    if failed:
        _raise(*failed[0], len(failed))


def _raise(name: str, error: Exception, count: int) -> None:
    """The error of a call, which names it."""
    cause = getattr(error, "cause", None)
    if cause is not None:
        raise named(cause, name, count) from error
    others = f" ({count - 1} others failed too)" if count > 1 else ""
    raise WorkerLost(
        f"{name}{others}: the process that worked on it was lost {LOSSES + 1} times; see that "
        "the machines have enough memory, then repeat the command, which keeps what is done."
    ) from error


def named(error: Exception, name: str, count: int) -> Exception:
    """The error of one of ``count`` calls that failed, with the name of the call."""
    others = f" ({count - 1} others failed too)" if count > 1 else ""
    if isinstance(error, UsageError):
        return UsageError(f"{name}{others}: {error}")
    return RuntimeError(f"{name} failed{others}: {type(error).__name__}: {error}")


def _call(
    function: str, arguments: dict[str, Any], setting: dict[str, str], path: tuple[str, ...]
) -> Any:
    """What a process of the cluster runs."""
    _prepare(tuple(setting.items()), path)
    module, _, name = function.partition(":")
    return getattr(importlib.import_module(module), name)(**arguments)


@functools.cache
def _prepare(setting: tuple[tuple[str, str], ...], path: tuple[str, ...]) -> None:
    """Makes a process of the cluster import and compute as the one that asks, on one thread."""
    os.environ.update(setting)
    sys.path += [place for place in path if place not in sys.path]
    use_one_thread()


def use_one_thread() -> None:
    """Prepares a process that is one of several on a machine, so that they share its cores."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
    with progress.silence():
        from tfgan_ema.engines import devices  # the backend reads these variables when it is loaded

        devices.share_machine()


class Board:
    """What calls write down while they run: a share by name, until it is 1."""

    def __init__(self) -> None:
        import ray

        kept = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(_Board)
        self._actor = kept.remote()

    def __setitem__(self, name: str, share: float) -> None:
        self._actor.put.remote(name, share)

    def copy(self) -> dict[str, float]:
        """All that is written on it."""
        import ray

        return ray.get(self._actor.copy.remote())


class _Board:
    def __init__(self) -> None:
        self.shares: dict[str, float] = {}

    def put(self, name: str, share: float) -> None:
        self.shares[name] = share
        if share >= 1:
            del self.shares[name]

    def copy(self) -> dict[str, float]:
        return self.shares
