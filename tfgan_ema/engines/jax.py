"""The JAX engine: pure functions out of the algorithm's assignments, and the compiled loops.

`GAN.train_step` assigns to variables. Here it is traced inside a `keras.StatelessScope`, where
assignments are only noted: what was noted is returned as the new values of the variables. Whatever
JAX transforms (a gradient, a branch) runs in a scope of its own, whose notes leave the
transformation as one more result and are then assigned one scope further out.

Programs see the global batch, also when `keras.distribution` lays it out over several devices:
there is one replica, and XLA inserts what the devices have to tell each other.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np

from tfgan_ema import philox
from tfgan_ema.errors import UsageError, unknown

Tensor = Any
Objective = Callable[[], tuple[Tensor, dict[str, Tensor]]]


# Replicas: always one, which sees the global batch


def replicas() -> int:
    """1: a program sees the global batch."""
    return 1


def replica_rows(rows: int) -> Tensor:
    """Indices of the rows of the batch: int32 [rows]."""
    return jnp.arange(rows, dtype="int32")


def is_chief(model: keras.Model) -> bool:
    """Whether this process writes the model's files."""
    return jax.process_index() == 0


def global_mean(x: Tensor) -> Tensor:
    """Mean over the global batch."""
    return jnp.mean(x)


def gather(x: Tensor) -> Tensor:
    """The rows themselves; no gradient."""
    return jax.lax.stop_gradient(x)


def scope(model: keras.Model) -> contextlib.AbstractContextManager:
    """Where the model's later variables are made; the distribution is the process's own here."""
    return contextlib.nullcontext()


# Random draws: those of the TensorFlow engine, bit for bit before they become floats


def _bits(
    shape: Sequence[int], count: int, seed: int | Tensor, stream: str, step: int | Tensor
) -> Tensor:
    """The ``count`` highest bits of Philox outputs, int32; ``seed`` may be uint32 words [2]."""
    name = int.from_bytes(hashlib.sha256(stream.encode()).digest()[:7], "little")
    first = philox.words(seed) if isinstance(seed, int) else (seed[0], seed[1])
    second = philox.add(name, jnp.asarray(step, "uint32"))
    drawn = philox.bits(jnp, math.prod(shape), (first, second), jax.lax.fori_loop)
    return (drawn >> np.uint32(32 - count)).astype("int32").reshape(shape)


def normal(shape: Sequence[int], seed: int, stream: str, step: int | Tensor) -> Tensor:
    """Standard normal float32 draws; see the TensorFlow engine, whose draws differ by rounding."""
    odd = 2 * _bits(shape, 24, seed, stream, step) + (1 - 2**24)
    return math.sqrt(2) * jax.lax.erf_inv(odd.astype("float32") * 2.0**-24)


def uniform(shape: Sequence[int], seed: int, stream: str, step: int | Tensor) -> Tensor:
    """Uniform float32 draws in [0, 1), multiples of 2^-24."""
    return _bits(shape, 24, seed, stream, step).astype("float32") * 2.0**-24


def integers(shape: Sequence[int], high: int, seed: int, stream: str, step: int | Tensor) -> Tensor:
    """Uniform int32 draws in [0, high); each is as likely as another to high/2^31."""
    return _bits(shape, 31, seed, stream, step) % high


# Assignments as results


class _Notes(keras.StatelessScope):
    """A scope on top of the current one, which notes the variables that are assigned in it."""

    def __init__(self, values: Iterable[tuple[keras.Variable, Tensor]] = ()) -> None:
        super().__init__()
        self._given = {id(variable): value for variable, value in values}
        self.assigned: dict[int, keras.Variable] = {}

    def __enter__(self) -> _Notes:
        super().__enter__()
        outer = {} if self.original_scope is None else self.original_scope.state_mapping
        self.state_mapping = outer | self._given
        return self

    def add_update(self, update: tuple[keras.Variable, Tensor]) -> None:
        super().add_update(update)
        self.assigned[id(update[0])] = update[0]


