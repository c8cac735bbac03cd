"""A `tf.data.Dataset` that a user hands over, batched and checked for a step.

Functions take ``parts``, which gives the images and the labels (or ``None``) of an element.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

Parts = Callable[[Any], tuple[Any, Any]]


def shape(dataset: tf.data.Dataset, parts: Parts) -> tf.TensorShape:
    """The shape of an element's images."""
    return parts(dataset.element_spec)[0].shape


def is_endless(dataset: tf.data.Dataset) -> bool:
    """Whether it is known to have no end."""
    return dataset.cardinality() == tf.data.INFINITE_CARDINALITY


def of_one_size(
    dataset: tf.data.Dataset, parts: Parts, dropped: Callable[[int, int], None]
) -> tuple[tf.data.Dataset, int]:
    """The batches that are as large as the first, and their rows.

    Args:
        dataset: batches.
        parts: see above.
        dropped: told the rows of a batch that is left out, and of a whole one.
    """
    rows = shape(dataset, parts)[0]
    if rows is not None:
        return dataset, rows
    rows = len(parts(next(iter(dataset.take(1))))[0])

    def drop(found: Any) -> bool:
        dropped(int(found), rows)
        return False

    def is_whole(*element: Any) -> tf.Tensor:
        found = tf.shape(parts(_structure(dataset, element))[0])[0]
        return tf.cond(
            tf.equal(found, rows),
            lambda: True,
            lambda: tf.ensure_shape(tf.numpy_function(drop, [found], tf.bool), []),
        )

    return dataset.filter(is_whole), rows


def checked(
    dataset: tf.data.Dataset,
    judged: Callable[[Any], list[tuple[str, Any, float, float]]],
    judge: Callable[..., None],
) -> tf.data.Dataset:
    """The same batches; a value beyond its limits ends the run.

    Args:
        dataset: batches.
        judged: an element -> name, values, lowest and highest allowed value of each of its parts.
        judge: raises an error for the values of these parts, float32 arrays.
    """
    if not judged(dataset.element_spec):
        return dataset

    def refuse(*values: Any) -> bool:
        judge(*values)
        return True

    @tf.autograph.experimental.do_not_convert  # which takes longer than all the rest
    def check(*element: Any) -> Any:
        element = _structure(dataset, element)
        _, parts, lowest, highest = zip(*judged(element), strict=True)
        parts = [tf.cast(part, tf.float32) for part in parts]
        inside = [
            tf.reduce_all((part >= low) & (part <= high))
            for part, low, high in zip(parts, lowest, highest, strict=True)
        ]
        passed = tf.cond(
            tf.reduce_all(inside), lambda: True, lambda: tf.numpy_function(refuse, parts, tf.bool)
        )
        with tf.control_dependencies([passed]):
            return tf.nest.map_structure(tf.identity, element)

    return dataset.map(check, num_parallel_calls=2, deterministic=True)


def _structure(dataset: tf.data.Dataset, element: tuple) -> Any:
    """What `tf.data` unpacked into arguments, as one element again."""
    return element if isinstance(dataset.element_spec, tuple) else element[0]
