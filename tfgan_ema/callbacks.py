"""Keras callbacks for a `GAN`. Intervals are in generator steps.

With several steps per execution a callback acts at the first boundary on or after its step. Under
several workers only the chief writes files. No callback changes what training computes.
"""

from __future__ import annotations

import contextlib
import functools
import math
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import keras
import numpy as np

from tfgan_ema import averaging, checkpoint, engines, files, guards, mixing, progress
from tfgan_ema.data import png
from tfgan_ema.engines import devices
from tfgan_ema.errors import UsageError, checked_seed, whole
from tfgan_ema.evaluation import running_means
from tfgan_ema.gan import GAN
from tfgan_ema.records import Events, Table, read_table

GAP = 8  # white pixels between the halves of a sample grid


class Periodic(keras.callbacks.Callback):
    """Calls ``act(step)`` whenever training passes a multiple of ``every``; ``None`` means never.

    A progress bar calls it ``doing``. An interval below 1 is a UsageError."""

    model: GAN

    def __init__(self, every: int | None, doing: str = "saving") -> None:
        super().__init__()
        self.doing = doing
        self.every = None if every is None else whole(f"{type(self).__name__} every", every)

    def act(self, step: int) -> None:
        """What is done at ``step``."""

    def on_train_begin(self, logs: Mapping | None = None) -> None:
        self._last = self.model.steps_done

    def on_train_batch_end(self, batch: int, logs: Mapping | None = None) -> None:
        step = self.model.steps_done
        if self.every and step // self.every > self._last // self.every:
            with progress.doing(self.doing):
                self.act(step)
        self._last = step


class EMACallback(Periodic):
    """Attaches an average to a GAN, logs it, and saves the averaged generator.

    The averaging itself happens inside the compiled step. Once an epoch, the distance between the
    averaged and the raw weights is logged as ``distance/NAME``.

    Args:
        decay: of the average to attach to a GAN without averages; ``None`` uses those that the GAN
            has.
        start_step: the step at which this average starts.
        save_to: where the generator of the first average is saved: a ``.keras`` file, or the folder
            of a SavedModel if the name has no ending. ``{step}`` in it stands for the generator
            step. What exists there is replaced.
        every: generator steps between two saves; ``None`` saves when training ends.

    Raises:
        UsageError: a value out of range.

    Example::

        save = tg.EMACallback(0.999, save_to="runs/a/{step}.keras", every=5000)
        gan.fit(images, epochs=100, callbacks=[save])
    """

    def __init__(
        self,
        decay: float | None = None,
        *,
        start_step: int = 0,
        save_to: str | os.PathLike | None = None,
        every: int | None = None,
    ) -> None:
        super().__init__(every)
        self.rule = None if decay is None else averaging.EMA(decay, start_step=start_step)
        self.save_to = None if save_to is None else os.fspath(save_to)
        if self.save_to is None and every:
            raise UsageError(f"EMACallback every {every} saves nothing: say where (save_to).")
        if self.save_to is None:
            return
        ending = Path(self.save_to).suffix
        if ending not in ("", ".keras") or (every and "{step}" not in self.save_to):
            raise UsageError(
                f"EMACallback save_to {self.save_to!r}: expected a name ending in .keras, or "
                "without an ending for a SavedModel, with {step} in it if `every` is given."
            )
        if not ending:
            engines.require_tensorflow("a SavedModel")

    def set_model(self, model: GAN) -> None:
        """Attaches the average; Keras calls this before it makes the train function."""
        super().set_model(model)
        if not isinstance(model, GAN):
            kind = type(model).__name__
            raise UsageError(f"EMACallback on a {kind}, no GAN: give it tg.AverageWeights.")
        names = [average.name for average in model.averages]
        if not names and self.rule is None:
            raise UsageError("EMACallback on a GAN without averages: give it a decay, e.g. 0.999.")
        if not names:
            model.add_average(self.rule)
        elif self.rule is not None and names[0] != self.rule.name:
            raise UsageError(
                f"EMACallback with decay {self.rule.decay} on a GAN with averages {names}: leave "
                "the decay out, or the averages."
            )

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        if logs is not None:
            logs |= _distances(self.model)

    def act(self, step: int) -> None:
        if not guards.has_samples(self.model):
            return
        generator = self.model.ready_generator(0)  # on every worker
        if not devices.is_chief(self.model):
            return
        path = Path(self.save_to.replace("{step}", str(step)))
        if path.suffix:
            with files.replacing(path) as temporary:
                generator.save(temporary)
        else:
            from tfgan_ema import export

            export.saved_model(self.model, path, overwrite=True)

    def on_train_end(self, logs: Mapping | None = None) -> None:
        if self.save_to and not self.every:
            self.act(self.model.steps_done)


