"""Keras callbacks for a `GAN`. Intervals are in generator steps.

With several steps per execution a callback acts at the first boundary on or after its step. Under
several workers only the chief writes files.
"""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import keras
import numpy as np

from tfgan_ema import averaging, checkpoint, engines, mixing
from tfgan_ema.data import png
from tfgan_ema.errors import UsageError
from tfgan_ema.records import Events, Table

GAP = 8  # white pixels between the halves of a sample grid


class Periodic(keras.callbacks.Callback):
    """Calls ``act(step)`` whenever training passes a multiple of ``every`` generator steps."""

    def __init__(self, every: int) -> None:
        """Creates the callback.

        Raises:
            UsageError: an interval below 1.
        """
        super().__init__()
        if not (isinstance(every, int) and every >= 1):
            raise UsageError(
                f"{type(self).__name__} every {every!r}: expected a whole number of generator "
                "steps >= 1."
            )
        self.every = every

    def act(self, step: int) -> None:
        """What is done at ``step``."""

    def on_train_begin(self, logs: Mapping | None = None) -> None:
        """Remembers where training starts."""
        self._last = self.model.steps_done

    def on_train_batch_end(self, batch: int, logs: Mapping | None = None) -> None:
        """Acts at a boundary."""
        step = self.model.steps_done
        if step // self.every > self._last // self.every:
            self.act(step)
        self._last = step


