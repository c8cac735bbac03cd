"""Batches by step: batch i is a pure function of (seed, i), so a run can resume anywhere.

The stream of samples is one fresh permutation of the set after another; batch i is the i-th run
of ``batch_size`` places in that stream, across the border of epochs, so nothing is dropped.
Under TensorFlow everything is its own operations on CPU: no Python runs in the data threads. Under
other backends the same batches are made with NumPy (see `arrays`).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tfgan_ema.data import arrays
from tfgan_ema.data.source import Source
from tfgan_ema.errors import UsageError

if TYPE_CHECKING:
    import tensorflow as tf

_ORDER, _FLIP = 0x6F72646572, 0x666C6970  # streams of random numbers
_AHEAD = 8  # batches that are made while the step computes


def pipeline(
    source: Source,
    batch_size: int,
    *,
    seed: int,
    start: int = 0,
    flip: bool = False,
    labels: bool = False,
    shard: tuple[int, int] = (0, 1),
) -> Iterable:
    """Endless batches; batch i depends on ``(seed, i)`` alone.

    A `tf.data.Dataset` under TensorFlow; under other backends an iterator of tuples of NumPy
    arrays, which holds the same numbers.

    Args:
        source: the samples.
        batch_size: samples in a global batch.
        seed: decides order and flips.
        start: the first batch; the same as skipping so many, at no cost.
        flip: mirror each image, each time it comes, with probability 1/2.
        labels: yield ``(samples, labels)``.
        shard: ``(worker, workers)``: only that worker's rows of each global batch, for
            `tf.distribute.Strategy.distribute_datasets_from_function`. Without it, strategies that
            distribute the dataset themselves (also through ``fit``) give each worker its rows.

    Returns:
        float32 images [batch_size, h, w, c] in [-1, 1], or points [batch_size, 2]; with
        ``labels`` also int32 [batch_size]. Of a shard, batch_size / workers rows.

    Raises:
        UsageError: sizes that do not fit, labels that do not exist, points to be mirrored.
    """
    import keras

    worker, workers = shard
    images = source.samples.dtype == np.uint8
    if batch_size < 1 or batch_size % workers:
        raise UsageError(
            f"batch_size {batch_size}: expected a positive multiple of the {workers} worker(s)."
        )
    if not 0 <= worker < workers:
        raise UsageError(f"shard {shard}: expected (worker, workers) with 0 <= worker < workers.")
    if source.count < 1:
        raise UsageError(f"data set {source.name!r} is empty.")
    if start < 0:
        raise UsageError(f"start {start}: expected the number of a batch, 0 or more.")
    if flip and not images:
        raise UsageError(f"flip: {source.name!r} holds points, only images can be mirrored.")
    if labels:
        source.require_labels()
    rows = batch_size // workers
    if keras.config.backend() != "tensorflow":
        mine = slice(worker * rows, (worker + 1) * rows)
        return arrays.batches(
            source, batch_size, seed=seed, start=start, flip=flip, labels=labels, rows=mine,
            order_stream=_ORDER, flip_stream=_FLIP,
        )  # fmt: skip
    import tensorflow as tf

    with tf.device("CPU:0"):
        samples = _tensor(source.samples)
        classes = tf.convert_to_tensor(source.labels) if labels else None

    def batch(step: tf.Tensor, order: tf.Tensor) -> tf.Tensor | tuple[tf.Tensor, tf.Tensor]:
        mine = order[worker * rows : (worker + 1) * rows]
        drawn = tf.gather(samples, mine)
        if flip:
            bits = _bits(batch_size, seed, _FLIP, step)[worker * rows : (worker + 1) * rows]
            drawn = _mirror(drawn, bits < 0)
        if images:
            drawn = tf.cast(drawn, tf.float32) / 127.5 - 1.0
        return (drawn, tf.gather(classes, mine)) if labels else drawn

    places = _places(source.count, batch_size, seed, start)
    dataset = tf.data.Dataset.zip(tf.data.Dataset.counter(start), places)
    dataset = dataset.map(batch, num_parallel_calls=_AHEAD, deterministic=True)
    options = tf.data.Options()
    # The thread that tunes sleeps longer and longer, up to a minute, and the end of `fit` waits for
    # it to wake.
    options.autotune.enabled = False
    # Each worker computes the global batch and keeps its own slice of it. `OFF` would hand every
    # worker the whole global batch, in pieces.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return dataset.prefetch(_AHEAD).with_options(options)


def _places(count: int, batch_size: int, seed: int, start: int) -> tf.data.Dataset:
    """Endless int64 [batch_size]: which samples make up batch ``start``, and so on."""
    import tensorflow as tf

    first, done = divmod(start * batch_size, count)

    def permutation(epoch: tf.Tensor) -> tf.Tensor:
        order = tf.argsort(_bits(count, seed, _ORDER, epoch), stable=True)
        return order[tf.where(epoch == first, done, 0) :]

    epochs = tf.data.Dataset.counter(first).map(permutation).prefetch(1)
    return epochs.rebatch(batch_size, drop_remainder=True)


def _mirror(images: tf.Tensor, chosen: tf.Tensor) -> tf.Tensor:
    """Images [n, h, w, c], those with ``chosen`` bool [n] mirrored from left to right.

    TensorFlow has fast kernels for reversing lines of pixels [n h, w, c] and for selecting whole
    rows; reversing axis 2 and a broadcast `tf.where` take three to six times as long.
    """
    import tensorflow as tf

    lines = tf.reshape(images, (-1, *images.shape[2:]))
    mirrored = tf.reshape(tf.reverse(lines, axis=[1]), images.shape)
    return tf.raw_ops.Select(condition=chosen, x=mirrored, y=images)


def _bits(n: int, seed: int, stream: int, counter: tf.Tensor) -> tf.Tensor:
    """``n`` random int64 over their full range: a function of the three numbers, by Philox."""
    import tensorflow as tf

    key = tf.random.experimental.stateless_fold_in([seed, stream], counter, alg="philox")
    return tf.random.stateless_uniform([n], key, None, None, tf.int64, alg="philox")


def _tensor(samples: np.ndarray) -> tf.Tensor:
    """``samples`` as a tensor; a whole mapped file is mapped by TensorFlow too, never read in."""
    import tensorflow as tf

    if isinstance(samples, np.memmap) and samples.nbytes == Path(samples.filename).stat().st_size:
        return tf.raw_ops.ImmutableConst(
            dtype=samples.dtype, shape=samples.shape, memory_region_name=str(samples.filename)
        )
    return tf.convert_to_tensor(samples)
