"""The trained models that come with the package: SavedModels with cards, found by name.

``exports/NAME/`` holds the SavedModel of an averaged generator, ``card.json`` (what it is, how it
was made, what it scores), ``card.md`` (the same for people) and ``samples.png``.
`tfgan_ema.lab.reports.cards` makes and checks them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfgan_ema import reading
from tfgan_ema.errors import one_of

if TYPE_CHECKING:
    import keras as keras_
    import numpy as np

    from tfgan_ema.export import ExportedGenerator

FOLDER = Path(__file__).parent / "exports"


def names() -> list[str]:
    """The shipped models, sorted."""
    return sorted(path.parent.name for path in FOLDER.glob("[!.]*/card.json"))


def folder(name: str) -> Path:
    """The folder of a model; raises `UsageError` if there is none of that name."""
    return FOLDER / one_of("shipped model", name, names())


def card(name: str) -> dict[str, Any]:
    """A model's ``card.json``; `tfgan_ema.lab.reports.cards` describes its keys."""
    path = folder(name) / "card.json"
    with reading.refusing(f"{path} is damaged", "install the package anew."):
        return reading.json_value(path)


def load(name: str, *, keras: bool = False) -> ExportedGenerator | keras_.Model:
    """A shipped model: callable on latents, with ``sample(count, seed, labels=...)``.

    Args:
        name: one of `names`.
        keras: gives a Keras model instead, with layers to look at or to train on. It maps latents
            (conditional: ``[latents, labels]``) to images in [-1, 1].

    Needs TensorFlow, whatever Keras's backend.

    Raises:
        UsageError: no model of that name.
    """
    from tfgan_ema import export

    loaded = export.load_generator(folder(name))
    return _in_keras(card(name), loaded.weights) if keras else loaded


def _in_keras(card: Mapping[str, Any], weights: list[np.ndarray]) -> keras_.Model:
    import zoo

    options = dict(card["config"]["network"])
    shape = card["data"]["shape"]
    if len(shape) == 3:
        options |= {"image_size": shape[0], "channels": shape[2]}
    options["num_classes"] = card["data"]["num_classes"]
    generator, _ = zoo.build(options.pop("kind"), **options)
    for variable, value in zip(generator.variables, weights, strict=True):
        variable.assign(value)
    return generator


def locate(model: str) -> Path:
    """The folder that a ``--model`` flag means: a path, or the folder of a shipped model.

    Raises:
        UsageError: a bare word that is neither a folder here nor a shipped model.
    """
    path = Path(model)
    return path if path.exists() or path.name != model else folder(model)
