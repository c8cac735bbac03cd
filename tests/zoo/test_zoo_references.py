"""The same weights give the same output as the reference implementations.

Fixtures come from ``fixtures/make_references.py``.
"""

import sys
from pathlib import Path

import keras
import numpy as np
import pytest

import zoo
from tfgan_ema.errors import UsageError
from tfgan_ema.interop.convert import FORMATS, load_weights
from tfgan_ema.interop.pytorch import read_tensors

FIXTURES = Path(__file__).parent / "fixtures"
sys.path.insert(0, str(FIXTURES))
from draw import uniform, weights  # noqa: E402

sys.path.pop(0)
MIMICRY = {"reading": "mimicry"}
# fixture: name, width, options
RESNETS = {
    "sngan_32": ("sngan_32", 1.0, MIMICRY),
    "sngan_48": ("sngan_48", 1 / 16, MIMICRY),
    "sngan_64": ("sngan_64", 1 / 16, MIMICRY),
    "sngan_128": ("sngan_128", 1 / 16, MIMICRY),
    "cgan_pd_32": ("sngan_32", 1 / 8, {"num_classes": 5, **MIMICRY}),
    "wgan_gp_32": ("wgan_gp_32", 1 / 8, MIMICRY),
    "wgan_gp_48": ("wgan_gp_48", 1 / 16, MIMICRY),
}
BIGGANS = {
    "biggan_128": ("biggan_128", 1 / 12, {"num_classes": 5}),
    "biggan_32": ("biggan_32", 1 / 8, {"num_classes": 5}),
}
R3GANS = {
    "r3gan_32": ("r3gan_32", 1 / 16, {}),
    "r3gan_64": ("r3gan_64", 1 / 16, {}),
    "r3gan_conditional_32": ("r3gan_32", 1 / 16, {"num_classes": 5}),
    "r3gan_conditional_64": ("r3gan_64", 1 / 16, {"num_classes": 5}),
}
STYLEGANS = {
    "stylegan2_32": ("stylegan2_32", {}),
    "stylegan2_conditional_32": ("stylegan2_32", {"num_classes": 3}),
    "stylegan2_residual_32": ("stylegan2_256", {"image_size": 32}),
}


def load(fixture):
    with np.load(FIXTURES / f"{fixture}.npz") as file:
        return dict(file)


def build(name, fixture, width, options):
    """Networks with the reference's weights."""
    generator, discriminator = zoo.build(name, width=width, **options)
    for model, part in ((generator, "G"), (discriminator, "D")):
        load_weights(model, weights(fixture, part), zoo.entry(name).family)
    return generator, discriminator


def thinned(images):
    images = np.moveaxis(np.asarray(images), 3, 1)
    return images[:, :, 1::3, ::5] if images.shape[-1] <= 32 else images[:, :, 5::16, ::11]


def latent(generator, rows=2):
    return 2 * uniform((0, 0), (rows, generator.inputs[0].shape[-1]))


def close(ours, theirs, tolerance=1e-4):
    """The largest difference is at most ``tolerance`` of the largest value."""
    ours = np.asarray(ours)
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() <= tolerance * max(1, np.abs(theirs).max())


SLOW = ("sngan_48", "sngan_64", "wgan_gp_48", "r3gan_32", "r3gan_64")


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, marks=pytest.mark.slow) if case in SLOW else case
        for case in RESNETS | BIGGANS | R3GANS
    ],
)
def test_same_output(case):
    name, width, options = (RESNETS | BIGGANS | R3GANS)[case]
    reference = load(case)
    generator, discriminator = build(name, reference, width, options)
    for model, part in ((generator, "G"), (discriminator, "D")):
        # A plan that forgets a weight would leave it at its random start.
        plan = FORMATS[zoo.entry(name).family][1](model)
        assert {w.path for w in model.weights if not w.path.endswith("/v")} == set(plan)
        # What the reference lists as parameters is what is trained here.
        buffers = ("running_mean", "running_var", "stored_mean", "stored_var", "_u", "_v", "u0")
        theirs = [v.size for k, v in weights(reference, part).items() if not k.endswith(buffers)]
        assert sum(int(np.prod(w.shape)) for w in model.trainable_weights) == sum(theirs)
    labels = [np.array([1, 4])] if options.get("num_classes") else []
    z = latent(generator)
    images = generator([z, *labels] if labels else z)
    close(thinned(images), reference["images"])
    assert reference["images"].std() > 0.02  # not a constant picture
    logits = discriminator([np.asarray(images), *labels] if labels else images)
    close(logits, reference["logits"])


def test_the_papers_reading_is_another_function():
    reference = load("cgan_pd_32")
    generator, _ = build("sngan_32", reference, 1 / 8, {"num_classes": 5})
    images = generator([latent(generator), np.array([1, 4])])
    assert np.abs(thinned(images) - reference["images"]).max() > 0.05


