"""Path length regularisation of StyleGAN2's generator."""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass

import keras
from keras import ops

from tfgan_ema.engines import Tensor
from tfgan_ema.errors import number, whole
from tfgan_ema.penalties.base import Penalty, PenaltyInputs
from tfgan_ema.schedules import Number


@dataclass(eq=False)
class PathLength(Penalty):
    """``weight * E[(|J_w^T y| - a)^2]`` on the generator (Karras et al. 2020, equation 4).

    J_w is the Jacobian of the synthesis with respect to w, y are normal images scaled by
    1/sqrt(height * width), a the running mean of the lengths. A generator with submodels
    ``mapping`` and ``synthesis`` is probed at w = mapping(z), others at the latent itself. To save
    time, only the first ``1/shrink`` of the rows is used.

    Args:
        weight: its factor.
        decay: step of the running mean, in (0, 1].
        shrink: the batch is divided by it, >= 1.
        interval: generator steps between two evaluations.
        name: the key in the logs.

    Raises:
        UsageError: a value out of range.
    """

    weight: Number = 2.0
    interval: int = 4
    name: str = "path_length"
    _: KW_ONLY
    decay: float = 0.01
    shrink: int = 2

    player = "generator"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.decay = number("path_length decay", self.decay, "(0, 1]")
        self.shrink = whole("path_length shrink", self.shrink)
        self.mean = keras.Variable(0.0, trainable=False, dtype="float32", name="path_length_mean")
        self.state = [self.mean]

    def lengths(self, inputs: PenaltyInputs) -> Tensor:
        """Path lengths of some rows, float32 [max(1, n // shrink)]."""
        rows = max(1, inputs.fake.latent.shape[0] // self.shrink)
        latent = inputs.fake.latent[:rows]
        labels = None if inputs.fake.labels is None else inputs.fake.labels[:rows]
        layers = {layer.name: layer for layer in getattr(inputs.network, "layers", [])}
        in_two_parts, rest = {"mapping", "synthesis"} <= layers.keys(), []
        if in_two_parts:
            mapped = layers["mapping"](latent if labels is None else [latent, labels])
            # What the mapping hands on beside w, such as noise, is held fixed.
            latent, *rest = mapped if isinstance(mapped, list | tuple) else [mapped]

        def images_of(w: Tensor) -> Tensor:
            if not in_two_parts:
                return inputs.forward(w, labels)
            return layers["synthesis"]([w, *rest] if rest else w)

        def projected(w: Tensor) -> Tensor:
            images = ops.cast(images_of(w), "float32")
            area = math.prod(images.shape[1:-1])
            return images * inputs.draws.normal(images.shape, "path_length") / math.sqrt(area)

        gradient = ops.cast(inputs.engine.input_gradient(projected, latent), "float32")
        squares = ops.sum(ops.square(gradient), axis=-1)
        if len(squares.shape) > 1:  # one w for each layer: their mean
            squares = ops.mean(squares, axis=tuple(range(1, len(squares.shape))))
        return ops.sqrt(ops.maximum(squares, 1e-12))

    def __call__(self, inputs: PenaltyInputs) -> Tensor:
        """The weighted penalty; also moves the running mean, over the global batch."""

        def measure() -> tuple[Tensor, Tensor]:
            lengths = self.lengths(inputs)
            term = ops.mean(ops.square(lengths - self.mean))  # the mean of earlier steps
            mean = self.mean + self.decay * (ops.mean(lengths) - self.mean)
            return self.factor_now(inputs) * term, ops.stop_gradient(mean)

        def rest() -> tuple[Tensor, Tensor]:
            return ops.zeros(()), ops.convert_to_tensor(self.mean)

        term, mean = self.lazily(inputs, measure, rest)
        self.mean.assign(inputs.engine.replica_mean(mean))
        return term
