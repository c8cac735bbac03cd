"""What every command does around its work."""

import errno

import pytest

from tfgan_ema import command
from tfgan_ema.errors import UsageError


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


def fails(error, *rows):
    def function(values, positional):
        raise error

    return command.run(function, command.new_flags(*rows), "usage", ["tfgan-ema x"])


def test_a_full_disk_is_one_line_that_says_what_is_kept(capsys):
    assert fails(OSError(errno.ENOSPC, "No space left on device", "runs/a")) == 1
    assert capsys.readouterr().err == (
        "tfgan-ema x: runs/a: No space left on device. Files that were complete are kept. Free "
        "some space and repeat the command.\n"
    )


def test_a_file_that_cannot_be_written_is_one_line_and_other_errors_are_not_hidden(capsys):
    assert fails(PermissionError(errno.EACCES, "Permission denied", "runs/a")) == 2
    assert "runs/a: Permission denied" in capsys.readouterr().err
    with pytest.raises(OSError, match="pipe"):
        fails(OSError("a broken pipe"))


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("m exists: pass overwrite=True.", "m exists: pass --overwrite."),
        ("use strategy='cpu', or KERAS_BACKEND=jax", "use --strategy=cpu, or KERAS_BACKEND=jax"),
        ("as in config.loss.KEY=VALUE", "as in --config.loss.KEY=VALUE"),
        ("--strategy=cpu, latent=128, x.strategy=1", "--strategy=cpu, latent=128, x.strategy=1"),
        ("name it with data_dir= or in place", "name it with data_dir= or in place"),
    ],
)
def test_the_arguments_of_library_errors_are_written_as_flags(message, expected, capsys):
    rows = ("overwrite", bool, False, ""), ("strategy", str, None, ""), ("config", str, None, "")
    assert fails(UsageError(message), *rows) == 2
    assert capsys.readouterr().err == f"tfgan-ema x: {expected}\n"


def test_outputs_that_cannot_be_written_are_refused(tmp_path):
    file = tmp_path / "file"
    file.touch()
    wrong = ("file", tmp_path), ("file", file / "a.png"), ("folder", file), ("folder", file / "a/b")
    for kind, name in wrong:
        with pytest.raises(
            UsageError, match=f"--out={name}: cannot be written in {tmp_path.parent}"
        ):
            command.check_output("out", name, kind)
    for kind, name in [("file", file), ("folder", tmp_path), ("folder", tmp_path / "new")]:
        command.check_output("out", name, kind)
