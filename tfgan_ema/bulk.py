"""Many samples of a run or of an exported model, in shards that can be drawn anywhere.

A sample depends on the model, the seed and its place alone, not on the number of processes, nor on
when they were interrupted. Shards that are in the folder are not drawn again.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tfgan_ema import files, processes, progress, reading, remote
from tfgan_ema.data import shards
from tfgan_ema.errors import UsageError, checked_seed, one_of, whole

SHARD = 1024  # samples, a multiple of `sampling.CHUNK`
RECORD = "samples.json"  # what the samples of a folder are of


def draw(
    out: Path,
    origin: Mapping[str, Any],
    count: int,
    seed: int = 0,
    *,
    kind: str = "png",
    cluster: str | None = None,
    gpus: float = 0.0,
) -> None:
    """Draws samples into a folder; what is there already is kept.

    Args:
        out: the folder. The processes that draw need not see it: samples come back to this one.
        origin: ``workdir`` with ``step``, ``average`` and ``truncation`` of a run, or ``model``,
            the folder of an exported one; and ``label``, a class or ``None``. Both are read by
            every process that draws.
        count: how many.
        seed: equal seeds give equal samples. Those of a run are `GAN.sample`'s; of an exported
            model, each shard has a seed that follows from this one.
        kind: one of `shards.FORMATS`.
        cluster: draws on Ray, see `remote.connected`; else a process for each core draws.
        gpus: how much of a GPU a process takes there.

    Raises:
        UsageError: a value out of range, or a folder with other samples.
    """
    count, seed = whole("count", count), checked_seed(seed)
    kind = one_of("format", kind, shards.FORMATS)
    record = {"origin": dict(origin), "count": count, "seed": seed, "format": kind, "shard": SHARD}
    record = json.loads(json.dumps(record))
    path = out / RECORD
    with files.claim(out):
        if path.exists():
            with reading.refusing(f"{path} is damaged", "name another folder."):
                known = reading.json_value(path)
            if known != record:
                differ = [key for key in record if known.get(key) != record[key]]
                raise UsageError(
                    f"out={out} holds other samples ({', '.join(differ)} differ): name another "
                    "folder, or repeat the command that began it."
                )
        elif any(not files.is_hidden(each) for each in out.iterdir()):
            raise UsageError(f"out={out} holds other files: name a new folder.")
        files.write_text(path, json.dumps(record, indent=1) + "\n")
        files.clear_leftovers(out)
        missing = {call.name: call for call in _calls(out, record)}
        for name, contents in _drawn(missing, cluster, gpus):
            for file, content in zip(_files(record, name), contents, strict=True):
                with files.replacing(out / file) as temporary:
                    temporary.write_bytes(content)


def _calls(out: Path, record: Mapping[str, Any]) -> Iterator[remote.Call]:
    """The shards of which something is missing."""
    for first in range(0, record["count"], SHARD):
        name = f"shard {first // SHARD}"
        if not all((out / file).exists() for file in _files(record, name)):
            place = {"first": first, "rows": min(SHARD, record["count"] - first)}
            own = {"origin": record["origin"], "seed": record["seed"], "kind": record["format"]}
            yield remote.Call(name, own | place)


def _files(record: Mapping[str, Any], name: str) -> list[str]:
    number, count = int(name.split()[1]), record["count"]
    first = number * SHARD
    rows = min(SHARD, count - first)
    return shards.names(record["format"], first, rows, number, -(-count // SHARD))


def _drawn(
    missing: Mapping[str, remote.Call], cluster: str | None, gpus: float
) -> Iterator[tuple[str, list[bytes]]]:
    """The contents of the files of shards, by name, as they are ready."""
    if not missing:
        return
    function, calls = f"{__name__}:shard", missing.values()
    if cluster:
        with remote.connected(cluster):
            drawn = remote.results(function, calls, gpus=gpus)
            yield from progress.track(drawn, "shards", len(missing))
    else:
        # One thread draws a shard, as on a cluster: how many do moves the last bits of a sample.
        drawn = processes.results(function, calls, os.cpu_count() or 1)
        yield from progress.track(drawn, "shards", len(missing))


def shard(origin: Mapping[str, Any], seed: int, kind: str, first: int, rows: int) -> list[bytes]:
    """Draws a shard; the contents of its files."""
    return shards.encoded(kind, _sampler(json.dumps(origin))(first, rows, seed), first)


@functools.lru_cache(1)
def _sampler(origin: str) -> Callable[[int, int, int], np.ndarray]:
    """``draw(first, rows, seed)`` of a model, which is loaded once in a process."""
    of = json.loads(origin)
    if "model" in of:
        from tfgan_ema import export  # needs TensorFlow

        model = export.load_generator(of["model"])

        def ask(first: int, rows: int, seed: int) -> np.ndarray:
            own = np.random.SeedSequence([abs(seed), seed < 0, first]).generate_state(1, np.uint64)
            labels = {} if of["label"] is None else {"labels": [of["label"]] * rows}
            return model.sample(rows, int(own[0] >> 1), **labels)

        return ask
    from tfgan_ema import runs, sampling

    gan = runs.load_run(of["workdir"], of["step"])
    chosen = {"average": of["average"], "truncation": of["truncation"]}

    def draw(first: int, rows: int, seed: int) -> np.ndarray:
        labels = None if of["label"] is None else [of["label"]] * rows
        return sampling.part(gan, first, rows, seed, labels=labels, **chosen)

    return draw
