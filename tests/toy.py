"""Small GANs on random images, for tests that train a few steps."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import keras
import numpy as np
from PIL import Image

import tfgan_ema as tg
import zoo
from tfgan_ema import checkpoint, data, layers
from tfgan_ema.engines import devices


def source(size: int = 8, channels: int = 3, classes: int | None = None, count: int = 96) -> Any:
    """Random images, with labels when there are classes."""
    rng = np.random.default_rng(5)
    images = rng.integers(0, 256, (count, size, size, channels), dtype=np.uint8)
    labels = None if classes is None else rng.integers(0, classes, count).astype("int32")
    return data.Source("noise", images, labels, classes)


def photos(folder: Path) -> None:
    """Writes photos of several sizes and formats in two classes."""
    rng = np.random.default_rng(0)
    for name in ("cats", "dogs"):
        (folder / "photos" / name).mkdir(parents=True)
        for i in range(10):
            pixels = rng.integers(0, 256, (40 + i, 50, 3), dtype=np.uint8)
            ending = "jpg" if i % 2 else "png"
            Image.fromarray(pixels).save(folder / "photos" / name / f"{i}.{ending}")


def points(count: int = 512) -> Any:
    """The ring."""
    return data.load("ring", count=count)


def convolutional(classes: int | None) -> tuple[keras.Model, keras.Model]:
    """Generator with batch normalisation, discriminator with spectral normalisation; 8 px RGB."""
    latent = keras.Input((6,), name="latent")
    label = [] if classes is None else [keras.Input((), dtype="int32", name="label")]
    x = keras.layers.Dense(4 * 4 * 8)(latent)
    if label:
        x = keras.layers.Add()([x, keras.layers.Embedding(classes, 4 * 4 * 8)(label[0])])
    x = keras.layers.Reshape((4, 4, 8))(x)
    x = keras.layers.ReLU()(layers.batch_norm(momentum=0.99, epsilon=1e-3)(x))
    x = keras.layers.Conv2DTranspose(3, 4, 2, padding="same", activation="tanh", dtype="float32")(x)
    generator = keras.Model([latent, *label] if label else latent, x, name="generator")

    images = keras.Input((8, 8, 3), name="images")
    label = [] if classes is None else [keras.Input((), dtype="int32", name="label")]
    x = keras.layers.LeakyReLU(0.1)(layers.SNConv2D(8, 4, strides=2, padding="same")(images))
    x = keras.layers.Flatten()(x)
    logits = layers.SNDense(1)(x)
    if label:
        x = keras.layers.Dot(1)([x, layers.SNEmbedding(classes, x.shape[-1])(label[0])])
        logits = keras.layers.Add()([logits, x])
    discriminator = keras.Model([images, *label] if label else images, logits, name="discriminator")
    return generator, discriminator


def random_last_kernels(*networks: keras.Model) -> None:
    """The last kernels of R3GAN's blocks start at 0, which hides all that is in front of them."""
    rng = np.random.default_rng(9)
    for weight in (weight for network in networks for weight in network.weights):
        if weight.path.endswith("_conv3/kernel"):
            weight.assign(rng.normal(0, 0.2, weight.shape))


def gan(
    network: str = "conv", *, strategy: Any = None, compiled: dict | None = None, **options: Any
) -> Any:
    """A compiled GAN on small networks with weights fixed by a seed.

    ``conv`` and ``r3gan`` make 8 px images, ``mlp`` points, any other name is the zoo's at 1/16 of
    its width.
    """
    keras.utils.set_random_seed(3)
    classes = options.get("num_classes")
    scope = strategy.scope() if strategy else contextlib.nullcontext()
    with scope:
        if network == "mlp":
            pair = zoo.build("mlp", g_hidden=(16, 16), d_hidden=(16, 16))
        elif network == "conv":
            pair = convolutional(classes)
        elif network == "r3gan":
            pair = zoo.build("r3gan_32", image_size=8, width=1 / 48, num_classes=classes)
            random_last_kernels(*pair)
        else:
            pair = zoo.build(network, width=1 / 16, num_classes=classes)
        model = tg.GAN(*pair, latent=pair[0].inputs[0].shape[-1], seed=7, **options)
        # A large epsilon: where a gradient is 0, Adam must not make steps out of rounding.
        players = ("d_optimizer", "g_optimizer")
        made = {p: keras.optimizers.Adam(1e-3, beta_1=0.5, epsilon=1e-3) for p in players}
        model.compile(**{**made, **(compiled or {})})
    return model


def fit(
    model: Any,
    steps: int,
    *,
    batch_size: int = 8,
    chosen: Any = None,
    callbacks: list | None = None,
) -> dict[str, np.ndarray]:
    """Trains ``steps`` steps on; returns all state."""
    if chosen is None:
        chosen = source(model.generator.output_shape[1], model.generator.output_shape[-1],
                        model.num_classes)  # fmt: skip

    def pipeline(shard: tuple[int, int] = (0, 1)) -> Any:
        return data.pipeline(
            chosen,
            batch_size * model.n_dis,
            seed=1,
            start=model.steps_done,
            flip=len(chosen.shape) == 3,
            labels=model.num_classes is not None,
            shard=shard,
        )

    strategy = getattr(model, "distribute_strategy", None)  # TensorFlow's; JAX's is the process's
    batches = devices.distribute(strategy, pipeline)
    model.fit(batches, steps_per_epoch=steps, verbose=0, shuffle=False, callbacks=callbacks)
    return checkpoint.to_arrays(model.state())


def assert_close(one: dict, other: dict, tolerance: float) -> None:
    """All arrays equal to an absolute and relative tolerance; 0 means bit for bit."""
    assert one.keys() == other.keys()
    for name, value in one.items():
        if tolerance == 0:
            np.testing.assert_array_equal(value, other[name], err_msg=name)
        else:
            np.testing.assert_allclose(
                value, other[name], atol=tolerance, rtol=tolerance, err_msg=name
            )
