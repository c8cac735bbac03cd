"""Trains the small classifiers behind the feature spaces of grey-scale sets.

    python -m tfgan_ema.lab.classifier --data=fashion_mnist

writes ``fashion_classifier.npz`` into `tfgan_ema.metrics` and prints its accuracy on the test
split; with ``--check`` it only measures the file that is there.
"""

import sys

import keras
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from tfgan_ema import command, data, files
from tfgan_ema.errors import unknown
from tfgan_ema.metrics import classifier
from tfgan_ema.metrics.networks import grey_classifier
from tfgan_ema.metrics.weights import fold

BATCH = 128

FLAGS = command.new_flags(
    ("data", str, "fashion_mnist", "mnist or fashion_mnist."),
    ("epochs", command.whole(), 12, "Passes over the training split."),
    ("seed", command.SEED, 0, "Seed of the initial weights, the order and the shifts."),
    ("check", bool, False, "Only measure the stored classifier."),
)


def train(
    images: np.ndarray, labels: np.ndarray, *, epochs: int, seed: int, flip: bool
) -> keras.Model:
    """A trained `networks.grey_classifier` for uint8 images ``[n, 28, 28, 1]``.

    Each pass sees every image shifted by up to 2 pixels and, if ``flip``, mirrored at random.
    """
    keras.utils.set_random_seed(seed)
    random = np.random.default_rng(seed)
    model = grey_classifier()
    learner = keras.Model(model.input, model.outputs[1])
    steps = epochs * (-(-len(images) // BATCH))
    rate = keras.optimizers.schedules.CosineDecay(2e-3, steps, alpha=0.01)
    learner.compile(
        keras.optimizers.AdamW(rate, weight_decay=1e-3), "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )  # fmt: skip
    for epoch in range(epochs):
        learner.fit(
            _shifted(images, random, flip), labels, batch_size=BATCH,
            initial_epoch=epoch, epochs=epoch + 1, verbose=2,
        )  # fmt: skip
    return model


def save(model: keras.Model, space: str) -> None:
    """Stores a trained classifier with its normalisation folded in, as float16."""
    arrays = {}
    for layer in model.layers:
        if layer.name.startswith("conv_"):
            norm = model.get_layer(f"norm_{layer.name[5:]}")
            names = ("gamma", "beta", "mean", "variance")
            statistics = dict(zip(names, map(np.asarray, norm.weights), strict=True))
            kernel, bias = fold(np.asarray(layer.kernel), 0.0, **statistics, epsilon=norm.epsilon)
        elif layer.name == "head":
            kernel, bias = map(np.asarray, layer.weights)
        else:
            continue
        arrays[f"{layer.name}/kernel"] = kernel.astype(np.float16)
        arrays[f"{layer.name}/bias"] = bias.astype(np.float16)
    with files.replacing(classifier.path(space)) as temporary:
        np.savez_compressed(temporary, **arrays)


def accuracy(space: str, images: np.ndarray, labels: np.ndarray) -> float:
    """The stored classifier's share of right answers on uint8 images."""
    model = grey_classifier(classifier.load(space))
    _, probabilities = model.predict(images.astype(np.float32), batch_size=500, verbose=0)
    return float((probabilities.argmax(axis=1) == labels).mean())


def _shifted(images: np.ndarray, random: np.random.Generator, flip: bool) -> np.ndarray:
    padded = np.pad(images, ((0, 0), (2, 2), (2, 2), (0, 0)))
    windows = sliding_window_view(padded, images.shape[1:3], axis=(1, 2))  # [n, 5, 5, c, h, w]
    down, right = random.integers(5, size=(2, len(images)))
    shifted = np.moveaxis(windows[np.arange(len(images)), down, right], 1, -1)
    if flip:
        mirrored = random.random(len(images)) < 0.5
        shifted[mirrored] = shifted[mirrored, :, ::-1]
    return shifted.astype(np.float32)


def _run(values: command.Flags, _: list[str]) -> None:
    if values.data not in classifier.SPACES:
        raise unknown("data set for a classifier", values.data, classifier.SPACES)
    space = classifier.SPACES[values.data]
    if not values.check:
        source = data.load(values.data, split="train")
        images, labels = source.batch(np.arange(source.count))
        flip = values.data == "fashion_mnist"  # a mirrored digit is another sign
        save(train(images, labels, epochs=values.epochs, seed=values.seed, flip=flip), space)
    source = data.load(values.data, split="test")
    share = accuracy(space, *source.batch(np.arange(source.count)))
    size = classifier.path(space).stat().st_size
    print(f"{space}: test accuracy {share:.4f} on {source.count} images, {size} bytes")


main = command.main(_run, FLAGS, __doc__)

if __name__ == "__main__":
    sys.exit(main(sys.argv))
