"""What every command does around its work."""

from tfgan_ema import command


def test_an_interruption_is_one_line_and_no_traceback(capsys):
    def interrupted(values, positional):
        raise KeyboardInterrupt

    assert command.run(interrupted, command.new_flags(), "usage", ["tfgan-ema x"]) == 130
    assert capsys.readouterr() == ("", "tfgan-ema x: interrupted.\n")


def test_a_missing_package_is_one_line_that_says_what_brings_it(capsys):
    def needs_sklearn(values, positional):
        raise ModuleNotFoundError("No module named 'sklearn'", name="sklearn.datasets")

    assert command.run(needs_sklearn, command.new_flags(), "usage", ["tfgan-ema x"]) == 2
    error = capsys.readouterr().err
    assert error == "tfgan-ema x: sklearn is not installed: pip install 'tfgan_ema[lab]'.\n"
