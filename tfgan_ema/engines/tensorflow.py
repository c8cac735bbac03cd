"""The TensorFlow engine: tapes, replicas, random draws and the compiled training loop.

Everything here is called inside a replica of ``tf.distribute`` (or without a strategy, which is
one replica). A batch of the whole step is the *global* batch; a replica sees a contiguous part of
it. Random draws and masks are made for the global batch and then cut, so any number of replicas
computes the same step.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import tensorflow as tf

from tfgan_ema.errors import UsageError, unknown

Tensor = Any
Objective = Callable[[], tuple[Tensor, dict[str, Tensor]]]


# Replicas


def replicas() -> int:
    """How many replicas share the global batch; 1 outside a replica."""
    context = tf.distribute.get_replica_context()
    return context.num_replicas_in_sync if context else 1


def replica_rows(rows: int) -> Tensor:
    """Indices, within the global batch, of this replica's ``rows`` rows: int32 [rows]."""
    context = tf.distribute.get_replica_context()
    first = context.replica_id_in_sync_group * rows if context else 0
    return first + tf.range(rows)


def is_chief(model: keras.Model) -> bool:
    """Whether this process writes the model's files: false for workers beyond the first."""
    resolver = model.distribute_strategy.cluster_resolver
    if resolver is None or not resolver.task_type:
        return True
    return resolver.task_type == "chief" or (
        resolver.task_type == "worker"
        and resolver.task_id == 0
        and "chief" not in resolver.cluster_spec().jobs
    )


def global_mean(x: Tensor) -> Tensor:
    """Mean over the global batch; differentiable, gradients flow to every replica's part."""
    mean = tf.reduce_mean(x)
    if replicas() == 1:
        return mean
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.MEAN, mean)


def gather(x: Tensor) -> Tensor:
    """The rows of all replicas, in the order of the global batch; no gradient."""
    x = tf.stop_gradient(x)
    if replicas() == 1:
        return x
    whole = tf.distribute.get_replica_context().all_gather(x, axis=0)
    return tf.ensure_shape(whole, [x.shape[0] * replicas(), *x.shape[1:]])


def scope(model: keras.Model) -> contextlib.AbstractContextManager:
    """The scope that the model's later variables must be made in."""
    return model.distribute_strategy.scope()


def _sum_over_replicas(tensors: list[Tensor]) -> list[Tensor]:
    if replicas() == 1:
        return tensors
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, tensors)


# Random draws: a pure function of (seed, stream, step) and the row in the global batch


def _key(seed: int | Tensor, stream: str, step: int | Tensor) -> Tensor:
    name = int.from_bytes(hashlib.sha256(stream.encode()).digest()[:7], "little")
    return tf.stack([tf.cast(seed, tf.int64), name + tf.cast(step, tf.int64)])


def _bits(shape: Sequence[int], key: Tensor, count: int) -> Tensor:
    """The ``count`` highest bits of Philox outputs, int32, for this replica's rows.

    TensorFlow's own float draws differ between XLA and the plain graph; its integers do not.
    """
    rows = [shape[0] * replicas(), *shape[1:]]
    bits = tf.random.stateless_uniform(rows, key, None, None, tf.uint32, alg="philox")
    bits = tf.cast(tf.bitwise.right_shift(bits, tf.constant(32 - count, tf.uint32)), tf.int32)
    return bits if replicas() == 1 else tf.gather(bits, replica_rows(shape[0]))


def normal(shape: Sequence[int], seed: int, stream: str, step: int | Tensor) -> Tensor:
    """Standard normal float32 draws; ``shape[0]`` counts this replica's rows.

    The inverse distribution function at the midpoints of 2^24 equal intervals: the largest
    magnitude is 5.4.
    """
    odd = 2 * _bits(shape, _key(seed, stream, step), 24) + (1 - 2**24)
    x = tf.cast(odd, tf.float32) * 2.0**-24
    # TensorFlow's erfinv rounds (1 + x)/2: above 0 it loses digits and ends at infinity.
    return -math.sqrt(2) * tf.sign(x) * tf.math.erfinv(-tf.abs(x))


def uniform(shape: Sequence[int], seed: int, stream: str, step: int | Tensor) -> Tensor:
    """Uniform float32 draws in [0, 1), multiples of 2^-24."""
    return tf.cast(_bits(shape, _key(seed, stream, step), 24), tf.float32) * 2.0**-24


