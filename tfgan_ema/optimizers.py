"""Optimizers for games, learning-rate schedules, and optimizers from plain configurations."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from typing import Any

import keras
from keras import ops
from keras.optimizers.schedules import LearningRateSchedule

from tfgan_ema.errors import UsageError, unknown

_register = keras.saving.register_keras_serializable(package="tfgan_ema")


# --- Adam ----------------------------------------------------------------------------------------


@_register
class Adam(keras.optimizers.Adam):
    """Keras's Adam, to rounding; under TensorFlow one kernel moves a weight.

    The moments and weights of large networks pass through memory once instead of once an operation.
    """

    def update_step(self, gradient, variable, learning_rate) -> None:
        """Moves one variable."""
        if keras.config.backend() != "tensorflow" or self.amsgrad:
            return super().update_step(gradient, variable, learning_rate)
        import tensorflow as tf

        if not tf.is_tensor(gradient) or isinstance(gradient, tf.IndexedSlices):
            return super().update_step(gradient, variable, learning_rate)
        index, dtype = self._get_variable_index(variable), variable.dtype
        step = ops.cast(self.iterations + 1, dtype)
        handles = [
            (each.value if isinstance(each, keras.Variable) else each).handle
            for each in (variable, self._momentums[index], self._velocities[index])
        ]
        tf.raw_ops.ResourceApplyAdam(
            var=handles[0],
            m=handles[1],
            v=handles[2],
            beta1_power=ops.power(ops.cast(self.beta_1, dtype), step),
            beta2_power=ops.power(ops.cast(self.beta_2, dtype), step),
            lr=ops.cast(learning_rate, dtype),
            beta1=ops.cast(self.beta_1, dtype),
            beta2=ops.cast(self.beta_2, dtype),
            epsilon=ops.cast(self.epsilon, dtype),
            grad=ops.cast(gradient, dtype),
        )


# --- optimistic descent --------------------------------------------------------------------------


@_register
class OptimisticSGD(keras.optimizers.Optimizer):
    """Optimistic gradient descent: p -= 2 lr g_t - lr g_{t-1}, with g_0 = 0.

    On a bilinear game it converges where gradient descent spirals outwards (Daskalakis et al. 2018,
    "Training GANs with Optimism", equation 7).

    Args:
        learning_rate: a float or a ``LearningRateSchedule``.
        **options: those of every Keras optimizer: ``clipnorm``, ``weight_decay``, ...
    """

    def __init__(self, learning_rate: float | LearningRateSchedule = 0.01, **options):
        super().__init__(learning_rate=learning_rate, **options)

    def build(self, variables: list) -> None:
        """Creates the slots: the last gradient of each variable."""
        if self.built:
            return
        super().build(variables)
        self._last_gradients = self.add_optimizer_variables(variables, "last_gradient")

    def update_step(self, gradient, variable, learning_rate) -> None:
        """Moves one variable."""
        rate = ops.cast(learning_rate, variable.dtype)
        gradient = ops.cast(gradient, variable.dtype)
        last = self._last_gradients[self._get_variable_index(variable)]
        self.assign_sub(variable, rate * (2.0 * gradient - last))
        self.assign(last, gradient)


@_register
class OptimisticAdam(keras.optimizers.Optimizer):
    """Adam that steps as if the next direction were already known.

    Algorithm 1 of Daskalakis et al. 2018, "Training GANs with Optimism":
    ``p -= 2 lr d_t - lr d_{t-1}`` with ``d_t = m_hat_t/(sqrt(v_hat_t) + epsilon)`` and
    ``d_0 = 0``. The last direction follows from the last moments, so there are no more slots than
    Adam has. The steps are normalised: on a bilinear game neither this nor Adam converges, but this
    one stays several times closer.

    Args:
        learning_rate: a float or a ``LearningRateSchedule``.
        beta_1: decay of the mean gradient, in [0, 1).
        beta_2: decay of the mean squared gradient, in [0, 1).
        epsilon: added to the root of the corrected second moment.
        **options: those of every Keras optimizer: ``clipnorm``, ``weight_decay``, ...
    """

    def __init__(
        self,
        learning_rate: float | LearningRateSchedule = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        **options,
    ):
        super().__init__(learning_rate=learning_rate, **options)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon

    def build(self, variables: list) -> None:
        """Creates the slots: both moments of each variable's gradient."""
        if self.built:
            return
        super().build(variables)
        self._means, self._squares = self.add_optimizer_variables(variables, ["mean", "square"])

    def update_step(self, gradient, variable, learning_rate) -> None:
        """Moves one variable."""
        dtype = variable.dtype
        rate, gradient = ops.cast(learning_rate, dtype), ops.cast(gradient, dtype)
        step = ops.cast(self.iterations, dtype)
        index = self._get_variable_index(variable)
        mean, square = self._means[index], self._squares[index]

        last = self._direction(mean, square, step)
        new_mean = mean + (1.0 - self.beta_1) * (gradient - mean)
        new_square = square + (1.0 - self.beta_2) * (ops.square(gradient) - square)
        direction = self._direction(new_mean, new_square, step + 1.0)

        self.assign_sub(variable, rate * (2.0 * direction - last))
        self.assign(mean, new_mean)
        self.assign(square, new_square)

    def _direction(self, mean, square, step):
        """m_hat/(sqrt(v_hat) + epsilon) after ``step`` updates; 0 before the first."""
        step = ops.maximum(step, 1.0)
        mean = mean / _one_minus_power(self.beta_1, step)
        square = square / _one_minus_power(self.beta_2, step)
        return mean / (ops.sqrt(square) + self.epsilon)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        moments = {"beta_1": self.beta_1, "beta_2": self.beta_2, "epsilon": self.epsilon}
        return {**super().get_config(), **moments}


