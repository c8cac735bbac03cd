"""Averages of the generator's weights over training, moved inside the compiled step.

A rule says which share of the current weights enters its average after generator step t
(t = 1, 2, ...): ``average += rate(t) * (weights - average)``. Rate 1 makes the average equal to the
current weights.
"""

from __future__ import annotations

import contextlib
import inspect
import math
import types
from collections.abc import Callable, Mapping
from typing import Any

import keras
from keras import ops

from tfgan_ema import batch_statistics, profiles, schedules
from tfgan_ema.engines import Tensor
from tfgan_ema.errors import UsageError, build, number, one_of, whole
from tfgan_ema.parts import Part
from tfgan_ema.schedules import Number, Schedule

NOTHING: Mapping[int, keras.Variable] = types.MappingProxyType({})
STATISTICS = ("copy", "average", "standing")


def half_life_rate(steps: Tensor | float) -> Tensor | float:
    """1 - 0.5^(1/steps), which halves what is remembered in so many steps (Karras et al. 2020)."""
    return -ops.expm1(math.log(0.5) / steps)


def uniform_rate(step: Tensor, start_step: int, period: int | None = None) -> Tensor:
    """1/n for the n-th weights after ``start_step``, counted anew every ``period`` steps."""
    before = ops.maximum(step - start_step - 1, 0)
    return 1.0 / ops.cast((before if period is None else before % period) + 1, "float32")


class EMA(Part):
    """Exponential moving average (Yazici et al. 2019, equation 3).

    ``average_t = decay * average_{t-1} + (1 - decay) * weights_t`` for t > start_step; until then
    the average equals the raw weights. Instead of a decay, a half-life in images may be given, as
    in StyleGAN: ``decay = 0.5 ** (batch / half_life)``. A ``ramp`` bounds the half-life by that
    share of the steps so far (stylegan2-ada), so that early weights are forgotten sooner.
    """

    def __init__(
        self,
        decay: Number | None = None,
        *,
        start_step: int = 0,
        half_life: Number | None = None,
        ramp: float | None = None,
        statistics: str = "standing",
        name: str | None = None,
    ) -> None:
        """Creates the rule.

        Args:
            decay: in [0, 1); 0.999 unless a half-life is given.
            start_step: averaging starts after this generator step.
            half_life: images after which a weight's share is halved; excludes ``decay``. Either may
                be scheduled; at a half-life of 0 the average equals the raw weights.
            ramp: the bound of the half-life as a share of the steps so far, for example 0.05.
            statistics: where the moving means and variances of batch normalisation come from:
                ``"standing"`` estimates them for the averaged weights (`batch_statistics`),
                ``"copy"`` takes the raw generator's, ``"average"`` averages these like weights.
            name: the key in logs and files; made from the decay unless given.

        Raises:
            UsageError: a value out of range.
        """
        if decay is not None and half_life is not None:
            raise UsageError(
                f"EMA with decay {decay} and half_life {half_life}: give one of the two."
            )
        if half_life is None:
            decay = 0.999 if decay is None else decay
            decay = schedules.number("EMA decay", decay, "[0, 1)", ", e.g. 0.999")
        else:
            allowed = "(0, inf)" if isinstance(half_life, float | int) else "[0, inf)"
            half_life = schedules.number("EMA half_life", half_life, allowed, ", in images")
        if ramp is not None:
            ramp = number("EMA ramp", ramp, "(0, inf)", ", e.g. 0.05, or none")
        self.decay, self.half_life, self.ramp = decay, half_life, ramp
        self.start_step = whole("start_step", start_step, 0)
        self.statistics = one_of("statistics", statistics, STATISTICS)
        moves = isinstance(decay or half_life, Schedule)
        if moves:
            usual = "ema_scheduled"
        else:
            usual = f"ema_{decay}" if half_life is None else f"ema_{half_life:g}_images"
        self.name = name or usual

    def rate(self, step: Tensor, batch_size: int) -> Tensor:
        """The share of the current weights after step ``step``, float32 in (0, 1]."""
        done = step - 1  # before this step, as all schedules count
        if self.half_life is None:
            rate = 1.0 - schedules.at(self.decay, done)
        else:
            rate = half_life_rate(schedules.at(self.half_life, done) / batch_size)
        if self.ramp is not None:
            rate = ops.maximum(rate, half_life_rate(self.ramp * ops.cast(step, "float32")))
        return ops.where(step > self.start_step, ops.cast(rate, "float32"), 1.0)


