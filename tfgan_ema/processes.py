"""Calls of functions in processes of this machine, each on one thread."""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent import futures
from concurrent.futures import process
from typing import Any

from tfgan_ema import remote
from tfgan_ema.errors import WorkerLost

SPAWN = multiprocessing.get_context("spawn")


@contextlib.contextmanager
def pool(workers: int, prepare: Callable[[], None]) -> Iterator[futures.ProcessPoolExecutor]:
    """Processes that end with the block; an error there ends them in the middle of their work."""
    executor = futures.ProcessPoolExecutor(workers, SPAWN, prepare)
    try:
        yield executor
    except BaseException:
        for each in executor._processes.values() if executor._processes else ():
            each.terminate()
        raise
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def leave_signals() -> None:
    """Lets the first process alone answer Ctrl-C, which the terminal sends to all."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def use_one_thread() -> None:
    """Prepares a process that is one of several."""
    leave_signals()
    remote.use_one_thread()


def results(
    function: str,
    calls: Iterable[remote.Call],
    workers: int,
    watch: Callable[[], None] = lambda: None,
) -> Iterator[tuple[str, Any]]:
    """Calls a function many times; gives names and results as they are ready.

    Memory does not grow with the number of calls, and a call that fails leaves the others alone.

    Args:
        function: ``"module:function"``.
        calls: names and arguments.
        workers: processes at a time.
        watch: called about each half second.

    Raises:
        UsageError: a call raised it; the message names the first such call.
        WorkerLost: a process was killed.
        RuntimeError: a call raised something else.
    """
    waiting, running, failed = iter(calls), {}, []
    with pool(workers, use_one_thread) as executor:
        while True:
            while len(running) < 2 * workers and (call := next(waiting, None)) is not None:
                running[executor.submit(_call, function, call.arguments)] = call.name
            if not running:
                break
            for future in futures.wait(running, 0.5, futures.FIRST_COMPLETED).done:
                name = running.pop(future)
                try:
                    result = future.result()
                except process.BrokenProcessPool as error:
                    raise WorkerLost(
                        f"{name}: a process was killed; see that there is enough memory, then "
                        "repeat the command, which keeps what is done."
                    ) from error
                except Exception as error:
                    failed.append((name, error))
                else:
                    yield name, result
            watch()
    if failed:
        name, error = failed[0]
        raise remote.named(error, name, len(failed)) from error


def _call(function: str, arguments: dict[str, Any]) -> Any:
    module, _, name = function.partition(":")
    return getattr(importlib.import_module(module), name)(**arguments)
