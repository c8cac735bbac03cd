"""Statistics of many samples from shards of them, which other processes draw and embed."""

from __future__ import annotations

import functools
import importlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tfgan_ema import files, processes, reading, remote
from tfgan_ema.data.source import Source
from tfgan_ema.errors import UsageError
from tfgan_ema.metrics import statistics
from tfgan_ema.metrics.frechet import Moments
from tfgan_ema.metrics.reference import batches
from tfgan_ema.metrics.statistics import Statistics

BATCHES = 10  # of a shard
_ARRAYS = ("mean", "covariance", "features", "probabilities")

Sampler = Callable[[int, int], np.ndarray]


class Drawn(NamedTuple):
    """Samples that other processes can draw too.

    Attributes:
        function: ``"module:function"``; called with the arguments, it gives a sampler or a data
            set, see `Evaluator`.
        arguments: as JSON holds them.
    """

    function: str
    arguments: Mapping[str, Any]

    def make(self) -> Sampler | Source:
        """The sampler or the data set."""
        return _made(self.function, json.dumps(self.arguments))


@functools.lru_cache(1)
def _made(function: str, arguments: str) -> Sampler | Source:
    module, _, name = function.partition(":")
    return getattr(importlib.import_module(module), name)(**json.loads(arguments))


def collect(
    drawn: Drawn,
    seeds: Sequence[tuple[int, int]],
    spaces: Sequence[str],
    cluster: str | None,
    folder: Path | None = None,
    gpus: float = 0.0,
    workers: int | None = None,
) -> dict[str, Statistics]:
    """The statistics of samples by feature space, as `statistics.collect` gives them.

    Args:
        drawn: the samples.
        seeds: the (count, seed) of each batch; of a data set, (count, first index).
        spaces: feature spaces.
        cluster: where the shards are drawn, see `remote.connected`; ``None``: on this machine.
        folder: keeps the statistics of shards, so that only those that are missing are computed.
        gpus: how much of a GPU a shard takes.
        workers: processes of this machine, or CPUs of a local cluster.

    Raises:
        UsageError: a shard failed, which is named, or the folder holds shards of other samples.
    """
    shared = {"drawn": tuple(drawn), "spaces": [*spaces]}
    calls = {
        f"shard {i}": {**shared, "seeds": [*map(list, own)]} for i, own in enumerate(split(seeds))
    }
    found = {}
    if folder:
        _check(folder, json.loads(json.dumps({**shared, "seeds": seeds})))
        found = {name: _read(folder / f"{name}.npz") for name in calls}
        found = {name: parts for name, parts in found.items() if parts}
    missing = [remote.Call(name, call) for name, call in calls.items() if name not in found]
    for name, parts in _computed(missing, cluster, gpus, workers) if missing else ():
        found[name] = parts
        if folder:
            _write(folder / f"{name}.npz", parts)
    ordered = [found[name] for name in calls]
    return {space: merged([parts[space] for parts in ordered]) for space in spaces}


def _computed(
    calls: Sequence[remote.Call], cluster: str | None, gpus: float, workers: int | None
) -> Iterator[tuple[str, dict[str, Statistics]]]:
    """Shards as they are ready."""
    function = f"{__name__}:part"
    if cluster is None:
        yield from processes.results(function, calls, min(workers or 1, len(calls)))
    else:
        with remote.connected(cluster, workers):
            yield from remote.results(function, calls, gpus=gpus)


def split(seeds: Sequence[tuple[int, int]]) -> list[Sequence[tuple[int, int]]]:
    """The batches of each shard; a last one of a single sample, without a covariance, joins."""
    starts = [*range(0, len(seeds), BATCHES)]
    if len(starts) > 1 and sum(count for count, _ in seeds[starts[-1] :]) < 2:
        starts.pop()
    ends = [*starts[1:], len(seeds)]
    return [seeds[start:end] for start, end in zip(starts, ends, strict=True)]


def part(
    drawn: Sequence[Any], spaces: Sequence[str], seeds: Sequence[tuple[int, int]]
) -> dict[str, Statistics]:
    """The statistics of a shard."""
    samples = Drawn(*drawn).make()

    def draw() -> Iterator[np.ndarray]:
        for count, seed in seeds:
            if isinstance(samples, Source):
                yield from batches(samples, np.arange(seed, seed + count), count, "", show=False)
            else:
                yield np.asarray(samples(count, seed))

    return statistics.collect(draw(), dict.fromkeys(spaces, True))


def merged(parts: Sequence[Statistics]) -> Statistics:
    """The statistics of all samples of some sets, in their order."""
    seen = Moments.merged([Moments.of(each.count, each.mean, each.covariance) for each in parts])
    first = parts[0]
    kept = {
        name: None
        if getattr(first, name) is None
        else np.concatenate([getattr(each, name) for each in parts])
        for name in ("features", "probabilities")
    }
    return Statistics(
        first.space, first.version, first.shape, seen.count, seen.mean, seen.covariance, **kept
    )


def _check(folder: Path, record: Mapping[str, Any]) -> None:
    """Claims a folder for the shards of some samples, or finds that it is theirs."""
    path = folder / "shards.json"
    if path.exists():
        with reading.refusing(f"{path} is damaged", "name another folder."):
            known = reading.json_value(path)
        if known != record:
            raise UsageError(f"shards={folder} holds shards of other samples: name another folder.")
    else:
        files.write_text(path, json.dumps(record) + "\n")


def _write(path: Path, parts: Mapping[str, Statistics]) -> None:
    notes = {s: [p.version, list(p.shape), p.count] for s, p in parts.items()}
    arrays = {f"{space}/{name}": getattr(p, name) for space, p in parts.items() for name in _ARRAYS}
    kept = {name: array for name, array in arrays.items() if array is not None}
    with files.replacing(path) as temporary, temporary.open("wb") as stream:
        np.savez(stream, notes=json.dumps(notes), **kept)


def _read(path: Path) -> dict[str, Statistics] | None:
    if not path.exists():
        return None
    with reading.refusing(f"{path} is damaged", "delete it, the shard is computed again."):
        stored = reading.arrays(path)
        return {
            space: Statistics(
                space, version, tuple(shape), count,
                **{name: stored.get(f"{space}/{name}") for name in _ARRAYS},
            )
            for space, (version, shape, count) in json.loads(str(stored["notes"])).items()
        }  # fmt: skip
