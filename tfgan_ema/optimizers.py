"""Optimizers for games, and optimizers from plain configurations."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from typing import Any

import keras
from keras import ops
from keras.optimizers.schedules import LearningRateSchedule

from tfgan_ema import engines, schedules
from tfgan_ema.errors import UsageError, number, one_of, unknown, whole
from tfgan_ema.schedules import EachUpdate, Linear, Schedule, WarmUp

_register = keras.saving.register_keras_serializable(package="tfgan_ema")


# --- Adam ----------------------------------------------------------------------------------------


def _moving(name: str) -> property:
    """An attribute that is the value of a schedule in the update that is being made."""

    def get(self: Adam) -> Any:
        return schedules.at(getattr(self, f"given_{name}"), self.iterations)

    def set_(self: Adam, value: Any) -> None:
        setattr(self, f"given_{name}", value)

    return property(get, set_)


@_register
class Adam(keras.optimizers.Adam):
    """Keras's Adam, to rounding; faster where the backend has a kernel for it.

    ``beta_1`` and ``beta_2`` may be schedules. The moments are corrected with the current betas, as
    PyTorch's Adam does when its betas are set between updates.
    """

    beta_1, beta_2 = _moving("beta_1"), _moving("beta_2")

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "beta_1": self.given_beta_1,
            "beta_2": self.given_beta_2,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Adam:
        made = {key: keras.saving.deserialize_keras_object(config[key]) for key in _BETAS}
        return super().from_config({**config, **made}, custom_objects)

    def update_step(self, gradient, variable, learning_rate) -> None:
        # The slots of Keras's Adam, and the way from a variable to its slots, have no public names.
        index = self._get_variable_index(variable)
        fused = not self.amsgrad and engines.kernels().adam(
            (variable, self._momentums[index], self._velocities[index]),
            gradient,
            rate=learning_rate,
            step=self.iterations + 1,
            beta_1=self.beta_1,
            beta_2=self.beta_2,
            epsilon=self.epsilon,
        )
        if not fused:
            super().update_step(gradient, variable, learning_rate)


# --- optimistic descent --------------------------------------------------------------------------


@_register
class OptimisticSGD(keras.optimizers.Optimizer):
    """Optimistic gradient descent: p -= 2 lr g_t - lr g_{t-1}, with g_0 = 0.

    On a bilinear game it converges where gradient descent spirals outwards (Daskalakis et al. 2018,
    "Training GANs with Optimism", equation 7).

    Args:
        learning_rate: a float or a ``LearningRateSchedule``.
        **kwargs: those of every Keras optimizer: ``clipnorm``, ``weight_decay``, ...
    """

    def __init__(self, learning_rate: float | LearningRateSchedule = 0.01, **kwargs: Any):
        super().__init__(learning_rate=_checked_rate(learning_rate), **kwargs)

    def build(self, variables: list) -> None:
        if self.built:
            return
        super().build(variables)
        self._last_gradients = self.add_optimizer_variables(variables, "last_gradient")

    def update_step(self, gradient, variable, learning_rate) -> None:
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
        **kwargs: those of every Keras optimizer: ``clipnorm``, ``weight_decay``, ...
    """

    def __init__(
        self,
        learning_rate: float | LearningRateSchedule = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        **kwargs: Any,
    ):
        super().__init__(learning_rate=_checked_rate(learning_rate), **kwargs)
        self.beta_1 = number("beta_1", beta_1, "[0, 1)")
        self.beta_2 = number("beta_2", beta_2, "[0, 1)")
        self.epsilon = number("epsilon", epsilon, "[0, inf)")

    def build(self, variables: list) -> None:
        if self.built:
            return
        super().build(variables)
        self._means, self._squares = self.add_optimizer_variables(variables, ["mean", "square"])

    def update_step(self, gradient, variable, learning_rate) -> None:
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
        moments = {"beta_1": self.beta_1, "beta_2": self.beta_2, "epsilon": self.epsilon}
        return {**super().get_config(), **moments}


def _checked_rate(rate: Any) -> Any:
    """A learning rate, unless it is a schedule or a variable, checked."""
    return rate if callable(rate) or hasattr(rate, "dtype") else number("rate", rate, "[0, inf)")


def _one_minus_power(beta: float, step):
    """1 - beta^step, without the cancellation that costs float32 four digits at beta = 0.999."""
    return -ops.expm1(step * (math.log(beta) if beta > 0 else -math.inf))


# --- from configurations -------------------------------------------------------------------------

