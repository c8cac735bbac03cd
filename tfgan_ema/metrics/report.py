"""How far a score can be trusted: its sampling error, and what is due to the number of samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tfgan_ema.errors import UsageError
from tfgan_ema.metrics.catalogue import Metric
from tfgan_ema.metrics.spread import Spread
from tfgan_ema.metrics.statistics import Statistics

TOLERATED = 0.05  # share of a score that may be due to the number of samples


@dataclass(frozen=True)
class Measured:
    """A score and how far it can be trusted.

    Attributes:
        value: the score.
        space: its feature space.
        count: the number of samples.
        reference_count: the number of reference samples; ``None`` where there are none.
        spread: what its sampling error follows from; ``None`` where no error is known.
        bias: what is due to the number of samples: half of them change the score by about as much
            (exactly, where the bias falls as 1/n). ``None`` where it is not known.
    """

    value: float
    space: str
    count: int
    reference_count: int | None
    spread: Spread | None
    bias: float | None

    @property
    def error(self) -> float | None:
        """The standard error over draws of the samples; the reference is taken as given."""
        return None if self.spread is None else self.spread.error

    @property
    def warning(self) -> str:
        """Why the score cannot be trusted, for a line that begins with its name; else empty.

        The rule: half of the samples change the score by more than 5 % and by more than twice its
        error, or they are too few to be halved.
        """
        if self.bias is None:
            return ""
        if self.bias != self.bias:
            return f"{self.count} samples are too few to tell how much is due to their number"
        if abs(self.bias) <= max(TOLERATED * abs(self.value), 2 * (self.error or 0.0)):
            return ""
        return (
            f"{self.count} samples are too few: half of them change {self.value:.4g} by "
            f"{self.bias:+.3g}, so about as much is due to their number; compare equal numbers only"
        )

    def entry(self) -> dict[str, Any]:
        """All of it, as JSON holds it."""
        return {
            "value": self.value,
            "error": self.error,
            "bias": None if self.bias is None or self.bias != self.bias else self.bias,
            "warning": self.warning or None,
            "count": self.count,
            "reference_count": self.reference_count,
        }


def measure(metric: Metric, samples: Statistics, known: Any) -> dict[str, Measured]:
    """The scores of a metric by name.

    Args:
        metric: one of `catalogue.METRICS`.
        samples: what is scored.
        known: what the metric compares it with.
    """
    samples = metric.first(samples)
    scores = metric(samples, known)
    halves = _halves(metric, samples, known)
    reference = known[0] if metric.reference == "held_out" else known
    return {
        name: Measured(
            score.value,
            metric.space,
            samples.count,
            reference.count if metric.compares else None,
            score.spread and score.spread(),
            # A deviation over subsets or splits is a matter of their size.
            halves
            and (None if name.endswith("_std") else sum(h[name] for h in halves) / 2 - score.value),
        )
        for name, score in scores.items()
    }


def _halves(metric: Metric, samples: Statistics, known: Any) -> list[Mapping[str, float]] | None:
    """The scores of either half of the samples; NaN where they are too few."""
    if not metric.halved:
        return None
    try:
        return [
            {name: score.value for name, score in metric(half, known).items()}
            for half in samples.halves()
        ]
    except UsageError:
        return [dict.fromkeys(metric.results, float("nan"))] * 2
