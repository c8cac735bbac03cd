"""Trains stacks of small GANs on points of the plane and measures them on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

import zoo
from tfgan_ema import averaging, checkpoint, losses, mixing, optimizers, penalties
from tfgan_ema.gan import GAN
from tfgan_ema.lab.stacked import slice_weights
from tfgan_ema.latents import Draws

Tensor = Any
Sampler = Callable[[int, Draws], Tensor]

RAW = "none"  # the column of the generator that is not averaged


class Method(NamedTuple):
    """A way of training, as plain values: what a cell's options hold.

    Attributes:
        loss: arguments of `losses.get`.
        optimizer: of both players, as for `optimizers.get`.
        penalty: ``[name, options]`` of `penalties.get`, one each.
        update: of the GAN.
    """

    loss: dict[str, Any]
    optimizer: dict[str, Any]
    penalty: Sequence[tuple[str, dict[str, Any]]] = ()
    update: str = "alternating"


def mixture(centers: np.ndarray, sigma: float) -> Sampler:
    """Fresh samples of the equal mixture of N(center, sigma^2 I): rows, draws -> [rows, 2]."""
    table = np.asarray(centers, np.float32)

    def sample(rows: int, draws: Draws) -> Tensor:
        chosen = draws.integers((rows,), len(table), "mode")
        return ops.take(table, chosen, axis=0) + sigma * draws.normal((rows, 2), "noise")

    return sample


def stack(
    method: Method,
    seeds: Sequence[int],
    *,
    networks: dict[str, Any],
    latent: Any,
    averages: dict[str, dict[str, Any]],
    leak: dict[str, Any] | None,
) -> GAN:
    """A compiled stack of GANs, one a seed.

    Args:
        method: how they are trained.
        seeds: of the networks' first weights and of every draw.
        networks: options of the zoo's ``mlp``.
        latent: a prior.
        averages: name -> options of `averaging.get`.
        leak: options of `mixing.LeakyEMA`, or ``None``.
    """
    generator, discriminator = zoo.build(
        "mlp", seeds=seeds, latent_dim=latent.dim, **_tuples(networks)
    )
    gan = GAN(
        generator,
        discriminator,
        latent=latent,
        loss=losses.get(**method.loss),
        penalties=[penalties.get(name, **options) for name, options in method.penalty],
        averages=[averaging.get(name=key, **rule) for key, rule in averages.items()],
        leak=mixing.LeakyEMA(**leak) if leak else None,
        update=method.update,
        seed=tuple(seeds),
    )
    gan.compile(*(optimizers.get(method.optimizer) for _ in range(2)), jit_compile=True)
    return gan


def _tuples(options: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(v) if isinstance(v, list) else v for key, v in options.items()}


def train(
    gan: GAN, real: Sampler, batch_size: int, steps: int, every: int, middle: Path | None = None
) -> Iterator[tuple[int, dict[str, float]]]:
    """Trains and stops every ``every`` steps, last at ``steps``: yields the step and the logs.

    A leak that starts halfway changes nothing before. Given a file ``middle``, the GAN without a
    leak leaves its state there halfway; the one with a leak goes on from it where it finds it, and
    yields nothing of the first half.
    """
    rows, half = gan.stack * batch_size, steps // 2

    def batch(step: Tensor) -> Tensor:
        return real(rows, Draws(gan.seed, step, "data/"))

    if middle and gan.leak:
        if middle.exists():
            go_on_from(gan, middle)
        else:
            gan.run(batch, half)
    while gan.steps_done < steps:
        logs = gan.run(batch, min(every, steps - gan.steps_done))
        if middle and gan.steps_done == half:
            checkpoint.write(middle, checkpoint.to_arrays(gan.state()))
        yield gan.steps_done, logs


def go_on_from(gan: GAN, path: Path) -> None:
    """Puts the state of a GAN without a leak into one that differs in nothing else."""
    arrays, _ = checkpoint.read(path)
    state = gan.state()
    checkpoint.assign({key: state[key] for key in arrays}, arrays, path)


def columns(gan: GAN) -> dict[str, int | None]:
    """The generators of a run: column -> index of the average, ``None`` for the raw one."""
    return {RAW: None} | {shadow.rule.name: i for i, shadow in enumerate(gan.shadows)}


def samples(gan: GAN, latent: np.ndarray) -> dict[str, np.ndarray]:
    """Column -> points [S, n, 2] that each generator makes of the same latents [n, d]."""
    everyone = np.tile(latent, (gan.stack, 1))
    return {
        column: gan.generate(everyone, average=index).reshape(gan.stack, len(latent), -1)
        for column, index in columns(gan).items()
    }


def draw(real: Sampler, count: int, seed: int) -> np.ndarray:
    """``count`` real points for measuring; a stream apart from training's."""
    return ops.convert_to_numpy(real(count, Draws(seed, 0, "reference/")))


def support(gan: GAN, extent: float, side: int = 60) -> np.ndarray:
    """Logits [side, side] of the first seed's discriminator over [-extent, extent]^2."""
    axis = np.linspace(-extent, extent, side, dtype=np.float32)
    points = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    logits = gan.logits(ops.convert_to_tensor(np.tile(points, (gan.stack, 1))))
    return ops.convert_to_numpy(logits)[: side**2].reshape(side, side)


def single(gan: GAN, index: int, networks: dict[str, Any]) -> list[keras.Model]:
    """Plain networks with the weights of one seed of a stack: generator and discriminator."""
    plain = zoo.build("mlp", latent_dim=gan.latent.dim, **_tuples(networks))
    for network, stacked in zip(plain, (gan.generator, gan.discriminator), strict=True):
        network.set_weights(slice_weights(stacked, index))
    return list(plain)
