"""The metrics by name: one function each, which scores `Statistics` of samples.

A function bears its metric's name. ``SPACE`` in it, and in the names of its scores, stands for the
feature space: there is one such metric for each. In the 2015 Inception's space alone ``fd`` and
``kd`` are called ``fid`` and ``kid``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from tfgan_ema.metrics import frechet, manifold, wasserstein
from tfgan_ema.metrics.classes import inception_score, mode_coverage
from tfgan_ema.metrics.features import SPACES
from tfgan_ema.metrics.kernel import kernel_distance_subsets
from tfgan_ema.metrics.statistics import Statistics

TRANSPORTED = 2048  # samples of either set in w1 and w2_squared, whose cost is cubic
CLASSIFIERS = [name for name, space in SPACES.items() if space.classes]


@dataclass(frozen=True)
class Metric:
    """A metric in one feature space.

    Attributes:
        function: from the samples' statistics and the reference's (or the true modes) to the
            scores of ``results``, or to the only one.
        results: the names of its scores.
        space: the feature space.
        samples: what it needs of the samples: ``"moments"`` or ``"features"``.
        reference: what it compares them with: the reference's ``"moments"``, ``"features"`` or
            ``"radii"``, the true ``"modes"``, or ``None``.
    """

    function: Callable[..., float | Iterable[float]]
    results: Sequence[str]
    space: str
    samples: str
    reference: str | None

    @property
    def compares(self) -> bool:
        """Whether it needs a reference set."""
        return self.reference not in (None, "modes")

    def __call__(self, samples: Statistics, reference: object) -> dict[str, float]:
        """The scores by name."""
        scores = self.function(samples, reference)
        scores = [scores] if isinstance(scores, float) else scores
        return dict(zip(self.results, map(float, scores), strict=True))


METRICS: dict[str, Metric] = {}


def metric(
    *results: str,
    samples: str = "features",
    reference: str | None = "features",
    spaces: Iterable[str] = SPACES,
) -> Callable[[Callable], Callable]:
    """A decorator that adds a function to `METRICS`; see `Metric` for the arguments.

    Without ``results`` the function gives one score of its own name.
    """

    def register(function: Callable) -> Callable:
        for space in spaces:
            name, *named = (_named(each, space) for each in (function.__name__, *results))
            METRICS[name] = Metric(function, named or [name], space, samples, reference)
        return function

    return register


def _named(name: str, space: str) -> str:
    name = name.replace("SPACE", space)
    return name.replace("fd_inception", "fid").replace("kd_inception", "kid")


@metric(samples="moments", reference="moments")
def fd_SPACE(samples: Statistics, reference: Statistics) -> float:
    """The Frechet distance."""
    return frechet.distance(samples.gaussian(), reference.gaussian())


@metric("kd_SPACE", "kd_SPACE_std")
def kd_SPACE(samples: Statistics, reference: Statistics) -> tuple[float, float]:
    """The kernel distance, mean and deviation over 100 subsets of 1,000."""
    size = min(1000, samples.count, reference.count)
    return kernel_distance_subsets(reference.features, samples.features, size=size)


@metric(reference="moments")
def fd_SPACE_infinity(samples: Statistics, reference: Statistics) -> float:
    """The Frechet distance, extrapolated to infinitely many samples."""
    return frechet.fid_infinity(samples.features, reference.gaussian())


@metric("fd_SPACE_low", "fd_SPACE_high", reference="moments")
def fd_SPACE_interval(samples: Statistics, reference: Statistics) -> tuple[float, float]:
    """A 95 % bootstrap interval of the Frechet distance."""
    return frechet.fid_bootstrap(samples.features, reference.gaussian())


@metric("precision_SPACE", "recall_SPACE", reference="radii")
def precision_recall_SPACE(samples: Statistics, reference: Statistics) -> Iterable[float]:
    """Improved precision and recall, k = 3."""
    sets = reference.features, samples.features
    return manifold.precision_recall(*sets, real_radii=reference.radii).values()


@metric("density_SPACE", "coverage_SPACE", reference="radii")
def density_coverage_SPACE(samples: Statistics, reference: Statistics) -> Iterable[float]:
    """Density and coverage, k = 5."""
    sets = reference.features, samples.features
    return manifold.density_coverage(*sets, real_radii=reference.radii).values()


@metric("nearest_ratio_SPACE", "copies_SPACE")
def nearest_real_SPACE(samples: Statistics, reference: Statistics) -> tuple[float, float]:
    """How near samples lie to the reference, as a search for copies."""
    nearest = manifold.nearest_real(reference.features, samples.features)
    return nearest.ratio, nearest.copies


@metric()
def swd_SPACE(samples: Statistics, reference: Statistics) -> float:
    """The sliced 2-Wasserstein distance."""
    return wasserstein.sliced_wasserstein(reference.features, samples.features)


@metric("is_SPACE", "is_SPACE_std", reference=None, spaces=CLASSIFIERS)
def is_SPACE(samples: Statistics, _: None) -> tuple[float, float]:
    """The Inception Score by a classifier's probabilities."""
    return inception_score(samples.probabilities)


@metric(spaces=["points"])
def w1(samples: Statistics, reference: Statistics) -> float:
    """The 1-Wasserstein distance of 2,048 points."""
    sets = reference.features[:TRANSPORTED], samples.features[:TRANSPORTED]
    return wasserstein.wasserstein_1(*sets)


@metric(spaces=["points"])
def w2_squared(samples: Statistics, reference: Statistics) -> float:
    """The squared 2-Wasserstein distance of 2,048 points."""
    sets = reference.features[:TRANSPORTED], samples.features[:TRANSPORTED]
    return wasserstein.squared_wasserstein_2(*sets)


@metric("modes", "high_quality", "mode_kl", reference="modes", spaces=["points"])
def modes(samples: Statistics, known: tuple) -> Iterable[float]:
    """How well points cover a mixture of known modes, given as (centres, standard deviation)."""
    return mode_coverage(samples.features, *known).values()
