"""Random draws and priors of a stack of seeds."""

from collections.abc import Sequence
from typing import Any

from keras import ops

from tfgan_ema.engines import Tensor
from tfgan_ema.errors import UsageError
from tfgan_ema.latents import Draws, refuse_truncation


class StackedDraws(Draws):
    """Draws for a stack, whose ``seed`` is a tuple of S seeds.

    The rows are S equal parts, each what its seed alone would draw.
    """

    def bits(self, shape: Sequence[int], count: int, stream: str) -> Tensor:
        """The bits of each seed, one after another."""
        part = (shape[0] // len(self.seed), *shape[1:])
        name = self.scope + stream
        return ops.concatenate(
            [self.engine.random_bits(part, count, seed, name, self.step) for seed in self.seed]
        )


class Replay:
    """A fixed table of latents, gone through again and again in its order.

    Step t takes the t-th run of rows, so both players see the same latents, and real data that are
    replayed too meet the same latents in every epoch (Otstot 2023, the 2-D ring). The last rows of
    an epoch are dropped where they do not fill a batch; in a stack all seeds take the same rows.
    """

    def __init__(self, table: Any) -> None:
        """Takes the table, [n, dim]."""
        self.table, self.dim = table, int(table.shape[1])

    def draw(self, rows: int, draws: Draws, truncation: float | None = None) -> Tensor:
        """float32 [rows, dim]."""
        refuse_truncation(self, truncation)
        return replayed(self.table, rows, draws)


def replayed(table: Any, rows: int, draws: Draws) -> Tensor:
    """The rows of a table that step ``draws.step`` takes, float32; the same for every seed.

    Raises:
        UsageError: a batch is larger than the table.
    """
    seeds = len(draws.seed) if isinstance(draws, StackedDraws) else 1
    size = rows // seeds
    if size > len(table):
        raise UsageError(f"a batch of {size} rows from a table of {len(table)}: take fewer.")
    place = ops.cast(draws.step, "int32") % (len(table) // size)
    # Not a slice: XLA takes its start for a constant and compiles anew for every first step.
    places = place * size + ops.arange(size, dtype="int32")
    taken = ops.take(ops.convert_to_tensor(table, "float32"), places, axis=0)
    return ops.tile(taken, (seeds, 1))
