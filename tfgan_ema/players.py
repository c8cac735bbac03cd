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

    def logit_pair(self, real: Batch, fake: Batch) -> tuple[Tensor, Tensor]:
        """The logits of two batches of one size, in one call where that makes no difference."""
        if not self._rows_are_independent:
            return tuple(self.logits(*batch[:2], training=True) for batch in (real, fake))
        both = Batch(*real[:2]).alternated(Batch(*fake[:2]))
        logits = self.logits(*both[:2], training=True)
        return logits[0::2], logits[1::2]

    def batch_mean(self, logits: Tensor) -> Tensor:
        """The mean of logits over the global batch."""
        return self.engine.replica_mean(ops.mean(logits))
