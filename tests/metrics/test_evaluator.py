import dataclasses
import re
import subprocess
import sys

import numpy as np
import pytest

from tfgan_ema import data, metrics
from tfgan_ema.data.source import Source
from tfgan_ema.errors import UsageError
from tfgan_ema.metrics import Evaluator, features, frechet, manifold, statistics


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TFGAN_EMA_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def images(rng):
    return rng.integers(0, 256, (120, 6, 6, 3), dtype=np.uint8)


@pytest.fixture
def source(images):
    return Source("noise", images)


def draws(pool):
    return lambda count, seed: pool[np.random.default_rng(seed).integers(len(pool), size=count)]


def everything(pool):
    """A sampler that gives the pool itself, in order."""
    place = iter(range(len(pool)))
    return lambda count, _: pool[[next(place) for _ in range(count)]]


def test_names_carry_their_space(source, images):
    names = [
        "fd_pixels", "kd_pixels", "precision_recall_pixels", "density_coverage_pixels",
        "nearest_real_pixels", "swd_pixels", "fd_pixels_infinity", "fd_pixels_interval",
    ]  # fmt: skip
    scores = Evaluator(names, source, samples=60, batch=25)(draws(images))
    assert list(scores) == [
        "fd_pixels", "kd_pixels", "kd_pixels_std", "precision_pixels", "recall_pixels",
        "density_pixels", "coverage_pixels", "nearest_ratio_pixels", "copies_pixels", "swd_pixels",
        "fd_pixels_infinity", "fd_pixels_low", "fd_pixels_high",
    ]  # fmt: skip
    assert all(type(value) is float for value in scores.values())


def test_only_the_2015_inception_is_called_fid():
    for name in ("fid", "kid", "fid_infinity", "fid_interval"):
        assert metrics.METRICS[name].space == "inception"
    for name, metric in metrics.METRICS.items():
        if metric.space not in ("inception", "points"):
            assert metric.space.removeprefix("inception_") in name
            assert not re.fullmatch("(fid|kid|mind)(_infinity|_interval)?", name)
    assert {"fid_clean", "kid_clean", "mind_clean", "fid_clean_infinity"} <= metrics.METRICS.keys()


def test_scores_are_those_of_the_pure_functions(source, images, rng):
    other = rng.integers(0, 200, (90, 6, 6, 3), dtype=np.uint8)
    scores = Evaluator(
        ["fd_pixels", "precision_recall_pixels", "density_coverage_pixels"],
        source, samples=90, batch=17,
    )(everything(other))  # fmt: skip
    a, b = (x.reshape(len(x), -1) / np.float32(255) for x in (images, other))
    assert scores["fd_pixels"] == pytest.approx(metrics.frechet_distance(a, b), rel=1e-9)
    expected = metrics.precision_recall(a, b) | metrics.density_coverage(a, b)
    assert {name: scores[f"{name}_pixels"] for name in expected} == expected


def test_identical_sets_are_at_distance_zero(source, images):
    scores = Evaluator(["fd_pixels", "precision_recall_pixels"], source, samples=120)(
        everything(images)
    )
    assert scores["fd_pixels"] < 1e-6
    assert scores["precision_pixels"] == scores["recall_pixels"] == 1


def test_samples_are_drawn_with_equal_seeds_at_each_call(source, images):
    seen = []

    def sampler(count, seed):
        seen.append((count, seed))
        return images[:count]

    evaluator = Evaluator(["fd_pixels"], source, samples=50, batch=20, seed=3)
    assert evaluator(sampler) == evaluator(sampler)
    assert seen[:3] == seen[3:] == evaluator.seeds()
    assert [count for count, _ in seen[:3]] == [20, 20, 10]
    assert len({seed for _, seed in seen}) == 3
    other = {seed for _, seed in Evaluator(["fd_pixels"], source, samples=50, seed=4).seeds()}
    assert not other & {seed for _, seed in seen}