class EMACallback(keras.callbacks.Callback):
    """The handle on averaging under plain ``fit``.

    The averaging itself happens inside the compiled step. Given a decay, the callback adds an
    average to a GAN that has none. It logs, once an epoch, the distance between the averaged and
    the raw weights as ``distance/NAME``.
    """

    def __init__(
        self,
        decay: float | None = None,
        *,
        start_step: int = 0,
        swap_for_checkpoints: bool = False,
        swap_at_end: bool = False,
    ) -> None:
        """Creates the callback.

        Args:
            decay: of the average to add; ``None`` uses the averages that the GAN has.
            start_step: of the average to add.
            swap_for_checkpoints: whether the generator holds the averaged weights at the end of
                each epoch, so that callbacks *after* this one, such as
                ``keras.callbacks.ModelCheckpoint``, see them.
            swap_at_end: whether the generator keeps the averaged weights when training ends; then
                put this callback after `Checkpoint`.

        Raises:
            UsageError: a value out of range.
        """
        super().__init__()
        self.rule = None if decay is None else averaging.EMA(decay, start_step=start_step)
        self.swap_for_checkpoints, self.swap_at_end = swap_for_checkpoints, swap_at_end
        self._swapped = False

    def set_model(self, model: keras.Model) -> None:
        """Adds the average; Keras calls this before it makes the train function."""
        super().set_model(model)
        if not hasattr(model, "shadows"):
            raise UsageError(f"EMACallback on a {type(model).__name__}: it needs a tfgan_ema.GAN.")
        if self.rule is not None and not model.shadows:
            with engines.current().scope(model):
                model.add_average(self.rule)
        elif self.rule is not None and model.shadows[0].rule.name != self.rule.name:
            raise UsageError(
                f"EMACallback with decay {self.rule.decay} on a GAN with averages "
                f"{[s.rule.name for s in model.shadows]}: leave the decay out, or the averages."
            )
        if not model.shadows:
            raise UsageError("EMACallback on a GAN without averages: give it a decay, e.g. 0.999.")

    def _swap(self) -> None:
        ready = contextlib.nullcontext() if self._swapped else self.model.evaluation_weights(0)
        with ready:
            self.model.shadows[0].swap()
        self._swapped = not self._swapped

    def on_epoch_begin(self, epoch: int, logs: Mapping | None = None) -> None:
        """Puts the raw weights back for training."""
        if self._swapped:
            self._swap()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Logs distances and swaps, if asked."""
        if self._swapped:
            self._swap()
        for shadow in self.model.shadows:
            if logs is not None:
                logs[f"distance/{shadow.rule.name}"] = shadow.distance()
        if self.swap_for_checkpoints:
            self._swap()

    def on_train_end(self, logs: Mapping | None = None) -> None:
        """Leaves the weights that were asked for."""
        if self._swapped != self.swap_at_end:
            self._swap()


class SampleGrid(Periodic):
    """Draws the raw and the averaged generator side by side, always from the same latents.

    Writes ``WORKDIR/samples/step_XXXXXXXX.png`` (left raw, right averaged) and a TensorBoard image.
    Points are drawn as a scatter plot of the averaged generator over ``reference``.
    """

    def __init__(
        self,
        workdir: str | os.PathLike,
        *,
        every: int = 1000,
        count: int = 64,
        seed: int = 0,
        reference: np.ndarray | None = None,
        events: Events | None = None,
    ) -> None:
        """Creates the callback; ``count`` samples in each half."""
        super().__init__(every)
        self.reference = reference
        self.folder = Path(workdir) / "samples"
        self.count, self.seed, self.events = count, seed, events

    def act(self, step: int) -> None:
        """Writes the picture of this step."""
        averages = (None, 0) if self.model.averaged else (None,)
        sets = [self.model.sample(self.count, self.seed, average=a) for a in averages]
        if not engines.current().is_chief(self.model):
            return
        path = self.folder / f"step_{step:08d}.png"
        if sets[0].ndim == 2:
            png.save_scatter(path, sets[-1], reference=self.reference)
            return
        grids = [png.grid(images) for images in sets]
        gap = np.full((grids[0].shape[0], GAP, grids[0].shape[2]), 255, "uint8")
        image = np.concatenate([grids[0], *(x for g in grids[1:] for x in (gap, g))], axis=1)
        png.save_png(path, image)
        if self.events is not None:
            self.events.image(step, "samples/raw_and_averaged", image)


class Checkpoint(Periodic):
    """Saves everything that training changes, for exact resume (see `checkpoint`).

    Keeps the last ``keep`` checkpoints in ``WORKDIR/checkpoints`` and copies the best, by a metric
    of `Evaluate`, to ``best.npz`` beside them. A state with NaN or infinity is never saved.
    """

    def __init__(self, workdir: str | os.PathLike, *, every: int = 1000, keep: int = 3) -> None:
        """Creates the callback.

        Raises:
            UsageError: a value out of range.
        """
        super().__init__(every)
        if not (isinstance(keep, int) and keep >= 1):
            raise UsageError(f"Checkpoint keep {keep!r}: expected a whole number >= 1.")
        self.folder, self.keep = Path(workdir) / "checkpoints", keep

    def on_train_begin(self, logs: Mapping | None = None) -> None:
        """Clears what a killed run left half-written."""
        super().on_train_begin(logs)
        self._due: int | None = None
        if engines.current().is_chief(self.model):
            for leftover in self.folder.glob(".step_*.tmp"):
                leftover.unlink(missing_ok=True)

    def act(self, step: int) -> None:
        """Notes that this step is due."""
        self._due = step

    def on_train_batch_begin(self, batch: int, logs: Mapping | None = None) -> None:
        """Saves what is due, now that all else has been written for that step."""
        if self._due is not None:
            self._save(self._due)
            self._due = None

    def on_train_end(self, logs: Mapping | None = None) -> None:
        """Saves the last step, unless it is there."""
        step = self.model.steps_done
        if step and step not in checkpoint.checkpoints(self.folder):
            self._save(step)

    def _save(self, step: int) -> None:
        if not engines.current().is_chief(self.model):
            return
        arrays = checkpoint.to_arrays(self.model.state())
        if not all(np.isfinite(value).all() for value in arrays.values()):
            return
        checkpoint.write(self.folder / f"step_{step:08d}.npz", arrays, step=step)
        found = checkpoint.checkpoints(self.folder)
        for old in list(found)[: -self.keep]:
            found[old].unlink(missing_ok=True)


class StopOnNaN(keras.callbacks.Callback):
    """Stops training when a logged value is NaN or infinite.

    Attributes:
        message: one line saying what happened and where the last good checkpoint is, or ``None``.
    """

    def __init__(self, workdir: str | os.PathLike | None = None) -> None:
        """Creates the guard; ``workdir`` is where `Checkpoint` saves."""
        super().__init__()
        self.folder = None if workdir is None else Path(workdir) / "checkpoints"
        self.message: str | None = None

    def on_train_batch_end(self, batch: int, logs: Mapping | None = None) -> None:
        """Looks at the running logs."""
        bad = [name for name, value in (logs or {}).items() if not math.isfinite(float(value))]
        if not bad:
            return
        found = {} if self.folder is None else checkpoint.checkpoints(self.folder)
        last = f"the last good checkpoint is {found[max(found)]}" if found else "no checkpoint yet"
        self.message = (
            f"{bad[0]} is not finite at step {self.model.steps_done}: training stopped; {last}. "
            "Lower the learning rates or add a penalty."
        )
        self.model.stop_training = True


class MetricsLog(keras.callbacks.Callback):
    """One row an epoch in ``WORKDIR/metrics.csv`` and the same scalars for TensorBoard."""

    def __init__(self, workdir: str | os.PathLike, *, events: Events | None = None) -> None:
        """Creates the callback."""
        super().__init__()
        self.path, self.events = Path(workdir) / "metrics.csv", events

    def on_train_begin(self, logs: Mapping | None = None) -> None:
        """Opens the table; rows beyond the restored step are dropped."""
        self._step = self.model.steps_done
        self._table = (
            Table(self.path, self._step) if engines.current().is_chief(self.model) else None
        )

    def on_epoch_begin(self, epoch: int, logs: Mapping | None = None) -> None:
        """Starts the clock."""
        self._clock = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Mapping | None = None) -> None:
        """Writes the epoch's means."""
        if self._table is None:
            return
        step, seconds = self.model.steps_done, time.perf_counter() - self._clock
        values = {name: float(value) for name, value in (logs or {}).items()}
        values["seconds_per_step"] = seconds / max(step - self._step, 1)
        self._step = step
        self._table.append({"step": step, **{k: f"{v:.6g}" for k, v in values.items()}})
        if self.events is not None:
            self.events.scalars(step, {f"train/{name}": x for name, x in values.items()})