def _one_minus_power(beta: float, step):
    """1 - beta^step, without the cancellation that costs float32 four digits at beta = .999."""
    return -ops.expm1(step * (math.log(beta) if beta > 0 else -math.inf))


# --- schedules -----------------------------------------------------------------------------------


@_register
class LinearDecay(LearningRateSchedule):
    """``initial`` until step ``start``, then straight down (or up) to ``end`` at step ``steps``.

    Steps are updates of the optimizer that carries the schedule: with ``n_dis`` discriminator
    updates a step, the discriminator's schedule is ``n_dis`` times as long.

    Args:
        initial: the rate at first, >= 0.
        steps: the step at which ``end`` is reached, > ``start``.
        start: the last step at the initial rate, >= 0.
        end: the rate from ``steps`` on, >= 0.
    """

    def __init__(self, initial: float, steps: int, start: int = 0, end: float = 0.0):
        if not 0 <= start < steps:
            raise UsageError(
                f"linear decay from step {start} to step {steps} goes nowhere; "
                "expected 0 <= start < steps."
            )
        if not (0 <= initial < math.inf and 0 <= end < math.inf):
            raise UsageError(f"linear decay from {initial} to {end}: rates must be finite, >= 0.")
        self.initial, self.steps, self.start, self.end = initial, steps, start, end

    def __call__(self, step):
        """The rate of the update number ``step``, counted from 0: a float32 scalar."""
        done = (ops.cast(step, "float32") - self.start) / (self.steps - self.start)
        return self.initial + (self.end - self.initial) * ops.clip(done, 0.0, 1.0)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            "initial": self.initial, "steps": self.steps, "start": self.start, "end": self.end,
        }  # fmt: skip


