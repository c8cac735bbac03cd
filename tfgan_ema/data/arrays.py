"""The batches of `batches.pipeline` as NumPy arrays, for backends other than TensorFlow."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from tfgan_ema import philox
from tfgan_ema.data.source import Source

_AHEAD = 2  # batches made while the device is busy


def batches(
    source: Source,
    batch_size: int,
    *,
    seed: int,
    start: int,
    flip: bool,
    labels: bool,
    rows: slice,
    order_stream: int,
    flip_stream: int,
) -> Iterator[tuple[np.ndarray, ...]]:
    """Endless ``(samples,)`` or ``(samples, labels)``, made ahead in a thread.

    Batch i holds what TensorFlow's pipeline gives it, bit for bit.
    """
    last: tuple[int, np.ndarray] = (-1, np.zeros(0, int))

    def permutation(epoch: int) -> np.ndarray:
        nonlocal last
        if last[0] != epoch:
            bits = _bits(source.count, seed, order_stream, epoch)
            last = (epoch, np.argsort(bits, kind="stable"))
        return last[1]

    def places(step: int) -> np.ndarray:
        """Which samples make up a batch, across the border of epochs."""
        found, wanted = [], batch_size
        epoch, done = divmod(step * batch_size, source.count)
        while wanted:
            found.append(permutation(epoch)[done : done + wanted])
            wanted -= len(found[-1])
            epoch, done = epoch + 1, 0
        return np.concatenate(found)

    def batch(step: int) -> tuple[np.ndarray, ...]:
        samples, classes = source.batch(places(step)[rows])
        if flip:
            mirrored = _bits(batch_size, seed, flip_stream, step)[rows] < 0
            samples[mirrored] = samples[mirrored, :, ::-1]
        if samples.dtype == np.uint8:
            samples = samples.astype(np.float32) / np.float32(127.5) - np.float32(1)
        return (samples, classes) if labels else (samples,)

    with ThreadPoolExecutor(1, "batches") as thread:
        made = deque(thread.submit(batch, start + i) for i in range(_AHEAD))
        for step in itertools.count(start + _AHEAD):
            made.append(thread.submit(batch, step))
            yield made.popleft().result()


def _bits(n: int, seed: int, stream: int, counter: int) -> np.ndarray:
    """``n`` random int64 over their full range: those of the TensorFlow pipeline."""
    first = (philox.words(seed), philox.words(stream))
    folded = philox.bits(np, 2, first)
    second = ((folded[0], folded[1]), philox.words(counter))
    return philox.bits(np, 2 * n, second).astype("<u4").view("<i8")
