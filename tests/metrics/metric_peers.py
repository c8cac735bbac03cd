"""Calls other packages' metrics on our cases; their networks are never loaded.

pytorch-fid and torch-fidelity import torchvision for their networks alone, so an empty stand-in
lets them load without it.
"""

from __future__ import annotations

import contextlib
import io
import sys
import warnings
from collections.abc import Iterator
from unittest import mock

import numpy as np

PACKAGES = (
    "numpy", "scipy", "POT", "prdc", "pytorch-fid", "scikit-learn", "torch", "torch-fidelity",
)  # fmt: skip


PARTS = ("datasets", "models", "models.inception", "transforms", "transforms.functional")


@contextlib.contextmanager
def _without_torchvision() -> Iterator[None]:
    names = ["torchvision", *(f"torchvision.{part}" for part in PARTS)]
    stubs = [name for name in names if name not in sys.modules]
    for name in stubs:
        sys.modules[name] = mock.MagicMock(__path__=[], __spec__=None, __version__="0")
    try:
        yield
    finally:
        for name in stubs:
            del sys.modules[name]


def pytorch_fid(a: np.ndarray, b: np.ndarray) -> float:
    """pytorch-fid's Frechet distance."""
    return pytorch_fid_formula(
        a.mean(axis=0), np.cov(a, rowvar=False), b.mean(axis=0), np.cov(b, rowvar=False)
    )


def pytorch_fid_formula(mean_a, covariance_a, mean_b, covariance_b) -> float:
    """pytorch-fid's Frechet distance of known means and covariances."""
    with _without_torchvision(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pytorch_fid.fid_score import calculate_frechet_distance

        with contextlib.redirect_stdout(io.StringIO()):
            return float(calculate_frechet_distance(mean_a, covariance_a, mean_b, covariance_b))


def scipy_frechet(a: np.ndarray, b: np.ndarray) -> float:
    """The trace of the root as the sum of roots of the eigenvalues of S1 S2, by SciPy.

    With fewer samples than features the equal nonzero eigenvalues of a small Gram product are
    used, which are free of the rounding noise of the many zeros.
    """
    import scipy.linalg

    x, y = ((s - s.mean(axis=0)) / np.sqrt(len(s) - 1) for s in (a, b))
    if len(a) < a.shape[1]:
        cross = x @ y.T
        values = scipy.linalg.eigvals(cross @ cross.T)
    else:
        values = scipy.linalg.eigvals(x.T @ x @ y.T @ y)
    shift = a.mean(axis=0) - b.mean(axis=0)
    root = np.sqrt(np.maximum(values.real, 0)).sum()
    return float(shift @ shift + np.square(x).sum() + np.square(y).sum() - 2 * root)


def torch_fidelity_kid(a: np.ndarray, b: np.ndarray) -> dict[str, float]:
    """torch-fidelity's KID: 5 subsets of 20 rows, and one subset of as many rows as both have."""
    import torch

    with _without_torchvision():
        from torch_fidelity.metric_kid import kid_features_to_metric

    def kid(a: np.ndarray, b: np.ndarray, size: int, subsets: int) -> dict[str, float]:
        return kid_features_to_metric(
            torch.from_numpy(a), torch.from_numpy(b), kid_subsets=subsets, kid_subset_size=size,
            rng_seed=5, verbose=False,
        )  # fmt: skip

    rows = min(len(a), len(b))
    subsets = kid(a, b, 20, 5)
    return {
        "mean": subsets["kernel_inception_distance_mean"],
        "std": subsets["kernel_inception_distance_std"],
        "full": kid(a[:rows], b[:rows], rows, 1)["kernel_inception_distance_mean"],
    }


def torch_fidelity_precision_recall(a: np.ndarray, b: np.ndarray) -> dict[str, float]:
    """torch-fidelity's precision and recall with k = 3; ``a`` is real, ``b`` generated."""
    import torch

    with _without_torchvision():
        from torch_fidelity.metric_prc import prc_features_to_metric
    out = prc_features_to_metric(
        torch.from_numpy(b), torch.from_numpy(a), prc_neighborhood=3, prc_batch_size=10_000,
        save_cpu_ram=False, verbose=False,
    )  # fmt: skip
    return {name: out[name] for name in ("precision", "recall")}


def prdc(a: np.ndarray, b: np.ndarray) -> dict[str, float]:
    """prdc's four scores with k = 5; ``a`` is real, ``b`` generated."""
    from prdc import compute_prdc

    with contextlib.redirect_stdout(io.StringIO()):
        scores = compute_prdc(a, b, nearest_k=5)
    return {name: float(value) for name, value in scores.items()}


def pot(a: np.ndarray, b: np.ndarray) -> dict[str, float]:
    """POT's exact transport costs of at most 300 rows, and its sliced distance."""
    import ot

    a, b = a[:300], b[:300]
    mass = np.full(len(a), 1 / len(a)), np.full(len(b), 1 / len(b))
    directions = np.random.RandomState(3).randn(a.shape[1], 50)
    directions /= np.linalg.norm(directions, axis=0)
    return {
        "w1": float(ot.emd2(*mass, ot.dist(a, b, metric="euclidean"))),
        "w2_squared": float(ot.emd2(*mass, ot.dist(a, b))),
        "sliced": float(ot.sliced_wasserstein_distance(a, b, projections=directions)),
    }


PAIRS = {
    "pytorch_fid": pytorch_fid,
    "scipy_frechet": scipy_frechet,
    "torch_fidelity_kid": torch_fidelity_kid,
    "torch_fidelity_precision_recall": torch_fidelity_precision_recall,
    "prdc": prdc,
    "pot": pot,
}


def inception_score(probabilities: np.ndarray) -> dict[str, float]:
    """torch-fidelity's Inception Score in 10 splits, from the logarithms of probabilities."""
    import torch

    with _without_torchvision():
        from torch_fidelity.metric_isc import isc_features_to_metric
    out = isc_features_to_metric(torch.from_numpy(np.log(probabilities)), 10, shuffle=False)
    return {"mean": out["inception_score_mean"], "std": out["inception_score_std"]}
