"""Penalties on the gradient of the discriminator with respect to its input."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, field

from keras import ops

from tfgan_ema.engines import Tensor
from tfgan_ema.errors import number, one_of
from tfgan_ema.penalties.base import Penalty, PenaltyInputs
from tfgan_ema.schedules import Number


@dataclass(eq=False)
class GradientPenalty(Penalty):
    """``weight * E[(|grad D(x)| - target)^2]`` over a set of points (Gulrajani et al. 2017).

    Points: ``interpolates`` between real and fake, one uniform share a row (WGAN-GP); ``real``;
    ``fake``; ``around`` the data, real + std(real)/2 * N(0, I) (DRAGAN, Kodali et al. 2017).
    One-sided, only norms above the target count. With target 0 the squared norm itself is
    penalised, which is smooth at 0.

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

    POINTS = ("interpolates", "real", "fake", "around")

    weight: Number = 10.0
    name: str = "gradient_penalty"
    _: KW_ONLY
    points: str = "interpolates"
    target: float = 1.0
    one_sided: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("gradient penalty points", self.points, self.POINTS)
        self.target = number("gradient penalty target", self.target, "[0, inf)")

    def value(self, inputs: PenaltyInputs, shared: Tensor | None) -> Tensor:
        """Mean squared deviation of the gradient norm."""
        x = self._points(inputs, shared)
        labels = inputs.fake.labels if self.points == "fake" else inputs.real.labels
        gradient = inputs.engine.input_gradient(lambda points: inputs.forward(points, labels), x)
        squares = _squared_norms(gradient)
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


@dataclass(eq=False)
class R1(GradientPenalty):
    """``factor * weight * E_real[|grad D|^2]`` (Mescheder et al. 2018, equation 9).

    ``factor`` is 1/2, the paper's gamma/2. The authors' image code leaves the 1/2 out:
    its weight 10 is ``R1(10, factor=1)``, or gamma = 20 in the paper's notation. The other
    arguments are those of `GradientPenalty`, but for ``target``, which is 0, and ``one_sided``.

    Raises:
        UsageError: a value out of range.
    """

    name: str = "r1"
    _: KW_ONLY
    factor: float = 0.5
    points: str = "real"
    target: float = field(default=0.0, init=False)
    one_sided: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        usual = ": 0.5, or 1 to leave the half out"
        self.factor = number(f"{self.name} factor", self.factor, "(0, inf)", usual)

    def value(self, inputs: PenaltyInputs, shared: Tensor | None) -> Tensor:
        """``factor`` times the mean squared gradient norm."""
        return self.factor * super().value(inputs, shared)


@dataclass(eq=False)
class R2(R1):
    """``factor * weight * E_fake[|grad D|^2]``, R1 at the fakes."""

    name: str = "r2"
    points: str = field(default="fake", init=False)


@dataclass(eq=False)
class R1R2(Penalty):
    """``factor * weight * (E_real[|grad D|^2] + E_fake[|grad D|^2])``, R1 and R2 of one weight.

    R3GAN's penalty (Huang et al. 2024). The gradients are those of the logits that the loss reads,
    so the discriminator is called once for the loss and both penalties, where `R1` and `R2` call it
    once more each.

    Args:
        weight: its factor (gamma).
        interval: generator steps between two evaluations.
        name: the key in the logs.
        factor: as in `R1`.

    Raises:
        UsageError: a value out of range.
    """

    weight: Number = 1.0
    name: str = "r1_r2"
    _: KW_ONLY
    factor: float = 0.5

    reads_gradients = True

    def __post_init__(self) -> None:
        super().__post_init__()
        self.factor = number(f"{self.name} factor", self.factor, "(0, inf)")

    def value(self, inputs: PenaltyInputs, shared: Tensor | None) -> Tensor:
        """``factor`` times both mean squared gradient norms."""
        real, fake = inputs.input_gradients()
        return self.factor * (ops.mean(_squared_norms(real)) + ops.mean(_squared_norms(fake)))


def _squared_norms(gradient: Tensor) -> Tensor:
    """[n, ...] -> float32 [n]."""
    rows = ops.reshape(ops.cast(gradient, "float32"), (gradient.shape[0], -1))
    return ops.sum(ops.square(rows), axis=1)


def wgan_gp(weight: float = 10.0, *, interval: int = 1) -> GradientPenalty:
    """One-centred, two-sided, on interpolates (Gulrajani et al. 2017, equation 3)."""
    return GradientPenalty(weight, interval=interval, name="wgan_gp")


def zero_centred(weight: float = 10.0, *, interval: int = 1) -> GradientPenalty:
    """Zero-centred on interpolates (Thanh-Tung et al. 2019)."""
    return GradientPenalty(weight, target=0.0, interval=interval, name="zero_centred")


def dragan(weight: float = 10.0, *, interval: int = 1) -> GradientPenalty:
    """One-centred around the data (Kodali et al. 2017)."""
    return GradientPenalty(weight, points="around", interval=interval, name="dragan")