def _noted(
    function: Callable[[], Any],
    assigned: dict[int, keras.Variable],
    values: Iterable[tuple[keras.Variable, Tensor]] = (),
) -> tuple[Any, dict[int, Tensor]]:
    """``function()`` and, by id, the new values of all in ``assigned``, to which it adds its own.

    Args:
        function: what is run, with ``values`` instead of the current ones.
        assigned: variables by id.
        values: variables and their values.
    """
    with _Notes(values) as notes:
        result = function()
        assigned |= notes.assigned
        return result, {
            key: notes.state_mapping.get(key, variable.value) for key, variable in assigned.items()
        }


def _assign(assigned: dict[int, keras.Variable], values: dict[int, Tensor]) -> None:
    for key, value in values.items():
        assigned[key].assign(value)


# Gradients and updates


def input_gradient(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Gradient of ``sum(function(x))`` with respect to ``x``; differentiable once more."""
    assigned: dict[int, keras.Variable] = {}
    gradient, values = jax.grad(
        lambda x: _noted(lambda: jnp.sum(function(x)), assigned), has_aux=True
    )(x)
    _assign(assigned, values)
    return gradient


def gradients(
    objectives: Sequence[Objective], variables: Sequence[keras.Variable]
) -> tuple[list[Tensor], dict[str, Tensor]]:
    """The gradient of the mean objective, and the mean of what they report.

    Several objectives are micro-batches of one update.
    """
    parts, reports = [], []
    for objective in objectives:
        assigned: dict[int, keras.Variable] = {}

        def loss(values: list[Tensor], objective=objective, assigned=assigned) -> tuple:
            given = zip(variables, values, strict=True)
            (loss, report), updates = _noted(objective, assigned, given)
            return loss / len(objectives), (report, updates)

        part, (report, updates) = jax.grad(loss, has_aux=True)([v.value for v in variables])
        _assign(assigned, updates)
        parts.append(part)
        reports.append(report)
    return _sum(parts), jax.tree.map(lambda x: x / len(reports), _sum(reports))


def _sum(trees: Sequence[Any]) -> Any:
    return jax.tree.map(lambda *leaves: sum(leaves[1:], leaves[0]), *trees)


def game_gradients(
    objective: Callable[[], tuple[tuple[Tensor, Tensor], dict[str, Tensor]]],
    players: Sequence[Sequence[keras.Variable]],
    consensus: float = 0.0,
) -> tuple[list[list[Tensor]], dict[str, Tensor]]:
    """Gradients of each player's loss over its own variables, at the same point.

    With ``consensus`` > 0 each gradient v_i gains the consensus * gradient of R = 1/2 sum_i |v_i|^2
    over all players' variables (Mescheder et al. 2017), which is J^T v for the Jacobian J of v.
    """
    assigned: dict[int, keras.Variable] = {}
    variables = [variable for player in players for variable in player]

    def losses(values: list[list[Tensor]]) -> tuple:
        given = zip(variables, [value for player in values for value in player], strict=True)
        (pair, report), updates = _noted(objective, assigned, given)
        return tuple(pair), (report, updates)

    def field(values: list[list[Tensor]]) -> tuple:
        pair, pull, aside = jax.vjp(losses, values, has_aux=True)
        chosen = np.eye(len(pair), dtype="float32")
        return [pull(tuple(chosen[i]))[0][i] for i in range(len(pair))], aside

    found, pull, (report, updates) = jax.vjp(
        field, [[variable.value for variable in player] for player in players], has_aux=True
    )
    _assign(assigned, updates)
    if consensus:
        (pulled,) = pull(found)
        found = jax.tree.map(lambda v, extra: v + consensus * extra, found, pulled)
    return found, report


def gradient_norm(grads: Sequence[Tensor]) -> Tensor:
    """Euclidean norm of a gradient."""
    return jnp.sqrt(sum(jnp.sum(jnp.square(gradient)) for gradient in grads))


def apply(
    optimizer: keras.optimizers.Optimizer,
    grads: Sequence[Tensor],
    variables: Sequence[keras.Variable],
) -> None:
    """One optimizer step."""
    optimizer.apply(grads, variables)


def lazy(predicate: Tensor, then: Callable[[], Any], otherwise: Callable[[], Any]) -> Any:
    """Runs one of two branches; the other costs nothing."""
    assigned: dict[int, keras.Variable] = {}
    for branch in (then, otherwise):  # traced for what they assign: both must return all of it
        jax.eval_shape(functools.partial(_noted, branch, assigned))
    result, values = jax.lax.cond(
        predicate,
        functools.partial(_noted, then, assigned),
        functools.partial(_noted, otherwise, assigned),
    )
    _assign(assigned, values)
    return result


# The compiled loops


def _pure(
    function: Callable[..., Any], variables: Sequence[keras.Variable]
) -> Callable[..., tuple[Any, list[Tensor]]]:
    """``pure(values, ...) -> result, new values`` of a function that reads and assigns variables.

    Raises:
        UsageError: when it is traced, if it assigns a variable that is not among them.
    """
    known = {id(variable) for variable in variables}

    def pure(values: Sequence[Tensor], *arguments: Any) -> tuple[Any, list[Tensor]]:
        with _Notes(zip(variables, values, strict=True)) as notes:
            result = function(*arguments)
            foreign = [v.path for key, v in notes.assigned.items() if key not in known]
            if foreign:
                raise UsageError(
                    f"a training step assigns {foreign[0]}, which the model does not know: keep "
                    "the layer or variable as an attribute of one of the networks."
                )
            return result, [notes.state_mapping[id(variable)] for variable in variables]

    return pure


def make_sampler(
    generator: keras.Model, chunk: Callable[..., Tensor], size: int
) -> Callable[..., Any]:
    """``sampler(count, seed, labels) -> array`` that joins chunks of ``size`` rows.

    Args:
        generator: the network that ``chunk`` runs.
        chunk: ``chunk(index, rows, seed, labels=)`` -> the first ``rows`` samples of a chunk.
        size: rows of a full chunk.
    """

    def draw(index: Tensor, seed: Tensor, labels: Tensor | None) -> Tensor:
        return chunk(index, size, seed, labels=labels)

    compiled = jax.jit(_pure(draw, generator.variables))

    def sampler(count: int, seed: int, labels: Any = None) -> Any:
        values = [variable.value for variable in generator.variables]
        words = np.array(philox.words(seed))
        chunks = max(1, -(-count // size))  # an empty answer has its shape, too
        if labels is not None:
            labels = np.pad(labels, (0, chunks * size - count)).reshape(chunks, size)
        parts = [
            compiled(values, np.int32(i), words, None if labels is None else labels[i])[0]
            for i in range(chunks)
        ]
        return np.concatenate(parts)[:count]

    return sampler


def make_function(
    model: keras.Model, step_function: Callable[[Any], dict[str, Tensor]]
) -> Callable:
    """``function(state, iterator) -> logs, state`` for Keras's trainer.

    The trainer takes the values out of the variables before the first step of an epoch and puts
    them back after the last. Callbacks of this package read and assign variables after any step, so
    here they are put back after each execution.
    """
    inside = {id(variable) for variable in model.variables}
    # All that the trainer asks of an optimizer is its variables. Here they are those of both
    # players' optimizers, and what else a step changes outside the networks.
    rest = [variable for variable in model.state().values() if id(variable) not in inside]
    model.optimizer = SimpleNamespace(variables=rest, built=True)
    weights = [model.trainable_variables, model.non_trainable_variables]
    groups = {
        4: [*weights, rest, model.metrics_variables],  # of a training step
        3: [*weights, model.metrics_variables],  # of a test step
    }

    @functools.cache
    def compiled(count: int) -> Callable:
        step = _pure(step_function, [variable for group in groups[count] for variable in group])
        return step if model.run_eagerly else jax.jit(step, donate_argnums=0)

    def function(state: tuple, iterator: Iterator) -> tuple[dict[str, Tensor], tuple]:
        variables = groups[len(state)]
        values = [value for group in state for value in group]
        logs = None
        try:
            for data in _first(iterator, model.steps_per_execution):
                logs, values = compiled(len(state))(values, data)
        finally:
            left = iter(values)
            state = tuple([next(left) for _ in group] for group in variables)
            for group, new in zip(variables, state, strict=True):
                for variable, value in zip(group, new, strict=True):
                    variable.assign(value)
            model._jax_state_synced = True
        if logs is None:
            raise StopIteration
        return logs, state

    return function


def _first(iterator: Iterator, count: int) -> Iterator:
    for _ in range(count):
        try:
            yield next(iterator)
        except StopIteration:
            return


def make_loop(model: keras.Model, batch: Callable[[Tensor], Tensor]) -> Callable[[int], None]:
    """``loop(steps)``: that many of the model's steps on ``batch(step)``, in one XLA program.

    Raises:
        UsageError: the model is distributed over several devices.
    """
    if keras.distribution.distribution() is not None:
        raise UsageError("run() under several devices: it is for one; use fit().")
    owned = {id(v): v for v in (*model.variables, *model.metrics_variables)}
    variables = list((owned | {id(v): v for v in model.state().values()}).values())
    step = _pure(lambda: model.train_step(batch(model.step.value)), variables)

    @functools.partial(jax.jit, donate_argnums=0)
    def whole(values: list[Tensor], steps: Tensor) -> list[Tensor]:
        return jax.lax.fori_loop(0, steps, lambda _, values: step(values)[1], values)

    def loop(steps: int) -> None:
        values = whole([variable.value for variable in variables], np.int32(steps))
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)

    return loop


def find_devices() -> list[Any]:
    """The machine's devices; asking makes JAX look for them."""
    return jax.devices()


def device_kind() -> str:
    """The first device by its maker's name."""
    kind = jax.devices()[0].device_kind
    return "CPU" if kind == "cpu" else kind


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


def strategy(name: str, tpu: str = "") -> Strategy:
    """The strategy of a ``--strategy`` flag; tells Keras, so call it before a model is made.

    Args:
        name: ``auto`` (all accelerators of JAX's backend), ``cpu``, ``gpu`` (one device),
            ``mirrored`` (all devices of the backend, also virtual CPUs), ``tpu`` (all TPUs).
        tpu: must be empty: JAX finds its TPUs itself.

    Raises:
        UsageError: an unknown name, no such device here, or what JAX does another way.
    """
    if name not in ("auto", "cpu", "gpu", "mirrored", "multiworker", "tpu"):
        raise unknown("strategy", name, ("auto", "cpu", "gpu", "mirrored", "multiworker", "tpu"))
    backend = jax.default_backend()
    if name == "multiworker":
        raise UsageError(
            "--strategy=multiworker under JAX: several processes are for TensorFlow; use "
            "--strategy=mirrored, or KERAS_BACKEND=tensorflow."
        )
    if tpu:
        raise UsageError(f"--tpu={tpu} under JAX: it finds its own TPUs; leave the address out.")
    if name in ("gpu", "tpu") and name != backend:
        raise UsageError(f"--strategy={name}: JAX sees no {name.upper()} here; use --strategy=cpu.")
    if name == "cpu" and backend != "cpu":
        jax.config.update("jax_default_device", jax.devices("cpu")[0])
    several = name in ("mirrored", "tpu") or (name == "auto" and backend != "cpu")
    devices = jax.local_devices() if several else []
    if len(devices) < 2:
        return Strategy(1)
    names = [f"{device.platform}:{device.id}" for device in devices]
    keras.distribution.set_distribution(keras.distribution.DataParallel(devices=names))
    return Strategy(len(devices))


def distribute(strategy: Strategy, pipeline: Callable[[tuple[int, int]], Any]) -> Any:
    """Batches for ``fit``; Keras lays a global batch out over the devices.

    Args:
        strategy: the strategy of the run.
        pipeline: ``pipeline((worker, workers))`` -> that worker's rows of each global batch.
    """
    return pipeline((0, 1))


def check_strategy(jit_compile: bool | str) -> None:
    """Nothing is refused: JAX compiles every step, on any number of devices."""
