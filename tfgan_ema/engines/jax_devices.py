"""Devices under JAX; the distribution over several of them is Keras's own."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable, Mapping
from typing import Any

import jax
import keras

from tfgan_ema.errors import UsageError, unknown

TAKES_DATASETS = False


def scope(model: keras.Model) -> contextlib.AbstractContextManager:
    """Where the model's later variables are made; the distribution is the process's own here."""
    return contextlib.nullcontext()


def is_chief(model: keras.Model) -> bool:
    """Whether this process writes the model's files."""
    return jax.process_index() == 0


def is_alone(model: keras.Model) -> bool:
    """Whether no other process trains the model."""
    return jax.process_count() == 1


def together(strategy: Strategy) -> contextlib.AbstractContextManager:
    """Nothing to do: there is one process."""
    return contextlib.nullcontext()


def compare(strategy: Strategy, facts: Mapping[str, Any]) -> None:
    """Nothing to compare: there is one process."""


def find_devices() -> list[Any]:
    """The machine's devices; asking makes JAX look for them."""
    return jax.devices()


def device_kind() -> str:
    """The first device by its maker's name."""
    kind = jax.devices()[0].device_kind
    return "CPU" if kind == "cpu" else kind


def is_fast_in_bfloat16() -> bool:
    """Whether the first device multiplies bfloat16 faster than float32.

    TPUs do, and GPUs of NVIDIA since the compute capability 8.0. XLA on a CPU does not.
    """
    device = jax.devices()[0]
    capability = getattr(device, "compute_capability", "0")
    return device.platform == "tpu" or float(capability) >= 8.0


def share_machine() -> None:
    """Makes this process one of several on a machine: one thread, and no more memory than it needs.

    To be called before anything is computed.
    """
    os.environ["NPROC"] = "1"  # the threads of XLA's pool on a CPU
    os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"


def full_float32() -> contextlib.AbstractContextManager:
    """Where products of float32 numbers are not rounded to TF32 or bfloat16."""
    return jax.default_matmul_precision("highest")


@dataclasses.dataclass(frozen=True)
class Strategy:
    """How a run is spread: over how many devices; the distribution itself is Keras's own.

    Attributes:
        num_replicas_in_sync: devices that share a global batch.
    """

    num_replicas_in_sync: int

    def scope(self) -> contextlib.AbstractContextManager:
        """Where variables are made; nothing to do, `strategy` has told Keras."""
        return contextlib.nullcontext()


def strategy(name: str, tpu: str = "", worker_timeout: float = 300.0) -> Strategy:
    """The strategy of a name; tells Keras, so call it before a model is made.

    Args:
        name: ``auto`` (all accelerators of JAX's backend), ``cpu``, ``gpu`` (one device),
            ``mirrored`` (all devices of the backend, also virtual CPUs), ``tpu`` (all TPUs).
        tpu: must be empty: JAX finds its TPUs itself.
        worker_timeout: for TensorFlow; there is one process here.

    Raises:
        UsageError: an unknown name, no such device here, or what JAX does another way.
    """
    if name not in ("auto", "cpu", "gpu", "mirrored", "multiworker", "tpu"):
        raise unknown("strategy", name, ("auto", "cpu", "gpu", "mirrored", "multiworker", "tpu"))
    backend = jax.default_backend()
    if name == "multiworker":
        raise UsageError(
            "strategy='multiworker' under JAX: several processes are for TensorFlow; use "
            "strategy='mirrored', or KERAS_BACKEND=tensorflow."
        )
    if tpu:
        raise UsageError(f"tpu={tpu!r} under JAX: it finds its own TPUs; leave the address out.")
    if name in ("gpu", "tpu") and name != backend:
        raise UsageError(f"strategy={name!r}: JAX sees no {name.upper()} here; use strategy='cpu'.")
    if name == "cpu" and backend != "cpu":
        jax.config.update("jax_default_device", jax.devices("cpu")[0])
    several = name in ("mirrored", "tpu") or (name == "auto" and backend != "cpu")
    devices = jax.local_devices() if several else []
    if len(devices) < 2:
        return Strategy(1)
    names = [f"{device.platform}:{device.id}" for device in devices]
    keras.distribution.set_distribution(keras.distribution.DataParallel(devices=names))
    return Strategy(len(devices))


def strategy_of(model: keras.Model) -> Strategy:
    """The model sees one global batch, whatever the devices."""
    return Strategy(1)


def distribute(strategy: Strategy, pipeline: Callable[[tuple[int, int]], Any]) -> Any:
    """Batches for ``fit``; Keras lays a global batch out over the devices.

    Args:
        strategy: the strategy of the run.
        pipeline: ``pipeline((worker, workers))`` -> that worker's rows of each global batch.
    """
    return pipeline((0, 1))


def check_strategy(jit_compile: bool | str) -> None:
    """Nothing is refused: JAX compiles every step, on any number of devices."""
