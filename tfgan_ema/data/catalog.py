"""Image sets of TensorFlow Datasets, found on disk or downloaded.

Without a network TFDS retries for minutes before it gives up, so the first address of a set is
tried once, with a short timeout, before TFDS may download.
"""

from __future__ import annotations

import difflib
import importlib.util
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging

from tfgan_ema.data import images, store
from tfgan_ema.data.errors import Unavailable, say
from tfgan_ema.data.source import Source
from tfgan_ema.errors import UsageError, unknown

_TIMEOUT = 5  # seconds


def builder(name: str, root: Path) -> Any:
    """The TFDS builder of ``name``, prepared on disk.

    A set already prepared in TFDS's own folder is used; otherwise it goes to ``root/tfds``.

    Raises:
        UsageError: TFDS knows no such set, or it holds no images.
        Unavailable: it is not on disk and cannot be downloaded.
    """
    if importlib.util.find_spec("tensorflow") is None:  # TFDS half imports, and prints a page
        raise Unavailable("TFDS needs TensorFlow, which is not installed")
    try:
        with _quiet():
            return _builder(name, root)
    except ImportError as error:  # TFDS imports some of its parts only when they are used
        raise Unavailable(f"TFDS does not import ({_first_line(error)})") from error


def on_disk(name: str, root: Path) -> bool:
    """Whether TFDS has the set ready, so that `builder` downloads nothing."""
    try:
        with _quiet():
            return any(candidate.is_prepared() for candidate in _places(name, root))
    except (ImportError, UsageError):
        return False


def _places(name: str, root: Path) -> tuple[Any, Any]:
    """The builder of a set in TFDS's own folder, and the one in the cache."""
    import tensorflow_datasets as tfds

    try:
        return tfds.builder(name), tfds.builder(name, data_dir=root / "tfds")
    except tfds.core.DatasetNotFoundError as error:
        near = difflib.get_close_matches(name, tfds.list_builders(), n=3)
        hint = f"near names: {', '.join(near)}" if near else "its catalogue lists the names"
        raise UsageError(f"TFDS has no set {name!r}: {hint}.") from error
    except (ValueError, AssertionError) as error:  # a configuration or version it does not have
        raise UsageError(f"TFDS cannot find {name!r}: {_first_line(error)}") from error


def _builder(name: str, root: Path) -> Any:
    import tensorflow_datasets as tfds

    own, chosen = _places(name, root)
    for candidate in (own, chosen):
        if candidate.is_prepared():
            return candidate
    _probe(next(iter(chosen.url_infos or ()), None))
    if not sys.stderr.isatty():
        tfds.disable_progress_bar()
    say(f"TFDS downloads {name} into {chosen.data_dir} ...")
    try:
        chosen.download_and_prepare()
    except Exception as error:  # TFDS raises whatever its sources raise
        raise Unavailable(f"TFDS cannot download {name} ({_first_line(error)})") from error
    return chosen


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps TFDS from logging warnings about folders that do not exist yet."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)


def _probe(url: str | None) -> None:
    """Raises `Unavailable` unless something answers at ``url``."""
    if url is None or not url.startswith("http"):
        return
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=_TIMEOUT):
            return
    except urllib.error.HTTPError:
        return  # a server is there; TFDS will find out what it wants
    except (OSError, ValueError) as error:
        raise Unavailable("TFDS cannot download (its server does not answer)") from error


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def records(built: Any, split: str) -> Iterator[tuple[np.ndarray, int | None]]:
    """uint8 images [h, w, c] and labels (``None`` without) of a split, in the order on disk."""
    import tensorflow_datasets as tfds

    image, label = _keys(built)
    for record in tfds.as_numpy(built.as_dataset(split=split, shuffle_files=False)):
        yield record[image], None if label is None else int(record[label])


def _keys(built: Any) -> tuple[str, str | None]:
    import tensorflow_datasets as tfds

    features = built.info.features
    kinds = {key: type(feature) for key, feature in features.items()}
    image = [key for key, kind in kinds.items() if issubclass(kind, tfds.features.Image)]
    label = [key for key, kind in kinds.items() if issubclass(kind, tfds.features.ClassLabel)]
    if not image:
        raise UsageError(f"TFDS set {built.name!r} has no images, only {', '.join(kinds)}.")
    if features[image[0]].dtype != np.uint8:
        raise UsageError(f"TFDS set {built.name!r}: its images are not 8-bit.")
    return image[0], label[0] if label else None


def load(name: str, split: str, image_size: int | None, channels: int | None, root: Path) -> Source:
    """A TFDS set, brought to one size and kept in the cache; later loads map it from there."""
    built = builder(name, root)
    if split not in built.info.splits and "[" not in split:
        raise unknown(f"split of TFDS set {name!r}", split, built.info.splits)
    image, label = _keys(built)
    height, width, depth = built.info.features[image].shape
    channels = channels or depth or 3
    if image_size is None and (height is None or width is None):
        raise UsageError(f"the images of {name!r} have many sizes: give image_size.")
    shape = (image_size or height, image_size or width, channels)

    def make(folder: Path) -> None:
        fitted = ((images.fit_array(x, image_size, channels), y) for x, y in records(built, split))
        count = built.info.splits[split].num_examples
        store.write(folder, progress(fitted, count, name), count, shape, {})

    key = ["tfds", built.info.full_name, split, shape]
    samples, labels, _ = store.prepared(root, key, make)
    classes = built.info.features[label].num_classes if label else None
    return Source(f"tfds:{name}", samples, labels, classes)


def progress(records: Iterator, count: int, name: str) -> Iterator:
    """``records`` with a progress bar on a terminal."""
    from tqdm import tqdm

    return tqdm(records, total=count, desc=name, unit="image", leave=False, disable=None)
