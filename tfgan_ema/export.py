"""SavedModels of an averaged generator, for TF Serving or plain TensorFlow.

Signatures:

- ``serving_default``: ``latent`` float32 [n, d] (and ``label`` int32 [n]) -> ``images`` float32 in
  [-1, 1];
- ``sample``: ``count`` int32 scalar, ``seed`` int64 scalar -> ``images`` uint8, bit-equal to
  `GAN.sample`; labels of a conditional generator are drawn;
- ``sample_label`` (conditional only): also ``label`` int32 scalar, one class for all.

Beside it, in ``assets.extra``, which TF Serving ignores, lie the names of a conditional generator's
classes (``class_names.json``), the prior of its latents (``latent.json``) and a program that draws
samples (``usage.py``).
"""

from __future__ import annotations

import errno
import functools
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tfgan_ema import engines, files, latents, reading, usage
from tfgan_ema.errors import UsageError, checked_seed, whole
from tfgan_ema.sampling import CHUNK, chunk_of
from tfgan_ema.validation import checked_labels

engines.require_tensorflow("a SavedModel")
import tensorflow as tf  # noqa: E402

from tfgan_ema.engines.tensorflow import sample_loop  # noqa: E402

if TYPE_CHECKING:
    import keras

    from tfgan_ema.gan import GAN

MOST_SAMPLES = 4096
_CLASS_NAMES, _LATENT = "assets.extra/class_names.json", "assets.extra/latent.json"
RECORD = "export.json"  # of an export in another format, see `formats`
_BESIDE = ("card.json", "card.md", "samples.png", "steps")  # of a shipped model


def saved_model(
    gan: GAN,
    folder: str | os.PathLike,
    *,
    average: int | str = 0,
    truncation: float | None = None,
    class_names: Sequence[str] | None = None,
    overwrite: bool = False,
) -> Path:
    """Writes a SavedModel that loads with TensorFlow alone.

    Args:
        gan: a `GAN`.
        folder: where to; must not exist unless ``overwrite``.
        average: an index or a name of the averages, or ``"raw"`` for the generator as trained.
        truncation: threshold of a truncated normal latent, fixed in ``sample``.
        class_names: of a conditional generator, kept beside it; ``None`` means 0, 1, 2, ...
        overwrite: whether an existing SavedModel is replaced.

    Returns:
        The folder.

    Raises:
        UsageError: the folder exists, or a value out of range.
    """
    latents.check_truncation(truncation)
    check_target(Path(folder), overwrite)
    module, signatures = _module(gan, gan.ready_generator(average), truncation)
    with files.replacing(folder) as temporary:
        try:
            tf.saved_model.save(module, str(temporary), signatures=signatures)
        except (tf.errors.OutOfRangeError, tf.errors.ResourceExhaustedError) as error:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder)) from error
        names = None
        if gan.num_classes is not None:
            names = [*(class_names or map(str, range(gan.num_classes)))]
            files.write_text(temporary / _CLASS_NAMES, json.dumps(names))
        prior = {"kind": latents.kind(gan.latent), "dim": gan.latent.dim}
        prior |= {} if truncation is None else {"truncation": truncation}
        files.write_text(temporary / _LATENT, json.dumps(prior))
        text = usage.code("saved_model", prior, names, folder="Path(__file__).parents[1]")
        files.write_text(temporary / "assets.extra" / "usage.py", text)
    return Path(folder)


def copy(model: Path, folder: str | os.PathLike, *, overwrite: bool = False) -> Path:
    """Copies an exported generator, without the card and the pictures of a shipped one.

    Returns:
        The new folder.

    Raises:
        UsageError: no exported generator, or the folder exists.
    """
    _check_model(model)
    check_target(Path(folder), overwrite)
    with files.replacing(folder) as temporary:
        for path in (path for path in model.rglob("*") if path.is_file()):
            part = path.relative_to(model)
            if part.parts[0] not in _BESIDE:
                (temporary / part).parent.mkdir(parents=True, exist_ok=True)
                (temporary / part).write_bytes(path.read_bytes())
    return Path(folder)


