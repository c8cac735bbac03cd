"""The metrics by name: one function each, which scores `Statistics` of samples.

A function bears its metric's name. ``SPACE`` in it, and in the names of its scores, stands for the
feature space: there is one such metric for each. In the 2015 Inception's space alone ``fd``, ``kd``
and ``mind_SPACE`` are called ``fid``, ``kid`` and ``mind``, and ``fid_clean``, ``kid_clean`` and
``mind_clean`` with Pillow's resizing. A function gives numbers, or a `Score` where the sampling
error is known.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tfgan_ema.metrics import classes, frechet, kernel, manifold, vendi, wasserstein
from tfgan_ema.metrics.features import SPACES
from tfgan_ema.metrics.likelihood import feature_likelihood_divergence
from tfgan_ema.metrics.spread import Score, Spread, of_mean
from tfgan_ema.metrics.statistics import Statistics, evenly_spread
from tfgan_ema.metrics.wasserstein import DIRECTIONS

TRANSPORTED = 2048  # samples of either set in w1 and w2_squared, whose cost is cubic
MIXED = 10_000  # samples of each set in fld, whose memory is quadratic
CLASSIFIERS = [name for name, space in SPACES.items() if space.classes]


@dataclass(frozen=True)
class Metric:
    """A metric in one feature space.

    Attributes:
        function: from the samples' statistics and the reference's (or the true modes) to the
            scores of ``results``, or to the only one.
        results: the names of its scores.
        space: the feature space.
        reference: what it compares them with: the reference's ``"moments"``, ``"features"`` or
            ``"radii"``, these and those of images that were not trained on (``"held_out"``), the
            true ``"modes"``, or ``None``.
        halved: whether half of the samples tell how much of the scores is due to their number.
        most: how many of the samples it takes, the first ones; ``None`` takes all.
    """

    function: Callable[..., Any]
    results: Sequence[str]
    space: str
    reference: str | None
    halved: bool
    most: int | None

    @property
    def compares(self) -> bool:
        """Whether it needs a reference set."""
        return self.reference not in (None, "modes")

    def first(self, samples: Statistics) -> Statistics:
        """The samples that it takes."""
        if self.most is None or samples.count <= self.most:
            return samples
        return samples.part(slice(self.most))

    def __call__(self, samples: Statistics, reference: object) -> dict[str, Score]:
        """The scores by name, of the samples that it takes."""
        scores = self.function(samples, reference)
        scores = [scores] if isinstance(scores, float | Score) else scores
        scores = [s if isinstance(s, Score) else Score(float(s)) for s in scores]
        return dict(zip(self.results, scores, strict=True))


METRICS: dict[str, Metric] = {}


def metric(
    *results: str,
    reference: str | None = "features",
    spaces: Iterable[str] = SPACES,
    halved: bool = True,
    most: int | None = None,
) -> Callable[[Callable], Callable]:
    """A decorator that adds a function to `METRICS`; see `Metric` for the arguments.

    Without ``results`` the function gives one score of its own name.
    """

    def register(function: Callable) -> Callable:
        for space in spaces:
            name, *named = (_named(each, space) for each in (function.__name__, *results))
            METRICS[name] = Metric(function, named or [name], space, reference, halved, most)
        return function

    return register


def _named(name: str, space: str) -> str:
    name = name.replace("SPACE", space)
    for long, short in (("fd", "fid"), ("kd", "kid"), ("mind", "mind")):
        name = name.replace(f"{long}_inception", short)
    return name


@metric(reference="moments")
def fd_SPACE(samples: Statistics, reference: Statistics) -> Score:
    """The Frechet distance."""
    ours, theirs = samples.gaussian(), reference.gaussian()
    influence = functools.partial(frechet.influence, samples.features, ours, theirs)
    return Score(frechet.distance(ours, theirs), lambda: Spread(influence()))


@metric("kd_SPACE", "kd_SPACE_std")
def kd_SPACE(samples: Statistics, reference: Statistics) -> tuple[Score, float]:
    """The kernel distance, mean and deviation over 100 subsets of 1,000."""
    sets = reference.features, samples.features
    size = min(1000, samples.count, reference.count)
    value, std = kernel.kernel_distance_subsets(*sets, size=size)
    return Score(value, lambda: kernel.spread_of_subsets(*sets, std)), std


@metric()
def mind_SPACE(samples: Statistics, reference: Statistics) -> Score:
    """The Monge inception distance, over 1,000 directions."""
    sets = samples.features, reference.features
    moved = functools.partial(wasserstein.sliced_influence, *sets, projections=DIRECTIONS)
    return Score(wasserstein.mind(*sets), lambda: Spread(3 * sets[0].shape[1] * moved()))


@metric(reference="moments", halved=False)
def fd_SPACE_infinity(samples: Statistics, reference: Statistics) -> float:
    """The Frechet distance, extrapolated to infinitely many samples."""
    return frechet.fid_infinity(samples.features, reference.gaussian())


@metric("fd_SPACE_low", "fd_SPACE_high", reference="moments", halved=False)
def fd_SPACE_interval(samples: Statistics, reference: Statistics) -> tuple[float, float]:
    """A 95 % bootstrap interval of the Frechet distance."""
    return frechet.fid_bootstrap(samples.features, reference.gaussian())


@metric("precision_SPACE", "recall_SPACE", reference="radii")
def precision_recall_SPACE(samples: Statistics, reference: Statistics) -> tuple[Score, float]:
    """Improved precision and recall, k = 3."""
    sets = reference.features, samples.features
    found = manifold.memberships(*sets, k=3, real_radii=reference.radii)
    return of_mean(found.precise), found.recalled.mean()


@metric("density_SPACE", "coverage_SPACE", reference="radii")
def density_coverage_SPACE(samples: Statistics, reference: Statistics) -> tuple[Score, float]:
    """Density and coverage, k = 5."""
    sets = reference.features, samples.features
    found = manifold.memberships(*sets, k=5, real_radii=reference.radii)
    return of_mean(found.holding / 5), found.covered.mean()


@metric("nearest_ratio_SPACE", "copies_SPACE")
def nearest_real_SPACE(samples: Statistics, reference: Statistics) -> tuple[float, Score]:
    """How near samples lie to the reference, as a search for copies."""
    nearest = manifold.nearest_real(reference.features, samples.features)
    return nearest.ratio, of_mean(nearest.copied)


@metric(reference="radii")
def authenticity_SPACE(samples: Statistics, reference: Statistics) -> Score:
    """The share of samples that are no copies of their nearest real one."""
    sets = reference.features, samples.features
    return of_mean(manifold.authentic(*sets, real_radii=reference.radii))


@metric(reference="held_out", most=MIXED)
def fld_SPACE(samples: Statistics, references: tuple[Statistics, Statistics]) -> float:
    """The feature likelihood divergence, of 10,000 samples of each set at most."""
    sets = [evenly_spread(each.features, MIXED) for each in references]
    return feature_likelihood_divergence(*sets, samples.features)


@metric()
def swd_SPACE(samples: Statistics, reference: Statistics) -> Score:
    """The sliced 2-Wasserstein distance."""
    sets = samples.features, reference.features
    value = wasserstein.sliced_wasserstein(*sets, projections=500)
    moved = functools.partial(wasserstein.sliced_influence, *sets, projections=500)
    return Score(value, lambda: Spread(moved() / (2 * value)))


@metric(reference=None)
def vendi_SPACE(samples: Statistics, _: None) -> Score:
    """The Vendi score of the samples alone."""
    features = samples.features
    return Score(vendi.vendi_score(features), lambda: Spread(vendi.vendi_influence(features)))


@metric("is_SPACE", "is_SPACE_std", reference=None, spaces=CLASSIFIERS)
def is_SPACE(samples: Statistics, _: None) -> tuple[Score, float]:
    """The Inception Score by a classifier's probabilities."""
    value, std = classes.inception_score(samples.probabilities)
    each = classes.divergences(samples.probabilities)
    return Score(value, lambda: Spread(value * each)), std


