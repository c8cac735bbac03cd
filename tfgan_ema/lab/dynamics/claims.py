"""What the papers state about small games, checked.

`papers` has one file for each paper. A claim is a function there that returns a `Finding`: whether
statement and finding agree, and the numbers that stand in the finding. The first paragraph of its
docstring is what the paper states, the second is what we find; where they do not agree, the finding
corrects the statement. A claim without a source of its own has the ``SOURCE`` of its file.
"""

import inspect
import string
from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from tfgan_ema.lab.dynamics.papers import Finding, alpha, averaging, blog, later, slides, thesis


class Claim(NamedTuple):
    """A row of the table of claims."""

    source: str
    claim: str
    finding: str
    agrees: bool


class _Numbers(string.Formatter):
    """Formats an array by its elements, and ``{error:within}`` as how well two values agree."""

    def format_field(self, value: Any, spec: str) -> str:
        if spec == "within":
            return f"within {value:.0e}" if value else "exactly"
        return ", ".join(format(float(number), spec) for number in np.ravel(value))


def _check(source: str, function: Callable[[], Finding]) -> Claim:
    claim, finding = (" ".join(part.split()) for part in inspect.getdoc(function).split("\n\n"))
    agrees, numbers = function()
    return Claim(source, claim, _Numbers().format(finding, **numbers), bool(agrees))


def check(paper: ModuleType) -> list[Claim]:
    """Checks the claims of a module of `papers`, in its order."""
    functions = [f for f in vars(paper).values() if inspect.isfunction(f)]
    found = [f for f in functions if f.__annotations__.get("return") == Finding]
    return [_check(getattr(f, "source", paper.SOURCE), f) for f in found]


def claims() -> list[Claim]:
    """All claims, checked, in the order of the papers."""
    papers = (slides, blog, thesis, averaging, alpha, later)
    return [claim for paper in papers for claim in check(paper)]
