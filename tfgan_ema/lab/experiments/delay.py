"""usage: python -m tfgan_ema.lab.experiments.delay RESULTS.csv

How much a leaked step counts. If a leak only delays training, a generator that was trained with one
is as far from the data as the same seed's without one was at an earlier step. That step is read off
the curve of the run without a leak, straight between its points on a logarithmic scale; the steps
since the start of the leak up to it, over those that were trained, are the share that each counts.
Only distances of as many samples as the curve's are compared.
"""

import csv
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

Row = Mapping[str, Any]


def step_of(distance: float, steps: Sequence[int], curve: Sequence[float]) -> float:
    """The first step at which a curve falls to a distance; infinity where it never does."""
    logs, wanted = np.log(curve), np.log(distance)
    i = int(np.argmax(logs <= wanted))
    if logs[i] > wanted:
        return float("inf")
    if i == 0:
        return float(steps[0])
    share = (logs[i - 1] - wanted) / (logs[i - 1] - logs[i])
    return float(steps[i - 1] + share * (steps[i] - steps[i - 1]))


def counted(table: Iterable[Row]) -> dict[tuple[str, str], list[float]]:
    """(generator, leak) -> by seed, the share that a step with the leak counts.

    Args:
        table: rows of the experiments on images.
    """
    curves: dict[tuple, dict[int, float]] = defaultdict(dict)
    ends: dict[tuple, tuple[int, float]] = {}
    for row in table:
        key = (row["generator"], int(row["seed"]), int(row["samples"]))
        place = int(row["step"]), float(row["distance"])
        if row["leak"]:
            ends[(row["leak"], *key)] = max(place, ends.get((row["leak"], *key), place))
        else:
            curves[key][place[0]] = place[1]
    found = defaultdict(list)
    for (leak, *key), (step, distance) in sorted(ends.items()):
        curve = curves[tuple(key)]
        if len(curve) > 1:
            start = int(re.search(r"from step ([\d,]+)", leak)[1].replace(",", ""))
            reached = step_of(distance, *zip(*sorted(curve.items()), strict=True))
            found[key[0], leak].append((reached - start) / (step - start))
    return dict(found)


def described(values: Sequence[float]) -> str:
    """The mean and the range of the shares of seeds whose curve comes as near as the leak ended."""
    known = [value for value in values if np.isfinite(value)]
    nearer = f"{len(values) - len(known)} of {len(values)} seeds end nearer than without a leak"
    if not known:
        return nearer
    text = f"{np.mean(known):.2f} ({min(known):.2f} to {max(known):.2f})"
    return text if len(known) == len(values) else f"{text}; {nearer}"


def main(path: str) -> None:
    """Prints the shares of a table: their mean over the seeds, and their range."""
    with Path(path).open(newline="") as file:
        shares = counted(csv.DictReader(file))
    for (generator, leak), values in shares.items():
        print(f"{generator:<5} {leak}: {described(values)}")


if __name__ == "__main__":
    main(*sys.argv[1:])