def test_reference_statistics_are_cached_by_content(source, images, tmp_path, monkeypatch):
    def score(source):
        return Evaluator(["fd_pixels"], source, samples=40)(draws(images))

    first = score(source)
    (kept,) = (tmp_path / "cache" / "statistics").iterdir()
    embedded = []
    honest = features.embed
    monkeypatch.setattr(
        features, "embed", lambda name, x: embedded.append(len(x)) or honest(name, x)
    )
    assert score(Source("another name", images.copy())) == first
    assert sum(embedded) == 40  # the samples alone
    changed = images.copy()
    changed[7, 0, 0, 0] ^= 1
    assert score(Source("noise", changed)) != first
    assert len(list((tmp_path / "cache" / "statistics").iterdir())) == 2
    kept.write_bytes(kept.read_bytes()[:50])  # damaged: made anew
    assert score(source) == first
    # Moments do not serve a metric that needs features: the file is made anew, with them.
    Evaluator(["fd_pixels", "kd_pixels"], source, samples=40)(draws(images))
    assert statistics.load(kept, "pixels").features.shape == (120, 108)


def test_radii_of_a_reference_are_computed_once(source, images, tmp_path, monkeypatch):
    def score(reference):
        names = ["precision_recall_pixels", "density_coverage_pixels"]
        return Evaluator(names, reference, samples=40)(draws(images))

    computed, radii = [], manifold.radii
    monkeypatch.setattr(
        manifold, "radii", lambda features: computed.append(len(features)) or radii(features)
    )
    Evaluator(["kd_pixels"], source, samples=40)(draws(images))
    assert not computed
    first = score(source)
    assert computed == [120]  # added to the statistics in the cache
    (kept,) = (tmp_path / "cache" / "statistics").iterdir()
    np.testing.assert_array_equal(
        statistics.load(kept, "pixels").radii, radii(images.reshape(120, -1) / np.float32(255))
    )
    assert score(source) == first
    assert computed == [120]
    kept.write_bytes(kept.read_bytes()[:50])
    assert score(source) == first
    assert computed == [120, 120]
    for metric, again in (("density_coverage_pixels", 0), ("kd_pixels", 1)):
        kept.unlink(missing_ok=True)
        saver = Evaluator([metric], source, samples=40)
        saver(draws(images))
        saver.save_reference(tmp_path / "kept.npz")
        del computed[:]
        assert score(tmp_path / "kept.npz") == first
        assert len(computed) == again


def test_too_few_real_samples_for_neighbours(images):
    few = Source("few", images[:3])
    with pytest.raises(UsageError, match="needs at least 4"):
        Evaluator(["precision_recall_pixels"], few, samples=40)(draws(images))


def test_a_saved_reference_serves_in_place_of_the_images(source, images, tmp_path):
    path = tmp_path / "stats.npz"
    first = Evaluator(["fd_pixels", "kd_pixels"], source, samples=60)
    scores = first(draws(images))
    first.save_reference(path)
    assert Evaluator(["fd_pixels", "kd_pixels"], path, samples=60)(draws(images)) == scores
    assert Evaluator(["fd_pixels", "kd_pixels"], str(path), samples=60)(draws(images)) == scores


def test_statistics_of_another_space_version_or_size_are_refused(source, images, tmp_path):
    path = tmp_path / "stats.npz"
    first = Evaluator(["fd_pixels"], source, samples=60)
    with pytest.raises(UsageError, match="evaluate first"):
        first.save_reference(path)
    first(draws(images))
    first.save_reference(path)

    def score(metric, pool=images, path=path):
        Evaluator([metric], path, samples=20)(draws(pool))

    grey = np.repeat(images[..., :1], 3, axis=-1)
    with pytest.raises(UsageError, match="statistics of pixels, not of fashion_classifier"):
        score("fd_fashion_classifier", grey)
    with pytest.raises(UsageError, match="holds moments alone"):
        score("kd_pixels")
    with pytest.raises(UsageError, match=r"samples have shape \(4, 4, 3\) .* \(6, 6, 3\)"):
        score("fd_pixels", images[:, :4, :4])
    held = statistics.load(path, "pixels")
    old = tmp_path / "old.npz"
    statistics.save(old, [dataclasses.replace(held, version="0")])
    with pytest.raises(UsageError, match="pixels version 0, this is version 1"):
        score("fd_pixels", path=old)
    foreign = tmp_path / "foreign.npz"  # as pytorch-fid writes them
    np.savez(foreign, mu=np.zeros(2048), sigma=np.eye(2048))
    with pytest.raises(UsageError, match="not a statistics file"):
        score("fd_pixels", path=foreign)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(UsageError, match="not a statistics file"):
        score("fd_pixels")
    with pytest.raises(UsageError, match="no file"):
        score("fd_pixels", path=tmp_path / "none.npz")


