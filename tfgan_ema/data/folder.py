"""A folder of images in any format that Pillow reads, but for EPS: that is a program.

All images are decoded once, brought to one size and kept in the cache; later loads map them from
there. The cache is keyed by the files' names, sizes and times, so a changed folder is read anew.
"""

from __future__ import annotations

import contextlib
import os
import stat
import threading
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from multiprocessing.pool import ThreadPool
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from tfgan_ema import reading
from tfgan_ema.data import images, store
from tfgan_ema.data.source import Source
from tfgan_ema.errors import UsageError, say

Stamp = tuple[int, int] | None  # a file's size and time of change; None if it cannot be opened
Notes = dict[str, list[str]]  # what is unusual about files

_CHUNK = 512  # images decoded ahead of the writer
_NAMED = 20  # images of a notice
_DEEPEST, _OFTEN = 100, 100  # folders in one another, and visits of a folder by links


def load(path: Path, image_size: int | None, channels: int | None, root: Path) -> Source:
    """The images below ``path`` as uint8 [count, image_size, image_size, channels].

    When every image lies in a subfolder, the subfolders of ``path``, in alphabetical order, are
    the classes. Images that cannot be read are left out, counted, and named on stderr, and so are
    those of which only the first of several frames is taken.

    Raises:
        UsageError: no readable image, or no ``image_size``.
    """
    if image_size is None:
        raise UsageError(f"folder:{path} needs an image_size to bring its images to.")
    found = [(file.relative_to(path).as_posix(), _stamp(file)) for file in _image_files(path)]
    if not found:
        raise UsageError(f"no images in {str(path)!r}: expected files such as .png, .jpg, .webp.")
    channels = channels or 3
    files = [name for name, stamp in found if stamp]
    tops = {name.split("/")[0] for name in files}
    classes = sorted(tops) if all("/" in name for name in files) else []
    key = ["folder", images.RULES, str(path.resolve()), found, image_size, channels]
    notes: Notes = {"skipped": [], "animated": []}
    shape = (image_size, image_size, channels)
    records = _records(path, found, classes, shape, notes)
    samples, labels, notes = store.prepared(root, key, records, len(found), shape, notes)
    skipped, animated = notes.get("skipped", []), notes.get("animated", [])
    if skipped:
        say(f"skipped {len(skipped)} of {len(found)} images in {path}: {_first(skipped)}")
    if animated:
        say(f"took only the first frame of {len(animated)} images in {path}: {_first(animated)}")
    names = tuple(name.encode(errors="backslashreplace").decode() for name in classes)
    return Source(f"folder:{path}", samples, labels, len(names) or None, names or None)


def _image_files(path: Path) -> Iterator[Path]:
    """The files below ``path`` that should be images, sorted; hidden names are left out.

    Links are followed, except a link to a folder that it lies in. Folders that cannot be listed,
    that lie too deep or that links lead to very often, and links that lead nowhere come along, so
    that they can be reported.
    """
    Image.init()
    readable = {end for end, kind in Image.registered_extensions().items() if kind in Image.OPEN}
    visits: Counter[str] = Counter()

    def below(folder: Path, above: frozenset[str]) -> Iterator[Path]:
        here = os.path.realpath(folder)
        if here in above:
            return
        visits[here] += 1
        if visits[here] > _OFTEN or len(above) == _DEEPEST:
            yield folder
            return
        try:
            names = sorted(os.listdir(folder))
        except OSError:
            names = []
            yield folder
        for entry in (folder / name for name in names if not name.startswith(".")):
            if os.path.isdir(entry):
                yield from below(entry, above | {here})
            elif entry.suffix.lower() in readable or not os.path.exists(entry):
                yield entry

    return below(path, frozenset())


def _stamp(file: Path) -> Stamp:
    """What tells that a file changed; a pipe or a device is never opened."""
    try:
        found = file.stat()
    except OSError:
        return None
    usable = stat.S_ISREG(found.st_mode) and os.access(file, os.R_OK)
    return (found.st_size, found.st_mtime_ns) if usable else None


def _records(
    path: Path, found: list[tuple[str, Stamp]], classes: Sequence[str], shape: tuple, notes: Notes
) -> store.Records:
    """The readable images with their labels; ``notes`` is filled on the way."""
    index = {name: label for label, name in enumerate(classes)}
    formats = [kind for kind in Image.OPEN if kind != "EPS"]
    one_at_a_time = threading.Lock()

    def decode(name: str, stamp: Stamp) -> tuple[np.ndarray | str, bool]:
        """The pixels of an image, or why there are none; and whether it has several frames."""
        if stamp is None:
            return "not a file that can be opened", False
        try:
            with Image.open(path / name, formats=formats) as image:
                large = image.width * image.height > images.LARGE
                with one_at_a_time if large else contextlib.nullcontext():
                    pixels = images.fit(image, shape[0], shape[2])
                return pixels, getattr(image, "is_animated", False)
        except UnidentifiedImageError:
            return "not an image that Pillow knows", False
        except MemoryError:
            return "needs more memory than there is", False
        except Exception as error:  # on damaged bytes Pillow's readers raise nearly anything
            return reading.brief(error), False

    # Pillow releases the GIL while it decodes and resizes. Its warnings do not name the file.
    with warnings.catch_warnings(action="ignore"), ThreadPool() as pool:
        for start in range(0, len(found), _CHUNK):
            chunk = found[start : start + _CHUNK]
            decoded = pool.starmap(decode, chunk)
            for (name, _), (image, animated) in zip(chunk, decoded, strict=True):
                if animated:
                    notes["animated"].append(repr(name))
                if isinstance(image, str):
                    notes["skipped"].append(f"{name!r} ({image})")
                else:
                    yield image, index.get(name.split("/")[0])
    if len(notes["skipped"]) == len(found):
        why = _first(notes["skipped"])
        raise UsageError(f"none of the {len(found)} images in {str(path)!r} can be read: {why}.")


def _first(names: Sequence[str]) -> str:
    """The first names, in one line."""
    return ", ".join([*names[:_NAMED], *["..."] * (len(names) > _NAMED)])
