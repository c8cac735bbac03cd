"""Metrics: pure functions of samples or features, NumPy arrays or tensors in, plain numbers out.

    metrics.frechet_distance(a, b)
    metrics.Evaluator(["fid", "kid"], reference="cifar10")(sample_fn)

Importing this loads neither Keras nor TensorFlow; only the networks behind feature spaces need
them.
"""

from tfgan_ema.metrics.catalogue import METRICS
from tfgan_ema.metrics.classes import class_coverage, inception_score, mode_coverage
from tfgan_ema.metrics.evaluator import Evaluator
from tfgan_ema.metrics.frechet import fid_bootstrap, fid_infinity, frechet_distance
from tfgan_ema.metrics.kernel import kernel_distance, kernel_distance_subsets
from tfgan_ema.metrics.likelihood import feature_likelihood_divergence
from tfgan_ema.metrics.manifold import (
    NearestReal,
    authentic,
    density_coverage,
    manifold_scores,
    nearest_real,
    precision_recall,
)
from tfgan_ema.metrics.path_length import perceptual_path_length, slerp
from tfgan_ema.metrics.report import Measured
from tfgan_ema.metrics.vendi import vendi_score
from tfgan_ema.metrics.wasserstein import (
    mind,
    sliced_wasserstein,
    squared_wasserstein_2,
    wasserstein_1,
)

__all__ = [
    "METRICS", "Evaluator", "Measured", "NearestReal", "authentic", "class_coverage",
    "density_coverage",
    "feature_likelihood_divergence", "fid_bootstrap", "fid_infinity", "frechet_distance",
    "inception_score", "kernel_distance", "kernel_distance_subsets", "manifold_scores", "mind",
    "mode_coverage", "nearest_real", "perceptual_path_length", "precision_recall", "slerp",
    "sliced_wasserstein", "squared_wasserstein_2", "vendi_score", "wasserstein_1",
]  # fmt: skip
