"""The TensorFlow engine: tapes, replicas, random draws and the compiled loops.

Everything here is called inside a replica of ``tf.distribute``, or without a strategy, which is one
replica. What the functions do is documented at `tfgan_ema.engines.Engine`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from types import GeneratorType
from typing import Any

import keras
import tensorflow as tf

from tfgan_ema.engines import Objective, Report, Tensor
from tfgan_ema.errors import UsageError

# Replicas


def replicas() -> int:
    """How many replicas share the global batch; 1 outside a replica."""
    context = tf.distribute.get_replica_context()
    return context.num_replicas_in_sync if context else 1


def rows(count: int) -> Tensor:
    """Indices, within the global batch, of this replica's rows: int32 [count]."""
    context = tf.distribute.get_replica_context()
    first = context.replica_id_in_sync_group * count if context else 0
    return first + tf.range(count)


def replica_mean(values: Any) -> Any:
    """A tensor, or a list of them, averaged over the replicas; differentiable."""
    if replicas() == 1:
        return values
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.MEAN, values)


def gather(x: Tensor) -> Tensor:
    """The rows of all replicas, in the order of the global batch; no gradient."""
    x = tf.stop_gradient(x)
    if replicas() == 1:
        return x
    whole = tf.distribute.get_replica_context().all_gather(x, axis=0)
    return tf.ensure_shape(whole, [x.shape[0] * replicas(), *x.shape[1:]])


def _replica_sum(tensors: list[Tensor]) -> list[Tensor]:
    if replicas() == 1:
        return tensors
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, tensors)


def random_bits(
    shape: Sequence[int], count: int, seed: int | Tensor, stream: str, step: int | Tensor
) -> Tensor:
    """The ``count`` highest bits of Philox outputs for this replica's rows, int32.

    TensorFlow's own float draws differ between XLA and the plain graph; its integers do not.
    """
    name = int.from_bytes(hashlib.sha256(stream.encode()).digest()[:7], "little")
    key = tf.stack([tf.cast(seed, tf.int64), name + tf.cast(step, tf.int64)])
    whole = [shape[0] * replicas(), *shape[1:]]
    bits = tf.random.stateless_uniform(whole, key, None, None, tf.uint32, alg="philox")
    bits = tf.cast(tf.bitwise.right_shift(bits, tf.constant(32 - count, tf.uint32)), tf.int32)
    return bits if replicas() == 1 else tf.gather(bits, rows(shape[0]))


# Gradients and updates


def watched(function: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Callable[[], Tensor]]:
    """``function(x)``, and what gives the gradient of its sum with respect to ``x``."""
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(x)
        values = function(x)
        total = tf.reduce_sum(values)
    return values, lambda: tape.gradient(total, x, unconnected_gradients="zero")


