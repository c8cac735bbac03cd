"""What does not fit together, said when the GAN is made, before anything is computed.

Every function raises `UsageError`, one line that names the value, what was expected and what to do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import activations, ops

from tfgan_ema import engines
from tfgan_ema.adapt import class_indices
from tfgan_ema.errors import UsageError, one_of
from tfgan_ema.optimizers import computes_in_float16
from tfgan_ema.players import call_generator

if TYPE_CHECKING:
    from tfgan_ema.gan import GAN

UPDATE_ORDERS = ("alternating", "g_first", "simultaneous")


def check_kinds(
    averages: Any,
    penalties: Any = (),
    leak: Any = None,
    augment: Any = (),
    top_k: Any = None,
    lookahead: Any = None,
) -> None:
    """Refuses shorthand, and says what to write."""
    for name, given, method, example in (
        ("averages", averages, "rate", "tg.EMA(0.999)"),
        ("penalties", penalties, "name", "tg.penalties.R1(10.0)"),
        ("augment", augment, "__call__", "tg.DiffAugment()"),
    ):
        listed = isinstance(given, Sequence) and not isinstance(given, str)
        if not listed or not all(hasattr(each, method) for each in given):
            raise UsageError(f"{name}={given!r}: expected a list of objects, e.g. [{example}].")
    for name, given, method, example in (
        ("leak", leak, "needs_average", "tg.LeakyEMA(0.5)"),
        ("top_k", top_k, "__call__", "tg.TopK(0.5)"),
        ("lookahead", lookahead, "follow", "tg.Lookahead()"),
    ):
        if given is not None and not hasattr(given, method):
            raise UsageError(f"{name}={given!r}: expected None or an object, e.g. {example}.")


def check_parts(gan: GAN, *, networks: bool = True) -> None:
    """Networks (unless left out), penalties, loss and mixing of a GAN."""
    _check_schedule(gan)
    if networks:
        _check_networks(gan)
    _check_losses(gan)
    if gan.leak is not None and gan.leak.mode == "async_model":
        _check_teacher(gan)


def _check_schedule(gan: GAN) -> None:
    one_of("update_order", gan.update_order, UPDATE_ORDERS)
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
    last = (getattr(gan.discriminator, "layers", None) or [None])[-1]
    if getattr(last, "activation", None) in (activations.sigmoid, activations.softmax):
        raise UsageError(
            f"a discriminator that ends in {last.activation.__name__}: losses take logits; leave "
            "the activation out."
        )
    label = [] if gan.num_classes is None else [keras.KerasTensor((None,), "int32")]
    made = _meets("generator", gan.generator, keras.KerasTensor((None, gan.latent.dim)), *label)
    logits = _meets("discriminator", gan.discriminator, made, *label)
    if tuple(logits.shape) not in ((None, 1), (None,)):
        raise UsageError(f"a discriminator that makes {logits.shape}: expected one logit a row.")
    if len(made.shape) == 2 and any(getattr(a, "needs_images", False) for a in gan.augment):
        raise UsageError(
            f"DiffAugment on data of shape {made.shape}: it needs images [n, h, w, c]; use "
            "InstanceNoise for points."
        )


def _meets(name: str, network: keras.Model, *inputs: keras.KerasTensor) -> keras.KerasTensor:
    """What a network makes of inputs, symbolically; nothing is computed."""
    if getattr(network, "inputs", None):
        taken = [tuple(tensor.shape) for tensor in network.inputs]
        given = [tuple(tensor.shape) for tensor in inputs]
        pairs = zip(taken[0], given[0], strict=False)
        if len(taken[0]) != len(given[0]) or any(None not in p and p[0] != p[1] for p in pairs):
            raise UsageError(
                f"the {name} takes {taken[0]}, but is given {given[0]}: make latent=, generator "
                "and discriminator fit each other."
            )
        return network.outputs[0]
    try:
        return network(inputs[0] if len(inputs) == 1 else [*inputs])
    except Exception as error:
        raise UsageError(
            f"the {name} does not run on {', '.join(str(tuple(x.shape)) for x in inputs)} "
            f"({type(error).__name__}: {str(error).splitlines()[0]}): make latent=, generator and "
            "discriminator fit each other."
        ) from error


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
    """Labels int32 [count] in [0, num_classes), or ``None``; see `adapt.class_indices`."""
    if labels is None:
        return None
    if num_classes is None:
        raise UsageError("labels for an unconditional generator: leave them out.")
    labels = ops.convert_to_numpy(class_indices(labels, num_classes))
    if labels.shape != (count,):
        raise UsageError(f"labels of shape {labels.shape}: expected ({count},), one a sample.")
    if count:
        check_range("labels", labels.min(), labels.max(), 0, num_classes - 1)
    return labels


def checked_inputs(gan: GAN, latent: Any, labels: Any) -> tuple[np.ndarray, np.ndarray | None]:
    """Latents float32 [n, d] and labels int32 [n] that the generator takes."""
    latent = as_floats("latents", latent)
    check_latents(gan, latent, labels)
    return latent, checked_labels(labels, len(latent), gan.num_classes)


def check_latents(gan: GAN, latent: Any, labels: Any) -> None:
    """The shape of latents, which may be symbolic, and whether labels are there."""
    shape = tuple(getattr(latent, "shape", ()))
    if len(shape) != 2 or shape[1] != gan.latent.dim:
        raise UsageError(
            f"latents of shape {shape}: expected (n, {gan.latent.dim}), as latent="
            f"{gan.latent.dim} says."
        )
    if labels is None and gan.num_classes is not None:
        raise UsageError(f"latents without labels: give one of {gan.num_classes} classes for each.")


def as_floats(name: str, values: Any) -> np.ndarray:
    """Values as an array of float32, whatever array or tensor they come in."""
    try:
        return np.asarray(values, "float32")
    except (TypeError, ValueError) as error:
        raise UsageError(f"{name} of type {type(values).__name__}: expected numbers.") from error


def check_range(name: str, least: float, most: float, low: float, high: float) -> None:
    """Refuses values that lie beyond limits, or are no numbers."""
    if least >= low and most <= high:
        return
    if name == "images":
        raise UsageError(
            f"images from {least:.4g} to {most:.4g}: expected floats in [-1, 1], or uint8; rescale "
            "them, from [0, 255] by x / 127.5 - 1."
        )
    expected = f"{low:g} to {high:g}" if np.isfinite(low) else "finite numbers"
    raise UsageError(f"{name} from {least:g} to {most:g}: expected {expected}.")


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
