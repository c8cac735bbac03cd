"""The two networks as functions of rows: latents to images, images to logits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from tfgan_ema import layers
from tfgan_ema.adapt import Batch
from tfgan_ema.engines import Engine, Tensor
from tfgan_ema.latents import Draws


def call_generator(
    generator: Callable, latent: Tensor, labels: Tensor | None, *, training: bool = False
) -> Tensor:
    """What a generator makes of latents [n, d], and of labels [n] if it is conditional."""
    return generator(latent if labels is None else [latent, labels], training=training)


def draw_inputs(
    rows: int, draws: Draws, prior: Any, num_classes: int | None, truncation: float | None = None
) -> tuple[Tensor, Tensor | None]:
    """Latents [rows, d] and, with classes, uniformly drawn labels int32 [rows]."""
    labels = None if num_classes is None else draws.integers((rows,), num_classes, "label")
    return prior.draw(rows, draws, truncation), labels


class Players:
    """A generator and a discriminator, called with rows whatever shape the networks take.

    Attributes:
        generator: latents (and labels) -> images.
        discriminator: images (and labels) -> logits.
        sample_shape: of one image, or ``None`` where the discriminator does not say.
    """

    def __init__(self, engine: Engine, generator: keras.Model, discriminator: keras.Model) -> None:
        """Joins the networks; they are conditional if they take two inputs."""
        self.engine, self.generator, self.discriminator = engine, generator, discriminator
        inputs = getattr(discriminator, "inputs", None)
        self.sample_shape = tuple(inputs[0].shape[1:]) if inputs else None
        self._rows_are_independent = layers.independent_rows(discriminator)

    @property
    def trained(self) -> list[keras.Variable]:
        """The weights that training moves, the generator's first."""
        return [*self.generator.trainable_variables, *self.discriminator.trainable_variables]

    def run(
        self, generator: Callable, latent: Tensor, labels: Tensor | None, *, training: bool = False
    ) -> Tensor:
        """What any generator of this kind makes: images [n, ...]."""
        return call_generator(generator, latent, labels, training=training)

    def fakes(self, latent: Tensor, labels: Tensor | None) -> Batch:
        """The generator's images in training, with their labels and latents."""
        return Batch(self.run(self.generator, latent, labels, training=True), labels, latent)

    def logits(
        self, images: Tensor, labels: Tensor | None = None, *, training: bool = False
    ) -> Tensor:
        """The discriminator's logits, float32 [n]; differentiable."""
        inputs = images if labels is None else [images, labels]
        logits = self.discriminator(inputs, training=training)
        return ops.cast(ops.reshape(logits, (-1,)), "float32")

    def judged(
        self, real: Batch, fake: Batch, watched: bool
    ) -> tuple[tuple[Tensor, Tensor], Callable[[], tuple[Tensor, Tensor]] | None]:
        """The logits of two batches of one size, and what gives their sums' input gradients.

        There is one call for both where that makes no difference. The gradients are with respect to
        the images, and ``None`` unless ``watched``.
        """

        def logits(batch: Batch) -> tuple[Tensor, Callable[[], Tensor] | None]:
            def of_images(images: Tensor) -> Tensor:
                return self.logits(images, batch.labels, training=True)

            if watched:
                return self.engine.watched(of_images, batch.images)
            return of_images(batch.images), None

        if not self._rows_are_independent:
            pair, gradients = zip(logits(real), logits(fake), strict=True)
            return pair, (lambda: tuple(each() for each in gradients)) if watched else None
        both, gradient = logits(Batch(*real[:2]).alternated(Batch(*fake[:2])))
        return _halves(both), (lambda: _halves(gradient())) if watched else None

    def batch_mean(self, logits: Tensor) -> Tensor:
        """The mean of logits over the global batch."""
        return self.engine.replica_mean(ops.mean(logits))


def _halves(both: Tensor) -> tuple[Tensor, Tensor]:
    """The rows of two batches that `Batch.alternated` joined."""
    return both[0::2], both[1::2]
