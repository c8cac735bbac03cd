"""What does not fit together, said when the GAN is made, before anything is computed.

Every function raises `UsageError`, one line that names the value, what was expected and what to do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from keras import ops

from tfgan_ema import engines
from tfgan_ema.errors import UsageError
from tfgan_ema.optimizers import computes_in_float16
from tfgan_ema.players import call_generator

if TYPE_CHECKING:
    from tfgan_ema.gan import GAN

UPDATE_ORDERS = ("alternating", "g_first", "simultaneous")


def check_parts(gan: GAN) -> None:
    """Networks, penalties, loss and mixing of a GAN."""
    _check_schedule(gan)
    _check_networks(gan)
    _check_losses(gan)
    if gan.leak is not None and gan.leak.mode == "async_model":
        _check_teacher(gan)


def _check_schedule(gan: GAN) -> None:
    if gan.update_order not in UPDATE_ORDERS:
        raise UsageError(
            f"update_order {gan.update_order!r}: expected one of {', '.join(UPDATE_ORDERS)}."
        )
    for key in ("n_dis", "accumulate"):
        if not (isinstance(getattr(gan, key), int) and getattr(gan, key) >= 1):
            raise UsageError(f"{key} {getattr(gan, key)!r}: expected a whole number >= 1.")
    if gan.update_order == "simultaneous" and (gan.n_dis > 1 or gan.accumulate > 1):
        raise UsageError(
            f"update_order='simultaneous' with n_dis {gan.n_dis}, accumulate {gan.accumulate}: "
            "both players move once from one point; use 1 and 1."
        )


def _check_networks(gan: GAN) -> None:
    networks = (gan.generator, gan.discriminator)
    inputs = [len(getattr(network, "inputs", None) or [0]) for network in networks]
    expected = 1 if gan.num_classes is None else 2
    if inputs != [expected, expected]:
        raise UsageError(
            f"num_classes {gan.num_classes} with a generator of {inputs[0]} and a discriminator of "
            f"{inputs[1]} inputs: conditional networks take two inputs (with labels) and need "
            "num_classes; unconditional ones take one and need none."
        )
    shape = getattr(gan.generator, "output_shape", None) or ()
    if len(shape) == 2 and any(getattr(a, "needs_images", False) for a in gan.augment):
        raise UsageError(
            f"DiffAugment on data of shape {shape}: it needs images [n, h, w, c]; use "
            "InstanceNoise for points."
        )


def _check_losses(gan: GAN) -> None:
    consensus, terms = gan.regularisation.consensus, gan.regularisation.terms
    if consensus and gan.update_order != "simultaneous":
        raise UsageError(
            f"consensus with update_order={gan.update_order!r}: it regularises the field of both "
            "players at one point; use update_order='simultaneous'."
        )
    for penalty in terms:
        if consensus and penalty.interval > 1:
            raise UsageError(
                f"consensus with {penalty.name} at interval {penalty.interval}: it squares the "
                "gradients of every single step; use interval 1."
            )
    if gan.accumulate > 1 and (gan.loss_pair.needs_whole_batch or gan.top_k):
        what = "top_k" if gan.top_k else "a relativistic average loss"
        raise UsageError(
            f"accumulate {gan.accumulate} with {what}: it looks at the whole batch, which no "
            "micro-batch holds; use accumulate 1."
        )
    if gan.loss_pair.needs_samples and gan.leak is not None and gan.leak.leaks_fakes:
        raise UsageError(
            f"leak mode {gan.leak.mode!r} with {gan.loss_pair!r}: the loss divides by the distance "
            "of a real row and a fake one, which are the same there; use 'sync'."
        )


def _check_teacher(gan: GAN) -> None:
    """Runs a fixed teacher on one latent: it must make what the generator makes."""
    latent = ops.ones((1, gan.latent.dim))
    labels = None if gan.num_classes is None else ops.zeros((1,), "int32")
    try:
        shape = tuple(call_generator(gan.leak.model, latent, labels).shape[1:])
    except Exception as error:
        raise UsageError(
            f"the leak's fixed generator does not run on latents of length {gan.latent.dim} "
            f"{'without' if labels is None else 'with'} labels ({type(error).__name__}): give a "
            "generator of the same kind as this GAN's."
        ) from error
    if shape != tuple(gan.generator.output_shape[1:]):
        raise UsageError(
            f"the leak's fixed generator makes samples of shape {shape}, the GAN's generator "
            f"{tuple(gan.generator.output_shape[1:])}: give one of the same shape."
        )


def average_index(average: int | str, names: list[str]) -> int | None:
    """The index that ``average=`` means: an index, a name, or ``"raw"``, which is ``None``.

    Without averages, 0 is the raw generator too.
    """
    if average == "raw" or (average == 0 and not names):
        return None
    if average in names:
        return names.index(average)
    if isinstance(average, int | np.integer) and 0 <= average < len(names):
        return int(average)
    raise UsageError(
        f"average {average!r}: expected an index into {names}, one of these names, or 'raw' for "
        "the generator as trained."
    )


def checked_labels(labels: Any, count: int, num_classes: int | None) -> np.ndarray | None:
    """Labels int32 [count] in [0, num_classes), or ``None``."""
    if labels is None:
        return None
    if num_classes is None:
        raise UsageError("labels for an unconditional generator: leave them out.")
    labels = np.asarray(labels, "int32")
    if labels.shape != (count,):
        raise UsageError(f"labels of shape {labels.shape}: expected ({count},), one a sample.")
    if count and not (labels.min() >= 0 and labels.max() < num_classes):
        raise UsageError(
            f"labels from {labels.min()} to {labels.max()}: expected 0 to {num_classes - 1}."
        )
    return labels


def check_precision(gan: GAN) -> None:
    """What float16 rules out: gradients come scaled."""
    if not any(computes_in_float16(network) for network in (gan.generator, gan.discriminator)):
        return
    engines.require_tensorflow("float16 with loss scaling")
    if gan.regularisation.consensus:
        raise UsageError(
            "consensus with float16: it squares gradients, which loss scaling has scaled; use "
            "float32 or bfloat16."
        )