class PowerEMA(Part):
    """Average whose memory grows with training, of a relative width (Karras et al. 2024, 3.1).

    ``average_t = beta_t * average_{t-1} + (1 - beta_t) * weights_t`` with
    ``beta_t = (1 - 1/t)^(g + 1)``, so weights of step s have a share proportional to ``s^g``: the
    first weights are forgotten. The width is the standard deviation of these shares over t. It is
    the same at every time, where an EMA of fixed decay is wide at first and narrow in the end.

    From snapshots of two of them, averages of other widths are made after training, see `posthoc`.
    """

    def __init__(
        self, sigma: float = 0.05, *, statistics: str = "standing", name: str | None = None
    ) -> None:
        """Creates the rule.

        Args:
            sigma: the width, in (0, 0.2887); 0.05 remembers about the last 5 % of training.
            statistics: see `EMA`.
            name: the key in logs and files; made from the width unless given.

        Raises:
            UsageError: a value out of range.
        """
        self.sigma, self.exponent = sigma, profiles.exponent(sigma)
        self.statistics = one_of("statistics", statistics, STATISTICS)
        self.name = name or f"power_ema_{sigma:g}"

    def rate(self, step: Tensor, batch_size: int) -> Tensor:
        """``1 - (1 - 1/t)^(g + 1)``, float32 in (0, 1]; the first weights are a copy."""
        left = ops.log1p(-1.0 / ops.cast(ops.maximum(step, 1), "float32"))
        return -ops.expm1((self.exponent + 1.0) * left)


class UniformAverage(Part):
    """Plain mean of the weights after ``start_step`` (Yazici et al. 2019, equation 2).

    ``average_t = 1/n * sum of weights_{s+1} ... weights_t`` with n = t - s; until then the average
    equals the raw weights.

    With a ``period`` of k it is the mean of the last k weights at every k-th step after
    ``start_step``. Then it begins anew, so in between it holds those since that step.
    """

    def __init__(
        self,
        *,
        start_step: int = 0,
        period: int | None = None,
        statistics: str = "standing",
        name: str | None = None,
    ) -> None:
        """Creates the rule.

        Args:
            start_step: see `EMA`.
            period: generator steps after which the mean begins anew; ``None`` means never. Score
                and save at multiples of it.
            statistics: see `EMA`.
            name: the key in logs and files; made from the other arguments unless given.

        Raises:
            UsageError: a value out of range.
        """
        self.start_step = whole("start_step", start_step, 0)
        self.period = None if period is None else whole("UniformAverage period", period)
        self.statistics = one_of("statistics", statistics, STATISTICS)
        usual = "uniform" if period is None else f"mean_of_{period}"
        self.name = name or (f"{usual}_{start_step}" if start_step else usual)

    def rate(self, step: Tensor, batch_size: int) -> Tensor:
        """1/n for the n-th weights since the mean began, 1 until the start step."""
        return uniform_rate(step, self.start_step, self.period)


