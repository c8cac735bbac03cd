"""Standard errors against the deviation of scores over repeated draws."""

import numpy as np
import pytest

from tfgan_ema.data.mixtures import ring_centers
from tfgan_ema.metrics import METRICS, frechet, manifold, report, wasserstein
from tfgan_ema.metrics.spread import Spread
from tfgan_ema.metrics.statistics import Statistics

DRAWS = 200


def statistics(features, probabilities=None, radii=False):
    moments = frechet.Moments()
    moments.update(features)
    return Statistics(
        "any", "1", features.shape[1:], len(features), moments.mean, moments.covariance,
        features, probabilities, manifold.radii(features) if radii else None,
    )  # fmt: skip


def softmax(logits):
    exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponents / exponents.sum(axis=1, keepdims=True)


@pytest.fixture(scope="module")
def pixels():
    """Features of real digits, and blurred ones in place of generated samples."""
    from tfgan_ema import data

    images = data.load("digits").samples[..., 0] / 255
    blurred = (images + np.roll(images, 1, axis=1) + np.roll(images, 1, axis=2)) / 3
    return images.reshape(len(images), -1), blurred.reshape(len(images), -1)


def gaussians(count, width=24, shift=0.3, scale=1.3):
    """``draw(random)`` of a Gaussian, and a reference of another one."""
    deviations = np.geomspace(1, 0.1, width)
    reference = np.random.default_rng(0).standard_normal((400, width)) * deviations
    return (
        lambda random: (scale * random.standard_normal((count, width)) + shift) * deviations,
        reference,
    )


def check(metric, draw, known, results=None, draws=DRAWS):
    """The stated errors, as a root mean square, are the deviation over draws within 20 %."""
    values, variances = {}, {}
    for seed in range(draws):
        scores = metric(draw(np.random.default_rng(seed + 1)), known)
        for name, score in scores.items():
            if score.spread is not None:
                values.setdefault(name, []).append(score.value)
                if seed < 60:  # they vary less than the scores
                    variances.setdefault(name, []).append(score.spread().error ** 2)
    for name, found in values.items():
        stated = np.sqrt(np.mean(variances[name]))
        assert stated == pytest.approx(np.std(found), rel=0.2), name
    assert len(values) == (results or 1)


@pytest.mark.slow
@pytest.mark.parametrize("count", [150, 400])
@pytest.mark.parametrize("name", ["fd_pixels", "mind_pixels", "swd_pixels", "kd_pixels"])
def test_errors_of_distances_of_gaussians(name, count):
    draw, reference = gaussians(count)
    check(METRICS[name], lambda random: statistics(draw(random)), statistics(reference))


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["fd_pixels", "mind_pixels", "kd_pixels", "precision_recall_pixels", "density_coverage_pixels",
     "nearest_real_pixels", "authenticity_pixels", "vendi_pixels"],
)  # fmt: skip
def test_errors_of_scores_of_pixels(name, pixels):
    real, pool = pixels
    known = statistics(real[:500], radii=True)
    check(METRICS[name], lambda r: statistics(pool[r.integers(len(pool), size=500)]), known)


@pytest.mark.slow
def test_errors_of_the_inception_score():
    def draw(random):
        return statistics(np.ones((500, 1)), softmax(3 * random.standard_normal((500, 10))))

    check(METRICS["is_mnist_classifier"], draw, None)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["w1", "w2_squared"])
def test_errors_of_transport(name):
    draw, reference = gaussians(300, width=2)
    check(METRICS[name], lambda random: statistics(draw(random)), statistics(reference))


@pytest.mark.slow
def test_errors_of_modes():
    weights = np.arange(1.0, 9) / 36

    def draw(random):
        mode = random.choice(8, 2000, p=weights)
        return statistics(ring_centers()[mode] + 0.012 * random.standard_normal((2000, 2)))

    check(METRICS["modes"], draw, (ring_centers(), 0.01), results=2)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fd_pixels", "mind_pixels", "kd_pixels"])
