"""From what Keras users hand to ``fit`` and ``evaluate`` to what Keras's trainer reads for a GAN.

With ``batch_size=`` a batch is what one discriminator update reads, and a step reads ``n_dis`` of
them. Without it, one element of a data set is one step, as in Keras.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import re
import types
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from tfgan_ema import data, validation
from tfgan_ema.adapt import Form, parts_of
from tfgan_ema.engines import devices
from tfgan_ema.errors import UsageError, say, whole

if TYPE_CHECKING:
    from tfgan_ema.gan import GAN

BATCH_SIZE = 32  # Keras's
_SAID = re.compile(r"UsageError: (.+)")
FAR = 1.5  # pixels beyond it are no rounding of [-1, 1]


@dataclasses.dataclass
class Feed:
    """What Keras's trainer reads.

    Attributes:
        x: batches, or the images of an evaluation.
        y: the labels of such images.
        rows: of a training step.
        options: further arguments of Keras's method.
        faults: takes the error that ends the run in a thread that reads data.
    """

    x: Any
    y: Any = None
    rows: int | None = None
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    faults: list[Exception] = dataclasses.field(default_factory=list)

    def steps_of_epoch(self) -> int | None:
        """Generator steps of an epoch, where they are known before it is read."""
        steps = self.options.get("steps_per_epoch") or getattr(self.x, "num_batches", None)
        if steps is None and hasattr(self.x, "cardinality"):
            known = int(self.x.cardinality())
            steps = known if known > 0 else None
        return steps

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """Inside, bad data end the run with the one line that says so, whoever reads them."""
        with warnings.catch_warnings():
            if self.options.get("steps_per_epoch") is None:
                # Keras warns of every end that it did not know before.
                warnings.filterwarnings("ignore", "Your input ran out of data")
            try:
                yield
            except Exception as error:
                if self.faults:
                    raise self.faults[0] from None
                said = _SAID.search(str(error))  # by a process that reads data
                if said:
                    raise UsageError(said[1]) from None
                raise


def for_training(
    gan: GAN, x: Any, y: Any, batch_size: int | None, shuffle: bool, steps: int | None
) -> Feed:
    """Batches of one size, ``steps`` of them in an epoch.

    Raises:
        UsageError: data that the GAN cannot be trained on.
    """
    kind = _kind(x, y, batch_size)
    if kind == "arrays":
        return _shuffled(gan, *arrays(gan.form, x, y), batch_size or BATCH_SIZE, shuffle, steps)
    feed = Feed(x, options={"steps_per_epoch": steps, "shuffle": shuffle and kind == "PyDataset"})
    if steps is None and _is_endless(kind, x):
        raise UsageError("data without an end: set steps_per_epoch, the generator steps an epoch.")
    _read(feed, kind, gan.form, batch_size, gan.n_dis, of_one_size=True)
    return feed


def for_evaluation(
    gan: GAN, x: Any, y: Any, batch_size: int | None, steps: int | None, argument: str = "steps"
) -> Feed:
    """Every row, in batches of any size.

    Raises:
        UsageError: data that the GAN cannot be evaluated on.
    """
    kind = _kind(x, y, batch_size)
    if kind == "arrays":
        images, labels = arrays(gan.form, x, y)
        return Feed(images, labels, options={"batch_size": batch_size or BATCH_SIZE})
    used_up = kind == "generator" and argument == "validation_steps"
    if steps is None and (used_up or _is_endless(kind, x)):
        raise UsageError(f"data without a known end: set {argument}, the batches to evaluate.")
    feed = Feed(x)
    _read(feed, kind, gan.form, batch_size, 1, of_one_size=False)
    return feed


def arrays(form: Form, x: Any, y: Any = None) -> tuple[np.ndarray, np.ndarray | None]:
    """Images as uint8 or float32, labels as int32 [n], of arrays or tensors.

    Raises:
        UsageError: they do not fit the networks or each other.
    """
    images, labels = parts_of(x if y is None else (x, y), form)
    images = np.asarray(images)
    form.check(images.dtype.name, images.shape[1:])
    if images.dtype != np.uint8 or not form.of_images:
        images = validation.as_floats("images" if form.of_images else "points", images)
    if not len(images):
        raise UsageError("no rows: expected one or more.")
    labels = validation.checked_labels(labels, len(images), form.num_classes)
    _judge((images[:: 1 + len(images) // 2000], labels), form)
    return images, labels


def _kind(x: Any, y: Any, batch_size: int | None) -> str:
    """What the data are, as far as the other arguments allow."""
    if batch_size is not None:
        whole("batch_size", batch_size)
    names = {parent.__name__ for parent in type(x).__mro__}  # TensorFlow need not be installed
    if "DatasetV2" in names:
        kind = "dataset"
    elif names & {"DistributedDataset", "DistributedDatasetsFromFunction"}:
        kind = "distributed dataset"
    elif isinstance(x, keras.utils.PyDataset):
        kind = "PyDataset"
    elif isinstance(x, types.GeneratorType):
        kind = "generator"
    elif hasattr(x, "__array__") or isinstance(x, list | tuple | dict):
        return "arrays"
    else:
        raise UsageError(
            f"data of type {type(x).__name__}: expected arrays, tensors, a tf.data.Dataset, a "
            "keras.utils.PyDataset or a generator of batches."
        )
    if y is not None:
        raise UsageError(f"labels beside a {kind}: let it give (images, labels).")
    if batch_size is not None and kind != "dataset":
        raise UsageError(f"batch_size with a {kind}: it gives batches already.")
    return kind


def _read(
    feed: Feed, kind: str, form: Form, batch_size: int | None, n_dis: int, *, of_one_size: bool
) -> None:
    """Sets what is read of anything but arrays, and how many rows have all of its batches."""
    check = functools.partial(_checked, form=form, faults=feed.faults)
    if kind == "dataset":
        from tfgan_ema.data import handed

        parts = functools.partial(parts_of, form=form)
        unbatched = handed.shape(feed.x, parts).rank == len(form.shape or ())
        if unbatched or batch_size:
            rows = (batch_size or BATCH_SIZE) * n_dis
            rebatched = feed.x.batch if unbatched else feed.x.rebatch
            feed.x = rebatched(rows, drop_remainder=of_one_size)
        if of_one_size:
            feed.x, feed.rows = handed.of_one_size(feed.x, parts, functools.cache(_say_dropped))
        judged = functools.partial(_judged, form=form)
        judge = functools.partial(_judge_values, feed.x.element_spec, form)
        feed.x = handed.checked(feed.x, judged, _kept(judge, feed.faults))
    elif kind == "PyDataset":
        feed.x = _Checked(feed.x, check, of_one_size)
        feed.rows = feed.x.rows
    elif kind == "generator":
        first = next(feed.x, None)
        if first is None:
            raise UsageError("a generator without batches: it is empty, or used up.")
        feed.rows = len(check(first)[0])
        feed.x = map(check, itertools.chain([first], feed.x))
        if of_one_size:
            feed.x = _whole(feed.x, feed.rows)
        feed.x = (element for element in feed.x)  # Keras knows generators, no other iterators


def _shuffled(
    gan: GAN,
    images: np.ndarray,
    labels: np.ndarray | None,
    batch_size: int,
    shuffle: bool,
    steps: int | None,
) -> Feed:
    """Arrays in an order that the GAN's seed and its step decide."""
    rows = batch_size * gan.n_dis
    steps_of_epoch, left = divmod(len(images), rows)
    if not steps_of_epoch:
        raise UsageError(
            f"{len(images)} rows for steps of {rows} (batch_size {batch_size}, n_dis {gan.n_dis}): "
            "take a smaller batch_size, or more data."
        )
    if left:
        say(f"an epoch leaves out {left} of {len(images)} rows, which fill no step of {rows}.")
    batches = functools.partial(
        data.pipeline,
        data.Source("arrays", images, labels, gan.num_classes),
        rows,
        seed=gan.seed,
        start=lambda: gan.steps_done,
        labels=labels is not None,
        shuffle=shuffle,
        whole_epochs=True,
    )
    x = devices.distribute(devices.strategy_of(gan), lambda shard: batches(shard=shard))
    return Feed(
        x, rows=rows, options={"steps_per_epoch": steps or steps_of_epoch, "shuffle": False}
    )


