"""A folder of images in any format that Pillow reads.

All images are decoded once, brought to one size and kept in the cache; later loads map them from
there. The cache is keyed by the files' names, sizes and times, so a changed folder is read anew.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from multiprocessing.pool import ThreadPool
from pathlib import Path

import numpy as np
from PIL import Image

from tfgan_ema.data import images, store
from tfgan_ema.data.source import Source
from tfgan_ema.errors import UsageError, say

_CHUNK = 512  # images decoded ahead of the writer


def load(path: Path, image_size: int | None, channels: int | None, root: Path) -> Source:
    """The images below ``path`` as uint8 [count, image_size, image_size, channels].

    When every image lies in a subfolder, the subfolders of ``path``, in alphabetical order, are
    the classes. Images that cannot be read are left out, counted, and named on stderr.

    Raises:
        UsageError: no folder, no readable image in it, or no ``image_size``.
    """
    if not path.is_dir():
        raise UsageError(f"no folder {str(path)!r}: folder:PATH takes a folder of images.")
    if image_size is None:
        raise UsageError(f"folder:{path} needs an image_size to bring its images to.")
    files = _image_files(path)
    if not files:
        raise UsageError(f"no images in {str(path)!r}: expected files such as .png, .jpg, .webp.")
    channels = channels or 3
    listing = []
    for file in files:
        stat = (path / file).stat()
        listing.append((file.as_posix(), stat.st_size, stat.st_mtime_ns))
    key = ["folder", str(path.resolve()), listing, image_size, channels]
    classes = _class_names(files)
    notes: dict[str, list[str]] = {"skipped": []}
    records = _decode(path, files, classes, image_size, channels, notes["skipped"])
    shape = (image_size, image_size, channels)
    samples, labels, notes = store.prepared(root, key, records, len(files), shape, notes)
    skipped = notes["skipped"]
    if skipped:
        more = ", ..." if len(skipped) > 3 else ""
        say(
            f"skipped {len(skipped)} of {len(files)} images in {path} that cannot be read: "
            f"{', '.join(skipped[:3])}{more}"
        )
    return Source(f"folder:{path}", samples, labels, len(classes) or None)


def _image_files(path: Path) -> list[Path]:
    """The image files below ``path``, relative to it and sorted; hidden ones are left out."""
    Image.init()
    readable = {end for end, kind in Image.registered_extensions().items() if kind in Image.OPEN}
    return sorted(
        (Path(folder) / name).relative_to(path)
        for folder, _, names in os.walk(path)
        for name in names
        if Path(name).suffix.lower() in readable and not name.startswith(".")
    )


def _class_names(files: list[Path]) -> list[str]:
    """The top subfolders, sorted, if every file lies in one; otherwise none."""
    if any(len(file.parts) == 1 for file in files):
        return []
    return sorted({file.parts[0] for file in files})


def _decode(
    path: Path, files: list[Path], classes: list[str], size: int, channels: int, skipped: list[str]
) -> Iterator[tuple[np.ndarray, int | None]]:
    """The readable images with their labels; the names of the others are added to ``skipped``."""
    index = {name: label for label, name in enumerate(classes)}

    def decode(file: Path) -> np.ndarray | None:
        try:
            with Image.open(path / file) as image:
                image.load()
        except Exception:  # on damaged bytes Pillow's readers raise nearly anything
            return None
        return images.fit(image, size, channels)

    with ThreadPool() as pool:  # Pillow releases the GIL while it decodes and resizes
        for start in range(0, len(files), _CHUNK):
            chunk = files[start : start + _CHUNK]
            for file, image in zip(chunk, pool.map(decode, chunk), strict=True):
                if image is None:
                    skipped.append(file.as_posix())
                else:
                    yield image, index.get(file.parts[0])
    if len(skipped) == len(files):
        raise UsageError(f"none of the {len(files)} images in {str(path)!r} can be read.")
