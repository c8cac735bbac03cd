"""What every command does around its work."""

import errno
import signal

import pytest

from tfgan_ema import command, files
from tfgan_ema.errors import UsageError


def run(function):
    return command.run(function, command.new_flags(), "usage", ["tfgan-ema x"])


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_an_interruption_is_one_line_no_traceback_and_nothing_unfinished(
    tmp_path, capsys, name, code
):
    def interrupted(values, positional):
        with files.replacing(tmp_path / "a.npy") as temporary:
            temporary.write_text("half")
            signal.raise_signal(getattr(signal, name))

    before = signal.getsignal(signal.SIGTERM)
    assert run(interrupted) == code
    assert capsys.readouterr() == ("", f"tfgan-ema x: interrupted by {name}.\n")
    assert not list(tmp_path.iterdir())
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_missing_package_is_one_line_that_says_what_brings_it(capsys):
    def needs_sklearn(values, positional):
        raise ModuleNotFoundError("No module named 'sklearn'", name="sklearn.datasets")

    assert run(needs_sklearn) == 2
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