def test_a_data_set_is_scored_in_order(source, images):
    scores = Evaluator(["fd_pixels"], source, samples=100, batch=30)(source)
    sampler = everything(images)
    assert scores == Evaluator(["fd_pixels"], source, samples=100, batch=30)(sampler)
    with pytest.raises(UsageError, match="samples 121: noise has 120"):
        Evaluator(["fd_pixels"], source, samples=121)(source)


def test_most_metrics_need_numpy_alone():
    program = """
import sys
for name in ("scipy", "sklearn", "ot", "threadpoolctl", "matplotlib"):
    sys.modules[name] = None  # importing it fails from here on
import numpy as np
from tfgan_ema import metrics
a, b = np.random.default_rng(0).standard_normal((2, 30, 4))
metrics.frechet_distance(a, b), metrics.kernel_distance(a, b), metrics.manifold_scores(a, b)
metrics.frechet_distance(a[:3], b[:3]), metrics.sliced_wasserstein(a, b)
metrics.mode_coverage(a, b, 1.0), metrics.inception_score(np.full((20, 4), 0.25))
print("keras" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == ("False", "")


def test_a_missing_package_is_reported_before_anything_is_drawn(monkeypatch):
    monkeypatch.setitem(sys.modules, "ot", None)
    with pytest.raises(UsageError, match=r"POT: pip install 'tfgan_ema\[metrics\]'"):
        Evaluator(["w1"], "ring")


def test_part_of_the_reference_is_evenly_spread(source, images):
    evaluator = Evaluator(["fd_pixels"], source, samples=30, reference_samples=30)
    assert evaluator(everything(images[::4]))["fd_pixels"] < 1e-6
    with pytest.raises(UsageError, match="reference_samples 121: the reference noise has 120"):
        Evaluator(["fd_pixels"], source, samples=30, reference_samples=121)(draws(images))


def test_a_named_reference_comes_at_the_samples_size(rng):
    """digits are 8x8; a generator of 16x16 is compared with digits of 16x16."""
    real = data.load("digits", image_size=16)
    scores = Evaluator(["fd_pixels"], "digits", samples=1797)(everything(real.samples))
    assert scores["fd_pixels"] < 1e-6


def test_a_folder_is_a_reference(images, tmp_path):
    for i, image in enumerate(images[:12]):
        data.png.save_png(tmp_path / "real" / f"{i}.png", image)
    for reference in (tmp_path / "real", f"folder:{tmp_path / 'real'}"):
        scores = Evaluator(["fd_pixels"], reference, samples=12)(everything(images[:12]))
        assert scores["fd_pixels"] < 1e-6


def test_ring_metrics_on_points():
    points, _ = data.mixtures.ring(3000, seed=5)
    names = ["w1", "w2_squared", "modes", "fd_points", "swd_points"]
    scores = Evaluator(names, "ring", samples=1000, reference_samples=1000)(draws(points))
    assert scores["modes"] == 8
    assert scores["high_quality"] == pytest.approx(1 - np.exp(-4.5), abs=0.02)
    assert 0 < scores["w1"] < 0.2
    collapsed = Evaluator(["modes"], "ring", samples=500)(draws(points[:1]))
    assert collapsed["modes"] <= 1


def test_modes_of_other_mixtures_are_asked_for():
    wide = data.load("ring", radius=3.0)
    with pytest.raises(UsageError, match="other options than the default"):
        Evaluator(["modes"], wide)
    modes = data.mixtures.ring_centers(radius=3.0), 0.01
    scores = Evaluator(["modes"], wide, samples=500, modes=modes)(draws(wide.samples))
    assert scores["modes"] == 8
    with pytest.raises(UsageError, match="the modes of digits are not known"):
        Evaluator(["modes"], "digits")


def test_inception_score_needs_no_reference(rng):
    digits = rng.integers(0, 256, (40, 28, 28, 1), dtype=np.uint8)
    scores = Evaluator(["is_mnist_classifier"], samples=40, batch=20)(draws(digits))
    assert list(scores) == ["is_mnist_classifier", "is_mnist_classifier_std"]
    assert 1 <= scores["is_mnist_classifier"] <= 10


def test_a_device_may_be_named(source, images):
    here = Evaluator(["fd_pixels"], source, samples=40)(draws(images))
    there = Evaluator(["fd_pixels"], source, samples=40, device="cpu:0")(draws(images))
    assert there == here


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"metrics": ["fidd"]}, "unknown metric 'fidd': did you mean 'fid'"),
        ({"metrics": []}, "expected a list of names"),
        ({"metrics": "fid"}, "expected a list of names"),
        ({"reference": None}, "fd_pixels: a reference set is missing"),
        ({"samples": 1}, "samples 1"),
        ({"reference_samples": 0}, "reference_samples 0"),
        ({"batch": 0}, "batch 0"),
        ({"device": "abacus"}, "device 'abacus'"),
        ({"device": "cpu:999"}, "this machine has"),
    ],
)
def test_bad_arguments_are_refused(arguments, words, source):
    with pytest.raises(UsageError, match=words):
        Evaluator(**{"metrics": ["fd_pixels"], "reference": source, **arguments})


@pytest.mark.parametrize(
    ("sampler", "words"),
    [
        (lambda count, _: np.zeros((0, 6, 6, 3), np.uint8), "0 samples where 10 were asked"),
        (lambda count, _: np.zeros((count, 6, 6, 3), np.float32), "expected uint8 images"),
        (lambda count, _: np.zeros((count, 2), np.float32), "expected uint8 images"),
        (lambda count, _: np.zeros((count, 6, 6, 1), np.uint8), "bring the reference"),
    ],
)
def test_bad_samples_are_refused(sampler, words, source):
    with pytest.raises(UsageError, match=words):
        Evaluator(["fd_pixels"], source, samples=10)(sampler)


def test_nan_points_are_refused():
    with pytest.raises(UsageError, match="NaN or infinity in 10 of 10"):
        Evaluator(["modes"], "ring", samples=10)(lambda count, _: np.full((count, 2), np.nan))


def test_too_few_samples_say_how_many_are_needed(source, images):
    with pytest.raises(UsageError, match="3 samples: this metric needs at least 4"):
        Evaluator(["precision_recall_pixels"], source, samples=3)(draws(images))


def test_memory_of_a_frechet_distance_does_not_grow_with_samples(images):
    collected = statistics.collect([images[:10]] * 10, {"pixels": False})["pixels"]
    assert collected.features is None
    assert collected.count == 100
    moments = frechet.Moments()
    moments.update(np.tile(images[:10].reshape(10, -1) / np.float32(255), (10, 1)))
    np.testing.assert_allclose(collected.covariance, moments.covariance, atol=1e-12)


@pytest.mark.slow
def test_cifar10_train_against_test(monkeypatch):
    """2,000 + 2,000 images: a FID of about 25 is what the finite sets alone give; KID near 0."""
    monkeypatch.delenv("TFGAN_EMA_CACHE")
    test = data.load("cifar10", split="test")
    evaluator = Evaluator(["fid", "kid"], "cifar10", samples=2000, reference_samples=2000)
    scores = evaluator(everything(test.samples))
    assert scores["fid"] == pytest.approx(25, abs=1.5)
    assert abs(scores["kid"]) < 1e-3


@pytest.mark.parametrize(
    "change",
    [
        {"mean": np.full(12, np.nan)},
        {"mean": np.zeros(12, complex)},
        {"mean": np.zeros(12, int)},
        {"mean": np.zeros(12).astype("U3")},
        {"mean": np.zeros(11)},
        {"covariance": np.triu(np.ones((12, 12)))},
        {"features": np.zeros((8, 12))},
        {"count": 1},
        {"count": "9"},
        {"shape": (2, 2, -3)},
    ],
)
def test_statistics_that_do_not_fit_together_are_refused(tmp_path, change):
    found = statistics.collect([np.zeros((9, 2, 2, 3), np.uint8)], {"pixels": True})["pixels"]
    path = tmp_path / "s.npz"
    statistics.save(path, [found])
    assert statistics.load(path, "pixels").count == 9
    statistics.save(path, [dataclasses.replace(found, **change)])
    with pytest.raises(UsageError, match="not a statistics file") as error:
        statistics.load(path, "pixels")
    assert str(error.value).isprintable()
    path.write_bytes(b"")
    with pytest.raises(UsageError, match="not a statistics file"):
        statistics.load(path, "pixels")
