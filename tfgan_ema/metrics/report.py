"""How far a score can be trusted: its sampling error, and what is due to the number of samples."""

from __future__ import annotations

import math
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
        if math.isnan(self.bias):
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
            "bias": None if self.bias is None or math.isnan(self.bias) else self.bias,
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
    halved = _halved(metric, samples, known)
    reference = known[0] if metric.reference == "held_out" else known
    return {
        name: Measured(
            value=score.value,
            space=metric.space,
            count=samples.count,
            reference_count=reference.count if metric.compares else None,
            spread=score.spread and score.spread(),
            bias=halved[name] - score.value if name in halved else None,
        )
        for name, score in scores.items()
    }


def _halved(metric: Metric, samples: Statistics, known: Any) -> dict[str, float]:
    """The mean scores of both halves of the samples, NaN where they are too few.

    Deviations over subsets or splits are left out, as they are a matter of the size of those.
    """
    names = [name for name in metric.results if metric.halved and not name.endswith("_std")]
    try:
        halves = [metric(half, known) for half in samples.halves()] if names else []
    except UsageError:
        return dict.fromkeys(names, math.nan)
    return {name: sum(half[name].value for half in halves) / 2 for name in names}
