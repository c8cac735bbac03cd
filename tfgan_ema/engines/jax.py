"""The JAX engine: pure functions out of the algorithm's assignments, and the compiled loops.

`GAN.train_step` assigns to variables. Here it is traced inside a `keras.StatelessScope`, where
assignments are only noted: what was noted is returned as the new values of the variables. Whatever
JAX transforms (a gradient, a branch) runs in a scope of its own, whose notes leave the
transformation as one more result and are then assigned one scope further out.

Programs see the global batch, also when `keras.distribution` lays it out over several devices:
there is one replica, and XLA inserts what the devices have to tell each other. What the functions
do is documented at `tfgan_ema.engines.Engine`.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np

from tfgan_ema import philox
from tfgan_ema.engines import Objective, Report, Tensor
from tfgan_ema.errors import UsageError

STACK = 2**28  # bytes of batches that one program reads

# Replicas: always one, which sees the global batch


def replicas() -> int:
    """1: a program sees the global batch."""
    return 1


def rows(count: int) -> Tensor:
    """Indices of the rows of the batch: int32 [count]."""
    return jnp.arange(count, dtype="int32")


def replica_mean(values: Any) -> Any:
    """The values themselves."""
    return values


def gather(x: Tensor) -> Tensor:
    """The rows themselves; no gradient."""
    return jax.lax.stop_gradient(x)


def random_bits(
    shape: Sequence[int], count: int, seed: int | Tensor, stream: str, step: int | Tensor
) -> Tensor:
    """The ``count`` highest bits of Philox outputs, int32; ``seed`` may be uint32 words [2]."""
    name = int.from_bytes(hashlib.sha256(stream.encode()).digest()[:7], "little")
    first = philox.words(seed) if isinstance(seed, int) else (seed[0], seed[1])
    second = philox.add(name, jnp.asarray(step, "uint32"))
    drawn = philox.bits(jnp, math.prod(shape), (first, second), jax.lax.fori_loop)
    return (drawn >> np.uint32(32 - count)).astype("int32").reshape(shape)


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
) -> tuple[list[Tensor], Report]:
    """The gradient of the mean objective, and the mean report."""
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
    objective: Callable[[], tuple[tuple[Tensor, Tensor], Report]],
    players: Sequence[Sequence[keras.Variable]],
    consensus: float = 0.0,
) -> tuple[list[list[Tensor]], Report]:
    """Gradients of each player's loss over its own variables, with consensus if its weight is > 0.

    The gradient of R is pulled back through the game's field at once, as J^T v.
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

    gradients, pull, (report, updates) = jax.vjp(
        field, [[variable.value for variable in player] for player in players], has_aux=True
    )
    _assign(assigned, updates)
    if consensus:
        (pulled,) = pull(gradients)
        gradients = jax.tree.map(lambda v, extra: v + consensus * extra, gradients, pulled)
    return gradients, report


def apply(
    optimizer: keras.optimizers.Optimizer,
    gradients: Sequence[Tensor],
    variables: Sequence[keras.Variable],
) -> None:
    """One optimizer step."""
    optimizer.apply(gradients, variables)


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


def is_traced(x: Tensor) -> bool:
    """Whether ``x`` has no value yet, because a function is being compiled."""
    return isinstance(x, jax.core.Tracer)


# The compiled loops


def _pure(
    function: Callable[..., Any],
    variables: Sequence[keras.Variable],
    reads: Sequence[keras.Variable] = (),
) -> Callable[..., tuple[Any, list[Tensor]]]:
    """``pure(values, ...) -> result, new values`` of a function that reads and assigns variables.

    The values of ``reads``, which it only reads, are passed as ``read=``.

    Raises:
        UsageError: when it is traced, if it assigns a variable that is not among them.
    """
    known = {id(variable) for variable in variables}

    def pure(
        values: Sequence[Tensor], *arguments: Any, read: Sequence[Tensor] = ()
    ) -> tuple[Any, list[Tensor]]:
        with _Notes(zip([*variables, *reads], [*values, *read], strict=True)) as notes:
            result = function(*arguments)
            foreign = [v.path for key, v in notes.assigned.items() if key not in known]
            if foreign:
                raise UsageError(
                    f"a training step assigns {foreign[0]}, which the model does not know: keep "
                    "the layer or variable as an attribute of one of the networks."
                )
            return result, [notes.state_mapping[id(variable)] for variable in variables]

    return pure


