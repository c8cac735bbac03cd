"""Priors over latents, their truncation, and the counter behind every random draw of a step."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from keras import ops

from tfgan_ema import engines
from tfgan_ema.engines import Engine, Tensor
from tfgan_ema.errors import UsageError, number, one_of, whole
from tfgan_ema.parts import Part


@dataclasses.dataclass(frozen=True)
class Draws:
    """Random draws as a pure function of (seed, step, stream name, row in the global batch).

    There is no hidden state: a resumed run draws what the uninterrupted one would have drawn, and
    several replicas draw together what one device draws alone.

    Attributes:
        seed: the run's seed, a Python int or what a compiled sampler hands on.
        step: the counter, an integer or an integer scalar tensor.
        scope: prefix of the stream names, for example ``"d0/"`` for the first discriminator update.
        engine: makes the random bits; that of Keras's backend unless given.
    """

    seed: Any
    step: int | Tensor
    scope: str = ""
    engine: Engine = dataclasses.field(default_factory=engines.current)

    def fold_in(self, name: str) -> Draws:
        """The draws of a part of the step; different names give independent streams."""
        return dataclasses.replace(self, scope=f"{self.scope}{name}/")

    def bits(self, shape: Sequence[int], count: int, stream: str) -> Tensor:
        """The highest ``count`` of 32 random bits, int32; ``shape[0]`` counts this replica's rows.

        The other draws are made of these.
        """
        return self.engine.random_bits(shape, count, self.seed, self.scope + stream, self.step)

    def normal(self, shape: Sequence[int], stream: str) -> Tensor:
        """Standard normal, float32.

        The inverse distribution function at the midpoints of 2^24 equal intervals: the largest
        magnitude is 5.4.
        """
        odd = 2 * self.bits(shape, 24, stream) + (1 - 2**24)
        x = ops.cast(odd, "float32") * 2.0**-24
        # TensorFlow's erfinv rounds (1 + x)/2: above 0 it loses digits and ends at infinity.
        return -math.sqrt(2) * ops.sign(x) * ops.erfinv(-ops.abs(x))

    def uniform(self, shape: Sequence[int], stream: str) -> Tensor:
        """Uniform in [0, 1), float32, multiples of 2^-24."""
        return ops.cast(self.bits(shape, 24, stream), "float32") * 2.0**-24

    def integers(self, shape: Sequence[int], high: int, stream: str) -> Tensor:
        """Uniform integers in [0, high), int32; each is as likely as another to high/2^31."""
        return self.bits(shape, 31, stream) % high


def check_truncation(truncation: float | None) -> None:
    """Raises `UsageError` unless the threshold is ``None`` or a positive finite number."""
    if truncation is not None:
        also = ", or none; 1 cuts at one standard deviation"
        number("truncation", truncation, "(0, inf)", also)


def _whole_dim(prior: Any) -> None:
    """Checks the dimension of a prior when it is made."""
    object.__setattr__(prior, "dim", whole("latent dimension", prior.dim))


@dataclasses.dataclass(frozen=True)
class Normal(Part):
    """z ~ N(0, I) in ``dim`` dimensions.

    Truncation at t draws each coordinate from the normal restricted to [-t, t] (Brock et al.
    2019), by carrying the untruncated draw over to the same quantile: as t grows, z tends to it.
    """

    dim: int
    __post_init__ = _whole_dim

    def draw(self, rows: int, draws: Draws, truncation: float | None = None) -> Tensor:
        """float32 [rows, dim]."""
        z = draws.normal((rows, self.dim), "latent")
        if truncation is None:
            return z
        quantile = ops.erf(z / math.sqrt(2)) * math.erf(truncation / math.sqrt(2))
        return ops.clip(math.sqrt(2) * ops.erfinv(quantile), -truncation, truncation)


@dataclasses.dataclass(frozen=True)
class Hypersphere(Part):
    """z uniform on the sphere of radius sqrt(dim): a normal draw over its root mean square."""

    dim: int
    __post_init__ = _whole_dim

    def draw(self, rows: int, draws: Draws, truncation: float | None = None) -> Tensor:
        """float32 [rows, dim]."""
        refuse_truncation(self, truncation)
        z = draws.normal((rows, self.dim), "latent")
        return z * ops.rsqrt(ops.mean(ops.square(z), axis=1, keepdims=True) + 1e-12)


@dataclasses.dataclass(frozen=True)
class Uniform(Part):
    """z uniform in [-1, 1]^dim."""

    dim: int
    __post_init__ = _whole_dim

    def draw(self, rows: int, draws: Draws, truncation: float | None = None) -> Tensor:
        """float32 [rows, dim]."""
        refuse_truncation(self, truncation)
        return 2.0 * draws.uniform((rows, self.dim), "latent") - 1.0


@dataclasses.dataclass(frozen=True)
class Constant(Part):
    """z = 1: the prior of a generator that is a single point, as in the Dirac-GAN."""

    dim: int = 1
    __post_init__ = _whole_dim

    def draw(self, rows: int, draws: Draws, truncation: float | None = None) -> Tensor:
        """float32 [rows, dim]."""
        refuse_truncation(self, truncation)
        return ops.ones((rows, self.dim))


def refuse_truncation(prior: object, truncation: float | None) -> None:
    """Raises `UsageError` if a prior without tails is to be truncated."""
    if truncation is not None:
        raise UsageError(
            f"truncation {truncation} with the prior {prior}: only the normal prior has tails to "
            "cut; leave truncation out."
        )


PRIORS = {"normal": Normal, "hypersphere": Hypersphere, "uniform": Uniform, "constant": Constant}


def get(name: str, dim: int) -> Normal | Hypersphere | Uniform | Constant:
    """The prior of that name.

    Raises:
        UsageError: no such prior, or a dimension below 1.
    """
    return PRIORS[one_of("latent prior", name, PRIORS)](dim)


def kind(prior: Any) -> str:
    """The name of a prior, as `get` takes it; the class's name of a prior of your own."""
    return next(
        (name for name, known in PRIORS.items() if type(prior) is known), type(prior).__name__
    )
