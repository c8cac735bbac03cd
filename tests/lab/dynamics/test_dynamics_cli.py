# ruff: noqa: RUF001 (minus signs are meant)
"""The commands: what they draw, what they refuse, and the page."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.image import imread

from tfgan_ema.lab.commands import dynamics, reproduce
from tfgan_ema.lab.dynamics import GAN, NSGAN, LeakyEMA, descend, plots
from tfgan_ema.lab.dynamics.claims import alpha_claims, blog_claims, blog_runs
from tfgan_ema.lab.dynamics.report import reproduce as page


def run(*flags):
    return dynamics.main(["tfgan-ema dynamics", *flags])


def test_draws_what_it_is_asked_for(tmp_path, capsys):
    assert run("--methods=gan,r1+leaky_ema", "--steps=50", f"--out={tmp_path / 'new'}") == 0
    names = sorted(path.name for path in (tmp_path / "new").iterdir())
    assert names == [
        "eigenvalues.png", "eigenvalues.svg", "trajectories.png", "trajectories.svg"
    ]  # fmt: skip
    ElementTree.parse(tmp_path / "new" / "trajectories.svg")
    assert imread(tmp_path / "new" / "trajectories.png").shape[2] == 4
    printed = capsys.readouterr().out
    assert re.search(r"GAN .* 0\.0000\+0\.5000j", printed)
    assert "R1 + LeakyEMA" in printed


def test_two_dimensions_and_continuous_time(tmp_path):
    flags = ("--methods=wgan_normalised", "--start=.2,.1,.1,.2", "--rule=continuous")
    assert run(*flags, "--steps=50", f"--out={tmp_path}") == 0
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".png", ".svg"]


@pytest.mark.parametrize(
    "flag",
    [
        "--decay=1", "--decay=0", "--step=-0.1", "--step=nan", "--methods=gann", "--methods=",
        "--start=nan,1", "--start=inf,1", "--start=1", "--start=a,b", "--rule=both", "--beta=2",
        "--n_dis=0", "--steps=-1", "--first=me", "--step=abc", "--unknown=1", "word",
    ],
)  # fmt: skip
@pytest.mark.parametrize("rule", ["--rule=continuous", "--rule=simultaneous"])
def test_bad_input_is_one_line_and_writes_nothing(tmp_path, capsys, flag, rule):
    assert run("--methods=gan", rule, f"--out={tmp_path / 'new'}", flag) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert error.startswith("tfgan-ema dynamics: ")
    assert not list(tmp_path.iterdir())


def test_out_must_be_a_folder(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert run("--methods=gan", "--steps=5", f"--out={tmp_path / 'file'}") == 2
    assert run("--methods=gan", "--steps=5") == 2
    assert "--out" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["nothing", "--out=x"], ["dynamics"], ["--out=x"]])
def test_reproduce_refuses(words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert reproduce.main(["tfgan-ema reproduce", *words]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_portraits_have_equal_aspect_labels_and_a_legend():
    panels = [
        ("GAN", GAN(), descend(GAN(), (1, 1), 30, 0.1)),
        ("leak", LeakyEMA(), descend(LeakyEMA(), (1, 1), 30, 0.1)),
    ]
    figure = plots.phase_portraits(panels)
    for axis in figure.axes:
        assert axis.get_aspect() == 1
        assert (axis.get_xlabel(), axis.get_ylabel()) == ("θ", "ψ")
        assert axis.get_xlim() == axis.get_ylim()
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["run", "averaged", "start", "equilibrium"]


def test_figures_are_reproducible(tmp_path):
    for name in ("a", "b"):
        game = NSGAN()
        figure = plots.phase_portraits([("NSGAN", game, descend(game, (1, 1), 30, 0.1))])
        plots.save(figure, tmp_path, name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_a_diverging_run_is_drawn():
    game = NSGAN()
    run = descend(game, (1, 1), 30, 0.1)
    run.state[-3:] = np.inf
    assert np.isfinite(plots.phase_portraits([("x", game, run)]).axes[0].get_xlim()).all()


def test_alpha_claims():
    assert [claim.agrees for claim in alpha_claims()] == [True, True, False, False]


@pytest.mark.slow
def test_blog_claims():
    verdicts = [claim.agrees for claim in blog_claims(blog_runs())]
    assert verdicts == [True] * 6 + [False]


@pytest.mark.slow
def test_the_page(tmp_path):
    text = page(tmp_path).read_text(encoding="utf-8")
    pictures = re.findall(r'<img src="([^"]+)"', text)
    assert len(pictures) == 9
    assert all((tmp_path / name).stat().st_size > 1000 for name in pictures)
    rows = re.findall(r"<tr><td>.*<td>(?:yes|no)</td></tr>", text)
    assert len(rows) == 36
    wrong = [row for row in rows if row.endswith("<td>no</td></tr>")]
    slips = (  # in the papers' order, by a piece of the corrected statement
        "f(t) = −log(1 + exp(−t))", "converges linearly", "never diverges", "all converge locally",
        "not normalised", "learning rate 1", "One letter, two signs", "turns the other way",
        "In (0, ∞]", "Not on this problem",
    )  # fmt: skip
    assert len(wrong) == len(slips)
    assert all(slip in row for slip, row in zip(slips, wrong, strict=True))
