"""Checks of the arrays that metrics are given, with errors that say what is wrong."""

from __future__ import annotations

import numpy as np

from tfgan_ema.errors import UsageError


def as_features(
    values: object, name: str, at_least: int = 1, *, keep_single: bool = False
) -> np.ndarray:
    """The values as a finite float64 array of shape ``[n, d]``.

    Args:
        values: NumPy array or tensor, one row a sample; more axes are flattened into ``d``.
        name: what an error calls them.
        at_least: the fewest rows that the metric needs.
        keep_single: whether float32 values stay float32.

    Raises:
        UsageError: too few rows, no columns, or values that are not finite.
    """
    array = np.asarray(values)
    if array.ndim < 2:
        raise UsageError(f"{name} has shape {array.shape}: expected [samples, features].")
    if array.dtype.kind not in "fiub":
        raise UsageError(f"{name} has dtype {array.dtype}: expected real numbers.")
    if len(array) < at_least:
        raise UsageError(f"{name} has {len(array)} samples: this metric needs at least {at_least}.")
    if not array.size:
        raise UsageError(f"{name} has no features: expected at least one column.")
    dtype = np.float32 if keep_single and array.dtype == np.float32 else np.float64
    array = array.reshape(len(array), -1).astype(dtype, copy=False)
    bad = len(array) - int(np.isfinite(array).all(axis=1).sum())
    if bad:
        raise UsageError(
            f"{name} has NaN or infinity in {bad} of {len(array)} rows: "
            "check the generator or the network that made them."
        )
    return array


def as_pair(
    a: object, b: object, at_least: int = 1, *, keep_single: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Two sets of features of one width, both passed through `as_features`.

    Raises:
        UsageError: as `as_features`, or the widths differ.
    """
    a = as_features(a, "the first set", at_least, keep_single=keep_single)
    b = as_features(b, "the second set", at_least, keep_single=keep_single)
    same_width(a.shape[1], b.shape[1])
    return a, b


def same_width(a: int, b: int) -> None:
    """Raises `UsageError` unless both sets of features are equally wide."""
    if a != b:
        raise UsageError(
            f"the first set has {a} features a sample and the second {b}: "
            "expected the same feature space for both."
        )


def positive_count(value: int, name: str) -> int:
    """Returns ``value`` if it is an integer of at least 1, else raises `UsageError`."""
    if not isinstance(value, int | np.integer) or value < 1:
        raise UsageError(f"{name} is {value!r}: expected an integer of at least 1.")
    return int(value)
