"""Terms added to a player's loss: gradient penalties, weight decay, orthogonality, path length.

A penalty is called with a `Scene` and returns a float32 scalar, the mean over this replica's rows.
With ``interval`` k it is computed on every k-th generator step only and multiplied by k, so that
its mean over steps stays the same (lazy regularisation, Karras et al. 2020).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from tfgan_ema import engines
from tfgan_ema.errors import UsageError, build
from tfgan_ema.latents import Draws

Tensor = Any

PLAYERS = ("discriminator", "generator")


@dataclasses.dataclass(frozen=True)
class Scene:
    """What a penalty may look at in one update.

    Attributes:
        network: the player that is updated.
        respond: for the discriminator, images [n, ...] and labels -> logits [n]; for the generator,
            latents [n, d] and labels -> images.
        real: images as the discriminator saw them (mixed, augmented); ``None`` for the generator.
        fake: the same for the fakes.
        real_labels: int32 [n], or ``None`` for unconditional networks.
        fake_labels: the same for the fakes.
        real_logits: their logits [n], or ``None`` for the generator.
        latent: float32 [n, d].
        step: generator steps done so far.
        draws: random draws of this update.
    """

    network: keras.Model
    respond: Callable[[Tensor, Tensor | None], Tensor]
    real: Tensor | None
    fake: Tensor | None
    real_labels: Tensor | None
    fake_labels: Tensor | None
    real_logits: Tensor | None
    latent: Tensor
    step: Tensor
    draws: Draws


class Penalty:
    """What all penalties share: a player, a weight, an interval.

    Attributes:
        player: ``"discriminator"`` or ``"generator"``.
        name: the key in the logs.
    """

    player = "discriminator"

    def __init__(self, weight: float, interval: int = 1, name: str = "penalty") -> None:
        """Creates the penalty; see the subclasses.

        Raises:
            UsageError: a negative or infinite weight, or an interval below 1.
        """
        if not (weight >= 0 and math.isfinite(weight)):
            raise UsageError(f"{name} weight {weight}: expected a finite number >= 0.")
        if not (isinstance(interval, int) and interval >= 1):
            raise UsageError(f"{name} interval {interval!r}: expected a whole number >= 1.")
        self.weight, self.interval, self.name = float(weight), interval, name

    def shared(self, scene: Scene) -> Tensor | None:
        """What all replicas must compute together; always run, outside the lazy branch."""
        return None

    def value(self, scene: Scene, shared: Tensor | None) -> Tensor:
        """The penalty without weight and interval."""
        raise TypeError(f"{type(self).__name__} does not say what it penalises")

    def __call__(self, scene: Scene) -> Tensor:
        """The weighted penalty of this step, float32 scalar; 0 between intervals."""
        shared = self.shared(scene)

        def term() -> Tensor:
            return self.weight * self.interval * ops.cast(self.value(scene, shared), "float32")

        return self.lazily(scene, term, lambda: ops.zeros(()))

    def lazily(self, scene: Scene, then: Callable[[], Any], otherwise: Callable[[], Any]) -> Any:
        """``then()`` on every interval-th step, ``otherwise()`` between.

        Raises:
            UsageError: replicas would have to meet inside the branch.
        """
        if self.interval == 1:
            return then()
        engine = engines.current()
        if engine.replicas() > 1 and any(
            isinstance(layer, keras.layers.BatchNormalization)
            for layer in scene.network._flatten_layers()
        ):
            raise UsageError(
                f"{self.name} interval {self.interval} on a {self.player} with batch normalisation "
                f"under {engine.replicas()} replicas: they cannot meet in a lazy branch; use "
                "interval 1."
            )
        return engine.lazy(scene.step % self.interval == 0, then, otherwise)

    def constrain(self, network: keras.Model) -> None:
        """Called after each update of the player; most penalties leave the weights alone."""


def _squared_norms(x: Tensor) -> Tensor:
    x = ops.cast(x, "float32")
    return ops.sum(ops.square(ops.reshape(x, (x.shape[0], -1))), axis=1)


class GradientPenalty(Penalty):
    """``weight * E[(|grad D(x)| - target)^2]`` over a set of points (Gulrajani et al. 2017).

    Points: ``interpolates`` between real and fake, one uniform share a row (WGAN-GP); ``real``;
    ``fake``; ``around`` the data, real + std(real)/2 * N(0, I) (DRAGAN, Kodali et al. 2017).
    One-sided, only norms above the target count. With target 0 the squared norm itself is
    penalised, which is smooth at 0.
    """

    POINTS = ("interpolates", "real", "fake", "around")

    def __init__(
        self,
        weight: float = 10.0,
        *,
        points: str = "interpolates",
        target: float = 1.0,
        one_sided: bool = False,
        interval: int = 1,
        name: str = "gradient_penalty",
    ) -> None:
        """Creates the penalty.

        Args:
            weight: its factor (lambda).
            points: one of `POINTS`.
            target: wanted gradient norm, >= 0.
            one_sided: whether norms below the target are free.
            interval: generator steps between two evaluations.
            name: the key in the logs.

        Raises:
            UsageError: a value out of range.
        """
        super().__init__(weight, interval, name)
        if points not in self.POINTS:
            raise UsageError(
                f"gradient penalty points {points!r}: expected one of {', '.join(self.POINTS)}."
            )
        if not (target >= 0 and math.isfinite(target)):
            raise UsageError(f"gradient penalty target {target}: expected a finite number >= 0.")
        self.points, self.target, self.one_sided = points, float(target), one_sided

    def value(self, scene: Scene, shared: Tensor | None) -> Tensor:
        """Mean squared deviation of the gradient norm."""
        x = self._at(scene, shared)
        labels = scene.fake_labels if self.points == "fake" else scene.real_labels
        squares = _squared_norms(
            engines.current().input_gradient(lambda points: scene.respond(points, labels), x)
        )
        if self.target == 0:
            return ops.mean(squares)
        # The square root's slope at 0 is infinite; under the floor it is cut to 0.
        excess = ops.sqrt(ops.maximum(squares, 1e-12)) - self.target
        return ops.mean(ops.square(ops.relu(excess) if self.one_sided else excess))

    def shared(self, scene: Scene) -> Tensor | None:
        """For ``around``: the standard deviation of all values in the global batch."""
        if self.points != "around":
            return None
        mean = engines.current().global_mean
        variance = mean(ops.square(scene.real)) - ops.square(mean(scene.real))
        return ops.stop_gradient(ops.sqrt(ops.maximum(variance, 0.0)))

    def _at(self, scene: Scene, spread: Tensor | None) -> Tensor:
        if self.points == "real":
            return scene.real
        if self.points == "fake":
            return scene.fake
        if self.points == "around":
            noise = scene.draws.normal(scene.real.shape, "around")
            return scene.real + ops.cast(0.5 * spread * noise, scene.real.dtype)
        shape = (scene.real.shape[0],) + (1,) * (len(scene.real.shape) - 1)
        share = ops.cast(scene.draws.uniform(shape, "share"), scene.real.dtype)
        return scene.real + share * (scene.fake - scene.real)


class R1(GradientPenalty):
    """``factor * weight * E_real[|grad D|^2]`` (Mescheder et al. 2018, equation 9).

    ``factor`` is 1/2, the paper's gamma/2. The authors' image code leaves the 1/2 out:
    its weight 10 is ``R1(10, factor=1)``, or gamma = 20 in the paper's notation.
    """

    def __init__(
        self,
        weight: float = 10.0,
        *,
        factor: float = 0.5,
        interval: int = 1,
        points: str = "real",
        name: str = "r1",
    ) -> None:
        """Creates the penalty on the gradient at real images; see `GradientPenalty`.

        Raises:
            UsageError: a value out of range.
        """
        super().__init__(weight, points=points, target=0.0, interval=interval, name=name)
        if not (factor > 0 and math.isfinite(factor)):
            raise UsageError(f"{name} factor {factor}: expected 0.5, or 1 to leave the half out.")
        self.weight = float(weight * factor)


class R2(R1):
    """``factor * weight * E_fake[|grad D|^2]``, R1 at the fakes."""

    def __init__(
        self,
        weight: float = 10.0,
        *,
        factor: float = 0.5,
        interval: int = 1,
        name: str = "r2",
    ) -> None:
        """Creates the penalty on the gradient at fakes; see `R1`."""
        super().__init__(weight, factor=factor, interval=interval, points="fake", name=name)


def wgan_gp(weight: float = 10.0, *, interval: int = 1) -> GradientPenalty:
    """One-centred, two-sided, on interpolates (Gulrajani et al. 2017, equation 3)."""
    return GradientPenalty(weight, interval=interval, name="wgan_gp")


def zero_centred(weight: float = 10.0, *, interval: int = 1) -> GradientPenalty:
    """Zero-centred on interpolates (Thanh-Tung et al. 2019)."""
    return GradientPenalty(weight, target=0.0, interval=interval, name="zero_centred")


def dragan(weight: float = 10.0, *, interval: int = 1) -> GradientPenalty:
    """One-centred around the data (Kodali et al. 2017)."""
    return GradientPenalty(weight, points="around", interval=interval, name="dragan")


class L2(Penalty):
    """``weight / 2 * sum |W|^2`` over the player's trainable weights: a drift of -weight * W."""

    def __init__(
        self,
        weight: float = 1e-4,
        *,
        player: str = "discriminator",
        interval: int = 1,
        name: str = "l2",
    ) -> None:
        """Creates the penalty on ``player``'s weights."""
        super().__init__(weight, interval, name)
        self.player = _checked_player(player)

    def value(self, scene: Scene, shared: Tensor | None) -> Tensor:
        """Half the sum of squares."""
        weights = scene.network.trainable_weights
        return 0.5 * sum(ops.sum(ops.square(ops.cast(w, "float32"))) for w in weights)


