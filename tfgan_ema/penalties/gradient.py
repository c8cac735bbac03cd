"""Penalties on the gradient of the discriminator with respect to its input."""

from __future__ import annotations

import math

from keras import ops

from tfgan_ema.engines import Tensor
from tfgan_ema.errors import UsageError
from tfgan_ema.penalties.base import Penalty, PenaltyInputs


def _squared_norms(x: Tensor) -> Tensor:
    x = ops.cast(x, "float32")
    return ops.sum(ops.square(ops.reshape(x, (x.shape[0], -1))), axis=1)


class GradientPenalty(Penalty):
    """``weight * E[(|grad D(x)| - target)^2]`` over a set of points (Gulrajani et al. 2017).

    Points: ``interpolates`` between real and fake, one uniform share a row (WGAN-GP); ``real``;
    ``fake``; ``around`` the data, real + std(real)/2 * N(0, I) (DRAGAN, Kodali et al. 2017).
    One-sided, only norms above the target count. With target 0 the squared norm itself is
    penalised, which is smooth at 0.
    """

    POINTS = ("interpolates", "real", "fake", "around")

    def __init__(
        self,
        weight: float = 10.0,
        *,
        points: str = "interpolates",
        target: float = 1.0,
        one_sided: bool = False,
        interval: int = 1,
        name: str = "gradient_penalty",
    ) -> None:
        """Creates the penalty.

        Args:
            weight: its factor (lambda).
            points: one of `POINTS`.
            target: wanted gradient norm, >= 0.
            one_sided: whether norms below the target are free.
            interval: generator steps between two evaluations.
            name: the key in the logs.

        Raises:
            UsageError: a value out of range.
        """
        super().__init__(weight, interval, name)
        if points not in self.POINTS:
            raise UsageError(
                f"gradient penalty points {points!r}: expected one of {', '.join(self.POINTS)}."
            )
        if not (target >= 0 and math.isfinite(target)):
            raise UsageError(f"gradient penalty target {target}: expected a finite number >= 0.")
        self.points, self.target, self.one_sided = points, float(target), one_sided

    def value(self, inputs: PenaltyInputs, shared: Tensor | None) -> Tensor:
        """Mean squared deviation of the gradient norm."""
        x = self._points(inputs, shared)
        labels = inputs.fake.labels if self.points == "fake" else inputs.real.labels
        squares = _squared_norms(
            inputs.engine.input_gradient(lambda points: inputs.forward(points, labels), x)
        )
        if self.target == 0:
            return ops.mean(squares)
        # The square root's slope at 0 is infinite; under the floor it is cut to 0.
        excess = ops.sqrt(ops.maximum(squares, 1e-12)) - self.target
        return ops.mean(ops.square(ops.relu(excess) if self.one_sided else excess))

    def shared(self, inputs: PenaltyInputs) -> Tensor | None:
        """For ``around``: the standard deviation of all values in the global batch."""
        if self.points != "around":
            return None
        real = inputs.real.images
        mean, square = inputs.engine.replica_mean([ops.mean(real), ops.mean(ops.square(real))])
        return ops.stop_gradient(ops.sqrt(ops.maximum(square - ops.square(mean), 0.0)))

    def _points(self, inputs: PenaltyInputs, deviation: Tensor | None) -> Tensor:
        if self.points == "fake":
            return inputs.fake.images
        real = inputs.real.images
        if self.points == "around":
            noise = inputs.draws.normal(real.shape, "around")
            return real + ops.cast(0.5 * deviation * noise, real.dtype)
        if self.points == "interpolates":
            shape = (real.shape[0],) + (1,) * (len(real.shape) - 1)
            share = ops.cast(inputs.draws.uniform(shape, "share"), real.dtype)
            return real + share * (inputs.fake.images - real)
        return real


class R1(GradientPenalty):
    """``factor * weight * E_real[|grad D|^2]`` (Mescheder et al. 2018, equation 9).

    ``factor`` is 1/2, the paper's gamma/2. The authors' image code leaves the 1/2 out:
    its weight 10 is ``R1(10, factor=1)``, or gamma = 20 in the paper's notation.
    """

    def __init__(
        self,
        weight: float = 10.0,
        *,
        factor: float = 0.5,
        interval: int = 1,
        points: str = "real",
        name: str = "r1",
    ) -> None:
        """Creates the penalty on the gradient at real images; see `GradientPenalty`.

        Raises:
            UsageError: a value out of range.
        """
        super().__init__(weight, points=points, target=0.0, interval=interval, name=name)
        if not (factor > 0 and math.isfinite(factor)):
            raise UsageError(f"{name} factor {factor}: expected 0.5, or 1 to leave the half out.")
        self.factor = factor

    def value(self, inputs: PenaltyInputs, shared: Tensor | None) -> Tensor:
        """``factor`` times the mean squared gradient norm."""
        return self.factor * super().value(inputs, shared)


class R2(R1):
    """``factor * weight * E_fake[|grad D|^2]``, R1 at the fakes."""

    def __init__(
        self,
        weight: float = 10.0,
        *,
        factor: float = 0.5,
        interval: int = 1,
        name: str = "r2",
    ) -> None:
        """Creates the penalty on the gradient at fakes; see `R1`."""
        super().__init__(weight, factor=factor, interval=interval, points="fake", name=name)


def wgan_gp(weight: float = 10.0, *, interval: int = 1) -> GradientPenalty:
    """One-centred, two-sided, on interpolates (Gulrajani et al. 2017, equation 3)."""
    return GradientPenalty(weight, interval=interval, name="wgan_gp")


def zero_centred(weight: float = 10.0, *, interval: int = 1) -> GradientPenalty:
    """Zero-centred on interpolates (Thanh-Tung et al. 2019)."""
    return GradientPenalty(weight, target=0.0, interval=interval, name="zero_centred")


def dragan(weight: float = 10.0, *, interval: int = 1) -> GradientPenalty:
    """One-centred around the data (Kodali et al. 2017)."""
    return GradientPenalty(weight, points="around", interval=interval, name="dragan")