@metric(spaces=["points"], most=TRANSPORTED)
def w1(samples: Statistics, reference: Statistics) -> Score:
    """The 1-Wasserstein distance of 2,048 points."""
    return _transport(samples, reference, "euclidean")


@metric(spaces=["points"], most=TRANSPORTED)
def w2_squared(samples: Statistics, reference: Statistics) -> Score:
    """The squared 2-Wasserstein distance of 2,048 points."""
    return _transport(samples, reference, "sqeuclidean")


def _transport(samples: Statistics, reference: Statistics, cost: str) -> Score:
    sets = samples.features, reference.features[:TRANSPORTED]
    value, prices = wasserstein.transport(*sets, cost)
    return Score(value, lambda: Spread(prices))


@metric("modes", "high_quality", "mode_kl", reference="modes", spaces=["points"])
def modes(samples: Statistics, known: tuple) -> tuple[float, Score, Score]:
    """How well points cover a mixture of known modes, given as (centres, standard deviation)."""
    scores = classes.mode_coverage(samples.features, *known)
    found = classes.sort_into_modes(samples.features, *known)
    each = -(found.probabilities / found.shares)[found.nearest]
    return scores["modes"], of_mean(found.good), Score(scores["mode_kl"], lambda: Spread(each))


@metric("modes_SPACE", "mode_kl_SPACE", reference=None, spaces=["stacked_mnist"])
def modes_SPACE(samples: Statistics, _: None) -> tuple[float, Score]:
    """How many of StackedMNIST's 1,000 modes are covered, and how evenly."""
    covered, divergence = classes.class_coverage(samples.probabilities)
    found = samples.probabilities.argmax(axis=1)
    return covered, Score(divergence, lambda: Spread(np.log(np.bincount(found)[found])))