def compile_sampler(
    generator: keras.Model, chunk: Callable[..., Tensor], size: int
) -> Callable[..., Any]:
    """``sampler(first, count, seed, labels) -> array``."""

    def draw(index: Tensor, seed: Tensor, labels: Tensor | None) -> Tensor:
        return chunk(index, size, seed, labels=labels)

    compiled = jax.jit(_pure(draw, generator.variables))

    def sampler(first: int, count: int, seed: int, labels: Any = None) -> Any:
        values = [variable.value for variable in generator.variables]
        words = np.array(philox.words(seed))
        chunks = max(1, -(-count // size))  # an empty answer has its shape, too
        if labels is not None:
            labels = np.pad(labels, (0, chunks * size - count)).reshape(chunks, size)
        parts = [
            compiled(values, np.int32(first + i), words, None if labels is None else labels[i])[0]
            for i in range(chunks)
        ]
        return np.concatenate(parts)[:count]

    return sampler


def compile_step(
    model: keras.Model,
    step_function: Callable[[Any], Report],
    steps_left: Callable[[], int | None] = lambda: None,
    reads: Sequence[keras.Variable] = (),
) -> Callable:
    """``function(state, iterator) -> logs, state`` for Keras's trainer.

    The steps of an execution are one program where their batches can be stacked (see `_stacks`).
    The trainer takes the values out of the variables before the first step of an epoch and puts
    them back after the last. Callbacks of this package read and assign variables after any step, so
    here they are put back after each execution.
    """
    inside = {id(variable) for variable in model.variables}
    reads = [variable for variable in reads if id(variable) not in inside]
    rest = model.optimizer.variables
    weights = [model.trainable_variables, model.non_trainable_variables]
    groups = {
        4: [*weights, rest, model.metrics_variables],  # of a training step
        3: [*weights, model.metrics_variables],  # of a test step
    }

    @functools.cache
    def compiled(count: int, together: int) -> Callable:
        variables = [variable for group in groups[count] for variable in group]
        step = _pure(step_function, variables, reads)

        def one(values: list[Tensor], batches: list[Any], read: list[Tensor]) -> tuple:
            return step(values, batches[0], read=read)

        def several(values: list[Tensor], batches: list[Any], read: list[Tensor]) -> tuple:
            def following(values: list[Tensor], batch: Any) -> tuple:
                return step(values, batch, read=read)[::-1]

            stacked = jax.tree.map(lambda *parts: jnp.stack(parts), *batches)
            values, logs = jax.lax.scan(following, values, stacked)
            return {name: log[-1] for name, log in logs.items()}, values

        if model.run_eagerly:
            return one
        return jax.jit(one if together == 1 else several, donate_argnums=0)

    def function(state: tuple, iterator: Iterator) -> tuple[Report, tuple]:
        variables = groups[len(state)]
        values = [value for group in state for value in group]
        logs, flat = None, [variable for group in variables for variable in group]
        with _Notes(zip(flat, values, strict=True)):  # Keras has emptied the variables
            steps = steps_left()
        steps = model.steps_per_execution if steps is None else steps
        try:
            most = model.steps_per_execution
            batches = itertools.islice(iterator, max(1, min(steps, most)))
            for stack in _stacks(batches, 1 if model.run_eagerly else most):
                run = compiled(len(state), len(stack))
                logs, values = run(values, stack, read=[v.value for v in reads])
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


def _stacks(batches: Iterator, most: int) -> Iterator[list[Any]]:
    """Batches in lists for programs of several steps.

    All are of one length, so that there is one such program; what is left comes one by one.
    """
    first = list(itertools.islice(batches, 1))
    parts = jax.tree.leaves(first)
    size = sum(part.nbytes for part in parts) or 1
    spread = keras.distribution.distribution() is not None  # stacking would move the parts
    # In a loop XLA computes convolutions on one thread of a CPU.
    slow = jax.default_backend() == "cpu" and any(part.ndim > 2 for part in parts)
    together = 1 if spread or slow else max(1, min(most, STACK // size))
    batches = itertools.chain(first, batches)
    while stack := list(itertools.islice(batches, together)):
        yield from [stack] if len(stack) == together else ([batch] for batch in stack)


def compile_loop(model: keras.Model, batch: Callable[[Tensor], Tensor]) -> Callable[[int], None]:
    """``loop(steps)``, in one XLA program."""
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