def check_target(folder: Path, overwrite: bool) -> None:
    """Raises `UsageError` if a model cannot be written to this folder."""
    files.clear_leftovers(folder.parent)  # a killed export may have moved the folder aside
    if not folder.exists():
        return
    if not overwrite:
        raise UsageError(f"{folder} exists: choose another folder, or pass overwrite=True.")
    marks = folder / "saved_model.pb", folder / RECORD
    if not folder.is_dir() or (any(folder.iterdir()) and not any(map(Path.exists, marks))):
        raise UsageError(f"{folder} is not an exported model: it will not be overwritten.")


def _check_model(folder: Path) -> None:
    if not folder.exists():
        files.clear_leftovers(folder.parent)  # a killed export may have moved it aside
    if not (folder / "saved_model.pb").is_file():
        raise UsageError(
            f"{folder} holds no SavedModel: expected a folder that `tfgan-ema export` wrote."
        )


def _module(
    gan: GAN, generator: keras.Model, truncation: float | None
) -> tuple[tf.Module, dict[str, Callable]]:
    module = tf.Module()
    module.variables_ = [variable.value for variable in generator.variables]
    dim, conditional = gan.latent.dim, gan.num_classes is not None
    draw = functools.partial(sample_loop, chunk_of(gan, generator, truncation), CHUNK)

    def bounded(count: tf.Tensor) -> list[tf.Operation]:
        return [
            tf.debugging.assert_non_negative(count, "count must not be negative"),
            tf.debugging.assert_less_equal(
                count, MOST_SAMPLES, f"count must be at most {MOST_SAMPLES}"
            ),
        ]

    def known(label: tf.Tensor) -> list[tf.Operation]:
        return [
            tf.debugging.assert_non_negative(label, "label must not be negative"),
            tf.debugging.assert_less(label, gan.num_classes, f"label not below {gan.num_classes}"),
        ]

    graph = functools.partial(tf.function, autograph=False)
    shaped = tf.ensure_shape  # a server does not compare a request with the signature's shapes
    latent = tf.TensorSpec([None, dim], tf.float32, name="latent")
    label = tf.TensorSpec([None], tf.int32, name="label")
    scalar_label = tf.TensorSpec([], tf.int32, name="label")
    count = tf.TensorSpec([], tf.int32, name="count")
    seed = tf.TensorSpec([], tf.int64, name="seed")

    if conditional:

        @graph(input_signature=[latent, label])
        def serve(latent: tf.Tensor, label: tf.Tensor) -> dict[str, tf.Tensor]:
            latent, label = shaped(latent, [None, dim]), shaped(label, [None])
            rows = [tf.shape(tensor)[0] for tensor in (latent, label)]
            paired = tf.debugging.assert_equal(*rows, "latent and label differ in their rows")
            with tf.control_dependencies([paired, *known(label)]):
                return {"images": generator([latent, tf.identity(label)], training=False)}

        @graph(input_signature=[count, seed, scalar_label])
        def sample_label(
            count: tf.Tensor, seed: tf.Tensor, label: tf.Tensor
        ) -> dict[str, tf.Tensor]:
            count, seed, label = (shaped(tensor, []) for tensor in (count, seed, label))
            with tf.control_dependencies(bounded(count) + known(label)):
                labels = tf.fill([tf.identity(count)], label)
                return {"images": draw(tf.identity(count), seed, labels)}

    else:

        @graph(input_signature=[latent])
        def serve(latent: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"images": generator(shaped(latent, [None, dim]), training=False)}

    @graph(input_signature=[count, seed])
    def sample(count: tf.Tensor, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        count, seed = shaped(count, []), shaped(seed, [])
        with tf.control_dependencies(bounded(count)):
            return {"images": draw(tf.identity(count), seed, None)}

    signatures = {"serving_default": serve, "sample": sample}
    if conditional:
        signatures["sample_label"] = sample_label
    return module, signatures


class ExportedGenerator:
    """An exported generator, loaded without its GAN; callable like one, but fixed.

    Attributes:
        folder: where it is.
        signatures: those of the SavedModel.
        class_names: of a conditional generator's classes by index; ``None`` of an unconditional
            one, or where version 0.1.0 exported it.
        prior: of its latents: ``kind``, ``dim`` and, if it is truncated, ``truncation``; ``None``
            where an earlier version exported it.
    """

    def __init__(self, folder: str | os.PathLike) -> None:
        """Loads ``folder``.

        Raises:
            UsageError: no exported generator is there.
        """
        self.folder = Path(folder)
        _check_model(self.folder)
        with reading.refusing(f"{folder} is damaged", "export it anew."):
            self._module = tf.saved_model.load(str(folder))  # the signatures die with the module
            self.signatures = self._module.signatures
            names, prior = self.folder / _CLASS_NAMES, self.folder / _LATENT
            self.class_names = _class_names(names) if names.exists() else None
            self.prior = _prior(prior) if prior.exists() else None
        missing = {"serving_default", "sample"} - set(self.signatures)
        if missing:
            raise UsageError(f"{folder} lacks the signature {min(missing)!r}: export it anew.")

    def __call__(self, inputs: Any, training: bool = False) -> tf.Tensor:
        """Images in [-1, 1] for latents, or for [latents, labels]."""
        latent, *label = inputs if isinstance(inputs, list | tuple) else [inputs]
        labels = {"label": tf.cast(label[0], tf.int32)} if label else {}
        return self.signatures["serving_default"](latent=latent, **labels)["images"]

    @property
    def weights(self) -> list[np.ndarray]:
        """The generator's variables in Keras's order, trainable or not."""
        return [variable.numpy() for variable in self._module.variables_]

    @property
    def conditional(self) -> bool:
        """Whether the generator takes labels."""
        return "sample_label" in self.signatures

    def sample(self, count: int, seed: int = 0, *, labels: Any = None) -> np.ndarray:
        """As `GAN.sample`, up to `MOST_SAMPLES` at once.

        Raises:
            UsageError: a value out of range, or labels for an unconditional generator.
        """
        count = whole("count", count, 0)
        if count > MOST_SAMPLES:
            raise UsageError(
                f"count {count}: one request draws at most {MOST_SAMPLES}; ask several times, with "
                "another seed each time."
            )
        classes = len(self.class_names or ()) or tf.int32.max  # unknown of old exports
        labels = checked_labels(labels, count, classes if self.conditional else None)
        seed = tf.constant(checked_seed(seed), tf.int64)
        request = {"count": tf.constant(count, tf.int32), "seed": seed}
        if labels is None or not count:
            return self.signatures["sample"](**request)["images"].numpy()
        drawn = {label: self._sample_label(label, request) for label in np.unique(labels)}
        return np.stack([drawn[label][row] for row, label in enumerate(labels)])

    def _sample_label(self, label: np.int32, request: dict[str, tf.Tensor]) -> np.ndarray:
        try:
            drawn = self.signatures["sample_label"](**request, label=tf.constant(label))
        except tf.errors.InvalidArgumentError as error:
            raise UsageError(f"label {label}: the generator has fewer classes.") from error
        return drawn["images"].numpy()


def _class_names(path: Path) -> tuple[str, ...]:
    found = reading.json_value(path)
    if not isinstance(found, list):
        raise ValueError(f"{path.name} holds no list")
    for name in found:
        name.encode()  # raises unless it is text that can be printed
    return tuple(found)


def _prior(path: Path) -> dict[str, Any]:
    found = reading.json_value(path)
    if not (isinstance(found, dict) and {"kind", "dim"} <= found.keys()):
        raise ValueError(f"{path.name} holds no prior")
    return found


def load_generator(folder: str | os.PathLike) -> Callable[..., Any]:
    """The exported generator of a folder; see `ExportedGenerator`."""
    return ExportedGenerator(folder)
