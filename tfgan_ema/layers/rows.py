"""Which networks look at every row of a batch by itself."""

from __future__ import annotations

import keras

from tfgan_ema.layers.spectral import SNConv2D, SNDense, SNEmbedding
from tfgan_ema.layers.style import MinibatchStd

_KNOWN = ("keras.src.layers.", "tfgan_ema.layers.")


def independent_rows(network: keras.Model) -> bool:
    """Whether a network's outputs for some rows are the same whatever the other rows are.

    Only what is known for it counts: a functional network of layers of Keras and of this package,
    whose operations all keep the first axis. Batch statistics, random draws and whatever else a
    layer carries from call to call show as weights that no gradient moves; spectral norms have
    such weights, too, but only read them.
    """
    if not hasattr(network, "operations"):
        return False
    rows = network.inputs[0].shape[0]
    tensors = [
        tensor
        for operation in network.operations
        for node in operation._inbound_nodes
        for tensor in node.output_tensors
    ]
    layers = [x for x in network.operations if isinstance(x, keras.layers.Layer)]
    return all(tensor.shape[:1] == (rows,) for tensor in tensors) and all(map(_by_row, layers))


def _by_row(layer: keras.layers.Layer) -> bool:
    spectral = isinstance(layer, SNConv2D | SNDense | SNEmbedding)
    return (
        type(layer).__module__.startswith(_KNOWN)
        and not isinstance(layer, MinibatchStd | keras.layers.Lambda)
        and (spectral or not layer.non_trainable_variables)
    )
