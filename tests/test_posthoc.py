"""Averages made of snapshots equal those that training would have tracked."""

import numpy as np
import pytest
import toy

import tfgan_ema as tg
from tfgan_ema import averaging, checkpoint, posthoc
from tfgan_ema.errors import UsageError

WIDTHS = (0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.25)


def new():
    return toy.gan("mlp", averages=[tg.PowerEMA(0.05), tg.PowerEMA(0.1)])


def trained(*callbacks, widths=(0.05, 0.1), network="mlp", steps=200):
    model = toy.gan(network, averages=[tg.PowerEMA(w) for w in widths])
    chosen = toy.points() if network == "mlp" else None
    toy.fit(model, steps, callbacks=list(callbacks), chosen=chosen)
    return model


def weights(average):
    pairs = [(shadow, weight) for shadow, weight in average.pairs if weight.trainable]
    return np.concatenate([np.ravel(shadow.numpy()) for shadow, _ in pairs])


def flat(model, made):
    average = posthoc.add(model, "made", made, "here")
    return weights(average)


def test_the_rule_is_its_closed_form():
    rule, rng = tg.PowerEMA(0.1), np.random.default_rng(0)
    values, average = rng.normal(size=400), 7.0
    for step, value in enumerate(values, 1):
        average += float(rule.rate(np.int32(step), 1)) * (value - average)
    g = rule.exponent
    edges = (np.arange(401) / 400) ** (g + 1)  # the profile's mass up to each step
    assert average == pytest.approx(np.diff(edges) @ values, abs=2e-6)
    assert isinstance(averaging.get("power_ema", sigma=0.1), tg.PowerEMA)
    with pytest.raises(UsageError, match="the width"):
        tg.PowerEMA(0.3)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    return folder, trained(posthoc.Snapshots(folder, every=5))


def test_direct_and_synthesised_averages_agree_within_reach(run):
    folder, _ = run
    direct = trained(widths=WIDTHS)
    moved = np.linalg.norm(weights(direct.averages[0]) - weights(trained(steps=1).averages[0]))
    for sigma, average in zip(WIDTHS, direct.averages, strict=True):
        made = posthoc.synthesise(folder, sigma)
        expected, found = weights(average), flat(new(), made)
        error = np.linalg.norm(found - expected)
        assert error < 1e-3 * np.linalg.norm(expected) or made.residual > 0.01, sigma
        assert error < 2 * moved * max(made.residual, 1e-3), sigma


def test_an_earlier_time_is_that_of_a_shorter_training(run):
    folder, _ = run
    short = trained(widths=(0.07,), steps=120)
    found = flat(new(), posthoc.synthesise(folder, 0.07, 120))
    expected = weights(short.averages[0])
    assert np.linalg.norm(found - expected) < 1e-3 * np.linalg.norm(expected)


def test_snapshots_in_half_precision(tmp_path, run):
    folder, _ = run
    trained(posthoc.Snapshots(tmp_path, every=5, dtype="float16"))
    arrays, _ = checkpoint.read(checkpoint.path_of(tmp_path / "snapshots", 200))
    assert {array.dtype.name for array in arrays.values()} == {"float16"}
    one, half = (flat(new(), posthoc.synthesise(f, 0.07)) for f in (folder, tmp_path))
    np.testing.assert_allclose(half, one, atol=2e-3 * np.abs(one).max())


def test_a_run_that_goes_on_keeps_the_same_snapshots(tmp_path, run):
    folder, _ = run
    for steps in (90, 200):
        model = new()
        checkpoint.restore(model, tmp_path / "checkpoints")
        watching = [tg.Checkpoint(tmp_path), posthoc.Snapshots(tmp_path, every=5)]
        toy.fit(model, steps - model.steps_done, chosen=toy.points(), callbacks=watching)
    for path in (folder / "snapshots").iterdir():
        arrays = [checkpoint.read(f / "snapshots" / path.name)[0] for f in (folder, tmp_path)]
        toy.assert_close(*arrays, 0)


def test_statistics_of_batch_normalisation_are_those_of_the_made_weights(tmp_path):
    model = trained(posthoc.Snapshots(tmp_path, every=2), network="conv", steps=6)
    posthoc.add(model, "made", posthoc.synthesise(tmp_path, 0.05), "here")
    images = [model.sample(16, 1, average=name) for name in ("power_ema_0.05", "made")]
    assert np.abs(images[0].astype(int) - images[1]).max() <= 1


def test_a_kept_average_has_a_name(tmp_path, run):
    folder, _ = run
    made = posthoc.synthesise(folder, 0.07)
    path = posthoc.keep(tmp_path, "narrow", made)
    ((name, again),) = posthoc.kept(tmp_path).items()
    assert (name, again.sigma, again.step) == ("narrow", 0.07, 200)
    toy.assert_close(made.arrays, again.arrays, 0)
    with pytest.raises(UsageError, match="pass overwrite=True"):
        posthoc.keep(tmp_path, "narrow", made)
    posthoc.keep(tmp_path, "narrow", made, overwrite=True)
    for wrong in ("raw", "0", "a/b", ""):
        with pytest.raises(UsageError, match="average name"):
            posthoc.keep(tmp_path, wrong, made)
    assert [p.name for p in path.parent.iterdir()] == ["narrow.npz"]


def test_what_cannot_be_made_is_one_line(tmp_path, run):
    folder, model = run
    with pytest.raises(UsageError, match="holds no snapshots"):
        posthoc.synthesise(tmp_path, 0.05)
    for step in (0, -1, 201):
        with pytest.raises(UsageError, match="up to the last snapshot, 200"):
            posthoc.synthesise(folder, 0.05, step)
    with pytest.raises(UsageError, match="the first is 5"):
        posthoc.synthesise(folder, 0.05, 4)
    with pytest.raises(UsageError, match="without power-function averages"):
        toy.fit(toy.gan("mlp"), 1, chosen=toy.points(), callbacks=[posthoc.Snapshots(tmp_path)])
    with pytest.raises(UsageError, match="snapshot_dtype 'float8'"):
        posthoc.Snapshots(tmp_path, dtype="float8")
    assert posthoc.size(model) == 2 * 4 * model.generator.count_params()
