"""Keras's callbacks in a GAN's training: which logs they may monitor, and which have no use."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import keras

from tfgan_ema.errors import UsageError

if TYPE_CHECKING:
    from tfgan_ema.gan import GAN

_INSTEAD = {
    "SwapEMAWeights": "give the GAN averages=[tg.EMA(0.999)], of which evaluate, predict and "
    "sample use the first",
    "OrbaxCheckpoint": "it needs a state tree, which a GAN has not; use tg.Run or tg.Checkpoint",
    "TerminateOnNaN": "it reads a log named 'loss'; use tg.StopOnNaN(), which reads all logs",
}


def checked(gan: GAN, callbacks: Any, held_out: Sequence[str]) -> Any:
    """The callbacks of a training run, and one more that ends it where a monitored log is missing.

    A player minimises its loss with its penalties, which Keras cannot know: ``mode="auto"`` becomes
    ``"min"`` for these.

    Args:
        gan: the GAN.
        callbacks: what ``fit`` was given.
        held_out: what is logged of validation data.

    Raises:
        UsageError: a callback without a use here, an unknown log, or one without a direction.
    """
    if not callbacks or isinstance(callbacks, keras.callbacks.CallbackList):
        return callbacks
    callbacks = keras.tree.flatten(callbacks)
    callbacks.sort(key=lambda callback: not hasattr(callback, "resume"))  # others read its logs
    logs = [*gan.trackers, *(f"val_{name}" for name in held_out)]
    terms = {"d_loss", "g_loss", *(penalty.name for penalty in gan.regularisation.terms)}
    monitored = []
    for callback in callbacks:
        callback = getattr(callback, "callback", callback)  # what a `rates.ForPlayer` holds
        kind = type(callback).__name__
        if kind in _INSTEAD:
            raise UsageError(f"{kind} in a GAN's training: {_INSTEAD[kind]}.")
        monitor, mode = getattr(callback, "monitor", None), getattr(callback, "mode", None)
        if monitor and getattr(callback, "save_best_only", True):
            monitored.append(monitor)
            own = monitor.removeprefix("val_")
            if monitor not in logs and (mode == "auto" or own in gan.trackers):
                raise _unknown(monitor, logs)
            if mode == "auto" and own not in terms:
                raise UsageError(
                    f"{kind} monitors {monitor!r}, which may be better low or high: add mode='min' "
                    "or mode='max'."
                )
        if mode == "auto":  # Keras asks for a direction, also where nothing is compared
            callback.mode = "min"
    return [*callbacks, _Present(monitored)] if monitored else callbacks


def resumed(
    gan: GAN, callbacks: Any, steps_of_epoch: int | None, epochs: int, initial_epoch: int
) -> int:
    """Lets callbacks restore an earlier run before Keras reads data, since batches follow the step.

    Returns:
        The epoch to begin with.
    """
    callbacks = keras.tree.flatten(callbacks or [])
    runs = [callback for callback in callbacks if hasattr(callback, "resume")]
    backups = [c for c in callbacks if isinstance(c, keras.callbacks.BackupAndRestore)]
    if runs or backups:
        for callback in callbacks:
            callback.set_model(gan)
    for backup in backups:
        backup.on_train_begin()
    return max([initial_epoch, *(run.resume(steps_of_epoch, epochs) for run in runs)])


class _Present(keras.callbacks.Callback):
    """The last of the callbacks, which sees what all others log."""

    def __init__(self, monitored: Sequence[str]) -> None:
        super().__init__()
        self._monitored = monitored

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        for monitor in self._monitored:
            if monitor not in (logs or {}) and not monitor.startswith("val_"):
                raise _unknown(monitor, logs or {})


def _unknown(monitor: str, logs: Iterable[str]) -> UsageError:
    return UsageError(
        f"monitor {monitor!r}: the logs are {', '.join(logs)}; choose one of them (validation_data "
        "adds val_d_loss and others), or give mode='min' or 'max' for a log of your own."
    )
