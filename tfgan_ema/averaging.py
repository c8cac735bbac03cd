"""Averages of the generator's weights over training, moved inside the compiled step.

A rule says which share of the current weights enters its shadow after generator step t
(t = 1, 2, ...): ``shadow += rate(t) * (weights - shadow)``. Rate 1 is a copy.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from tfgan_ema.errors import UsageError, build

Tensor = Any

STATISTICS = ("copy", "average", "standing")


class EMA:
    """Exponential moving average (Yazici et al. 2019, equation 3).

    ``shadow_t = decay * shadow_{t-1} + (1 - decay) * weights_t`` for t > start_step; until then the
    shadow is a copy of the weights. Instead of a decay, a half-life in images may be given, as in
    StyleGAN: ``decay = 0.5 ** (batch / half_life)``, where ``ramp`` bounds the half-life by that
    share of the images seen so far, so that early weights are forgotten sooner.
    """

    def __init__(
        self,
        decay: float | None = None,
        *,
        start_step: int = 0,
        half_life: float | None = None,
        ramp: float | None = None,
        statistics: str = "standing",
        name: str | None = None,
    ) -> None:
        """Creates the rule.

        Args:
            decay: in [0, 1); 0.999 unless a half-life is given.
            start_step: generator steps during which the shadow only copies.
            half_life: images after which a weight's share is halved; excludes ``decay``.
            ramp: with a half-life, its bound as a share of the images seen, e.g. 0.05.
            statistics: what happens to the generator's non-trainable weights (moving means and
                variances): ``"standing"``, copied in training and re-estimated for the averaged
                weights where they are used (see `standing_statistics`, and `GAN` for a leak);
                ``"copy"``; or ``"average"``, like the other weights.
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
            if not 0 <= decay < 1:
                raise UsageError(f"EMA decay {decay}: expected a number in [0, 1), e.g. 0.999.")
            if ramp is not None:
                raise UsageError(f"EMA ramp {ramp} with a decay: a ramp belongs to a half_life.")
        elif not (half_life > 0 and math.isfinite(half_life)):
            raise UsageError(f"EMA half_life {half_life}: expected a positive number of images.")
        elif ramp is not None and not ramp > 0:
            raise UsageError(f"EMA ramp {ramp}: expected a positive share, e.g. 0.05, or none.")
        self.decay = decay
        self.start_step = _checked_start(start_step)
        self.half_life = half_life
        self.ramp = ramp
        self.statistics = _checked_statistics(statistics)
        self.name = name or (f"ema_{decay}" if half_life is None else f"ema_{half_life:g}_images")

    def rate(self, step: Tensor, batch_size: int) -> Tensor:
        """The share of the current weights after step ``step``, float32 in (0, 1]."""
        if self.half_life is None:
            rate = 1.0 - self.decay
        else:
            half_life = self.half_life
            if self.ramp is not None:
                seen = ops.cast(step, "float32") * batch_size
                half_life = ops.minimum(half_life, self.ramp * seen)
            rate = -ops.expm1(math.log(0.5) * batch_size / half_life)
        return ops.where(step > self.start_step, ops.cast(rate, "float32"), 1.0)


class UniformAverage:
    """Plain mean of the weights visited after ``start_step`` (Yazici et al. 2019, equation 2).

    ``shadow_t = 1/n * sum of weights_{s+1} ... weights_t`` with n = t - s; a copy until then.
    """

    def __init__(
        self, *, start_step: int = 0, statistics: str = "standing", name: str | None = None
    ) -> None:
        """Creates the rule; see `EMA` for the arguments."""
        self.start_step = _checked_start(start_step)
        self.statistics = _checked_statistics(statistics)
        self.name = name or (f"uniform_{start_step}" if start_step else "uniform")

    def rate(self, step: Tensor, batch_size: int) -> Tensor:
        """1/n for the n-th weights visited since the start step, 1 before."""
        visited = ops.maximum(step - self.start_step, 1)
        return 1.0 / ops.cast(visited, "float32")


class Shadow:
    """A generator whose weights follow another's by a rule.

    Attributes:
        rule: an `EMA` or `UniformAverage`.
        generator: the averaged generator, not trainable.
    """

    def __init__(self, rule: EMA | UniformAverage, source: keras.Model) -> None:
        """Clones ``source``, weights included; ``source`` must be built."""
        self.rule = rule
        self.generator = keras.models.clone_model(source)
        if not self.generator.built:
            self.generator.build(source.input_shape)
        self.generator.set_weights(source.get_weights())
        # Paired while both are trainable: freezing changes the order of `weights`.
        self.pairs = list(zip(self.generator.weights, source.weights, strict=True))
        self.generator.trainable = False

    def move(self, step: Tensor, batch_size: int, keep: Tensor | None = None) -> None:
        """Applies the rule after generator step ``step``; a few vector operations a weight.

        Args:
            step: generator steps done, this one included.
            batch_size: images of a step.
            keep: a boolean scalar, whether batch statistics stay as they are; ``None`` never.
        """
        rate = self.rule.rate(step, batch_size)
        kept = [] if keep is None else [id(v) for v in statistics(self.generator)]
        for average, weight in self.pairs:
            if id(average) in kept:
                average.assign(ops.where(keep, average.value, weight.value))
            elif not weight.trainable and self.rule.statistics != "average":
                average.assign(weight)
            else:
                average.assign_add(
                    ops.cast(rate, average.dtype) * (ops.cast(weight, average.dtype) - average)
                )

    def distance(self) -> float:
        """Euclidean distance between the averaged and the current trainable weights."""
        squares = [
            ops.sum(ops.square(weight - average))
            for average, weight in self.pairs
            if weight.trainable
        ]
        return float(ops.sqrt(sum(squares)))

    @contextlib.contextmanager
    def swapped(self) -> Iterator[None]:
        """Inside, the source holds the averaged weights and the shadow the current ones."""
        self.swap()
        try:
            yield
        finally:
            self.swap()

    def swap(self) -> None:
        """Exchanges the averaged and the current weights; twice is nothing."""
        for average, weight in self.pairs:
            kept = ops.copy(weight.value)
            weight.assign(average)
            average.assign(kept)


