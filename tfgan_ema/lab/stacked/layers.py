"""Several networks of one shape trained side by side on a leading axis.

Small networks leave most of a machine idle; S of them as one batched matrix product cost little
more than one. Nothing mixes the seeds: slice s behaves as a network of its own, provided losses
are summed (not averaged) over the leading axis.
"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable(package="tfgan_ema")
class StackedDense(keras.layers.Layer):
    """S dense layers at once: [S, n, d] -> [S, n, units] with kernels [S, d, units].

    Kernel and bias start uniform in +-1/sqrt(d) (PyTorch's default for linear layers) from the seed
    of each slice, so that slice s starts as the same network in any stack.

    Args:
        units: size of the output.
        seeds: one number for each slice.
    """

    def __init__(self, units: int, seeds: Sequence[int], **kwargs: Any):
        super().__init__(**kwargs)
        self.units = units
        self.seeds = tuple(int(seed) for seed in seeds)

    def build(self, input_shape):
        """Creates the weights."""
        size = input_shape[-1]
        bound = 1 / np.sqrt(size)

        def uniform(stream):
            def initialize(shape, dtype=None):
                rows = [
                    np.random.default_rng((seed, stream)).uniform(-bound, bound, shape[1:])
                    for seed in self.seeds
                ]
                return ops.convert_to_tensor(np.stack(rows), dtype or "float32")

            return initialize

        count = len(self.seeds)
        self.kernel = self.add_weight(
            name="kernel", shape=(count, size, self.units), initializer=uniform(0)
        )
        self.bias = self.add_weight(
            name="bias", shape=(count, 1, self.units), initializer=uniform(1)
        )

    def call(self, inputs):
        """Returns ``inputs @ kernel + bias``, slice by slice."""
        return ops.matmul(inputs, self.kernel) + self.bias

    def compute_output_shape(self, input_shape):
        """[S, n, d] -> [S, n, units]."""
        return (*input_shape[:-1], self.units)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "units": self.units, "seeds": list(self.seeds)}


def slice_weights(model: keras.Model, index: int) -> list[np.ndarray]:
    """The weights of slice ``index`` of a stacked model, as the single network's ``set_weights``.

    Args:
        model: a model whose only weights are those of `StackedDense` layers.
        index: which slice.
    """
    return [
        np.asarray(weight)[index].reshape(weight.shape[1:] if weight.name == "kernel" else (-1,))
        for weight in model.weights
    ]
