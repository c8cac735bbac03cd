# ruff: noqa: RUF001 (minus signs are meant)
"""The page of the dynamics and its figures."""

import re

import numpy as np
import pytest

from tfgan_ema.lab.dynamics import GAN, NSGAN, LeakyEMA, descend
from tfgan_ema.lab.reports import phase_plots
from tfgan_ema.lab.reports.dynamics import reproduce


def test_portraits_have_equal_aspect_labels_and_a_legend():
    panels = [
        ("GAN", GAN(), descend(GAN(), (1, 1), 30, 0.1)),
        ("leak", LeakyEMA(), descend(LeakyEMA(), (1, 1), 30, 0.1)),
    ]
    figure = phase_plots.phase_portraits(panels)
    for axis in figure.axes:
        assert axis.get_aspect() == 1
        assert (axis.get_xlabel(), axis.get_ylabel()) == ("θ", "ψ")
        assert axis.get_xlim() == axis.get_ylim()
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["run", "averaged", "start", "equilibrium"]


def test_figures_are_reproducible(tmp_path):
    for name in ("a", "b"):
        game = NSGAN()
        figure = phase_plots.phase_portraits([("NSGAN", game, descend(game, (1, 1), 30, 0.1))])
        phase_plots.save(figure, tmp_path, name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_a_diverging_run_is_drawn():
    game = NSGAN()
    run = descend(game, (1, 1), 30, 0.1)
    run.state[-3:] = np.inf
    assert np.isfinite(phase_plots.phase_portraits([("x", game, run)]).axes[0].get_xlim()).all()


@pytest.mark.slow
def test_the_page(tmp_path):
    text = reproduce(tmp_path).read_text(encoding="utf-8")
    assert [path.name for path in tmp_path.iterdir()] == ["index.html"]
    drawings = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    assert len(set(drawings)) == 14
    assert min(map(len, drawings)) > 1000
    rows = re.findall(r"<tr><td>.*<td>(?:yes|no)</td></tr>", text)
    assert len(rows) == 44
    wrong = [row for row in rows if row.endswith("<td>no</td></tr>")]
    slips = (  # in the papers' order, by a piece of the corrected statement
        "f(t) = −log(1 + exp(−t))", "converges linearly", "never diverges", "all converge locally",
        "not normalised", "learning rate 1", "One letter, two signs", "turns the other way",
        "In (0, ∞]", "Not on this problem", "Not on a game that turns",
    )  # fmt: skip
    assert len(wrong) == len(slips)
    assert all(slip in row for slip, row in zip(slips, wrong, strict=True))
