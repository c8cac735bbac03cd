"""A whole GAN as a configuration and as one file, which ``keras.models.load_model`` reads."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import keras

from tfgan_ema import (
    augment,  # noqa: F401 makes its classes known to Keras
    files,
)
from tfgan_ema.errors import UsageError

if TYPE_CHECKING:
    from tfgan_ema.gan import GAN


def parts(gan: GAN, arguments: Iterable[str]) -> dict[str, Any]:
    """What the constructor of a GAN was given, and the averages that were added later."""
    renamed = {"loss": gan.loss_pair, "averages": [average.rule for average in gan.averages]}
    return {name: renamed[name] if name in renamed else getattr(gan, name) for name in arguments}


def compiled_with(gan: GAN) -> dict[str, Any]:
    """What `compile` was given."""
    return {"d_optimizer": gan.d_optimizer, "g_optimizer": gan.g_optimizer, **gan.execution}


def configuration(gan: GAN, arguments: Iterable[str]) -> dict[str, Any]:
    """The configuration of every part, as Keras serialises it.

    Raises:
        UsageError: a part that has no configuration.
    """
    return {name: written(name, part) for name, part in parts(gan, arguments).items()}


def written(name: str, part: Any) -> Any:
    """The configuration of a part, as Keras serialises it.

    Raises:
        UsageError: it has none, or one that Keras would refuse to read.
    """
    if isinstance(part, list | tuple):
        return [written(name, each) for each in part]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a lambda, which is refused here
            config = keras.saving.serialize_keras_object(part)
        reason = (
            "it holds a lambda, not a named function"
            if '"__lambda__"' in json.dumps(config)
            else None
        )
    except Exception as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
    if reason:
        raise UsageError(
            f"the {name} {part!r} cannot be saved with the model ({reason.rstrip('.')}): give it "
            "get_config(), or use gan.save_weights(), tg.Checkpoint or tg.export.saved_model."
        )
    return config


# Methods of `GAN`


def from_config(cls: type[GAN], config: dict[str, Any], custom_objects: Any = None) -> GAN:
    """A GAN with new weights from the configuration of another."""
    return cls(**keras.saving.deserialize_keras_object(config, custom_objects))


def save(
    gan: GAN, filepath: str | os.PathLike, overwrite: bool = True, zipped: bool | None = None
) -> None:
    """Saves networks, averages, parts, optimizers and the step in one ``.keras`` file.

    A local file appears whole or not at all.

    ``from tfgan_ema import GAN`` makes the classes known that ``keras.models.load_model`` reads.
    Training that goes on from the file is the training that would have gone on without it.

    Args:
        gan: the GAN.
        filepath: where to save; a name that ends in ``.keras``, or with ``zipped=False`` a folder.
        overwrite: whether a file of that name is replaced.
        zipped: as in Keras.

    Raises:
        UsageError: a part that cannot be saved, or a file that exists; nothing is written then.
    """
    if os.fspath(filepath).endswith((".h5", ".hdf5")):
        raise UsageError(f"{os.fspath(filepath)!r}: expected a name that ends in .keras.")
    gan.get_config()
    gan.get_compile_config()
    if "://" in os.fspath(filepath):  # Keras knows the ways to other machines
        return keras.Model.save(gan, filepath, overwrite, zipped)
    if os.path.exists(filepath) and not overwrite:
        raise UsageError(f"{os.fspath(filepath)} exists: pass overwrite=True to replace it.")
    with files.replacing(filepath) as temporary:
        keras.Model.save(gan, temporary, zipped=zipped)


def export(gan: GAN, filepath: str | os.PathLike, *args: Any, **kwargs: Any) -> None:
    """As Keras's, of the first average; `tfgan_ema.export` also exports drawing samples."""
    gan.ready_generator().export(filepath, *args, **kwargs)


def quantize(gan: GAN, *args: Any, **kwargs: Any) -> None:
    """Refused: players that train are not quantized."""
    raise UsageError(
        "quantize on a GAN: its players train; save a generator, "
        "gan.ready_generator().save('g.keras'), and quantize what keras.models.load_model gives."
    )
