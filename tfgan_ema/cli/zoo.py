"""``tfgan-ema zoo``: networks and trained models: lists, shows, converts, adds, checks them."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags

from tfgan_ema.cli import command
from tfgan_ema.errors import UsageError, unknown

if TYPE_CHECKING:
    import keras

USAGE = """
usage: tfgan-ema zoo list
       tfgan-ema zoo show NAME [flags]
       tfgan-ema zoo gallery --out=FILE.html
       tfgan-ema zoo check NAME
       tfgan-ema zoo add NAME --workdir=DIR [--average=0] [--metrics=...] [--overwrite]
       tfgan-ema zoo convert NAME --checkpoint=FILE --out=FILE.keras [flags]

`list` prints every network with its resolution, trainable parameters, paper, and the public
implementation whose reading of the recipe it follows (with that one's licence), then the trained
models. `show` builds a network and prints its layers, or prints the card of a trained model.
`gallery` writes one HTML page of all trained models. `check` loads one with TensorFlow alone,
compares its samples with its card's and scores it again. `add` makes a trained model, with its
card, of a finished run of `tfgan-ema train --config=shipped:NAME`. `convert` reads a PyTorch
checkpoint of mimicry (sngan_*, wgan_gp_*), BigGAN-PyTorch (biggan_*) or StyleGAN2-ADA
(stylegan2_*), tensors only, into the network NAME, and writes a Keras model.
"""

FLAGS = command.new_flags()
flags.DEFINE_integer(
    "image_size", None, "Height and width; the recipe's unless given.", flag_values=FLAGS
)
flags.DEFINE_integer("channels", 3, "Channels of the images: 1 or 3.", flag_values=FLAGS)
flags.DEFINE_float("width", 1.0, "Factor of every hidden width.", flag_values=FLAGS)
flags.DEFINE_integer("num_classes", None, "Classes of a conditional network.", flag_values=FLAGS)
flags.DEFINE_string("checkpoint", None, "PyTorch checkpoint to convert.", flag_values=FLAGS)
flags.DEFINE_string(
    "out", None, "What is written: a Keras model, *.keras, or the gallery.", flag_values=FLAGS
)
flags.DEFINE_string("workdir", None, "The finished run to add.", flag_values=FLAGS)
flags.DEFINE_string("average", "0", "Index or name of the average to add.", flag_values=FLAGS)
flags.DEFINE_list("metrics", None, "In the card; those of the run's configuration.",
                  flag_values=FLAGS)  # fmt: skip
flags.DEFINE_integer("samples", 10_000, "In each set that the card scores.", flag_values=FLAGS)
flags.DEFINE_bool("overwrite", False, "Replace a trained model.", flag_values=FLAGS)
flags.DEFINE_string(
    "part", "generator", "What to convert: generator or discriminator.", flag_values=FLAGS
)
flags.DEFINE_string(
    "prefix",
    None,
    "Prefix of the network's tensors in a checkpoint that holds several; found unless given.",
    flag_values=FLAGS,
)
flags.DEFINE_integer(
    "mapping_layers",
    None,
    "Layers of StyleGAN2's mapping; the recipe's unless given.",
    flag_values=FLAGS,
)


def main(argv: Sequence[str]) -> int:
    """Runs the command; returns its exit code."""
    return command.run(_zoo, FLAGS, USAGE, argv)


def _zoo(values: flags.FlagValues, positional: list[str]) -> int | None:
    actions = {
        "list": _list, "show": _show, "gallery": _gallery, "check": _check, "add": _add,
        "convert": _convert,
    }  # fmt: skip
    if not positional:
        raise UsageError(f"say what to do: {', '.join(actions)}.")
    action, *rest = positional
    if action not in actions:
        raise unknown("action", action, actions)
    return actions[action](values, rest)


def _list(values: flags.FlagValues, names: list[str]) -> None:
    import zoo

    if names:
        raise UsageError(f"{names[0]!r}: list takes no name; did you mean `zoo show {names[0]}`?")
    rows = [("network", "size", "G", "D", "paper", "recipe as in")]
    for name, row in zoo.CATALOGUE.items():
        size = "2-D" if row.image_size is None else str(row.image_size)
        counts = [f"{count:,}" for count in row.parameters]
        rows.append((name, size, *counts, row.paper, row.reference))
    _print_table(rows, right=(1, 2, 3))
    models = [("trained model", "network", "data", "steps", "MB")]
    for name in zoo.shipped.names():
        card = zoo.shipped.card(name)
        network, data = card["config"]["network"]["name"], card["data"]["name"]
        models.append((name, network, data, f"{card['steps']:,}", f"{card['bytes'] / 1e6:.1f}"))
    print()
    _print_table(models, right=(3, 4))


def _print_table(rows: Sequence[Sequence[str]], right: Sequence[int]) -> None:
    """Columns, those of these indices set to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        print("  ".join(cells).rstrip())


def _build(values: flags.FlagValues, names: list[str], **options) -> tuple[keras.Model, ...]:
    import zoo

    if len(names) != 1:
        raise UsageError(f"expected one network's name, got {names or 'none'}; see `zoo list`.")
    row = zoo.entry(names[0])
    classes = row.num_classes if values.num_classes is None else values.num_classes
    return zoo.build(
        names[0],
        image_size=values.image_size,
        channels=values.channels,
        width=values.width,
        num_classes=classes,
        **options,
    )


def _show(values: flags.FlagValues, names: list[str]) -> None:
    import zoo

    trained = zoo.shipped.names()
    if len(names) == 1 and names[0] in trained:
        print((zoo.shipped.folder(names[0]) / "card.md").read_text(encoding="utf-8"), end="")
        return
    if len(names) == 1 and names[0] not in zoo.CATALOGUE:
        raise unknown("network or trained model", names[0], [*zoo.CATALOGUE, *trained])
    models = _build(values, names)
    row = zoo.entry(names[0])
    print(f"{names[0]}: {row.paper}; recipe as in {row.reference}")
    for model in models:
        inputs = ", ".join(f"{tensor.name} {_shape(tensor.shape)}" for tensor in model.inputs)
        count = sum(math.prod(weight.shape) for weight in model.trainable_weights)
        print(f"\n{model.name}: {inputs} -> {_shape(model.outputs[0].shape)}, {count:,} parameters")
        for layer in _leaves(model):
            if layer.weights:
                count = sum(math.prod(weight.shape) for weight in layer.trainable_weights)
                kind, shape = type(layer).__name__, _shape(layer.output.shape)
                print(f"  {layer.name:24}{kind:22}{shape:>20}{count:>14,}")


def _leaves(model: keras.Model) -> list[keras.layers.Layer]:
    """The layers of a functional model, those of its submodels in their place."""
    found = []
    for layer in model.layers:
        found += _leaves(layer) if hasattr(layer, "layers") else [layer]
    return found


def _shape(shape: Sequence[int | None]) -> str:
    return "[" + ", ".join("n" if side is None else str(side) for side in shape) + "]"


def _gallery(values: flags.FlagValues, names: list[str]) -> None:
    if names:
        raise UsageError(f"{names[0]!r}: the gallery shows all trained models; leave the name out.")
    if not values.out:
        raise UsageError("--out is missing: the page to write, e.g. --out=gallery.html.")
    out = Path(values.out)
    command.check_output("out", out)
    command.start_engine()
    from tfgan_ema.lab.reports import gallery

    page = gallery.page()
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(page, encoding="utf-8")
    print(out)


def _one(names: list[str]) -> str:
    if len(names) != 1:
        raise UsageError(f"expected one trained model's name, got {names or 'none'}.")
    return names[0]


def _check(values: flags.FlagValues, names: list[str]) -> int:
    from zoo import shipped

    shipped.folder(_one(names))  # a wrong name is refused at once
    command.start_engine()
    from tfgan_ema.lab.reports import cards

    claims = cards.check(names[0])
    for claim, holds in claims.items():
        print(f"{'holds' if holds else 'FAILS'}: {claim}")
    return 0 if all(claims.values()) else 1


def _add(values: flags.FlagValues, names: list[str]) -> None:
    name = _one(names)
    if not values.workdir:
        raise UsageError("--workdir is missing: the finished run of `tfgan-ema train`.")
    command.start_engine()
    from tfgan_ema.lab.reports import cards

    folder = cards.add(
        name,
        values.workdir,
        average=values.average,
        metrics=values.metrics,
        samples=values.samples,
        overwrite=values.overwrite,
    )
    print(f"{folder}: look at samples.png and card.md")


def _convert(values: flags.FlagValues, names: list[str]) -> None:
    import zoo

    for name in ("checkpoint", "out"):
        if not values[name].value:
            raise UsageError(f"--{name} is missing.")
    if values.part not in ("generator", "discriminator"):
        raise UsageError(f"--part={values.part}: expected generator or discriminator.")
    out = Path(values.out)
    if out.suffix != ".keras":
        raise UsageError(f"--out={values.out}: expected a file ending in .keras.")
    if len(names) == 1 and zoo.entry(names[0]).family not in ("resnet", "biggan", "stylegan2"):
        raise UsageError(
            f"{names[0]}: there is no converter for it; there are some for sngan_*, wgan_gp_*, "
            "biggan_* and stylegan2_*."
        )
    from tfgan_ema.interop.pytorch import read_tensors

    tensors = read_tensors(values.checkpoint)
    options = {}
    family = zoo.entry(names[0]).family if names else ""
    if family == "resnet":
        options["reading"] = "mimicry"
    if values.mapping_layers is not None:
        options["mapping_layers"] = values.mapping_layers
    from tfgan_ema.interop.convert import load_weights

    generator, discriminator = _build(values, names, **options)
    model = generator if values.part == "generator" else discriminator
    load_weights(model, tensors, family, values.prefix)
    out.parent.mkdir(parents=True, exist_ok=True)
    model.save(out)
    count = sum(math.prod(weight.shape) for weight in model.trainable_weights)
    print(f"{out}: {model.name} of {names[0]}, {count:,} parameters")


if __name__ == "__main__":
    sys.exit(main(["tfgan-ema zoo", *sys.argv[1:]]))
