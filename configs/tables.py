"""Families of experiments that differ in a few values: tables of rows, from which one is chosen."""

from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from tfgan_ema.errors import UsageError, unknown


def choose(family: str, row: str, rows: Mapping[str, Any]) -> Any:
    """The row that ``--config=FAMILY:ROW`` asks for.

    Raises:
        UsageError: no row was named, or an unknown one.
    """
    if not row:
        raise UsageError(
            f"configs/{family}.py holds many experiments: name one, as in "
            f"--config={family}:{next(iter(rows))}. Known: {', '.join(rows)}."
        )
    if row not in rows:
        raise unknown(f"row of configs/{family}.py", row, rows)
    return rows[row]


def change(config: ConfigDict, changes: Mapping[str, Any]) -> ConfigDict:
    """Sets dotted keys in place, as in ``{"leak.beta": 0.5}``; parts that are off are switched on.

    Values may be of any type: `tfgan_ema.runs.check` looks at the whole configuration.

    Raises:
        UsageError: a key below something that has no options.
    """
    for key, value in changes.items():
        *path, last = key.split(".")
        part = config
        for name in path:
            if part.get(name) is None:
                part[name] = ConfigDict()
            part = part[name]
            if not isinstance(part, ConfigDict):
                raise UsageError(f"config key {key!r}: {name} is {part!r} and has no options.")
        with part.ignore_type():
            part[last] = value
    return config


def optimizers(kind: str, **options: Any) -> dict[str, Any]:
    """The same optimizer for both players."""
    return {f"{player}_optimizer": {"kind": kind, **options} for player in "dg"}
