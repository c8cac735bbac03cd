"""Image sets of TensorFlow Datasets, found on disk or downloaded.

Without a network TFDS retries for minutes before it gives up, so the first address of a set is
tried once, with a short timeout, before TFDS may download.
"""

from __future__ import annotations

import difflib
import importlib.util
import re
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging

from tfgan_ema.data import images, store
from tfgan_ema.data.source import Source
from tfgan_ema.data.splits import Part
from tfgan_ema.errors import Unavailable, UsageError, say, unknown

_TIMEOUT = 5  # seconds
_COMMUNITY = re.compile(r"\w+:[a-zA-Z]")  # sets of a namespace, which TFDS looks up online
_COMMUNITY_LIST = "https://storage.googleapis.com/tfds-data/community-datasets-list.jsonl"


def load(name: str, part: Part, image_size: int | None, channels: int | None, root: Path) -> Source:
    """A TFDS set, brought to one size and kept in the cache; later loads map it from there.

    A slice is of the order on disk, in which TFDS has shuffled the set.
    """
    built = builder(name, root)
    info = built.info
    if part.split not in info.splits:
        raise unknown(f"split of TFDS set {name!r}", part.split, info.splits)
    split = part.split
    if part.ends is not None:
        first, last = part.rows(info.splits[split].num_examples)
        split = f"{split}[{first}:{last}]"
    image, label = image_and_label(built)
    height, width, depth = info.features[image].shape
    channels = channels or depth or 3
    if image_size is None and (height is None or width is None):
        raise UsageError(f"the images of {name!r} have many sizes: give image_size.")
    shape = (image_size or height, image_size or width, channels)
    key, count = ["tfds", info.full_name, split, shape], info.splits[split].num_examples
    fitted = ((images.fit_array(x, image_size, channels), y) for x, y in records(built, split))
    samples, labels, _ = store.prepared(root, key, fitted, count, shape)
    classes = info.features[label].num_classes if label else None
    names = tuple(info.features[label].names) if classes else None
    return Source(f"tfds:{name}", samples, labels, classes, names)


def on_disk(name: str, root: Path) -> bool:
    """Whether TFDS has the set ready, so that `builder` downloads nothing."""
    try:
        return find_builder(name, root)[1]
    except UsageError:
        return False


def builder(name: str, root: Path) -> Any:
    """The TFDS builder of ``name``, prepared on disk.

    A set already prepared in TFDS's own folder is used; otherwise it goes to ``root/tfds``.

    Raises:
        UsageError: TFDS knows no such set.
        Unavailable: it is not on disk and cannot be downloaded.
    """
    built, prepared = find_builder(name, root)
    if prepared:
        return built
    import tensorflow_datasets as tfds

    _probe(next(iter(built.url_infos or ()), None))
    if not sys.stderr.isatty():
        tfds.disable_progress_bar()
    say(f"TFDS downloads {name} into {built.data_dir} ...")
    try:
        built.download_and_prepare()
    except Exception as error:  # TFDS raises whatever its sources raise
        raise Unavailable(f"TFDS cannot download {name} ({_first_line(error)})") from error
    return built


def records(built: Any, split: str) -> Iterator[tuple[np.ndarray, int | None]]:
    """uint8 images [h, w, c] and labels (``None`` without) of a split, in the order on disk.

    Raises:
        UsageError: the set holds no 8-bit images.
    """
    import tensorflow_datasets as tfds

    image, label = image_and_label(built)
    for record in tfds.as_numpy(built.as_dataset(split=split, shuffle_files=False)):
        yield record[image], None if label is None else int(record[label])


def image_and_label(built: Any) -> tuple[str, str | None]:
    """The names of the first image and the first class label among the features of a set."""
    import tensorflow_datasets as tfds

    features = built.info.features
    image = [key for key, kind in features.items() if isinstance(kind, tfds.features.Image)]
    label = [key for key, kind in features.items() if isinstance(kind, tfds.features.ClassLabel)]
    if not image or features[image[0]].dtype != np.uint8:
        held = ", ".join(features)
        raise UsageError(f"TFDS set {built.name!r} has no 8-bit images; its features are {held}.")
    return image[0], label[0] if label else None


def find_builder(name: str, root: Path) -> tuple[Any, bool]:
    """A set's builder and whether it is prepared, in TFDS's own folder or else in the cache."""
    if importlib.util.find_spec("tensorflow") is None:  # TFDS half imports, and prints a page
        raise Unavailable("TFDS needs TensorFlow, which is not installed")
    if _COMMUNITY.match(name):
        _probe(_COMMUNITY_LIST)
    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)  # no warnings about folders that do not exist yet
    try:
        import tensorflow_datasets as tfds

        for place in (None, root / "tfds"):
            built = tfds.builder(name, data_dir=place)
            if built.is_prepared():
                return built, True
        return built, False
    except ImportError as error:  # TFDS imports some of its parts only when they are used
        raise Unavailable(f"TFDS does not import ({_first_line(error)})") from error
    except (ValueError, AssertionError) as error:  # no such set, configuration or version
        near = difflib.get_close_matches(name, tfds.list_builders(with_community_datasets=False))
        hint = f" (near names: {', '.join(near)})" if near else ""
        raise UsageError(f"TFDS cannot find {name!r}{hint}: {_first_line(error)}") from error
    finally:
        logging.set_verbosity(verbosity)


def _probe(url: str | None) -> None:
    """Raises `Unavailable` unless something answers at ``url``."""
    if url is None or not url.startswith("http"):
        return
    try:
        urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=_TIMEOUT).close()
    except urllib.error.HTTPError:
        return  # a server is there; TFDS will find out what it wants
    except (OSError, ValueError) as error:
        raise Unavailable("TFDS cannot download (its server does not answer)") from error


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
