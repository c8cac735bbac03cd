"""BigGAN (arXiv 1809.11096): class-conditional, spectrally normalised in both networks.

128 px: the latent's 120 numbers are 6 chunks of 20; the first feeds the dense layer, each other
one, joined with a class embedding that all blocks share, gives one block's batch normalisations
their gains and biases. Self-attention at 64 px, orthogonal initialisation, a wide projection
discriminator. Adam (0, .999) with epsilon 1e-6, 1e-4 for G and 4e-4 for D with one D step, batch
2048, hinge, EMA .9999 from step 20k; standing statistics over 16 batches and a truncated latent
for sampling.

32 px (CIFAR-10): 256 channels everywhere, latent 128 in one piece, a gain and a bias per class,
N(0, .02) weights, no attention; Adam 2e-4 (0, .999), batch 50, 4 D steps, EMA from step 1000.

The reading is ajbrock/BigGAN-PyTorch's. Spectral norms live in the generator too: its power
iteration belongs to its own updates.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import keras
from keras import layers, ops

from tfgan_ema.errors import UsageError
from tfgan_ema.layers import (
    BlockStyle,
    ConditionalBatchNorm,
    ProjectedBatchNorm,
    SNConv2D,
    SNDense,
    SNEmbedding,
    batch_norm,
    down_block,
    self_attention,
    up_block,
)
from zoo.common import check_channels, label_input, scaled, start_size, to_image


class Row(NamedTuple):
    """A channel table.

    Attributes:
        start: channels of the generator's 4x4 grid.
        up: channels of its blocks, each doubling the resolution.
        down: channels of the discriminator's blocks.
        halvings: how many of them, from the first, halve the resolution.
        latent_dim: length of the latent.
        chunks: pieces of the latent; 1 keeps it whole.
        attention_up, attention_down: the blocks after which attention sits; ``None`` for none.
        initializer: of every kernel: ``"orthogonal"``, or ``"normal"`` for N(0, .02).
        epsilon: of the spectral norms.
    """

    start: int
    up: tuple[int, ...]
    down: tuple[int, ...]
    halvings: int
    latent_dim: int
    chunks: int
    attention_up: int | None
    attention_down: int | None
    initializer: str
    epsilon: float


TABLE = {
    "128": Row(
        start=1536,
        up=(1536, 768, 384, 192, 96),
        down=(96, 192, 384, 768, 1536, 1536),
        halvings=5,
        latent_dim=120,
        chunks=6,
        attention_up=3,
        attention_down=0,
        initializer="orthogonal",
        epsilon=1e-6,
    ),
    "32": Row(
        start=256,
        up=(256, 256, 256),
        down=(256, 256, 256, 256),
        halvings=2,
        latent_dim=128,
        chunks=1,
        attention_up=None,
        attention_down=None,
        initializer="normal",
        epsilon=1e-12,
    ),
}
SHARED_DIM = 128


def build(
    *,
    image_size: int,
    channels: int,
    width: float,
    num_classes: int | None,
    table: str,
) -> tuple[keras.Model, keras.Model]:
    """Generator: [latent, label] -> images in [-1, 1]; discriminator: [images, label] -> logits.

    Args:
        image_size: a multiple of 2 to the number of the table's generator blocks.
        channels: of the images.
        width: multiplies the channels of `TABLE`.
        num_classes: 1000 for ImageNet, 10 for CIFAR-10.
        table: a row of `TABLE`.

    Raises:
        UsageError: no classes, or an impossible size.
    """
    if num_classes is None:
        raise UsageError(
            "num_classes None: BigGAN is class-conditional; give num_classes, e.g. 10 for CIFAR-10 "
            "or 1000 for ImageNet."
        )
    check_channels(channels)
    row = TABLE[table]
    row = row._replace(
        start=scaled(row.start, width),
        up=[scaled(c, width) for c in row.up],
        down=[scaled(c, width) for c in row.down],
    )
    grid = start_size(image_size, len(row.up))
    return _generator(row, grid, channels, num_classes), _discriminator(
        row, image_size, channels, num_classes
    )


def _initializer(row: Row) -> keras.initializers.Initializer:
    if row.initializer == "orthogonal":
        return keras.initializers.Orthogonal()
    return keras.initializers.RandomNormal(stddev=0.02)


def _spectral(row: Row, layer, *args, **kwargs) -> keras.layers.Layer:
    return layer(*args, kernel_initializer=_initializer(row), epsilon=row.epsilon, **kwargs)


def _style(row: Row, norm=None) -> BlockStyle:
    conv = functools.partial(_spectral, row, SNConv2D)
    return BlockStyle(conv=conv, shortcut=conv, norm=norm)


def _attention(x, row: Row):
    return self_attention(
        x, lambda filters, name: _spectral(row, SNConv2D, filters, 1, use_bias=False, name=name)
    )


def _generator(row: Row, grid: int, channels: int, num_classes: int) -> keras.Model:
    latent = keras.Input((row.latent_dim,), name="latent")
    label = label_input()
    size = row.latent_dim // row.chunks
    pieces = [latent[:, i * size : (i + 1) * size] for i in range(row.chunks)]
    if row.chunks > 1:
        shared = layers.Embedding(
            num_classes, SHARED_DIM, embeddings_initializer=_initializer(row), name="shared"
        )(label)

    def norm_of_block(index):
        if row.chunks == 1:
            return lambda x, name: ConditionalBatchNorm(num_classes, 0.02, name=name)([x, label])
        y = ops.concatenate([shared, pieces[index + 1]], axis=-1)
        return lambda x, name: ProjectedBatchNorm(_initializer(row), row.epsilon, name=name)([x, y])

    x = _spectral(row, SNDense, grid * grid * row.start, name="dense")(pieces[0])
    x = layers.Reshape((grid, grid, row.start))(x)
    for index, filters in enumerate(row.up):
        x = up_block(x, filters, _style(row, norm_of_block(index)), f"block{index}")
        if index == row.attention_up:
            x = _attention(x, row)
    x = ops.relu(batch_norm(name="norm")(x))  # unconditional
    x = _spectral(row, SNConv2D, channels, 3, name="to_image")(x)
    return keras.Model([latent, label], to_image(x), name="generator")


def _discriminator(row: Row, size: int, channels: int, num_classes: int) -> keras.Model:
    images = x = keras.Input((size, size, channels), name="images")
    label = label_input()
    style = _style(row)
    for index, filters in enumerate(row.down):
        x = down_block(
            x,
            filters,
            style,
            f"block{index}",
            down=index < row.halvings,
            first=index == 0,
            hidden=filters,
        )
        if index == row.attention_down:
            x = _attention(x, row)
    features = ops.sum(ops.cast(ops.relu(x), "float32"), axis=(1, 2))
    logits = _spectral(row, SNDense, 1, dtype="float32", name="logits")(features)
    embedding = _spectral(
        row, SNEmbedding, num_classes, features.shape[-1], dtype="float32", name="embedding"
    )
    logits = logits + ops.sum(embedding(label) * features, axis=-1, keepdims=True)
    return keras.Model([images, label], logits, name="discriminator")