@_register
class WarmUp(LearningRateSchedule):
    """Rises in a straight line to full height: the rate of the peak times min(1, (step+1)/steps).

    Args:
        peak: a rate, or the schedule to warm up to, whose own clock also starts at step 0.
        steps: the number of updates, >= 1, of which the last is the first at full height.
    """

    def __init__(self, peak: float | LearningRateSchedule, steps: int):
        if steps < 1:
            raise UsageError(f"warm-up over {steps} steps; expected at least 1.")
        self.peak, self.steps = peak, steps

    def __call__(self, step):
        """The rate of the update number ``step``, counted from 0: a float32 scalar."""
        peak = self.peak(step) if callable(self.peak) else self.peak
        return peak * ops.minimum(1.0, (ops.cast(step, "float32") + 1.0) / self.steps)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, a schedule as Keras serialises it."""
        peak = self.peak
        if callable(peak):
            peak = keras.saving.serialize_keras_object(peak)
        return {"peak": peak, "steps": self.steps}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> WarmUp:
        """The inverse of :meth:`get_config`."""
        peak = config["peak"]
        if isinstance(peak, dict):
            peak = keras.saving.deserialize_keras_object(peak)
        return cls(peak, config["steps"])


# --- from configurations -------------------------------------------------------------------------

_OPTIMIZERS: dict[str, type[keras.optimizers.Optimizer]] = {
    "adam": Adam,
    "adamw": keras.optimizers.AdamW,
    "optimistic_adam": OptimisticAdam,
    "optimistic_sgd": OptimisticSGD,
    "rmsprop": keras.optimizers.RMSprop,
    "sgd": keras.optimizers.SGD,
}
_EVERY_OPTIMIZER = ("clipnorm", "clipvalue", "global_clipnorm", "weight_decay")
_SCHEDULE = ("decay_steps", "decay_start", "decay_end", "warm_up_steps")
# What Keras offers and this package does elsewhere, where it can do it right: averages in
# `averaging`, accumulation in the compiled step, loss scaling by precision.
_NOT_HERE = {
    "self", "options", "kwargs", "name", "use_ema", "ema_momentum", "ema_overwrite_frequency",
    "loss_scale_factor", "gradient_accumulation_steps",
}  # fmt: skip


def names() -> list[str]:
    """The names that :func:`get` knows."""
    return list(_OPTIMIZERS)


def get(
    config: str | Mapping[str, Any] | keras.optimizers.Optimizer, *, updates_per_step: int = 1
) -> keras.optimizers.Optimizer:
    """An optimizer from a plain configuration.

    Args:
        config: ``{"name": "adam", "learning_rate": 2e-4, "beta_1": 0.5, ...}``, with the options of
            the named optimizer, any of ``clipnorm, clipvalue, global_clipnorm, weight_decay``, and
            for a schedule ``warm_up_steps`` (:class:`WarmUp`) and ``decay_steps, decay_start,
            decay_end`` (``steps, start, end`` of :class:`LinearDecay`). ``None`` leaves an option
            at its default; 0 decay or warm-up steps are none. A bare name is a configuration too;
            an optimizer passes through.
        updates_per_step: how often this optimizer moves its player in one generator step
            (``n_dis`` for the discriminator): the schedule's steps count generator steps.

    Raises:
        UsageError: unknown name or option, a value out of range.
    """
    if isinstance(config, keras.optimizers.Optimizer):
        return config
    name, options = _parse(config)
    schedule = {key: options.pop(key) for key in _SCHEDULE if key in options}
    arguments = {**_defaults(name), **options}
    rate = _schedule(name, arguments.pop("learning_rate"), updates_per_step, **schedule)
    try:
        return _OPTIMIZERS[name](learning_rate=rate, **arguments)
    except ValueError as error:  # e.g. two ways of clipping at once
        reason = " ".join(str(error).split())
        raise UsageError(f"optimizer {name!r} does not accept {options}: {reason}") from error


def lazy_rescaled(
    optimizer: Mapping[str, Any] | str | keras.optimizers.Optimizer, interval: int
) -> dict[str, Any] | keras.optimizers.Optimizer:
    """The same optimizer, slowed for a player whose penalty comes every ``interval`` updates.

    With c = interval/(interval + 1), learning rates are multiplied by c and betas raised to the
    power c, so that ``interval`` updates and the extra one of the penalty together move as far, and
    forget as much, as ``interval`` updates did (Karras et al. 2020, StyleGAN2, appendix B).

    Args:
        optimizer: a configuration as for :func:`get`, or an optimizer not yet in use.
        interval: updates between two penalties, >= 1.

    Returns:
        A configuration for a configuration, a new optimizer for an optimizer.

    Raises:
        UsageError: the interval is no positive integer; an optimizer is in use or has a schedule.
    """
    if not isinstance(interval, int) or interval < 1:
        raise UsageError(f"lazy interval {interval!r}; expected a whole number of updates >= 1.")
    c = interval / (interval + 1)
    if isinstance(optimizer, keras.optimizers.Optimizer):
        config = optimizer.get_config()
        if optimizer.built or not isinstance(config.get("learning_rate"), float):
            raise UsageError(
                f"optimizer {optimizer.name!r} is in use or has a schedule and cannot be "
                "rescaled; rescale its plain configuration instead."
            )
        return type(optimizer).from_config(_rescale(config, c))
    name, options = _parse(optimizer)
    defaults = {key: value for key, value in _defaults(name).items() if value is not None}
    return {"name": name, **_rescale({**defaults, **options}, c)}


def _rescale(config: Mapping[str, Any], c: float) -> dict[str, Any]:
    scaled = dict(config)
    for key in ("learning_rate", "decay_end"):
        if key in scaled:
            scaled[key] = scaled[key] * c
    for key in ("beta_1", "beta_2", "rho"):  # rho is RMSprop's name for beta_2
        if key in scaled:
            scaled[key] = scaled[key] ** c
    return scaled


def _parse(config: str | Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The name and the checked options of a configuration, without those that are ``None``."""
    options = {"name": config} if isinstance(config, str) else dict(config)
    options = {key: value for key, value in options.items() if value is not None}
    if "name" not in options:
        raise UsageError(f"optimizer {options} has no name; known: {', '.join(names())}.")
    name = options.pop("name")
    if name not in _OPTIMIZERS:
        raise unknown("optimizer", name, names())
    known = {*_defaults(name), *_EVERY_OPTIMIZER, *_SCHEDULE}
    for key, value in options.items():
        if key not in known:
            raise unknown(f"option of optimizer {name!r}", key, known)
        options[key] = _checked(name, key, value)
    return name, options


