"""From one batch as Keras's trainer hands it over to the batches of a step."""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
from keras import ops

from tfgan_ema.engines import Tensor
from tfgan_ema.errors import UsageError


class Batch(NamedTuple):
    """Some rows: images (or points), their labels, and for fakes the latents they came from."""

    images: Tensor
    labels: Tensor | None = None
    latent: Tensor | None = None

    def strided(self, first: int, stride: int) -> Batch:
        """The rows first, first + stride, first + 2 stride, ..."""
        return Batch(*(None if part is None else part[first::stride] for part in self))

    def taken(self, rows: Tensor) -> Batch:
        """The rows of these indices, int32 [k]."""
        return Batch(*(None if part is None else ops.take(part, rows, axis=0) for part in self))

    def alternated(self, other: Batch) -> Batch:
        """One row of this, one of the other: rows stay with the replicas that they belong to."""

        def alternate(one: Tensor, another: Tensor) -> Tensor:
            return ops.reshape(ops.stack([one, another], axis=1), (-1, *one.shape[1:]))

        pairs = zip(self, other, strict=True)
        return Batch(*(None if one is None else alternate(one, another) for one, another in pairs))


class Form(NamedTuple):
    """What the rows that a GAN reads look like.

    Attributes:
        shape: of one sample, or ``None`` where the discriminator does not say.
        num_classes: of a conditional GAN, or ``None``.
    """

    shape: tuple[int | None, ...] | None
    num_classes: int | None

    @property
    def of_images(self) -> bool:
        """Whether the samples are images, not points."""
        return self.shape is None or len(self.shape) == 3

    def check(self, dtype: str, shape: tuple[int | None, ...]) -> None:
        """Raises `UsageError` for samples of another type or shape than the networks take."""
        if dtype == "bool" or (self.of_images and "int" in dtype and dtype != "uint8"):
            raise UsageError(f"{dtype} images: expected uint8 in [0, 255], or floats in [-1, 1].")
        if self.shape not in (None, tuple(shape), (*shape, 1)):
            raise UsageError(
                f"rows of shape {tuple(shape)}: the discriminator takes {self.shape}; resize the "
                "data, or build networks of the data's shape."
            )


def parts_of(data: Any, form: Form) -> tuple[Any, Any | None]:
    """Images and labels, untouched, of what Keras users hand over.

    Args:
        data: images, ``(images,)``, ``(images, labels)``, or a dictionary with ``image`` and
            perhaps ``label``, as TensorFlow Datasets gives them. Of a dictionary an unconditional
            GAN reads the images alone.
        form: of the GAN.

    Raises:
        UsageError: another structure, sample weights, or labels that are missing or superfluous.
    """
    images, labels = data, None
    if isinstance(data, dict):
        keys = {key.removesuffix("s"): key for key in data}
        if "image" not in keys or (form.num_classes is not None and "label" not in keys):
            wanted = "'image'" if form.num_classes is None else "'image' and 'label'"
            raise UsageError(f"batches with the keys {', '.join(data)}: expected {wanted}.")
        labels = None if form.num_classes is None else data[keys["label"]]
        return data[keys["image"]], labels
    if isinstance(data, tuple | list) and data:
        images, labels, *weights = (*data, None)[: max(len(data), 2)]
        if any(weight is not None for weight in weights):
            raise UsageError("batches with sample weights: a GAN weighs all rows alike.")
        if labels is None and isinstance(images, dict | tuple | list):
            return parts_of(images, form)
    if (labels is None) != (form.num_classes is None):
        given = "without" if labels is None else "with"
        raise UsageError(
            f"batches {given} labels for num_classes {form.num_classes}: conditional networks need "
            "(images, labels), unconditional ones images alone."
        )
    return images, labels


def images_and_labels(data: Any, form: Form) -> Batch:
    """One batch, images as float32 in [-1, 1] (uint8 is scaled) and labels as int32 [n].

    Raises:
        UsageError: rows of another shape or type than the networks take.
    """
    images, labels = parts_of(data, form)
    images = ops.convert_to_tensor(images)
    dtype, shape = keras.backend.standardize_dtype(images.dtype), tuple(images.shape[1:])
    form.check(dtype, shape)
    images = ops.cast(images, "float32")
    if dtype == "uint8" and form.of_images:
        images = images / 127.5 - 1.0
    if form.shape not in (None, shape):
        images = images[..., None]
    return Batch(images, None if labels is None else class_indices(labels, form.num_classes))


def class_indices(labels: Tensor, num_classes: int) -> Tensor:
    """Labels int32 [n] from integers [n] or [n, 1], or from one-hot rows [n, num_classes].

    Raises:
        UsageError: another shape, or fractions.
    """
    labels = ops.convert_to_tensor(labels)
    shape = tuple(labels.shape[1:])
    if shape == (num_classes,) and num_classes > 1:
        return ops.cast(ops.argmax(labels, axis=-1), "int32")
    if shape not in ((), (1,)):
        raise UsageError(
            f"labels of shape {('n', *shape)}: expected (n,), (n, 1), or one-hot (n, "
            f"{num_classes})."
        )
    dtype = keras.backend.standardize_dtype(labels.dtype)
    if "int" not in dtype:
        raise UsageError(f"{dtype} labels: expected integers from 0 to {num_classes - 1}.")
    return ops.cast(ops.reshape(labels, (-1,)), "int32")


def step_batches(
    data: Any, n_dis: int, accumulate: int, form: Form, rows: int | None = None
) -> list[Batch]:
    """The real batches of the ``n_dis`` discriminator updates of one step.

    Row i of update k is row ``i * n_dis + k``: strided, so that the contiguous parts that replicas
    receive split into the same batches as the whole.

    Args:
        data: rows of one replica.
        n_dis: discriminator updates.
        accumulate: micro-batches of an update.
        form: of the GAN.
        rows: how many they are, where the data do not say.

    Raises:
        UsageError: the rows do not divide, or do not fit the networks.
    """
    batch = images_and_labels(data, form)
    if batch.images.shape[0] is None and rows is not None:
        batch = Batch(*(None if x is None else ops.reshape(x, (rows, *x.shape[1:])) for x in batch))
    rows = batch.images.shape[0]
    if rows is None or rows % (n_dis * accumulate):
        raise UsageError(
            f"batches of {'unknown size' if rows is None else f'{rows} rows a replica'} for n_dis "
            f"{n_dis} and accumulate {accumulate}: expected a fixed number divisible by their "
            "product; batch the data with drop_remainder=True, n_dis * batch_size rows a batch "
            "(under several workers through engines.devices.distribute)."
        )
    return [batch.strided(k, n_dis) for k in range(n_dis)]
