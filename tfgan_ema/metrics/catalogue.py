"""The metrics by name: one function each, which scores `Statistics` of samples.

A function bears its metric's name. ``SPACE`` in it, and in the names of its results, stands for the
feature space: there is one such metric for each. In the 2015 Inception's space alone ``fd`` and
``kd`` are called ``fid`` and ``kid``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from tfgan_ema.metrics import frechet, manifold, wasserstein
from tfgan_ema.metrics.classes import inception_score, mode_coverage
from tfgan_ema.metrics.features import SPACES
from tfgan_ema.metrics.kernel import kernel_distance_subsets
from tfgan_ema.metrics.statistics import Statistics

TRANSPORTED = 2048  # samples of either set in w1 and w2_squared, whose cost is cubic
CLASSIFIERS = [name for name, space in SPACES.items() if space.classes]

Scores = dict[str, float]


@dataclass(frozen=True)
class Metric:
    """A metric in one feature space.

    Attributes:
        function: from the samples' statistics and the reference's (or the true modes) to scores.
        space: the feature space.
        samples: what it needs of the samples: ``"moments"`` or ``"features"``.
        reference: what it compares them with: the reference's ``"moments"``, ``"features"`` or
            ``"radii"``, the true ``"modes"``, or ``None``.
    """

    function: Callable[..., Scores]
    space: str
    samples: str
    reference: str | None

    @property
    def compares(self) -> bool:
        """Whether it needs a reference set."""
        return self.reference not in (None, "modes")

    def __call__(self, samples: Statistics, reference: object) -> Scores:
        """The scores, named for the space."""
        scores = self.function(samples, reference)
        return {_named(name, self.space): float(value) for name, value in scores.items()}


METRICS: dict[str, Metric] = {}


def metric(
    samples: str = "features", reference: str | None = "features", spaces: Iterable[str] = SPACES
) -> Callable:
    """A decorator that adds a function to `METRICS`; see `Metric` for the arguments."""

    def register(function: Callable[..., Scores]) -> Callable[..., Scores]:
        for space in spaces:
            name = _named(function.__name__, space)
            METRICS[name] = Metric(function, space, samples, reference)
        return function

    return register


def _named(name: str, space: str) -> str:
    name = name.replace("SPACE", space)
    return name.replace("fd_inception", "fid").replace("kd_inception", "kid")


def _in_space(scores: Mapping[str, float]) -> Scores:
    return {f"{name}_SPACE": value for name, value in scores.items()}


@metric(samples="moments", reference="moments")
def fd_SPACE(samples: Statistics, reference: Statistics) -> Scores:
    """The Frechet distance."""
    return {"fd_SPACE": frechet.distance(samples.gaussian(), reference.gaussian())}


@metric()
def kd_SPACE(samples: Statistics, reference: Statistics) -> Scores:
    """The kernel distance, mean and deviation over 100 subsets of 1,000."""
    size = min(1000, samples.count, reference.count)
    mean, std = kernel_distance_subsets(reference.features, samples.features, size=size)
    return {"kd_SPACE": mean, "kd_SPACE_std": std}


@metric(reference="moments")
def fd_SPACE_infinity(samples: Statistics, reference: Statistics) -> Scores:
    """The Frechet distance, extrapolated to infinitely many samples."""
    return {"fd_SPACE_infinity": frechet.fid_infinity(samples.features, reference.gaussian())}


@metric(reference="moments")
def fd_SPACE_interval(samples: Statistics, reference: Statistics) -> Scores:
    """A 95 % bootstrap interval of the Frechet distance."""
    low, high = frechet.fid_bootstrap(samples.features, reference.gaussian())
    return {"fd_SPACE_low": low, "fd_SPACE_high": high}


@metric(reference="radii")
def precision_recall_SPACE(samples: Statistics, reference: Statistics) -> Scores:
    """Improved precision and recall, k = 3."""
    sets = reference.features, samples.features
    return _in_space(manifold.precision_recall(*sets, real_radii=reference.radii))


@metric(reference="radii")
def density_coverage_SPACE(samples: Statistics, reference: Statistics) -> Scores:
    """Density and coverage, k = 5."""
    sets = reference.features, samples.features
    return _in_space(manifold.density_coverage(*sets, real_radii=reference.radii))


@metric()
def nearest_real_SPACE(samples: Statistics, reference: Statistics) -> Scores:
    """How near samples lie to the reference, as a search for copies."""
    nearest = manifold.nearest_real(reference.features, samples.features)
    return {"nearest_ratio_SPACE": nearest.ratio, "copies_SPACE": nearest.copies}


@metric()
def swd_SPACE(samples: Statistics, reference: Statistics) -> Scores:
    """The sliced 2-Wasserstein distance."""
    return {"swd_SPACE": wasserstein.sliced_wasserstein(reference.features, samples.features)}


@metric(reference=None, spaces=CLASSIFIERS)
def is_SPACE(samples: Statistics, _: None) -> Scores:
    """The Inception Score by a classifier's probabilities."""
    mean, std = inception_score(samples.probabilities)
    return {"is_SPACE": mean, "is_SPACE_std": std}


@metric(spaces=["points"])
def w1(samples: Statistics, reference: Statistics) -> Scores:
    """The 1-Wasserstein distance of 2,048 points."""
    sets = reference.features[:TRANSPORTED], samples.features[:TRANSPORTED]
    return {"w1": wasserstein.wasserstein_1(*sets)}


@metric(spaces=["points"])
def w2_squared(samples: Statistics, reference: Statistics) -> Scores:
    """The squared 2-Wasserstein distance of 2,048 points."""
    sets = reference.features[:TRANSPORTED], samples.features[:TRANSPORTED]
    return {"w2_squared": wasserstein.squared_wasserstein_2(*sets)}


@metric(reference="modes", spaces=["points"])
def modes(samples: Statistics, known: tuple) -> Scores:
    """How well points cover a mixture of known modes, given as (centres, standard deviation)."""
    return mode_coverage(samples.features, *known)
