"""The page of the experiment on few images, and its verdicts by the rule."""

import functools
from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from tfgan_ema.lab.experiments import limited, verdicts
from tfgan_ema.lab.experiments.experiment import Experiment, Results, Row, select, values
from tfgan_ema.lab.experiments.limited import ARMS, BUDGETS, PILOT, Budget
from tfgan_ema.lab.experiments.points import RAW
from tfgan_ema.lab.experiments.verdicts import Verdict
from tfgan_ema.lab.reports import pages

FIRST = 5  # seeds of the first verdict; later ones are an extension
OUTCOMES = ("last", "best")

Outcomes = dict[tuple[str, str], list[float]]  # (arm, outcome) -> distances by seed


def parts(count: int, budget: str, table: list[Row], results: Results) -> list[str]:
    """A section for each number of images, and another where there are more than `FIRST` seeds."""
    sizes, made = BUDGETS[budget], []
    for images in limited.counts(count, budget):
        rows = select(table, images=images)
        made += section(sizes, images, [row for row in rows if row["seed"] != PILOT], FIRST)
        made.append(_pilot(sizes, images, [row for row in rows if row["seed"] == PILOT]))
        if sizes.seeds > FIRST:
            made.append(pages.heading(f"Extension to {sizes.seeds} seeds", 3))
            counted = [row for row in rows if row["seed"] != PILOT]
            made += tables(sizes, whole(counted, sizes.starts[images]))
    return made


def section(sizes: Budget, images: int, rows: list[Row], seeds: int) -> list[str]:
    """Verdicts, values and curves of the first seeds."""
    start = sizes.starts[images]
    table = whole([row for row in rows if row["seed"] < seeds], start)
    number = len({row["seed"] for row in table})
    network = sizes.network["network"]
    return [
        pages.heading(f"{sizes.problem.title}, {images:,} images"),
        f"{network['name']} at {network['width']:g} of its width, {sizes.steps:,} steps of 64 "
        f"images, EMA {limited.DECAY:g} with batch statistics of its own, seeds: {number}. Leaks "
        f"start at step {start:,}. Scores are of {sizes.samples:,} samples; curves are the mean "
        "and the range over the seeds, distances there by half A.",
        *tables(sizes, table),
        pages.drawing(
            _curves(table, lambda row: row["distance_a"], f"fd_{sizes.problem.space}", log=True),
            "Frechet distance of the averaged generator to held-out images.",
        ),
        pages.drawing(
            _curves(table, lambda row: row["recall"], "recall"),
            "Recall of the averaged generator on held-out images, half B.",
        ),
        pages.drawing(
            _curves(table, _held_out_gap, "logits"),
            "Mean logit of training images less that of held-out images: what the discriminator "
            "knows by heart.",
        ),
        pages.drawing(
            _curves(table, _generated_gap, "logits", generator=RAW),
            "Mean logit of training images less that of the raw generator's.",
        ),
    ]


def tables(sizes: Budget, table: list[Row]) -> list[str]:
    """Both questions of the rule with their verdicts, and the raw generator's values."""
    averaged = outcomes(table, sizes.steps, "ema")
    raw = outcomes(table, sizes.steps, RAW)
    against = verdicts_of(averaged, [(arm, "plain") for arm in ARMS if arm != "plain"])
    beyond = verdicts_of(averaged, [(arm, one.origin) for arm, one in ARMS.items() if one.augments])
    return [
        conclusion(against, beyond),
        pages.table(
            ["averaged generator", "last", "against no leak", "best", "against no leak", "at step"],
            [_line(arm, averaged, against, table, sizes) for arm in ARMS],
        ),
        pages.table(
            ["beyond DiffAugment", *OUTCOMES],
            [
                [ARMS[arm].title, *(str(beyond[arm, outcome]) for outcome in OUTCOMES)]
                for arm in _arms(beyond)
            ],
        ),
        pages.table(
            ["at the last step", "precision", "recall", "training images called real",
             "held-out ones", "raw samples", "averaged samples", "raw generator's distance"],
            [_last(arm, table, sizes, raw) for arm in ARMS],
        ),
    ]  # fmt: skip


def whole(rows: list[Row], start: int) -> list[Row]:
    """Rows in which an arm with a leak has those of its origin up to the start, too."""
    return [
        {**row, "arm": arm}
        for arm, chosen in ARMS.items()
        for row in rows
        if row["arm"] == arm or (row["arm"] == chosen.origin and row["step"] <= start)
    ]


def outcomes(table: list[Row], steps: int, generator: str) -> Outcomes:
    """The distances to half B at the last step, and at the one that is best by half A."""
    found: Outcomes = {}
    for arm in ARMS:
        rows = select(table, arm=arm, generator=generator)
        found[arm, "last"] = values(rows, "distance_b", step=steps)
        found[arm, "best"] = [row["distance_b"] for row in _best(rows)]
    return found


def verdicts_of(
    found: Outcomes, pairs: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], Verdict]:
    """A family: an arm against another, for each outcome."""
    keys = [(arm, other, outcome) for arm, other in pairs for outcome in OUTCOMES]
    family = verdicts.family([(found[arm, one], found[other, one]) for arm, other, one in keys])
    return {(arm, one): verdict for (arm, _, one), verdict in zip(keys, family, strict=True)}


