"""From what a user hands to ``fit`` to the batches of a step."""

from __future__ import annotations

from typing import Any, NamedTuple

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


def images_and_labels(data: Any) -> Batch:
    """One batch as Keras's trainer hands it over: images, ``(images,)`` or ``(images, labels)``."""
    images, labels = data if isinstance(data, tuple) and len(data) == 2 else (data, None)
    if isinstance(images, tuple):
        (images,) = images
    return Batch(images, labels)


def step_batches(data: Any, n_dis: int, accumulate: int, num_classes: int | None) -> list[Batch]:
    """The real batches of the ``n_dis`` discriminator updates of one step.

    Row i of update k is row ``i * n_dis + k``: strided, so that the contiguous parts that replicas
    receive split into the same batches as the whole.

    Raises:
        UsageError: labels are missing or superfluous, or the rows do not divide.
    """
    batch = images_and_labels(data)
    if (batch.labels is None) != (num_classes is None):
        given = "without" if batch.labels is None else "with"
        raise UsageError(
            f"batches {given} labels for num_classes {num_classes}: conditional networks need "
            "(images, labels), unconditional ones images alone."
        )
    rows = batch.images.shape[0]
    if rows is None or rows % (n_dis * accumulate):
        raise UsageError(
            f"batches of {'unknown size' if rows is None else f'{rows} rows a replica'} for n_dis "
            f"{n_dis} and accumulate {accumulate}: expected a fixed number divisible by their "
            "product; batch the data with drop_remainder=True, n_dis * batch_size rows a batch "
            "(under several workers through engines.devices.distribute)."
        )
    return [batch.strided(k, n_dis) for k in range(n_dis)]
