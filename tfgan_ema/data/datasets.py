"""The batches of `batches.pipeline` as a `tf.data.Dataset`, made by TensorFlow's own operations.

No Python runs in the data threads, and everything stays on the CPU.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tensorflow as tf

from tfgan_ema.data.arrays import FLIP, ORDER
from tfgan_ema.data.source import Stream

_AHEAD = 8  # batches that are made while the step computes


def batches(stream: Stream) -> tf.data.Dataset:
    """Endless ``samples`` or ``(samples, labels)``."""
    with tf.device("CPU:0"):
        samples = _tensor(stream.source.samples)
        classes = tf.convert_to_tensor(stream.source.labels) if stream.labels else None

    def batch(step: tf.Tensor, order: tf.Tensor) -> tf.Tensor | tuple[tf.Tensor, tf.Tensor]:
        mine = order[stream.rows]
        drawn = tf.gather(samples, mine)
        if stream.flip:
            bits = _bits(stream.batch_size, stream.seed, FLIP, step)
            drawn = _mirror(drawn, bits[stream.rows] < 0)
        if samples.dtype == tf.uint8:
            drawn = tf.cast(drawn, tf.float32) / 127.5 - 1.0
        return (drawn, tf.gather(classes, mine)) if stream.labels else drawn

    def steps_and_orders(first: tf.Tensor) -> tf.data.Dataset:
        return tf.data.Dataset.zip(_from(first), _orders(stream, first))

    if callable(stream.start):
        once = tf.data.Dataset.from_tensors(0)
        asked = once.map(
            lambda _: tf.ensure_shape(tf.numpy_function(stream.start, [], tf.int64), [])
        )
        dataset = asked.flat_map(steps_and_orders)
    else:
        dataset = steps_and_orders(stream.start)
    dataset = dataset.map(batch, num_parallel_calls=_AHEAD, deterministic=True)
    options = tf.data.Options()
    # The thread that tunes sleeps longer and longer, up to a minute, and the end of `fit` waits for
    # it to wake.
    options.autotune.enabled = False
    # Each worker computes the global batch and keeps its own slice of it. `OFF` would hand every
    # worker the whole global batch, in pieces.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return dataset.prefetch(_AHEAD).with_options(options)


def _orders(stream: Stream, start: int | tf.Tensor) -> tf.data.Dataset:
    """Endless int64 [batch_size]: which samples make up batch ``start`` and those after it.

    An epoch has the first ``epoch`` rows of a permutation of all samples, or of 0, 1, 2, ...
    """
    epoch, passed = stream.epoch, tf.cast(start, tf.int64) * stream.batch_size
    first, done = passed // epoch, passed % epoch

    def order(number: tf.Tensor) -> tf.Tensor:
        rows = tf.range(epoch, dtype=tf.int64)
        if stream.shuffle:
            bits = _bits(stream.source.count, stream.seed, ORDER, number)
            rows = tf.argsort(bits, stable=True)[:epoch]
        return rows[tf.where(number == first, done, 0) :]

    epochs = _from(first).map(order).prefetch(1)
    return epochs.rebatch(stream.batch_size, drop_remainder=True)


def _from(first: int | tf.Tensor) -> tf.data.Dataset:
    """``first``, the number after it, and so on; `Dataset.counter` is never freed again."""
    return tf.data.Dataset.range(first, tf.int64.max).repeat()


def _mirror(images: tf.Tensor, chosen: tf.Tensor) -> tf.Tensor:
    """Images [n, h, w, c], those with ``chosen`` bool [n] mirrored from left to right.

    TensorFlow has fast kernels for reversing lines of pixels [n h, w, c] and for selecting whole
    rows; reversing axis 2 and a broadcast `tf.where` take three to six times as long.
    """
    lines = tf.reshape(images, (-1, *images.shape[2:]))
    mirrored = tf.reshape(tf.reverse(lines, axis=[1]), images.shape)
    return tf.raw_ops.Select(condition=chosen, x=mirrored, y=images)


def _bits(n: int, seed: int, stream: int, counter: tf.Tensor) -> tf.Tensor:
    """``n`` random int64 over their full range: a function of the three numbers, by Philox."""
    key = tf.random.experimental.stateless_fold_in([seed, stream], counter, alg="philox")
    return tf.random.stateless_uniform([n], key, None, None, tf.int64, alg="philox")


def _tensor(samples: np.ndarray) -> tf.Tensor:
    """``samples`` as a tensor; a whole mapped file is mapped by TensorFlow too, never read in."""
    if isinstance(samples, np.memmap) and samples.nbytes == Path(samples.filename).stat().st_size:
        return tf.raw_ops.ImmutableConst(
            dtype=samples.dtype, shape=samples.shape, memory_region_name=str(samples.filename)
        )
    return tf.convert_to_tensor(samples)
