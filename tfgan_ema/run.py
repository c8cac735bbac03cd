"""A work directory for training from Python: what `tfgan-ema train` makes of a configuration."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tfgan_ema import callbacks, checkpoint, files, guards, posthoc, recorded, runs
from tfgan_ema.engines import devices
from tfgan_ema.errors import UsageError, say
from tfgan_ema.gan import GAN
from tfgan_ema.records import Events


class Run(keras.callbacks.CallbackList):
    """Makes a training in Python a run with a folder, which the same call resumes.

    Writes sample grids, ``metrics.csv``, TensorBoard events, scores, checkpoints and ``run.json``,
    so that ``tfgan-ema report``, ``sample``, ``evaluate`` and ``export`` take the folder. The same
    ``fit`` goes on from the latest checkpoint to the step that it would have ended at; with more
    ``epochs`` it trains further. On arrays the result is that of a run without interruption; other
    data begin anew where training goes on.

    Training stops with a message where a logged value or a weight is not finite.

    Args:
        workdir: a new or empty folder, or that of the run to resume.
        log_every: generator steps between two rows of ``metrics.csv``; ``None`` means never, here
            and below.
        sample_every: steps between two sample grids.
        checkpoint_every: steps between two checkpoints; the last step always has one.
        keep_checkpoints: how many of the last checkpoints are kept.
        snapshot_every: steps between two snapshots of averages of the kind `PowerEMA`, from which
            other averages are made after training; see `posthoc`.
        evaluator: a `metrics.Evaluator`, or any function that `Evaluate` takes; ``None`` scores
            nothing.
        evaluate_every: steps between two evaluations.
        class_names: the names of the classes, for exports and ``--label``.
        force_config: go on even if the GAN is not the one of ``run.json``; its weights must have
            the same shapes.

    Raises:
        UsageError: from ``fit``, for a folder that holds something else or another run, or that
            another process trains in, and for workers that differ.

    Example::

        gan.fit(images, batch_size=64, epochs=100, callbacks=[tg.Run("runs/a")])
    """

    model: GAN

    def __init__(
        self,
        workdir: str | os.PathLike,
        *,
        log_every: int | None = 100,
        sample_every: int | None = 1000,
        checkpoint_every: int | None = 1000,
        keep_checkpoints: int = 3,
        snapshot_every: int | None = None,
        evaluator: Callable | None = None,
        evaluate_every: int | None = 10_000,
        class_names: list[str] | None = None,
        force_config: bool = False,
    ) -> None:
        self.workdir, self.class_names = Path(workdir), class_names
        self.force_config = force_config
        self.guard, self._claim = guards.StopOnNaN(workdir), contextlib.ExitStack()
        watching = watchers(
            self.workdir,
            log_every=log_every,
            sample_every=sample_every,
            checkpoint_every=checkpoint_every,
            keep_checkpoints=keep_checkpoints,
            snapshot_every=snapshot_every,
            evaluate=evaluator and {"evaluator": evaluator, "every": evaluate_every},
        )
        super().__init__([self.guard, *watching])

    def resume(self, steps_of_epoch: int | None, epochs: int) -> int:
        """Called by ``fit`` before it reads data: claims the folder or restores its run.

        Args:
            steps_of_epoch: generator steps.
            epochs: of the whole run.

        Returns:
            The epochs that are done.

        Raises:
            UsageError: see the class.
        """
        if steps_of_epoch is None:
            raise UsageError(
                "tg.Run on data whose epochs have no known length: set steps_per_epoch."
            )
        gan = self.model
        self._end = gan.last_step = steps_of_epoch * epochs
        made_of = {**recorded.describe(gan), "fit": {"rows of a step": gan.rows}}
        folder = self.workdir / "checkpoints"
        latest = max(checkpoint.checkpoints(folder), default=0)
        known = runs.claimed(
            self.workdir,
            lambda run: recorded.differences(run.get("made_of", {}), made_of),
            self.force_config or gan.steps_done == latest > 0,  # it is trained further
        )
        steps = {"step": gan.steps_done, "last step": self._end, "latest checkpoint": latest}
        devices.compare(devices.strategy_of(gan), recorded.facts(made_of) | steps)
        if devices.is_chief(gan):
            self._claim.enter_context(files.claim(self.workdir))
            latest = max(checkpoint.checkpoints(folder), default=0)  # now that no other one writes
        if known and gan.steps_done > latest:
            raise UsageError(
                f"{self.workdir} holds a run until step {latest}, but the GAN is at step "
                f"{gan.steps_done}: choose another folder."
            )
        if gan.steps_done < latest:
            checkpoint.restore(gan, folder)
            say(f"{self.workdir} goes on at step {latest}.")
        if devices.is_chief(gan) and (known is None or known.get("made_of") != made_of):
            self._write(made_of)
        return gan.steps_done // steps_of_epoch

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        for callback in self.callbacks:  # Keras would hand them a copy, and one of them adds logs
            callback.on_epoch_end(epoch, logs)

    def _write(self, made_of: recorded.Description) -> None:
        form = self.model.form
        data = {"name": "data from Python", "shape": list(form.shape or ())}
        data |= {"num_classes": form.num_classes, "class_names": self.class_names}
        script = getattr(sys.modules["__main__"], "__file__", None)
        folder = Path(script).resolve().parent if script else Path.cwd()
        runs.write_record(self.workdir, {"config": None, "made_of": made_of, "data": data}, folder)
        reason = recorded.missing(made_of)
        if reason:
            say(f"{self.workdir} resumes, but no command can sample its GAN, as {reason}.")

    def on_train_batch_end(self, batch: int, logs: Mapping | None = None) -> None:
        super().on_train_batch_end(batch, logs)
        if self.model.steps_done >= self._end:  # the epoch in which a run goes on is a shorter one
            self.model.stop_training = True

    def on_train_end(self, logs: Mapping | None = None) -> None:
        super().on_train_end(logs)
        self.model.last_step = None
        self._claim.close()
        if self.guard.message:
            say(self.guard.message)


def watchers(
    workdir: Path,
    *,
    log_every: int | None,
    sample_every: int | None,
    checkpoint_every: int | None,
    keep_checkpoints: int,
    evaluate: Mapping[str, Any] | None,
    snapshot_every: int | None = None,
    snapshot_dtype: str | None = None,
    lines: bool = False,
    seed: int = 0,
    reference: np.ndarray | None = None,
) -> list[keras.callbacks.Callback]:
    """What watches a run. The checkpoints come last, to hold what an evaluation has set.

    Args:
        workdir: where they write.
        log_every: see `Run`, as for the next three.
        sample_every: see `Run`.
        checkpoint_every: see `Run`.
        keep_checkpoints: see `Run`.
        evaluate: arguments of `callbacks.Evaluate`; ``None`` scores nothing.
        snapshot_every: see `Run`.
        snapshot_dtype: see `posthoc.Snapshots`.
        lines: see `callbacks.MetricsLog`.
        seed: of the samples that are shown.
        reference: points that are shown beside those of the generator.
    """
    events = Events(workdir)
    grid = {"every": sample_every, "seed": seed, "reference": reference}
    found = [
        callbacks.SampleGrid(workdir, events=events, **grid),
        callbacks.MetricsLog(workdir, every=log_every, events=events, lines=lines),
        posthoc.Snapshots(workdir, every=snapshot_every, dtype=snapshot_dtype),
        callbacks.Checkpoint(workdir, every=checkpoint_every, keep=keep_checkpoints),
    ]
    if evaluate is not None:
        found.insert(-1, callbacks.Evaluate(workdir=workdir, events=events, **evaluate))
    return found
