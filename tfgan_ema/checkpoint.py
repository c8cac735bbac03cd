"""Exact resume: every variable of a run in one file, written whole or not at all.

A checkpoint is an uncompressed ``.npz`` of named arrays, readable with NumPy alone; the entry
``metadata`` holds JSON, with a checksum of everything else. Random draws and data are functions of
the step, so nothing else is needed to resume.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np

from tfgan_ema import files, reading
from tfgan_ema.errors import UsageError

if TYPE_CHECKING:
    import keras

    from tfgan_ema.gan import GAN

_PATTERN = re.compile(r"step_(\d{8,})\.npz")


def state_of(gan: GAN) -> dict[str, keras.Variable]:
    """Every variable that training changes, by role; what a checkpoint holds."""
    groups = {
        "generator": gan.generator.variables,
        "discriminator": gan.discriminator.variables,
        "d_optimizer": gan.d_optimizer.variables,
        "g_optimizer": gan.g_optimizer.variables,
        "step": [gan.step],
        "leak": [] if gan.leak is None else [gan.leak.start],
        "controllers": [v for controller in gan.controllers for v in controller.variables],
        "lookahead": [] if gan.lookahead is None else gan.lookahead.variables,
    }
    for average in gan.averages:
        groups[f"average/{average.name}"] = [shadow for shadow, _ in average.pairs]
    for penalty in gan.regularisation.terms:
        groups[f"penalty/{penalty.name}"] = penalty.state
    # An optimizer's names count the layers of the whole process, so a place must do for them.
    return {
        f"{role}/{i:03d}" + ("" if "optimizer" in role else f"/{variable.name}"): variable
        for role, variables in groups.items()
        for i, variable in enumerate(variables)
    }


def path_of(folder: str | os.PathLike, step: int) -> Path:
    """Where the checkpoint of a step is, ``folder/step_XXXXXXXX.npz``."""
    return Path(folder) / f"step_{step:08d}.npz"


def checkpoints(folder: str | os.PathLike) -> dict[int, Path]:
    """Complete checkpoints of a folder by step, rising."""
    matches = [(_PATTERN.fullmatch(path.name), path) for path in Path(folder).glob("step_*.npz")]
    return dict(sorted((int(match[1]), path) for match, path in matches if match))


def prune(folder: str | os.PathLike, keep: int) -> None:
    """Removes all checkpoints of a folder but the last ``keep``."""
    for path in list(checkpoints(folder).values())[:-keep]:
        path.unlink(missing_ok=True)


def save(
    folder: str | os.PathLike, step: int, state: Mapping[str, keras.Variable], **metadata: Any
) -> Path:
    """Writes the checkpoint of a step from variables by name; returns its path.

    The file appears under its name only when it is complete and on disk.
    """
    return write(path_of(folder, step), to_arrays(state), step=step, **metadata)


def to_arrays(state: Mapping[str, keras.Variable]) -> dict[str, np.ndarray]:
    """The variables' values as NumPy arrays."""
    return {name: np.asarray(variable.numpy()) for name, variable in state.items()}


def not_finite(arrays: Mapping[str, np.ndarray]) -> str | None:
    """The name of the first array that holds NaN or infinity; ``None`` if none does."""
    return next((name for name, value in arrays.items() if not np.isfinite(value).all()), None)


def write(path: Path, arrays: Mapping[str, np.ndarray], **metadata: Any) -> Path:
    """Writes arrays and metadata to ``path``, whole or not at all."""
    metadata = json.loads(json.dumps(metadata))
    noted = json.dumps({**metadata, "sha256": _checksum(arrays, metadata)})
    with files.replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, metadata=np.array(noted), **arrays)
    return path


