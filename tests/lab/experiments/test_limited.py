"""The experiment on few images: its cells, its rule and its page."""

import csv
import dataclasses
import json
import re

import numpy as np
import pytest

from tfgan_ema import runs
from tfgan_ema.lab.commands import reproduce as command
from tfgan_ema.lab.experiments import cells, experiment, limited, limited_page
from tfgan_ema.lab.experiments.limited import ARMS, BUDGETS, PILOT


@pytest.mark.parametrize("budget", experiment.BUDGETS)
def test_every_leak_continues_from_its_own_seed_and_augmentation(budget):
    sizes = BUDGETS[budget]
    found = {cell.name: cell for cell in limited.cells(2, budget)}
    assert len(found) == len(sizes.starts) * (1 + sizes.seeds * len(ARMS))
    for cell in found.values():
        o = cell.options
        assert sizes.steps % o["every"] == 0
        if not o["leak"]:
            assert o["origin"] == cell.name
            continue
        origin = found[o["origin"]]
        assert origin.options["leak"] is None
        assert origin.options["start"] == o["leak"]["start_step"] == o["start"]
        assert o["start"] % o["every"] == 0 < o["start"] < sizes.steps
        for key in ("seed", "changes", "halves", "steps", "every", "samples"):
            assert origin.options[key] == o[key]
        assert (origin.turn, origin.cost > cell.cost) == (cell.turn, True)  # so it starts first


def test_seeds_and_sizes_come_one_after_another():
    by_turn = sorted(limited.cells(2, "desk"), key=lambda cell: cell.turn)
    place = [(cell.head["images"], cell.head["seed"]) for cell in by_turn]
    assert list(dict.fromkeys(place)) == [
        (size, seed) for size in BUDGETS["desk"].starts for seed in (PILOT, *range(5))
    ]
    assert by_turn[: 1 + 5 * len(ARMS)] == sorted(
        limited.cells(1, "desk"), key=lambda cell: cell.turn
    )
    ten = limited.cells(1, "paper")
    assert [cell for cell in ten if cell.head["seed"] not in range(5, 10)] == limited.cells(
        1, "desk"
    )


def test_what_scores_a_run_has_not_been_trained_on(tmp_path, monkeypatch):
    monkeypatch.setenv("TFGAN_EMA_CACHE", str(tmp_path))
    options = [cell.options for cell in limited.cells(1, "smoke")]
    trained = [runs.load_source(limited.configuration(o)) for o in options]
    assert {source.count for source in trained} == {60}
    first, second = ({image.tobytes() for image in trained[i].samples} for i in (1, 1 + len(ARMS)))
    assert 0 < len(first & second) < 60  # of two seeds
    assert first == {image.tobytes() for image in trained[2].samples}  # of two arms
    a, b = (
        {image.tobytes() for image in scorer.reference.origin.samples}
        for scorer in limited.evaluators(options[1]).values()
    )
    for one, other in ((a, b), (a, first), (b, first), (a, second), (b, second)):
        assert len(one & other) <= 1  # two digits of scikit-learn are equal


def rows_of(cell, value):
    """What a cell returns, with the distances that ``value`` gives for a step."""
    o = cell.options
    rng = np.random.default_rng(o["seed"])
    scatter = rng.normal(0, 0.2)  # of the seed, the same for all arms
    first = o["start"] if o["leak"] else 0
    rest = dict.fromkeys(
        ("precision", "recall", "generated_logit", "generated_called_real", "training_logit",
         "training_called_real", "held_out_logit", "held_out_called_real"), 0.25,
    )  # fmt: skip
    rows = []
    for step in range(o["every"], o["steps"] + 1, o["every"]):
        noise = rng.normal(0, 0.01, 2)
        distances = np.exp(np.log(value(cell.head["arm"], step)) + scatter + noise)
        rows += [
            {"step": step, "generator": generator, "distance_a": distances[0],
             "distance_b": distances[1], **rest}
            for generator in ("none", "ema")
            if step > first
        ]  # fmt: skip
    return rows


def measured(value, budget="desk"):
    """The table and the results of the cells of 300 images."""
    found = limited.cells(1, budget)
    results = json.loads(json.dumps({cell.name: rows_of(cell, value) for cell in found}))
    table = [cell.head | row for cell in found for row in results[cell.name]]
    assert all(list(row) == list(table[0]) for row in table)
    return table, results


def tables(value, budget="desk"):
    """The page without its curves."""
    table, _ = measured(value, budget)
    counted = [row for row in table if row["seed"] != PILOT]
    return "".join(limited_page.tables(BUDGETS[budget], limited_page.whole(counted, START)))


def overfitted(start, end):
    """A distance that falls to 2 at the start of leaks and is ``end`` of an arm afterwards."""

    def value(arm, step):
        if step <= start:
            return 2 + (start - step) / 1000
        final = end.get(arm, 4.0)
        return 2 + (final - 2) * (step - start) / (15_000 - start)

    return value


START = BUDGETS["desk"].starts[300]


