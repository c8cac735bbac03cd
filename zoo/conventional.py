"""The conventional networks of Yazici et al. (arXiv 1806.04498, tables 3 and 4).

A generator of upsampled 3x3 convolutions with batch normalisation, a discriminator with average
pooling. As in the authors' code: latent 512 on the sphere of radius sqrt(512), LeakyReLU(0.2),
N(0, 0.02) weights, no tanh; the discriminator is spectrally normalised with the original GAN loss
(``spectral_norm=True``) and plain with WGAN-GP. 64 px is 32 px with one more stage. Adam 2e-4 (0,
0.9), batch 64, 500k steps, EMA 0.9999. Convolutions in front of a batch normalisation have no bias.
"""

from __future__ import annotations

import keras
from keras import layers

from tfgan_ema.layers import ResampledConv2D, SNConv2D, SNDense, batch_norm
from zoo.common import scaled, start_size, to_image

# generator: the grid's channels, then each doubling's; discriminator: the 1x1 layer's channels,
# then each halving's
TABLE = {
    "32": ((512, 256, 128, 64), (64, 128, 256, 512)),
    "64": ((512, 512, 256, 128, 64), (64, 128, 256, 512, 512)),
}


def build(
    *,
    image_size: int,
    channels: int,
    width: float,
    table: str,
    spectral_norm: bool = True,
    latent_dim: int = 512,
) -> tuple[keras.Model, keras.Model]:
    """Generator: latent [n, latent_dim] -> images, unbounded; discriminator: images -> logits.

    Args:
        image_size: a multiple of ``2**n`` for the n doublings of the table.
        channels: of the images.
        width: multiplies the channels of `TABLE`.
        table: a row of `TABLE`.
        spectral_norm: whether the discriminator is spectrally normalised.
        latent_dim: length of the latent.
    """
    up, down = ([scaled(c, width) for c in part] for part in TABLE[table])
    grid = start_size(image_size, len(up) - 1)
    normal = {"kernel_initializer": keras.initializers.RandomNormal(stddev=0.02)}

    def normed(x, name):
        return layers.LeakyReLU(0.2)(batch_norm(name=f"{name}_norm")(x))

    def normed_conv(x, filters, name, resample=None):
        conv = ResampledConv2D(filters, 3, resample=resample, use_bias=False, name=name, **normal)
        return normed(conv(x), name)

    latent = keras.Input((latent_dim,), name="latent")
    x = layers.Dense(grid * grid * up[0], use_bias=False, name="dense", **normal)(latent)
    x = normed(layers.Reshape((grid, grid, up[0]))(x), "dense")
    x = normed_conv(x, up[0], "conv")
    for index, filters in enumerate(up[1:]):
        x = normed_conv(x, filters, f"up{index}_conv1", "up")
        x = normed_conv(x, filters, f"up{index}_conv2")
    x = layers.Conv2D(channels, 1, name="to_image", **normal)(x)
    generator = keras.Model(latent, to_image(x, tanh=False), name="generator")

    make_conv, dense = (SNConv2D, SNDense) if spectral_norm else (layers.Conv2D, layers.Dense)

    def conv(x, filters, size, name, padding="same"):
        x = make_conv(filters, size, padding=padding, name=name, **normal)(x)
        return layers.LeakyReLU(0.2)(x)

    images = keras.Input((image_size, image_size, channels), name="images")
    x = conv(images, down[0], 1, "from_image")
    for index, filters in enumerate(down[1:]):
        x = conv(x, x.shape[-1], 3, f"down{index}_conv1")
        x = layers.AveragePooling2D(2)(conv(x, filters, 3, f"down{index}_conv2"))
    x = conv(conv(x, down[-1], 3, "conv1"), down[-1], grid, "conv2", "valid")
    logits = dense(1, dtype="float32", name="logits", **normal)(layers.Flatten()(x))
    return generator, keras.Model(images, logits, name="discriminator")
