"""Multilayer perceptrons for 2-D data.

The default is the pair of the 2-D ring in the (alpha_D, alpha_G)-GAN experiments, as in the
authors' code: generator 4 x 400 ReLU on a 2-D latent, discriminator 4 x 200 LeakyReLU(0.2), kernels
and biases uniform in +-1/sqrt(fan-in) (PyTorch's default, which these experiments use); Adam 1e-4
(0.9, 0.999), batch 128. The mixture of the averaging paper (arXiv 1806.04498, B.1) is
``g_hidden=d_hidden=(256,) * 4, d_slope=0``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import layers

from zoo.common import scaled

# generator's and discriminator's hidden layers
TABLE = {"ring": ((400,) * 4, (200,) * 4)}


def build(
    *,
    width: float,
    latent_dim: int = 2,
    data_dim: int = 2,
    g_hidden: Sequence[int] = TABLE["ring"][0],
    d_hidden: Sequence[int] = TABLE["ring"][1],
    d_slope: float = 0.2,
) -> tuple[keras.Model, keras.Model]:
    """Generator: latent [n, latent_dim] -> points [n, data_dim]; discriminator: points -> logits.

    Args:
        width: multiplies the hidden sizes.
        latent_dim: length of the latent.
        data_dim: coordinates of a point, unbounded.
        g_hidden: units of the generator's hidden layers (ReLU).
        d_hidden: units of the discriminator's hidden layers (LeakyReLU).
        d_slope: the discriminator's slope below 0; 0 is ReLU.
    """
    latent = keras.Input((latent_dim,), name="latent")
    points = keras.Input((data_dim,), name="points")
    g_hidden, d_hidden = ([scaled(units, width) for units in part] for part in (g_hidden, d_hidden))
    return (
        perceptron("generator", latent, g_hidden, data_dim, _dense),
        perceptron("discriminator", points, d_hidden, 1, _dense, d_slope),
    )


def perceptron(
    name: str,
    inputs: keras.KerasTensor,
    hidden: Sequence[int],
    outputs: int,
    dense: Callable[..., keras.layers.Layer],
    slope: float = 0.0,
) -> keras.Model:
    """A multilayer perceptron: [..., d] -> float32 [..., outputs].

    Args:
        name: of the model.
        inputs: the symbolic input.
        hidden: units of the hidden layers.
        outputs: size of the output.
        dense: ``dense(index, units, fan_in, **kwargs)`` makes layer number ``index``.
        slope: of the LeakyReLUs below 0; 0 is ReLU.
    """
    x = inputs
    for index, units in enumerate(hidden):
        x = dense(index, units, x.shape[-1])(x)
        x = layers.LeakyReLU(slope)(x) if slope else layers.ReLU()(x)
    x = dense(len(hidden), outputs, x.shape[-1], dtype="float32")(x)
    return keras.Model(inputs, x, name=name)


def _dense(index: int, units: int, fan_in: int, **kwargs: Any) -> keras.layers.Layer:
    bound = 1 / math.sqrt(fan_in)
    return layers.Dense(
        units,
        kernel_initializer=keras.initializers.RandomUniform(-bound, bound),
        bias_initializer=keras.initializers.RandomUniform(-bound, bound),
        **kwargs,
    )
