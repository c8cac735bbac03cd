"""The experiment on a modern baseline: its cells, its page, and an interrupted cell."""

import dataclasses
import json
import re

import numpy as np
import pytest

import zoo
from tfgan_ema.lab.experiments import cells, experiment, modern


@pytest.mark.parametrize("budget", experiment.BUDGETS)
def test_arms_are_scored_at_equal_time_and_at_equal_images(budget):
    sizes = modern.BUDGETS[budget]
    found = modern.cells(budget)
    assert [cell.head["seed"] for cell in found] == sorted(cell.head["seed"] for cell in found)
    for cell in found:
        arm, reached = sizes.arms[cell.head["arm"]], cell.options["points"]
        config = modern.configuration(cell.options)
        assert arm.images == config.batch_size * config.n_dis
        assert reached[-1] == modern.last(sizes, cell.head["arm"]) == config.steps
        level = modern.level(sizes, cell.head["arm"])
        assert level in reached
        ours = sizes.arms[modern.OURS]
        assert level * arm.images == ours.steps * ours.images
        if budget != "smoke":
            seconds = ours.steps * ours.step
            assert arm.steps * arm.step == pytest.approx(seconds, rel=0.01)


def test_r3gans_schedules_end_with_its_run():
    cell = modern.cells("desk")[0]
    config = modern.configuration(cell.options)
    images = config.steps * config.batch_size
    for schedule in (
        config.penalties.r1_r2.weight, config.d_optimizer.learning_rate, config.g_optimizer.beta_2,
    ):  # fmt: skip
        assert schedule.images == images
    assert not config.data.flip
    assert not config.augment


def test_networks_have_the_same_number_of_parameters():
    sizes = []
    for arm in modern.BUDGETS["desk"].arms.values():
        config = modern.configuration(
            next(c for c in modern.cells("desk") if c.options["width"] == arm.width).options
        )
        pair = zoo.build(config.network.kind, channels=1, width=arm.width)
        sizes.append(sum(net.count_params() for net in pair))
    assert max(sizes) / min(sizes) < 1.03


def invented(cell, distances):
    """What a cell returns, with the distances that its arm has at every point."""
    rng = np.random.default_rng([cell.head["seed"], len(cell.name)])
    return [
        {"step": step, "generator": generator, "precision": 0.5, "recall": 0.25,
         "distance": distances[cell.head["arm"]] * np.exp(rng.normal(0, 0.02))}
        for step in cell.options["points"]
        for generator in (modern.RAW, modern.AVERAGE)
    ]  # fmt: skip


@pytest.mark.parametrize("seeds", [1, 3])
def test_the_page_says_what_the_rows_say(seeds, monkeypatch):
    sizes = modern.BUDGETS["desk"]._replace(seeds=seeds)
    monkeypatch.setitem(modern.BUDGETS, "desk", sizes)
    found = modern.cells("desk")
    distances = {"r3gan": 2.0, "dcgan": 1.0, "sngan": 4.0}
    results = json.loads(json.dumps({cell.name: invented(cell, distances) for cell in found}))
    page = "".join(modern.parts("desk", experiment.rows(found, results), results))
    words = re.findall(r"<td>((?:higher: |lower: )?[+-]\d+\.\d %)", page)
    assert [word.split(":")[0] for word in words if seeds > 1] == ["higher", "lower"] * (
        seeds > 1
    ) * 2
    changes = [float(word.split()[-2]) for word in words]
    np.testing.assert_allclose(changes, [100, -50, 100, -50], atol=9)
    assert page.count("<table>") == 2
    assert page.count("<figure>") == 1
    assert not re.search(r"\bnan\b", page)


@pytest.mark.slow
def test_an_interrupted_cell_ends_as_a_whole_one(tmp_path):
    cell = modern.cells("smoke")[0]
    whole = cells.run([cell], tmp_path / "whole", workers=1)
    options = {**cell.options, "after": 0.5, "whole": cell.function}
    broken = dataclasses.replace(cell, function="cell_functions:interrupted", options=options)
    with pytest.raises(RuntimeError, match="interrupted"):
        cells.run([broken], tmp_path / "broken", workers=1)
    assert (tmp_path / "broken" / "cells" / f"{cell.name}.npz").exists()
    assert cells.run([cell], tmp_path / "broken", workers=1) == whole
