"""Runs the cells of an experiment side by side; a finished cell never runs again.

A cell is one piece of work with a name. Its result is kept in ``OUT/cells/NAME.json``, and the
tables and figures of an experiment are made from these files alone. An interrupted run therefore
continues with the first cell that is missing and ends with the same tables.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import importlib
import json
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, Protocol

from tfgan_ema import files, processes, progress, reading, remote
from tfgan_ema.errors import UsageError

Progress = Callable[[float], None]


class Shares(Protocol):
    """How much of each cell is done, by name."""

    def __setitem__(self, name: str, share: float) -> None: ...


@dataclasses.dataclass(frozen=True)
class Cell:
    """One piece of work.

    Attributes:
        name: of its file.
        function: ``"module:function"``. It is called with the options, the ``folder`` of the cells
            and ``progress``, which takes the share done in [0, 1]; it returns what JSON can hold.
            An ``.npz`` that a cell leaves in the folder may save another cell some work, but must
            not change what that one returns; these files are removed when all cells are done.
        options: its keyword arguments, as JSON holds them.
        cost: about how many seconds it takes; the longest of a turn start first.
        head: what comes first in each of its rows in the experiment's table.
        turn: cells start after those of lower turns.
    """

    name: str
    function: str
    options: dict[str, Any]
    cost: float = 1.0
    head: dict[str, Any] = dataclasses.field(default_factory=dict)
    turn: int = 0


def run(
    cells: Sequence[Cell],
    out: Path,
    *,
    workers: int | None = None,
    cluster: str | None = None,
    gpus: float = 0.0,
) -> dict[str, Any]:
    """The results of all cells by name; finished ones are read from ``out``, the others run.

    Args:
        cells: what to run.
        out: the folder of the experiment; it need not exist.
        workers: processes at a time, each on one thread; by default as many as there are `cores`.
        cluster: runs the cells on Ray, see `remote.connected`; results come back to ``out``, which
            need not be a folder that the other machines see.
        gpus: how much of a GPU a cell takes on a cluster.

    Raises:
        UsageError: the folder holds a damaged cell, or one of that name with other options, or
            another process runs cells there.
    """
    folder = out / "cells"
    missing = [cell for cell in cells if record(out, cell) is None]
    if missing:
        missing.sort(key=lambda cell: (cell.turn, -cell.cost))
        with files.claim(folder):
            try:
                with progress.line("cells", 100, keep=True) as line:
                    show = _percent(line, sum(cell.cost for cell in missing))
                    _run_all(missing, folder, workers, cluster, gpus, show)
            finally:
                files.clear_leftovers(folder)  # of workers that were stopped
    for leftover in folder.glob("*.npz"):
        leftover.unlink()
    return {cell.name: record(out, cell)["result"] for cell in cells}


def cores() -> int:
    """How many cores this process may use: all, or those that ``taskset`` leaves it."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run_apart(function: Callable[..., None], *arguments: Any) -> None:
    """Calls a function in a process of its own, which leaves nothing behind in this one.

    Raises:
        UsageError, or whatever else the function raises.
    """
    with processes.pool(1, processes.leave_signals) as pool:
        pool.submit(function, *arguments).result()


def record(out: Path, cell: Cell) -> dict[str, Any] | None:
    """A finished cell's ``result``, ``seconds`` of one core and more; ``None``: it has to run.

    Raises:
        UsageError: the file is damaged, or its cell has other options.
    """
    file = out / "cells" / f"{cell.name}.json"
    if not file.exists():
        return None
    with reading.refusing(f"{file} is damaged", "delete it, the cell runs again."):
        stored = reading.json_value(file)
        rows = stored["result"]["rows"] if isinstance(stored["result"], dict) else stored["result"]
        if not all(isinstance(row, dict) for row in rows):
            raise ValueError("its rows have no columns")
        stored |= {"seconds": float(stored["seconds"])}
        stored |= {"made_by": str(stored.get("made_by", "an earlier version"))}
    wanted = json.loads(json.dumps([cell.function, cell.options]))
    if [stored.get("function"), stored.get("options")] != wanted:
        raise UsageError(
            f"{file} belongs to another budget or version: expected the cells of this run; choose "
            "another folder."
        )
    return {"finished": file.stat().st_mtime, **stored}


def made_by(out: Path, cell: Cell) -> str:
    """The backend and the device on which a finished cell was computed."""
    return record(out, cell)["made_by"]


def _percent(line: progress.Line, whole: float) -> Callable[[float], None]:
    """``show(done)``: moves a line of 100 to what is done of the whole."""
    shown = 0

    def show(done: float) -> None:
        nonlocal shown
        percent = min(100, int(100 * done / whole))
        line.advance(percent - shown)
        shown = percent

    return show


def _run_all(
    cells: Sequence[Cell],
    folder: Path,
    workers: int | None,
    cluster: str | None,
    gpus: float,
    show: Callable[[float], None],
) -> None:
    """Writes the file of each cell as it is ready."""
    costs, finished = {cell.name: cell.cost for cell in cells}, set()
    with contextlib.ExitStack() as stack:
        if cluster:
            stack.enter_context(remote.connected(cluster, workers))
            board, results = remote.Board(), functools.partial(remote.results, gpus=gpus)
        else:
            board = stack.enter_context(processes.SPAWN.Manager()).dict()
            most = min(workers or cores(), len(cells))
            results = functools.partial(processes.results, workers=most)

        def watch() -> None:
            shares = board.copy() | dict.fromkeys(finished, 1.0)
            show(sum(share * costs[name] for name, share in shares.items()))

        options = {"folder": str(folder), "shares": board}
        calls = (remote.Call(cell.name, {"cell": cell, **options}) for cell in cells)
        for name, stored in results(f"{__name__}:measured", calls, watch=watch):
            files.write_text(folder / f"{name}.json", stored)
            finished.add(name)


def measured(cell: Cell, folder: str, shares: Shares) -> str:
    """Runs a cell; what its file holds."""
    module, function = cell.function.split(":")
    start = time.process_time()

    def done(share: float) -> None:
        shares[cell.name] = share

    measure = getattr(importlib.import_module(module), function)
    with contextlib.ExitStack() as stack:
        if not Path(folder).is_dir():  # on another machine
            folder = stack.enter_context(tempfile.TemporaryDirectory())
        result = measure(**cell.options, folder=Path(folder), progress=done)
    stored = {
        "function": cell.function,
        "options": cell.options,
        "seconds": round(time.process_time() - start, 1),
        "made_by": _backend_and_device(),
        "result": result,
    }
    return json.dumps(stored)


def _backend_and_device() -> str:
    from tfgan_ema.engines import current, devices

    backend = current().__name__.rpartition(".")[-1]
    name = {"tensorflow": "TensorFlow", "jax": "JAX"}[backend]
    return f"{name} {metadata.version(backend)} on {devices.device_kind()}"
