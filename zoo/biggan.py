"""BigGAN (arXiv 1809.11096): class-conditional, spectrally normalised in both networks.

128 px: the latent's 120 numbers are 6 chunks of 20. The first feeds the dense layer; each of the
others, joined with a class embedding that all blocks share, gives one block's batch normalisations
their gains and biases. Self-attention at 64 px, orthogonal initialisation, a wide projection
discriminator. Adam (0, 0.999) with epsilon 1e-6, 1e-4 for G and 4e-4 for D with one D step, batch
2048, hinge, EMA 0.9999 from step 20k; standing statistics over 16 batches and a truncated latent
for sampling.

32 px (CIFAR-10): 256 channels everywhere, latent 128 in one piece, a gain and a bias per class,
N(0, 0.02) weights, no attention; Adam 2e-4 (0, 0.999), batch 50, 4 D steps, EMA from step 1000.

Where the paper is silent, this follows ajbrock/BigGAN-PyTorch. The generator has spectral norms
too: their power iteration belongs to its own updates.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
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
from zoo.common import label_input, scaled, start_size, to_image


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
        initializer: makes the initializer of a kernel.
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
    initializer: Callable[[], keras.initializers.Initializer]
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
        initializer=keras.initializers.Orthogonal,
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
        initializer=functools.partial(keras.initializers.RandomNormal, stddev=0.02),
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
        image_size: a multiple of ``2**n`` for the n generator blocks of the table.
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
    row = TABLE[table]
    grid, start = start_size(image_size, len(row.up)), scaled(row.start, width)
    label = label_input(num_classes)

    def spectral(layer, *args, **kwargs):
        return layer(*args, kernel_initializer=row.initializer(), epsilon=row.epsilon, **kwargs)

    def attention(x):
        return self_attention(
            x, lambda filters, name: spectral(SNConv2D, filters, 1, use_bias=False, name=name)
        )

    conv = functools.partial(spectral, SNConv2D)
    latent = keras.Input((row.latent_dim,), name="latent")
    size = row.latent_dim // row.chunks
    pieces = [latent[:, i * size : (i + 1) * size] for i in range(row.chunks)]
    if row.chunks > 1:
        shared = layers.Embedding(
            num_classes, SHARED_DIM, embeddings_initializer=row.initializer(), name="shared"
        )(label)

    def norm_of_block(index):
        if row.chunks == 1:
            return lambda x, name: ConditionalBatchNorm(num_classes, 0.02, name=name)([x, label])
        y = ops.concatenate([shared, pieces[index + 1]], axis=-1)
        return lambda x, name: ProjectedBatchNorm(row.initializer(), row.epsilon, name=name)([x, y])

    x = spectral(SNDense, grid * grid * start, name="dense")(pieces[0])
    x = layers.Reshape((grid, grid, start))(x)
    for index, filters in enumerate(scaled(c, width) for c in row.up):
        x = up_block(x, filters, BlockStyle(conv, conv, norm_of_block(index)), f"block{index}")
        x = attention(x) if index == row.attention_up else x
    x = ops.relu(batch_norm(name="norm")(x))  # unconditional
    x = conv(channels, 3, name="to_image")(x)
    generator = keras.Model([latent, label], to_image(x), name="generator")

    images = x = keras.Input((image_size, image_size, channels), name="images")
    for index, filters in enumerate(scaled(c, width) for c in row.down):
        x = down_block(
            x,
            filters,
            BlockStyle(conv, conv),
            f"block{index}",
            down=index < row.halvings,
            first=index == 0,
            hidden=filters,
        )
        x = attention(x) if index == row.attention_down else x
    features = ops.sum(ops.cast(ops.relu(x), "float32"), axis=(1, 2))
    logits = spectral(SNDense, 1, dtype="float32", name="logits")(features)
    embedding = spectral(
        SNEmbedding, num_classes, features.shape[-1], dtype="float32", name="embedding"
    )
    logits = logits + ops.sum(embedding(label) * features, axis=-1, keepdims=True)
    return generator, keras.Model([images, label], logits, name="discriminator")
