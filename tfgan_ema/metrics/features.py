"""Feature spaces: what an image is turned into before two sets of images are compared.

Numbers from different spaces are not comparable, so a result carries its space in its name:
``fid`` and ``kid`` mean the Inception of 2015 and nothing else, ``fd_resnet50`` is a Frechet
distance in ResNet-50's features.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tfgan_ema.data.images import to_channels
from tfgan_ema.errors import UsageError, say, unknown
from tfgan_ema.metrics import classifier, weights

Embedding = tuple[np.ndarray, np.ndarray | None]  # features [n, d], class probabilities or None


@dataclass(frozen=True)
class Space:
    """A feature space that can be loaded.

    Attributes:
        network: the network's weights, for `weights` or `classifier`; ``None`` where the samples
            are their own features.
        channels: what the network takes; ``None`` takes any.
        classes: whether it gives class probabilities too.
        points: whether samples are points ``[n, d]``, not images.
        resize: how images reach the network's size: a function of `networks`.
    """

    network: str | None
    channels: int | None
    classes: bool = False
    points: bool = False
    resize: str | None = "resize"


SPACES = {
    "inception": Space("fid_inception", 3, resize="resize_like_tf1"),
    "inception_clean": Space("fid_inception", 3, resize="resize_like_pillow"),
    "resnet50": Space("resnet50", 3, classes=True),
    "efficientnet_lite0": Space("efficientnet_lite0", 3, classes=True),
    "dinov2_vits14": Space("dinov2_vits14", 3, resize="resize_like_pillow"),
    "dinov2_vitb14": Space("dinov2_vitb14", 3, resize="resize_like_pillow"),
    "dinov2_vitl14": Space("dinov2_vitl14", 3, resize="resize_like_pillow"),
    "mnist_classifier": Space("mnist_classifier", 1, classes=True),
    "fashion_classifier": Space("fashion_classifier", 1, classes=True),
    "stacked_mnist": Space("mnist_classifier", 3, classes=True, resize="without_frame"),
    "pixels": Space(None, None, resize=None),
    "points": Space(None, None, points=True, resize=None),
}


@functools.cache
def version(name: str) -> str:
    """Identifies a space's weights and preprocessing; statistics of another version are refused."""
    network = _space(name).network
    if network is None:
        return "1"
    if network in classifier.SPACES.values():
        digest = hashlib.sha256(classifier.path(network).read_bytes()).hexdigest()
    else:
        digest = weights.version(network)
    return f"1-{digest[:12]}"


def embed(name: str, samples: np.ndarray) -> Embedding:
    """Features of a batch of samples.

    Args:
        name: of a space in `SPACES`.
        samples: uint8 images ``[n, h, w, 1 or 3]``, or float points ``[n, d]`` for ``points``.
            Grey becomes colour by repetition and colour grey by luma where the network wants it;
            a notice on stderr says so once.

    Returns:
        Float32 features ``[n, width]`` (points keep their dtype), and float32 class probabilities
        ``[n, classes]`` or ``None``.

    Raises:
        UsageError: samples of the wrong kind, or weights that cannot be downloaded.
    """
    space = _space(name)
    samples = np.asarray(samples)
    check_samples(name, samples)
    if space.points:
        return samples, None
    if space.channels not in (None, samples.shape[-1]):
        _say_converted(name, samples.shape[-1], space.channels)
        samples = to_channels(samples, space.channels)
    if space.network is None:
        return samples.reshape(len(samples), -1) / np.float32(255), None
    return _network(name)(samples)


def check_samples(name: str, samples: np.ndarray) -> None:
    """Raises `UsageError` unless a space embeds such samples; nothing is downloaded."""
    if _space(name).points:
        if samples.ndim != 2:
            raise UsageError(
                f"{name}: got samples of shape {samples.shape}, expected points [n, d]: images "
                "have metrics of their own, such as fid."
            )
        return
    if samples.ndim != 4 or samples.shape[-1] not in (1, 3) or samples.dtype != np.uint8:
        raise UsageError(
            f"{name}: got {samples.dtype} samples of shape {samples.shape}, expected uint8 images "
            "[n, height, width, 1 or 3]."
        )


def _space(name: str) -> Space:
    if name not in SPACES:
        raise unknown("feature space", name, SPACES)
    return SPACES[name]


@functools.cache
def _say_converted(name: str, given: int, wanted: int) -> None:
    how = "grey is repeated to 3 channels" if wanted == 3 else "colour is turned into luma"
    say(f"{name} takes {wanted} channels, the images have {given}: {how}.")


@functools.cache
def _network(name: str) -> Callable[[np.ndarray], Embedding]:
    """A space's network with its resizing, from uint8 images to NumPy; kept for the process."""
    from tfgan_ema.metrics import networks

    network, resize = SPACES[name].network, SPACES[name].resize
    if network in classifier.SPACES.values():
        build = networks.three_digits if name == "stacked_mnist" else networks.grey_classifier
        model = build(classifier.load(network))
    else:
        build = getattr(networks, network, networks.vision_transformer)
        model = build(weights.load(network))
    return _Runner(model, getattr(networks, resize))


class _Runner:
    """Runs a network on batches. A short batch is filled up, so that one graph serves all.

    Features are computed in full float32 on every device: TF32 keeps ten bits of every factor.
    """

    def __init__(self, model, resize: Callable) -> None:
        self.model, self.resize, self.rows = model, resize, 0

    def __call__(self, images: np.ndarray) -> Embedding:
        count = len(images)
        self.rows = max(self.rows, count)
        images = np.concatenate([images, np.repeat(images[-1:], self.rows - count, axis=0)])
        size = self.model.input_shape[1]
        from tfgan_ema.engines import devices

        with devices.full_float32():
            outputs = self.model.predict_on_batch(self.resize(images.astype(np.float32), size))
        features, probabilities = outputs if isinstance(outputs, list) else (outputs, None)
        return features[:count], None if probabilities is None else probabilities[:count]
