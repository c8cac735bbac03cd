"""Scores a sampler against a reference set: the metrics by name, one pass over the samples."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from tfgan_ema import data
from tfgan_ema.cache import cache_dir
from tfgan_ema.data import mixtures
from tfgan_ema.data.source import Source
from tfgan_ema.errors import UsageError, unknown
from tfgan_ema.metrics import features, frechet, manifold, statistics
from tfgan_ema.metrics.classifier_score import inception_score
from tfgan_ema.metrics.density import density_coverage
from tfgan_ema.metrics.kernel import kernel_distance_subsets
from tfgan_ema.metrics.memorisation import nearest_real
from tfgan_ema.metrics.modes import mode_coverage
from tfgan_ema.metrics.precision import precision_recall
from tfgan_ema.metrics.statistics import Collector, Statistics
from tfgan_ema.metrics.uncertainty import fid_bootstrap, fid_infinity
from tfgan_ema.metrics.wasserstein import sliced_wasserstein, squared_wasserstein_2, wasserstein_1

Sampler = Callable[[int, int], np.ndarray]  # (count, seed) -> uint8 images or float32 points
Modes = tuple[np.ndarray, float]  # centres [k, d], standard deviation

TRANSPORTED = 2048  # samples of either set in w1 and w2_squared, whose cost is cubic
MIXTURES = {
    "ring": (mixtures.ring_centers(), 0.01),
    "grid": (mixtures.grid_centers(), 0.2),
}


@dataclasses.dataclass(frozen=True)
class Metric:
    """A metric by name.

    Attributes:
        space: the feature space it looks at.
        generated: what it needs of the samples: ``moments``, ``features`` or ``probabilities``.
        real: what it compares them with: the reference's ``moments`` or ``features``, the true
            ``modes``, or ``None``.
        score: (generated, real if any) -> numbers by name.
        k: the neighbour to which it needs the distances within the reference; 0 for none.
    """

    space: str
    generated: str
    real: str | None
    score: Callable[..., dict[str, float]]
    k: int = 0

    @property
    def compares(self) -> bool:
        """Whether it needs a reference set."""
        return self.real in ("moments", "features")


def _frechet(name: str, generated: Statistics, real: Statistics) -> dict[str, float]:
    return {name: frechet.distance(generated.gaussian(), real.gaussian())}


def _infinity(name: str, generated: Statistics, real: Statistics) -> dict[str, float]:
    return {name: fid_infinity(generated.features, real.gaussian())}


def _interval(name: str, generated: Statistics, real: Statistics) -> dict[str, float]:
    low, high = fid_bootstrap(generated.features, real.gaussian())
    return {f"{name}_low": low, f"{name}_high": high}


def _kernel(name: str, generated: Statistics, real: Statistics) -> dict[str, float]:
    size = min(1000, generated.count, real.count)
    mean, std = kernel_distance_subsets(real.features, generated.features, size=size)
    return {name: mean, f"{name}_std": std}


def _inception_score(name: str, generated: Statistics) -> dict[str, float]:
    mean, std = inception_score(generated.probabilities)
    return {name: mean, f"{name}_std": std}


def _manifold(
    function: Callable[..., Mapping[str, float]],
    k: int,
    space: str,
    generated: Statistics,
    real: Statistics,
) -> dict[str, float]:
    scores = function(real.features, generated.features, k=k, real_radii=real.radii[k])
    return {f"{name}_{space}": value for name, value in scores.items()}


def _nearest_real(space: str, generated: Statistics, real: Statistics) -> dict[str, float]:
    found = nearest_real(real.features, generated.features)
    return {f"nearest_ratio_{space}": found.ratio, f"copies_{space}": found.copies}


def _sliced(name: str, generated: Statistics, real: Statistics) -> dict[str, float]:
    return {name: sliced_wasserstein(real.features, generated.features)}


def _transport(
    function: Callable[..., float], name: str, generated: Statistics, real: Statistics
) -> dict[str, float]:
    return {name: function(real.features[:TRANSPORTED], generated.features[:TRANSPORTED])}


def _modes(generated: Statistics, modes: Modes) -> dict[str, float]:
    return mode_coverage(generated.features, *modes)


def _in_space(space: str) -> dict[str, Metric]:
    """The metrics of one feature space; only the 2015 Inception's go by their short names."""
    fid, kid = ("fid", "kid") if space == "inception" else (f"fd_{space}", f"kd_{space}")
    table = {
        fid: ("moments", "moments", _frechet, fid),
        kid: ("features", "features", _kernel, kid),
        f"{fid}_infinity": ("features", "moments", _infinity, f"{fid}_infinity"),
        f"{fid}_interval": ("features", "moments", _interval, fid),
        f"nearest_real_{space}": ("features", "features", _nearest_real, space),
        f"swd_{space}": ("features", "features", _sliced, f"swd_{space}"),
    }  # fmt: skip
    if features.SPACES[space].classes:
        table[f"is_{space}"] = ("probabilities", None, _inception_score, f"is_{space}")
    found = {
        name: Metric(space, generated, real, functools.partial(*score))
        for name, (generated, real, *score) in table.items()
    }
    for function, k in ((precision_recall, 3), (density_coverage, 5)):
        score = functools.partial(_manifold, function, k, space)
        found[f"{function.__name__}_{space}"] = Metric(space, "features", "features", score, k)
    return found


