"""Families of experiments that differ by a few values: a table of rows, one chosen by name."""

from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from tfgan_ema.errors import UsageError, unknown


def choose(family: str, row: str, rows: Mapping[str, Any]) -> Any:
    """The row that ``--config=configs/FAMILY.py:ROW`` asks for.

    Raises:
        UsageError: no row, or an unknown one.
    """
    if not row:
        raise UsageError(
            f"configs/{family}.py holds many experiments: name one, as in "
            f"--config=configs/{family}.py:{next(iter(rows))}. Known: {', '.join(rows)}."
        )
    if row not in rows:
        raise unknown(f"row of configs/{family}.py", row, rows)
    return rows[row]


def change(config: ConfigDict, changes: Mapping[str, Any]) -> ConfigDict:
    """Sets dotted keys: ``{"leak.beta": 0.5}``."""
    for key, value in changes.items():
        *path, last = key.split(".")
        part = config
        for name in path:
            part = part[name]
        with part.unlocked():
            part[last] = value
    return config


def optimizers(name: str, **options: Any) -> dict[str, Any]:
    """The same optimizer for both players, as changes of a configuration."""
    return {f"{player}_optimizer": {"name": name, **options} for player in "dg"}


def adam(config: ConfigDict, rate: float, beta_1: float, beta_2: float, **options: Any) -> None:
    """The same Adam for both players."""
    for name in ("d_optimizer", "g_optimizer"):
        config[name] = {
            "name": "adam", "learning_rate": rate, "beta_1": beta_1, "beta_2": beta_2, **options
        }  # fmt: skip