def _distances(gan: GAN) -> dict[str, float]:
    return {f"distance/{average.name}": average.distance() for average in gan.averages}


class SampleGrid(Periodic):
    """Draws the raw and the averaged generator side by side, always from the same latents.

    Writes ``WORKDIR/samples/step_XXXXXXXX.png`` (left raw, right averaged) and a TensorBoard image.
    Each half has ``count`` samples, 64 unless given. Points are drawn as a scatter plot of the
    averaged generator, 2,000 unless given, over ``reference``.
    """

    def __init__(
        self,
        workdir: str | os.PathLike,
        *,
        every: int | None = 1000,
        count: int | None = None,
        seed: int = 0,
        reference: np.ndarray | None = None,
        events: Events | None = None,
    ) -> None:
        super().__init__(every, "drawing")
        self.folder, self.reference, self.events = Path(workdir) / "samples", reference, events
        self.count = None if count is None else whole("SampleGrid count", count)
        self.seed = checked_seed(seed)

    def act(self, step: int) -> None:
        if not guards.has_samples(self.model):
            return
        generators = ("raw", 0) if self.model.averages else ("raw",)
        count = self.count or (64 if self.model.form.of_images else 2000)
        sets = [self.model.sample(count, self.seed, average=name) for name in generators]
        if not devices.is_chief(self.model):
            return
        path = self.folder / f"step_{step:08d}.png"
        if sets[0].ndim == 2:
            png.save_scatter(path, sets[-1], reference=self.reference)
            return
        left, *right = [png.grid(images) for images in sets]
        gap = np.full((left.shape[0], GAP, left.shape[2]), 255, "uint8")
        image = np.concatenate([left, *(part for grid in right for part in (gap, grid))], axis=1)
        png.save_png(path, image)
        if self.events is not None:
            self.events.image(step, "samples/raw_and_averaged", image)


class Checkpoint(Periodic):
    """Saves everything that training changes, for exact resume (see `checkpoint`).

    Keeps the last ``keep`` checkpoints in ``WORKDIR/checkpoints``, which no other process may write
    to meanwhile. A state with NaN or infinity is never saved, and ends training.
    """

    def __init__(
        self, workdir: str | os.PathLike, *, every: int | None = 1000, keep: int = 3
    ) -> None:
        super().__init__(every)
        self.folder, self.keep = Path(workdir) / "checkpoints", whole("Checkpoint keep", keep)
        self._claim = contextlib.ExitStack()

    def on_train_begin(self, logs: Mapping | None = None) -> None:
        super().on_train_begin(logs)
        self._due: int | None = None
        if devices.is_chief(self.model):
            self._claim.enter_context(files.claim(self.folder.parent))
        later = [step for step in checkpoint.checkpoints(self.folder) if step > self._last]
        if later:
            raise UsageError(
                f"{self.folder} holds a checkpoint of step {later[-1]}, but the GAN is at step "
                f"{self._last}: call tg.checkpoint.restore(gan, {os.fspath(self.folder)!r}) to "
                "resume that run, or give Checkpoint another folder."
            )

    def act(self, step: int) -> None:
        self._due = step

    def on_train_batch_begin(self, batch: int, logs: Mapping | None = None) -> None:
        """Saves what is due, now that every other callback has written for that step."""
        if self._due is not None:
            self._save(self._due)
            self._due = None

    def on_train_end(self, logs: Mapping | None = None) -> None:
        if self.model.steps_done:
            self._save(self.model.steps_done)
        self._claim.close()

    @progress.doing("saving")
    def _save(self, step: int) -> None:
        means = running_means(self.model)  # on every worker: reading sums over them
        arrays = checkpoint.to_arrays(self.model.state())
        if checkpoint.not_finite(arrays):
            self.model.stop_training = True
            return
        if not devices.is_chief(self.model):
            return
        path = checkpoint.path_of(self.folder, step)
        rules = {a.name: averaging.described(a.rule) for a in self.model.averages}
        checkpoint.write(path, arrays, step=step, running_means=means, averages=rules)
        checkpoint.prune(self.folder, self.keep)


