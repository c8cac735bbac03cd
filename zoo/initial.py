"""Sizes of activations at initialisation; a wrong one spoils a reproduction without any error.

    python -m zoo.initial [--seeds=3] [--rows=32] [NAME ...]

prints, for each network, the root mean square of every stage in training mode: the blocks of
residual networks, else the layers with a kernel. Latents are N(0, I); discriminators read noise of
standard deviation 1/2, about as large as images in [-1, 1]. Mean and standard deviation over seeds.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence

import keras
import numpy as np

import zoo


def stages(model: keras.Model) -> dict[str, keras.KerasTensor]:
    """The outputs that show how signals grow, by layer name, in the order of the layers."""
    layers = model.layers
    if any(re.fullmatch(r"block\d+", layer.name) for layer in layers):
        chosen = [x for x in layers if re.fullmatch(r"dense|block\d+|to_image|logits", x.name)]
    elif any(hasattr(layer, "strength") for layer in layers):
        chosen = [x for x in layers if x.name.endswith(("_noise", "_rgb_bias"))]
    else:
        chosen = [x for x in layers if hasattr(x, "kernel")]
    return {layer.name: layer.output for layer in chosen}


def scales(model: keras.Model, inputs: Sequence[np.ndarray]) -> dict[str, float]:
    """Root mean squares of the stages for one batch, in training mode.

    Args:
        model: a generator (its synthesis, if it has one) or a discriminator.
        inputs: arrays for the model's inputs.
    """
    outputs = stages(model)
    probe = keras.Model(model.inputs, list(outputs.values()))
    values = probe(list(inputs), training=True)
    return {
        name: float(np.sqrt(np.mean(np.square(np.asarray(value, "float64")))))
        for name, value in zip(outputs, values, strict=True)
    }


def measure(name: str, seed: int, rows: int = 32, **options) -> dict[str, dict[str, float]]:
    """`scales` of both networks for one initialisation.

    Args:
        name: the name of a network of the zoo.
        seed: seed of the weights and inputs.
        rows: images in the batch.
        **options: for `zoo.build`.
    """
    keras.utils.set_random_seed(seed)
    rng = np.random.default_rng(seed)
    options.setdefault("num_classes", zoo.entry(name).num_classes)
    generator, discriminator = zoo.build(name, **options)
    inputs = [rng.normal(size=(rows, *x.shape[1:])).astype("float32") for x in generator.inputs]
    if options["num_classes"]:
        inputs[1] = rng.integers(0, options["num_classes"], rows)
    network, network_inputs = generator, inputs
    if generator.layers[-1].name == "synthesis":
        mapped = generator.get_layer("mapping")(inputs if len(inputs) > 1 else inputs[0])
        network, network_inputs = generator.layers[-1], keras.tree.flatten(mapped)
    images = rng.normal(0, 0.5, (rows, *discriminator.inputs[0].shape[1:])).astype("float32")
    return {
        "generator": scales(network, network_inputs),
        "discriminator": scales(discriminator, [images, *inputs[1:]]),
    }


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=32)
    flags = parser.parse_args()
    print("| network | root mean square of its stages, first to last |\n|---|---|")
    for name in flags.names or zoo.names():
        runs = [measure(name, seed, flags.rows) for seed in range(flags.seeds)]
        for player in ("generator", "discriminator"):
            values = np.array([list(run[player].values()) for run in runs])
            cells = ", ".join(
                f"{mean:.2g} ± {spread:.1g}"
                for mean, spread in zip(values.mean(0), values.std(0), strict=True)
            )
            print(f"| {name} {player[0].upper()} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