class Orthogonal(Penalty):
    """``weight * sum |W^T W * (1 - I)|_F^2`` over kernels (Brock et al. 2019, equation 3).

    A kernel is reshaped to [inputs, outputs]; its columns are pushed towards right angles while
    their norms stay free.
    """

    def __init__(
        self,
        weight: float = 1e-4,
        *,
        player: str = "generator",
        interval: int = 1,
        name: str = "orthogonal",
    ) -> None:
        """Creates the penalty on ``player``'s kernels."""
        super().__init__(weight, interval, name)
        self.player = _checked_player(player)

    def value(self, scene: Scene, shared: Tensor | None) -> Tensor:
        """Sum of squared off-diagonal inner products."""
        total = ops.zeros(())
        for weight in scene.network.trainable_weights:
            if len(weight.shape) < 2:
                continue
            kernel = ops.reshape(ops.cast(weight, "float32"), (-1, weight.shape[-1]))
            gram = ops.matmul(ops.transpose(kernel), kernel)
            total += ops.sum(ops.square(gram * (1.0 - ops.eye(weight.shape[-1]))))
        return total


class Drift(Penalty):
    """``weight * E[D(real)^2]``: keeps the logits near 0 (Karras et al. 2018, appendix A.1)."""

    def __init__(self, weight: float = 1e-3, *, interval: int = 1, name: str = "drift") -> None:
        """Creates the penalty on the real logits."""
        super().__init__(weight, interval, name)

    def value(self, scene: Scene, shared: Tensor | None) -> Tensor:
        """Mean squared real logit."""
        return ops.mean(ops.square(scene.real_logits))