class MetricsLog(Periodic):
    """Writes the running means since its last row to ``WORKDIR/metrics.csv`` and TensorBoard.

    A row also has the distance of each average from the raw weights. With ``lines`` each row is
    printed as well, which is for outputs that show no progress bar.

    Each row starts the means anew, as does each epoch, so Keras's logs of a batch are means since
    the last row; those of an epoch stay means over the epoch, for this callback and those after it.
    A run that resumes at a checkpoint writes the rows of an undisturbed one.
    """

    def __init__(
        self,
        workdir: str | os.PathLike,
        *,
        every: int | None = 100,
        events: Events | None = None,
        lines: bool = False,
    ) -> None:
        super().__init__(every)
        self.workdir, self.events, self.lines = Path(workdir), events, lines

    def on_train_begin(self, logs: Mapping | None = None) -> None:
        super().on_train_begin(logs)
        self._clock, self._row = time.perf_counter(), self._last
        path = checkpoint.path_of(self.workdir / "checkpoints", self._last)
        self._means = checkpoint.read(path)[1].get("running_means", {}) if path.exists() else {}
        if devices.is_chief(self.model):
            self._table = Table(self.workdir / "metrics.csv", self._last)

    def on_epoch_begin(self, epoch: int, logs: Mapping | None = None) -> None:
        """Restores the running means of the checkpoint; Keras has just reset them."""
        for metric in self.model.metrics:
            kept = self._means.pop(metric.name, [])
            for variable, value in zip(metric.variables, kept, strict=False):
                variable.assign(value)
        self._epoch: dict[str, np.ndarray] = {}  # sums and counts of rows that were written

    def on_train_batch_end(self, batch: int, logs: Mapping | None = None) -> None:
        self._logs = logs or {}
        super().on_train_batch_end(batch, logs)

    def act(self, step: int) -> None:
        values = {name: float(value) for name, value in self._logs.items()} | _distances(self.model)
        self._epoch = self._sums()
        self.model.reset_metrics()
        now = time.perf_counter()
        seconds = values["seconds_per_step"] = (now - self._clock) / (step - self._row)
        self._clock, self._row = now, step
        if not devices.is_chief(self.model):
            return
        self._table.append({"step": step, **{k: f"{v:.6g}" for k, v in values.items()}})
        if self.events is not None:
            self.events.scalars(step, {f"train/{name}": x for name, x in values.items()})
        if self.lines:
            losses = ", ".join(f"{name} {values[name]:.4g}" for name in ("d_loss", "g_loss"))
            progress.note(f"step {step}: {losses}, {1000 * seconds:.3g} ms/step")

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        means = {name: total / max(count, 1.0) for name, (total, count) in self._sums().items()}
        if logs is not None:
            logs |= means

    def _sums(self) -> dict[str, np.ndarray]:
        """The sum and the count of each logged value in the epoch so far."""
        found = running_means(self.model)
        return {name: np.add(found[name], self._epoch.get(name, 0.0)) for name in found}


