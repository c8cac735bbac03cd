"""Strategies, the chief, threads and accelerators under TensorFlow."""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras
import tensorflow as tf

from tfgan_ema import __version__, cluster, workers
from tfgan_ema.errors import UsageError, number, say, unknown

TAKES_DATASETS = True
_OF_OTHERS = (
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.FailedPreconditionError,
    tf.errors.InternalError,
    tf.errors.UnavailableError,
)  # what a collective raises when another worker is lost
_FAST_CPUS = {"avx512_bf16", "amx_bf16"}
_START = 30.0  # seconds for the servers of workers that have met


def scope(model: keras.Model) -> contextlib.AbstractContextManager:
    """The scope that the model's later variables must be made in."""
    return model.distribute_strategy.scope()


def strategy_of(model: keras.Model) -> tf.distribute.Strategy:
    """The strategy in whose scope the model was made."""
    return model.distribute_strategy


def is_chief(model: keras.Model) -> bool:
    """Whether this process writes the model's files: false for workers beyond the first."""
    if is_alone(model):
        return True
    resolver = model.distribute_strategy.cluster_resolver
    return resolver.task_type == "chief" or (
        resolver.task_type == "worker"
        and resolver.task_id == 0
        and "chief" not in resolver.cluster_spec().jobs
    )


def is_alone(model: keras.Model) -> bool:
    """Whether no other process trains the model."""
    resolver = model.distribute_strategy.cluster_resolver
    return resolver is None or not resolver.task_type


def together(strategy: tf.distribute.Strategy) -> contextlib.AbstractContextManager:
    """A block that all workers of a cluster work on; if one is lost, all end with one line.

    It watches the strategies that `strategy` has made.
    """
    peers = getattr(strategy.cluster_resolver, "peers", None)
    if peers is None and isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        say(
            "the workers of this strategy are neither compared nor watched: make it with "
            "tfgan_ema.engines.devices.strategy('multiworker')."
        )
    return peers.together(_OF_OTHERS) if peers else contextlib.nullcontext()


def compare(strategy: tf.distribute.Strategy, facts: Mapping[str, Any]) -> None:
    """Returns once all workers of a cluster have called it with the same facts and code.

    Raises:
        UsageError: they differ; every worker raises it, and it names the keys.
    """
    peers = getattr(strategy.cluster_resolver, "peers", None)
    if peers:
        of_code = {"the code of tfgan_ema": f"{__version__}, {workers.code()}"}
        of_code |= {"tensorflow": tf.__version__, "keras": keras.__version__}
        devices = {"devices of a worker": len(strategy.extended.worker_devices)}
        peers.compare({**facts, **of_code, **devices})


def find_devices() -> list[Any]:
    """The machine's devices; asking makes TensorFlow look for them."""
    return tf.config.list_physical_devices()


def device_kind() -> str:
    """The first GPU by its maker's name, ``TPU`` or ``CPU``; starts TensorFlow's runtime."""
    for device in tf.config.list_physical_devices("GPU"):
        return tf.config.experimental.get_device_details(device).get("device_name", "GPU")
    return "TPU" if tf.config.list_logical_devices("TPU") else "CPU"


def is_fast_in_bfloat16() -> bool:
    """Whether the first device multiplies bfloat16 faster than float32.

    TPUs do, GPUs of NVIDIA since the compute capability 8.0, and CPUs with AVX512-BF16 or AMX as
    far as Linux names them.
    """
    for device in tf.config.list_physical_devices("GPU"):
        details = tf.config.experimental.get_device_details(device)
        return details.get("compute_capability", (0, 0)) >= (8, 0)
    return bool(tf.config.list_logical_devices("TPU")) or bool(_cpu_flags() & _FAST_CPUS)


def _cpu_flags() -> set[str]:
    """What the processor can do, by Linux's names; nothing on other systems."""
    with contextlib.suppress(OSError), open("/proc/cpuinfo") as lines:
        for line in lines:
            if line.startswith("flags"):
                return set(line.split())
    return set()


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


