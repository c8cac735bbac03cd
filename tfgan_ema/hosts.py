"""Training on workers that Ray places on hosts, and starts again when one of them is lost.

Each worker is a process of ``tfgan-ema train --strategy=multiworker``. The workers watch each other
(see `workers`), so a worker that is killed or stopped ends the others; then all start again and
resume at the latest checkpoint. Plain tasks of Ray do this: Ray Train would notice processes that
end, but not one that is stopped, and runs training in a thread, which `workers` could not end.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tfgan_ema import checkpoint, remote
from tfgan_ema.errors import UsageError, WorkerLost, say
from tfgan_ema.workers import GRACE, REPEAT, SILENCE

ATTEMPTS = 5  # starts in a row without a new checkpoint
_PASSED_ON = ("KERAS_", "OMP_", "TF_", "TFGAN_", "XLA_")  # variables of the workers


def train(
    words: Sequence[str], workdir: Path, workers: int, cluster: str, gpus: float = 0.0
) -> None:
    """Trains on several hosts until the run is complete.

    Args:
        words: flags of ``tfgan-ema train``, without the strategy.
        workdir: of the run, a folder that all hosts see.
        workers: how many.
        cluster: see `remote.connected`.
        gpus: GPUs of a worker.

    Raises:
        UsageError: the workers refuse to train.
        WorkerLost: they were started again and again and made no new checkpoint.
    """
    with remote.connected(cluster, max(workers, os.cpu_count() or 1)):
        from ray.util import placement_group, remove_placement_group

        bundle = {"CPU": 1, **({"GPU": gpus} if gpus else {})}
        group = placement_group([bundle] * workers, strategy="SPREAD")
        if not group.wait(remote.PATIENCE):
            raise UsageError(
                f"workers={workers}: the cluster has no room for them; start fewer, or add hosts."
            )
        try:
            _until_done(words, workdir, group, workers, gpus)
        finally:
            remove_placement_group(group)


def _until_done(words: Sequence[str], workdir: Path, group: Any, workers: int, gpus: float) -> None:
    latest, attempts = _latest(workdir), 0
    while True:
        ended = _attempt(words, group, workers, gpus)
        if all(code == 0 for code, _ in ended):
            return
        for code, line in ended:
            if code == 2:
                raise UsageError(line)
        lines = [line for _, line in ended if line]
        attempts = 1 if _latest(workdir) != latest else attempts + 1
        latest = _latest(workdir)
        why = lines[0].removesuffix(REPEAT).strip() if lines else "a worker was lost."
        if attempts >= ATTEMPTS:
            raise WorkerLost(f"{why} (No new checkpoint in {attempts} starts.)")
        say(f"{why} Starting again at checkpoint {latest}.")


def _latest(workdir: Path) -> int | None:
    return max(checkpoint.checkpoints(workdir / "checkpoints"), default=None)


def _attempt(words: Sequence[str], group: Any, workers: int, gpus: float) -> list[tuple[int, str]]:
    """Starts all workers and waits for their end; the exit code and the last line of each."""
    import ray
    from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

    def placed(function: Any, place: int) -> Any:
        strategy = PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=place)
        options = {"num_cpus": 1, "num_gpus": gpus, "max_retries": 0}
        return ray.remote(function).options(scheduling_strategy=strategy, **options)

    try:
        addresses = ray.get([placed(_address, place).remote() for place in range(workers)])
    except ray.exceptions.RayError:
        return [(1, "")]
    setting = {k: v for k, v in os.environ.items() if k.startswith(_PASSED_ON)}
    setting["PYTHONPATH"] = os.pathsep.join(sys.path)
    running = {}
    for place in range(workers):
        task = {"type": "worker", "index": place}
        setting["TF_CONFIG"] = json.dumps({"cluster": {"worker": addresses}, "task": task})
        running[placed(_work, place).remote([*words], dict(setting))] = place
    ended, deadline = {}, float("inf")
    while running:
        for reference in ray.wait([*running], timeout=1.0)[0]:
            place = running.pop(reference)
            try:
                ended[place] = ray.get(reference)
            except ray.exceptions.RayError:
                ended[place] = (1, "")
            if ended[place][0]:  # the others notice it themselves, but for one that is stopped
                deadline = min(deadline, time.monotonic() + SILENCE + 2 * GRACE)
        if time.monotonic() > deadline:
            for reference in running:
                ray.cancel(reference, force=True)
    return [ended[place] for place in sorted(ended)]


def _address() -> str:
    """This host, with a port that is free."""
    import ray

    with socket.create_server(("", 0)) as free:
        return f"{ray.util.get_node_ip_address()}:{free.getsockname()[1]}"


def _work(words: Sequence[str], setting: Mapping[str, str]) -> tuple[int, str]:
    """Runs a worker; its exit code and the last line that it wrote to stderr."""
    command = [sys.executable, "-m", "tfgan_ema.cli.main", "train", *words]
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            [*command, "--strategy=multiworker"],
            env={**os.environ, **setting},
            stdout=subprocess.DEVNULL,
            stderr=errors,
            preexec_fn=_end_with_parent,
        )
        code = process.wait()
        errors.seek(0)
        lines = errors.read().decode(errors="replace").strip().splitlines() or [""]
    return code, lines[-1].partition(": ")[2]


def _end_with_parent() -> None:
    """Lets Linux kill this process, be it stopped, when the one that started it ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
