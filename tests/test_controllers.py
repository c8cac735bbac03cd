"""Shares that follow the discriminator: adaptive leaks, pseudo augmentation, augmentation."""

import keras
import numpy as np
import pytest
import toy
from keras import ops

import tfgan_ema as tg
from tfgan_ema import checkpoint, controllers, engines, mixing, runs
from tfgan_ema.errors import UsageError
from tfgan_ema.latents import Draws

EMA = [tg.EMA(0.9)]


def test_a_sequence_by_hand():
    controller = controllers.Controller(0.6, most=0.03, name="share")
    controller.start()
    shares = []
    logits = {1: [1, 2], 2: [3, -1], 3: [1, 1], 4: [1, 1]}  # mean sign 0.75: above the target
    logits |= {step: [1, 1] for step in (5, 6, 7, 8)}
    logits |= {step: [-1, 1] for step in (9, 10, 11, 12)}
    logits |= {step: [-1, -1] for step in range(13, 25)}
    for step, values in logits.items():
        controller.observe(engines.current(), ops.convert_to_tensor(values, "float32"))
        shares.append(float(controller.move(np.int32(step), images=2500)))
    by_move = [0.02, 0.03, 0.01, 0, 0, 0]  # 4 x 2500 / 500,000 a move, in [0, 0.03]
    np.testing.assert_allclose(shares[3::4], by_move, atol=1e-7)
    np.testing.assert_array_equal(shares[:3], 0)
    assert shares[4:7] == shares[3:4] * 3


def kinds():
    return {
        "leak": {
            "network": "mlp", "leak": tg.LeakyEMA(0.5, adaptive=True, target=-0.9), "averages": EMA,
        },
        "apa": {"network": "mlp", "leak": mixing.apa(-0.9)},
        "ada": {"augment": [tg.DiffAugment("color", adaptive=True, target=-0.9)]},
    }  # fmt: skip


def fit(model, steps):
    return toy.fit(model, steps, chosen=toy.points() if model.form.shape == (2,) else None)


@pytest.fixture
def fast(monkeypatch):
    """A share that moves by 0.1 every four steps of toy batches."""
    monkeypatch.setattr(controllers, "SPEED", 4 * 8 / 0.1)


@pytest.mark.parametrize("kind", ["leak", "apa", "ada"])
def test_it_is_logged_and_a_run_goes_on_with_it(tmp_path, kind, fast):
    whole, first, second = (toy.gan(**kinds()[kind]) for _ in range(3))
    end = fit(whole, 10)
    (controller,) = whole.controllers
    assert float(controller.share) == pytest.approx(0.2)
    assert whole.get_metrics_result()[controller.name] > 0
    fit(first, 6)
    checkpoint.save(tmp_path, 6, first.state())
    checkpoint.restore(second, tmp_path)
    toy.assert_close(end, fit(second, 4), 0)


@pytest.mark.parametrize("kind", ["leak", "apa", "ada"])
def test_two_replicas_are_one_device(kind, fast, two_replicas):
    ends = [fit(toy.gan(strategy=s, **kinds()[kind]), 6) for s in (None, two_replicas)]
    toy.assert_close(*ends, 1e-4)


def test_it_is_saved_with_the_gan(tmp_path, fast):
    model = toy.gan(**kinds()["leak"])
    fit(model, 5)
    model.save(tmp_path / "gan.keras")
    again = keras.models.load_model(tmp_path / "gan.keras")
    toy.assert_close(*(fit(each, 5) for each in (model, again)), 0)


def mixed(leak, share, rows=1000, seed=0):
    """Which rows of a batch of zeros a leak replaces by ones."""
    leak.controller.start()
    leak.controller.share.assign(share)
    draws = Draws(seed, np.int32(0), "d0/", engines.current())
    images, _ = leak(
        ops.zeros((rows, 2)),
        None,
        ops.ones((rows, 2)),
        None,
        engine=engines.current(),
        step=np.int32(0),
        draws=draws,
        teacher=lambda index: (ops.ones((index.shape[0], 2)), None),
        discriminator=None,
    )
    return np.asarray(images)[:, 0]


@pytest.mark.parametrize("share", [0.0, 0.123, 0.5])
def test_an_adaptive_leak_replaces_its_share_exactly(share):
    leak = tg.LeakyEMA(0.5, adaptive=True)
    assert mixed(leak, share).sum() == round(1000 * share)


def test_pseudo_augmentation_replaces_rows_by_chance():
    leak = mixing.apa()
    counts = [mixed(leak, 0.3, seed=seed).sum() for seed in range(20)]
    assert len(set(counts)) > 5
    assert np.mean(counts) == pytest.approx(300, abs=4 * np.sqrt(1000 * 0.21 / 20))
    assert np.std(counts) == pytest.approx(np.sqrt(1000 * 0.21), rel=0.5)
    assert mixed(leak, 0.0).sum() == 0


@pytest.mark.parametrize("probability", [0.0, 0.25, 1.0])
def test_rows_are_augmented_with_a_probability(probability, rng):
    images = rng.uniform(-1, 1, (400, 8, 8, 3)).astype("float32")
    draws = Draws(0, np.int32(0), "d0/", engines.current())
    out = np.asarray(tg.DiffAugment("color", probability=probability)(images, draws))
    everything = np.asarray(tg.DiffAugment("color")(images, draws))
    changed = (out != images).any(axis=(1, 2, 3))
    np.testing.assert_array_equal(out[changed], everything[changed])
    assert changed.mean() == pytest.approx(probability, abs=0.09)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: tg.LeakyEMA(0.5, adaptive=True, target=1.0), "target 1.0"),
        (lambda: tg.LeakyEMA(0.5, adaptive=True, ramp=10), "no ramp"),
        (lambda: tg.LeakyEMA(0.5, per_image=True, mode="same_top_k"), "same_top_k ranks"),
        (lambda: tg.DiffAugment(probability=1.5), "probability 1.5"),
        (lambda: mixing.apa(most=1.0), "beta 1.0"),
    ],
)
def test_wrong_options_are_one_line(make, said):
    with pytest.raises(UsageError, match=said):
        make()


def test_a_configuration_names_them():
    from configs import methods

    config = methods.get_config("leaky_ema")
    config.leak = {"kind": "apa", "target": 0.5}
    gan = runs.build_gan(config, (2,), None)
    assert gan.leak.per_image
    assert gan.leak.controller.target == 0.5
