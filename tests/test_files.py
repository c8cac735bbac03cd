"""Files and folders are replaced whole or not at all, and a folder has one writer."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
import toy

import tfgan_ema as tg
from tfgan_ema import files, records
from tfgan_ema.errors import UsageError


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


class Killed(BaseException):
    """What stands for SIGKILL: nothing is changed on disk from a moment on."""


kill = {"folder": None, "after": 0}  # of the next operations in the folder


def _kill(event, args):
    if kill["folder"] is None or not isinstance(args[0] if args else None, str | os.PathLike):
        return
    changes = event in ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate")
    if changes or (event == "open" and args[2] & (os.O_WRONLY | os.O_RDWR)):
        below = event in ("os.remove", "os.rmdir") and args[1] != -1  # of a folder that is open
        if not below and os.fspath(kill["folder"]) not in os.path.abspath(args[0]):
            return
        kill["after"] -= 1
        if kill["after"] < 0:
            raise Killed


sys.addaudithook(_kill)


def killed(function, folder, after):
    """Whether a process that calls a function is killed before so many of its changes and one."""
    kill.update(folder=folder, after=after)
    try:
        function()
        return False
    except Killed:
        return True
    finally:
        kill["folder"] = None
        files._token.cache_clear()  # the next process, even if it has the same number
        files._clear_once.cache_clear()
        for lock in files._claims.values():
            lock.close()
        files._claims.clear()


def write_model(path, text):
    with files.replacing(path) as temporary:
        temporary.mkdir()
        for name in ("a", "b"):
            (temporary / name).write_text(text)


def content(path):
    return [part.read_text() for part in sorted(path.iterdir())] if path.exists() else None


def test_a_folder_that_is_replaced_is_whole_after_a_kill_at_any_moment(tmp_path):
    path, moments = tmp_path / "models" / "m", 0
    write_model(path, "old")
    while killed(lambda: write_model(path, "new"), tmp_path, moments):
        moments += 1
        files.clear_leftovers(path.parent)
        assert content(path) in (["old"] * 2, ["new"] * 2), moments
        assert os.listdir(path.parent) == ["m"]
        write_model(path, "old")
    assert content(path) == ["new", "new"]
    assert moments > 8


def test_a_second_kill_while_the_first_is_cleared_up_loses_nothing_either(tmp_path):
    path, first = tmp_path / "models" / "m", 0
    write_model(path, "old")
    while killed(lambda: write_model(path, "new"), tmp_path, first):
        second = 0
        while killed(lambda: files.clear_leftovers(path.parent), tmp_path, second):
            second += 1
        files.clear_leftovers(path.parent)
        assert content(path) in (["old"] * 2, ["new"] * 2), (first, second)
        assert os.listdir(path.parent) == ["m"]
        write_model(path, "old")
        first += 1


def test_what_was_moved_aside_is_back_before_anybody_writes_again(tmp_path):
    """A folder that was there is not taken to be absent, nor replaced unasked."""
    gan = toy.gan("mlp")
    model = tg.export.saved_model(gan, tmp_path / "m")
    old = model.rename(tmp_path / f".m.{files._host()}-1-00000000.old")
    os.utime(old, (0, 0))
    for part in old.rglob("*"):
        os.utime(part, (0, 0))
    with pytest.raises(UsageError, match="exists: choose another"):
        tg.export.saved_model(gan, model)
    model.rename(old)
    assert tg.export.load_generator(model).sample(1, 0).shape == (1, 2)


def test_a_failed_swap_puts_the_old_folder_back(tmp_path, monkeypatch):
    path = tmp_path / "m"
    write_model(path, "old")

    def fail(self, target):
        raise OSError(errno.EIO, "no luck", str(self))

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="no luck") as caught:
        write_model(path, "new")
    assert caught.value.filename == str(path)
    assert content(path) == ["old", "old"]
    assert os.listdir(tmp_path) == ["m"]


def unfinished(folder, host=None, process=None, token="0" * 8, name="a.npz"):
    path = folder / f".{name}.{host or files._host()}-{process or os.getpid()}-{token}.tmp.npz"
    path.touch()
    return path


def test_leftovers_are_told_from_what_is_being_written(tmp_path):
    dead = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True
    ).stdout.strip()
    other = unfinished(tmp_path, process=os.getppid())
    mine = unfinished(tmp_path, token=files._token(os.getpid()))
    elsewhere = unfinished(tmp_path, host="0" * 8, process=dead)
    earlier, gone = unfinished(tmp_path), unfinished(tmp_path, process=dead, name="[b]\n*")
    (tmp_path / ".hidden").touch()
    assert files.is_hidden(gone)
    assert not files.is_hidden(tmp_path / ".hidden")
    files.clear_leftovers(tmp_path)
    assert not earlier.exists()
    assert not gone.exists()
    assert all(path.exists() for path in (other, mine, elsewhere))
    for path in (other, mine, elsewhere):  # a number is used again, a host does not come back
        os.utime(path, (0, 0))
    files.clear_leftovers(tmp_path)
    assert os.listdir(tmp_path) == [".hidden"]


def test_the_first_write_to_a_folder_removes_what_is_left_there(tmp_path):
    left = unfinished(tmp_path, name="another")
    files.write_text(tmp_path / "a", "text")
    assert not left.exists()


# Claims


def test_a_folder_is_claimed_by_one_process_and_says_by_which(tmp_path):
    """The claim of a process that was killed has ended, and its lock file bars nobody."""
    holds = "import sys, time; from tfgan_ema import files; c = files.claim(sys.argv[1]); "
    holds += "c.__enter__(); print(flush=True); time.sleep(600)"
    other = subprocess.Popen([sys.executable, "-c", holds, tmp_path], stdout=subprocess.PIPE)
    other.stdout.readline()
    with pytest.raises(UsageError, match=rf"in use by process {other.pid} on \S+ since 2"):
        files.claim(tmp_path).__enter__()
    other.kill()
    other.wait()
    assert os.listdir(tmp_path) == [".lock"]
    with files.claim(tmp_path), files.claim(tmp_path):  # it has it already
        assert str(os.getpid()) in (tmp_path / ".lock").read_text()
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("anew", [False, True])
def test_a_claimed_folder_that_is_gone_is_not_made_anew(tmp_path, anew):
    folder = tmp_path / "run"
    with files.claim(folder):
        table = records.Table(folder / "t.csv", 0)
        table.append({"step": 1})
        folder.rename(tmp_path / "moved")
        if anew:
            folder.mkdir()
            (folder / "t.csv").write_text("step\n")
        for write in (
            lambda: table.append({"step": 2}),
            lambda: files.write_text(folder / "new" / "a", "text"),
        ):
            with pytest.raises(UsageError, match="was deleted, moved or replaced"):
                write()
    assert os.listdir(folder) == ["t.csv"] if anew else not folder.exists()
    files.write_text(folder / "a", "text")  # nobody claims it now


def test_a_table_that_was_deleted_or_cut_off_has_its_columns_again(tmp_path):
    path = tmp_path / "t.csv"
    table = records.Table(path, 0)
    table.append({"step": 1, "loss": 1.25})
    path.unlink()
    table.append({"step": 2, "loss": 2.25})
    with path.open("a") as file:
        file.write("3,3.2")  # of 3.25: the disk was full
    assert records.read_table(path) == [{"step": "2", "loss": "2.25"}]
    again = records.Table(path, 3)
    again.append({"step": 3, "loss": 3.25})
    assert [row["loss"] for row in records.read_table(path)] == ["2.25", "3.25"]