def _checked(name: str, key: str, value: Any) -> Any:
    """A value of the right kind and in its range; numbers as floats, on which Keras insists."""
    if isinstance(_defaults(name).get(key), bool):
        if not isinstance(value, bool):
            raise UsageError(f"optimizer {name!r}: {key}={value!r} is not True or False.")
        return value
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise UsageError(f"optimizer {name!r}: {key}={value!r} is not a number.") from None
    if key in ("beta_1", "beta_2", "rho", "momentum"):
        if not 0 <= number < 1:
            raise UsageError(f"optimizer {name!r}: {key}={value} is outside [0, 1).")
    elif not 0 <= number < math.inf:
        raise UsageError(f"optimizer {name!r}: {key}={value} is not finite and >= 0.")
    if key in ("decay_steps", "decay_start", "warm_up_steps"):
        if not number.is_integer():
            raise UsageError(f"optimizer {name!r}: {key}={value} is not a whole number.")
        return int(number)
    return number


def _defaults(name: str) -> dict[str, Any]:
    """The options of an optimizer's own and their defaults."""
    parameters = inspect.signature(_OPTIMIZERS[name].__init__).parameters.values()
    return {p.name: p.default for p in parameters if p.name not in _NOT_HERE}


def _schedule(
    name: str,
    rate: float,
    updates_per_step: int,
    decay_steps: int = 0,
    decay_start: int = 0,
    decay_end: float = 0.0,
    warm_up_steps: int = 0,
) -> float | LearningRateSchedule:
    """The schedule that the options ask for, or the rate as it is."""
    if decay_steps:
        updates, start = decay_steps * updates_per_step, decay_start * updates_per_step
        rate = LinearDecay(rate, updates, start, decay_end)
    elif decay_start or decay_end:
        raise UsageError(f"optimizer {name!r}: decay_start and decay_end need decay_steps.")
    return WarmUp(rate, warm_up_steps * updates_per_step) if warm_up_steps else rate
