"""What the discriminator is fed: LeakyEMA, its ablations, instance noise, DiffAugment."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import keras
from keras import ops

from tfgan_ema import engines
from tfgan_ema.errors import UsageError, build
from tfgan_ema.latents import Draws

Tensor = Any

NEVER = 2**31 - 1
MODES = ("sync", "async_noise", "async_model", "same_random", "same_top_k")


class LeakyEMA(keras.layers.Layer):
    """Replaces a share beta of the real batch by samples of a guide (thesis, equation 5).

    The discriminator's "real" images come from ``beta * p_guide + (1 - beta) * p_data``, from
    generator step ``start_step`` on. The share is exact on the global batch:
    ``floor(beta * B + 1/2)`` rows, spread evenly over it, and only those rows are generated. Before
    the start the guide is not run at all.

    Modes (thesis, table 4):

    - ``sync``: the guide is an average of the generator, on the latents of this update's fakes.
    - ``async_noise``: the same guide on latents of its own.
    - ``async_model``: the guide is a fixed generator given as ``model``.
    - ``same_random``: no guide; the update's own fakes of those rows are leaked.
    - ``same_top_k``: no guide; the fakes that the discriminator holds most real are leaked.
    """

    def __init__(
        self,
        beta: float = 0.5,
        *,
        start_step: int | str = 0,
        mode: str = "sync",
        average: int = 0,
        ramp: int = 0,
        model: Callable[..., Tensor] | str | None = None,
        name: str = "leaky_ema",
    ) -> None:
        """Creates the layer.

        Args:
            beta: share of the real batch that is replaced, in [0, 1).
            start_step: generator steps before leaking; ``"auto"`` waits until the `Evaluate`
                callback sees the metric flatten (see `plateau`).
            mode: one of `MODES`.
            average: which of the GAN's averages guides (``sync`` and ``async_noise``).
            ramp: generator steps over which the share grows linearly from 0 to beta; 0 is constant.
            model: for ``async_model``: a generator, or the folder of an exported one.
            name: the layer's name.

        Raises:
            UsageError: a value out of range.
        """
        super().__init__(name=name, trainable=False, dtype="float32")
        if not 0 <= beta < 1:
            raise UsageError(
                f"LeakyEMA beta {beta}: expected a share in [0, 1); at 1 no real image is left."
            )
        if start_step != "auto" and not (isinstance(start_step, int) and start_step >= 0):
            raise UsageError(
                f"LeakyEMA start_step {start_step!r}: expected a generator step >= 0, or 'auto'."
            )
        if mode not in MODES:
            raise UsageError(f"LeakyEMA mode {mode!r}: expected one of {', '.join(MODES)}.")
        if (mode == "async_model") != (model is not None):
            raise UsageError(
                f"LeakyEMA mode {mode!r} with model {model!r}: `async_model`, and only it, needs a "
                "fixed generator (a model, or the folder of an exported one)."
            )
        if ramp < 0:
            raise UsageError(f"LeakyEMA ramp {ramp}: expected a number of steps >= 0.")
        self.beta, self.mode, self.average, self.ramp = float(beta), mode, average, int(ramp)
        self.auto = start_step == "auto"
        self.model = _exported(model) if isinstance(model, str) else model
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
        """Whether an average of the generator guides."""
        return self.mode in ("sync", "async_noise")

    @property
    def waiting(self) -> bool:
        """Whether an automatic start has not been set yet."""
        return self.auto and int(ops.convert_to_numpy(self.start)) == NEVER

    def count(self, step: Tensor, batch: int) -> Tensor:
        """Leaked rows of a global batch at generator step ``step`` (from 0), int32 scalar."""
        whole = _rounded(self.beta * batch)
        if not self.ramp:
            return ops.convert_to_tensor(whole, "int32")
        progress = ops.clip(ops.cast(step - self.start + 1, "float32") / self.ramp, 0.0, 1.0)
        return ops.cast(ops.floor(whole * progress + 0.5), "int32")

    def call(
        self,
        real: Tensor,
        labels: Tensor | None,
        fake: Tensor,
        fake_labels: Tensor | None,
        *,
        step: Tensor,
        guide: Callable[[Tensor | None], tuple[Tensor, Tensor | None]],
        judge: Callable[[Tensor, Tensor | None], Tensor],
    ) -> tuple[Tensor, Tensor | None]:
        """The mixed real batch of this replica.

        Args:
            real: images [n, ...] in [-1, 1], or points [n, d].
            labels: int32 [n] or ``None``.
            fake: this update's fakes [n, ...].
            fake_labels: their labels.
            step: generator steps done so far.
            guide: rows (int32 [k]) -> the guide's images for those rows, and their labels.
            judge: images, labels -> the discriminator's logits [n]; only ``same_top_k`` asks.

        Returns:
            Images and labels with some rows replaced; a leaked row carries the label it was
            generated with.
        """
        started = step >= self.start
        order = None
        if self.mode == "same_top_k":  # replicas meet outside the lazy branch
            judged = engines.current().lazy(
                started, lambda: judge(fake, fake_labels), lambda: ops.zeros((real.shape[0],))
            )
            order = engines.current().gather(judged)
        keep = (real,) if labels is None else (real, labels)

        def leak() -> tuple:
            rows = real.shape[0]
            chosen, most = self._chosen(rows, step, order)
            if most == 0:
                return keep
            # The chosen rows first, in their order; then some that stay as they are.
            index = ops.argsort(ops.cast(ops.logical_not(chosen), "int32"))[:most]
            index = ops.cast(index, "int32")
            if self.mode in ("same_random", "same_top_k"):
                images = ops.take(fake, index, axis=0)
                new = (images, None if labels is None else ops.take(fake_labels, index, axis=0))
            else:
                new = guide(index)
            take = ops.take(chosen, index, axis=0)
            return tuple(
                _replaced(old, index, take, ops.cast(one, old.dtype))
                for old, one in zip(keep, new, strict=False)
            )

        mixed = engines.current().lazy(started, leak, lambda: keep)
        return (mixed[0], None if labels is None else mixed[1])

    def _chosen(self, rows: int, step: Tensor, order: Tensor | None) -> tuple[Tensor, int]:
        """Mask of this replica's leaked rows, and the most there can be."""
        engine = engines.current()
        replicas = engine.replicas()
        batch = rows * replicas
        count, index = self.count(step, batch), engine.replica_rows(rows)
        most = _rounded(self.beta * batch)
        if order is None:  # evenly spread: row i is leaked where floor((i+1) m / B) steps up
            chosen = (index + 1) * count // batch > index * count // batch
            return chosen, math.ceil(most / replicas)
        rank = ops.argsort(ops.argsort(-order))  # 0 is the most real
        return ops.cast(ops.take(rank, index), "int32") < count, min(rows, most)


