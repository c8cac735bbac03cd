"""What every command does around its work."""

from tfgan_ema import command


def test_an_interruption_is_one_line_and_no_traceback(capsys):
    def interrupted(values, positional):
        raise KeyboardInterrupt

    assert command.run(interrupted, command.new_flags(), "usage", ["tfgan-ema x"]) == 130
    assert capsys.readouterr() == ("", "tfgan-ema x: interrupted.\n")