@pytest.mark.parametrize(
    ("end", "first", "second"),
    [
        ({}, "not shown", "not shown"),
        ({"leak_0.25": 2.5}, "yes (LeakyEMA 0.25)", "not shown"),
        ({"leak_0.5": 5.0, "augmented_leak_0.25": 3.0}, "not shown", "yes (DiffAugment,"),
        ({"leak_0.25": 2.5, "leak_0.5": 1.5}, "yes (LeakyEMA 0.5; LeakyEMA 0.25)", "not shown"),
    ],
)
def test_the_page_answers_by_the_rule(end, first, second):
    text = tables(overfitted(START, end))
    assert f"A leak helps at this number of images: {first}" in text
    assert f"It helps beyond DiffAugment: {second}" in text
    changes = dict(re.findall(r"<td>([^<]*)</td><td>[\d.]+ ± [\d.]+</td><td>([^<]*)</td>", text))
    for arm, value in end.items():
        ratio = value / 4 - 1
        found = re.match(r"(lower|higher): ([+-][\d.]+) % \(p = ", changes[ARMS[arm].title])
        assert float(found[2]) / 100 == pytest.approx(ratio, abs=0.03)
        assert found[1] == ("lower" if ratio < 0 else "higher")


def test_a_leak_that_only_keeps_the_end_is_no_help():
    """After the start the plain arm gets better, then worse; the leak prevents both."""

    def value(arm, step):
        if arm == "leak_0.5" and step > START:
            return 2.9
        dip = 1.0 if step == START + 500 else 0.0
        return overfitted(START, {})(arm, step) - dip

    text = tables(value)
    assert "number of images: at the end, not at its best (LeakyEMA 0.5). It" in text


def test_an_effect_within_the_margin_is_no_help():
    text = tables(overfitted(START, {"leak_0.5": 3.9}))
    assert "lower: -2." in text
    assert "number of images: not shown" in text


def test_the_best_step_is_chosen_by_one_half_and_valued_by_the_other():
    table = [
        {"arm": "plain", "seed": seed, "generator": "ema", "step": step, "distance_a": a,
         "distance_b": b}
        for seed in (0, 1)
        for step, a, b in ((10, 3.0, 30.0), (20, 1.0 + seed, 10.0 + seed), (30, 2.0, 5.0))
    ]  # fmt: skip
    found = limited_page.outcomes(table, 30, "ema")
    assert found["plain", "last"] == [5.0, 5.0]
    assert found["plain", "best"] == [10.0, 11.0]


def test_an_arm_with_a_leak_has_its_origins_curve_before_the_start():
    table = [{"arm": "plain", "step": step, "from": "plain"} for step in (10, 20, 30)]
    table += [{"arm": "leak_0.5", "step": 30, "from": "leak_0.5"}]
    leaky = [row for row in limited_page.whole(table, 20) if row["arm"] == "leak_0.5"]
    assert {row["step"]: row["from"] for row in leaky} == {
        10: "plain", 20: "plain", 30: "leak_0.5",
    }  # fmt: skip


def test_later_seeds_are_an_extension_and_pilots_count_nowhere():
    value = overfitted(START, {"leak_0.25": 2.5})
    verdict = re.compile(r"<td>((?:lower|higher|agrees|not told apart)[^<]*)</td>")
    text = "".join(limited_page.parts(1, "paper", *measured(value, "paper")))
    first, extension = text.split("Extension to 10 seeds")
    assert verdict.findall(first) == verdict.findall(tables(value))
    assert verdict.findall(extension) == verdict.findall(tables(value, "paper"))
    assert verdict.findall(extension) != verdict.findall(first)
    assert f"nearest to half A at step {START:,}" in first
    assert text.count("<figure>") == 4
    assert not re.search(r"\bnan\b|\binf\b", text)


@pytest.mark.slow
def test_smoke_and_a_cell_that_was_interrupted(tmp_path):
    """Two broken cells leave their state; the run that follows ends as one that never broke."""
    words = ["--budget=smoke", f"--out={tmp_path / 'whole'}"]
    assert command.main(["tfgan-ema reproduce", "limited", *words]) == 0
    with (tmp_path / "whole" / "results.csv").open() as file:
        table = list(csv.DictReader(file))
    sizes = BUDGETS["smoke"]
    counted = sizes.seeds * (2 * 3 + 3 * 2) + 3  # three points, two behind the start; the pilot
    assert len(table) == 2 * counted
    assert all(float(row["distance_a"]) > 0 < float(row["distance_b"]) for row in table)
    page = (tmp_path / "whole" / "index.html").read_text()
    assert page.count("<table>") == 3
    assert not re.search(r"\bnan\b|\binf\b", page)

    plain, leaky = (
        next(cell for cell in limited.cells(1, "smoke") if cell.name == name)
        for name in ("60-1-augmented", "60-1-augmented_leak_0.25")
    )
    for cell in (plain, leaky):
        options = {**cell.options, "after": 0.5, "whole": cell.function}
        broken = dataclasses.replace(cell, function="cell_functions:interrupted", options=options)
        with pytest.raises(RuntimeError, match="interrupted"):
            cells.run([broken], tmp_path / "broken", workers=1)
        assert (tmp_path / "broken" / "cells" / f"{cell.name}.npz").exists()
    again = cells.run([plain, leaky], tmp_path / "broken", workers=1)
    for cell in (plain, leaky):
        assert again[cell.name] == cells.record(tmp_path / "whole", cell)["result"]
