"""LeCam regularisation of the discriminator, for few images."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass

import keras
from keras import ops

from tfgan_ema.engines import Tensor
from tfgan_ema.errors import UsageError, whole
from tfgan_ema.penalties.base import Penalty, PenaltyInputs
from tfgan_ema.schedules import Number


@dataclass(eq=False)
class LeCam(Penalty):
    """``weight * (E relu(D(x) - m_fake)^2 + E relu(m_real - D(G(z)))^2)``.

    Tseng et al. 2021, equation 4. m_real and m_fake are exponential averages of the mean logits of
    real and of fake images over the global batch; they are of earlier updates. Until ``start_step``
    they equal the last means, and nothing is penalised.

    Args:
        weight: its factor; the authors take 0.3 for BigGAN and about 1e-6 for StyleGAN2.
        interval: generator steps between two evaluations; the averages move at each update.
        name: the key in the logs.
        decay: of the averages, in [0, 1).
        start_step: it starts after this generator step.

    Raises:
        UsageError: a value out of range.
    """

    weight: Number = 0.3
    interval: int = 1
    name: str = "lecam"
    _: KW_ONLY
    decay: float = 0.99
    start_step: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.decay < 1:
            raise UsageError(f"lecam decay {self.decay}: expected a share in [0, 1), e.g. 0.99.")
        self.start_step = whole("lecam start_step", self.start_step, 0)
        self.state = [
            keras.Variable(0.0, trainable=False, dtype="float32", name=f"lecam_{name}")
            for name in ("real", "fake")
        ]

    def __call__(self, inputs: PenaltyInputs) -> Tensor:
        """The weighted penalty; also moves the averages, over the global batch."""
        term = super().__call__(inputs)
        started = inputs.step > self.start_step
        for average, logits in zip(self.state, _logits(inputs), strict=True):
            decay = ops.where(started, self.decay, 0.0)
            moved = decay * average + (1.0 - decay) * ops.stop_gradient(ops.mean(logits))
            average.assign(inputs.engine.replica_mean(moved))  # read by all before it is assigned
        return ops.where(started, term, ops.zeros_like(term))

    def value(self, inputs: PenaltyInputs, shared: Tensor | None) -> Tensor:
        """How far logits lie beyond the average of the other kind."""
        real, fake = _logits(inputs)
        real_mean, fake_mean = self.state
        above = ops.square(ops.relu(real - fake_mean))
        below = ops.square(ops.relu(real_mean - fake))
        return ops.mean(above) + ops.mean(below)


def _logits(inputs: PenaltyInputs) -> list[Tensor]:
    return [ops.cast(logits, "float32") for logits in (inputs.real_logits, inputs.fake_logits)]
