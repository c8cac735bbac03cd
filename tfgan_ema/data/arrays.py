"""The batches of `batches.pipeline` as NumPy arrays, for backends other than TensorFlow.

Batch i holds the same numbers as TensorFlow's, bit for bit.
"""

from __future__ import annotations

import functools
import itertools
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from tfgan_ema import philox
from tfgan_ema.data.source import Stream

ORDER, FLIP = 0x6F72646572, 0x666C6970  # streams of random numbers
_AHEAD = 2  # batches made while the device is busy


def batches(stream: Stream) -> Iterator[tuple[np.ndarray, ...]]:
    """Endless ``(samples,)`` or ``(samples, labels)``, made ahead."""
    source, batch_size, seed, epoch = stream.source, stream.batch_size, stream.seed, stream.epoch
    start = stream.start() if callable(stream.start) else stream.start

    @functools.lru_cache(maxsize=1)
    def permutation(number: int) -> np.ndarray:
        if not stream.shuffle:
            return np.arange(epoch)
        return np.argsort(bits(source.count, seed, ORDER, number), kind="stable")

    def order(step: int) -> np.ndarray:
        """Which samples make up a batch, across the border of epochs."""
        places = np.arange(step * batch_size, (step + 1) * batch_size)
        epochs = places // epoch
        parts = [permutation(e)[places[epochs == e] % epoch] for e in np.unique(epochs).tolist()]
        return np.concatenate(parts)

    def batch(step: int) -> tuple[np.ndarray, ...]:
        samples, classes = source.batch(order(step)[stream.rows])
        if stream.flip:
            mirrored = bits(batch_size, seed, FLIP, step)[stream.rows] < 0
            samples[mirrored] = samples[mirrored, :, ::-1]
        if samples.dtype == np.uint8:
            samples = samples.astype(np.float32) / np.float32(127.5) - np.float32(1)
        return (samples, classes) if stream.labels else (samples,)

    with ThreadPoolExecutor(1, "batches") as thread:
        made = deque(thread.submit(batch, start + i) for i in range(_AHEAD))
        for step in itertools.count(start + _AHEAD):
            made.append(thread.submit(batch, step))
            yield made.popleft().result()


def bits(n: int, seed: int, stream: int, counter: int) -> np.ndarray:
    """``n`` random int64 over their full range: a function of the three numbers, by Philox."""
    key = philox.bits(np, 2, (philox.words(seed), philox.words(stream)))
    seeds = ((key[0], key[1]), philox.words(counter))
    return philox.bits(np, 2 * n, seeds).astype("<u4").view("<i8")
