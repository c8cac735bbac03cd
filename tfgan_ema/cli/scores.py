"""What `tfgan-ema evaluate` prints of scores, and writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from tfgan_ema.cli import tables
from tfgan_ema.errors import say
from tfgan_ema.metrics.features import SPACES
from tfgan_ema.metrics.report import Measured


class Scored(NamedTuple):
    """One generator, or one set of samples, and its scores.

    Attributes:
        samples: what the user called it.
        settings: what tells it from others of that name: the average, or the truncation.
        scores: by name.
    """

    samples: str
    settings: Mapping[str, Any]
    scores: Mapping[str, Measured]

    @property
    def values(self) -> dict[str, Any]:
        """Settings and values by name."""
        return {**self.settings, **{name: score.value for name, score in self.scores.items()}}


def show(scored: Sequence[Scored], reference: str) -> None:
    """Prints a table with a column for each of what was scored, and says what is wrong with it."""
    rows = [
        [name, *(_shown(each.settings[name]) for each in scored)] for name in scored[0].settings
    ]
    for name in scored[0].scores:
        rows.append(
            [name, *(with_error(s.scores[name].value, s.scores[name].error) for s in scored)]
        )
    tables.print_table(rows)
    first = scored[0].scores.values()
    print(
        f"{_counts(score.count for score in first)} samples"
        + (f", {_counts(m)} of {reference}" if any(m := [s.reference_count for s in first]) else "")
        + "; ± is the standard error of drawing the samples"
    )
    for each in scored:
        where = ", ".join(f"{key} {_shown(value)}" for key, value in each.settings.items())
        for name, score in each.scores.items():
            if score.warning:
                say(f"{name}{where and f' ({where})'}: {score.warning}.")


def show_runs(scored: Sequence[Scored], summary: Mapping[str, Any], reference: str) -> None:
    """Prints the scores of several runs, their means over seeds and the tests between them.

    ``summary`` is that of `tfgan_ema.lab.seeds`.
    """
    for run in dict.fromkeys(each.samples for each in scored):
        print(run)
        show([each for each in scored if each.samples == run], reference)
        print()
    head = ("metric", "runs of", "seeds", "mean", "spread", "of drawing", "of training")
    spreads = ("mean", "spread", "sampling_error", "training")
    rows = [
        [each["metric"], each["group"], str(each["runs"]), *(_number(each[k]) for k in spreads)]
        for each in summary["groups"]
    ]
    tables.print_table([head, *rows])
    if summary["tests"]:
        print()
    count = len(summary["tests"])
    for each in summary["tests"]:
        holm = f", {each['p_holm']:.2g} by Holm for {count} tests" if count > 1 else ""
        test = "paired by seed" if each["paired"] else "Welch"
        difference = with_error(each["difference"], each["error"])
        print(
            f"{each['metric']}: {each['group']} - {each['against']} = {difference} "
            f"(t-test, {test}: p = {each['p']:.2g}{holm})"
        )


def differences(scored: Sequence[Scored]) -> list[dict[str, Any]]:
    """How each average differs from the raw generator on the same latents, with the error of it."""
    raw = {each.samples: each.scores for each in scored if each.settings.get("average") == "raw"}
    found = []
    for each in scored:
        if each.samples not in raw or each.settings["average"] == "raw":
            continue
        for name, ours in each.scores.items():
            theirs = raw[each.samples][name]
            known = ours.spread is not None and theirs.spread is not None
            found.append(
                {
                    "samples": each.samples,
                    "metric": name,
                    "average": each.settings["average"],
                    "against": "raw",
                    "difference": ours.value - theirs.value,
                    "error": ours.spread.less(theirs.spread).error if known else None,
                }
            )
    return found


def show_differences(found: Sequence[Mapping[str, Any]]) -> None:
    """Prints `differences` as a table."""
    rows = [
        [each["metric"], f"{each['average']} - raw", with_error(each["difference"], each["error"])]
        for each in found
    ]
    print("\nDifferences on the same latents")
    tables.print_table(rows)


def entries(scored: Sequence[Scored], reference: str | None, split: str) -> list[dict[str, Any]]:
    """Every score with all that it depends on, as JSON holds it."""
    return [
        {
            "samples": each.samples,
            **each.settings,
            "metric": name,
            **score.entry(),
            "space": score.space,
            "resize": SPACES[score.space].resize,
            "reference": None if score.reference_count is None else reference,
            "split": None if score.reference_count is None else split,
        }
        for each in scored
        for name, score in each.scores.items()
    ]


def with_error(value: float, error: float | None) -> str:
    """``12.3 ± 0.45``, or the value alone."""
    return f"{value:.6g}" if error is None else f"{value:.6g} ± {error:.2g}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _counts(numbers: Any) -> str:
    return " or ".join(str(n) for n in sorted({n for n in numbers if n is not None}))
