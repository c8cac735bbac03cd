"""Batches by step: batch i is a pure function of (seed, i), so a run can resume anywhere.

The stream of samples is one fresh permutation of the set after another; batch i is the i-th run
of ``batch_size`` places in that stream, across the border of epochs, so nothing is dropped.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import numpy as np

from tfgan_ema.data import arrays
from tfgan_ema.data.source import Source, Stream
from tfgan_ema.errors import UsageError, check_memory, checked_seed, whole


def pipeline(
    source: Source,
    batch_size: int,
    *,
    seed: int,
    start: int | Callable[[], int] = 0,
    flip: bool = False,
    labels: bool = False,
    shard: tuple[int, int] = (0, 1),
    shuffle: bool = True,
    whole_epochs: bool = False,
) -> Iterable:
    """Endless batches; batch i depends on ``(seed, i)`` alone.

    A `tf.data.Dataset` under TensorFlow; under other backends an iterator of tuples of NumPy
    arrays, which holds the same numbers.

    Args:
        source: the samples.
        batch_size: samples in a global batch.
        seed: decides order and flips.
        start: the first batch; the same as skipping so many, at no cost. A function is asked when
            the first batch is read.
        flip: mirror each image, each time it comes, with probability 1/2.
        labels: yield ``(samples, labels)``.
        shard: ``(worker, workers)``: only that worker's rows of each global batch, for
            `tf.distribute.Strategy.distribute_datasets_from_function`. Without it, strategies that
            distribute the dataset themselves (also through ``fit``) give each worker its rows.
        shuffle: whether an epoch has a new order, or that of the source.
        whole_epochs: leave out the rows at the end of an epoch that fill no batch, so that each
            epoch begins with a batch.

    Returns:
        float32 images [batch_size, h, w, c] in [-1, 1], or points [batch_size, 2]; with
        ``labels`` also int32 [batch_size]. Of a shard, batch_size / workers rows.

    Raises:
        UsageError: sizes that do not fit, labels that do not exist, points to be mirrored.
    """
    pair = isinstance(shard, tuple | list) and len(shard) == 2
    if not (pair and 0 <= shard[0] < shard[1]):
        raise UsageError(f"shard {shard}: expected (worker, workers) with 0 <= worker < workers.")
    worker, workers = shard
    if whole("batch_size", batch_size) % workers:
        raise UsageError(
            f"batch_size {batch_size}: expected a positive multiple of {workers}, as that many "
            "replicas or workers share it."
        )
    check_memory(f"batch_size {batch_size}", 4 * batch_size * math.prod(source.shape))
    seed = checked_seed(seed)
    if source.count < 1:
        raise UsageError(f"data set {source.name!r} is empty.")
    if not callable(start):
        whole("start", start, 0, ", the number of a batch", most=None)
    if flip and source.samples.dtype != np.uint8:
        raise UsageError(f"flip: {source.name!r} holds points, only images can be mirrored.")
    if labels:
        source.require_labels()
    epoch = source.count - (source.count % batch_size if whole_epochs else 0)
    if epoch < 1:
        raise UsageError(f"batch_size {batch_size}: {source.name!r} has {source.count} rows.")
    share = batch_size // workers
    rows = slice(worker * share, (worker + 1) * share)
    stream = Stream(source, batch_size, rows, seed, start, flip, labels, shuffle, epoch)
    from tfgan_ema.engines import devices

    if devices.TAKES_DATASETS:
        from tfgan_ema.data import datasets

        return datasets.batches(stream)
    return arrays.batches(stream)