_OPTIMIZERS: dict[str, type[keras.optimizers.Optimizer]] = {
    "adam": Adam,
    "adamw": keras.optimizers.AdamW,
    "optimistic_adam": OptimisticAdam,
    "optimistic_sgd": OptimisticSGD,
    "rmsprop": keras.optimizers.RMSprop,
    "sgd": keras.optimizers.SGD,
}
_EVERY_OPTIMIZER = ("weight_decay", "clipnorm", "clipvalue", "global_clipnorm")
_STEPS = ("decay_steps", "decay_start", "warm_up_steps")  # whole numbers
_FRACTIONS = ("beta_1", "beta_2", "rho", "momentum")  # in [0, 1)
_BETAS = ("beta_1", "beta_2")  # of Adam, which may be scheduled
_FLAGS = ("amsgrad", "centered", "nesterov")
# Keras's options for what this package does elsewhere: averages, accumulation, loss scaling.
_ELSEWHERE = {
    "use_ema", "ema_momentum", "ema_overwrite_frequency", "gradient_accumulation_steps",
    "loss_scale_factor", "name", "kwargs",
}  # fmt: skip


def names() -> list[str]:
    """The kinds that :func:`get` knows."""
    return list(_OPTIMIZERS)


def get(
    config: str | Mapping[str, Any] | keras.optimizers.Optimizer, *, updates_per_step: int = 1
) -> keras.optimizers.Optimizer:
    """An optimizer from a plain configuration.

    Args:
        config: ``{"kind": "adam", "learning_rate": 2e-4, "beta_1": 0.5, ...}``, with the options of
            that kind, any of ``clipnorm, clipvalue, global_clipnorm, weight_decay``, and for a
            schedule ``warm_up_steps`` (:class:`WarmUp`) and ``decay_steps, decay_start, decay_end``
            (``steps, begin, end`` of :class:`Linear`). ``None`` leaves an option at its default;
            0 decay or warm-up steps are none. The learning rate, and Adam's betas, may be one of
            `tfgan_ema.schedules` or its configuration; a schedule of Keras's is a learning rate
            whose steps are the optimizer's updates. A kind alone, ``"adam"``, is a
            configuration too; an optimizer is returned as it is.
        updates_per_step: how often this optimizer updates its network in one generator step
            (``n_dis`` for the discriminator): the schedule's steps count generator steps.

    Raises:
        UsageError: unknown kind or option, a value out of range.
    """
    if isinstance(config, keras.optimizers.Optimizer):
        return config
    kind, options = _parse(config)
    for key, value in options.items():
        if isinstance(value, Schedule):  # its steps are generator steps
            options[key] = EachUpdate(value, updates_per_step) if updates_per_step > 1 else value
    rate = _pop_learning_rate(kind, options, updates_per_step)
    try:
        return _OPTIMIZERS[kind](learning_rate=rate, **options)
    except ValueError as error:  # e.g. two ways of clipping at once
        reason = " ".join(str(error).split())
        raise UsageError(f"optimizer {kind!r} does not accept {options}: {reason}") from error


def lazy_rescaled(config: str | Mapping[str, Any], interval: int) -> dict[str, Any]:
    """The same optimizer, slowed for a network whose penalty comes every ``interval`` updates.

    With c = interval/(interval + 1), learning rates are multiplied by c and betas raised to the
    power c, so that ``interval`` updates and the extra one of the penalty together move as far, and
    forget as much, as ``interval`` updates did (Karras et al. 2020, StyleGAN2, appendix B).

    Args:
        config: a configuration as for :func:`get`.
        interval: updates between two penalties, >= 1.

    Returns:
        A configuration with all options of the optimizer.

    Raises:
        UsageError: the interval is no positive integer, a schedule, or as in :func:`get`.
    """
    whole("lazy interval", interval)
    c = interval / (interval + 1)
    kind, options = _parse(config)
    for key, value in options.items():
        if isinstance(value, LearningRateSchedule):
            raise UsageError(f"lazily rescaled {key}: expected a number, not a schedule.")
    rates = {key: options[key] * c for key in ("learning_rate", "decay_end") if key in options}
    # RMSprop calls its beta_2 rho.
    betas = {key: options[key] ** c for key in ("beta_1", "beta_2", "rho") if key in options}
    return {"kind": kind, **options, **rates, **betas}


