"""SNDCGAN 32 (arXiv 1802.05957, table 3): plain convolutions, a normalised discriminator.

As in google/compare_gan: latent 128, N(0, 0.02) weights, LeakyReLU(0.1). The relativistic GANs'
CIFAR-10 runs use this network, too (batch 32, 100k steps), their unstable ones with other
normalisations or activations. Convolutions in front of a batch normalisation have no bias.
"""

from __future__ import annotations

import keras
from keras import layers, ops

from tfgan_ema.errors import one_of
from tfgan_ema.layers import SNConv2D, SNDense, batch_norm
from zoo.common import scaled, start_size, to_image

# generator: the grid's channels, then each doubling's (4x4 kernels); 3x3 to the image
UP = (512, 256, 128, 64)
# discriminator: channels, kernel, stride
DOWN = ((64, 3, 1), (128, 4, 2), (128, 3, 1), (256, 4, 2), (256, 3, 1), (512, 4, 2), (512, 3, 1))


def build(
    *,
    image_size: int,
    channels: int,
    width: float,
    latent_dim: int = 128,
    norm: str = "spectral",
    tanh: bool = False,
) -> tuple[keras.Model, keras.Model]:
    """Generator: latent [n, latent_dim] -> images in [-1, 1]; discriminator: images -> logits.

    Args:
        image_size: a multiple of 8.
        channels: of the images.
        width: multiplies the channels.
        latent_dim: length of the latent.
        norm: ``"spectral"``: the discriminator is spectrally normalised, the generator has batch
            normalisation; ``"batch"``: both have batch normalisation, the discriminator not after
            its last convolution; ``"none"``: neither has any.
        tanh: whether all activations are tanh.
    """
    up = [scaled(c, width) for c in UP]
    grid = start_size(image_size, len(up) - 1)
    normal = {"kernel_initializer": keras.initializers.RandomNormal(stddev=0.02)}

    one_of("norm", norm, ("spectral", "batch", "none"))

    def normed(x, name, present):
        return batch_norm(name=name)(x) if present else x

    def rectified(x, slope):
        return ops.tanh(x) if tanh else layers.LeakyReLU(slope)(x) if slope else ops.relu(x)

    g_norm = norm != "none"
    latent = keras.Input((latent_dim,), name="latent")
    x = layers.Dense(grid * grid * up[0], use_bias=not g_norm, name="dense", **normal)(latent)
    x = rectified(normed(layers.Reshape((grid, grid, up[0]))(x), "norm", g_norm), 0)
    for index, filters in enumerate(up[1:]):
        x = layers.Conv2DTranspose(
            filters, 4, 2, "same", use_bias=not g_norm, name=f"up{index}", **normal
        )(x)
        x = rectified(normed(x, f"norm{index}", g_norm), 0)
    x = layers.Conv2D(channels, 3, padding="same", name="to_image", **normal)(x)
    generator = keras.Model(latent, to_image(x), name="generator")

    conv, dense = (SNConv2D, SNDense) if norm == "spectral" else (layers.Conv2D, layers.Dense)
    images = x = keras.Input((image_size, image_size, channels), name="images")
    for index, (filters, kernel, stride) in enumerate(DOWN):
        d_norm = norm == "batch" and index < len(DOWN) - 1
        options = {"padding": "same", "use_bias": not d_norm, **normal}
        x = conv(scaled(filters, width), kernel, strides=stride, name=f"conv{index}", **options)(x)
        x = rectified(normed(x, f"norm{index}", d_norm), 0.1)
    x = dense(1, dtype="float32", name="logits", **normal)(layers.Flatten()(x))
    return generator, keras.Model(images, x, name="discriminator")
