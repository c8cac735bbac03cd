"""Priors over latents, their truncation, and the counter behind every random draw of a step."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

from keras import ops

from tfgan_ema import engines
from tfgan_ema.errors import UsageError, unknown

Tensor = Any


@dataclasses.dataclass(frozen=True)
class Draws:
    """Random draws as a pure function of (seed, step, stream name, row in the global batch).

    There is no hidden state: a resumed run draws what the uninterrupted one would have drawn, and
    several replicas draw together what one device draws alone.

    Attributes:
        seed: the run's seed, a Python int or what the engine's sampler hands on (an int64 scalar
            tensor; under JAX two uint32 words); or a tuple of S seeds for a stack, whose rows are
            S equal parts, each what its seed alone would draw.
        step: the counter, an integer or an integer scalar tensor.
        scope: prefix of the stream names, e.g. ``"d0/"`` for the first discriminator update.
    """

    seed: int | Tensor | tuple[int, ...]
    step: int | Tensor
    scope: str = ""

    def at(self, name: str) -> Draws:
        """The draws of a part of the step; different names give independent streams."""
        return dataclasses.replace(self, scope=f"{self.scope}{name}/")

    def normal(self, shape: Sequence[int], stream: str) -> Tensor:
        """Standard normal, float32; ``shape[0]`` counts the rows of this replica."""
        return self._rows(engines.current().normal, shape, stream)

    def uniform(self, shape: Sequence[int], stream: str) -> Tensor:
        """Uniform in [0, 1), float32."""
        return self._rows(engines.current().uniform, shape, stream)

    def integers(self, shape: Sequence[int], high: int, stream: str) -> Tensor:
        """Uniform integers in [0, high), int32."""

        def draw(shape: Sequence[int], *key: Any) -> Tensor:
            return engines.current().integers(shape, high, *key)

        return self._rows(draw, shape, stream)

    def _rows(self, draw: Callable[..., Tensor], shape: Sequence[int], stream: str) -> Tensor:
        name = self.scope + stream
        if not isinstance(self.seed, tuple):
            return draw(shape, self.seed, name, self.step)
        part = (shape[0] // len(self.seed), *shape[1:])
        return ops.concatenate([draw(part, seed, name, self.step) for seed in self.seed])


def check_truncation(truncation: float | None) -> None:
    """Raises `UsageError` unless the threshold is ``None`` or a positive finite number."""
    if truncation is not None and not (0 < truncation < math.inf):
        raise UsageError(
            f"truncation {truncation}: expected a threshold above 0 (1 cuts at one standard "
            "deviation), or none."
        )


@dataclasses.dataclass(frozen=True)
class Normal:
    """z ~ N(0, I) in ``dim`` dimensions.

    Truncation at t draws each coordinate from the normal restricted to [-t, t] (Brock et al.
    2019), by carrying the untruncated draw over to the same quantile: as t grows, z tends to it.
    """

    dim: int

    def draw(self, rows: int, draws: Draws, truncation: float | None = None) -> Tensor:
        """float32 [rows, dim]."""
        z = draws.normal((rows, self.dim), "latent")
        if truncation is None:
            return z
        quantile = ops.erf(z / math.sqrt(2)) * math.erf(truncation / math.sqrt(2))
        return ops.clip(math.sqrt(2) * ops.erfinv(quantile), -truncation, truncation)


@dataclasses.dataclass(frozen=True)
class Hypersphere:
    """z uniform on the sphere of radius sqrt(dim): a normal draw over its root mean square."""

    dim: int

    def draw(self, rows: int, draws: Draws, truncation: float | None = None) -> Tensor:
        """float32 [rows, dim]."""
        _refuse_truncation(self, truncation)
        z = draws.normal((rows, self.dim), "latent")
        return z * ops.rsqrt(ops.mean(ops.square(z), axis=1, keepdims=True) + 1e-12)


@dataclasses.dataclass(frozen=True)
class Uniform:
    """z uniform in [-1, 1]^dim."""

    dim: int

    def draw(self, rows: int, draws: Draws, truncation: float | None = None) -> Tensor:
        """float32 [rows, dim]."""
        _refuse_truncation(self, truncation)
        return 2.0 * draws.uniform((rows, self.dim), "latent") - 1.0


@dataclasses.dataclass(frozen=True)
class Constant:
    """z = 1: the prior of a generator that is a single point, as in the Dirac-GAN."""

    dim: int = 1

    def draw(self, rows: int, draws: Draws, truncation: float | None = None) -> Tensor:
        """float32 [rows, dim]."""
        _refuse_truncation(self, truncation)
        return ops.ones((rows, self.dim))


@dataclasses.dataclass(frozen=True, eq=False)
class Replay:
    """A fixed table of latents, gone through again and again in its order.

    Step t takes the t-th run of rows, so both players see the same latents, and real data that are
    replayed too meet the same latents in every epoch (Otstot 2023, the 2-D ring). The last rows of
    an epoch are dropped where they do not fill a batch; in a stack all seeds take the same rows.
    """

    table: Any
    dim: int = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        """Reads the length of a latent from the table [n, dim]."""
        object.__setattr__(self, "dim", int(self.table.shape[1]))

    def draw(self, rows: int, draws: Draws, truncation: float | None = None) -> Tensor:
        """float32 [rows, dim]."""
        _refuse_truncation(self, truncation)
        return replayed(self.table, rows, draws)


def replayed(table: Any, rows: int, draws: Draws) -> Tensor:
    """The rows of a table that step ``draws.step`` takes; the same for every seed of a stack."""
    copies = len(draws.seed) if isinstance(draws.seed, tuple) else 1
    size = rows // copies
    if size > len(table):
        raise UsageError(f"a batch of {size} rows from a table of {len(table)}: take fewer.")
    place = ops.cast(draws.step, "int32") % (len(table) // size)
    # Not a slice: XLA takes its start for a constant and compiles anew for every first step.
    places = place * size + ops.arange(size, dtype="int32")
    taken = ops.take(ops.convert_to_tensor(table, "float32"), places, axis=0)
    return ops.tile(taken, (copies, 1))


def _refuse_truncation(prior: object, truncation: float | None) -> None:
    if truncation is not None:
        raise UsageError(
            f"truncation {truncation} with the prior {prior}: only the normal prior has tails to "
            "cut; leave truncation out."
        )


_PRIORS = {"normal": Normal, "hypersphere": Hypersphere, "uniform": Uniform, "constant": Constant}


def get(name: str, dim: int) -> Normal | Hypersphere | Uniform | Constant:
    """The prior of that name.

    Raises:
        UsageError: no such prior, or a dimension below 1.
    """
    if name not in _PRIORS:
        raise unknown("latent prior", name, _PRIORS)
    if dim < 1:
        raise UsageError(f"latent dimension {dim}: expected at least 1.")
    return _PRIORS[name](dim)
