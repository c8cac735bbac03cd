"""Averages of any Keras model, such as a classifier, by the rules of `averaging`."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path

import keras
import numpy as np
from keras import ops

from tfgan_ema import averaging, batch_statistics, files
from tfgan_ema.errors import UsageError


class AverageWeights(keras.callbacks.Callback):
    """Averages the weights of a Keras model while `fit` trains it; training stays as it is.

    The average moves once a batch, outside the compiled step. Once an epoch its distance from the
    model's weights is logged as ``distance/NAME``.

    Args:
        rule: an `EMA` with a decay, a `PowerEMA` or a `UniformAverage`; steps count batches.
        inputs: about a thousand inputs of the model, on which batch statistics of the averaged
            weights are estimated; a model without batch normalisation needs none, and neither does
            a rule with ``statistics="copy"`` or ``"average"``.
        save_to: a ``.keras`` file for the averaged model, written when training ends. What exists
            there is replaced.

    Raises:
        UsageError: a half-life in images, or another ending.

    Example::

        model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(1)])
        model.compile("adam", "mse")
        average = tg.AverageWeights(tg.EMA(0.99))
        model.fit(np.ones((64, 8)), np.ones((64, 1)), callbacks=[average])
        averaged = average.averaged_model()
    """

    def __init__(
        self,
        rule: averaging.Rule,
        *,
        inputs: np.ndarray | None = None,
        save_to: str | os.PathLike | None = None,
    ) -> None:
        super().__init__()
        if getattr(rule, "half_life", None) is not None:
            raise UsageError(
                "AverageWeights with a half-life, which counts images: give the EMA a decay."
            )
        self.save_to = None if save_to is None else Path(save_to)
        if self.save_to is not None and self.save_to.suffix != ".keras":
            raise UsageError(f"AverageWeights save_to {save_to!r}: expected a name in .keras.")
        self.rule, self.inputs = rule, inputs
        self.average: averaging.Average | None = None
        self.step = 0

    def set_model(self, model: keras.Model) -> None:
        """Copies the model; another `fit` of the same one continues its average."""
        super().set_model(model)
        if self.average is not None and self.average.source is model:
            return
        if not model.built:
            raise UsageError(
                f"AverageWeights on {type(model).__name__} {model.name!r}, which has no weights "
                "yet: build it first, e.g. with a keras.Input."
            )
        if getattr(model, "steps_per_execution", 1) != 1:
            raise UsageError(
                f"AverageWeights with steps_per_execution {model.steps_per_execution}: expected 1, "
                "as it moves once a batch."
            )
        self.average, self.step = averaging.Average(self.rule, model), 0
        batches = batch_statistics.BATCHES
        if self.average.needs_statistics and (self.inputs is None or len(self.inputs) < batches):
            raise UsageError(
                f"AverageWeights on a model with batch normalisation: give it at least {batches} "
                "inputs, better a thousand, e.g. inputs=x_train[:1000], or a rule with "
                'statistics="copy".'
            )

    def on_train_batch_end(self, batch: int, logs: Mapping | None = None) -> None:
        self.step += 1
        _ = self.model  # under JAX, this brings the weights of the step
        self.average.move(ops.convert_to_tensor(self.step, "int32"), 1)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        if logs is not None:
            logs[f"distance/{self.rule.name}"] = self.average.distance()

    def on_train_end(self, logs: Mapping | None = None) -> None:
        if self.save_to is not None:
            with files.replacing(self.save_to) as temporary:
                self.averaged_model().save(temporary)

    def averaged_model(self) -> keras.Model:
        """The model with averaged weights and batch statistics of its own; it is not compiled.

        The next step leaves it behind; then this gives the same object with newer weights.
        """

        def forward(model: keras.Model, batch: int) -> None:
            model(np.array_split(self.inputs, batch_statistics.BATCHES)[batch], training=True)

        return self.average.ready_generator(contextlib.nullcontext(), self.step, forward)