def test_errors_of_differences_on_the_same_latents(name):
    draw, reference = gaussians(400)
    known, found, variances = statistics(reference), [], []
    for seed in range(DRAWS):
        first = draw(np.random.default_rng(seed))
        (ours,) = [s for s in METRICS[name](statistics(1.1 * first), known).values() if s.spread]
        (theirs,) = [s for s in METRICS[name](statistics(first), known).values() if s.spread]
        found.append(ours.value - theirs.value)
        if seed < 60:
            variances.append(ours.spread().less(theirs.spread()).error ** 2)
    assert np.sqrt(np.mean(variances)) == pytest.approx(np.std(found), rel=0.2)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fd_pixels", "mind_pixels", "kd_pixels"])
def test_errors_at_equality_are_not_too_small(name):
    """Where both sets are alike, a distance is all second order, and its error stated too large."""
    draw, reference = gaussians(400, shift=0.0, scale=1.0)
    known = statistics(reference)
    scores = [
        next(iter(METRICS[name](statistics(draw(np.random.default_rng(seed))), known).values()))
        for seed in range(1, DRAWS)
    ]
    stated = np.sqrt(np.mean([score.spread().error ** 2 for score in scores[:60]]))
    assert 0.8 < stated / np.std([score.value for score in scores]) < 1.55


def test_the_error_of_a_frechet_distance_has_a_closed_form(rng):
    """In one dimension, of a Gaussian: 4 s^2 ((m - m')^2 + (s - s')^2 / 2) / n."""
    features = 2.0 * rng.standard_normal((20_000, 1)) + 1.5
    reference = frechet.from_covariance([0.0], [[1.0]])
    moved = frechet.influence(features, frechet.gaussian(features), reference)
    expected = np.sqrt(4 * 4.0 * (1.5**2 + 0.5) / len(features))
    assert Spread(moved).error == pytest.approx(expected, rel=0.03)


def test_influences_are_derivatives(rng):
    """A sample that is doubled moves a distance by its influence, less the mean of all, over n."""
    n = 400
    a, b = rng.standard_normal((n, 3)), 1.5 * rng.standard_normal((600, 3)) + 1
    fitted, known = frechet.gaussian(a), frechet.gaussian(b)
    distances = {
        "fd": (lambda x: frechet.distance(frechet.gaussian(x), known),
               frechet.influence(a, fitted, known)),
        "swd": (lambda x: wasserstein.sliced_wasserstein(x, b, projections=20) ** 2,
                wasserstein.sliced_influence(a, b, projections=20)),
        "w1": (lambda x: wasserstein.wasserstein_1(x, b),
               wasserstein.transport(a, b, "euclidean")[1]),
    }  # fmt: skip
    for name, (distance, influence) in distances.items():
        value, moved = distance(a), (influence - influence.mean()) / n
        for i in range(5):
            change = distance(np.vstack([a, a[i : i + 1]])) - value
            assert change == pytest.approx(moved[i], abs=0.1 * np.abs(moved).max()), name


def test_a_score_of_too_few_samples_says_so(rng):
    few, many = (statistics(rng.standard_normal((n, 20))) for n in (60, 20_000))
    reference = statistics(1.2 * rng.standard_normal((20_000, 20)))
    found = report.measure(METRICS["fd_pixels"], few, reference)["fd_pixels"]
    assert "60 samples are too few: half of them change" in found.warning
    # Half of the samples add what is due to their number: the bias falls as 1/n.
    true = 20 * 0.2**2
    assert found.bias == pytest.approx(found.value - true, rel=0.35)
    assert report.measure(METRICS["fd_pixels"], many, reference)["fd_pixels"].warning == ""
    tiny = statistics(rng.standard_normal((3, 20)))
    assert (
        "too few to tell"
        in report.measure(METRICS["fd_pixels"], tiny, reference)["fd_pixels"].warning
    )
