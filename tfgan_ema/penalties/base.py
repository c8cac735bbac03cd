"""The kinds of regularisation: penalties, constraints, and the regulariser of the game."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras
from keras import ops

from tfgan_ema import batch_statistics, schedules
from tfgan_ema.adapt import Batch
from tfgan_ema.engines import Engine, Report, Tensor
from tfgan_ema.errors import UsageError, number, whole
from tfgan_ema.latents import Draws
from tfgan_ema.parts import Part
from tfgan_ema.schedules import Number

PLAYERS = ("discriminator", "generator")


@dataclasses.dataclass(frozen=True)
class PenaltyInputs:
    """What a penalty may look at in one update.

    Attributes:
        network: the player that is updated.
        forward: for the discriminator, images [n, ...] and labels -> logits [n]; for the generator,
            latents [n, d] and labels -> images.
        real: images and labels as the discriminator saw them (mixed, augmented); ``None`` for the
            generator.
        fake: the same for the fakes, with their latents [n, d].
        real_logits: the real images' logits [n], or ``None`` for the generator.
        fake_logits: those of the fakes.
        draws: random draws of this update.
        input_gradients: gives the gradients of both logits' sums with respect to the images, from
            the call of the discriminator that made the logits; ``None`` unless a penalty of the GAN
            reads them.
    """

    network: keras.Model
    forward: Callable[[Tensor, Tensor | None], Tensor]
    real: Batch | None
    fake: Batch
    real_logits: Tensor | None
    fake_logits: Tensor | None
    draws: Draws
    input_gradients: Callable[[], tuple[Tensor, Tensor]] | None = None

    @property
    def engine(self) -> Engine:
        """The engine of Keras's backend."""
        return self.draws.engine

    @property
    def step(self) -> Tensor:
        """Generator steps done so far."""
        return self.draws.step


@dataclasses.dataclass(eq=False)
class Penalty(Part):
    """A term of a player's loss: a float32 scalar, the mean over this replica's rows.

    With ``interval`` k it is computed on every k-th generator step only and multiplied by k, so
    that its mean over steps stays the same (lazy regularisation, Karras et al. 2020). A penalty of
    your own subclasses this and fills in `value`.

    Args:
        weight: its factor, which may be scheduled; a penalty of weight 0 is not computed.
        interval: generator steps between two evaluations.
        name: the key in the logs.

    Attributes:
        player: ``"discriminator"`` or ``"generator"``.
        state: variables that a checkpoint keeps.
        reads_gradients: whether it asks for `PenaltyInputs.input_gradients`.

    Raises:
        UsageError: a negative or infinite weight, or an interval below 1.
    """

    weight: Number
    interval: int = 1
    name: str = "penalty"

    player = "discriminator"
    state = ()
    reads_gradients = False

    def __post_init__(self) -> None:
        self.weight = schedules.number(f"{self.name} weight", self.weight, "[0, inf)")
        self.interval = whole(f"{self.name} interval", self.interval)

    def shared(self, inputs: PenaltyInputs) -> Tensor | None:
        """What all replicas must compute together; always run, outside the lazy branch."""
        return None

    def value(self, inputs: PenaltyInputs, shared: Tensor | None) -> Tensor:
        """The penalty without weight and interval."""
        raise TypeError(f"{type(self).__name__} does not say what it penalises")

    def __call__(self, inputs: PenaltyInputs) -> Tensor:
        """The weighted penalty of this step, float32 scalar; 0 between intervals."""
        shared = self.shared(inputs)

        def term() -> Tensor:
            return self.factor_now(inputs) * ops.cast(self.value(inputs, shared), "float32")

        return self.lazily(inputs, term, lambda: ops.zeros(()))

    def factor_now(self, inputs: PenaltyInputs) -> Tensor | float:
        """What the value is multiplied by: the weight of this step, and the interval."""
        return schedules.at(self.weight, inputs.step) * self.interval

    def lazily(
        self, inputs: PenaltyInputs, then: Callable[[], Any], otherwise: Callable[[], Any]
    ) -> Any:
        """``then()`` on every interval-th step, ``otherwise()`` between.

        Raises:
            UsageError: replicas would have to exchange batch statistics inside the branch.
        """
        if self.interval == 1:
            return then()
        replicas = inputs.engine.replicas()
        if replicas > 1 and batch_statistics.layers(inputs.network):
            raise UsageError(
                f"{self.name} interval {self.interval} on a {self.player} with batch normalisation "
                f"under {replicas} replicas: collectives are not possible inside a conditional; "
                "use interval 1."
            )
        return inputs.engine.lazy(inputs.step % self.interval == 0, then, otherwise)


@dataclasses.dataclass(eq=False)
class Constraint(Part):
    """Acts on a player's weights after each of its updates and adds nothing to its loss.

    Args:
        name: different for each constraint of a GAN.

    Attributes:
        player: ``"discriminator"`` or ``"generator"``.
    """

    name: str

    player = "discriminator"

    def apply(self, network: keras.Model) -> None:
        """Changes the weights in place."""
        raise TypeError(f"{type(self).__name__} does not say what it constrains")


@dataclasses.dataclass(eq=False)
class Consensus(Part):
    """``weight * R`` for both players, R = 1/2 (|grad L_D|^2 + |grad L_G|^2).

    Mescheder et al. 2017, section 4. It needs ``update_order="simultaneous"``, where both gradients
    are taken at one point.

    Raises:
        UsageError: a negative or infinite weight.
    """

    weight: float = 10.0
    _: dataclasses.KW_ONLY
    name: str = "consensus"

    def __post_init__(self) -> None:
        self.weight = number(f"{self.name} weight", self.weight, "[0, inf)")


class Regularisation(NamedTuple):
    """The penalties of a GAN by kind.

    Attributes:
        terms: those that are added to a loss.
        constraints: those that act after an update.
        consensus: the weight of the game's regulariser; 0 is none.
    """

    terms: tuple[Penalty, ...]
    constraints: tuple[Constraint, ...]
    consensus: float

    @property
    def reads_gradients(self) -> bool:
        """Whether a term asks for `PenaltyInputs.input_gradients`."""
        return any(term.reads_gradients for term in self.terms)

    def of(self, player: str, inputs: PenaltyInputs) -> Report:
        """The terms of a player's loss by name."""
        return {term.name: term(inputs) for term in self.terms if term.player == player}

    def constrain(self, player: str, network: keras.Model) -> None:
        """Applies the constraints of a player after its update."""
        for constraint in self.constraints:
            if constraint.player == player:
                constraint.apply(network)


def by_kind(penalties: Sequence[Penalty | Constraint | Consensus]) -> Regularisation:
    """Sorts penalties by what they do; a penalty of weight 0 is left out.

    Raises:
        UsageError: something else is among them, or two share a name.
    """
    for penalty in penalties:
        if not isinstance(penalty, Penalty | Constraint | Consensus):
            raise UsageError(
                f"penalty {penalty!r}: expected an object of tfgan_ema.penalties, e.g. "
                "penalties.R1(10.0)."
            )
    names = [penalty.name for penalty in penalties]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"two penalties are named {name!r}: give one of them a `name`.")
    return Regularisation(
        tuple(p for p in penalties if isinstance(p, Penalty) and p.weight),
        tuple(p for p in penalties if isinstance(p, Constraint)),
        sum(p.weight for p in penalties if isinstance(p, Consensus)),
    )
