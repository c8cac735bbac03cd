"""usage: tfgan-ema zoo list
       tfgan-ema zoo show NAME [flags]
       tfgan-ema zoo gallery --out=FILE.html
       tfgan-ema zoo check NAME
       tfgan-ema zoo add NAME --workdir=DIR [--average=0] [--metrics=...] [--overwrite]
       tfgan-ema zoo push NAME --out=DIR|hf:OWNER/NAME [--overwrite]
       tfgan-ema zoo pull DIR|hf:OWNER/NAME --out=DIR [--overwrite]
       tfgan-ema zoo convert NAME --checkpoint=FILE --out=FILE.keras [flags]

`list` prints the networks (resolution, trainable parameters, paper, the public implementation that
the recipe follows and its licence), then the trained models. `show` prints the layers of a network
or the card of a trained model. `gallery` writes one HTML page of all trained models. `check` tests
the card of a trained model: its samples, drawn with TensorFlow alone, and its scores. `add` makes a
trained model of a finished run of `tfgan-ema train --config=shipped:NAME`. `push` copies a trained
model with its card to a folder or to the Hugging Face hub, `pull` brings it from there, compares
checksums, and gives a folder for `--model`. `convert` writes a Keras
model with the weights of a PyTorch checkpoint of mimicry (sngan_*, wgan_gp_*), BigGAN-PyTorch
(biggan_*) or StyleGAN2-ADA (stylegan2_*).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import zoo
from tfgan_ema import command, files, progress
from tfgan_ema.cli import tables
from tfgan_ema.errors import UsageError, unknown
from zoo import shipped

if TYPE_CHECKING:
    import keras

FLAGS = command.new_flags(
    (
        "image_size",
        command.whole(),
        None,
        "Height and width of the images (default: the recipe's).",
    ),
    ("channels", command.CHANNELS, 3, "Channels of the images, 1 or 3."),
    ("width", command.number("(0, inf)"), 1.0, "Factor of every hidden width."),
    ("num_classes", command.whole(), None, "Classes of a conditional network."),
    ("checkpoint", str, None, "PyTorch checkpoint to convert."),
    (
        "out",
        str,
        None,
        "What to write: a Keras model (*.keras), the gallery (*.html), or where a model is copied.",
    ),
    ("workdir", str, None, "Work directory of the finished run to add."),
    ("average", str, "0", "Index or name of the average to add."),
    ("metrics", list, None, "Metrics of the card (default: the run's)."),
    (
        "samples",
        command.whole(2),
        10_000,
        "Number of samples in each set that is scored for the card.",
    ),
    ("overwrite", bool, False, "Replace a trained model, or what is at --out (push, pull)."),
    (
        "part",
        command.one_of("generator", "discriminator"),
        "generator",
        "What to convert: generator or discriminator.",
    ),
    ("prefix", str, None, "Prefix of the network's tensors in the checkpoint (default: detected)."),
    (
        "mapping_layers",
        command.whole(),
        None,
        "Layers of StyleGAN2's mapping (default: the recipe's).",
    ),
)


_BUILT = ("image_size", "channels", "width", "num_classes")
_TAKES = {  # the flags of each action
    "list": (),
    "show": _BUILT,
    "gallery": ("out",),
    "check": (),
    "add": ("workdir", "average", "metrics", "samples", "overwrite"),
    "push": ("out", "overwrite"),
    "pull": ("out", "overwrite"),
    "convert": ("checkpoint", "out", "part", "prefix", "mapping_layers", *_BUILT),
}


def _zoo(values: command.Flags, positional: list[str]) -> int | None:
    without_name = {"list": _list, "gallery": _gallery}
    named = {"show": _show, "check": _check, "add": _add, "convert": _convert}
    actions = {**without_name, **named, "push": _push, "pull": _pull}
    if not positional:
        raise UsageError(f"say what to do: {', '.join(actions)}.")
    action, *names = positional
    if action not in actions:
        raise unknown("action", action, actions)
    if action in without_name and names:
        raise UsageError(
            f"{action} takes no name: leave {names[0]!r} out, or use `zoo show {names[0]}`."
        )
    if action not in without_name and len(names) != 1:
        raise UsageError(f"{action}: expected one name, got {names or 'none'}; see `zoo list`.")
    others = set(values) - {*_TAKES[action], "help", "h", "quiet"}
    command.given(values, sorted(others), f"has no meaning for `zoo {action}`")
    return actions[action](values, *names)


def _list(values: command.Flags) -> None:
    rows = [("network", "size", "G", "D", "paper", "recipe as in")]
    for name, row in zoo.CATALOGUE.items():
        size = "2-D" if row.image_size is None else str(row.image_size)
        counts = [f"{count:,}" for count in row.parameters]
        rows.append((name, size, *counts, row.paper, row.reference))
    tables.print_table(rows, right=(1, 2, 3))
    models = [("trained model", "network", "data", "steps", "MB")]
    for card in map(shipped.card, shipped.names()):
        name, network, data = card["name"], card["config"]["network"]["kind"], card["data"]["name"]
        models.append((name, network, data, f"{card['steps']:,}", f"{card['bytes'] / 1e6:.1f}"))
    print()
    tables.print_table(models, right=(3, 4))


def _show(values: command.Flags, name: str) -> None:
    if name in shipped.names():
        print((shipped.folder(name) / "card.md").read_text(encoding="utf-8"))
        return
    if name not in zoo.CATALOGUE:
        raise unknown("network or trained model", name, [*zoo.CATALOGUE, *shipped.names()])
    command.start_engine()
    row, models = zoo.entry(name), _build(values, name)
    print(f"{name}: {row.paper}; recipe as in {row.reference}")
    for model in models:
        inputs = ", ".join(f"{tensor.name} {tensor.shape}" for tensor in model.inputs)
        output = model.outputs[0].shape
        print(f"\n{model.name}: {inputs} -> {output}, {_parameters(model):,} parameters")
        for layer in _layers(model):
            if layer.weights:
                kind, shape = type(layer).__name__, str(layer.output.shape)
                print(f"  {layer.name:24}{kind:22}{shape:>22}{_parameters(layer):>14,}")


def _build(values: command.Flags, name: str, **options) -> tuple[keras.Model, keras.Model]:
    classes = values.num_classes
    return zoo.build(
        name,
        image_size=values.image_size,
        channels=values.channels,
        width=values.width,
        num_classes=zoo.entry(name).num_classes if classes is None else classes,
        **options,
    )


def _parameters(layer: keras.layers.Layer) -> int:
    return sum(math.prod(weight.shape) for weight in layer.trainable_weights)


def _layers(model: keras.Model) -> Iterator[keras.layers.Layer]:
    """The layers of a functional model and, in their place, of its submodels."""
    for layer in model.layers:
        yield from _layers(layer) if hasattr(layer, "layers") else [layer]


def _gallery(values: command.Flags) -> None:
    _require(values, "out")
    command.check_output("out", values.out)
    command.start_engine()
    from tfgan_ema.lab.reports import gallery

    files.write_text(values.out, gallery.page())
    progress.note(values.out)


def _check(values: command.Flags, name: str) -> int:
    shipped.folder(name)  # a wrong name is refused at once
    command.start_engine()
    from tfgan_ema.lab.reports import cards

    claims = cards.check(name)
    for claim, holds in claims.items():
        print(f"{'holds' if holds else 'FAILS'}: {claim}")
    return 0 if all(claims.values()) else 1


def _add(values: command.Flags, name: str) -> None:
    _require(values, "workdir")
    from tfgan_ema import runs

    runs.read_run(values.workdir)  # a wrong folder is refused at once
    command.start_engine()
    from tfgan_ema.lab.reports import cards

    folder = cards.add(
        name,
        values.workdir,
        average=command.average(values.average),
        metrics=values.metrics,
        samples=values.samples,
        overwrite=values.overwrite,
    )
    progress.note(f"{folder}: look at samples.png and card.md")


def _push(values: command.Flags, name: str) -> None:
    _require(values, "out")
    shipped.folder(name)  # a wrong name is refused at once
    from tfgan_ema.lab import hub

    if not values.out.startswith(hub.HUB):
        command.check_output("out", values.out, "folder")
    progress.note(f"{name}: {hub.push(name, values.out, overwrite=values.overwrite)}")


def _pull(values: command.Flags, source: str) -> None:
    _require(values, "out")
    command.check_output("out", values.out, "folder")
    from tfgan_ema.lab import hub

    progress.note(f"{source}: {hub.pull(source, Path(values.out), overwrite=values.overwrite)}")


def _convert(values: command.Flags, name: str) -> None:
    _require(values, "checkpoint", "out")
    if Path(values.out).suffix != ".keras":
        raise UsageError(f"--out={values.out}: expected a file ending in .keras.")
    command.check_output("out", values.out)
    family = zoo.entry(name).family
    command.start_engine()
    from tfgan_ema.interop.convert import load_weights
    from tfgan_ema.interop.pytorch import read_tensors

    tensors = read_tensors(values.checkpoint)
    options = {"reading": "mimicry"} if family == "resnet" else {}
    if values.mapping_layers is not None:
        options["mapping_layers"] = values.mapping_layers
    models = dict(zip(("generator", "discriminator"), _build(values, name, **options), strict=True))
    model = models[values.part]
    load_weights(model, tensors, family, values.prefix)
    with files.replacing(values.out) as temporary:
        model.save(temporary)
    progress.note(f"{values.out}: {model.name} of {name}, {_parameters(model):,} parameters")


def _require(values: command.Flags, *names: str) -> None:
    for name in names:
        if not values[name].value:
            raise UsageError(f"--{name} is missing: {values[name].help}")


main = command.main(_zoo, FLAGS, __doc__)
