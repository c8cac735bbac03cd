"""DINOv2's weights (Oquab et al. 2024) for `networks.vision_transformer`, from a published file.

No package carries them. Their authors and Hugging Face's timm publish them as PyTorch and as
safetensors files, which differ in how they are written, not in the names of the weights.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from tfgan_ema import reading
from tfgan_ema.interop.pytorch import read_tensors
from tfgan_ema.interop.safetensors import read_safetensors

PATCH, SIDE = 14, 16  # pixels a side of a patch, patches a side of an image of 224 pixels


class Form(NamedTuple):
    """The size of a vision transformer."""

    width: int
    depth: int


FORMS = {
    "dinov2_vits14": Form(384, 12),
    "dinov2_vitb14": Form(768, 12),
    "dinov2_vitl14": Form(1024, 24),
}


def read(name: str, path: Path) -> dict[str, np.ndarray]:
    """The arrays of one of `FORMS` from a published file.

    Raises:
        UsageError: the file is damaged, or of another network.
    """
    is_safe = path.suffix == ".safetensors"
    tensors = read_safetensors(path) if is_safe else read_tensors(path)
    form = FORMS[name]
    problem = f"{path} does not hold the weights of {name}"
    with reading.refusing(problem, "give the file that its authors or timm publish."):
        for key, shape in _shapes(form).items():
            found = tensors[key].shape if key in tensors else "missing"
            if found != shape:
                raise ValueError(f"{key} is {found}, expected {shape}")
        one, count, width = tensors["pos_embed"].shape
        if (one, width) != (1, form.width) or round((count - 1) ** 0.5) ** 2 != count - 1:
            raise ValueError(f"pos_embed is {tensors['pos_embed'].shape}")
        tensors = {key: np.asarray(value, np.float32) for key, value in tensors.items()}
        if not all(np.isfinite(value).all() for value in tensors.values()):
            raise ValueError("it has values that are not finite")
        return convert(tensors, form)


def convert(tensors: dict[str, np.ndarray], form: Form) -> dict[str, np.ndarray]:
    """The arrays of `networks.vision_transformer` from checked tensors."""
    arrays = {
        "patches/kernel": tensors["patch_embed.proj.weight"].transpose(2, 3, 1, 0),
        "patches/bias": tensors["patch_embed.proj.bias"],
        "class_token": tensors["cls_token"][0, 0],
        "positions": at_224_pixels(tensors["pos_embed"][0]),
        "norm/kernel": tensors["norm.weight"],
        "norm/bias": tensors["norm.bias"],
    }
    parts = {"norm1": "norm1", "attn.qkv": "attn.qkv", "attn.proj": "attn.proj", "norm2": "norm2",
             "mlp.fc1": "fc1", "mlp.fc2": "fc2"}  # fmt: skip
    scales = {"attn.proj": "ls1.gamma", "mlp.fc2": "ls2.gamma"}
    for i in range(form.depth):
        for part, short in parts.items():
            kernel, bias = (tensors[f"blocks.{i}.{part}.{what}"] for what in ("weight", "bias"))
            scale = tensors[f"blocks.{i}.{scales[part]}"] if part in scales else 1.0
            arrays[f"{i}.{short}/kernel"] = kernel.T * scale
            arrays[f"{i}.{short}/bias"] = bias * scale
    return arrays


def at_224_pixels(positions: np.ndarray) -> np.ndarray:
    """Embeddings of positions ``[1 + n^2, d]`` for 16 x 16 patches, ``[257, d]``.

    Others are resized as the authors do: bicubic with a = -0.75, without smoothing, at the scale of
    16.1 patches.
    """
    side = round((len(positions) - 1) ** 0.5)
    if side == SIDE:
        return positions
    grid = positions[1:].reshape(side, side, -1).astype(np.float64)
    weights = _bicubic(side, SIDE, (SIDE + 0.1) / side)
    resized = np.einsum("ia,jb,abd->ijd", weights, weights, grid)
    return np.vstack([positions[:1], resized.reshape(SIDE**2, -1)]).astype(np.float32)


def _bicubic(old: int, new: int, scale: float, a: float = -0.75) -> np.ndarray:
    """The matrix ``[new, old]`` of bicubic interpolation; places beyond an edge repeat it."""
    weights = np.zeros((new, old))
    for i in range(new):
        place = (i + 0.5) / scale - 0.5
        for j in range(int(np.floor(place)) - 1, int(np.floor(place)) + 3):
            x = abs(place - j)
            near = ((a + 2) * x - (a + 3)) * x * x + 1
            far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
            weights[i, min(max(j, 0), old - 1)] += near if x <= 1 else far
    return weights


def _shapes(form: Form) -> dict[str, tuple[int, ...]]:
    """The tensors that a file must have, besides positions of a square of patches."""
    d = form.width
    shapes = {
        "patch_embed.proj.weight": (d, 3, PATCH, PATCH), "patch_embed.proj.bias": (d,),
        "cls_token": (1, 1, d), "norm.weight": (d,), "norm.bias": (d,),
    }  # fmt: skip
    for i in range(form.depth):
        block = {
            "norm1.weight": (d,), "norm1.bias": (d,), "norm2.weight": (d,), "norm2.bias": (d,),
            "attn.qkv.weight": (3 * d, d), "attn.qkv.bias": (3 * d,),
            "attn.proj.weight": (d, d), "attn.proj.bias": (d,),
            "ls1.gamma": (d,), "ls2.gamma": (d,),
            "mlp.fc1.weight": (4 * d, d), "mlp.fc1.bias": (4 * d,),
            "mlp.fc2.weight": (d, 4 * d), "mlp.fc2.bias": (d,),
        }  # fmt: skip
        shapes |= {f"blocks.{i}.{key}": shape for key, shape in block.items()}
    return shapes
