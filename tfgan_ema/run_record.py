"""What ``run.json`` must hold, besides a configuration, for the run to be used again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MOST = 65_536  # pixels a side, and classes


def check(run: Mapping[str, Any], form: int) -> None:
    """Checks a record's format, and the types and ranges of its values.

    Raises nearly anything if one is wrong.
    """
    if run["format"] != form:
        raise ValueError(f"its format is not {form}, which this version reads")
    data, names = run["data"], run["data"].get("class_names")
    shape, in_python = data["shape"], run["config"] is None
    numbers = [*(n for n in shape if not (in_python and n is None)), data["num_classes"] or 1]
    in_range = all(type(n) is int and 1 <= n <= MOST for n in numbers)
    if not in_range or not (in_python or len(shape) in (1, 3)):
        raise ValueError(f"data of shape {shape} with {data['num_classes']} classes")
    texts = [data["name"], run.get("device") or "", run.get("folder") or "", *(names or ())]
    if in_python:
        made_of = run["made_of"]
        texts += made_of["own"]["classes"]
        if not all(isinstance(parts, dict) for parts in made_of.values()):
            raise ValueError("its made_of holds other things than arguments")
    for text in [*texts, *run["versions"], *run["versions"].values()]:
        text.encode()  # raises unless it is text that can be written again
