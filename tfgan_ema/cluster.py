"""Who trains together: the cluster of ``TF_CONFIG``."""

from __future__ import annotations

import json
from typing import NamedTuple

from tfgan_ema.errors import UsageError

JOBS = ("chief", "worker")  # in the order of their places


class Cluster(NamedTuple):
    """The tasks that train together, as names and addresses, and which of them this process is."""

    names: tuple[str, ...]
    addresses: tuple[str, ...]
    place: int

    def title(self, place: int) -> str:
        """A task as users are told of it: ``worker 1 (10.0.0.2:12345)``."""
        return f"{self.names[place]} ({self.addresses[place]})"


def read(text: str | None) -> Cluster:
    """The cluster of the environment variable ``TF_CONFIG``.

    Raises:
        UsageError: it is missing, or does not say who trains and which of them this process is.
    """
    example = '{"cluster": {"worker": ["HOST:PORT", ...]}, "task": {"type": "worker", "index": 0}}'
    if not text:
        raise UsageError(
            "strategy='multiworker': the environment variable TF_CONFIG (cluster and task) is not "
            f"set; set it for each worker to {example}, or use strategy='mirrored'."
        )
    try:
        value = json.loads(text)
        jobs, task = value["cluster"], value["task"]
        kind, index = task["type"], task["index"]
        tasks = [(job, i, str(at)) for job in JOBS for i, at in enumerate(jobs.get(job, ()))]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else "it has another form"
        what = "it is no JSON" if isinstance(error, json.JSONDecodeError) else what
        raise UsageError(f"TF_CONFIG={text!r}: {what}; expected {example}.") from error
    addresses = tuple(address for _, _, address in tasks)
    for address in addresses:
        host, _, port = address.rpartition(":")
        if not (host and port.isdecimal() and 0 < int(port) < 65536):
            raise UsageError(f"TF_CONFIG: the address {address!r}: expected HOST:PORT.")
        if addresses.count(address) > 1:
            raise UsageError(f"TF_CONFIG: {address} stands there twice; give each task its own.")
    own = [place for place, known in enumerate(tasks) if known[:2] == (kind, index)]
    if not own:
        known = ", ".join(f"{job} {i}" for job, i, _ in tasks) or "none"
        raise UsageError(f"TF_CONFIG: the task {kind} {index} is not of the cluster: {known}.")
    return Cluster(tuple(f"{job} {i}" for job, i, _ in tasks), addresses, own[0])
