"""Choosing an average after training: snapshots of power-function averages, and their combination.

A run with one or more `averaging.PowerEMA` keeps them every so many steps in
``WORKDIR/snapshots``. From these files `synthesise` makes the average that training with any other
width would have given at any kept time (Karras et al. 2024, section 3.2). `keep` puts it in
``WORKDIR/averages``, where ``--average=NAME`` finds it.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tfgan_ema import averaging, checkpoint, guards, profiles, reading
from tfgan_ema.callbacks import Periodic
from tfgan_ema.engines import devices
from tfgan_ema.errors import UsageError

if TYPE_CHECKING:
    from tfgan_ema.gan import GAN

DTYPES = ("float32", "float16")


@dataclasses.dataclass(frozen=True)
class Synthesis:
    """An average made of snapshots.

    Attributes:
        arrays: the averaged generator's variables, by their names in a snapshot.
        sigma: its width.
        step: the generator step of which it is.
        residual: what the snapshots miss of the average's profile, relative; 0 is nothing. The
            weights differ from those of an average tracked in training by less than about this
            share of what they moved.
    """

    arrays: dict[str, np.ndarray]
    sigma: float
    step: int
    residual: float


class Snapshots(Periodic):
    """Keeps every power-function average of a GAN in ``WORKDIR/snapshots``.

    Args:
        workdir: the folder of the run.
        every: generator steps between two snapshots; ``None`` keeps none.
        dtype: of the files, ``"float32"``, or ``"float16"`` for half the size.

    Raises:
        UsageError: a value out of range, or a GAN without such averages.
    """

    def __init__(
        self, workdir: str | os.PathLike, *, every: int | None = 1000, dtype: str | None = None
    ) -> None:
        super().__init__(every)
        self.folder, self.dtype = Path(workdir) / "snapshots", _checked(dtype)

    def on_train_begin(self, logs: Mapping | None = None) -> None:
        super().on_train_begin(logs)
        if self.every:
            _tracked(self.model)

    def act(self, step: int) -> None:
        if devices.is_chief(self.model) and guards.has_samples(self.model):
            averages = _tracked(self.model)
            arrays = {
                f"{name}/{key}": value.astype(self.dtype) if value.dtype.kind == "f" else value
                for name, average in averages.items()
                for key, value in checkpoint.to_arrays(_variables(average)).items()
            }
            moved = _moved(next(iter(averages.values())))
            exponents = {name: average.rule.exponent for name, average in averages.items()}
            path = checkpoint.path_of(self.folder, step)
            checkpoint.write(path, arrays, step=step, exponents=exponents, moved=moved)


def size(gan: GAN, dtype: str | None = None) -> int:
    """The bytes of one snapshot of a GAN, without the few of its names.

    Raises:
        UsageError: it has no power-function averages, or an unknown dtype.
    """
    width = np.dtype(_checked(dtype)).itemsize
    sizes = (v.shape for a in _tracked(gan).values() for v in _variables(a).values())
    return width * sum(int(np.prod(shape)) for shape in sizes)


def synthesise(workdir: str | os.PathLike, sigma: float, step: int | None = None) -> Synthesis:
    """The average of a width at a generator step, made of the snapshots of a run.

    Args:
        workdir: of a run that kept snapshots.
        sigma: the width, in (0, 0.2887).
        step: the generator step; ``None`` means that of the last snapshot.

    Raises:
        UsageError: no snapshots, or a width or a step out of range.

    Example::

        average = tg.posthoc.synthesise("runs/a", sigma=0.03)
    """
    paths = checkpoint.checkpoints(Path(workdir) / "snapshots")
    if not paths:
        raise UsageError(
            f"{workdir} holds no snapshots: train it with averages of the kind power_ema and "
            "snapshot_every."
        )
    last = max(paths)
    step = last if step is None else step
    if not 0 < step <= last:
        raise UsageError(f"step {step}: expected one up to the last snapshot, {last}.")
    with reading.refusing(f"{paths[last]} is no snapshot", "delete it."):
        exponents: dict[str, float] = checkpoint.read(paths[last])[1]["exponents"]
    kept = [(time, name) for time in paths for name in exponents]
    shares, residual = profiles.combination(
        [exponents[name] for _, name in kept], [time for time, _ in kept], sigma, step
    )
    total: dict[str, np.ndarray] = {}
    for time, path in paths.items():
        if time > step:
            break
        arrays, metadata = checkpoint.read(path)
        for name in exponents:
            share = shares[kept.index((time, name))]
            for key in metadata["moved"]:
                value = share * arrays[f"{name}/{key}"].astype("float64")
                total[key] = total[key] + value if key in total else value
    for key, value in arrays.items():  # what no gradient moves is the latest
        total.setdefault(key.partition("/")[2], value)
    total = {key: _single(value) for key, value in sorted(total.items())}
    return Synthesis(total, sigma, step, residual)


def keep(
    workdir: str | os.PathLike, name: str, average: Synthesis, *, overwrite: bool = False
) -> Path:
    """Saves an average so that every command finds it as ``--average=NAME``; returns its file.

    Raises:
        UsageError: a name that cannot be one, or one that exists.
    """
    path = Path(workdir) / "averages" / f"{name}.npz"
    if not name.isidentifier() or name == "raw":
        raise UsageError(f"average name {name!r}: expected letters, digits and _, but not raw.")
    if path.exists() and not overwrite:
        raise UsageError(f"{path} exists: pass overwrite=True to replace it.")
    facts = {"sigma": average.sigma, "step": average.step, "residual": average.residual}
    return checkpoint.write(path, average.arrays, **facts)


def kept(workdir: str | os.PathLike) -> dict[str, Synthesis]:
    """The averages that `keep` saved, by name."""
    found = {}
    for path in sorted((Path(workdir) / "averages").glob("*.npz")):
        arrays, facts = checkpoint.read(path)
        with reading.refusing(f"{path} is no average of a width", "delete it and make it anew."):
            values = float(facts["sigma"]), int(facts["step"]), float(facts["residual"])
        found[path.stem] = Synthesis(arrays, *values)
    return found


def add(gan: GAN, name: str, made: Synthesis, source: object) -> averaging.Average:
    """Adds an average that was made to a GAN, under a name; ``source`` is where it comes from.

    Raises:
        UsageError: it does not fit the GAN, or the GAN has an average of that name.
    """
    gan.add_average(averaging.PowerEMA(made.sigma, name=name))
    set_weights(gan.averages[-1], made, source)
    return gan.averages[-1]


def set_weights(average: averaging.Average, made: Synthesis, source: object) -> None:
    """Gives an average the weights of one that was made."""
    checkpoint.assign(_variables(average), made.arrays, source)
    average.forget()


def _checked(dtype: str | None) -> str:
    if dtype not in (None, *DTYPES):
        raise UsageError(f"snapshot_dtype {dtype!r}: expected one of {', '.join(DTYPES)}.")
    return dtype or "float32"


def _tracked(gan: GAN) -> dict[str, averaging.Average]:
    """The power-function averages of a GAN by name."""
    found = {a.name: a for a in gan.averages if isinstance(a.rule, averaging.PowerEMA)}
    if not found:
        raise UsageError(
            "snapshots of a GAN without power-function averages: give it averages=[tg.PowerEMA("
            "0.05), tg.PowerEMA(0.1)], in a configuration two of the kind power_ema."
        )
    return found


def _variables(average: averaging.Average) -> dict[str, Any]:
    return {f"{i:03d}/{weight.name}": shadow for i, (shadow, weight) in enumerate(average.pairs)}


def _moved(average: averaging.Average) -> list[str]:
    """The variables that the rule averages; the others are copies."""
    weights = [weight for _, weight in average.pairs]
    names = zip(_variables(average), weights, strict=True)
    return [name for name, weight in names if average.averages(weight)]


def _single(value: np.ndarray) -> np.ndarray:
    """Floats as float32."""
    return value.astype("float32") if value.dtype.kind == "f" else value
