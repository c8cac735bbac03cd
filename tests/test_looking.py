"""An averaged generator is one thing, however it is reached, and looking at it changes nothing."""

import keras
import numpy as np
import pytest
import toy

import tfgan_ema as tg
from tfgan_ema import checkpoint, data, export

STEPS = 6


def gan(leak):
    """A GAN whose generator has batch normalisation, with two averages."""
    leak = tg.LeakyEMA(0.5, start_step=2) if leak else None
    return toy.gan(averages=[tg.EMA(0.9), tg.UniformAverage()], leak=leak)


@pytest.mark.parametrize("leak", [False, True], ids=["no_leak", "leak"])
def test_all_ways_to_an_average_agree(leak, tmp_path, rng):
    model = gan(leak)
    toy.fit(model, STEPS)
    latent = rng.normal(size=(70, 6)).astype("float32")
    for average in (0, "uniform", "raw"):
        images = model.generate(latent, average=average)
        model.ready_generator(average).save(tmp_path / "generator.keras")
        loaded = keras.models.load_model(tmp_path / "generator.keras")
        folder = export.saved_model(model, tmp_path / "exported", average=average, overwrite=True)
        served = export.load_generator(folder)
        others = {"saved": loaded.predict(latent, verbose=0), "served": served(latent).numpy()}
        if average == 0:  # what the GAN gives unless told otherwise
            others["called"] = np.asarray(model(latent))
            others["predicted"] = model.predict(latent, verbose=0)
        for way, other in others.items():
            np.testing.assert_allclose(other, images, atol=1e-5, err_msg=f"{average}, {way}")
        np.testing.assert_array_equal(
            served.sample(70, seed=3), model.sample(70, seed=3, average=average)
        )
    assert np.abs(model.generate(latent) - model.generate(latent, average="raw")).max() > 1e-3


def test_the_average_moves_on_when_training_does(rng):
    model, latent = gan(False), rng.normal(size=(5, 6)).astype("float32")
    toy.fit(model, 2)
    before = np.asarray(model(latent))
    toy.fit(model, 2)
    after = np.asarray(model(latent))
    assert np.abs(after - before).max() > 1e-3
    np.testing.assert_allclose(model.predict(latent, verbose=0), after, atol=1e-6)


def test_weights_that_are_loaded_are_looked_at(tmp_path, rng):
    """Also where they come at a step that has been looked at before."""
    latent = rng.normal(size=(5, 6)).astype("float32")
    trained, other = gan(False), gan(False)
    toy.fit(trained, 3)
    toy.fit(other, 3)
    for average, _ in other.averages[0].pairs:
        average.assign_add(0.1 * np.ones(average.shape))
    expected = trained.generate(latent)
    assert np.abs(other.generate(latent) - expected).max() > 1e-3
    checkpoint.save(tmp_path, 3, trained.state())
    checkpoint.restore(other, tmp_path)
    np.testing.assert_allclose(other.generate(latent), expected, atol=1e-6)
    toy.fit(other, 2)
    assert np.abs(other.generate(latent) - expected).max() > 1e-4
    trained.save_weights(tmp_path / "gan.weights.h5")
    other.load_weights(tmp_path / "gan.weights.h5")
    np.testing.assert_allclose(other.generate(latent), expected, atol=1e-6)


class Looks(keras.callbacks.Callback):
    """Looks at the GAN in every way there is, in an order of its own after each step."""

    def __init__(self, folder, seed):
        super().__init__()
        self.folder, self.rng = folder, np.random.default_rng(seed)

    def on_train_batch_end(self, batch, logs=None):
        model = self.model
        latent = self.rng.normal(size=(5, 6)).astype("float32")
        held_out = data.pipeline(toy.source(), 8, seed=2).take(2)
        averages = (0, 1, "raw")
        looks = [
            *(lambda a=a: model.sample(3, 1, average=a) for a in averages),
            *(lambda a=a: model.generate(latent, average=a) for a in averages),
            lambda: model(latent),
            lambda: model.predict(latent, verbose=0),
            lambda: model.evaluate(held_out, verbose=0),
            lambda: model.ready_generator(0).save(self.folder / "generator.keras"),
            lambda: model.discriminate(model.sample(3)),
            lambda: [average.distance() for average in model.averages],
            lambda: export.saved_model(model, self.folder / "exported", overwrite=True),
        ]
        for i in self.rng.permutation(len(looks)):
            looks[i]()


@pytest.mark.parametrize("leak", [False, True], ids=["no_leak", "leak"])
def test_any_number_of_looks_leaves_the_training_as_it_was(leak, tmp_path):
    alone, watched = gan(leak), gan(leak)
    undisturbed = toy.fit(alone, STEPS)
    callbacks = [
        tg.EMACallback(save_to=str(tmp_path / "ema_{step}.keras"), every=2),
        tg.SampleGrid(tmp_path, every=2, count=4),
        tg.Evaluate(lambda sample: {"mean": sample(8, 0).mean()}, tmp_path, every=2),
        Looks(tmp_path, seed=4),
        tg.Checkpoint(tmp_path, every=2),
    ]
    toy.assert_close(toy.fit(watched, STEPS, callbacks=callbacks), undisturbed, 0)
    assert len(list(tmp_path.glob("ema_*.keras"))) == STEPS // 2
