"""A whole GAN in one file: what is loaded is what was saved, and training goes on from it."""

import dataclasses
import errno
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
import toy

import tfgan_ema as tg
from tfgan_ema import checkpoint, latents, losses, optimizers, penalties
from tfgan_ema.errors import UsageError


def every_kind(**options):
    """Averages, leak, penalties with and without state, augmentation, top-k, schedule, classes."""
    return toy.gan(
        averages=[tg.EMA(0.9), tg.UniformAverage(start_step=1)],
        leak=tg.LeakyEMA(0.5, start_step=2),
        penalties=[tg.penalties.R1(1.0, interval=2), tg.penalties.PathLength(interval=2)],
        augment=[tg.InstanceNoise(0.1, steps=100), tg.DiffAugment("color,cutout")],
        top_k=tg.TopK(0.5, every=2),
        num_classes=3,
        **options,
    )


def reloaded(model, folder):
    model.save(folder / "gan.keras")
    return keras.models.load_model(folder / "gan.keras")


def parts(model):
    return {k: v for k, v in model.get_config().items() if k not in ("generator", "discriminator")}


def states(*models):
    return (checkpoint.to_arrays(model.state()) for model in models)


def test_a_loaded_gan_generates_the_same_and_trains_on_bit_by_bit(tmp_path):
    model = every_kind(loss="hinge", n_dis=2)
    toy.fit(model, 3)
    again = reloaded(model, tmp_path)
    toy.assert_close(*states(model, again), 0)
    latent = np.random.default_rng(0).normal(size=(4, 6)).astype("float32")
    images = [each.generate(latent, [0, 1, 2, 0]) for each in (model, again)]
    np.testing.assert_allclose(*images, atol=1e-6)
    toy.assert_close(toy.fit(model, 3), toy.fit(again, 3), 0)
    assert parts(again) == parts(model)


def test_optimizers_schedules_and_execution_are_compiled_anew(tmp_path):
    model = toy.gan("mlp", penalties=[tg.penalties.Consensus(0.1)], update_order="simultaneous")
    decay = {"kind": "adam", "learning_rate": 0.1, "decay_steps": 8}
    model.compile(decay, tg.OptimisticAdam(0.01), steps_per_execution=2)
    toy.fit(model, 4, chosen=toy.points())
    again = reloaded(model, tmp_path)
    assert (again.steps_per_execution, again.regularisation.consensus) == (2, 0.1)
    assert type(again.d_optimizer) is optimizers.Adam
    assert type(again.g_optimizer) is optimizers.OptimisticAdam
    assert float(again.d_optimizer.learning_rate) == pytest.approx(0.05)
    both = [toy.fit(each, 2, chosen=toy.points()) for each in (model, again)]
    toy.assert_close(*both, 0)


def test_an_average_that_a_callback_attached_is_saved(tmp_path):
    model = toy.gan("mlp")
    toy.fit(model, 2, chosen=toy.points(), callbacks=[tg.EMACallback(0.5)])
    again = reloaded(model, tmp_path)
    assert [average.name for average in again.averages] == ["ema_0.5"]
    toy.assert_close(*states(model, again), 0)


def test_a_gan_that_was_not_compiled_is_saved_too(tmp_path):
    pair = toy.zoo.build("mlp", g_hidden=(4,), d_hidden=(4,))
    again = reloaded(tg.GAN(*pair, latent=latents.Hypersphere(2), name="other"), tmp_path)
    assert (again.compiled, again.latent, again.name) == (False, latents.Hypersphere(2), "other")


def test_a_clone_is_the_same_gan_with_new_weights():
    model = every_kind()
    clone = keras.models.clone_model(model)
    assert parts(clone) == parts(model)
    assert clone.get_compile_config() == model.get_compile_config()
    assert clone.state().keys() == model.state().keys()


@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="needs JAX: pip install jax")
def test_a_file_is_loaded_by_a_new_process_under_the_other_backend(tmp_path):
    model = toy.gan("mlp", averages=[tg.EMA(0.5)])
    toy.fit(model, 2, chosen=toy.points())
    model.save(tmp_path / "gan.keras")
    latent = np.ones((3, 2), "float32")
    program = (
        "import keras, numpy\nfrom tfgan_ema import GAN\n"
        f"gan = keras.models.load_model({os.fspath(tmp_path / 'gan.keras')!r})\n"
        "print(gan.steps_done, *gan.generate(numpy.ones((3, 2))).ravel())"
    )
    words = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"KERAS_BACKEND": "jax"},
        capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    assert words[0] == "2"
    images = np.array(words[1:], float).reshape(3, 2)
    np.testing.assert_allclose(images, model.generate(latent), atol=1e-5)