class _Checked(keras.utils.PyDataset):
    """The batches of another; in training without a last one that is smaller than the first."""

    def __init__(
        self, dataset: keras.utils.PyDataset, check: Callable[[Any], tuple], of_one_size: bool
    ) -> None:
        if dataset.num_batches == 0:
            raise UsageError("a PyDataset without batches: its length is 0.")
        super().__init__(dataset.workers, dataset.use_multiprocessing, dataset.max_queue_size)
        self._dataset, self._check = dataset, check
        self.rows, self._count = len(self[0][0]), dataset.num_batches
        if of_one_size and self._count:
            last = len(self[self._count - 1][0])
            if last < self.rows:
                _say_dropped(last, self.rows)
                self._count -= 1

    def __getitem__(self, index: int) -> tuple:
        return self._check(self._dataset[index])

    @property
    def num_batches(self) -> int | None:
        return self._count

    def on_epoch_begin(self) -> None:
        self._dataset.on_epoch_begin()

    def on_epoch_end(self) -> None:
        self._dataset.on_epoch_end()


def _whole(elements: Iterable[tuple], rows: int) -> Iterator[tuple]:
    say_once = functools.cache(_say_dropped)
    for element in elements:
        if len(element[0]) == rows:
            yield element
        else:
            say_once(len(element[0]), rows)


