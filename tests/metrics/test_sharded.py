"""Statistics from shards equal those of one pass."""

import json

import numpy as np
import pytest

from tfgan_ema import data, remote
from tfgan_ema.cli import main
from tfgan_ema.errors import UsageError
from tfgan_ema.metrics import frechet, sharded, statistics


def noise(broken=None):
    """A sampler that fails as long as a file is there."""
    from pathlib import Path

    def sample(count, seed):
        if broken and seed == 42 and Path(broken).exists():
            raise UsageError("seed 42 is broken: mend it.")
        return np.random.default_rng(seed).integers(0, 256, (count, 4, 4, 1), dtype=np.uint8)

    return sample


def test_moments_of_eight_parts_are_those_of_all(rng):
    rows = 1e3 + rng.standard_normal((4003, 24)) @ rng.standard_normal((24, 24))
    whole, parts = frechet.Moments(), []
    whole.update(rows)
    for part in np.array_split(rows, 8):
        parts.append(frechet.Moments())
        parts[-1].update(part)
    parts = [frechet.Moments.of(p.count, p.mean, p.covariance) for p in parts]
    merged = frechet.Moments.merged(parts)
    assert merged.count == 4003
    np.testing.assert_allclose(merged.mean, whole.mean, rtol=1e-10)
    scale = np.abs(whole.covariance).max()
    np.testing.assert_allclose(merged.covariance, whole.covariance, rtol=1e-10, atol=1e-12 * scale)
    other = frechet.gaussian(1e3 + 2 * rng.standard_normal((500, 24)))
    distances = [frechet.distance(each.gaussian(), other) for each in (merged, whole)]
    assert distances[0] == pytest.approx(distances[1], rel=1e-8)


def test_statistics_of_a_data_set_in_parts():
    source = data.load("digits")
    places = [(100, start) for start in range(0, 800, 100)]
    sharded._made.cache_clear()
    drawn = ("tfgan_ema.data:load", {"name": "digits"})
    parts = [sharded.part(drawn, ["pixels"], places[i : i + 2])["pixels"] for i in range(0, 8, 2)]
    found = sharded.merged(parts)
    (whole,) = statistics.collect([source.batch(np.arange(800))[0]], {"pixels": True}).values()
    np.testing.assert_array_equal(found.features, whole.features)
    np.testing.assert_allclose(found.covariance, whole.covariance, atol=1e-12)
    assert (found.count, found.shape) == (800, whole.shape)


@pytest.mark.parametrize("last", [1, 2])
def test_no_shard_is_a_single_sample(last):
    seeds = [(100, seed) for seed in range(20)] + [(last, 20)]
    found = sharded.split(seeds)
    assert [len(shard) for shard in found] == ([10, 11] if last == 1 else [10, 10, 1])
    assert [seed for shard in found for seed in shard] == seeds


@pytest.fixture(params=["workers", "cluster"])
def elsewhere(request):
    """Where shards run: arguments of `sharded.collect` and flags of the command."""
    if request.param == "workers":
        yield {"cluster": None, "workers": 2}, ["--workers=2"]
        return
    pytest.importorskip("ray", reason="needs: pip install 'tfgan_ema[cluster]'")
    with remote.connected("local", 2):
        yield {"cluster": "local"}, ["--cluster=local"]


@pytest.mark.slow
def test_a_shard_that_fails_is_named_and_runs_again_alone(tmp_path, elsewhere):
    place, flag = elsewhere
    broken, folder = tmp_path / "broken", tmp_path / "shards"
    broken.touch()
    seeds = [(20, seed) for seed in range(80)]
    drawn = sharded.Drawn("test_sharded:noise", {"broken": str(broken)})
    with pytest.raises(UsageError, match="shard 4: seed 42 is broken"):
        sharded.collect(drawn, seeds, ["pixels"], folder=folder, **place)
    kept = {path: path.stat().st_mtime_ns for path in folder.glob("*.npz")}
    assert len(kept) == 7
    broken.unlink()
    found = sharded.collect(drawn, seeds, ["pixels"], folder=folder, **place)["pixels"]
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in kept.items())
    with pytest.raises(UsageError, match="shards of other samples"):
        sharded.collect(drawn, seeds[:40], ["pixels"], folder=folder, **place)
    words = ["evaluate", "--samples=digits", "--samples_split=train", "--reference=digits"]
    words += ["--metrics=fd_pixels,precision_recall_pixels", "--count=1500"]
    scores = []
    for more in ([], flag):
        out = tmp_path / "scores.json"
        assert main.main([*words, f"--out={out}", *more]) == 0
        scores.append(json.loads(out.read_text())["results"][0])
    whole = statistics.collect((noise()(*batch) for batch in seeds), {"pixels": True})["pixels"]
    np.testing.assert_array_equal(found.features, whole.features)
    np.testing.assert_allclose(found.covariance, whole.covariance, rtol=1e-10, atol=1e-14)
    assert scores[1] == pytest.approx(scores[0], rel=1e-8, abs=1e-8)
