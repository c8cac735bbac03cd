"""Residual blocks of SNGAN, WGAN-GP and BigGAN, as functions of Keras tensors.

A family fixes its `BlockStyle` (how convolutions and norms are made) and then writes its network as
a sequence of blocks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
from keras import layers, ops

from tfgan_ema.engines import Tensor


@dataclass(frozen=True)
class BlockStyle:
    """How the parts of a residual block are made.

    Attributes:
        conv: ``conv(filters, kernel_size, name=..., resample=None) -> layer``, for the main path;
            ``resample`` as in `ResampledConv2D`.
        shortcut: the same for the shortcut's 1x1 convolution.
        norm: ``norm(x, name) -> tensor`` before a ReLU; ``None`` for none.
        upsampling: ``"nearest"`` (the original papers) or ``"bilinear"`` (mimicry).
        activated_shortcut: whether a discriminator's shortcuts, but for the first, start from the
            activated input (mimicry, whose ReLU works in place) instead of the input.
    """

    conv: Callable[..., keras.layers.Layer]
    shortcut: Callable[..., keras.layers.Layer]
    norm: Callable[[Tensor, str], Tensor] | None = None
    upsampling: str = "nearest"
    activated_shortcut: bool = False

    def activate(self, x: Tensor, name: str) -> Tensor:
        """Norm, then ReLU."""
        return ops.relu(x if self.norm is None else self.norm(x, name))

    def up(self, conv: Callable[..., keras.layers.Layer], x: Tensor, **kwargs: Any) -> Tensor:
        """Twice the resolution, then ``conv(**kwargs)``; one layer does both for ``"nearest"``."""
        if self.upsampling == "nearest":
            return conv(**kwargs, resample="up")(x)
        return conv(**kwargs)(layers.UpSampling2D(2, interpolation=self.upsampling)(x))


def up_block(x: Tensor, filters: int, style: BlockStyle, name: str) -> Tensor:
    """A generator's block: [n, h, w, c] -> [n, 2h, 2w, filters].

    norm-relu-up-conv3-norm-relu-conv3 on the main path, up-conv1 on the shortcut. Layers are called
    ``NAME_norm1``, ``NAME_conv1``, ``NAME_norm2``, ``NAME_conv2``, ``NAME_shortcut`` and ``NAME``.
    """
    h = style.activate(x, f"{name}_norm1")
    h = style.up(style.conv, h, filters=filters, kernel_size=3, name=f"{name}_conv1")
    h = style.conv(filters, 3, name=f"{name}_conv2")(style.activate(h, f"{name}_norm2"))
    x = style.up(style.shortcut, x, filters=filters, kernel_size=1, name=f"{name}_shortcut")
    return layers.Add(name=name)([h, x])


def down_block(
    x: Tensor,
    filters: int,
    style: BlockStyle,
    name: str,
    *,
    down: bool = True,
    first: bool = False,
    hidden: int | None = None,
) -> Tensor:
    """A discriminator's block: [n, h, w, c] -> [n, h/2, w/2, filters], or [n, h, w, filters].

    relu-conv3-relu-conv3-pool on the main path, conv1-pool on the shortcut. The first block of a
    network has no ReLU in front.

    Args:
        x: [n, h, w, c].
        filters: channels of the output.
        style: how the parts are made.
        name: prefix of the layers' names, as in `up_block`.
        down: whether the block halves the resolution.
        first: whether this block reads the image.
        hidden: channels between the two convolutions; ``None`` means ``filters`` in a first block
            and c otherwise (SNGAN); BigGAN takes ``filters`` everywhere.
    """
    channels = x.shape[-1]
    hidden = hidden or (filters if first else channels)
    h = x if first else style.activate(x, f"{name}_norm1")
    if style.activated_shortcut:
        x = h
    h = style.conv(hidden, 3, name=f"{name}_conv1")(h)
    resample = "down" if down else None
    h = style.activate(h, f"{name}_norm2")
    h = style.conv(filters, 3, name=f"{name}_conv2", resample=resample)(h)
    if down or first or channels != filters:
        x = style.shortcut(filters, 1, name=f"{name}_shortcut", resample=resample)(x)
    return layers.Add(name=name)([h, x])
