"""A share that follows how far the discriminator overfits: of leaks and of augmentation."""

from __future__ import annotations

from collections.abc import Iterable

import keras
from keras import ops

from tfgan_ema import schedules
from tfgan_ema.engines import Engine, Tensor
from tfgan_ema.errors import UsageError, number
from tfgan_ema.latents import Draws
from tfgan_ema.parts import Part
from tfgan_ema.schedules import Number

EVERY = 4  # generator steps between two moves, as in the authors' code
SPEED = 500_000  # images in which the share moves by 1


class Controller(keras.layers.Layer):
    """Moves a share up while the discriminator is surer of real images than a target.

    The statistic is ``r = E sign(D(x))`` over the real images of the last `EVERY` steps, as the
    discriminator saw them: 1 where it calls all of them real. Every `EVERY` steps the share moves
    by ``sign(r - target) * images / SPEED`` and is kept in [0, most] (Karras et al. 2020a, section
    3; Jiang et al. 2021, section 3.3).

    Attributes:
        share: the variable.
    """

    def __init__(self, target: float = 0.6, *, most: float = 1.0, name: str) -> None:
        """Creates the controller; `start` makes its variables.

        Args:
            target: of the statistic, in (-1, 1).
            most: the largest share.
            name: the key in the logs.

        Raises:
            UsageError: a target out of range.
        """
        if not -1 < target < 1:
            raise UsageError(f"{name} target {target}: expected a number in (-1, 1), e.g. 0.6.")
        super().__init__(name=name, trainable=False, dtype="float32")
        self.target, self.most = target, most

    def start(self) -> None:
        """Makes the variables, in the scope of the strategy; the share is 0."""
        if self.built:
            return
        options = {"shape": (), "initializer": "zeros", "trainable": False}
        self.share = self.add_weight(**options, name="share")
        self.signs = self.add_weight(**options, name="signs")
        self.batches = self.add_weight(**options, name="batches")
        self.built = True

    def observe(self, engine: Engine, real_logits: Tensor) -> None:
        """Adds a batch of the discriminator to the statistic, over all replicas."""
        mean = ops.mean(ops.sign(ops.stop_gradient(ops.cast(real_logits, "float32"))))
        self.signs.assign_add(engine.replica_mean(mean))
        self.batches.assign_add(1.0)

    def move(self, step: Tensor, images: int) -> Tensor:
        """Moves the share where that is due; returns it.

        Args:
            step: generator steps done, this one included.
            images: real images that the discriminator reads in a step, over all replicas.
        """
        due = step % EVERY == 0
        sure = self.signs / ops.maximum(self.batches, 1.0) - self.target
        moved = self.share + ops.sign(sure) * (EVERY * images / SPEED)
        self.share.assign(ops.where(due, ops.clip(moved, 0.0, self.most), self.share.value))
        for total in (self.signs, self.batches):
            total.assign(ops.where(due, 0.0, total.value))
        return self.share.value


class ByChance(Part):
    """An augmentation with a probability: a number, a schedule, or an adaptive one.

    Attributes:
        controller: what moves an adaptive probability.
    """

    def __init__(self, key: str, probability: Number, adaptive: bool, target: float) -> None:
        """Checks the values; ``key`` is the augmentation's name in configurations and logs."""
        check = number if adaptive else schedules.number
        self.probability = check(f"{key} probability", probability, "[0, 1]")
        self.adaptive, self.target, self.controller = adaptive, target, None
        if adaptive:
            name = f"{key}_probability"
            self.controller = Controller(target, most=self.probability, name=name)

    def share(self, draws: Draws) -> Tensor | float:
        """The probability of this step."""
        if self.adaptive:
            return self.controller.share
        return schedules.at(self.probability, draws.step)


def started(controllers: Iterable[Controller | None]) -> list[Controller]:
    """Those that there are, with their variables."""
    present = [controller for controller in controllers if controller is not None]
    for controller in present:
        controller.start()
    return present
