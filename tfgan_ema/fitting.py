"""Keras's methods of a GAN: ``fit``, ``evaluate``, ``predict`` and those on one batch."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import keras
from keras import tree

from tfgan_ema import feed, monitors, validation
from tfgan_ema.engines import Tensor, devices
from tfgan_ema.errors import UsageError, number, whole
from tfgan_ema.evaluation import LOGS

if TYPE_CHECKING:
    from tfgan_ema.gan import GAN


# Methods of `GAN`


def fit(
    gan: GAN,
    x: Any = None,
    y: Any = None,
    batch_size: int | None = None,
    epochs: int = 1,
    verbose: str | int = "auto",
    callbacks: Any = None,
    validation_split: float = 0.0,
    validation_data: Any = None,
    shuffle: bool = True,
    class_weight: Any = None,
    sample_weight: Any = None,
    initial_epoch: int = 0,
    steps_per_epoch: int | None = None,
    validation_steps: int | None = None,
    validation_batch_size: int | None = None,
    validation_freq: int = 1,
) -> keras.callbacks.History:
    """Trains; takes what ``keras.Model.fit`` takes.

    The order of arrays is a function of the GAN's seed and its step, so training that goes on from
    a checkpoint sees the rows that it would have seen.

    Args:
        gan: the GAN.
        x: images as uint8 or as floats in [-1, 1], or points: arrays, tensors, a `tf.data.Dataset`,
            a `keras.utils.PyDataset` or a generator. Rows that do not fill a batch are left out.
        y: labels of arrays, for conditional GANs: integers [n] or [n, 1], or one-hot.
        batch_size: rows that one discriminator update reads; 32 for arrays unless given. A dataset
            is batched anew if it is given; otherwise one element of it is one step.
        epochs: the epoch to stop at.
        verbose: as in Keras.
        callbacks: as in Keras.
        validation_split: the part of arrays, at their end, that is evaluated and not trained on.
        validation_data: what `evaluate` takes, after each epoch.
        shuffle: whether arrays come in a new order in each epoch.
        class_weight: refused.
        sample_weight: refused.
        initial_epoch: the epoch to start from.
        steps_per_epoch: generator steps; needed for data without an end.
        validation_steps: batches of the validation; needed for data without an end.
        validation_batch_size: rows of a batch of validation arrays; ``batch_size`` unless given.
        validation_freq: as in Keras.

    Raises:
        UsageError: data that the networks cannot be trained on.
    """
    _check_call(gan, class_weight, sample_weight)
    number("validation_split", validation_split, "[0, 1)")
    if validation_split and validation_data is None:
        images, labels = feed.arrays(gan.form, x, y)
        first = round(len(images) * (1 - validation_split))
        if not 0 < first < len(images):
            raise UsageError(
                f"validation_split {validation_split} of {len(images)} rows: it leaves none to "
                f"{'train on' if first <= 0 else 'validate on'}."
            )
        labels = [None, None] if labels is None else [labels[:first], labels[first:]]
        (x, y), validation_data = (images[:first], labels[0]), (images[first:], labels[1])
    held_out = feed.Feed(None)
    callbacks = monitors.checked(gan, callbacks, () if validation_data is None else LOGS)
    train = feed.for_training(gan, x, y, batch_size, shuffle, steps_per_epoch)
    if validation_data is not None:
        pair = isinstance(validation_data, tuple | list)
        x, y, weight = (*(validation_data if pair else [validation_data]), None, None)[:3]
        _check_call(gan, None, weight)
        given = validation_batch_size or batch_size
        rows = given if pair or hasattr(x, "__array__") else validation_batch_size
        held_out = feed.for_evaluation(gan, x, y, rows, validation_steps, "validation_steps")
        train.options["validation_data"] = (held_out.x, held_out.y)
        train.options["validation_batch_size"] = held_out.options.get("batch_size")
    _set_rows(gan, train.rows)
    steps = train.options["steps_per_epoch"]
    if steps is None and gan.steps_per_execution > 1 and _replicas(gan) > 1:
        raise UsageError(
            f"steps_per_execution {gan.steps_per_execution} under {_replicas(gan)} replicas and "
            "data with an end: repeat() the dataset and set steps_per_epoch."
        )
    if steps is not None and steps % gan.steps_per_execution:
        callbacks = [*tree.flatten(callbacks or []), _EndOfEpoch(steps)]
    with devices.together(devices.strategy_of(gan)):
        epoch = monitors.resumed(gan, callbacks, train.steps_of_epoch(), epochs, initial_epoch)
        with train.reading(), held_out.reading():
            return keras.Model.fit(
                gan,
                train.x,
                epochs=epochs,
                verbose=verbose,
                callbacks=callbacks,
                initial_epoch=epoch,
                validation_steps=validation_steps,
                validation_freq=validation_freq,
                **train.options,
            )


def run(gan: GAN, batch: Callable[[Tensor], Tensor], steps: int) -> dict[str, float]:
    """Trains on batches made in the graph, all steps in one call; returns the mean logs.

    It equals `fit` on the same batches and is for networks so small that handing over batches
    costs more than the steps.

    Args:
        batch: generator step (int32 scalar, from 0) -> its real rows; a pure function.
        steps: how many generator steps.

    Raises:
        UsageError: under several replicas or devices.
    """
    steps = whole("steps", steps, 0)
    if gan._loop is None or gan._loop[0] is not batch:
        gan._loop = (batch, gan.engine.compile_loop(gan, batch))
    gan.reset_metrics()
    gan._loop[1](steps)
    return {name: float(tracker.result()) for name, tracker in gan.trackers.items()}


def evaluate(
    gan: GAN,
    x: Any = None,
    y: Any = None,
    batch_size: int | None = None,
    verbose: str | int = "auto",
    sample_weight: Any = None,
    steps: int | None = None,
    callbacks: Any = None,
    return_dict: bool = False,
    **kwargs: Any,
) -> Any:
    """Losses and logits on held-out data, with fakes of the first average and the same draws.

    Takes data as `fit` does, and uses every row: numbers are means over the rows.

    Raises:
        UsageError: data that the networks cannot be evaluated on.
    """
    gan.test_batch.assign(0)
    gan.ready_generator()
    call = functools.partial(
        keras.Model.evaluate,
        gan,
        verbose=verbose,
        callbacks=callbacks,
        return_dict=return_dict,
        steps=steps,
    )
    if kwargs.get("_use_cached_eval_dataset"):  # inside `fit`, which has adapted the data
        return call(x, y, batch_size=batch_size, **kwargs)
    _check_call(gan, None, sample_weight)
    held_out = feed.for_evaluation(gan, x, y, batch_size, steps)
    with held_out.reading():
        return call(held_out.x, held_out.y, **held_out.options, **kwargs)


def train_on_batch(
    gan: GAN,
    x: Any,
    y: Any = None,
    sample_weight: Any = None,
    class_weight: Any = None,
    return_dict: bool = False,
) -> Any:
    """One generator step on ``n_dis`` times the rows of a discriminator update; see `fit`.

    Raises:
        UsageError: rows that the networks cannot be trained on.
    """
    _check_call(gan, class_weight, sample_weight)
    images, labels = feed.arrays(gan.form, x, y)
    _set_rows(gan, len(images))
    return keras.Model.train_on_batch(gan, images, labels, return_dict=return_dict)


def test_on_batch(
    gan: GAN, x: Any, y: Any = None, sample_weight: Any = None, return_dict: bool = False
) -> Any:
    """As `evaluate`, on one batch."""
    _check_call(gan, None, sample_weight)
    gan.test_batch.assign(0)
    gan.ready_generator()
    images, labels = feed.arrays(gan.form, x, y)
    return keras.Model.test_on_batch(gan, images, labels, return_dict=return_dict)


def call(gan: GAN, latent: Tensor, labels: Tensor | None = None) -> Tensor:
    """Images of the first average for latents, as `generate` makes them."""
    return gan.players.run(gan.ready_generator(), latent, labels)


def call_checked(
    gan: GAN, latent: Tensor, labels: Tensor | None = None, *args: Any, **kwargs: Any
) -> Tensor:
    """As Keras's ``__call__``, which would wrap an error inside `call` in a page of its own."""
    validation.check_latents(gan, latent, labels)
    return keras.Model.__call__(gan, latent, labels, *args, **kwargs)


