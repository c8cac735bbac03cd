"""Batch-normalisation statistics of averaged weights.

The moving means and variances of the raw generator do not fit an average of its weights: the noise
that averaging takes out of the weights is still in the raw activations, whose variances are
therefore too large, and images come out pale. So an average needs statistics of its own, estimated
on fresh latents (Brock et al. 2019, "standing statistics").
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
from keras import ops

from tfgan_ema.engines import Tensor
from tfgan_ema.layers.base import all_layers

BATCHES = 16  # in a standing estimate


def layers(generator: keras.Model) -> list[keras.layers.BatchNormalization]:
    """The batch-normalisation layers of a generator, also those inside other layers."""
    return [
        layer
        for layer in all_layers(generator)
        if isinstance(layer, keras.layers.BatchNormalization)
    ]


def variables(generator: keras.Model) -> list[keras.Variable]:
    """The moving mean and variance of each of these layers."""
    return [v for layer in layers(generator) for v in (layer.moving_mean, layer.moving_variance)]


def of_batch(generator: keras.Model, forward: Callable[[], Any]) -> list[Tensor]:
    """The mean and variance that each layer meets on one batch; no variable is assigned.

    Replicas that run the same batch find the same without exchanging anything, so a conditional
    branch of a compiled step may hold this.

    Args:
        generator: frozen or not.
        forward: runs it in training mode on the batch.

    Returns:
        One value for each of `variables`.
    """
    current = [(variable, variable.value) for variable in generator.variables]
    with _following(layers(generator)), keras.StatelessScope(state_mapping=current) as scope:
        forward()
        return [scope.get_current_value(variable) for variable in variables(generator)]


def standing(generator: keras.Model, forward: Callable[[int], Any]) -> list[np.ndarray]:
    """The mean of `of_batch` over `BATCHES` batches of latents.

    Args:
        generator: the generator to evaluate; it is left as it was.
        forward: ``forward(i)`` runs it in training mode on the i-th batch.
    """
    batches = [of_batch(generator, lambda i=i: forward(i)) for i in range(BATCHES)]
    return [
        np.mean([ops.convert_to_numpy(value) for value in values], axis=0)
        for values in zip(*batches, strict=True)
    ]


@contextlib.contextmanager
def _following(norms: list[keras.layers.BatchNormalization]) -> Iterator[None]:
    """Inside, the moving statistics of layers are those of the last batch, frozen or not."""
    before = [(norm, norm.trainable, norm.momentum, norm.synchronized) for norm in norms]
    try:
        for norm in norms:
            norm.trainable, norm.momentum, norm.synchronized = True, 0.0, False
        yield
    finally:
        for norm, trainable, momentum, synchronized in before:
            norm.trainable, norm.momentum, norm.synchronized = trainable, momentum, synchronized
