"""Numbers that move during training: functions of the generator steps done so far.

Where training takes a number that may move (learning rates, Adam's betas, weights of penalties,
decays and half-lives of averages, probabilities of augmentation, shares of leaks), it takes one of
these schedules in its place, or its configuration, ``{"kind": "cosine", "start": 2e-4, ...}``. It
is evaluated inside the compiled step and keeps no state, so that a resumed run continues exactly.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import keras
from keras import ops
from keras.optimizers.schedules import LearningRateSchedule

from tfgan_ema import errors
from tfgan_ema.engines import Tensor
from tfgan_ema.errors import UsageError, whole
from tfgan_ema.parts import Part


class Schedule(Part, LearningRateSchedule):
    """A function of the generator steps done so far: 0 in the first step.

    In an optimizer of Keras's it is a learning rate like Keras's own schedules, whose steps are
    that optimizer's updates.

    Attributes:
        least: no value is below.
        most: no value is above.
    """

    least: float
    most: float

    def __call__(self, step: Tensor) -> Tensor:
        """The value after ``step`` steps, a float32 scalar."""
        raise TypeError(f"{type(self).__name__} does not say how it moves")


class ConstantValue(Schedule):
    """The same value at every step."""

    def __init__(self, value: float):
        self.value = self.least = self.most = errors.number("constant", value, "(-inf, inf)")

    def __call__(self, step: Tensor) -> Tensor:
        return ops.convert_to_tensor(self.value, "float32")


class Linear(Schedule):
    """``start`` until step ``begin``, then in a straight line to ``end``, where it stays.

    Args:
        start: the first value.
        end: the last value.
        steps: the generator step from which on the value is ``end``.
        images: in the place of ``steps``: after how many images of the data that is. Configurations
            know the batch size.
        batch_size: with ``images``, how many of them a discriminator update reads.
        begin: the last step whose value is ``start``.

    Raises:
        UsageError: a value out of range, or not exactly one of ``steps`` and ``images``.
    """

    def __init__(
        self,
        start: float,
        end: float,
        steps: int | None = None,
        *,
        images: float | None = None,
        batch_size: int | None = None,
        begin: int = 0,
    ):
        self.start = errors.number("schedule start", start, "(-inf, inf)")
        self.end = errors.number("schedule end", end, "(-inf, inf)")
        self.steps, self.images, self.batch_size = steps, images, batch_size
        self.begin, self._length = whole("schedule begin", begin, 0), _length(**_span(self))
        if self.begin >= self._length:
            raise UsageError(
                f"a schedule from step {begin} to step {self._length:g} goes nowhere: expected "
                "0 <= begin < steps."
            )
        self.least, self.most = sorted((self.start, self.end))

    def __call__(self, step: Tensor) -> Tensor:
        done = (ops.cast(step, "float32") - self.begin) / (self._length - self.begin)
        return self.start + (self.end - self.start) * self._share(ops.clip(done, 0.0, 1.0))

    def _share(self, done: Tensor) -> Tensor:
        """The share of the way, in [0, 1], after that share of the time."""
        return done


class Cosine(Linear):
    """As `Linear`, on half a wave of the cosine: slow at both ends (Loshchilov and Hutter 2017).

    ``end + (start - end) (1 + cos(pi t)) / 2``, where t goes from 0 to 1.
    """

    def _share(self, done: Tensor) -> Tensor:
        return 0.5 - 0.5 * ops.cos(math.pi * done)


class WarmUp(Schedule):
    """Rises in a straight line: the value of the peak times min(1, (step + 1) / steps).

    Args:
        peak: a number >= 0, or the schedule to warm up to, whose own clock also starts at step 0.
        steps: the number of steps, of which the last is the first at full height.
        images: in the place of ``steps``, see `Linear`.
        batch_size: with ``images``, how many of them a discriminator update reads.

    Raises:
        UsageError: a value out of range, or not exactly one of ``steps`` and ``images``.
    """

    def __init__(
        self,
        peak: float | LearningRateSchedule,
        steps: int | None = None,
        *,
        images: float | None = None,
        batch_size: int | None = None,
    ):
        self.peak = number("warm-up peak", peak, "[0, inf)", foreign=True)
        self.steps, self.images, self.batch_size = steps, images, batch_size
        self._length = _length(**_span(self))
        least, self.most = bounds(self.peak)
        self.least = least / max(1.0, self._length)

    def __call__(self, step: Tensor) -> Tensor:
        rise = (ops.cast(step, "float32") + 1.0) / self._length
        return at(self.peak, step) * ops.minimum(1.0, rise)


class EachUpdate(Schedule):
    """A schedule of generator steps for an optimizer that makes ``updates`` updates in each.

    Args:
        schedule: the schedule.
        updates: ``n_dis``, for the discriminator.
    """

    def __init__(self, schedule: Schedule, updates: int):
        self.schedule, self.updates = schedule, whole("updates", updates)
        self.least, self.most = schedule.least, schedule.most

    def __call__(self, step: Tensor) -> Tensor:
        return self.schedule(ops.cast(step, "float32") / self.updates)


Number = float | Schedule
_SCHEDULES = {"constant": ConstantValue, "linear": Linear, "cosine": Cosine, "warm_up": WarmUp}


def get(kind: str, **options: Any) -> Schedule:
    """The schedule of that kind: constant, linear, cosine or warm_up.

    Raises:
        UsageError: unknown kind or option, or a value out of range.
    """
    return errors.build("schedule", kind, _SCHEDULES, options)


def at(value: Any, step: Tensor) -> Any:
    """A number as it is, or the value of a schedule after ``step`` generator steps."""
    return value(step) if isinstance(value, LearningRateSchedule) else value


def bounds(value: Any) -> tuple[float, float]:
    """The least and the largest value that a number or a schedule can have."""
    if isinstance(value, Schedule):
        return value.least, value.most
    return (0.0, math.inf) if isinstance(value, LearningRateSchedule) else (value, value)


def number(
    name: str, value: Any, interval: str, also: str = "", *, foreign: bool = False
) -> Number:
    """A number or a schedule whose values are in an interval; else raises `UsageError`.

    Args:
        name: what it is, e.g. ``"EMA half_life"``.
        value: what the user gave: a number, a schedule, or the configuration of one.
        interval: what is allowed, as one writes it: ``"[0, 1)"``.
        also: what the message adds.
        foreign: whether Keras's own schedules are allowed.
    """
    if isinstance(value, Mapping):
        value = _made(name, value)
    if not isinstance(value, LearningRateSchedule):
        return errors.number(name, value, interval, also)
    if isinstance(value, Schedule):
        for end in (value.least, value.most):
            errors.number(f"{name}, scheduled,", end, interval, also)
    elif not foreign:
        raise UsageError(
            f"{name} {type(value).__name__}: Keras's schedules are for learning rates; expected a "
            f"number, or one of tfgan_ema.schedules: {', '.join(_SCHEDULES)}."
        )
    return value


def _made(name: str, config: Mapping[str, Any]) -> Schedule:
    """The schedule of a configuration, ours or Keras's."""
    if "class_name" in config:
        return keras.saving.deserialize_keras_object(dict(config))
    if "kind" not in config:
        raise UsageError(
            f"{name} {dict(config)}: expected a number, or a schedule such as "
            "{'kind': 'linear', 'start': 1.0, 'end': 0.0, 'steps': 1000}."
        )
    return get(**config)


def with_batch_size(tree: Any, batch_size: int) -> Any:
    """A configuration whose schedules by images know how many images a step has."""
    if not isinstance(tree, Mapping):
        return tree
    filled = {key: with_batch_size(value, batch_size) for key, value in tree.items()}
    by_images = filled.get("kind") in _SCHEDULES and filled.get("images") is not None
    return {"batch_size": batch_size, **filled} if by_images else filled


def _span(schedule: Any) -> dict[str, Any]:
    return {key: getattr(schedule, key) for key in ("steps", "images", "batch_size")}


def _length(steps: Any, images: Any, batch_size: Any) -> float:
    """Generator steps, from one of two ways to say how many."""
    if (steps is None) == (images is None) or (images is None) != (batch_size is None):
        raise UsageError(
            f"schedule over steps {steps}, images {images}, batch_size {batch_size}: expected "
            "steps, or images with the batch_size."
        )
    if steps is not None:
        return float(whole("schedule steps", steps))
    return errors.number("schedule images", images, "(0, inf)") / whole("batch_size", batch_size)
