"""Our metrics against other packages: values they stored, and live where they are installed."""

import json
from importlib.util import find_spec
from pathlib import Path

import metric_cases
import metric_peers
import numpy as np
import pytest

from tfgan_ema import metrics
from tfgan_ema.interop import tfgan
from tfgan_ema.metrics import frechet
from tfgan_ema.metrics.wasserstein import _sliced

STORED = json.loads((Path(__file__).parent / "fixtures" / "peers.json").read_text())["values"]
# At 2,048 features and 400 samples pytorch-fid adds the roots of some 1,600 eigenvalues that are
# rounding noise around zero; SciPy's value without them is met to 1e-6 like everywhere else.
PYTORCH_FID = {"structured_2048_below": 2e-5}


@pytest.fixture(scope="module", params=metric_cases.CASES)
def case(request):
    return request.param, metric_cases.features(request.param)


def close(value, expected, relative=1e-6):
    assert value == pytest.approx(expected, rel=relative, abs=1e-12)


def agree_on_frechet(name, a, b, pytorch_fid, scipy_value):
    ours = metrics.frechet_distance(a, b)
    close(ours, pytorch_fid, PYTORCH_FID.get(name, 1e-6))
    close(ours, scipy_value)
    if a.shape[1] > 64:  # streamed moments of wide features cost seconds and are no different
        return
    moments = frechet.Moments(), frechet.Moments()
    for moment, samples in zip(moments, (a, b), strict=True):
        for rows in np.array_split(samples, 3):
            moment.update(rows)
    close(frechet.distance(*(moment.gaussian() for moment in moments)), ours, 1e-8)


def agree_on_kernel(a, b, peer):
    rows = min(len(a), len(b))
    close(metrics.kernel_distance(a[:rows], b[:rows]), peer["full"])
    random = np.random.RandomState(5)  # torch-fidelity's own subsets
    values = []
    for _ in range(5):
        first = a[random.choice(len(a), 20, replace=False)]
        values.append(metrics.kernel_distance(first, b[random.choice(len(b), 20, replace=False)]))
    close(np.mean(values), peer["mean"])
    close(np.std(values), peer["std"])


def agree_on_manifolds(a, b, torch_fidelity, prdc):
    scores = metrics.precision_recall(a, b, k=3)
    for name, value in torch_fidelity.items():
        close(scores[name], value)
    scores = metrics.precision_recall(a, b, k=5) | metrics.density_coverage(a, b, k=5)
    for name, value in prdc.items():
        close(scores[name], value)


def agree_on_transport(a, b, peer):
    a, b = a[:300], b[:300]
    close(metrics.wasserstein_1(a, b), peer["w1"])
    close(metrics.squared_wasserstein_2(a, b), peer["w2_squared"])
    directions = np.random.RandomState(3).randn(a.shape[1], 50)
    close(_sliced(a, b, directions / np.linalg.norm(directions, axis=0), 2), peer["sliced"])


def test_frechet_equals_stored_peers(case):
    name, (a, b) = case
    agree_on_frechet(name, a, b, STORED[name]["pytorch_fid"], STORED[name]["scipy_frechet"])


def test_kernel_distance_equals_stored_peer(case):
    name, (a, b) = case
    agree_on_kernel(a, b, STORED[name]["torch_fidelity_kid"])


def test_manifold_scores_equal_stored_peers(case):
    name, (a, b) = case
    stored = STORED[name]
    agree_on_manifolds(a, b, stored["torch_fidelity_precision_recall"], stored["prdc"])


def test_transport_equals_stored_peer(case):
    name, (a, b) = case
    agree_on_transport(a, b, STORED[name]["pot"])


def test_inception_score_equals_stored_peer():
    mean, std = metrics.inception_score(metric_cases.probabilities(), splits=10)
    close(mean, STORED["probabilities"]["mean"])
    close(std, STORED["probabilities"]["std"])


@pytest.mark.parametrize("name", ["random_64", "structured_64", "structured_64_below"])
def test_tfgan_agrees_in_float32(name):
    a, b = metric_cases.features(name)
    rows = min(len(a), len(b))
    close(metrics.frechet_distance(a, b), tfgan.frechet_distance(a, b), 1e-3)
    close(
        metrics.kernel_distance(a[:rows], b[:rows]),
        tfgan.kernel_distance(a[:rows], b[:rows], max_block_size=rows),
        1e-3,
    )


def test_tfgan_agrees_on_inception_score():
    p = metric_cases.probabilities()
    mean, std = metrics.inception_score(p, splits=1)
    close(mean, tfgan.inception_score(np.log(p)), 1e-5)
    assert std == 0


@pytest.fixture
def peers():
    # Found, not imported: without torchvision two of them import only through `metric_peers`.
    if not all(map(find_spec, ("torch", "pytorch_fid", "torch_fidelity", "prdc"))):
        pytest.skip("pip install 'tfgan_ema[peers]'")
    return metric_peers


@pytest.mark.parametrize("name", ["random_64", "structured_64", "structured_64_below"])
def test_live_peers(peers, name):
    a, b = metric_cases.features(name)
    agree_on_frechet(name, a, b, peers.pytorch_fid(a, b), peers.scipy_frechet(a, b))
    agree_on_kernel(a, b, peers.torch_fidelity_kid(a, b))
    agree_on_manifolds(a, b, peers.torch_fidelity_precision_recall(a, b), peers.prdc(a, b))
    agree_on_transport(a, b, peers.pot(a, b))
