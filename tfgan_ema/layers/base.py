"""What the layers of this package share, and how to find all layers of a model."""

from __future__ import annotations

import inspect
from inspect import Parameter
from typing import Any

import keras


class Layer(keras.layers.Layer):
    """A layer whose annotated attributes are its constructor's arguments, as in a dataclass.

        class Scale(Layer):
            factor: float
            power: float = 1.0

    is made by ``Scale(2.0, power=3.0, name="scale")`` and keeps both in its configuration. A class
    takes its own arguments first, then those of its bases, then Keras's by keyword. Arguments whose
    names end in ``_initializer`` become Keras initializers. Keras knows each subclass by the name
    of its package, so that models with it are saved and loaded.

    Attributes:
        arguments: the names of the constructor's own arguments.
    """

    arguments = ()

    def __init_subclass__(cls, **kwargs: Any):
        super().__init_subclass__(**kwargs)
        keras.saving.register_keras_serializable(cls.__module__.partition(".")[0])(cls)
        cls.arguments = tuple(dict.fromkeys((*inspect.get_annotations(cls), *cls.arguments)))
        kind, none = Parameter.POSITIONAL_OR_KEYWORD, Parameter.empty
        own = [Parameter(n, kind, default=getattr(cls, n, none)) for n in cls.arguments]
        cls.__signature__ = inspect.Signature([*own, Parameter("kwargs", Parameter.VAR_KEYWORD)])

    def __init__(self, *args: Any, **kwargs: Any):
        given = inspect.signature(type(self)).bind(*args, **kwargs)
        given.apply_defaults()
        super().__init__(**given.arguments.pop("kwargs"))
        for name, value in given.arguments.items():
            is_initializer = name.endswith("_initializer")
            setattr(self, name, keras.initializers.get(value) if is_initializer else value)

    def add_float32(self, name: str, shape: tuple[int, ...], initializer: Any, **kwargs: Any):
        """A new weight that stays in float32 under mixed precision."""
        return self.add_weight(
            shape, initializer, name=name, dtype="float32", autocast=False, **kwargs
        )

    def get_config(self) -> dict[str, Any]:
        """Keras's configuration with `arguments`, initializers as Keras serialises them."""
        own = {name: getattr(self, name) for name in self.arguments}
        return {**super().get_config(), **keras.saving.serialize_keras_object(own)}


def all_layers(model: keras.layers.Layer) -> list[keras.layers.Layer]:
    """The model and every layer inside it, at any depth."""
    # `Model.layers` has one level only, and nothing public reaches the layers inside a layer.
    return model._flatten_layers()