class Average:
    """An average of a generator's weights.

    Attributes:
        rule: an `EMA`, `PowerEMA` or `UniformAverage`.
        name: the rule's.
        source: the generator whose weights are averaged.
        shadow: a frozen copy of the generator that holds the averaged weights. Training moves it;
            to look at the average take `GAN.ready_generator`, whose batch statistics fit.
        pairs: each variable of the shadow with the generator's.
    """

    def __init__(self, rule: Rule, source: keras.Model) -> None:
        """Clones ``source``, weights included; ``source`` must be built."""
        self.rule, self.name, self.source = rule, rule.name, source
        self.shadow = _clone(source)
        # Paired while both are trainable: freezing changes the order of `weights`.
        self.pairs = list(zip(self.shadow.weights, source.weights, strict=True))
        self.shadow.trainable = False
        self.teaches_from: keras.Variable | None = None  # the step at which it starts to leak
        self._ready: keras.Model | None = None
        self._ready_step: int | None = None

    @property
    def needs_statistics(self) -> bool:
        """Whether batch statistics are estimated for the averaged weights."""
        return self.rule.statistics == "standing" and bool(batch_statistics.layers(self.shadow))

    def averages(self, weight: keras.Variable) -> bool:
        """Whether a variable of the generator is averaged, not copied."""
        moves = weight.trainable or self.rule.statistics == "average"
        return moves and "float" in weight.dtype

    def move(
        self, step: Tensor, batch_size: int, followed: Mapping[int, keras.Variable] = NOTHING
    ) -> None:
        """Applies the rule after generator step ``step`` (the first is 1).

        A step has ``batch_size`` images. What no gradient moves, such as batch statistics, is
        copied, unless it is to be averaged too or belongs to a `teacher.Teacher`, who
        estimates it. Whole numbers and truth values are always copied. ``followed`` gives, by the
        ``id`` of a weight, another that is averaged in its place, see `lookahead.Lookahead`.
        """
        rate = self.rule.rate(step, batch_size)
        estimated = {id(v) for v in batch_statistics.variables(self.shadow)}
        for average, weight in self.pairs:
            if self.averages(weight):
                weight = followed.get(id(weight), weight)
                share = ops.cast(rate, average.dtype)
                average.assign_add(share * (ops.cast(weight, average.dtype) - average))
            elif self.teaches_from is not None and id(average) in estimated:
                taught = step > self.teaches_from
                average.assign(ops.where(taught, average.value, weight.value))
            else:
                average.assign(weight)

    def ready_generator(
        self,
        scope: contextlib.AbstractContextManager,
        step: int | None,
        forward: Callable[[keras.Model, int], Any],
    ) -> keras.Model:
        """The averaged generator with batch statistics of its own.

        It is a copy, made anew once a training step at most, so that looking at it changes nothing
        that training reads.

        Args:
            scope: of the strategy in which the copy is made.
            step: generator steps done; ``None`` takes the copy as it is.
            forward: ``forward(generator, i)`` runs it in training mode on the i-th batch.
        """
        if not self.needs_statistics:
            return self.shadow
        if self._ready is None:
            with scope:
                self._ready = _clone(self.source)
            self._ready_weights = self._ready.weights
            self._ready.trainable = False
        if step is not None and step != self._ready_step:
            for weight, (average, _) in zip(self._ready_weights, self.pairs, strict=True):
                weight.assign(ops.copy(average))  # JAX would share the buffer and free it
            values = batch_statistics.standing(self._ready, lambda i: forward(self._ready, i))
            statistics = batch_statistics.variables(self._ready)
            for variable, value in zip(statistics, values, strict=True):
                variable.assign(value)
            self._ready_step = step
        return self._ready

    def forget(self) -> None:
        """Marks the ready generator as out of date, because weights were set from outside."""
        self._ready_step = None

    def distance(self) -> float:
        """Euclidean distance between the averaged and the current trainable weights."""
        squares = [ops.sum(ops.square(w - average)) for average, w in self.pairs if w.trainable]
        return float(ops.sqrt(sum(squares)))


def _clone(source: keras.Model) -> keras.Model:
    """A copy with the same weights.

    Raises:
        UsageError: a class of the user's own that cannot be made from its configuration.
    """
    try:
        if getattr(source, "inputs", None):
            clone = keras.models.clone_model(source, clone_function=_clone_layer)
        else:
            clone = _clone_layer(source)
            clone.build_from_config(source.get_build_config())
            clone.built = True  # Keras leaves a subclass without `build` unsaid
        clone.set_weights(source.get_weights())
    except Exception as error:
        raise UsageError(
            f"an average of {type(source).__name__} {source.name!r} needs a copy, and none can be "
            f"made ({type(error).__name__}: {str(error).splitlines()[0]}): give its class "
            "get_config() with the constructor's arguments."
        ) from error
    return clone


def _clone_layer(layer: keras.layers.Layer) -> keras.layers.Layer:
    """A layer of the same configuration, without weights."""
    if isinstance(layer, keras.layers.Lambda):  # from a file it would not be safe
        return keras.layers.Lambda(layer.function, arguments=layer.arguments, name=layer.name)
    kinds = inspect.signature(type(layer).__init__).parameters
    config = layer.get_config()
    if not any(each.kind is inspect.Parameter.VAR_KEYWORD for each in kinds.values()):
        config = {key: value for key, value in config.items() if key in kinds}
    return type(layer).from_config(config)


Rule = EMA | PowerEMA | UniformAverage
_RULES = {"ema": EMA, "power_ema": PowerEMA, "uniform": UniformAverage}


def get(rule: str, **options: Any) -> Rule:
    """The rule ``"ema"``, ``"power_ema"`` or ``"uniform"`` with its options.

    Raises:
        UsageError: unknown rule or option, or a value out of range.
    """
    return build("average", rule, _RULES, options)


def described(rule: Rule) -> dict[str, Any] | None:
    """The arguments with which `get` makes this rule; ``None`` for one of a user's own."""
    kinds = [name for name, kind in _RULES.items() if type(rule) is kind]
    return {"rule": kinds[0], **rule.get_config()} if kinds else None