class WeightClip(Penalty):
    """Clips the discriminator's trainable weights to [-limit, limit] after each of its updates.

    The Lipschitz constraint of Arjovsky et al. 2017; it adds nothing to the loss.
    """

    def __init__(self, limit: float = 0.01, *, name: str = "weight_clip") -> None:
        """Creates the constraint.

        Raises:
            UsageError: a limit that is not positive.
        """
        super().__init__(0.0, 1, name)
        if not (limit > 0 and math.isfinite(limit)):
            raise UsageError(f"weight_clip limit {limit}: expected a positive number.")
        self.limit = limit

    def __call__(self, scene: Scene) -> Tensor:
        """0: the constraint acts after the update."""
        return ops.zeros(())

    def constrain(self, network: keras.Model) -> None:
        """Clips the weights in place."""
        for weight in network.trainable_weights:
            weight.assign(ops.clip(weight, -self.limit, self.limit))


class Consensus(Penalty):
    """``weight * R`` for both players, R = 1/2 (|grad L_D|^2 + |grad L_G|^2).

    Mescheder et al. 2017, section 4. Needs ``update="simultaneous"``; the engine forms it from the
    gradients of both losses.
    """

    def __init__(self, weight: float = 10.0, *, name: str = "consensus") -> None:
        """Creates the regulariser of the game's vector field."""
        super().__init__(weight, 1, name)

    def __call__(self, scene: Scene) -> Tensor:
        """0: the term is added to the gradients, not to one loss."""
        return ops.zeros(())


