"""The experiment on a thousand modes: its cells, its rule and its page."""

import re

import numpy as np
import pytest

from tfgan_ema.lab.experiments import experiment, stacked_mnist
from tfgan_ema.lab.experiments.stacked_mnist import ARMS, BUDGETS


@pytest.mark.parametrize("budget", experiment.BUDGETS)
def test_every_leak_continues_from_its_own_seed(budget):
    sizes = BUDGETS[budget]
    found = {cell.name: cell for cell in stacked_mnist.cells(budget)}
    assert len(found) == 1 + sizes.seeds * len(ARMS)
    assert sizes.steps // 2 % sizes.every == 0
    for cell in found.values():
        o = cell.options
        if o.get("leak"):
            origin = found[o["origin"]]
            assert o["leak"]["start_step"] == o["start"] == origin.options["start"]
            assert origin.options["changes"] == o["changes"]
            assert (origin.turn, origin.cost > cell.cost) == (cell.turn, True)  # so it starts first


def test_a_cell_of_the_desk_takes_a_quarter_of_an_hour_at_most():
    assert max(cell.cost for cell in stacked_mnist.cells("desk")) <= 900


def table(divergence, modes):
    """Rows of the desk budget, of arms whose scores scatter little."""
    sizes, rows = BUDGETS["desk"], []
    for cell in stacked_mnist.cells("desk")[1:]:
        arm, seed = cell.head["arm"], cell.options["seed"]
        noise = np.exp(np.random.default_rng(seed).normal(0, 0.2))  # of the seed
        own = np.exp(np.random.default_rng([seed, *arm.encode()]).normal(0, 0.01))
        first = sizes.steps // 2 if ARMS[arm].leak else 0
        rows += [
            {"arm": arm, "seed": seed, "step": step, "generator": generator,
             "modes": modes.get(arm, 900.0) * own, "kl": divergence.get(arm, 0.5) * noise * own}
            for step in range(sizes.every, sizes.steps + 1, sizes.every)
            for generator in ("none", "ema")
            if step > first
        ]  # fmt: skip
    real = {"arm": "real images", "step": 0, "generator": "real images", "modes": 1000.0}
    return [{**real, "seed": seed, "kl": 0.02 + 0.001 * seed} for seed in range(5)] + rows


@pytest.mark.parametrize(
    ("divergence", "modes", "answer"),
    [
        ({}, {}, "not shown"),
        ({"r1": 0.3, "leak": 0.7}, {}, "R1"),
        ({"r1": 0.3}, {"r1": 800.0}, "not shown"),
        ({"adaptive": 0.485}, {}, "not shown"),  # within the margin
        ({"leak": 0.3, "relativistic": 0.1}, {}, "LeakyEMA 0.5, relativistic, R1 and R2"),
    ],
)
def test_the_page_answers_by_the_rule(divergence, modes, answer):
    text = "".join(stacked_mnist.parts("desk", table(divergence, modes), {}))
    assert f"better than plain training without a leak: {answer}." in text
    assert "As many real images: modes 1000.0000 ± 0.0000, divergence 0.0220" in text
    assert (text.count("<table>"), text.count("<figure>")) == (2, 2)
    assert not re.search(r"\bnan\b|\binf\b", text)