def _rounded(x: float) -> int:
    """The nearest whole number, halves upwards."""
    return math.floor(x + 0.5)


def _replaced(old: Tensor, index: Tensor, take: Tensor, new: Tensor) -> Tensor:
    """``old`` with rows ``index`` set to ``new`` where ``take``."""
    take = ops.reshape(take, (-1,) + (1,) * (len(old.shape) - 1))
    rows = ops.where(take, new, ops.take(old, index, axis=0))
    return ops.scatter_update(old, ops.expand_dims(index, 1), rows)


def _exported(folder: str) -> Callable[..., Tensor]:
    from tfgan_ema.export import load_generator

    return load_generator(folder)


def plateau(
    steps: Sequence[int],
    values: Sequence[float],
    *,
    window: int = 5,
    tolerance: float = 0.05,
) -> int | None:
    """The step at which a falling metric has flattened, or ``None`` if it has not.

    The rule of ``start_step="auto"``: the least value of the last third of the evaluations (of the
    last ``window``, if those are more) is not lower than the least value before them by more than
    ``tolerance`` times the drop from the first evaluation to the least one so far. The drop must
    stand out of the noise: twice the mean jump between neighbours among the last evaluations is
    within the same tolerance. At least ``2 * window`` evaluations are needed.

    A third, and not a fixed number, so that evaluating more often changes nothing: a straight fall
    never counts as flat, and of an exponential one at most 1/50 of the whole drop is still to come
    (with ``tolerance`` .05).

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


class InstanceNoise:
    """Adds N(0, stddev^2) to all that the discriminator sees (Sonderby et al. 2017).

    With ``steps``, the standard deviation falls linearly to 0 over that many generator steps.
    """

    def __init__(self, stddev: float = 0.1, *, steps: int | None = None) -> None:
        """Creates the noise.

        Args:
            stddev: standard deviation at the start, in the units of the images ([-1, 1]).
            steps: generator steps until it is 0; ``None`` keeps it constant.

        Raises:
            UsageError: a value out of range.
        """
        if not (stddev >= 0 and math.isfinite(stddev)):
            raise UsageError(f"InstanceNoise stddev {stddev}: expected a finite number >= 0.")
        if steps is not None and steps < 1:
            raise UsageError(f"InstanceNoise steps {steps}: expected at least 1, or none.")
        self.stddev, self.steps = stddev, steps

    def __call__(self, images: Tensor, draws: Draws) -> Tensor:
        """Noisy images, same shape."""
        stddev = self.stddev
        if self.steps is not None:
            left = 1.0 - ops.cast(draws.step, "float32") / self.steps
            stddev = stddev * ops.maximum(left, 0.0)
        noise = draws.normal(images.shape, "instance_noise")
        return images + ops.cast(stddev * noise, images.dtype)


class DiffAugment:
    """Differentiable augmentation of all that the discriminator sees (Zhao et al. 2020).

    Each row has draws of its own. ``color``: brightness in +-1/2, saturation x [0, 2), contrast
    x [1/2, 3/2); ``translation``: up to 1/8 of the size, zeros shifted in; ``cutout``: a square of
    half the size set to 0.
    """

    POLICIES = ("color", "translation", "cutout")

    def __init__(self, policy: Sequence[str] = POLICIES) -> None:
        """Creates the augmentation.

        Args:
            policy: which of `POLICIES` are applied, in order.

        Raises:
            UsageError: an unknown policy.
        """
        policy = tuple(policy.split(",")) if isinstance(policy, str) else tuple(policy)
        for name in policy:
            if name not in self.POLICIES:
                raise UsageError(
                    f"DiffAugment policy {name!r}: expected some of {', '.join(self.POLICIES)}."
                )
        self.policy = policy

    def __call__(self, images: Tensor, draws: Draws) -> Tensor:
        """Augmented images [n, h, w, c].

        Raises:
            UsageError: the input is not images.
        """
        if len(images.shape) != 4:
            raise UsageError(
                f"DiffAugment on data of shape {tuple(images.shape)}: it needs images [n, h, w, c]."
            )
        for name in self.policy:
            images = getattr(self, f"_{name}")(images, draws.at(name))
        return images

    @staticmethod
    def _color(images: Tensor, draws: Draws) -> Tensor:
        n = images.shape[0]
        random = draws.uniform((n, 3), "color")
        brightness, saturation, contrast = (
            ops.cast(ops.reshape(random[:, i], (n, 1, 1, 1)), images.dtype) for i in range(3)
        )
        images = images + (brightness - 0.5)
        grey = ops.mean(images, axis=3, keepdims=True)
        images = (images - grey) * (2.0 * saturation) + grey
        mean = ops.mean(images, axis=(1, 2, 3), keepdims=True)
        return (images - mean) * (contrast + 0.5) + mean

    @staticmethod
    def _translation(images: Tensor, draws: Draws) -> Tensor:
        n, *size, _ = images.shape
        for axis, length in enumerate(size, start=1):
            reach = int(length / 8 + 0.5)
            shift = draws.integers((n,), 2 * reach + 1, f"shift{axis}") - reach
            source = ops.arange(length, dtype="int32")[None, :] - shift[:, None]
            inside = ops.logical_and(source >= 0, source < length)
            pick = ops.one_hot(ops.clip(source, 0, length - 1), length, dtype=images.dtype)
            pick = pick * ops.cast(inside, images.dtype)[:, :, None]  # [n, to, from]
            images = ops.einsum("nab,nb...->na..." if axis == 1 else "nab,nhb...->nha...",
                                pick, images)  # fmt: skip
        return images

    @staticmethod
    def _cutout(images: Tensor, draws: Draws) -> Tensor:
        n, *size, _ = images.shape
        covered = None
        for axis, length in enumerate(size, start=1):
            side = int(length / 2 + 0.5)
            centre = draws.integers((n,), length + (1 - side % 2), f"centre{axis}")
            place = ops.arange(length, dtype="int32")[None, :] - (centre - side // 2)[:, None]
            inside = ops.logical_and(place >= 0, place < side)
            inside = ops.reshape(inside, (n, length, 1, 1) if axis == 1 else (n, 1, length, 1))
            covered = inside if covered is None else ops.logical_and(covered, inside)
        return images * ops.cast(ops.logical_not(covered), images.dtype)


class TopK:
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
        for key, value in (("least", least), ("decay", decay)):
            if not 0 < value <= 1:
                raise UsageError(f"TopK {key} {value}: expected a share in (0, 1].")
        if every < 1:
            raise UsageError(f"TopK every {every}: expected at least 1 generator step.")
        self.least, self.decay, self.every = least, decay, every

    def __call__(self, logits: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
        """Logits [n] through which only the best rows pass gradients, and the factor B/k.

        The factor turns the mean over the batch into the mean over the k rows that are kept.
        """
        everyone = engines.current().gather(logits)
        batch = everyone.shape[0]
        passed = ops.floor(ops.cast(step, "float32") / self.every)
        share = ops.maximum(ops.power(self.decay, passed), self.least)
        kept = ops.maximum(ops.floor(share * batch + 0.5), 1.0)
        threshold = ops.take(-ops.sort(-everyone), ops.cast(kept, "int32") - 1)
        logits = ops.where(logits >= threshold, logits, ops.stop_gradient(logits))
        return logits, batch / kept


_AUGMENTATIONS = {"instance_noise": InstanceNoise, "diff_augment": DiffAugment}


def get(name: str, **options: Any) -> InstanceNoise | DiffAugment:
    """The augmentation of that name.

    Raises:
        UsageError: unknown name or option, or a value out of range.
    """
    return build("augmentation", name, _AUGMENTATIONS, options)
