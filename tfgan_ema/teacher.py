"""The average that a `LeakyEMA` follows, with batch statistics that training refreshes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import keras
from keras import ops

from tfgan_ema import batch_statistics
from tfgan_ema.averaging import Average
from tfgan_ema.engines import Engine, Tensor
from tfgan_ema.errors import UsageError
from tfgan_ema.players import draw_inputs

if TYPE_CHECKING:
    from tfgan_ema.gan import GAN

REFERENCE = 128  # latents in the reference batch
REFRESH = 20  # generator steps between two estimates of the batch statistics


class Teacher:
    """An average that leaks into the real batch, with batch statistics that training refreshes.

    While it leaks, its statistics are those of one fixed reference batch, estimated anew every
    `REFRESH` steps inside the compiled step.
    """

    def __init__(
        self, average: Average, start: keras.Variable, latent: Any, labels: Any | None
    ) -> None:
        """Appoints an average.

        Args:
            average: what leaks.
            start: the generator step from which it leaks.
            latent: the reference batch, float32 [n, d].
            labels: its labels, int32 [n], or ``None``.
        """
        self.generator, self._average = average.shadow, average
        self._start, self._latent, self._labels = start, latent, labels
        if average.needs_statistics:
            average.teaches_from = start

    def refresh(self, engine: Engine, step: Tensor, run: Callable[..., Any]) -> None:
        """Estimates the statistics when that is due.

        Args:
            engine: the engine of Keras's backend.
            step: generator steps done.
            run: calls a generator with latents and labels, ``training=`` or not.
        """
        if not self._average.needs_statistics:
            return
        statistics = batch_statistics.variables(self.generator)
        since = step - self._start.value

        def estimated() -> list[Tensor]:
            return batch_statistics.of_batch(
                self.generator,
                lambda: run(self.generator, self._latent, self._labels, training=True),
            )

        values = engine.lazy(
            ops.logical_and(since >= 0, since % REFRESH == 0),
            estimated,
            lambda: [variable.value for variable in statistics],
        )
        for variable, value in zip(statistics, values, strict=True):
            variable.assign(value)


def appoint_teacher(gan: GAN) -> Teacher | None:
    """The teacher of a GAN; ``None`` where no average leaks.

    Raises:
        UsageError: the GAN lacks the average that its leak follows.
    """
    if gan.leak is None or not gan.leak.needs_average:
        return None
    average = gan.average(gan.leak.average)
    if average is None:
        raise UsageError(
            f"LeakyEMA follows average {gan.leak.average!r}, but the GAN has none: give the GAN "
            "averages=[EMA(...)]."
        )
    reference = draw_inputs(REFERENCE, gan.draws("reference/", 0), gan.latent, gan.num_classes)
    latent, labels = (None if x is None else ops.convert_to_numpy(x) for x in reference)
    return Teacher(average, gan.leak.start, latent, labels)
