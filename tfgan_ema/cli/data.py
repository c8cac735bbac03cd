"""usage: tfgan-ema data fetch NAME [NAME ...] [--data_dir=DIR]
       tfgan-ema data list [--data_dir=DIR]

fetch downloads image sets (cifar10, fashion_mnist, mnist, tfds:NAME) into the cache and verifies
them. list prints every data set and whether it is in the cache.
"""

from collections.abc import Sequence

from tfgan_ema import command
from tfgan_ema.cli import tables
from tfgan_ema.errors import UsageError, unknown

FLAGS = command.new_flags(
    ("data_dir", str, None, "Folder of the cache (default: ~/.cache/tfgan_ema).")
)


def fetch(values: command.Flags, names: Sequence[str]) -> None:
    """Fetches each set and prints the folder that holds it."""
    from tfgan_ema import data

    if not names:
        raise UsageError("data fetch: expected the name of an image set, see `tfgan-ema data list`")
    for name in names:
        print(data.fetch(name, values.data_dir))


def show(values: command.Flags, names: Sequence[str]) -> None:
    """Prints a table of the data sets."""
    from tfgan_ema import data

    if names:
        raise UsageError(f"data list takes no name, got {names[0]!r}")
    head = ("name", "size", "images", "classes", "cached", "where from")
    tables.print_table([head, *data.describe(values.data_dir)])


_VERBS = {"fetch": fetch, "list": show}


def _data(values: command.Flags, words: list[str]) -> None:
    if not words:
        raise UsageError("expected `fetch NAME` or `list`, see --help")
    if words[0] not in _VERBS:
        raise unknown("data command", words[0], _VERBS)
    _VERBS[words[0]](values, words[1:])


main = command.main(_data, FLAGS, __doc__)