def _checksum(arrays: Mapping[str, np.ndarray], metadata: Mapping[str, Any]) -> str:
    """SHA-256 of names, types, shapes and values, in the order of the names, and the metadata."""
    found = hashlib.sha256(json.dumps(metadata, sort_keys=True).encode())
    for name, array in sorted(arrays.items()):
        found.update(f"{name} {array.dtype.kind}{array.dtype.itemsize} {array.shape}".encode())
        found.update(array.tobytes())
    return found.hexdigest()


def read(path: str | os.PathLike) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Arrays by name, read-only, and the metadata of a checkpoint.

    Raises:
        UsageError: the file is missing, is not a checkpoint, or is not what was written.
    """
    with reading.refusing(
        f"{path} is not a readable checkpoint",
        "expected a file that `tfgan-ema train` wrote; delete it to resume from the one before.",
    ):
        arrays = reading.arrays(path)
        metadata = {**json.loads(str(arrays.pop("metadata")))}
        checksum = metadata.pop("sha256", None)  # version 0.1.0 wrote none
        if checksum not in (None, _checksum(arrays, metadata)):
            raise ValueError("its checksum is another")
        return {name: _typed(array) for name, array in arrays.items()}, metadata


def _typed(array: np.ndarray) -> np.ndarray:
    """The array itself; NumPy writes bfloat16 as two bytes without a type."""
    return array.view(ml_dtypes.bfloat16) if array.dtype == np.dtype("V2") else array


def assign(
    state: Mapping[str, keras.Variable], arrays: Mapping[str, np.ndarray], source: object
) -> None:
    """Gives variables their saved values, all or none.

    Raises:
        UsageError: names, shapes or kinds of values differ; the message lists them.
    """
    both = [(name, arrays[name], variable) for name, variable in state.items() if name in arrays]
    problems = [
        f"{name} has shape {array.shape}, expected {tuple(variable.shape)}"
        for name, array, variable in both
        if array.shape != tuple(variable.shape)
    ]
    problems += [
        f"{name} holds {array.dtype}, expected {variable.dtype}"
        for name, array, variable in both
        if _kind(array.dtype.name) != _kind(variable.dtype)
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


def _kind(dtype: str) -> str:
    """Whole numbers differ in width between backends; other types are their own kind."""
    return "whole" if dtype.startswith(("int", "uint")) else dtype


def restore(gan: GAN, folder: str | os.PathLike, step: int | None = None) -> int | None:
    """Restores a compiled GAN from a checkpoint of ``folder``, by default the latest.

    A GAN without averages is given those of the checkpoint.

    Returns:
        The restored step, or ``None`` if the folder holds no checkpoint.

    Raises:
        UsageError: no checkpoint of that step, an unreadable file, another model's, one with NaN
            or infinity, or averages that the GAN lacks.
    """
    found = checkpoints(folder)
    if step is not None and step not in found:
        raise UsageError(f"{folder} has no checkpoint of step {step}: there are {list(found)}.")
    if not found:
        return None
    step = max(found) if step is None else step
    path = found[step]
    arrays, metadata = read(path)
    if metadata.get("step") != step:
        raise UsageError(f"{path} is of step {metadata.get('step')!r:.20}: give it its own name.")
    for name, array in arrays.items():
        if array.dtype.kind in "fV" and not np.isfinite(array).all():
            raise UsageError(f"{path} has NaN or infinity in {name}: delete it, use one before.")
    saved = {name.split("/")[1] for name in arrays if name.startswith("average/")}
    missing, rules = saved - {a.name for a in gan.averages}, metadata.get("averages", {})
    if missing and not gan.averages and all(rules.get(name) for name in saved):
        for rule in rules.values():  # a callback had attached them
            gan.add_average(rule)
    elif missing:
        raise UsageError(
            f"{path} holds the averages {', '.join(sorted(saved))}, the GAN lacks "
            f"{', '.join(sorted(missing))}: give the GAN averages=[...], or call gan.add_average() "
            "with the rule, e.g. tg.EMA(0.999), before it is restored."
        )
    assign(gan.state(), arrays, path)
    gan.weights_were_set()
    return step
