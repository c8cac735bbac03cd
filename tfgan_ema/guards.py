"""What ends a GAN's training before its time, so that nothing is lost."""

from __future__ import annotations

import math
import os
import signal
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import keras

from tfgan_ema import checkpoint
from tfgan_ema.engines import devices
from tfgan_ema.gan import GAN


def has_samples(gan: GAN) -> bool:
    """Whether the raw and the averaged weights are finite: else there is nothing to look at."""
    roles = ("generator/", "average/")
    state = {name: variable for name, variable in gan.state().items() if name.startswith(roles)}
    return checkpoint.not_finite(checkpoint.to_arrays(state)) is None


class StopOnNaN(keras.callbacks.Callback):
    """Stops training when a logged value, or at the end a weight, is NaN or infinite.

    ``workdir`` is where `Checkpoint` saves.

    Attributes:
        message: one line saying what happened and where the last good checkpoint is, or ``None``.
    """

    model: GAN

    def __init__(self, workdir: str | os.PathLike | None = None) -> None:
        super().__init__()
        self.folder = None if workdir is None else Path(workdir) / "checkpoints"
        self.message: str | None = None

    def on_train_batch_end(self, batch: int, logs: Mapping | None = None) -> None:
        for name, value in (logs or {}).items():
            if not math.isfinite(float(value)):
                return self._stop(name)

    def on_train_end(self, logs: Mapping | None = None) -> None:
        name = checkpoint.not_finite(checkpoint.to_arrays(self.model.state()))
        if name and not self.message:
            self._stop(name)

    def _stop(self, name: str) -> None:
        found = {} if self.folder is None else checkpoint.checkpoints(self.folder)
        last = f"the last good checkpoint is {found[max(found)]}" if found else "no checkpoint yet"
        self.message = (
            f"{name} is not finite at step {self.model.steps_done}: training stopped; {last}. "
            "Lower the learning rates or add a penalty."
        )
        self.model.stop_training = True


class StopOnSignal(keras.callbacks.Callback):
    """Ends training after the current step on Ctrl-C or SIGTERM; a second one ends the process.

    It acts inside its context, in the main thread, and not under several workers, which would wait
    for the one that stops.

    Attributes:
        number: of the signal that ended training, or ``None``.

    Example::

        with StopOnSignal() as stop:
            gan.fit(images, callbacks=[stop, tg.Checkpoint("runs/a")])
    """

    model: GAN

    def __init__(self) -> None:
        super().__init__()
        self.number: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def on_train_begin(self, logs: Mapping | None = None) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        for number in (signal.SIGINT, signal.SIGTERM) if devices.is_alone(self.model) else ():
            if signal.getsignal(number) != signal.SIG_IGN:  # as in a background job
                self._before[number] = signal.signal(number, self._note)

    def _note(self, number: int, frame: object) -> None:
        self.number = number
        for each in self._before:
            signal.signal(each, signal.SIG_DFL)

    def on_train_batch_end(self, batch: int, logs: Mapping | None = None) -> None:
        if self.number is not None:
            self.model.stop_training = True
