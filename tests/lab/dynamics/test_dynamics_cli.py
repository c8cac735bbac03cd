"""The commands: what they draw and what they refuse."""

import re
from xml.etree import ElementTree

import pytest
from matplotlib.image import imread

from tfgan_ema.lab.commands import dynamics, reproduce
from tfgan_ema.lab.dynamics.claims import check
from tfgan_ema.lab.dynamics.papers import alpha, blog


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


def test_alpha_claims():
    assert [claim.agrees for claim in check(alpha)] == [True] * 6 + [False] * 2


@pytest.mark.slow
def test_blog_claims():
    verdicts = [claim.agrees for claim in check(blog)]
    assert verdicts == [True] * 6 + [False]