def compute_output_shape(gan: GAN, input_shape: Any) -> tuple[int | None, ...]:
    """The shape of the generator's samples."""
    return (None, *(gan.form.shape or ()))


def refused(what: str, instead: str) -> Callable[..., None]:
    """A method of Keras's that a GAN has no use for."""

    def refuse(gan: GAN, *args: Any, **kwargs: Any) -> None:
        raise UsageError(f"a GAN has no {what}: {instead}.")

    return refuse


def predict(gan: GAN, x: Any, *args: Any, **kwargs: Any) -> Any:
    """As Keras's, with the first average: latents, or ``[latents, labels]``, to images.

    Raises:
        UsageError: latents or labels that the generator does not take.
    """
    if hasattr(x, "__array__") or isinstance(x, list | tuple):
        pair = gan.num_classes is not None and isinstance(x, list | tuple) and len(x) == 2
        latent, labels = validation.checked_inputs(gan, *(x if pair else (x, None)))
        x = latent if labels is None else [latent, labels]
    return gan.ready_generator().predict(x, *args, **kwargs)


def predict_on_batch(gan: GAN, x: Any) -> Any:
    """As `predict`, on one batch."""
    return predict(gan, x, batch_size=len(x[0] if isinstance(x, list | tuple) else x), verbose=0)


def _check_call(gan: GAN, class_weight: Any, sample_weight: Any) -> None:
    """Refuses what a GAN has no use for, and one that was not compiled."""
    for name, value in (("class_weight", class_weight), ("sample_weight", sample_weight)):
        if value is not None:
            raise UsageError(f"{name}: a GAN weighs all rows alike; leave it out.")
    if not gan.compiled:
        raise UsageError("the GAN has no optimizers yet: call gan.compile() first.")


class _EndOfEpoch(keras.callbacks.Callback):
    """Shortens the last execution of an epoch, whose steps are no multiple of those of one."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.steps = steps

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.model.epoch_end = self.model.steps_done + self.steps

    def on_train_end(self, logs: Any = None) -> None:
        self.model.epoch_end = None


def _replicas(gan: GAN) -> int:
    return devices.strategy_of(gan).num_replicas_in_sync


def _set_rows(gan: GAN, rows: int | None) -> None:
    """Makes ready for steps of so many rows; the step's program is made for one number of them."""
    replicas = _replicas(gan)
    if rows is not None and rows % (replicas * gan.n_dis * gan.accumulate):
        raise UsageError(
            f"steps of {rows} rows for n_dis {gan.n_dis}, accumulate {gan.accumulate} and "
            f"{replicas} replica(s): expected a number that their product divides."
        )
    rows = rows and rows // replicas
    if rows != gan.rows:
        gan.rows, gan.train_function = rows, None
