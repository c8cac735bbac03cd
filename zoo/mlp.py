"""Multilayer perceptrons for 2-D data, one or a stack of seeds.

The default is the 2-D ring's pair of the (alpha_D, alpha_G)-GAN experiments, as in the authors'
code: generator 4 x 400 ReLU on a 2-D latent, discriminator 4 x 200 LeakyReLU(.2), kernels and
biases uniform in +-1/sqrt(fan-in) (PyTorch's default, which these experiments run on); Adam 1e-4
(.9, .999), batch 128. The mixture of the averaging paper (arXiv 1806.04498, B.1) is
``g_hidden=d_hidden=(256,) * 4, d_slope=0``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import keras
from keras import layers

from tfgan_ema.errors import UsageError
from tfgan_ema.lab.stacked.layers import StackedDense
from zoo.common import scaled, unconditional

# generator's and discriminator's hidden layers
TABLE = {"ring": ((400,) * 4, (200,) * 4)}


def build(
    *,
    image_size: int | None,
    channels: int,
    width: float,
    num_classes: int | None,
    latent_dim: int = 2,
    data_dim: int = 2,
    g_hidden: Sequence[int] = TABLE["ring"][0],
    d_hidden: Sequence[int] = TABLE["ring"][1],
    d_slope: float = 0.2,
    seeds: Sequence[int] | None = None,
) -> tuple[keras.Model, keras.Model]:
    """Generator: latent [n, latent_dim] -> points [n, data_dim]; discriminator: points -> logits.

    Args:
        image_size: must be ``None``.
        channels: ignored; data have ``data_dim`` coordinates.
        width: multiplies the hidden sizes.
        num_classes: must be ``None``.
        latent_dim: length of the latent.
        data_dim: coordinates of a point, unbounded.
        g_hidden: units of the generator's hidden layers (ReLU).
        d_hidden: units of the discriminator's hidden layers (LeakyReLU).
        d_slope: the discriminator's slope below 0; 0 is ReLU.
        seeds: with S seeds, S pairs of networks at once on a leading axis: [S, n, latent_dim] ->
            [S, n, data_dim] -> [S, n, 1]; slice s starts from ``seeds[s]`` whatever the others are.
            ``None``: one pair, started from Keras's global seed.
    """
    unconditional("mlp", num_classes)
    if image_size is not None:
        raise UsageError(f"image_size {image_size!r}: mlp makes points, not images; leave it out.")

    def dense(units: int, fan_in: int, stream: int, **kwargs) -> keras.layers.Layer:
        if seeds is not None:
            return StackedDense(units, [1000 * int(seed) + stream for seed in seeds], **kwargs)
        bound = 1 / math.sqrt(fan_in)
        return layers.Dense(
            units,
            kernel_initializer=keras.initializers.RandomUniform(-bound, bound),
            bias_initializer=keras.initializers.RandomUniform(-bound, bound),
            **kwargs,
        )

    def perceptron(
        name: str, size: int, hidden: Sequence[int], slope: float, outputs: int, stream: int
    ) -> keras.Model:
        hidden = [scaled(units, width) for units in hidden]
        kind = "latent" if name == "generator" else "points"
        if seeds is None:
            inputs = x = keras.Input((size,), name=kind)
        else:
            inputs = x = keras.Input(batch_shape=(len(seeds), None, size), name=kind)
        for i, units in enumerate(hidden):
            x = dense(units, x.shape[-1], stream + i)(x)
            x = layers.LeakyReLU(slope)(x) if slope else layers.ReLU()(x)
        x = dense(outputs, x.shape[-1], stream + len(hidden), dtype="float32")(x)
        return keras.Model(inputs, x, name=name)

    return (
        perceptron("generator", latent_dim, g_hidden, 0.0, data_dim, 0),
        perceptron("discriminator", data_dim, d_hidden, d_slope, 1, 500),
    )
