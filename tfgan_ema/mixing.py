"""What the players learn from: LeakyEMA with its ablations, and top-k training."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from itertools import pairwise

import keras
from keras import ops

from tfgan_ema import schedules
from tfgan_ema.controllers import Controller
from tfgan_ema.engines import Engine, Tensor
from tfgan_ema.errors import UsageError, number, one_of, whole
from tfgan_ema.latents import Draws
from tfgan_ema.parts import Part
from tfgan_ema.schedules import Number, Schedule

NEVER = 2**31 - 1
MODES = ("sync", "async_noise", "async_model", "same_random", "same_top_k")


class LeakyEMA(Part, keras.layers.Layer):
    """Replaces a share beta of the real batch by samples of a teacher (thesis, equation 5).

    The discriminator's "real" images come from ``beta * p_teacher + (1 - beta) * p_data``, from
    generator step ``start_step`` on. The share is exact on the global batch:
    ``floor(beta * B + 1/2)`` rows, spread evenly over it, and only those rows are generated. Before
    the start the teacher is not run at all.

    Modes (thesis, table 4):

    - ``sync``: the teacher is an average of the generator, on the latents of this update's fakes.
    - ``async_noise``: the same teacher on latents of its own.
    - ``async_model``: the teacher is a fixed generator given as ``model``.
    - ``same_random``: no teacher; the update's own fakes of those rows are leaked.
    - ``same_top_k``: no teacher; the fakes that the discriminator holds most real are leaked.

    An adaptive leak begins with a share of 0, which `controllers.Controller` moves between 0 and
    beta: up while the discriminator calls more real images real than the target says. `apa` is the
    published method of this kind.
    """

    def __init__(
        self,
        beta: Number = 0.5,
        *,
        start_step: int | str = 0,
        mode: str = "sync",
        average: int | str = 0,
        ramp: int = 0,
        adaptive: bool = False,
        target: float = 0.6,
        per_image: bool = False,
        model: Callable[..., Tensor] | None = None,
        name: str = "leaky_ema",
    ) -> None:
        """Creates the layer.

        Args:
            beta: share of the real batch that is replaced, in [0, 1), which may be scheduled; the
                most of an adaptive leak.
            start_step: leaking starts after this generator step; ``"auto"`` waits until the
                `Evaluate` callback sees the metric flatten (see `plateau`).
            mode: one of `MODES`.
            average: which of the GAN's averages teaches (``sync`` and ``async_noise``), an index or
                a name.
            ramp: generator steps over which the share grows linearly from 0 to beta; 0 is constant.
            adaptive: whether the share follows how far the discriminator overfits.
            target: of an adaptive leak: the mean sign of the real batch's logits, in (-1, 1).
            per_image: whether each row is replaced with that probability by itself; the share is
                exact otherwise.
            model: for ``async_model``: a generator, also one from `export.load_generator`.
            name: the layer's name.

        Raises:
            UsageError: a value out of range.
        """
        super().__init__(name=name, trainable=False, dtype="float32")
        beta = schedules.number("LeakyEMA beta", beta, "[0, 1)", "; at 1 no real image is left")
        if isinstance(beta, Schedule) and (adaptive or ramp):
            raise UsageError(
                f"LeakyEMA adaptive {adaptive}, ramp {ramp} with a beta that is a schedule: the "
                "share follows one of them."
            )
        if start_step != "auto":
            start_step = whole("LeakyEMA start_step", start_step, 0, ", or 'auto'")
        one_of("LeakyEMA mode", mode, MODES)
        if (mode == "async_model") != callable(model):
            raise UsageError(
                f"LeakyEMA mode {mode!r} with model {model!r}: `async_model`, and only it, needs a "
                "fixed generator (a model, or export.load_generator(FOLDER))."
            )
        if (adaptive and ramp) or (per_image and mode == "same_top_k"):
            raise UsageError(
                f"LeakyEMA adaptive {adaptive}, ramp {ramp}, per_image {per_image}, mode {mode!r}: "
                "an adaptive leak has no ramp, and same_top_k ranks a whole batch."
            )
        self.beta, self.mode, self.average = beta, mode, average
        self.ramp = whole("LeakyEMA ramp", ramp, 0)
        self.start_step, self.auto, self.model = start_step, start_step == "auto", model
        self.adaptive, self.target, self.per_image = adaptive, target, per_image
        self.controller = None
        if adaptive:
            self.controller = Controller(target, most=self.beta, name="leak_share")
        # A variable, so that a callback can set it and a checkpoint keeps it.
        self.start = self.add_weight(
            shape=(),
            dtype="int32",
            trainable=False,
            initializer=keras.initializers.Constant(NEVER if self.auto else start_step),
            name="start",
        )
        self.built = True

    @property
    def needs_average(self) -> bool:
        """Whether an average of the generator teaches."""
        return self.mode in ("sync", "async_noise")

    @property
    def own_latents(self) -> bool:
        """Whether the teacher's latents differ from those of the update's fakes."""
        return self.mode in ("async_noise", "async_model")

    @property
    def leaks_fakes(self) -> bool:
        """Whether the update's own fakes are leaked, without a teacher."""
        return self.mode in ("same_random", "same_top_k")

    @property
    def waiting(self) -> bool:
        """Whether an automatic start has not been set yet."""
        return self.auto and int(ops.convert_to_numpy(self.start)) == NEVER

    def count(self, step: Tensor, batch: int) -> Tensor:
        """Leaked rows of a global batch at generator step ``step`` (from 0), int32 scalar."""
        if self.controller is not None or isinstance(self.beta, Schedule):
            return ops.cast(ops.floor(self._share(step) * batch + 0.5), "int32")
        whole = _rounded(self.beta * batch)
        if not self.ramp:
            return ops.convert_to_tensor(whole, "int32")
        progress = ops.clip(ops.cast(step - self.start + 1, "float32") / self.ramp, 0.0, 1.0)
        return ops.cast(ops.floor(whole * progress + 0.5), "int32")

    def _share(self, step: Tensor) -> Tensor | float:
        return self.controller.share if self.adaptive else schedules.at(self.beta, step)

    def call(
        self,
        real: Tensor,
        labels: Tensor | None,
        fake: Tensor,
        fake_labels: Tensor | None,
        *,
        engine: Engine,
        step: Tensor,
        teacher: Callable[[Tensor], tuple[Tensor, Tensor | None]],
        discriminator: Callable[[Tensor, Tensor | None], Tensor],
        draws: Draws | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """The mixed real batch of this replica.

        Args:
            real: images [n, ...] in [-1, 1], or points [n, d].
            labels: int32 [n] or ``None``.
            fake: this update's fakes [n, ...].
            fake_labels: their labels.
            engine: the engine of Keras's backend.
            step: generator steps done so far.
            teacher: rows (int32 [k]) -> the teacher's images for those rows, and their labels.
            discriminator: images, labels -> logits [n]; only ``same_top_k`` asks for them.
            draws: random draws of this update; only ``per_image`` asks for them.

        Returns:
            Images and labels with some rows replaced; a leaked row carries the label it was
            generated with.
        """
        started = step >= self.start
        unmixed = (real,) if labels is None else (real, labels)
        logits = None
        if self.mode == "same_top_k":  # collectives are not possible inside the lazy branch
            logits = engine.gather(
                engine.lazy(
                    started,
                    lambda: discriminator(fake, fake_labels),
                    lambda: ops.zeros((real.shape[0],)),
                )
            )

        chances = draws.uniform((real.shape[0],), "leaked") if self.per_image else None

        def leak() -> tuple:
            leaked, most = self._leaked_rows(engine, real.shape[0], step, logits, chances)
            if most == 0:
                return unmixed
            # The leaked rows first, in their order; then some that stay as they are.
            index = ops.argsort(ops.cast(ops.logical_not(leaked), "int32"))[:most]
            index = ops.cast(index, "int32")
            if self.leaks_fakes:
                images = ops.take(fake, index, axis=0)
                new = (images, None if labels is None else ops.take(fake_labels, index, axis=0))
            else:
                new = teacher(index)
            replace = ops.take(leaked, index, axis=0)
            return tuple(
                _replaced(old, index, replace, ops.cast(one, old.dtype))
                for old, one in zip(unmixed, new, strict=False)
            )

        mixed = engine.lazy(started, leak, lambda: unmixed)
        return (mixed[0], None if labels is None else mixed[1])

    def _leaked_rows(
        self, engine: Engine, rows: int, step: Tensor, logits: Tensor | None, chances: Tensor | None
    ) -> tuple[Tensor, int]:
        """Mask of this replica's leaked rows, and the most there can be."""
        if chances is not None:
            return chances < self._share(step), rows
        replicas, index = engine.replicas(), engine.rows(rows)
        batch = rows * replicas
        count, most = self.count(step, batch), _rounded(schedules.bounds(self.beta)[1] * batch)
        if logits is None:  # evenly spread: row i is leaked where floor((i+1) m / B) steps up
            leaked = (index + 1) * count // batch > index * count // batch
            return leaked, math.ceil(most / replicas)
        rank = ops.argsort(ops.argsort(-logits))  # 0 is the most real
        return ops.cast(ops.take(rank, index), "int32") < count, min(rows, most)


def apa(target: float = 0.6, *, most: float = 0.9, start_step: int = 0) -> LeakyEMA:
    """Adaptive pseudo augmentation (Jiang et al. 2021): fakes pass for real, each by chance.

    Args:
        target: of the mean sign of the real batch's logits, in (-1, 1).
        most: the largest probability, below 1.
        start_step: it starts after this generator step.
    """
    return LeakyEMA(
        most,
        start_step=start_step,
        mode="same_random",
        adaptive=True,
        target=target,
        per_image=True,
    )


def _rounded(x: float) -> int:
    """The nearest whole number, halves upwards."""
    return math.floor(x + 0.5)


def _replaced(old: Tensor, index: Tensor, replace: Tensor, new: Tensor) -> Tensor:
    """``old`` with rows ``index`` set to ``new`` where ``replace``."""
    replace = ops.reshape(replace, (-1,) + (1,) * (len(old.shape) - 1))
    rows = ops.where(replace, new, ops.take(old, index, axis=0))
    return ops.scatter_update(old, ops.expand_dims(index, 1), rows)


def plateau(
    steps: Sequence[int],
    values: Sequence[float],
    *,
    window: int = 5,
    tolerance: float = 0.05,
) -> int | None:
    """The step at which a falling metric has flattened, or ``None`` if it has not.

    This decides ``start_step="auto"``: leaking starts once the metric stops improving, by less than
    ``tolerance`` (5 %) of its total drop. The least value of the last third of the evaluations (of
    at least ``window``) is compared with the least one before. The drop must exceed the noise, too:
    twice the mean jump between neighbouring evaluations in that third has to be within the same
    tolerance. At least ``2 * window`` evaluations are needed.

    Looking back on a third, and not on a fixed number, makes the rule independent of how often one
    evaluates: a straight fall never counts as flat, and of an exponential one at most 1/50 of the
    whole drop is still to come (with ``tolerance`` 0.05).

    Args:
        steps: generator steps of the evaluations, rising and evenly spaced.
        values: the metric, smaller is better.
        window: the least number of evaluations that are looked back on.
        tolerance: the share of the whole drop that still counts as progress.

    Returns:
        The last of ``steps`` when the curve is flat there.
    """
    if len(values) < 2 * window:
        return None
    recent = max(window, math.ceil(len(values) / 3))
    before, now = min(values[:-recent]), min(values[-recent:])
    drop = values[0] - min(values)
    noise = 2 * statistics.fmean(abs(b - a) for a, b in pairwise(values[-recent:]))
    flat = drop > 0 and max(before - now, noise) <= tolerance * drop
    return steps[-1] if flat else None


class TopK(Part):
    """Trains the generator only on the fakes that look most real (Sinha et al. 2020).

    The share of the global batch that is kept starts at 1 and is multiplied by ``decay`` every
    ``every`` generator steps, down to ``least``.
    """

    def __init__(self, least: float = 0.5, *, decay: float = 0.99, every: int = 1000) -> None:
        """Creates the schedule.

        Args:
            least: smallest share, in (0, 1].
            decay: factor in (0, 1].
            every: generator steps between two factors.

        Raises:
            UsageError: a value out of range.
        """
        self.least = number("TopK least", least, "(0, 1]")
        self.decay = number("TopK decay", decay, "(0, 1]")
        self.every = whole("TopK every", every)

    def __call__(self, engine: Engine, logits: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
        """Logits [n] through which only the best rows pass gradients, and the factor B/k.

        The factor turns the mean over the batch into the mean over the k rows that are kept.
        """
        everyone = engine.gather(logits)
        batch = everyone.shape[0]
        passed = ops.floor(ops.cast(step, "float32") / self.every)
        share = ops.maximum(ops.power(self.decay, passed), self.least)
        kept = ops.maximum(ops.floor(share * batch + 0.5), 1.0)
        threshold = ops.take(-ops.sort(-everyone), ops.cast(kept, "int32") - 1)
        logits = ops.where(logits >= threshold, logits, ops.stop_gradient(logits))
        return logits, batch / kept
