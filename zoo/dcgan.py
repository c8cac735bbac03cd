"""DCGAN (arXiv 1511.06434): transposed convolutions with batch normalisation.

Tables 32 and 64 follow google/compare_gan: 5x5 kernels, stride 2, TensorFlow's SAME padding, latent
128; non-saturating loss, Adam 2e-4 (0.5, 0.999), batch 64, 1:1, 100k steps. 32 is 64 without its
widest stage. Tables ``alpha`` are the networks of the (alpha_D, alpha_G)-GAN experiments: 4x4
kernels, no biases, latent 100; a grid of 4 for Celeb-A at 64 px, of 7 for LSUN classroom at 112
px (there the first and last kernels are 7x7).

All weights start at N(0, 0.02). Convolutions in front of a batch normalisation have no bias, which
would have no effect there.
"""

from __future__ import annotations

from typing import NamedTuple

import keras
from keras import layers, ops

from tfgan_ema.layers import batch_norm
from zoo.common import scaled, start_size, to_image


class Row(NamedTuple):
    """A channel table.

    Attributes:
        up: generator: channels of the grid, then of each doubling but the last, which goes to the
            image.
        down: discriminator: channels of each halving.
        kernel: size of the strided kernels.
        latent_dim: length of the latent.
        bias: whether the two output layers and the discriminator's first have a bias.
    """

    up: tuple[int, ...]
    down: tuple[int, ...]
    kernel: int = 5
    latent_dim: int = 128
    bias: bool = True


TABLE = {
    "32": Row((256, 128, 64), (64, 128, 256)),
    "64": Row((512, 256, 128, 64), (64, 128, 256, 512)),
    "alpha": Row((512, 256, 128, 64), (64, 128, 256, 512), 4, 100, bias=False),
}


def build(
    *,
    image_size: int,
    channels: int,
    width: float,
    table: str,
    latent_dim: int | None = None,
) -> tuple[keras.Model, keras.Model]:
    """Generator: latent [n, latent_dim] -> images in [-1, 1]; discriminator: images -> logits.

    Args:
        image_size: a multiple of ``2**n`` for the n stages of the table.
        channels: of the images.
        width: multiplies the channels of `TABLE`.
        table: a row of `TABLE`.
        latent_dim: length of the latent; ``None`` means the table's.
    """
    row = TABLE[table]
    up, down = ([scaled(c, width) for c in part] for part in (row.up, row.down))
    grid = start_size(image_size, len(up))
    normal = {"kernel_initializer": keras.initializers.RandomNormal(stddev=0.02)}

    latent = keras.Input((latent_dim or row.latent_dim,), name="latent")

    def up_conv(filters, name, bias=False):
        return layers.Conv2DTranspose(
            filters, row.kernel, 2, "same", use_bias=bias, name=name, **normal
        )

    x = layers.Dense(grid * grid * up[0], use_bias=False, name="dense", **normal)(latent)
    x = layers.Reshape((grid, grid, up[0]))(x)
    for index, filters in enumerate(up[1:]):
        x = ops.relu(batch_norm(name=f"norm{index}")(x))
        x = up_conv(filters, f"up{index}")(x)
    x = ops.relu(batch_norm(name="norm")(x))
    x = up_conv(channels, "to_image", row.bias)(x)
    generator = keras.Model(latent, to_image(x), name="generator")

    images = x = keras.Input((image_size, image_size, channels), name="images")
    for index, filters in enumerate(down):
        bias = row.bias and index == 0
        x = layers.Conv2D(
            filters, row.kernel, 2, "same", use_bias=bias, name=f"down{index}", **normal
        )(x)
        x = batch_norm(name=f"norm{index}")(x) if index else x
        x = layers.LeakyReLU(0.2)(x)
    logits = layers.Dense(1, use_bias=row.bias, dtype="float32", name="logits", **normal)
    return generator, keras.Model(images, logits(layers.Flatten()(x)), name="discriminator")