class Evaluate(Periodic):
    """Scores the raw generator and each average on the same latents.

    Writes ``WORKDIR/evaluation.csv`` (one row a step and generator) and TensorBoard scalars, copies
    the checkpoint that is best by ``best_metric`` to ``checkpoints/best.npz``, and starts a leak
    with ``start_step="auto"`` once the metric of the leaking average has flattened (see
    `mixing.plateau`).
    """

    def __init__(
        self,
        evaluator: Callable[[Callable[[int, int], np.ndarray]], Mapping[str, float]],
        workdir: str | os.PathLike,
        *,
        every: int = 10_000,
        best_metric: str | None = None,
        smaller_is_better: bool = True,
        events: Events | None = None,
    ) -> None:
        """Creates the callback.

        Args:
            evaluator: a `metrics.Evaluator`, or any ``f(sample_fn) -> {name: value}`` where
                ``sample_fn(count, seed)`` draws samples.
            workdir: where to write.
            every: generator steps between two evaluations.
            best_metric: the metric that picks the best checkpoint and starts an automatic leak;
                the evaluator's first unless given.
            smaller_is_better: its direction.
            events: TensorBoard events.
        """
        super().__init__(every)
        self.evaluator, self.workdir, self.events = evaluator, Path(workdir), events
        self.best_metric, self.sign = best_metric, 1.0 if smaller_is_better else -1.0

    def on_train_begin(self, logs: Mapping | None = None) -> None:
        """Reads the history of an interrupted run."""
        super().on_train_begin(logs)
        self._table = Table(self.workdir / "evaluation.csv", self._last)
        self._history: dict[str, list[tuple[int, float]]] = {}
        if self._table.path.exists():
            for row in self._table.rows():
                metric = self.best_metric or list(row)[2]
                point = (int(row["step"]), self.sign * float(row[metric]))
                self._history.setdefault(row["generator"], []).append(point)

    def act(self, step: int) -> None:
        """Evaluates all generators at this step."""
        gan = self.model
        names = ["raw", *(shadow.rule.name for shadow in gan.shadows)]
        best_before = min((v for h in self._history.values() for _, v in h), default=math.inf)
        for name, average in zip(names, [None, *range(len(gan.shadows))], strict=True):
            found = dict(
                self.evaluator(lambda count, seed, a=average: gan.sample(count, seed, average=a))
            )
            metric = self.best_metric or next(iter(found))
            if metric not in found:
                raise UsageError(
                    f"best_metric {metric!r}: the evaluator gives {', '.join(found)}; choose one."
                )
            self._history.setdefault(name, []).append((step, self.sign * found[metric]))
            if engines.current().is_chief(self.model):
                rounded = {key: f"{value:.8g}" for key, value in found.items()}
                self._table.append({"step": step, "generator": name, **rounded})
                if self.events is not None:
                    self.events.scalars(
                        step, {f"{key}/{name}": value for key, value in found.items()}
                    )
        now = min(history[-1][1] for history in self._history.values())
        if now < best_before and engines.current().is_chief(gan):
            arrays = checkpoint.to_arrays(gan.state())
            checkpoint.write(self.workdir / "checkpoints" / "best.npz", arrays, step=step)
        self._start_leak(names, step)

    def _start_leak(self, names: list[str], step: int) -> None:
        leak = self.model.leak
        if leak is None or not leak.waiting:
            return
        name = names[1 + leak.average] if leak.needs_average else names[0]
        steps, values = zip(*self._history[name], strict=True)
        if mixing.plateau(steps, values) is not None:
            leak.start.assign(step)
