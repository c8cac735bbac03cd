"""Runs the cells of an experiment side by side; a finished cell is never run again.

A cell is one piece of work with a name. What it returns is kept in ``OUT/cells/NAME.json``, and the
tables and figures of an experiment are made from these files alone, so an interrupted run goes on
at the first cell that is missing and ends with the same tables.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import multiprocessing
import os
import queue
import time
from collections.abc import Callable, Sequence
from concurrent import futures
from importlib import metadata
from pathlib import Path
from typing import Any

from tfgan_ema.errors import UsageError

Progress = Callable[[float], None]


@dataclasses.dataclass(frozen=True)
class Cell:
    """One piece of work.

    Attributes:
        name: of its file.
        function: ``"module:function"``, called with the options, the ``folder`` of the cells and a
            ``progress(share)`` to call now and then with the share done in [0, 1]; returns what
            JSON can hold. An ``.npz`` that a cell leaves in the folder may save another one work,
            but must not change what it returns; they go when all cells are done.
        options: its keyword arguments, as JSON holds them.
        cost: about how many seconds it takes; the longest start first.
    """

    name: str
    function: str
    options: dict[str, Any]
    cost: float = 1.0


def run(cells: Sequence[Cell], out: Path, *, workers: int | None = None) -> dict[str, Any]:
    """The results of all cells by name; those found in ``out`` are read, the others run.

    Args:
        cells: what to run.
        out: the experiment's folder, there or not yet.
        workers: processes at a time, each on one thread; as many as there are cores unless given.

    Raises:
        UsageError: the folder holds a cell of that name with other options.
    """
    folder = out / "cells"
    results = {cell.name: _read(out, cell) for cell in cells}
    missing = [cell for cell in cells if results[cell.name] is None]
    if missing:
        folder.mkdir(parents=True, exist_ok=True)
        missing.sort(key=lambda cell: -cell.cost)
        _run_all(missing, folder, min(workers or os.cpu_count() or 1, len(missing)))
    for left in folder.glob("*.npz"):
        left.unlink()
    return {cell.name: results[cell.name] or _read(out, cell) for cell in cells}


def run_apart(function: Callable[[], None]) -> None:
    """Runs a function in a process of its own, which leaves nothing behind in this one.

    Raises:
        UsageError, or whatever else the function raises.
    """
    with futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        pool.submit(function).result()


def path(out: Path, cell: Cell) -> Path:
    """Where a finished cell lies."""
    return out / "cells" / f"{cell.name}.json"


def _read(out: Path, cell: Cell) -> Any:
    file = path(out, cell)
    if not file.exists():
        return None
    try:
        stored = json.loads(file.read_text())
    except ValueError as error:
        raise UsageError(f"{file} is damaged ({error}): delete it, the cell runs again.") from error
    wanted = json.loads(json.dumps([cell.function, cell.options]))
    if [stored["function"], stored["options"]] != wanted:
        raise UsageError(
            f"{file} is of another budget or version: expected the cells of this run; give an "
            "--out of its own."
        )
    return stored["result"]


def seconds(out: Path, cell: Cell) -> float:
    """How long a finished cell took, in seconds of one core."""
    return json.loads(path(out, cell).read_text())["seconds"]


def made_by(out: Path, cell: Cell) -> str:
    """The backend and the device that a finished cell was computed by."""
    return json.loads(path(out, cell).read_text()).get("made_by", "an earlier version")


def _made_by() -> str:
    import keras

    from tfgan_ema import engines

    backend = keras.config.backend()
    name = {"tensorflow": "TensorFlow", "jax": "JAX"}[backend]
    return f"{name} {metadata.version(backend)} on {engines.current().device_kind()}"


def _run_all(cells: Sequence[Cell], folder: Path, workers: int) -> None:
    import tqdm

    context = multiprocessing.get_context("spawn")
    reports = context.Queue()
    done = dict.fromkeys((cell.name for cell in cells), 0.0)
    total = sum(cell.cost for cell in cells)
    bar = tqdm.tqdm(
        total=100, mininterval=1, miniters=0, smoothing=0,  # the mean rate: reports come in lumps
        bar_format="{l_bar}{bar}| {elapsed} passed, {remaining} left{postfix}",
    )  # fmt: skip
    pool = futures.ProcessPoolExecutor(workers, context, _one_thread, (reports,))
    try:
        pending = {pool.submit(_run_one, cell, folder): cell for cell in cells}
        while pending:
            finished, _ = futures.wait(pending, 0.5, futures.FIRST_COMPLETED)
            for future in finished:
                done[pending.pop(future).name] = 1.0
                future.result()
            with_news = _drain(reports)
            done.update({name: max(done[name], share) for name, share in with_news})
            share = sum(done[cell.name] * cell.cost for cell in cells) / total
            left = sum(value < 1 for value in done.values())
            bar.set_postfix_str(f"{left} of {len(cells)} cells to finish", refresh=False)
            bar.update(100 * share - bar.n)
    finally:
        bar.close()
        for process in pool._processes.values() if pool._processes else ():
            process.terminate()
        pool.shutdown(wait=True, cancel_futures=True)


def _drain(reports: Any) -> list[tuple[str, float]]:
    found = []
    while True:
        try:
            found.append(reports.get_nowait())
        except queue.Empty:
            return found


_REPORTS: Any = None


def _one_thread(reports: Any) -> None:
    """Prepares a worker: one thread, so that workers do not get in each other's way."""
    global _REPORTS
    _REPORTS = reports
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
    from tfgan_ema import engines

    engines.current().share_machine()


def _run_one(cell: Cell, folder: Path) -> None:
    module, function = cell.function.split(":")
    start = time.process_time()

    def progress(share: float) -> None:
        _REPORTS.put((cell.name, share))

    measure = getattr(importlib.import_module(module), function)
    result = measure(**cell.options, folder=folder, progress=progress)
    stored = {
        "function": cell.function,
        "options": cell.options,
        "seconds": round(time.process_time() - start, 1),
        "made_by": _made_by(),
        "result": result,
    }
    temporary = folder / f".{cell.name}.{os.getpid()}"
    temporary.write_text(json.dumps(stored))
    temporary.replace(folder / f"{cell.name}.json")