ALPHA = {"alpha": {"alpha_d": 0.5, "alpha_g": float("inf")}}
PARTS = [
    *(losses.get(name, **ALPHA.get(name, {})) for name in losses.names()),
    *(penalties.get(name) for name in penalties.names()),
    tg.EMA(half_life=500, ramp=0.1, statistics="copy", name="mine"), tg.UniformAverage(),
    tg.LeakyEMA(0.3, start_step="auto", average="mine", ramp=4), tg.LeakyEMA(mode="same_top_k"),
    latents.Normal(4), latents.Uniform(2), latents.Constant(), tg.DiffAugment(["cutout"]),
]  # fmt: skip


@pytest.mark.parametrize("part", PARTS, ids=lambda part: type(part).__name__)
def test_every_part_is_made_again_from_its_configuration(part):
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(part)))
    again = keras.saving.deserialize_keras_object(config)
    assert type(again) is type(part)
    assert json.loads(json.dumps(keras.saving.serialize_keras_object(again))) == config


@dataclasses.dataclass(frozen=True)
class Tilted(losses.Loss):
    """A loss of one's own."""

    tilt: float

    def discriminator(self, real, fake, **kwargs):
        return keras.ops.mean(fake) - self.tilt * keras.ops.mean(real)

    def generator(self, real, fake, **kwargs):
        return -keras.ops.mean(fake)


def test_parts_of_ones_own_are_saved_like_any_other(tmp_path):
    again = reloaded(toy.gan("mlp", loss=Tilted(0.5)), tmp_path)
    assert again.loss_pair == Tilted(0.5)


class Dice:
    """A prior without a configuration."""

    dim = 2

    def draw(self, rows, draws, truncation=None):
        return draws.normal((rows, 2), "latent")


class OfAnObject(keras.Model):
    """A network that Keras cannot write down."""

    def __init__(self, last):
        super().__init__()
        self.last = last
        self.dense = keras.layers.Dense(2)

    def call(self, z):
        return self.last(self.dense(z))


def with_a_lambda():
    layers = [keras.Input((2,)), keras.layers.Dense(2), keras.layers.Lambda(lambda x: 2 * x)]
    return keras.Sequential(layers)


def subclassed():
    network = OfAnObject(keras.activations.tanh.__call__)
    network(np.zeros((1, 2), "float32"))
    return network


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"generator": with_a_lambda}, r"the generator <Sequential .* \(it holds a lambda"),
        ({"generator": subclassed}, "the generator <OfAnObject"),
        ({"latent": Dice}, "the latent <.*Dice"),
        ({"augment": lambda: [lambda images, draws: images]}, "the augment <function"),
    ],
)
def test_what_cannot_be_saved_is_named_before_anything_is_written(tmp_path, options, words):
    pair = dict(zip(("generator", "discriminator"), toy.zoo.build("mlp"), strict=True))
    made = {name: make() for name, make in options.items()}
    model = tg.GAN(**{**pair, "latent": 2, **made})
    with pytest.raises(UsageError, match=words) as error:
        model.save(tmp_path / "gan.keras")
    assert "\n" not in str(error.value)
    assert "gan.save_weights(), tg.Checkpoint or tg.export.saved_model" in str(error.value)
    assert not list(tmp_path.iterdir())


def test_a_file_is_replaced_whole_or_stays(tmp_path, monkeypatch):
    gan, path = toy.gan("mlp"), tmp_path / "gan.keras"
    gan.save(path)
    before = path.read_bytes()
    with pytest.raises(UsageError, match="exists: pass overwrite=True"):
        gan.save(path, overwrite=False)

    def full(self, path, **options):
        Path(path).write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(keras.Model, "save", full)
    with pytest.raises(OSError, match=r"gan\.keras"):
        gan.save(path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["gan.keras"]


def test_what_keras_exports_is_the_averaged_generator(tmp_path):
    model = toy.gan(averages=[tg.EMA(0.5)])
    toy.fit(model, 2)
    model.export(tmp_path / "served", verbose=False)
    latent = np.ones((3, 6), "float32")
    served = tf.saved_model.load(str(tmp_path / "served"))
    np.testing.assert_allclose(served.serve(latent), model.generate(latent), atol=1e-5)
    with pytest.raises(UsageError, match=r"gan.ready_generator\(\).save"):
        model.quantize("int8")


def test_weights_that_are_set_reach_the_averaged_generator():
    model = toy.gan(averages=[tg.EMA(0.5)])
    weights = model.get_weights()
    latent = np.ones((2, 6), "float32")
    first = model.generate(latent)
    model.set_weights([np.zeros_like(weight) for weight in weights])
    assert np.abs(model.generate(latent) - first).max() > 0
    model.set_weights(weights)
    np.testing.assert_array_equal(model.generate(latent), first)
