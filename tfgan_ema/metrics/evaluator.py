"""Scores a sampler against a reference set: metrics by name, one pass over the samples."""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np

from tfgan_ema.data import mixtures
from tfgan_ema.data.source import Source
from tfgan_ema.errors import UsageError, one_of, whole
from tfgan_ema.metrics import features, sharded, statistics, wasserstein
from tfgan_ema.metrics.catalogue import METRICS, Metric
from tfgan_ema.metrics.classes import mode_coverage
from tfgan_ema.metrics.reference import Reference, batches, check_reference, unseen
from tfgan_ema.metrics.report import Measured, measure
from tfgan_ema.metrics.sharded import Drawn
from tfgan_ema.metrics.statistics import Statistics
from tfgan_ema.progress import track

Sampler = Callable[[int, int], np.ndarray]  # (count, seed) -> uint8 images or float32 points
Modes = tuple[np.ndarray, float]  # centres [k, d], standard deviation

MIXTURES = {
    "ring": (mixtures.ring_centers(), 0.01),
    "grid": (mixtures.grid_centers(), 0.2),
}


class Evaluator:
    """Scores samplers against one reference set; ``evaluator(sample_fn)`` gives numbers by name.

    The reference's statistics are computed at the first call and kept, on disk under a hash of its
    contents. Every call draws the same seeds, so generators are compared on equal latents. Memory
    is ``4 d`` bytes a sample and feature space (``d = 2048`` for inception and resnet50, 128 for
    the classifiers); of the reference, Frechet distances keep the moments alone.
    """

    def __init__(
        self,
        metrics: Sequence[str] = ("fid",),
        reference: str | os.PathLike | Source | None = None,
        *,
        samples: int | None = 10_000,
        reference_samples: int | None = None,
        batch: int = 100,
        seed: int = 0,
        split: str = "train",
        held_out: str | os.PathLike | Source | None = None,
        modes: Modes | None = None,
        device: str | None = None,
        data_dir: str | os.PathLike | None = None,
        progress: bool = False,
    ) -> None:
        """Creates the evaluator.

        Args:
            metrics: names in `METRICS`.
            reference: a `data.Source`, a name for `data.load`, a folder of images, or an npz file
                of statistics; ``None`` where no metric compares with a reference.
            samples: how many are scored; ``None`` means all of a data set.
            reference_samples: how many of the reference set, evenly spread; ``None`` means all.
            batch: samples drawn and embedded at a time. Samples depend on it.
            seed: of the samples.
            split: of a reference given by name.
            held_out: images that were not trained on, for ``fld``: as the reference, of whose split
                ``test`` they are unless given.
            modes: (centres, standard deviation) for ``modes``; ``None`` means those of the data
                sets ring and grid with their default options.
            device: where the networks run, such as ``cpu`` or ``gpu:0``; ``None`` leaves it to
                Keras.
            data_dir: the cache; ``None`` means `tfgan_ema.cache.cache_dir`.
            progress: whether to show a bar on stderr; while a run trains, its bar shows it anyway.

        Raises:
            UsageError: an unknown metric, a number out of range, no reference, no such device, or
                a package that is not installed.
        """
        if isinstance(metrics, str) or not isinstance(metrics, Sequence) or not metrics:
            raise UsageError(f"metrics {metrics!r}: expected a list of names such as ['fid'].")
        self.metrics = {one_of("metric", name, METRICS): METRICS[name] for name in metrics}
        samples = None if samples is None else whole("samples", samples, 2)
        batch = whole("batch", batch)
        if reference_samples is not None:
            reference_samples = whole("reference_samples", reference_samples, 2)
        seed = whole("seed", seed, 0, most=2**63 - 1)
        compared = [name for name, metric in self.metrics.items() if metric.compares]
        if compared and reference is None:
            raise UsageError(f"{', '.join(compared)}: a reference set is missing.")
        if compared:
            check_reference(reference, split)
        self.held_out: Reference | None = None
        if any(metric.reference == "held_out" for metric in self.metrics.values()):
            origin = unseen(reference, held_out)
            self.held_out = Reference(origin, None, batch, "test", data_dir, progress)
        if {"w1", "w2_squared"} & self.metrics.keys():
            wasserstein.import_pot()  # an error now rather than at the end
        self.samples, self.batch, self.seed = samples, batch, seed
        self.modes = _known_modes(reference) if "modes" in metrics and modes is None else modes
        self._on_device, self.progress = _checked_device(device), progress
        self.reference = Reference(reference, reference_samples, batch, split, data_dir, progress)

    def __call__(self, samples: Sampler | Source) -> dict[str, float]:
        """Scores a sampler, or the first samples of a data set.

        Args:
            samples: ``sample_fn(count, seed)`` that gives uint8 images ``[count, h, w, c]`` or
                float points ``[count, d]``, always the same for the same arguments; or a
                `data.Source`.

        Returns:
            Numbers by name; the names of image metrics carry their feature space.

        Raises:
            UsageError: samples of another kind than the metrics or the reference, NaN, too few.
        """
        scores: dict[str, float] = {}
        for metric, generated, known in self._collected(samples):
            found = metric(metric.first(generated), known)
            scores |= {name: score.value for name, score in found.items()}
        return scores

    def measure(
        self,
        samples: Sampler | Source | Drawn,
        *,
        cluster: str | None = None,
        shards: Path | None = None,
        gpus: float = 0.0,
        workers: int | None = None,
    ) -> dict[str, Measured]:
        """As a call, but each number comes with how far it can be trusted, see `Measured`.

        It takes about three times as long, without the networks.

        Args:
            samples: as for a call; with a cluster or workers, such as other processes can draw.
            cluster: draws and embeds shards of the samples on Ray, see `remote.connected`.
            shards: a folder that keeps what is known of each shard: what fails can be repeated
                alone.
            gpus: how much of a GPU a shard takes.
            workers: draws and embeds shards in that many processes of this machine, each on one
                thread; with ``cluster="local"`` they belong to Ray.
        """
        found: dict[str, Measured] = {}
        if cluster or workers:
            spaces = [*{metric.space: True for metric in self.metrics.values()}]
            seeds = self._places(samples.make())
            generated = sharded.collect(samples, seeds, spaces, cluster, shards, gpus, workers)
            references = self.prepare(generated[spaces[0]].shape)
            compared = self._compared(generated, references)
        else:
            compared = self._collected(samples)
        for collected in compared:
            found |= measure(*collected)
        return found

    def _collected(self, samples: Sampler | Source) -> Iterator[tuple[Metric, Statistics, Any]]:
        """Each metric with the statistics of the samples, and what it compares them with."""
        batches = self._batches(samples)
        first = next(batches)  # tells whether the reference fits, before all others are drawn
        spaces = {metric.space: True for metric in self.metrics.values()}
        for space in spaces:
            features.check_samples(space, first)
        references = self.prepare(first.shape[1:])
        with self._on_device():
            generated = statistics.collect(itertools.chain([first], batches), spaces)
        yield from self._compared(generated, references)

    def _compared(
        self, generated: dict[str, Statistics], references: dict[str, Statistics]
    ) -> Iterator[tuple[Metric, Statistics, Any]]:
        for metric in self.metrics.values():
            known = references.get(metric.space)
            if metric.reference == "held_out":
                known = known, self._unseen(metric.space, generated[metric.space].shape)
            elif metric.reference == "modes":
                known = self.modes
            yield metric, generated[metric.space], known

    def prepare(self, shape: tuple[int, ...]) -> dict[str, Statistics]:
        """The reference's statistics by feature space, computed where they are not there yet.

        Args:
            shape: of a sample.

        Raises:
            UsageError: the reference's samples have another shape.
        """
        needs: dict[str, set[str]] = {}
        for metric in self.metrics.values():
            if metric.compares:
                needs.setdefault(metric.space, set()).add(metric.reference)
        with self._on_device():
            found = {
                space: self.reference.statistics(space, shape, wanted)
                for space, wanted in needs.items()
            }
        for space, wanted in needs.items():
            if "held_out" in wanted:
                self._unseen(space, shape)
        return found

    def _unseen(self, space: str, shape: tuple[int, ...]) -> Statistics:
        with self._on_device():
            return self.held_out.statistics(space, shape, {"features"})

    def seeds(self) -> list[tuple[int, int]]:
        """The (count, seed) of each batch that is drawn."""
        starts = range(0, whole("samples", self.samples, 2), self.batch)
        seeds = np.random.SeedSequence(self.seed).generate_state(len(starts), np.uint32)
        return [
            (min(self.batch, self.samples - start), int(seed >> 1))
            for start, seed in zip(starts, seeds, strict=True)
        ]

    def save_reference(self, path: str | os.PathLike) -> None:
        """Writes the reference's statistics, of all spaces used so far, as an npz file."""
        if not self.reference.known:
            raise UsageError("no reference statistics yet: evaluate first.")
        statistics.save(Path(path), list(self.reference.known.values()))

    def _count(self, source: Source) -> int:
        count = self.samples or whole(f"samples of {source.name}", source.count, 2)
        if count > source.count:
            raise UsageError(f"samples {count}: {source.name} has {source.count}.")
        return count

    def _places(self, samples: Sampler | Source) -> list[tuple[int, int]]:
        """The (count, seed) of each batch, or the (count, first index) of a data set's."""
        if not isinstance(samples, Source):
            return self.seeds()
        count = self._count(samples)
        starts = range(0, count, self.batch)
        return [(min(self.batch, count - start), start) for start in starts]

    def _batches(self, samples: Sampler | Source) -> Iterator[np.ndarray]:
        if isinstance(samples, Source):
            rows = np.arange(self._count(samples))
            yield from batches(samples, rows, self.batch, "samples", show=self.progress)
            return
        seeds = self.seeds()
        for count, seed in track(seeds, "samples", len(seeds), show=self.progress):
            batch = np.asarray(samples(count, seed))
            if len(batch) != count:
                raise UsageError(f"the sampler gave {len(batch)} samples where {count} were asked.")
            yield batch


