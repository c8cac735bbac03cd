"""Scores of runs that differ by their seed: what is due to training again, and what to drawing."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from tfgan_ema import recorded, runs
from tfgan_ema.lab.experiments import verdicts

IGNORED = ("seed", "steps", "data.data_dir")


class Score(Protocol):
    """A score and the standard error of drawing its samples, if that is known."""

    @property
    def value(self) -> float: ...
    @property
    def error(self) -> float | None: ...


class Scored(Protocol):
    """The scores of one generator of a run."""

    samples: str
    settings: Mapping[str, Any]
    scores: Mapping[str, Score]


class Group(NamedTuple):
    """One generator of runs that differ by their seed alone.

    Attributes:
        name: in what their configuration differs from that of other groups; may be empty.
        generator: the average, or "".
        seeds: of the runs.
        scores: of the runs, by metric.
    """

    name: str
    generator: str
    seeds: tuple[int, ...]
    scores: dict[str, list[Score]]

    @property
    def title(self) -> str:
        """What it is called in a table."""
        return " ".join(filter(None, (self.name, self.generator))) or "all"


def summary(
    scored: Sequence[Scored], facts: Mapping[str, Mapping[str, Any]] | None = None
) -> dict[str, Any]:
    """The ``groups`` of runs and the ``tests`` between them, as JSON holds them.

    Args:
        scored: the scores.
        facts: by what the runs are called, their ``seed`` and in what else they may differ; read
            from their work directories unless given.

    Returns:
        ``groups``: for each and each metric ``runs``, ``mean``, ``spread`` (the standard deviation
        over the runs), ``sampling_error`` (the root mean square of the scores' standard errors) and
        ``training`` (the spread without that error). ``tests``: differences of means with their
        standard error, degrees of freedom and p of the two-sided t-test; ``paired`` where both have
        the same seeds, else Welch's. ``p_holm`` is p corrected for all tests of the summary.
    """
    facts = facts or {each.samples: _facts(each.samples) for each in scored}
    groups = _groups(scored, facts)
    tests = [
        row
        for first, second in itertools.combinations(groups, 2)
        if first.name == second.name or first.generator == second.generator
        for row in _tests(first, second)
    ]
    adjusted = verdicts.holm([test["p"] for test in tests])
    return {
        "groups": [row for group in groups for row in _means(group)],
        "tests": [{**test, "p_holm": p} for test, p in zip(tests, adjusted, strict=True)],
    }


def _means(group: Group) -> Iterator[dict[str, Any]]:
    for metric, scores in group.scores.items():
        values = [score.value for score in scores]
        errors = [score.error for score in scores]
        spread = float(np.std(values, ddof=1)) if len(values) > 1 else None
        error = None if None in errors else float(np.sqrt(np.mean(np.square(errors))))
        known = None not in (spread, error)
        yield {
            "group": group.title,
            "metric": metric,
            "seeds": list(group.seeds),
            "runs": len(values),
            "mean": float(np.mean(values)),
            "spread": spread,
            "sampling_error": error,
            "training": float(np.sqrt(max(spread**2 - error**2, 0.0))) if known else None,
        }


def _tests(first: Group, second: Group) -> Iterator[dict[str, Any]]:
    paired = first.seeds == second.seeds and len(set(first.seeds)) == len(first.seeds)
    if min(len(first.seeds), len(second.seeds)) < 2:
        return
    for metric in first.scores:
        theirs, ours = ([s.value for s in group.scores[metric]] for group in (first, second))
        if paired:
            test = verdicts.paired(ours, theirs)
        else:
            deviation = float(np.std(theirs, ddof=1))
            test = verdicts.welch(ours, float(np.mean(theirs)), deviation, len(theirs))
        yield {
            "metric": metric,
            "group": second.title,
            "against": first.title,
            "paired": paired,
            "difference": test.estimate,
            "error": test.error,
            "freedom": test.freedom,
            "p": test.p,
        }


def _groups(scored: Sequence[Scored], facts: Mapping[str, Mapping[str, Any]]) -> list[Group]:
    """The generators of runs whose configurations are alike, in the order of their first run."""
    keys = dict.fromkeys(key for run in facts.values() for key in run if key != "seed")
    differ = [k for k in keys if len({repr(run.get(k)) for run in facts.values()}) > 1]
    members: dict[tuple[str, str], list[tuple[int, Mapping[str, Score]]]] = {}
    for each in scored:
        run = facts[each.samples]
        name = ", ".join(f"{key}={run.get(key)}" for key in differ)
        group = members.setdefault((name, each.settings.get("average", "")), [])
        group.append((run["seed"], each.scores))
    found = []
    for (name, generator), runs_of in members.items():
        runs_of.sort(key=lambda run: run[0])
        metrics = {key: [scores[key] for _, scores in runs_of] for key in runs_of[0][1]}
        found.append(Group(name, generator, tuple(seed for seed, _ in runs_of), metrics))
    return found


def _facts(workdir: str) -> dict[str, Any]:
    """The configuration of a run by dotted keys, without what may differ within a group."""
    run = runs.read_run(workdir)
    config = run["config"] or recorded.as_configuration(run["made_of"])
    facts = runs.flatten(config)
    return {key: facts[key] for key in facts if key not in IGNORED} | {"seed": config["seed"]}