def _say_dropped(found: int, rows: int) -> None:
    say(f"a batch of {found} rows is left out, as steps have {rows}.")


def _is_endless(kind: str, x: Any) -> bool:
    if kind == "dataset":
        from tfgan_ema.data import handed

        return handed.is_endless(x)
    return kind == "distributed dataset" or (kind == "PyDataset" and x.num_batches is None)


# Values


def _checked(element: Any, form: Form, faults: list[Exception]) -> tuple:
    """Images and labels of an element, as they are, if their values are what they should be."""

    def check() -> tuple:
        images, labels = (
            None if part is None else np.asarray(part) for part in parts_of(element, form)
        )
        _judge((images, labels), form)
        return (images,) if labels is None else (images, labels)

    return _kept(check, faults)()


def _kept(function: Callable[..., Any], faults: list[Exception]) -> Callable[..., Any]:
    """The function; an error is kept, since what reads data in a thread hides it."""

    def keeping(*args: Any) -> Any:
        try:
            return function(*args)
        except UsageError as error:
            faults.append(error)
            raise

    return keeping


def _judged(element: Any, form: Form) -> list[tuple[str, Any, float, float]]:
    """What is judged by its values: a name, the values, the lowest and the highest allowed."""
    images, labels = parts_of(element, form)
    far = FAR if form.of_images else np.inf
    scaled = form.of_images and images.dtype == np.uint8
    judged = [] if scaled else [("images" if form.of_images else "points", images, -far, far)]
    return judged if labels is None else [*judged, ("labels", labels, 0, form.num_classes - 1)]


def _judge(element: Any, form: Form) -> None:
    for name, values, low, high in _judged(element, form):
        validation.check_range(name, np.min(values), np.max(values), low, high)


def _judge_values(element: Any, form: Form, *values: np.ndarray) -> None:
    """The same for the values of an element of which only the kind is given."""
    for (name, _, low, high), part in zip(_judged(element, form), values, strict=True):
        validation.check_range(name, np.min(part), np.max(part), low, high)
