"""Exact resume: every variable of a run in one file, written whole or not at all.

A checkpoint is an uncompressed ``.npz`` of named arrays, readable with NumPy alone; the entry
``metadata`` holds JSON. Random draws and data are functions of the step, so nothing else is needed
to go on.
"""

from __future__ import annotations

import json
import os
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tfgan_ema.errors import UsageError

_PATTERN = re.compile(r"step_(\d{8,})\.npz")


def checkpoints(folder: str | os.PathLike) -> dict[int, Path]:
    """Complete checkpoints of a folder by step, rising."""
    found = {}
    for path in Path(folder).glob("step_*.npz"):
        match = _PATTERN.fullmatch(path.name)
        if match:
            found[int(match[1])] = path
    return dict(sorted(found.items()))


def save(folder: str | os.PathLike, step: int, state: Mapping[str, Any], **metadata: Any) -> Path:
    """Writes ``folder/step_XXXXXXXX.npz`` from variables by name; returns its path.

    The file appears under its name only when it is complete and on disk.
    """
    return write(Path(folder) / f"step_{step:08d}.npz", to_arrays(state), step=step, **metadata)


def to_arrays(state: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The variables' values as NumPy arrays."""
    return {name: np.asarray(variable.numpy()) for name, variable in state.items()}


def write(path: Path, arrays: Mapping[str, np.ndarray], **metadata: Any) -> Path:
    """Writes arrays and metadata to ``path`` atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            np.savez(file, metadata=np.array(json.dumps(metadata)), **arrays)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def read(path: str | os.PathLike) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Arrays by name and the metadata of a checkpoint.

    Raises:
        UsageError: the file is missing or is not a checkpoint.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        return arrays, json.loads(str(arrays.pop("metadata")))
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UsageError(
            f"{path} is not a readable checkpoint ({type(error).__name__}): expected a file that "
            "`tfgan-ema train` wrote; delete it to go on from the one before."
        ) from error


def assign(state: Mapping[str, Any], arrays: Mapping[str, np.ndarray], source: object) -> None:
    """Gives variables their saved values, all or none.

    Raises:
        UsageError: names or shapes differ; the message lists them.
    """
    problems = [
        f"{name} has shape {arrays[name].shape}, expected {tuple(variable.shape)}"
        for name, variable in state.items()
        if name in arrays and arrays[name].shape != tuple(variable.shape)
    ]
    problems += [f"{name} is missing" for name in state if name not in arrays]
    problems += [f"{name} is not in this model" for name in arrays if name not in state]
    if problems:
        more = f", and {len(problems) - 4} more" if len(problems) > 4 else ""
        raise UsageError(
            f"{source} belongs to another model: {'; '.join(problems[:4])}{more}. Use the "
            "configuration it was made with."
        )
    for name, variable in state.items():
        variable.assign(arrays[name])


def restore(gan: Any, folder: str | os.PathLike, step: int | None = None) -> int | None:
    """Restores a compiled GAN from a checkpoint of ``folder``, the latest unless told.

    Returns:
        The restored step, or ``None`` where the folder holds no checkpoint.

    Raises:
        UsageError: no checkpoint of that step, an unreadable file, or another model's.
    """
    found = checkpoints(folder)
    if step is not None and step not in found:
        raise UsageError(f"{folder} has no checkpoint of step {step}: there are {list(found)}.")
    if not found:
        return None
    path = found[max(found) if step is None else step]
    arrays, metadata = read(path)
    assign(gan.state(), arrays, path)
    return metadata["step"]