class Evaluate(Periodic):
    """Scores the raw generator and each average on the same latents.

    Writes ``WORKDIR/evaluation.csv`` (one row for each step and generator) and TensorBoard scalars,
    copies the checkpoint that is best by ``best_metric`` to ``checkpoints/best.npz``, and starts a
    leak with ``start_step="auto"`` once the metric of the leaking average has flattened (see
    `mixing.plateau`).

    Args:
        evaluator: a `metrics.Evaluator`, or any ``f(sample_fn) -> {name: value}`` where
            ``sample_fn(count, seed)`` draws samples.
        workdir: where to write.
        every: generator steps between two evaluations.
        best_metric: the metric that picks the best checkpoint and starts an automatic leak; by
            default the evaluator's first.
        smaller_is_better: its direction.
        events: TensorBoard events.
    """

    def __init__(
        self,
        evaluator: Callable[[Callable[[int, int], np.ndarray]], Mapping[str, float]],
        workdir: str | os.PathLike,
        *,
        every: int | None = 10_000,
        best_metric: str | None = None,
        smaller_is_better: bool = True,
        events: Events | None = None,
    ) -> None:
        super().__init__(every, "evaluating")
        if not callable(evaluator):
            raise UsageError(f"Evaluate {evaluator!r}: expected a tg.metrics.Evaluator.")
        self.evaluator, self.workdir, self.events = evaluator, Path(workdir), events
        self.best_metric, self.sign = best_metric, 1.0 if smaller_is_better else -1.0

    def on_train_begin(self, logs: Mapping | None = None) -> None:
        super().on_train_begin(logs)
        path = self.workdir / "evaluation.csv"
        if devices.is_chief(self.model):
            self._table = Table(path, self._last)
        self._history: dict[str, list[tuple[int, float]]] = {}
        for row in read_table(path):
            metric = self.best_metric or list(row)[2]
            kept = int(row["step"]) <= self._last  # also where the chief is still dropping others
            if kept and row.get(metric):  # rows of before may have been scored by others
                self._note(row["generator"], int(row["step"]), float(row[metric]))

    def _note(self, generator: str, step: int, value: float) -> None:
        self._history.setdefault(generator, []).append((step, self.sign * value))

    def act(self, step: int) -> None:
        if not guards.has_samples(self.model):
            return
        best_before = min((v for h in self._history.values() for _, v in h), default=math.inf)
        for name in ("raw", *(average.name for average in self.model.averages)):
            scores = dict(self.evaluator(functools.partial(self.model.sample, average=name)))
            metric = self.best_metric or next(iter(scores))
            if metric not in scores:
                raise UsageError(
                    f"best_metric {metric!r}: the evaluator gives {', '.join(scores)}; choose one."
                )
            self._note(name, step, scores[metric])
            if devices.is_chief(self.model):
                self._write(step, name, scores)
        now = min(history[-1][1] for history in self._history.values())
        if now < best_before and devices.is_chief(self.model):
            arrays = checkpoint.to_arrays(self.model.state())
            checkpoint.write(self.workdir / "checkpoints" / "best.npz", arrays, step=step)
        self._start_leak(step)

    def _write(self, step: int, name: str, scores: Mapping[str, float]) -> None:
        rounded = {key: f"{value:.8g}" for key, value in scores.items()}
        self._table.append({"step": step, "generator": name, **rounded})
        if self.events is not None:
            self.events.scalars(step, {f"{key}/{name}": x for key, x in scores.items()})

    def _start_leak(self, step: int) -> None:
        leak = self.model.leak
        if leak is not None and leak.waiting:
            name = self.model.averages[leak.average].name if leak.needs_average else "raw"
            steps, values = zip(*self._history[name], strict=True)
            if mixing.plateau(steps, values) is not None:
                leak.start.assign(step)
