"""How a training step runs: one module per Keras backend, all with the same handful of verbs."""

from __future__ import annotations

from types import ModuleType

import keras

from tfgan_ema.errors import UsageError


def current() -> ModuleType:
    """The engine of Keras's backend.

    Raises:
        UsageError: there is no engine for this backend.
    """
    backend = keras.backend.backend()
    if backend == "tensorflow":
        from tfgan_ema.engines import tensorflow

        return tensorflow
    if backend == "jax":
        from tfgan_ema.engines import jax

        return jax
    raise UsageError(
        f"Keras runs on the backend {backend!r}, which has no training engine here: "
        "set KERAS_BACKEND=tensorflow, or jax."
    )


def require_tensorflow(what: str) -> None:
    """Refuses what only the TensorFlow backend can do.

    Raises:
        UsageError: Keras runs on another backend.
    """
    backend = keras.backend.backend()
    if backend != "tensorflow":
        raise UsageError(
            f"{what} under KERAS_BACKEND={backend}: it needs TensorFlow; run it with "
            "KERAS_BACKEND=tensorflow, where a run's checkpoints are read as they are."
        )
