"""``tfgan-ema data fetch NAME ... | list``: downloads image sets, and lists what there is."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from absl import flags

from tfgan_ema.command import new_flags, run
from tfgan_ema.errors import UsageError, unknown

FLAGS = new_flags()
flags.DEFINE_string(
    "data_dir", None, "Folder of the cache (default: ~/.cache/tfgan_ema).", flag_values=FLAGS
)

USAGE = """
usage: tfgan-ema data fetch NAME [NAME ...] [--data_dir=DIR]
       tfgan-ema data list [--data_dir=DIR]

fetch downloads image sets (cifar10, fashion_mnist, mnist, tfds:NAME) into the cache and verifies
them. list prints every data set and whether it is in the cache.
"""


def fetch(values: flags.FlagValues, names: Sequence[str]) -> None:
    """Fetches each set and prints the folder that holds it."""
    from tfgan_ema import data

    if not names:
        raise UsageError("data fetch: expected the name of an image set, see `tfgan-ema data list`")
    for name in names:
        print(data.fetch(name, values.data_dir))


def show(values: flags.FlagValues, names: Sequence[str]) -> None:
    """Prints a table of the data sets."""
    from tfgan_ema import data

    if names:
        raise UsageError(f"data list takes no name, got {names[0]!r}")
    rows = [
        ("name", "size", "images", "classes", "cached", "where from"),
        *data.describe(values.data_dir),
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(f"{word:<{width}}" for word, width in zip(row, widths, strict=True)))


_VERBS = {"fetch": fetch, "list": show}


def _data(values: flags.FlagValues, words: list[str]) -> None:
    if not words:
        raise UsageError("expected `fetch NAME` or `list`, see --help")
    if words[0] not in _VERBS:
        raise unknown("data command", words[0], _VERBS)
    _VERBS[words[0]](values, words[1:])


def main(argv: Sequence[str]) -> int:
    """Runs the command; returns its exit code."""
    return run(_data, FLAGS, USAGE, argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