def helps(family: dict[tuple[str, str], Verdict], arm: str) -> bool:
    """The rule: better at the end, and at its best not higher."""
    best = family[arm, "best"]
    not_higher = best.word != "higher" and best.change <= verdicts.MARGIN
    return better_at_the_end(family, arm) and not_higher


def better_at_the_end(family: dict[tuple[str, str], Verdict], arm: str) -> bool:
    """The first half of the rule: lower at the last step, and not within the margin."""
    last = family[arm, "last"]
    return last.word == "lower" and last.p_within >= verdicts.LEVEL


def conclusion(against: dict, beyond: dict) -> str:
    """The answers to both questions."""
    if next(iter(against.values())).p is None:
        return "One seed allows no verdict."
    leaks = [arm for arm in _arms(against) if ARMS[arm].leak and not ARMS[arm].augments]
    return (
        f"A leak helps at this number of images: {_answer(against, leaks)}. It helps beyond "
        f"DiffAugment: {_answer(beyond, _arms(beyond))}."
    )


def _answer(family: dict, arms: Sequence[str]) -> str:
    for words, test in (("yes", helps), ("at the end, not at its best", better_at_the_end)):
        found = [ARMS[arm].title for arm in arms if test(family, arm)]
        if found:
            return f"{words} ({'; '.join(found)})"
    return "not shown"


def _arms(family: dict) -> list[str]:
    return list(dict.fromkeys(arm for arm, _ in family))


def _best(rows: list[Row]) -> list[Row]:
    """The row of each seed that is nearest to half A."""
    seeds = sorted({row["seed"] for row in rows})
    return [min(select(rows, seed=seed), key=lambda row: row["distance_a"]) for seed in seeds]


def _line(arm: str, found: Outcomes, against: dict, table: list[Row], sizes: Budget) -> list[str]:
    steps = [row["step"] for row in _best(select(table, arm=arm, generator="ema"))]
    cells = [ARMS[arm].title]
    for outcome in OUTCOMES:
        cells.append(verdicts.mean_and_deviation(found[arm, outcome]))
        cells.append(str(against.get((arm, outcome), "")))
    return [*cells, f"{min(steps):,} to {max(steps):,}"]


def _last(arm: str, table: list[Row], sizes: Budget, raw: Outcomes) -> list[str]:
    """Means over the seeds of what else is known of the last step."""
    averaged = select(table, arm=arm, generator="ema", step=sizes.steps)
    trained = select(table, arm=arm, generator=RAW, step=sizes.steps)
    keys = ("precision", "recall", "training_called_real", "held_out_called_real")
    shares = [np.mean([row[key] for row in averaged]) for key in keys]
    shares += [
        np.mean([row["generated_called_real"] for row in rows]) for rows in (trained, averaged)
    ]
    distance = verdicts.mean_and_deviation(raw[arm, "last"])
    return [ARMS[arm].title, *(f"{share:.3f}" for share in shares), distance]


def _pilot(sizes: Budget, images: int, rows: list[Row]) -> str:
    (best,) = _best(select(rows, generator="ema"))
    return (
        f"Pilot of {images:,} images (seed {PILOT}, counted nowhere): the averaged generator was "
        f"nearest to half A at step {best['step']:,}, at {best['distance_a']:.3f}; the leaks of "
        f"all seeds start at step {sizes.starts[images]:,}."
    )


def _held_out_gap(row: Row) -> float:
    return row["training_logit"] - row["held_out_logit"]


def _generated_gap(row: Row) -> float:
    return row["training_logit"] - row["generated_logit"]


def _curves(
    table: list[Row],
    value: Callable[[Row], float],
    label: str,
    *,
    generator: str = "ema",
    log: bool = False,
) -> Figure:
    """A curve for each arm; those with a leak begin at its start."""
    figure = Figure(figsize=(7, 3.8), layout="constrained")
    axis = figure.subplots()
    for index, (arm, chosen) in enumerate(ARMS.items()):
        rows = select(table, arm=arm, generator=generator)
        steps = sorted({row["step"] for row in rows})
        numbers = np.array([[value(row) for row in select(rows, step=step)] for step in steps])
        colour = f"C{index}"
        style = "--" if chosen.leak else "-"
        axis.plot(steps, numbers.mean(1), style, color=colour, label=chosen.title)
        axis.fill_between(steps, numbers.min(1), numbers.max(1), alpha=0.12, color=colour, lw=0)
    axis.set(xlabel="step", ylabel=label)
    if log:
        axis.set_yscale("log")
        axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.yaxis.set_major_formatter("{x:g}")
        axis.yaxis.set_minor_formatter(NullFormatter())
    axis.legend(fontsize=8)
    return figure


def _experiment(name: str, count: int, title: str) -> Experiment:
    made = (functools.partial(function, count) for function in (limited.cells, parts))
    return Experiment(name, title, limited.__doc__, *made, limited.prepare)


LIMITED = _experiment("limited", 2, "Few images: averages, leaks and augmentation")
LIMITED_300 = _experiment("limited_300", 1, "300 images: averages, leaks and augmentation")
