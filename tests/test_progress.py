"""The one line that says what is done and how far it is."""

import contextlib
import io

import numpy as np
import pytest

from tfgan_ema import command, progress
from tfgan_ema.errors import UsageError, say
from tfgan_ema.metrics import Evaluator


class Terminal(io.StringIO):
    """A terminal that keeps all that it showed."""

    encoding = "utf-8"

    def isatty(self):
        return True

    def lines(self):
        return [line.rstrip() for line in self.getvalue().replace("\r", "\n").split("\n")]


@contextlib.contextmanager
def shown():
    terminal = Terminal()
    with contextlib.redirect_stderr(terminal), contextlib.redirect_stdout(terminal):
        yield terminal


def test_work_inside_other_work_is_named_in_its_line():
    with shown() as terminal, progress.line("training", 4) as line:
        line.advance(2, d_loss="0.5")
        with progress.doing("evaluating"):
            assert list(progress.track("ab", "samples", 2)) == ["a", "b"]
        line.advance(2)
    assert set(line.spent) == {"evaluating"}
    begins = [text.split("|")[0] for text in terminal.lines()]
    said = ["training 0 %", "evaluating 50 %", "evaluating: samples 1/2 50 %", "training 50 %"]
    places = [begins.index(each) for each in said]
    assert places == sorted(places)
    assert any("2/4" in text and "d_loss=0.5" in text for text in terminal.lines())


def test_what_is_tracked_alone_has_a_bar_of_its_own_that_goes():
    with shown() as terminal:
        assert list(progress.track(range(3), "images", 3)) == [0, 1, 2]
    assert "images 0 %" in terminal.getvalue()
    assert terminal.lines()[-1] == ""


def test_a_notice_does_not_run_into_the_line():
    with shown() as terminal, progress.line("training", 2):
        say("a row is left out.")
        progress.note("a note")
    assert {"tfgan_ema: a row is left out.", "a note"} <= {*terminal.lines()}


def test_nothing_is_shown_where_nobody_sees_it(capsys):
    with progress.line("training", 2) as line, progress.doing("saving"):
        line.advance()
    assert list(progress.track("ab", "samples", 2)) == ["a", "b"]
    assert capsys.readouterr() == ("", "")
    assert line.spent["saving"] > 0


def test_an_evaluator_counts_in_the_line_of_the_training():
    evaluator = Evaluator(["w1"], "ring", samples=200, reference_samples=200)
    with shown() as terminal, progress.line("training", 2), progress.doing("evaluating"):
        evaluator(lambda count, seed: np.random.default_rng(seed).normal(size=(count, 2)))
    assert "evaluating: samples 1/2" in terminal.getvalue()
    assert terminal.getvalue().count("training 0 %") >= 2  # before and after


def test_quiet_leaves_results_and_errors(capsys):
    def speaks(values, words):
        progress.note("written")
        say("careful")
        print("42")
        raise UsageError("wrong.")

    words = ["tfgan-ema x", "--quiet"]
    assert command.run(speaks, command.new_flags(), "usage", words) == 2
    assert capsys.readouterr() == ("42\n", "tfgan-ema x: wrong.\n")
    assert command.run(speaks, command.new_flags(), "usage", words[:1]) == 2
    assert capsys.readouterr().out == "written\n42\n"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.44, "0.4 s"), (12, "12 s"), (272, "04:32"), (7400, "2:03:20")]
)
def test_times_are_written_as_a_clock_shows_them(seconds, text):
    assert progress.clock(seconds) == text