class PathLength(Penalty):
    """``weight * E[(|J_w^T y| - a)^2]`` on the generator (Karras et al. 2020, equation 4).

    J_w is the Jacobian of the synthesis with respect to w, y are normal images scaled by
    1/sqrt(height * width), a the running mean of the lengths. A generator with submodels
    ``mapping`` and ``synthesis`` is probed at w = mapping(z), others at the latent itself. To save
    time, only the first ``1/shrink`` of the rows is used.
    """

    player = "generator"

    def __init__(
        self,
        weight: float = 2.0,
        *,
        decay: float = 0.01,
        shrink: int = 2,
        interval: int = 4,
        name: str = "path_length",
    ) -> None:
        """Creates the penalty.

        Args:
            weight: its factor.
            decay: step of the running mean, in (0, 1].
            shrink: the batch is divided by it, >= 1.
            interval: generator steps between two evaluations.
            name: the key in the logs.

        Raises:
            UsageError: a value out of range.
        """
        super().__init__(weight, interval, name)
        if not 0 < decay <= 1:
            raise UsageError(f"path_length decay {decay}: expected a share in (0, 1].")
        if shrink < 1:
            raise UsageError(f"path_length shrink {shrink}: expected a whole number >= 1.")
        self.decay, self.shrink = decay, shrink
        self.mean = keras.Variable(0.0, trainable=False, dtype="float32", name="path_length_mean")

    def lengths(self, scene: Scene) -> Tensor:
        """Path lengths of some rows, float32 [max(1, n // shrink)]."""
        rows = max(1, scene.latent.shape[0] // self.shrink)
        latent = scene.latent[:rows]
        labels = None if scene.fake_labels is None else scene.fake_labels[:rows]
        names = {layer.name: layer for layer in getattr(scene.network, "layers", [])}
        if {"mapping", "synthesis"} <= set(names):
            mapped = names["mapping"](latent if labels is None else [latent, labels])
            # What the mapping hands on beside w, such as noise, is held fixed.
            latent, *rest = mapped if isinstance(mapped, list | tuple) else [mapped]

            def respond(w: Tensor) -> Tensor:
                return names["synthesis"]([w, *rest] if rest else w)

        else:

            def respond(z: Tensor) -> Tensor:
                return scene.respond(z, labels)

        def projected(w: Tensor) -> Tensor:
            images = ops.cast(respond(w), "float32")
            area = math.prod(images.shape[1:-1])
            return images * scene.draws.normal(images.shape, "path_length") / math.sqrt(area)

        gradient = ops.cast(engines.current().input_gradient(projected, latent), "float32")
        squares = ops.sum(ops.square(gradient), axis=-1)
        if len(squares.shape) > 1:  # one w for each layer: their mean
            squares = ops.mean(squares, axis=tuple(range(1, len(squares.shape))))
        return ops.sqrt(ops.maximum(squares, 1e-12))

    def __call__(self, scene: Scene) -> Tensor:
        """The weighted penalty; also moves the running mean, over the global batch."""

        def measure() -> tuple[Tensor, Tensor]:
            lengths = self.lengths(scene)
            term = ops.mean(ops.square(lengths - self.mean))  # the mean of earlier steps
            mean = self.mean + self.decay * (ops.mean(lengths) - self.mean)
            return self.weight * self.interval * term, ops.stop_gradient(mean)

        def rest() -> tuple[Tensor, Tensor]:
            return ops.zeros(()), ops.convert_to_tensor(self.mean)

        term, mean = self.lazily(scene, measure, rest)
        self.mean.assign(engines.current().global_mean(mean))
        return term


def _checked_player(player: str) -> str:
    if player not in PLAYERS:
        raise UsageError(f"player {player!r}: expected discriminator or generator.")
    return player


_PENALTIES: dict[str, Callable[..., Penalty]] = {
    "gradient_penalty": GradientPenalty,
    "wgan_gp": wgan_gp,
    "zero_centred": zero_centred,
    "dragan": dragan,
    "r1": R1,
    "r2": R2,
    "l2": L2,
    "orthogonal": Orthogonal,
    "drift": Drift,
    "weight_clip": WeightClip,
    "consensus": Consensus,
    "path_length": PathLength,
}


def names() -> Sequence[str]:
    """The names that `get` knows."""
    return sorted(_PENALTIES)


def get(name: str, **options: Any) -> Penalty:
    """The penalty of that name.

    Raises:
        UsageError: unknown name or option, or a value out of range.
    """
    return build("penalty", name, _PENALTIES, options)