def _known_modes(reference: str | os.PathLike | Source | None) -> Modes:
    name = reference.name if isinstance(reference, Source) else str(reference)
    if name not in MIXTURES:
        raise UsageError(f"the modes of {name} are not known: give modes=(centres, std).")
    if isinstance(reference, Source):
        points = reference.batch(np.arange(min(reference.count, 10_000)))[0]
        if mode_coverage(points, *MIXTURES[name])["high_quality"] < 0.9:
            raise UsageError(
                f"modes: this {name} has other options than the default: give modes=(centres, std)."
            )
    return MIXTURES[name]


def _checked_device(device: str | None) -> Callable[[], AbstractContextManager]:
    """What makes a context in which networks run on a device."""
    if device in (None, "auto"):
        return contextlib.nullcontext
    kind, _, index = str(device).partition(":")
    if kind not in ("cpu", "gpu", "tpu") or not (index or "0").isdecimal():
        raise UsageError(f"device {device!r}: expected cpu, gpu or tpu, or such as gpu:1.")
    import keras

    devices = keras.distribution.list_devices(kind)
    if int(index or 0) >= len(devices):
        raise UsageError(f"device {device!r}: this machine has {len(devices)} of kind {kind}.")
    return functools.partial(keras.device, f"{kind}:{index or 0}")