def integers(shape: Sequence[int], high: int, seed: int, stream: str, step: int | Tensor) -> Tensor:
    """Uniform int32 draws in [0, high); each is as likely as another to high/2^31."""
    return _bits(shape, _key(seed, stream, step), 31) % high


# Gradients and updates


def input_gradient(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Gradient of ``sum(function(x))`` with respect to ``x``; differentiable once more."""
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(x)
        total = tf.reduce_sum(function(x))
    return tape.gradient(total, x, unconnected_gradients="zero")


def _values(variables: Sequence[keras.Variable]) -> list[tf.Variable]:
    return [variable.value for variable in variables]


def gradients(
    objectives: Sequence[Objective], variables: Sequence[keras.Variable]
) -> tuple[list[Tensor], dict[str, Tensor]]:
    """This replica's part of the gradient of the mean objective, and the mean of what they report.

    Several objectives are micro-batches of one update; the replicas' parts add up to the gradient
    of the mean over the global batch.
    """
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
    objective: Callable[[], tuple[tuple[Tensor, Tensor], dict[str, Tensor]]],
    players: Sequence[Sequence[keras.Variable]],
    consensus: float = 0.0,
) -> tuple[list[list[Tensor]], dict[str, Tensor]]:
    """Gradients of each player's loss over its own variables, at the same point.

    With ``consensus`` > 0 each gradient v_i gains the consensus * gradient of R = 1/2 sum_i |v_i|^2
    over all players' variables (Mescheder et al. 2017). R belongs to the gradients of the global
    batch: its derivative is the sum over replicas of <v_global, d v_local>.
    """
    values = [_values(player) for player in players]
    everything = [value for player in values for value in player]
    with tf.GradientTape(watch_accessed_variables=False) as outer:
        outer.watch(everything)
        with tf.GradientTape(watch_accessed_variables=False, persistent=True) as inner:
            inner.watch(everything)
            losses, report = objective()
            losses = [loss / replicas() for loss in losses]
        found = [
            inner.gradient(loss, player, unconnected_gradients="zero")
            for loss, player in zip(losses, values, strict=True)
        ]
        if consensus:
            local = [gradient for player in found for gradient in player]
            whole = _sum_over_replicas([tf.stop_gradient(gradient) for gradient in local])
            regulariser = consensus * tf.add_n(
                [tf.reduce_sum(a * b) for a, b in zip(whole, local, strict=True)]
            )
    if consensus:
        pull = iter(outer.gradient(regulariser, everything, unconnected_gradients="zero"))
        found = [[gradient + next(pull) for gradient in player] for player in found]
    return found, report


def gradient_norm(grads: Sequence[Tensor | None]) -> Tensor:
    """Euclidean norm of the gradient of the global batch."""
    return tf.linalg.global_norm(_sum_over_replicas([g for g in grads if g is not None]))


def apply(
    optimizer: keras.optimizers.Optimizer,
    grads: Sequence[Tensor | None],
    variables: Sequence[keras.Variable],
) -> None:
    """One optimizer step; the optimizer adds up the replicas' parts.

    Keras clips each replica's part before adding. Clipping is meant for the whole gradient, so it
    is done here on the sum; the optimizer's own clipping then finds nothing left to cut.
    """
    clips = (optimizer.clipnorm, optimizer.clipvalue, optimizer.global_clipnorm)
    if replicas() > 1 and any(clip is not None for clip in clips):
        present = [g for g in grads if g is not None]
        whole = iter(optimizer._clip_gradients(_sum_over_replicas(present)))
        grads = [None if g is None else next(whole) / replicas() for g in grads]
    optimizer.apply(grads, variables)


def lazy(predicate: Tensor, then: Callable[[], Any], otherwise: Callable[[], Any]) -> Any:
    """Runs one of two branches; the other costs nothing. No reduction over replicas inside."""
    return tf.cond(predicate, then, otherwise)


# The compiled loops


def make_sampler(
    generator: keras.Model, chunk: Callable[..., Tensor], size: int
) -> Callable[..., Any]:
    """``sampler(count, seed, labels) -> array`` that joins chunks of ``size`` rows in one graph.

    Args:
        generator: the network that ``chunk`` runs; a graph finds its variables without being told.
        chunk: ``chunk(index, rows, seed, labels=)`` -> the first ``rows`` samples of a chunk.
        size: rows of a full chunk.
    """

    @tf.function(reduce_retracing=True, autograph=False)
    def graph(count: Tensor, seed: Tensor, labels: Tensor | None = None) -> Tensor:
        return sample_loop(chunk, size, count, seed, labels)

    def sampler(count: int, seed: int, labels: Any = None) -> Any:
        labels = None if labels is None else tf.constant(labels, tf.int32)
        return graph(tf.constant(count, tf.int32), tf.constant(seed, tf.int64), labels).numpy()

    return sampler


def sample_loop(
    chunk: Callable[..., Tensor], size: int, count: Tensor, seed: Tensor, labels: Tensor | None
) -> Tensor:
    """The graph behind `make_sampler`, also what an exported model runs."""
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
        return i + 1, parts.write(i, chunk(i, rows, seed, labels=given))

    _, parts = tf.while_loop(lambda i, _: i < chunks, body, (0, parts))
    return tf.ensure_shape(parts.concat(), [None, *spec.shape[1:]])


def make_function(
    model: keras.Model, step_function: Callable[[Any], dict[str, Tensor]]
) -> Callable:
    """``function(iterator) -> logs`` that runs ``model.steps_per_execution`` steps in one call.

    Keras's own function wraps each step in ``tf.cond``, in which replicas cannot meet; here the
    first step is plain and the others sit in a ``tf.while_loop``, with equal results for any number
    of steps per execution, under any strategy.
    """
    strategy = model.distribute_strategy
    steps = model.steps_per_execution

    def one_step(data: Any) -> dict[str, Tensor]:
        logs = strategy.run(step_function, args=(data,))
        return {name: strategy.reduce("MEAN", log, axis=None) for name, log in logs.items()}

    if not model.run_eagerly:
        one_step = tf.function(
            one_step, reduce_retracing=True, autograph=False, jit_compile=model.jit_compile
        )

    def whole_execution(iterator: Any) -> dict[str, Tensor]:
        logs = one_step(next(iterator))
        if steps == 1:
            return logs
        return tf.while_loop(
            lambda done, _: done < steps,
            lambda done, _: (done + 1, one_step(next(iterator))),
            (tf.constant(1), logs),
        )[1]

    def until_the_data_end(iterator: Any) -> dict[str, Tensor]:
        def following(done: Tensor, last: Any) -> Any:
            return tf.cond(done < steps, iterator.get_next_as_optional, lambda: last)

        first = next(iterator)
        logs = one_step(first)
        if steps == 1:
            return logs
        return tf.while_loop(
            lambda done, data, _: tf.logical_and(done < steps, data.has_value()),
            lambda done, data, _: (
                done + 1,
                following(done + 1, data),
                one_step(data.get_value()),
            ),
            (tf.constant(1), iterator.get_next_as_optional(), logs),
        )[2]

    loops = [until_the_data_end, whole_execution]
    if not model.run_eagerly:
        loops = [tf.function(loop, reduce_retracing=True, autograph=False) for loop in loops]
    # Under a strategy, asking whether data are left would cost the batches their static shape.
    return lambda iterator: loops[not isinstance(iterator, tf.data.Iterator)](iterator)


def make_loop(model: keras.Model, batch: Callable[[Tensor], Tensor]) -> Callable[[int], None]:
    """``loop(steps)``: that many of the model's steps on ``batch(step)``, all inside the graph.

    With ``jit_compile`` the whole loop is one XLA program.

    Raises:
        UsageError: under a strategy with several replicas.
    """
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


def find_devices() -> list[Any]:
    """The machine's devices; asking makes TensorFlow look for them."""
    return tf.config.list_physical_devices()


def device_kind() -> str:
    """The first GPU by its maker's name, ``TPU`` or ``CPU``; starts TensorFlow's runtime."""
    for device in tf.config.list_physical_devices("GPU"):
        return tf.config.experimental.get_device_details(device).get("device_name", "GPU")
    return "TPU" if tf.config.list_logical_devices("TPU") else "CPU"


def share_machine() -> None:
    """Makes this process one of several on a machine: one thread, and no more memory than it needs.

    To be called before anything is computed.
    """
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    for device in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(device, True)


@contextlib.contextmanager
def full_float32() -> Iterator[None]:
    """Where products of float32 numbers are not rounded to TF32."""
    before = tf.config.experimental.tensor_float_32_execution_enabled()
    tf.config.experimental.enable_tensor_float_32_execution(False)
    try:
        yield
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(before)


def strategy(name: str, tpu: str = "") -> tf.distribute.Strategy:
    """The strategy of a ``--strategy`` flag; make it before anything else touches a device.

    Args:
        name: ``auto`` (mirrored where there are several GPUs), ``cpu``, ``gpu`` (one device),
            ``mirrored`` (all GPUs, or the logical CPUs), ``multiworker`` (``TF_CONFIG``), ``tpu``.
        tpu: the TPU's address; empty for a local one.

    Raises:
        UsageError: an unknown name, or no such device here.
    """
    gpus = tf.config.list_physical_devices("GPU")
    if name == "auto":
        name = "mirrored" if len(gpus) > 1 else "gpu" if gpus else "cpu"
    if name == "cpu":
        return tf.distribute.OneDeviceStrategy("/cpu:0") if gpus else tf.distribute.get_strategy()
    if name == "gpu":
        if not gpus:
            raise UsageError("--strategy=gpu: TensorFlow sees no GPU here; use --strategy=cpu.")
        return tf.distribute.get_strategy()
    if name == "mirrored":
        kind = "GPU" if gpus else "CPU"
        count = len(tf.config.list_logical_devices(kind))
        return tf.distribute.MirroredStrategy([f"/{kind.lower()}:{i}" for i in range(count)])
    if name == "multiworker":
        if "TF_CONFIG" not in os.environ:
            raise UsageError(
                "--strategy=multiworker: the environment variable TF_CONFIG (cluster and task) is "
                "not set; set it for each worker, or use --strategy=mirrored."
            )
        return tf.distribute.MultiWorkerMirroredStrategy()
    if name == "tpu":
        try:
            resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu=tpu or "local")
            tf.config.experimental_connect_to_cluster(resolver)
            tf.tpu.experimental.initialize_tpu_system(resolver)
        except (ValueError, tf.errors.OpError, RuntimeError) as error:
            raise UsageError(
                f"--strategy=tpu: no TPU answers here ({type(error).__name__}); name it with "
                "--tpu=ADDRESS, or use --strategy=cpu."
            ) from error
        return tf.distribute.TPUStrategy(resolver)
    raise unknown("strategy", name, ("auto", "cpu", "gpu", "mirrored", "multiworker", "tpu"))


