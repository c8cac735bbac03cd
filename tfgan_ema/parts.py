"""What a GAN is made of has a configuration, so that Keras can save and load a whole GAN."""

from __future__ import annotations

import inspect
from typing import Any

import keras


class Part:
    """A part whose constructor's arguments are attributes of the same names, as in a dataclass.

    They are its configuration. A loss, a penalty or a prior of your own is saved and loaded as well
    if it keeps its arguments in this way.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        keras.saving.register_keras_serializable(cls.__module__.partition(".")[0])(cls)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, as Keras serialises them."""
        arguments = {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}
        return keras.saving.serialize_keras_object(arguments)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Part:
        """The part of a configuration."""
        return cls(**keras.saving.deserialize_keras_object(config))
