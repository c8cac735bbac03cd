"""Perceptrons for several seeds at once."""

import functools
from collections.abc import Sequence
from typing import Any

import keras

from tfgan_ema.lab.stacked.layers import StackedDense
from zoo.mlp import TABLE, perceptron

_DISCRIMINATOR = 500  # where the discriminators' streams of random numbers begin


def stacked_mlp(
    seeds: Sequence[int],
    *,
    latent_dim: int = 2,
    data_dim: int = 2,
    g_hidden: Sequence[int] = TABLE["ring"][0],
    d_hidden: Sequence[int] = TABLE["ring"][1],
    d_slope: float = 0.2,
) -> tuple[keras.Model, keras.Model]:
    """The zoo's ``mlp`` for S seeds on a leading axis.

    Generator: [S, n, latent_dim] -> [S, n, data_dim]; discriminator: [S, n, data_dim] -> [S, n, 1].

    Args:
        seeds: slice s starts from ``seeds[s]``, whatever the other seeds are.
        latent_dim, data_dim, g_hidden, d_hidden, d_slope: as in `zoo.mlp.build`.
    """

    def dense(first: int, index: int, units: int, fan_in: int, **kwargs: Any) -> StackedDense:
        return StackedDense(units, [1000 * int(seed) + first + index for seed in seeds], **kwargs)

    def stack(size: int, name: str) -> keras.KerasTensor:
        return keras.Input(batch_shape=(len(seeds), None, size), name=name)

    generator = functools.partial(dense, 0)
    discriminator = functools.partial(dense, _DISCRIMINATOR)
    return (
        perceptron("generator", stack(latent_dim, "latent"), g_hidden, data_dim, generator),
        perceptron("discriminator", stack(data_dim, "points"), d_hidden, 1, discriminator, d_slope),
    )
