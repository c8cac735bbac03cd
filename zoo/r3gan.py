"""R3GAN (arXiv 2501.05441): residual blocks with grouped convolutions and no normalisation.

A block is a 1x1 convolution to twice the channels, a 3x3 one within groups of channels, a 1x1 one
back, LeakyReLU(0.2) in between, plus its input. Its last kernel starts at 0 and the others are
scaled down with the number of blocks, so a network starts as its resampling alone. A generator has
two blocks at each resolution from 4x4 on; the discriminator is its mirror image. Images are not
squashed: they lie roughly in [-1, 1].

Recipes (`configs/r3gan.py`): relativistic pairing with R1 and R2, Adam with beta_1 0, and schedules
for learning rate, beta_2, penalty, half-life of the average and augmentation. Under mixed precision
the blocks at 4x4, in ``r3gan_256`` those up to 16x16, stay in float32, as in the authors' code.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import keras
from keras import layers, ops

from tfgan_ema.layers.grouped import GroupedConv2D
from tfgan_ema.layers.style import ConstantInput, downsample, upsample
from zoo.common import doubled_sizes, label_input, to_image, with_label


class Row(NamedTuple):
    """A channel table.

    Attributes:
        channels: of the widest blocks.
        group: channels in a group of their 3x3 convolution.
        widest: the resolution up to which blocks are that wide; each doubling behind it halves
            their channels. 0: all of them are.
        exact: the resolution up to which blocks compute in float32.
    """

    channels: int = 768
    group: int = 16
    widest: int = 32
    exact: int = 4


TABLE = {
    "small": Row(),
    "256": Row(exact=16),
    "imagenet": Row(channels=1536, group=32, widest=0),
}
BLOCKS = 2  # at each resolution
EXPANSION = 2
SLOPE = 0.2
LABEL_DIM = 64  # of the generator's class embedding


def build(
    *,
    image_size: int,
    channels: int,
    width: float,
    num_classes: int | None,
    table: str,
    latent_dim: int = 64,
) -> tuple[keras.Model, keras.Model]:
    """Generator: latent [n, d] -> images, unbounded; discriminator: images -> logits.

    Args:
        image_size: a power of 2, at least 8.
        channels: of the images.
        width: multiplies the number of groups, and so the channels of all blocks.
        num_classes: classes of the conditional form, or ``None``.
        table: a row of `TABLE`.
        latent_dim: numbers in the latent.

    Raises:
        UsageError: an impossible size.
    """
    row = TABLE[table]
    groups = {r: _groups(row, r, width) for r in doubled_sizes(image_size)}
    stack = _Blocks(row, groups)
    latent, label = keras.Input((latent_dim,), name="latent"), label_input(num_classes)
    inputs = with_label(latent, label)
    if label is not None:
        embedding = _dense(LABEL_DIM, "embedding")(_one_hot(label, num_classes))
        latent = ops.concatenate([latent, embedding], axis=-1)
    x = _dense(stack.channels(4), "dense")(latent)
    x = ConstantInput(4, stack.channels(4), dtype="float32", name="basis")(x) * x[:, None, None, :]
    for resolution in groups:
        if resolution > 4:
            x = upsample(stack.changed(x, resolution, resolution))
        x = stack.blocks(x, resolution)
    x = layers.Conv2D(channels, 1, use_bias=False, name="to_image", **_normal())(x)
    generator = keras.Model(inputs, to_image(x, tanh=False), name="generator")

    stack = _Blocks(row, groups)
    images = keras.Input((image_size, image_size, channels), name="images")
    label = label_input(num_classes)
    widest = stack.channels(image_size)
    x = layers.Conv2D(widest, 1, use_bias=False, name="from_image", **_normal())(images)
    for resolution in reversed(groups):
        x = stack.blocks(x, resolution)
        if resolution > 4:
            x = stack.changed(downsample(x), resolution // 2, resolution)
    basis = keras.initializers.RandomNormal(0.0, 1 / 4)
    x = layers.DepthwiseConv2D(
        4, use_bias=False, depthwise_initializer=basis, dtype="float32", name="basis"
    )(x)
    x = layers.Flatten(dtype="float32")(x)
    if label is None:
        return generator, keras.Model(images, _dense(1, "logits")(x), name="discriminator")
    dim = stack.channels(4)
    y = _dense(dim, "embedding", 1 / math.sqrt(dim))(_one_hot(label, num_classes))
    logits = ops.sum(_dense(dim, "logits")(x) * y, axis=-1, keepdims=True)
    return generator, keras.Model([images, label], logits, name="discriminator")


class _Blocks:
    """The residual blocks of one network, counted through."""

    def __init__(self, row: Row, groups: dict[int, int]):
        self.row, self.groups, self.count = row, groups, 0
        self.total = BLOCKS * len(groups)

    def channels(self, resolution: int) -> int:
        return self.groups[resolution] * self.row.group // EXPANSION

    def _dtype(self, resolution: int) -> keras.DTypePolicy:
        exact = resolution <= self.row.exact
        return keras.DTypePolicy("float32") if exact else keras.config.dtype_policy()

    def changed(self, x, resolution: int, named: int):
        """A 1x1 convolution to the channels at ``resolution``, where x has others."""
        if x.shape[-1] == self.channels(resolution):
            return x
        options = _normal() | {"dtype": self._dtype(named), "name": f"width{named}"}
        return layers.Conv2D(self.channels(resolution), 1, use_bias=False, **options)(x)

    def blocks(self, x, resolution: int):
        """The blocks of one resolution."""
        dtype, channels = self._dtype(resolution), self.channels(resolution)
        # Two of the three kernels carry the depth's scale, the last starts at 0.
        scaled = _normal(math.sqrt(2 / (1 + SLOPE**2)) * self.total**-0.25) | {"dtype": dtype}
        last = {"use_bias": False, "kernel_initializer": "zeros", "dtype": dtype}
        x = ops.cast(x, dtype.compute_dtype)
        for _ in range(BLOCKS):
            name = f"block{self.count}"
            h = layers.Conv2D(EXPANSION * channels, 1, name=f"{name}_conv1", **scaled)(x)
            h = ops.leaky_relu(h, SLOPE)
            h = GroupedConv2D(self.groups[resolution], name=f"{name}_conv2", **scaled)(h)
            h = ops.leaky_relu(h, SLOPE)
            h = layers.Conv2D(channels, 1, name=f"{name}_conv3", **last)(h)
            x = layers.Add(dtype=dtype, name=name)([x, h])
            self.count += 1
        return x


def _groups(row: Row, resolution: int, width: float) -> int:
    """The groups of the 3x3 convolutions at a resolution."""
    narrower = resolution // row.widest if row.widest and resolution > row.widest else 1
    return max(1, round(EXPANSION * row.channels / row.group / narrower * width))


def _normal(gain: float = 1.0) -> dict[str, keras.initializers.Initializer]:
    """N(0, gain^2 / inputs) for a kernel."""
    kind = keras.initializers.VarianceScaling(gain**2, "fan_in", "untruncated_normal")
    return {"kernel_initializer": kind}


def _dense(units: int, name: str, gain: float = 1.0) -> layers.Dense:
    return layers.Dense(units, use_bias=False, dtype="float32", name=name, **_normal(gain))


def _one_hot(label, num_classes):
    return ops.one_hot(label, num_classes, dtype="float32")
