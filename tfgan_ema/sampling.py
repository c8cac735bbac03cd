"""Drawing from a generator: latents by counter, chunks of rows, uint8 images.

A sample is a pure function of the weights, the seed and its place: drawing more samples repeats the
first ones, and every backend, device and exported model draws the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from keras import ops

from tfgan_ema import latents, validation
from tfgan_ema.engines import Tensor, devices
from tfgan_ema.errors import check_memory, checked_seed, whole
from tfgan_ema.latents import Draws
from tfgan_ema.players import call_generator, draw_inputs

if TYPE_CHECKING:
    import keras

    from tfgan_ema.gan import GAN

CHUNK = 64  # rows that are generated at once
STREAMED = 64 * CHUNK  # rows of a part of `stream`


def chunk_of(gan: GAN, generator: keras.Model, truncation: float | None = None) -> Callable:
    """What draws one `CHUNK` of samples, as served.

    Args:
        gan: whose latents and labels are drawn.
        generator: one of its generators, ready to run.
        truncation: threshold of a truncated normal latent, or ``None``.

    Returns:
        ``draw(index, rows, seed, labels=None)``: the first ``rows`` of the ``index``-th chunk for
        an integer seed below 2^63, as uint8 images [rows, h, w, c] or float32 points [rows, d].
        ``labels`` are int32 [rows]; a conditional generator draws them unless they are given.
    """

    def draw(index: Tensor, rows: Tensor, seed: Tensor, labels: Tensor | None = None) -> Tensor:
        draws = Draws(seed, index, "sample/", gan.engine)
        latent, drawn = draw_inputs(CHUNK, draws, gan.latent, gan.num_classes, truncation)
        if labels is None and drawn is not None:
            labels = drawn[:rows]
        images = call_generator(generator, latent[:rows], labels)
        return to_uint8(images) if len(images.shape) == 4 else images

    return draw


def to_uint8(images: Tensor) -> Tensor:
    """Images in [-1, 1] as uint8: round(127.5 (x + 1)), clipped."""
    return ops.cast(ops.clip(ops.round(127.5 * (images + 1.0)), 0.0, 255.0), "uint8")


# Methods of `GAN`


def ready_generator(gan: GAN, average: int | str = 0) -> keras.Model:
    """A generator ready to run, save or export; looking at it changes nothing in training.

    Args:
        average: an index or a name of the averages, whose generator has batch statistics of
            its own; ``"raw"`` for the generator as trained. Without averages, 0 is that too.

    Raises:
        UsageError: no such average.
    """
    chosen = gan.average(average)
    if chosen is None:
        return gan.generator
    step = None if gan.engine.is_traced(gan.step.value) else gan.steps_done

    def forward(generator: keras.Model, i: int) -> None:
        draws = gan.draws("standing/", i)
        inputs = draw_inputs(CHUNK, draws, gan.latent, gan.num_classes)
        gan.players.run(generator, *inputs, training=True)

    return chosen.ready_generator(devices.scope(gan), step, forward)


def sample(
    gan: GAN,
    count: int,
    seed: int = 0,
    *,
    average: int | str = 0,
    truncation: float | None = None,
    labels: Any = None,
) -> np.ndarray:
    """Samples of an averaged generator; a pure function of the weights and the arguments.

    Args:
        gan: the GAN.
        count: how many, >= 0.
        seed: any integer below 2^63.
        average: an index or a name of the averages, or ``"raw"`` for the generator as trained.
        truncation: threshold of a truncated normal latent, or ``None``.
        labels: int [count], for conditional networks; drawn uniformly unless given.

    Returns:
        uint8 [count, h, w, c], or float32 [count, d] for points.

    Raises:
        UsageError: a value out of range.
    """
    size = math.prod(length or 1 for length in gan.form.shape or ())
    check_memory(f"count {count}", whole("count", count, 0, most=None) * size)
    draw = _sampler(gan, count, seed, average=average, truncation=truncation, labels=labels)
    return draw(0, count)


def stream(gan: GAN, count: int, seed: int = 0, **options: Any) -> Iterator[np.ndarray]:
    """The samples of `sample`, `STREAMED` at a time; values are checked before the first."""
    draw = _sampler(gan, whole("count", count, 0), seed, **options)
    return (draw(first, min(STREAMED, count - first)) for first in range(0, count, STREAMED))


def part(gan: GAN, first: int, rows: int, seed: int = 0, **options: Any) -> np.ndarray:
    """Some of the samples of `sample`, from a multiple of `CHUNK` on; ``labels`` are of these."""
    labels = options.pop("labels", None)
    draw = _sampler(gan, rows, seed, labels=labels, **options)
    return draw(first, rows, labels_from=first)


def _sampler(
    gan: GAN,
    count: int,
    seed: int,
    *,
    average: int | str = 0,
    truncation: float | None = None,
    labels: Any = None,
) -> Callable[[int, int], np.ndarray]:
    """``draw(first, rows)``: some of ``count`` samples, from a multiple of `CHUNK` on."""
    seed = checked_seed(seed)
    latents.check_truncation(truncation)
    labels = validation.checked_labels(labels, count, gan.num_classes)
    generator = gan.ready_generator(average)
    key = (id(generator), truncation, labels is not None)
    if key not in gan.samplers:
        chunk = chunk_of(gan, generator, truncation)
        gan.samplers[key] = gan.engine.compile_sampler(generator, chunk, CHUNK)

    def draw(first: int, rows: int, labels_from: int = 0) -> np.ndarray:
        place = first - labels_from
        given = None if labels is None else labels[place : place + rows]
        return gan.samplers[key](first // CHUNK, rows, seed, given)

    return draw


def generate(gan: GAN, latent: Any, labels: Any = None, *, average: int | str = 0) -> np.ndarray:
    """Images in [-1, 1], float32, for latents [n, d] (and labels [n]); see `sample`."""
    latent, labels = validation.checked_inputs(gan, latent, labels)
    images = gan.players.run(
        gan.ready_generator(average),
        ops.convert_to_tensor(latent),
        None if labels is None else ops.convert_to_tensor(labels),
    )
    return ops.convert_to_numpy(images)


def discriminate(gan: GAN, images: Any, labels: Any = None) -> np.ndarray:
    """Logits, float32 [n], for images as uint8 or in [-1, 1]."""
    images = np.asarray(images)
    gan.form.check(images.dtype.name, images.shape[1:])
    scaled = images.dtype == np.uint8 and gan.form.of_images
    images = validation.as_floats("images", images)
    if scaled:
        images = images / 127.5 - 1
    labels = validation.checked_labels(labels, len(images), gan.num_classes)
    logits = [np.zeros(0, "float32")]
    for first in range(0, len(images), CHUNK):
        rows = slice(first, first + CHUNK)
        chunk = ops.convert_to_tensor(images[rows], "float32")
        given = None if labels is None else ops.convert_to_tensor(labels[rows])
        logits.append(ops.convert_to_numpy(gan.players.logits(chunk, given)))
    return np.concatenate(logits)