def input_gradient(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Gradient of ``sum(function(x))`` with respect to ``x``; differentiable once more."""
    return watched(function, x)[1]()


def _values(variables: Sequence[keras.Variable]) -> list[tf.Variable]:
    return [variable.value for variable in variables]


def gradients(
    objectives: Sequence[Objective], variables: Sequence[keras.Variable]
) -> tuple[list[Tensor], Report]:
    """This replica's part of the gradient of the mean objective, and the mean report."""
    values = _values(variables)
    parts, reports = [], []
    for objective in objectives:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(values)
            loss, report = objective()
            loss = loss / (replicas() * len(objectives))
        parts.append(tape.gradient(loss, values))
        reports.append(report)
    total = [tf.add_n(part) if part[0] is not None else None for part in zip(*parts, strict=True)]
    report = {name: tf.add_n([r[name] for r in reports]) / len(reports) for name in reports[0]}
    return total, report


def game_gradients(
    objective: Callable[[], tuple[tuple[Tensor, Tensor], Report]],
    players: Sequence[Sequence[keras.Variable]],
    consensus: float = 0.0,
) -> tuple[list[list[Tensor]], Report]:
    """Gradients of each player's loss over its own variables, with consensus if its weight is > 0.

    R belongs to the gradients of the global batch: its derivative is the sum over replicas of
    <v_global, d v_local>.
    """
    values = [_values(player) for player in players]
    everything = [value for player in values for value in player]
    with tf.GradientTape(watch_accessed_variables=False) as outer:
        outer.watch(everything)
        with tf.GradientTape(watch_accessed_variables=False, persistent=True) as inner:
            inner.watch(everything)
            losses, report = objective()
            losses = [loss / replicas() for loss in losses]
        field = [
            inner.gradient(loss, player, unconnected_gradients="zero")
            for loss, player in zip(losses, values, strict=True)
        ]
        if consensus:
            local = [gradient for player in field for gradient in player]
            whole = _replica_sum([tf.stop_gradient(gradient) for gradient in local])
            regulariser = consensus * tf.add_n(
                [tf.reduce_sum(a * b) for a, b in zip(whole, local, strict=True)]
            )
    if consensus:
        pull = iter(outer.gradient(regulariser, everything, unconnected_gradients="zero"))
        field = [[gradient + next(pull) for gradient in player] for player in field]
    return field, report


def apply(
    optimizer: keras.optimizers.Optimizer,
    gradients: Sequence[Tensor | None],
    variables: Sequence[keras.Variable],
) -> None:
    """One optimizer step; the optimizer adds up the replicas' parts.

    Keras clips each replica's part before adding. Clipping is meant for the whole gradient, so it
    is done here on the sum; the optimizer's own clipping then finds nothing left to cut.
    """
    clips = (optimizer.clipnorm, optimizer.global_clipnorm, optimizer.clipvalue)
    if replicas() > 1 and any(clip is not None for clip in clips):
        present = [gradient for gradient in gradients if gradient is not None]
        clipped = iter(_clipped(_replica_sum(present), *clips))
        gradients = [None if g is None else next(clipped) / replicas() for g in gradients]
    optimizer.apply(gradients, variables)


def _clipped(
    gradients: list[Tensor], norm: float | None, global_norm: float | None, value: float | None
) -> list[Tensor]:
    """As Keras clips: each gradient by its norm, or all by the global norm, or each entry."""
    if norm is not None:
        return [tf.clip_by_norm(gradient, norm) for gradient in gradients]
    if global_norm is not None:
        return tf.clip_by_global_norm(gradients, global_norm)[0]
    return [tf.clip_by_value(gradient, -value, value) for gradient in gradients]


def lazy(predicate: Tensor, then: Callable[[], Any], otherwise: Callable[[], Any]) -> Any:
    """Runs one of two branches; the other costs nothing. No reduction over replicas inside."""
    return tf.cond(predicate, then, otherwise)


def is_traced(x: Tensor) -> bool:
    """Whether a function is being traced, so that ``x`` has no value yet."""
    return not tf.executing_eagerly()


# The compiled loops


def compile_sampler(
    generator: keras.Model, chunk: Callable[..., Tensor], size: int
) -> Callable[..., Any]:
    """``sampler(first, count, seed, labels) -> array``; a graph finds the generator by itself."""

    @tf.function(reduce_retracing=True, autograph=False)
    def graph(first: Tensor, count: Tensor, seed: Tensor, labels: Tensor | None = None) -> Tensor:
        return sample_loop(chunk, size, count, seed, labels, first)

    def sampler(first: int, count: int, seed: int, labels: Any = None) -> Any:
        labels = None if labels is None else tf.constant(labels, tf.int32)
        numbers = tf.constant(first, tf.int32), tf.constant(count, tf.int32)
        return graph(*numbers, tf.constant(seed, tf.int64), labels).numpy()

    return sampler


def sample_loop(
    chunk: Callable[..., Tensor],
    size: int,
    count: Tensor,
    seed: Tensor,
    labels: Tensor | None,
    first: Tensor | int = 0,
) -> Tensor:
    """``count`` samples, chunk by chunk, inside a graph; exported models hold it too."""
    probe = tf.function(chunk, autograph=False).get_concrete_function(
        tf.TensorSpec([], tf.int32),
        tf.TensorSpec([], tf.int32),
        tf.TensorSpec([], tf.int64),
        labels=None if labels is None else tf.TensorSpec([None], tf.int32),
    )
    spec = probe.structured_outputs
    chunks = (count + size - 1) // size
    parts = tf.TensorArray(
        spec.dtype, size=chunks, infer_shape=False, element_shape=[None, *spec.shape[1:]]
    )

    def body(i: Tensor, parts: tf.TensorArray) -> tuple[Tensor, tf.TensorArray]:
        rows = tf.minimum(size, count - i * size)
        given = None if labels is None else labels[i * size : i * size + rows]
        return i + 1, parts.write(i, chunk(first + i, rows, seed, labels=given))

    _, parts = tf.while_loop(lambda i, _: i < chunks, body, (0, parts))
    return tf.ensure_shape(parts.concat(), [None, *spec.shape[1:]])


def compile_step(
    model: keras.Model,
    step_function: Callable[[Any], Report],
    steps_left: Callable[[], int | None] = lambda: None,
    reads: Sequence[keras.Variable] = (),
) -> Callable[[Any], Report]:
    """``function(iterator) -> logs``: all steps but the last in a ``tf.while_loop``.

    Keras's own function wraps each step in ``tf.cond``, in which replicas cannot meet. The logs are
    those of the last step: to carry them through the loop costs small networks some percent.
    """
    strategy, most = model.distribute_strategy, model.steps_per_execution

    def one_step(data: Any) -> Report:
        logs = strategy.run(step_function, args=(data,))
        return {name: strategy.reduce("MEAN", log, axis=None) for name, log in logs.items()}

    if not model.run_eagerly:
        one_step = tf.function(
            one_step, reduce_retracing=True, autograph=False, jit_compile=model.jit_compile
        )

    def whole_execution(data: Any, iterator: Any, steps: Tensor) -> Report:
        if most == 1:
            return one_step(data)

        def body(done: Tensor, data: Any) -> tuple[Tensor, Any]:
            one_step(data)
            return done + 1, _shaped(next(iterator), data)

        return one_step(tf.while_loop(lambda done, _: done < steps, body, (1, data))[1])

    def until_the_data_end(data: Any, iterator: Any, steps: Tensor) -> Report:
        if most == 1:
            return one_step(data)
        nothing = tf.experimental.Optional.empty(iterator.element_spec)

        def following(done: Tensor) -> Any:
            return tf.cond(done < steps, iterator.get_next_as_optional, lambda: nothing)

        def body(done: Tensor, data: Any, upcoming: Any) -> tuple[Tensor, Any, Any]:
            one_step(data)
            return done + 1, _shaped(upcoming.get_value(), data), following(done + 1)

        return one_step(
            tf.while_loop(
                lambda done, data, upcoming: upcoming.has_value(),
                body,
                (tf.constant(1), data, following(tf.constant(1))),
            )[1]
        )

    if not model.run_eagerly:
        whole_execution, until_the_data_end = (
            tf.function(loop, reduce_retracing=True, autograph=False)
            for loop in (whole_execution, until_the_data_end)
        )

    def function(iterator: Any) -> Report:
        # Read here: inside the program, where the data have ended, the counter would still move.
        data = next(iterator)
        if isinstance(iterator, GeneratorType):  # one batch, of `train_on_batch`
            return one_step(tuple(tf.convert_to_tensor(x) for x in data if x is not None))
        left = steps_left()
        steps = tf.constant(most if left is None else max(1, min(most, left)))
        # Under a strategy, asking whether data are left would cost the batches their static shape.
        alone = isinstance(iterator, tf.data.Iterator)
        return (until_the_data_end if alone else whole_execution)(data, iterator, steps)

    return function


def _shaped(data: Any, like: Any) -> Any:
    """The tensors of one batch with the static shapes of another, which a loop asks for."""
    return tf.nest.map_structure(
        lambda x, other: tf.ensure_shape(x, other.shape), data, like, expand_composites=True
    )


def compile_loop(model: keras.Model, batch: Callable[[Tensor], Tensor]) -> Callable[[int], None]:
    """``loop(steps)``; with ``jit_compile`` the whole loop is one XLA program."""
    if model.distribute_strategy.num_replicas_in_sync > 1:
        raise UsageError("run() under several replicas: it is for one device; use fit().")

    @tf.function(
        autograph=False,
        jit_compile=model.jit_compile,
        input_signature=[tf.TensorSpec([], tf.int32)],
    )
    def loop(steps: Tensor) -> None:
        def body(done: Tensor) -> Tensor:
            model.train_step(batch(model.step.value))
            return done + 1

        tf.while_loop(lambda done: done < steps, body, (tf.constant(0),))

    return lambda steps: loop(tf.constant(steps, tf.int32))
