"""Many small GANs trained at once, each as its seed would train alone."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from tfgan_ema import validation
from tfgan_ema.augment import InstanceNoise
from tfgan_ema.engines import Engine, Tensor
from tfgan_ema.errors import UsageError
from tfgan_ema.gan import GAN
from tfgan_ema.lab.stacked.draws import StackedDraws
from tfgan_ema.penalties import L2, Orthogonal, PathLength
from tfgan_ema.players import Players, call_generator


class StackedPlayers(Players):
    """S pairs of networks on a leading axis: rows [S n, ...] pass through them as [S, n, ...]."""

    def __init__(self, engine: Engine, generator: keras.Model, discriminator: keras.Model) -> None:
        """Joins two stacks of networks on the same number of seeds."""
        super().__init__(engine, generator, discriminator)
        self.stack = generator.input_shape[0]
        self.sample_shape = tuple(discriminator.input_shape[2:])

    def run(
        self, generator: Callable, latent: Tensor, labels: Tensor | None, *, training: bool = False
    ) -> Tensor:
        """Points [S n, d]."""
        points = call_generator(generator, self._stacked(latent), labels, training=training)
        return ops.reshape(points, (-1, *points.shape[2:]))

    def logits(
        self, images: Tensor, labels: Tensor | None = None, *, training: bool = False
    ) -> Tensor:
        """Logits [S n]."""
        return super().logits(self._stacked(images), labels, training=training)

    def batch_mean(self, logits: Tensor) -> Tensor:
        """Each row is given the mean of its own seed."""
        means = ops.mean(ops.reshape(logits, (self.stack, -1)), axis=1)
        return ops.repeat(means, logits.shape[0] // self.stack)

    def _stacked(self, rows: Tensor) -> Tensor:
        return ops.reshape(rows, (self.stack, -1, *rows.shape[1:]))


class StackedGAN(GAN):
    """As many GANs as there are seeds, trained side by side; see `stacked_mlp` for the networks.

    The rows of a batch are those of the first seed, then those of the second, and so on. Every
    seed's GAN moves as it would alone.
    """

    _join = StackedPlayers

    def __init__(
        self,
        generator: keras.Model,
        discriminator: keras.Model,
        *,
        seed: Sequence[int],
        averages: Sequence[Any] = (),
        **options: Any,
    ) -> None:
        """Joins two stacks of networks; the other arguments are those of `GAN`.

        Raises:
            UsageError: other networks, or a method that would mix the seeds.
        """
        seeds = tuple(int(one) for one in seed)
        shapes = [tuple(network.input_shape) for network in (generator, discriminator)]
        if any(len(shape) != 3 or shape[0] != len(seeds) for shape in shapes):
            raise UsageError(
                f"{len(seeds)} seeds with networks on {shapes[0]} and {shapes[1]}: expected stacks "
                f"on ({len(seeds)}, None, d), as from stacked_mlp(seeds=...)."
            )
        if any(getattr(rule, "half_life", None) for rule in averages):
            raise _mixing(len(seeds), "an average by half_life")
        super().__init__(generator, discriminator, seed=seeds, averages=averages, **options)

    def _checked_seed(self, seed: tuple[int, ...]) -> tuple[int, ...]:
        return seed

    def _check_parts(self) -> None:
        validation.check_parts(self, networks=False)
        penalties = self.regularisation.terms
        leak = self.leak
        mixing = {
            "augment": any(not isinstance(a, InstanceNoise) for a in self.augment),
            "top_k": self.top_k is not None,
            "a ramped or same_top_k leak": leak is not None
            and (leak.ramp or leak.mode == "same_top_k"),
            "such a penalty": any(
                isinstance(p, L2 | Orthogonal | PathLength)
                or getattr(p, "points", None) == "around"
                for p in penalties
            ),
        }
        for what, mixes in mixing.items():
            if mixes:
                raise _mixing(len(self.seed), what)

    def _scaled(self, optimizer: keras.optimizers.Optimizer, loss: Tensor) -> Tensor:
        """The sum over seeds of what is a mean over them, so that each has its own gradient."""
        return super()._scaled(optimizer, len(self.seed) * loss)

    def draws(self, scope: str, step: Tensor | None = None) -> StackedDraws:
        step = self.step.value if step is None else step
        return StackedDraws(self.seed, step, scope, self.engine)

    def sample(self, *args: Any, **kwargs: Any) -> None:
        """Refused: it serves one GAN."""
        raise _single("sample", self)

    def discriminate(self, *args: Any, **kwargs: Any) -> None:
        """Refused: it serves one GAN."""
        raise _single("discriminate", self)


def _mixing(seeds: int, what: str) -> UsageError:
    return UsageError(
        f"{seeds} seeds with {what}: it looks at the whole batch or at all weights, across the "
        "seeds; train these seeds one by one."
    )


def _single(what: str, gan: StackedGAN) -> UsageError:
    return UsageError(
        f"{what} with a stack of {len(gan.seed)} seeds: it serves one GAN; use generate, or copy "
        "one seed into plain networks with stacked.slice_weights."
    )
