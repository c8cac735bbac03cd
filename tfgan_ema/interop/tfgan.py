"""What TF-GAN 2.1 still offers under today's TensorFlow; the one module that knows it.

``import tensorflow_gan`` fails since TensorFlow lost ``tf.estimator``, which TF-GAN's packages
import on their way in. The modules inside do not need it: they load once their parent packages
stand registered without having run. Nothing else of this package depends on TF-GAN.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

import numpy as np

from tfgan_ema.errors import UsageError

try:
    import tensorflow as tf
except ImportError as error:
    raise UsageError("TF-GAN needs TensorFlow: pip install tensorflow.") from error

_INSTALL = "pip install tensorflow-gan==2.1.0 tensorflow-probability"


def losses() -> ModuleType:
    """TF-GAN's losses of discriminator outputs, e.g. ``losses().modified_discriminator_loss``.

    Its cross entropies smooth the real label by .25 unless told ``label_smoothing=0``.

    Raises:
        UsageError: TF-GAN is not installed; so do all functions here.
    """
    return _module("losses.losses_wargs")


def frechet_distance(real: Any, fake: Any) -> float:
    """Frechet distance of Gaussians fitted to two sets of features, float ``[n, d]``, d > 1."""
    metrics = _module("eval.classifier_metrics")
    return float(metrics.frechet_classifier_distance_from_activations(_tensor(real), _tensor(fake)))


def kernel_distance(real: Any, fake: Any, max_block_size: int = 1024) -> float:
    """Unbiased squared MMD with the kernel (x.y/d + 1)^3, meaned over blocks of the features.

    Args:
        real: features, float ``[n, d]``.
        fake: features, float ``[m, d]``.
        max_block_size: the largest number of rows that are compared at once.
    """
    distance = _module("eval.classifier_metrics").kernel_classifier_distance_from_activations
    return float(distance(_tensor(real), _tensor(fake), max_block_size=max_block_size))


def inception_score(logits: Any) -> float:
    """``exp(E KL(p(y|x) || p(y)))`` of a classifier's logits, float ``[n, classes]``; no splits."""
    metrics = _module("eval.classifier_metrics")
    return float(metrics.classifier_score_from_logits(_tensor(logits)))


def sliced_wasserstein(real: Any, fake: Any, **options: Any) -> list[tuple[float, float]]:
    """Sliced Wasserstein distances of patches, one pair a level of the Laplacian pyramid.

    Args:
        real: images, float ``[n, side, side, 3]``.
        fake: images of the same shape.
        **options: of TF-GAN's ``sliced_wasserstein_distance``: ``resolution_min``,
            ``patches_per_image``, ``patch_size``, ``random_sampling_count``,
            ``random_projection_dim``, ``use_svd``.

    Returns:
        From the finest level to the coarsest: (real to real, the noise floor; real to fake).
        Projections are random (``tf.random.set_seed``).
    """
    distance = _module("eval.sliced_wasserstein").sliced_wasserstein_distance
    levels = distance(_tensor(real), _tensor(fake), **options)
    return [(float(floor), float(score)) for floor, score in levels]


def image_grid(images: Any, rows: int, columns: int) -> np.ndarray:
    """Images ``[rows * columns, h, w, c]``, laid out row by row: ``[rows * h, columns * w, c]``."""
    images = np.asarray(images)
    if images.ndim != 4 or len(images) != rows * columns:
        raise UsageError(
            f"images of shape {images.shape} do not fill a grid of {rows} x {columns}; "
            f"expected [{rows * columns}, height, width, channels]."
        )
    return _module("eval.eval_utils").python_image_grid(images, (rows, columns))


def _tensor(values: Any) -> tf.Tensor:
    return tf.convert_to_tensor(values, tf.float32)


def _module(name: str) -> ModuleType:
    """The module ``tensorflow_gan.python.NAME``, imported without its parents' own imports."""
    found = importlib.util.find_spec("tensorflow_gan")
    if found is None:
        raise UsageError(f"TF-GAN is not installed; {_INSTALL}")
    folder = found.submodule_search_locations[0]
    parents = ["tensorflow_gan", "python", *name.split(".")[:-1]]
    for depth in range(len(parents)):
        _register_bare(".".join(parents[: depth + 1]), "/".join([folder, *parents[1 : depth + 1]]))
    try:
        return importlib.import_module(f"tensorflow_gan.python.{name}")
    except ImportError as error:
        raise UsageError(f"TF-GAN does not import ({error}); {_INSTALL}") from error


def _register_bare(name: str, folder: str) -> None:
    """Puts a package into ``sys.modules`` whose ``__init__.py`` does not run."""
    if name in sys.modules:
        return
    package = ModuleType(name)
    package.__spec__ = ModuleSpec(name, None, is_package=True)
    package.__path__ = package.__spec__.submodule_search_locations = [folder]
    sys.modules[name] = package
