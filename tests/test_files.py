"""Files and folders are replaced whole or not at all."""

import errno
import os
import subprocess
import sys

import pytest

from tfgan_ema import files


def test_a_file_is_replaced(tmp_path):
    path = tmp_path / "new" / "a.csv"
    for text in ("one", "two"):
        files.write_text(path, text)
        assert path.read_text() == text
    assert os.listdir(path.parent) == ["a.csv"]


@pytest.mark.parametrize("folder", [False, True])
def test_an_error_leaves_the_old_content(tmp_path, folder):
    path = tmp_path / "a"
    if folder:
        path.mkdir()
        (path / "kept").touch()
    else:
        path.write_text("kept")

    def fail():
        with files.replacing(path) as temporary:
            temporary.mkdir() if folder else temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert os.listdir(tmp_path) == ["a"]
    assert os.listdir(path) == ["kept"] if folder else path.read_text() == "kept"


def test_an_error_that_names_no_file_gets_the_name(tmp_path):
    with pytest.raises(OSError, match="full") as caught, files.replacing(tmp_path / "a"):
        raise OSError(errno.ENOSPC, "full")
    assert caught.value.filename == str(tmp_path / "a")
    assert not list(tmp_path.iterdir())


def test_a_folder_replaces_a_folder(tmp_path):
    path = tmp_path / "model"
    for name in ("one", "two"):
        with files.replacing(path) as temporary:
            temporary.mkdir()
            (temporary / name).touch()
        assert os.listdir(path) == [name]
    assert os.listdir(tmp_path) == ["model"]


def test_leftovers_of_killed_processes_are_removed_and_those_of_living_ones_kept(tmp_path):
    dead = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True
    ).stdout.strip()
    alive = os.getppid()
    for process in (dead, alive):
        (tmp_path / f".a.npz.{process}.tmp.npz").touch()
    (tmp_path / f".model.{dead}.old").mkdir()
    (tmp_path / ".hidden").touch()
    files.clear_leftovers(tmp_path)
    assert sorted(os.listdir(tmp_path)) == sorted([f".a.npz.{alive}.tmp.npz", ".hidden"])
