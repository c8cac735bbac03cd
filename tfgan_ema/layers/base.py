"""What the layers of this package share, and how to find all layers of a model."""

from __future__ import annotations

from typing import Any

import keras


class Layer(keras.layers.Layer):
    """A layer whose configuration is made of attributes named like the constructor's arguments.

    Attributes:
        arguments: the names of the constructor's own arguments.
    """

    arguments: tuple[str, ...] = ()

    def add_float32(self, name: str, shape: tuple[int, ...], initializer: Any, **kwargs: Any):
        """A new weight that stays in float32 under mixed precision."""
        return self.add_weight(
            name=name,
            shape=shape,
            initializer=initializer,
            dtype="float32",
            autocast=False,
            **kwargs,
        )

    def get_config(self) -> dict[str, Any]:
        """Keras's configuration with `arguments`, initializers as Keras serialises them."""
        own = {name: getattr(self, name) for name in self.arguments}
        return {**super().get_config(), **keras.saving.serialize_keras_object(own)}


def all_layers(model: keras.layers.Layer) -> list[keras.layers.Layer]:
    """The model and every layer inside it, at any depth."""
    # `Model.layers` has one level only, and nothing public reaches the layers inside a layer.
    return model._flatten_layers()
