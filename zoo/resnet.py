"""Residual networks: SNGAN (arXiv 1802.05957), WGAN-GP (arXiv 1704.00028) and their descendants.

SNGAN has a spectrally normalised discriminator that sums over the grid; WGAN-GP has a plain one
that takes the mean. Conditional: batch normalisation with a gain and a bias per class in the
generator, a projection discriminator (arXiv 1802.05637).

SNGAN's recipe: Adam 2e-4 (0, 0.9), n_dis 5, batch 64, hinge, 100k steps with linear decay to 0 (32,
48, 64 px). WGAN-GP's: the same Adam, n_dis 5, penalty 10 on interpolates. The networks
``averaging`` are from Yazici et al. (arXiv 1806.04498): equal widths in both networks, doubled when
the discriminator is spectrally normalised, latents on the sphere of radius sqrt(128), no tanh.

Upsampling is nearest-neighbour and shortcuts carry the blocks' inputs, as in the originals.
``reading="mimicry"`` builds mimicry's networks instead, which its weights need: bilinear
upsampling, and discriminator shortcuts that start behind the ReLU.
"""

from __future__ import annotations

import functools

import keras
from keras import layers, ops

from tfgan_ema.errors import unknown
from tfgan_ema.layers import (
    BlockStyle,
    ConditionalBatchNorm,
    ResampledConv2D,
    SNConv2D,
    SNDense,
    SNEmbedding,
    batch_norm,
    down_block,
    up_block,
)
from zoo.common import label_input, scaled, start_size, to_image, with_label

# name: generator's grid channels, its blocks (all double the resolution);
#       discriminator's blocks, and how many of them halve it
TABLE = {
    "32": (256, (256, 256, 256), (128, 128, 128, 128), 2),
    "48": (512, (256, 128, 64), (64, 128, 256, 512, 1024), 4),
    "64": (1024, (512, 256, 128, 64), (64, 128, 256, 512, 1024), 5),
    "128": (1024, (1024, 512, 256, 128, 64), (64, 128, 256, 512, 1024, 1024), 5),
    "averaging": (128, (128, 128, 128), (128, 128, 128, 128), 2),
    "averaging_sn": (256, (256, 256, 256), (256, 256, 256, 256), 2),
}
READINGS = {
    "paper": {},
    "mimicry": {"upsampling": "bilinear", "activated_shortcut": True},
}
POOLING = {"sum": ops.sum, "mean": ops.mean}


def build(
    *,
    image_size: int,
    channels: int,
    width: float,
    num_classes: int | None,
    table: str,
    spectral_norm: bool = True,
    pooling: str = "sum",
    tanh: bool = True,
    latent_dim: int = 128,
    reading: str = "paper",
) -> tuple[keras.Model, keras.Model]:
    """Generator: latent [n, latent_dim] -> images; discriminator: images -> logits.

    Args:
        image_size: a multiple of ``2**n`` for the n generator blocks of the table.
        channels: of the images.
        width: multiplies the channels of `TABLE`.
        num_classes: classes of the conditional form, or ``None``.
        table: a row of `TABLE`.
        spectral_norm: whether the discriminator is spectrally normalised.
        pooling: ``"sum"`` or ``"mean"`` over the discriminator's last grid.
        tanh: whether images end in tanh, in [-1, 1]; else they are unbounded.
        latent_dim: length of the latent.
        reading: ``"paper"`` or ``"mimicry"``, see the module.

    Raises:
        UsageError: an impossible size, an unknown reading or pooling.
    """
    for kind, value, known in (("reading", reading, READINGS), ("pooling", pooling, POOLING)):
        if value not in known:
            raise unknown(kind, value, known)
    start, up, down, halvings = TABLE[table]
    grid, start = start_size(image_size, len(up)), scaled(start, width)
    label = label_input(num_classes)

    def norm(x, name):
        if label is None:
            return batch_norm(name=name)(x)
        return ConditionalBatchNorm(num_classes, name=name)([x, label])

    style = _style(ResampledConv2D, norm=norm, **READINGS[reading])
    latent = keras.Input((latent_dim,), name="latent")
    x = layers.Dense(grid * grid * start, name="dense")(latent)
    x = layers.Reshape((grid, grid, start))(x)
    for index, filters in enumerate(scaled(c, width) for c in up):
        x = up_block(x, filters, style, f"block{index}")
    x = ops.relu(batch_norm(name="norm")(x))  # unconditional also in the conditional network
    x = _conv(ResampledConv2D, 1.0, channels, 3, name="to_image")(x)
    generator = keras.Model(with_label(latent, label), to_image(x, tanh), name="generator")

    conv, dense, embedding = ResampledConv2D, layers.Dense, layers.Embedding
    if spectral_norm:
        conv, dense, embedding = SNConv2D, SNDense, SNEmbedding
    style = _style(conv, **READINGS[reading])
    images = x = keras.Input((image_size, image_size, channels), name="images")
    for index, filters in enumerate(scaled(c, width) for c in down):
        x = down_block(x, filters, style, f"block{index}", down=index < halvings, first=index == 0)
    features = POOLING[pooling](ops.cast(ops.relu(x), "float32"), axis=(1, 2))
    logits = dense(1, dtype="float32", name="logits")(features)
    if label is not None:
        row = embedding(num_classes, features.shape[-1], dtype="float32", name="embedding")(label)
        logits = logits + ops.sum(row * features, axis=-1, keepdims=True)
    return generator, keras.Model(with_label(images, label), logits, name="discriminator")


def _conv(layer, gain: float, filters: int, kernel_size: int, **kwargs) -> keras.layers.Layer:
    xavier = keras.initializers.VarianceScaling(gain**2, "fan_avg", "uniform")
    return layer(filters, kernel_size, kernel_initializer=xavier, **kwargs)


def _style(layer, **kwargs) -> BlockStyle:
    # Glorot-uniform weights, with gain sqrt 2 on the convolutions of the main path.
    return BlockStyle(
        conv=functools.partial(_conv, layer, 2**0.5),
        shortcut=functools.partial(_conv, layer, 1.0),
        **kwargs,
    )