def batch_norms(generator: keras.Model) -> list[keras.layers.BatchNormalization]:
    """The layers whose statistics an average has to care for."""
    return [
        layer
        for layer in generator._flatten_layers()
        if isinstance(layer, keras.layers.BatchNormalization)
    ]


def statistics(generator: keras.Model) -> list[keras.Variable]:
    """The moving means and variances of its batch normalisation."""
    return [
        variable
        for layer in batch_norms(generator)
        for variable in (layer.moving_mean, layer.moving_variance)
    ]


def batch_statistics(generator: keras.Model, forward: Callable[[], Any]) -> list[Tensor]:
    """What `statistics` would be if they went by one batch alone; nothing is assigned.

    Replicas that run the same batch find the same without meeting, so a conditional may hold this.

    Args:
        generator: frozen or not.
        forward: runs it in inference mode on the batch.
    """
    found: dict[int, tuple[Tensor, Tensor]] = {}

    def normalised(
        layer: keras.layers.BatchNormalization,
        inputs: Tensor,
        training: bool | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        x = ops.cast(inputs, "float32")
        axis = layer.axis % len(x.shape)
        found[id(layer)] = ops.moments(x, [i for i in range(len(x.shape)) if i != axis])
        outputs = ops.batch_normalization(
            x, *found[id(layer)], axis, layer.beta, layer.gamma, layer.epsilon
        )
        return ops.cast(outputs, layer.compute_dtype)

    layers = batch_norms(generator)
    try:
        for layer in layers:
            vars(layer)["call"] = functools.partial(normalised, layer)
        forward()
    finally:
        for layer in layers:
            del vars(layer)["call"]
    values = [value for layer in layers for value in found[id(layer)]]
    return [
        ops.cast(value, variable.dtype)
        for variable, value in zip(statistics(generator), values, strict=True)
    ]


def standing_statistics(
    generator: keras.Model, forward: Callable[[int], Any], batches: int = 16
) -> list[np.ndarray]:
    """Batch-normalisation statistics as means over fresh batches (Brock et al. 2019).

    Those of the raw generator do not fit an averaged one: noise that the average takes out of the
    weights is in the raw activations' variance, so that its images come out pale. Here they are
    accumulated anew, each batch with equal share. The generator is left as it was found, so that
    looking at it never changes its training.

    Args:
        generator: the generator to evaluate.
        forward: ``forward(i)`` runs it in training mode on the i-th batch of latents.
        batches: how many batches are accumulated.

    Returns:
        Values of `statistics`.
    """
    layers = batch_norms(generator)
    before = [(layer, layer.trainable, layer.momentum) for layer in layers]
    try:
        with _kept(generator.non_trainable_variables):
            for layer in layers:
                layer.trainable = True  # a frozen one would not move
            for i in range(batches):
                for layer in layers:
                    layer.momentum = i / (i + 1)
                forward(i)
            return [variable.numpy() for variable in statistics(generator)]
    finally:
        for layer, trainable, momentum in before:
            layer.trainable, layer.momentum = trainable, momentum


@contextlib.contextmanager
def replaced(variables: Sequence[keras.Variable], values: Sequence[np.ndarray]) -> Iterator[None]:
    """Inside, variables have other values."""
    with _kept(variables):
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
        yield


@contextlib.contextmanager
def _kept(variables: Sequence[keras.Variable]) -> Iterator[None]:
    """On leaving, variables have the values back that they came with."""
    before = [variable.numpy() for variable in variables]
    try:
        yield
    finally:
        for variable, value in zip(variables, before, strict=True):
            variable.assign(value)


def digest(generator: keras.Model) -> bytes:
    """A hash of all that standing statistics depend on: the other weights."""
    left_out = {id(variable) for variable in statistics(generator)}
    found = hashlib.blake2b()
    for variable in generator.variables:
        if id(variable) not in left_out:
            found.update(np.ascontiguousarray(ops.convert_to_numpy(variable.value)))
    return found.digest()


def _checked_start(start_step: int) -> int:
    if start_step < 0:
        raise UsageError(f"start_step {start_step}: expected 0 or a later generator step.")
    return int(start_step)


def _checked_statistics(statistics: str) -> str:
    if statistics not in STATISTICS:
        raise UsageError(f"statistics {statistics!r}: expected one of {', '.join(STATISTICS)}.")
    return statistics


_RULES = {"ema": EMA, "uniform": UniformAverage}


def get(rule: str, **options: Any) -> EMA | UniformAverage:
    """The rule ``"ema"`` or ``"uniform"`` with its options.

    Raises:
        UsageError: unknown rule or option, or a value out of range.
    """
    return build("average", rule, _RULES, options)