def _between_points(function: Callable[..., float], name: str) -> Metric:
    return Metric("points", "features", "features", functools.partial(_transport, function, name))


METRICS = {
    **{name: metric for space in features.SPACES for name, metric in _in_space(space).items()},
    "w1": _between_points(wasserstein_1, "w1"),
    "w2_squared": _between_points(squared_wasserstein_2, "w2_squared"),
    "modes": Metric("points", "features", "modes", _modes),
}


class Evaluator:
    """Scores samplers against one reference set; ``evaluator(sample_fn)`` gives numbers by name.

    The reference is prepared at the first call and kept, on disk under a hash of its contents.
    Every call draws the same seeds, so generators are compared on equal latents. Memory does not
    grow with the number of samples for Frechet distances; other metrics keep ``4 d`` bytes a
    sample and feature space (``d = 2048`` for inception and resnet50, 128 for the classifiers).
    """

    def __init__(
        self,
        metrics: Sequence[str] = ("fid",),
        reference: str | os.PathLike | Source | None = None,
        *,
        samples: int = 10_000,
        reference_samples: int | None = None,
        batch: int = 100,
        seed: int = 0,
        split: str = "train",
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
            samples: how many are drawn.
            reference_samples: how many of the reference set, evenly spread; ``None`` means all.
            batch: samples drawn and embedded at a time. Samples depend on it.
            seed: of the samples.
            split: of a reference given by name.
            modes: (centres, standard deviation) for ``modes``; ``None`` means those of the data
                sets ring and grid with their default options.
            device: where the networks run, such as ``cpu`` or ``gpu:0``; ``None`` leaves it to
                Keras.
            data_dir: the cache; ``None`` means `tfgan_ema.cache.cache_dir`.
            progress: whether to show progress bars on stderr.

        Raises:
            UsageError: an unknown metric, a number out of range, no reference, no such device.
        """
        if isinstance(metrics, str) or not metrics:
            raise UsageError(f"metrics {metrics!r}: expected a list of names such as ['fid'].")
        for name in metrics:
            if name not in METRICS:
                raise unknown("metric", name, METRICS)
        for name, value in (("samples", samples), ("reference_samples", reference_samples)):
            if value is not None and value < 2:
                raise UsageError(f"{name} {value}: expected at least 2.")
        if batch < 1:
            raise UsageError(f"batch {batch}: expected at least 1.")
        self.metrics = {name: METRICS[name] for name in metrics}
        compared = [name for name, metric in self.metrics.items() if metric.compares]
        if compared and reference is None:
            raise UsageError(f"{', '.join(compared)}: a reference set is missing.")
        self.reference, self.split = reference, split
        self.samples, self.reference_samples = samples, reference_samples
        self.batch, self.seed, self.modes = batch, seed, modes
        if "modes" in self.metrics and modes is None:
            self.modes = self._known_modes()
        self.device, self.data_dir, self.progress = _check_device(device), data_dir, progress
        self._reference: dict[str, Statistics] = {}
        self._kept: dict[str, Path] = {}  # where the cache keeps the reference of a space

    def __call__(self, sample_fn: Sampler) -> dict[str, float]:
        """Scores a sampler.

        Args:
            sample_fn: ``sample_fn(count, seed)`` gives uint8 images ``[count, h, w, c]`` or float
                points ``[count, d]``, always the same for the same arguments.

        Returns:
            Numbers by name; the names of image metrics carry their feature space.

        Raises:
            UsageError: samples of another kind than the metrics or the reference, NaN, too few.
        """
        with self._on_device():
            drawn = _drawn(sample_fn, self.seeds())
            generated = self._collect("samples", self.samples, drawn, self._needs("generated"))
        real = self.prepare(next(iter(generated.values())).shape)
        scores: dict[str, float] = {}
        for metric in self.metrics.values():
            if metric.real is None:
                scores |= metric.score(generated[metric.space])
            elif metric.real == "modes":
                scores |= metric.score(generated[metric.space], self.modes)
            else:
                scores |= metric.score(generated[metric.space], real[metric.space])
        return {name: float(value) for name, value in scores.items()}

    def prepare(self, shape: tuple[int, ...]) -> dict[str, Statistics]:
        """The reference's statistics by feature space, made where they are not there yet.

        Args:
            shape: of a sample.

        Raises:
            UsageError: the reference's samples have another shape.
        """
        with self._on_device():
            real = {
                space: self._real(space, needs, shape)
                for space, needs in self._needs("real").items()
            }
        for metric in self.metrics.values():
            if metric.k:
                self._find_radii(real[metric.space], metric.k)
        return real

    def seeds(self) -> list[tuple[int, int]]:
        """The (count, seed) of each batch that is drawn."""
        starts = range(0, self.samples, self.batch)
        drawn = np.random.SeedSequence(self.seed).generate_state(len(starts), np.uint32)
        return [
            (min(self.batch, self.samples - start), int(seed >> 1))
            for start, seed in zip(starts, drawn, strict=True)
        ]

    def save_reference(self, path: str | os.PathLike) -> None:
        """Writes the reference's statistics, of all spaces used so far, as an npz file."""
        if not self._reference:
            raise UsageError("no reference statistics yet: evaluate first.")
        statistics.save(Path(path), list(self._reference.values()))

    def _needs(self, side: str) -> dict[str, set[str]]:
        """By feature space, what the metrics need of the ``generated`` or the ``real`` samples."""
        needs: dict[str, set[str]] = {}
        for metric in self.metrics.values():
            if side == "generated" or metric.compares:
                needs.setdefault(metric.space, set()).add(getattr(metric, side))
        return needs

    def _collect(
        self,
        what: str,
        count: int,
        batches: Iterable[np.ndarray],
        needs: Mapping[str, set[str]],
    ) -> dict[str, Statistics]:
        collectors = {
            space: Collector(space, "features" in kinds, "probabilities" in kinds)
            for space, kinds in needs.items()
        }
        with tqdm(total=count, desc=what, unit=" samples", disable=not self.progress) as bar:
            for samples in batches:
                for collector in collectors.values():
                    collector.update(samples)
                bar.update(len(samples))
        return {space: collector.finish() for space, collector in collectors.items()}

    def _real(self, space: str, needs: set[str], shape: tuple[int, ...]) -> Statistics:
        """The reference's statistics in one space, from memory, a file, the cache, or images."""
        if space not in self._reference:
            from_file = isinstance(self.reference, str | os.PathLike) and str(
                self.reference
            ).endswith(".npz")
            self._reference[space] = (
                self._from_file(space, needs) if from_file else self._from_set(space, needs, shape)
            )
        real = self._reference[space]
        if real.shape != shape:
            raise UsageError(
                f"the samples have shape {shape} and the reference {real.shape}: bring the "
                "reference to the samples' size (image_size)."
            )
        return real

    def _from_file(self, space: str, needs: set[str]) -> Statistics:
        found = statistics.load(Path(self.reference), space)
        if "features" in needs and found.features is None:
            raise UsageError(
                f"{self.reference} holds moments alone: it serves Frechet distances; give the "
                "images for the other metrics."
            )
        return found

    def _from_set(self, space: str, needs: set[str], shape: tuple[int, ...]) -> Statistics:
        source = self._source(shape)
        indices = self._spread(source)
        digest = hashlib.sha256(f"{features.version(space)} {source.shape}".encode())
        for samples in _chunks(source, indices, 1000):
            digest.update(np.ascontiguousarray(samples))
        folder = cache_dir(self.data_dir) / "statistics"
        path = self._kept[space] = folder / f"{space}-{digest.hexdigest()[:32]}.npz"
        if path.exists():
            with contextlib.suppress(UsageError):  # a damaged file is made anew
                found = statistics.load(path, space)
                if found.features is not None or "features" not in needs:
                    return found
        batches = _chunks(source, indices, self.batch)
        found = self._collect(f"reference {space}", len(indices), batches, {space: needs})[space]
        statistics.save(path, [found])
        return found

    def _find_radii(self, real: Statistics, k: int) -> None:
        """Adds the radii for k, which are as slow to find as all else together, or reads them."""
        if k in real.radii:
            return
        kept = self._kept.get(real.space)
        path = kept and kept.with_name(f"{kept.stem}-k{k}.npz")
        found = statistics.load_radii(path, real.count) if path else None
        if found is None:
            found = manifold.radii(real.features, k)
            if path:
                statistics.save_radii(path, found)
        real.radii[k] = found

    def _source(self, shape: tuple[int, ...]) -> Source:
        if isinstance(self.reference, Source):
            return self.reference
        name = os.fspath(self.reference)
        if Path(name).is_dir():
            name = f"folder:{name}"
        options = {}
        if len(shape) == 3:
            options = {"image_size": shape[0], "channels": shape[2]}
        split = "train" if name.startswith("folder:") else self.split
        return data.load(name, split=split, data_dir=self.data_dir, **options)

    def _spread(self, source: Source) -> np.ndarray:
        count = source.count if self.reference_samples is None else self.reference_samples
        if count > source.count:
            raise UsageError(
                f"reference_samples {count}: the reference {source.name} has {source.count}."
            )
        return np.arange(count) * source.count // count

    def _known_modes(self) -> Modes:
        name = self.reference.name if isinstance(self.reference, Source) else str(self.reference)
        if name not in MIXTURES:
            raise UsageError(f"modes: those of {name} are not known: give modes=(centres, std).")
        centres, std = MIXTURES[name]
        if isinstance(self.reference, Source):
            points = self.reference.batch(np.arange(min(self.reference.count, 10_000)))[0]
            covered = mode_coverage(points, centres, std)
            if covered["high_quality"] < 0.9:
                raise UsageError(
                    f"modes: this {name} has other options than the default: give "
                    "modes=(centres, std)."
                )
        return centres, std

    @contextlib.contextmanager
    def _on_device(self) -> Iterator[None]:
        if self.device is None:
            yield
            return
        import keras

        with keras.device(self.device):
            yield


def _drawn(sample_fn: Sampler, seeds: Iterable[tuple[int, int]]) -> Iterator[np.ndarray]:
    for count, seed in seeds:
        samples = np.asarray(sample_fn(count, seed))
        if len(samples) != count:
            raise UsageError(f"the sampler gave {len(samples)} samples where {count} were asked.")
        yield samples


def _chunks(source: Source, indices: np.ndarray, size: int) -> Iterator[np.ndarray]:
    for start in range(0, len(indices), size):
        yield source.batch(indices[start : start + size])[0]


def _check_device(device: str | None) -> str | None:
    if device in (None, "auto"):
        return None
    kind, _, index = device.partition(":")
    if kind not in ("cpu", "gpu", "tpu") or not (index or "0").isdecimal():
        raise UsageError(f"device {device!r}: expected cpu, gpu or tpu, or such as gpu:1.")
    import keras

    here = keras.distribution.list_devices(kind)
    if int(index or 0) >= len(here):
        raise UsageError(f"device {device!r}: this machine has {len(here)} of kind {kind}.")
    return f"{kind}:{index or 0}"