def _parse(config: str | Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The kind of a configuration and its options, checked and completed, without ``None``."""
    config = {"kind": config} if isinstance(config, str) else config
    if not hasattr(config, "items"):
        raise UsageError(
            f"optimizer {config!r}: expected a Keras optimizer, or a dictionary such as "
            "{'kind': 'adam', 'learning_rate': 2e-4}."
        )
    options = {key: value for key, value in config.items() if value is not None}
    kind = options.pop("kind", None)
    if kind is None:
        raise UsageError(f"optimizer {options} has no kind; known: {', '.join(names())}.")
    one_of("optimizer", kind, names())
    defaults = _defaults(_OPTIMIZERS[kind])
    known = {*defaults, *_STEPS, "decay_end"}
    for key in options:
        if key not in known:
            raise unknown(f"option of optimizer {kind!r}", key, known)
    options = {**defaults, **options}
    return kind, {k: _checked(kind, k, v) for k, v in options.items() if v is not None}


def _defaults(optimizer: type[keras.optimizers.Optimizer]) -> dict[str, Any]:
    own = inspect.signature(optimizer).parameters
    defaults = {key: own[key].default for key in own if key not in _ELSEWHERE}
    return {**dict.fromkeys(_EVERY_OPTIMIZER), **defaults}


def _checked(kind: str, key: str, value: Any) -> Any:
    """The value if it is in range; numbers as floats, on which Keras insists."""
    if isinstance(value, Mapping | LearningRateSchedule):
        if key == "learning_rate":
            return schedules.number(f"{kind}'s {key}", value, "[0, inf)", foreign=True)
        if kind == "adam" and key in _BETAS:
            return schedules.number(f"{kind}'s {key}", value, "[0, 1)")
        raise UsageError(
            f"optimizer {kind!r}: {key} cannot be a schedule; learning rates can, and adam's betas."
        )
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if key in _FLAGS:
        fits, expected = isinstance(value, bool), "True or False"
    elif key in _FRACTIONS:
        fits, expected = 0 <= number < 1, "a number in [0, 1)"
    elif key in _STEPS:
        fits, expected = number >= 0 and number.is_integer(), "a whole number >= 0"
    else:
        fits, expected = 0 <= number < math.inf, "a finite number >= 0"
    if not fits:
        raise UsageError(f"optimizer {kind!r}: {key}={value!r}; expected {expected}.")
    if key in _FLAGS:
        return value
    return int(number) if key in _STEPS else number


def _pop_learning_rate(
    kind: str, options: dict[str, Any], updates_per_step: int
) -> float | LearningRateSchedule:
    rate, end = options.pop("learning_rate"), options.pop("decay_end", 0.0)
    steps, start, warm_up = (options.pop(key, 0) * updates_per_step for key in _STEPS)
    if steps and isinstance(rate, LearningRateSchedule):
        raise UsageError(
            f"optimizer {kind!r}: decay_steps with a learning rate that is a schedule: give one."
        )
    if steps:
        rate = Linear(rate, end, steps, begin=start)
    elif start or end:
        raise UsageError(f"optimizer {kind!r}: decay_start and decay_end need decay_steps.")
    return WarmUp(rate, warm_up) if warm_up else rate


# --- for a player --------------------------------------------------------------------------------


def computes_in_float16(network: keras.Model) -> bool:
    """Whether a network has layers that compute in float16, and so needs its loss scaled."""
    return any(layer.compute_dtype == "float16" for layer in network.layers)


def build_for(
    network: keras.Model, config: Any = None, updates_per_step: int = 1
) -> keras.optimizers.Optimizer:
    """The optimizer of a player, built, and wrapped for loss scaling where float16 needs it.

    With float16, a step whose gradients are not finite is left out and halves the loss's scale,
    which doubles after 2,000 steps without one (Micikevicius et al. 2018).

    Args:
        network: the player.
        config: as for :func:`get`; Adam(2e-4, beta_1=0.5) unless given, and for ``"adam"``.
        updates_per_step: as for :func:`get`.

    Raises:
        UsageError: the name of another optimizer alone, or as in :func:`get`.
    """
    if not config or config == "adam":
        config = {"kind": "adam", "learning_rate": 2e-4, "beta_1": 0.5}
    optimizer = get(config, updates_per_step=updates_per_step)
    if isinstance(config, str):
        raise UsageError(
            f"optimizer {config!r} alone takes Keras's learning rate of "
            f"{float(optimizer.learning_rate):.4g}, which few GANs bear: choose one, e.g. "
            f"{{'kind': {config!r}, 'learning_rate': 2e-4}}."
        )
    if computes_in_float16(network) and not hasattr(optimizer, "inner_optimizer"):
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    optimizer.build(network.trainable_variables)
    return optimizer
