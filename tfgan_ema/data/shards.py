"""Samples as files: pictures one by one, or many in a TFRecord or Parquet file."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from tfgan_ema.errors import UsageError

FORMATS = ("png", "webp", "tfrecord", "parquet")


def names(kind: str, first: int, rows: int, shard: int, shards: int) -> list[str]:
    """The files of a shard: one for each sample, or one for all."""
    if kind in ("png", "webp"):
        return [f"{first + row:06d}.{kind}" for row in range(rows)]
    return [f"samples-{shard:05d}-of-{shards:05d}.{kind}"]


def encoded(kind: str, samples: np.ndarray, first: int) -> list[bytes]:
    """The contents of the files of `names`.

    A record has the ``index`` of the sample and its ``image``, a PNG file, or else its ``point``.

    Args:
        kind: one of `FORMATS`.
        samples: uint8 images [n, h, w, c], or points [n, d].
        first: the index of the first one.

    Raises:
        UsageError: points as pictures.
    """
    if samples.ndim != 4 and kind in ("png", "webp"):
        raise UsageError(f"format={kind!r}: the samples are points; use tfrecord or parquet.")
    if kind in ("png", "webp"):
        return [picture(image, kind) for image in samples]
    name = "image" if samples.ndim == 4 else "point"
    values = [picture(x, "png") if samples.ndim == 4 else x.tolist() for x in samples]
    return [{"tfrecord": _tfrecord, "parquet": _parquet}[kind](name, values, first)]


def picture(image: np.ndarray, kind: str) -> bytes:
    """A uint8 image [h, w, 1 or 3] as a PNG or a lossless WebP file."""
    stream = io.BytesIO()
    made = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
    made.save(stream, format=kind.upper(), **({"lossless": True} if kind == "webp" else {}))
    return stream.getvalue()


def _tfrecord(name: str, values: list, first: int) -> bytes:
    import tensorflow as tf

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "shard")
        with tf.io.TFRecordWriter(str(path)) as writer:
            for index, value in enumerate(values, first):
                of = tf.train
                held = (
                    of.Feature(bytes_list=of.BytesList(value=[value]))
                    if isinstance(value, bytes)
                    else of.Feature(float_list=of.FloatList(value=value))
                )
                place = of.Feature(int64_list=of.Int64List(value=[index]))
                example = of.Example(features=of.Features(feature={"index": place, name: held}))
                writer.write(example.SerializeToString(deterministic=True))
        return path.read_bytes()


def _parquet(name: str, values: list, first: int) -> bytes:
    import pyarrow
    from pyarrow import parquet

    stream = io.BytesIO()
    kind = pyarrow.binary() if name == "image" else pyarrow.list_(pyarrow.float32())
    table = {"index": pyarrow.array(range(first, first + len(values)), pyarrow.int64())}
    table[name] = pyarrow.array(values, kind)
    parquet.write_table(pyarrow.table(table), stream)
    return stream.getvalue()