def distribute(
    strategy: tf.distribute.Strategy, pipeline: Callable[[tuple[int, int]], tf.data.Dataset]
) -> Any:
    """Batches for ``fit`` under a strategy: every worker reads only its rows of a global batch.

    Under a mirrored strategy every replica has a pipeline of its own on the host. The iterators
    that ``fit`` would make of one pipeline for all bring a tuning thread a replica, whatever the
    pipeline's options, and the end of ``fit`` waits for these to wake, up to a minute.

    Args:
        strategy: the strategy of the run.
        pipeline: ``pipeline((worker, workers))`` -> that worker's rows of each global batch.
    """
    if strategy.num_replicas_in_sync == 1:
        return pipeline((0, 1))
    if isinstance(strategy, tf.distribute.MirroredStrategy):
        own = tf.distribute.InputOptions(
            experimental_replication_mode=tf.distribute.InputReplicationMode.PER_REPLICA,
            experimental_fetch_to_device=False,
        )
        return strategy.distribute_datasets_from_function(
            lambda context: pipeline((context.input_pipeline_id, context.num_input_pipelines)), own
        )

    def rows_of(context: tf.distribute.InputContext) -> tf.data.Dataset:
        dataset = pipeline((context.input_pipeline_id, context.num_input_pipelines))
        spec = tf.nest.flatten(dataset.element_spec)[0]
        replicas = context.num_replicas_in_sync // context.num_input_pipelines
        dataset = dataset.rebatch(spec.shape[0] // replicas, drop_remainder=True)
        # Known to be endless, so that batches keep their static shape.
        endless = tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY)
        return dataset.apply(endless)

    return strategy.distribute_datasets_from_function(rows_of)


def check_strategy(jit_compile: bool | str) -> None:
    """Refuses what a strategy cannot do.

    Raises:
        UsageError: XLA was asked for under several replicas.
    """
    count = tf.distribute.get_strategy().num_replicas_in_sync
    if jit_compile is True and count > 1:
        raise UsageError(
            f"jit_compile=True under {count} replicas: TensorFlow compiles a step with XLA on one "
            "device only; leave it out under a strategy."
        )