@pytest.mark.parametrize("case", STYLEGANS)
def test_same_output_of_stylegan2(case):
    name, options = STYLEGANS[case]
    options = {"latent_dim": 32, "std_group": 4, **options}
    reference = load(case)
    generator, discriminator = build(name, reference, 1 / 16, options)
    labels = [np.array([0, 1, 2, 1])] if options.get("num_classes") else []
    z = latent(generator, 4)
    inputs = [z, *labels] if labels else z
    close(generator.get_layer("mapping")(inputs), reference["styles"])
    images = np.asarray(generator(inputs))
    close(thinned(images), reference["images"])
    close(discriminator([images, *labels] if labels else images), reference["logits"])

    from zoo.stylegan2 import truncated

    close(thinned(truncated(generator, 0.5)(inputs)), reference["truncated"])
    silent, _ = zoo.build(name, width=1 / 16, noise="none", **options)
    tensors = {k: v for k, v in weights(reference, "G").items() if ".noise_" not in k}
    load_weights(silent, tensors, "stylegan2")
    close(thinned(silent(inputs)), reference["silent"])
    assert np.abs(reference["silent"] - reference["images"]).max() > 0.01


def test_noise_in_the_latent_is_the_same_function():
    """noise="input" with the constant images in the latent equals noise="const"."""
    reference = load("stylegan2_32")
    options = {"latent_dim": 32, "std_group": 4}
    const, _ = build("stylegan2_32", reference, 1 / 16, options)
    tensors = weights(reference, "G")
    images = [v for k, v in tensors.items() if k.endswith("noise_const")]
    order = [4, *(r for r in (8, 16, 32) for _ in range(2))]
    assert [v.shape[0] for v in images] == order
    names = [k for k in tensors if k.endswith("noise_const")]
    sequence = sorted(names, key=lambda k: (int(k.split(".")[1][1:]), k))
    noise = np.concatenate([tensors[k].ravel() for k in sequence])
    free, _ = zoo.build("stylegan2_32", width=1 / 16, noise="input", **options)
    assert free.inputs[0].shape[-1] == 32 + noise.size
    rest = {k: v for k, v in tensors.items() if not k.endswith("noise_const")}
    load_weights(free, rest, "stylegan2")
    z = latent(const, 2)
    long = np.concatenate([z, np.tile(noise, (2, 1))], axis=1)
    close(free(long), np.asarray(const(z)), 1e-5)
    assert np.abs(np.asarray(free(long[:, ::-1].copy())) - np.asarray(const(z))).max() > 0.01


@pytest.mark.parametrize(("name", "width"), [("stylegan2_32", 1 / 64), ("r3gan_32", 1 / 96)])
def test_a_published_pickle_of_modules(name, width):
    """As the authors publish them: the averaged generator in a pickle of modules."""
    family = zoo.entry(name).family
    tensors = read_tensors(FIXTURES / f"{family}_small.pkl")
    generator, _ = zoo.build(name, image_size=8, width=width, latent_dim=8)
    load_weights(generator, tensors, family)
    close(thinned(generator(latent(generator))), load(f"{family}_small")["images"])


def test_another_architecture_is_named():
    reference = load("cgan_pd_32")
    tensors = weights(reference, "G")
    narrow, _ = zoo.build("sngan_32", width=1 / 16, num_classes=5, reading="mimicry")
    before = [np.asarray(w) for w in narrow.weights]
    with pytest.raises(UsageError) as error:
        load_weights(narrow, tensors, "resnet")
    message = str(error.value)
    assert "\n" not in message
    assert "l1.weight (512, 128) does not fit dense/kernel (128, 256)" in message
    plain, _ = zoo.build("sngan_32", width=1 / 8)
    with pytest.raises(UsageError, match=r"block2\.b1\.weight is missing"):
        load_weights(plain, tensors, "resnet")
    with pytest.raises(UsageError, match=r"without output_layer\.0\.gain"):
        load_weights(zoo.build("biggan_32", width=1 / 8, num_classes=5)[0], tensors, "biggan")
    with pytest.raises(UsageError, match="no converter"):
        load_weights(narrow, tensors, "dcgan")
    for old, new in zip(before, narrow.weights, strict=True):
        np.testing.assert_array_equal(old, new)


def test_a_network_inside_a_larger_checkpoint():
    reference = load("biggan_32")
    tensors = {f"module.{k}": v for k, v in weights(reference, "G").items()}
    generator, _ = zoo.build("biggan_32", width=1 / 8, num_classes=5)
    load_weights(generator, tensors, "biggan")
    images = generator([latent(generator), np.array([1, 4])])
    close(thinned(images), reference["images"])
    twice = {f"a.{k}": v for k, v in tensors.items()} | {f"b.{k}": v for k, v in tensors.items()}
    with pytest.raises(UsageError, match="choose a prefix"):
        load_weights(generator, twice, "biggan")
    load_weights(generator, twice, "biggan", prefix="b.module.")


def test_converted_models_save(tmp_path):
    reference = load("biggan_32")
    generator, _ = build("biggan_32", reference, 1 / 8, {"num_classes": 5})
    generator.save(tmp_path / "g.keras")
    again = keras.models.load_model(tmp_path / "g.keras")
    images = again([latent(again), np.array([1, 4])])
    close(thinned(images), reference["images"])