def strategy(name: str, tpu: str = "", worker_timeout: float = 300.0) -> tf.distribute.Strategy:
    """The strategy of a name; make it before anything else touches a device.

    Args:
        name: ``auto`` (mirrored where there are several GPUs), ``cpu``, ``gpu`` (one device),
            ``mirrored`` (all GPUs, or the logical CPUs), ``multiworker`` (``TF_CONFIG``, or else
            the tasks of a step of SLURM), ``tpu``.
        tpu: the TPU's address; empty for a local one.
        worker_timeout: seconds to wait for the other workers of a cluster.

    Raises:
        UsageError: an unknown name, or no such device here.
        WorkerLost: a worker of the cluster has not come.
    """
    gpus = tf.config.list_physical_devices("GPU")
    if name == "auto":
        name = "mirrored" if len(gpus) > 1 else "gpu" if gpus else "cpu"
    if name == "cpu":
        return tf.distribute.OneDeviceStrategy("/cpu:0") if gpus else tf.distribute.get_strategy()
    if name == "gpu":
        if not gpus:
            raise UsageError("strategy='gpu': TensorFlow sees no GPU here; use strategy='cpu'.")
        return tf.distribute.get_strategy()
    if name == "mirrored":
        kind = "GPU" if gpus else "CPU"
        count = len(tf.config.list_logical_devices(kind))
        return tf.distribute.MirroredStrategy([f"/{kind.lower()}:{i}" for i in range(count)])
    if name == "multiworker":
        if not os.environ.get("TF_CONFIG") and "SLURM_STEP_NODELIST" in os.environ:
            os.environ["TF_CONFIG"] = slurm_config()
        resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
        own = cluster.read(os.environ.get("TF_CONFIG"))
        seconds = number("worker_timeout", worker_timeout, "(0, inf)")
        resolver.peers = workers.meet(own, seconds)
        with resolver.peers.together(_OF_OTHERS), _limited(_START):
            made = tf.distribute.MultiWorkerMirroredStrategy(resolver)
        if threading.current_thread() is threading.main_thread():
            # TensorFlow's server has taken SIGTERM, and does nothing with it.
            signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGTERM) or signal.SIG_DFL)
        return made
    if name == "tpu":
        try:
            resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu=tpu or "local")
            tf.config.experimental_connect_to_cluster(resolver)
            tf.tpu.experimental.initialize_tpu_system(resolver)
        except (ValueError, tf.errors.OpError, RuntimeError) as error:
            raise UsageError(
                f"strategy='tpu': no TPU answers here ({type(error).__name__}); name it with "
                "tpu=ADDRESS, or use strategy='cpu'."
            ) from error
        return tf.distribute.TPUStrategy(resolver)
    raise unknown("strategy", name, ("auto", "cpu", "gpu", "mirrored", "multiworker", "tpu"))


def slurm_config() -> str:
    """The ``TF_CONFIG`` of a task that ``srun`` has started: the tasks of its step are workers.

    Raises:
        UsageError: SLURM's variables do not say who they are.
    """
    try:
        job, own = int(os.environ["SLURM_JOB_ID"]), int(os.environ["SLURM_LOCALID"])
        base = 12_000 + job % 20_000  # two jobs may share a host
        found = tf.distribute.cluster_resolver.SlurmClusterResolver(
            port_base=base,
            gpus_per_node=int(os.environ["SLURM_STEP_NUM_TASKS"]),  # SLURM itself assigns GPUs
            gpus_per_task=1,
            auto_set_gpu=False,
        )
        addresses = found.cluster_spec().as_dict()["worker"]
        # TensorFlow sorts the hosts by name (node10 before node9), SLURM numbers its tasks by its
        # own list: the place follows from the address instead.
        place = addresses.index(f"{os.environ['SLURMD_NODENAME']}:{base + own}")
    except (KeyError, ValueError, RuntimeError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise UsageError(
            f"strategy='multiworker': SLURM's variables do not tell the workers ({what}); start "
            "them with srun, or set TF_CONFIG."
        ) from error
    task = {"type": "worker", "index": place}
    return json.dumps({"cluster": {"worker": addresses}, "task": task})


@contextlib.contextmanager
def _limited(seconds: float) -> Iterator[None]:
    """Ends the process after so long, with one line.

    TensorFlow holds the global interpreter lock while its servers find each other, so that no
    thread of this process can notice who has been lost in this moment, or say so: a shell does.
    """
    line = (
        f"tfgan_ema: a worker was lost while the workers connected, {seconds:g} seconds ago. "
        f"{workers.REPEAT}"
    )
    wait = ["sh", "-c", 'sleep "$1"; echo "$2" >&2', "sh", str(seconds), line]
    speaker = subprocess.Popen(wait, stdout=subprocess.DEVNULL, start_new_session=True)
    with speaker, open(os.devnull, "w") as nowhere:
        faulthandler.dump_traceback_later(seconds + 1, exit=True, file=nowhere)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()
            os.killpg(speaker.pid, signal.SIGKILL)  # with its sleep


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
