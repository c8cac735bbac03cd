"""Where to spend cores: on independent blocks, not inside one LAPACK call."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import TypeVar

from threadpoolctl import ThreadpoolController

MOST = 16  # workers; each holds a few blocks
T, R = TypeVar("T"), TypeVar("R")


def one_blas_thread() -> AbstractContextManager:
    """A context in which linear algebra uses one thread a call.

    Threads inside a call wait for one another at every step; where something else uses the cores
    too, that costs many times what they gain.
    """
    return _controller().limit(limits=1, user_api="blas")


def parallel(function: Callable[[T], R], tasks: Iterable[T]) -> Iterator[R]:
    """``function`` of each task in order, computed by as many threads as there are cores.

    NumPy lets go of the interpreter in long operations, so blocks of 1,024 rows run side by side.
    """
    with one_blas_thread(), ThreadPoolExecutor(min(os.cpu_count() or 1, MOST)) as pool:
        yield from pool.map(function, tasks)


@functools.cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()
