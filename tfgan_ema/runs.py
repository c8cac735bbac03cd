"""A run: a resolved configuration, a work directory, and what is built from them.

A work directory holds ``run.json`` (the configuration and the data that were used),
``checkpoints/``, ``samples/``, ``metrics.csv``, ``evaluation.csv`` and TensorBoard events.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_collections import ConfigDict

from tfgan_ema import files, reading, run_record
from tfgan_ema.errors import UsageError, build

if TYPE_CHECKING:
    from tfgan_ema.data import Source
    from tfgan_ema.gan import GAN

FORMAT = 2  # of run.json; the first had no number
PRECISIONS = {"float32": "float32", "bfloat16": "mixed_bfloat16", "float16": "mixed_float16"}


# Configurations


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested configuration as dotted keys."""
    flat = {}
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def plain(config: ConfigDict) -> dict[str, Any]:
    """A configuration as JSON holds it, without the options of parts that are ``None``."""
    from configs import base

    content = json.loads(config.to_json())
    return {k: _without_none(v) if k in base.PARTS else v for k, v in content.items()}


def _without_none(tree: Any) -> Any:
    if not isinstance(tree, dict):
        return tree
    return {key: _without_none(value) for key, value in tree.items() if value is not None}


# What is built from one


def load_source(config: ConfigDict, name: str | None = None) -> Source:
    """The data set of a configuration; ``name`` overrides the configured one.

    Raises:
        UsageError: it is not available, and there is no fallback.
    """
    from tfgan_ema import data

    chosen = config.data
    source = data.load_first(
        [name] if name else [known for known in (chosen.name, chosen.fallback) if known],
        split=chosen.split,
        image_size=_image_size(config, name or chosen.name),
        channels=chosen.channels,
        data_dir=chosen.data_dir,
        labels=chosen.labels,
    )
    count = chosen.get("count")
    return source if count is None else data.choose(source, count, chosen.get("seed") or 0)


def outline(config: ConfigDict, name: str | None = None) -> Source:
    """As `load_source`, but nothing is downloaded.

    A set that is not on disk comes without samples, with the shape and the classes that its
    catalogue gives.
    """
    import numpy as np

    from tfgan_ema import cache, data
    from tfgan_ema.data import catalog, sets

    chosen, name = config.data, name or config.data.name
    data.check(name, chosen.split)
    kind, _, argument = name.partition(":")
    if data.on_disk(name, chosen.data_dir):
        return load_source(config, name)
    shape, names = (None, None, None), None
    if kind == "tfds":
        built, _ = catalog.find_builder(argument, cache.cache_dir(chosen.data_dir))
        image, label = catalog.image_and_label(built)
        features = built.info.features
        shape, names = features[image].shape, label and tuple(features[label].names)
    elif kind in (*sets.SETS, *sets.BUILT_OF):
        shape, names = sets.form(kind)
    size = _image_size(config, name) or shape[0]
    if size is None:
        return load_source(config, name)  # which asks for a size
    samples = np.zeros((0, size, size, chosen.channels or shape[2] or 3), "uint8")
    labels = np.zeros(0, "int32") if names else None
    source = data.Source(name, samples, labels, names and len(names), names)
    return source.require_labels() if chosen.labels else source


def _image_size(config: ConfigDict, name: str) -> int | None:
    """What is configured, or else what the network of the zoo expects of images."""
    import zoo
    from tfgan_ema import data

    kind = config.network.kind
    free = ":" in kind or name in data.MIXTURES
    return config.data.image_size or (None if free else zoo.entry(kind).image_size)


def build_gan(config: ConfigDict, shape: tuple[int, ...], num_classes: int | None) -> GAN:
    """The compiled GAN of a configuration, inside the current strategy's scope.

    Args:
        config: a resolved configuration.
        shape: of one sample, (h, w, c) or (2,).
        num_classes: of a conditional GAN.

    Raises:
        UsageError: parts that are unknown or do not fit.
    """
    import keras

    import zoo
    from tfgan_ema import augment, averaging, latents, losses, penalties
    from tfgan_ema.gan import GAN

    keras.mixed_precision.set_global_policy(PRECISIONS[config.precision])
    keras.utils.set_random_seed(config.seed)
    parts = plain(config)
    size = {"image_size": shape[0], "channels": shape[2]} if len(shape) == 3 else {}
    size["num_classes"] = num_classes
    generator, discriminator = _build("network", parts["network"], zoo.build, **size)
    if generator.output_shape[1:] != shape:
        raise UsageError(
            f"network {config.network.kind!r} makes samples of shape "
            f"{generator.output_shape[1:]}, the data have {shape}: choose another network or data "
            "set."
        )
    width = generator.inputs[0].shape[-1]
    gan = GAN(
        generator,
        discriminator,
        latent=_build("latent", parts["latent"], latents.get, dim=width),
        loss=_build("loss", parts["loss"], losses.get),
        penalties=_build_all(parts["penalties"], penalties.get),
        averages=_build_all(parts["averages"], averaging.get),
        leak=_build("leak", parts["leak"], _get),
        augment=[_build(*item, augment.get) for item in (parts["augment"] or {}).items()],
        top_k=_build("top_k", parts["top_k"], _get),
        lookahead=_build("lookahead", parts.get("lookahead"), _get),  # older runs have none
        n_dis=config.n_dis,
        update_order=config.update_order,
        accumulate=config.accumulate,
        num_classes=num_classes,
        seed=config.seed,
        track_gradients=config.track_gradients,
    )
    gan.compile(
        parts["d_optimizer"],
        parts["g_optimizer"],
        steps_per_execution=config.steps_per_execution,
        jit_compile=config.jit,
    )
    return gan


def _build(label: str, options: Mapping[str, Any] | None, get: Callable, **given: Any) -> Any:
    """``get(kind, **given, **options)``; the kind is the label unless the options name another.

    A kind ``MODULE:NAME`` is imported, and called with those of ``given`` that it takes.
    """
    if options is None:
        return None
    if not isinstance(options, Mapping):
        raise UsageError(f"{label} {options!r}: expected its options, or None.")
    kind, options = options.get("kind", label), {k: options[k] for k in options if k != "kind"}
    if ":" in str(kind):
        get = imported(label, kind)
        takes = inspect.signature(get).parameters
        given = {key: value for key, value in given.items() if key in takes}
    else:
        get = functools.partial(get, kind)
    for key in given.keys() & options.keys():
        raise UsageError(f"{label}.{key} {options[key]!r}: it follows from the data; leave it out.")
    try:
        return get(**given, **options)
    except TypeError as error:  # for example a text where a number was expected
        raise UsageError(f"{label} {options}: a value has a wrong type ({error}).") from error


def imported(label: str, path: str) -> Callable:
    """What ``MODULE:NAME`` names, for a part called ``label``; see `look_in`.

    Raises:
        UsageError: no such module, or nothing of that name in it.
    """
    module, _, name = path.partition(":")
    try:
        found = getattr(importlib.import_module(module), name, None)
    except (ImportError, ValueError) as error:
        raise UsageError(
            f"{label} {path!r}: {error}; expected MODULE:NAME of a module beside the configuration "
            "or in the current folder."
        ) from error
    if found is None:
        raise UsageError(f"{label} {path!r}: {module} has no {name!r}; name a class or a function.")
    return found


def look_in(folder: str | os.PathLike | None) -> None:
    """Lets `imported` find modules of this folder and of the current one, after all others."""
    for place in (folder, os.getcwd()):
        if place is not None and str(place) not in sys.path:
            sys.path.append(str(place))


def _build_all(options: Mapping[str, Any] | None, get: Callable) -> list[Any]:
    """A part for each label, which becomes its name."""
    parts = {label: _build(label, chosen, get) for label, chosen in (options or {}).items()}
    for label, part in parts.items():
        part.name = label
    return list(parts.values())


def _get(kind: str, **options: Any) -> Any:
    """A part of which there is one kind."""
    from tfgan_ema import lookahead, mixing

    if kind == "leak" and "model" in options:  # the folder of an exported generator
        from tfgan_ema import export

        options["model"] = export.load_generator(options["model"])
    kinds = {"leak": mixing.LeakyEMA, "apa": mixing.apa, "top_k": mixing.TopK}
    return build("part", kind, kinds | {"lookahead": lookahead.Lookahead}, options)


# Work directories


def read_run(workdir: str | os.PathLike) -> dict[str, Any]:
    """The content of ``run.json``: config, data, versions, device; see `write_run`.

    Raises:
        UsageError: the folder is not a run's, another version's, or its ``run.json`` is damaged.
    """
    from configs import base

    path = Path(workdir) / "run.json"
    if not path.exists():
        raise UsageError(
            f"{workdir} is not a work directory: it has no run.json; expected the folder of a run "
            "of `tfgan-ema train`."
        )
    with reading.refusing(f"{path} is damaged", "restore it or train anew."):
        run = reading.json_value(path)
        if not (isinstance(run, dict) and {"config", "data", "versions"} <= run.keys()):
            raise UsageError(f"{path} was not written by `tfgan-ema train`: name another folder.")
        if "format" not in run:
            raise UsageError(
                f"{workdir} was made by an older version of tfgan_ema: train anew, or use version "
                "0.1.0."
            )
        run_record.check(run, FORMAT)
        if run["config"] is not None:  # then it was not made in Python
            base.check_recorded(run["config"])
    return run


def write_run(
    workdir: str | os.PathLike,
    config: ConfigDict,
    source: Source,
    num_classes: int | None,
    folder: str | os.PathLike | None = None,
) -> None:
    """Writes ``run.json``; ``folder`` is where the modules of its own parts are, see `look_in`."""
    data = {"name": source.name, "shape": list(source.shape)}
    data |= {"num_classes": num_classes, "class_names": source.class_names}
    write_record(workdir, {"config": plain(config), "data": data}, folder)


def write_record(
    workdir: str | os.PathLike, record: Mapping[str, Any], folder: str | os.PathLike | None
) -> None:
    """Writes ``run.json`` of a record, with the versions and the device of this process."""
    import importlib.metadata as metadata

    import keras

    from tfgan_ema import __version__
    from tfgan_ema.engines import devices

    packages = (keras.config.backend(), "keras", "numpy")
    versions = {package: metadata.version(package) for package in packages}
    run = {
        "format": FORMAT,
        **record,
        "versions": versions | {"tfgan_ema": __version__},
        "device": devices.device_kind(),
        "folder": None if folder is None else str(folder),
    }
    files.write_text(Path(workdir) / "run.json", json.dumps(run, indent=2) + "\n")


def class_names(workdir: str | os.PathLike) -> list[str] | None:
    """The names of the classes of a run's data set, by index; ``None`` if they have none."""
    return read_run(workdir)["data"].get("class_names")


def load_run(workdir: str | os.PathLike, step: int | None = None) -> GAN:
    """The GAN of a work directory with the weights of a checkpoint, by default the latest.

    Averages that were made after training follow its own.

    Raises:
        UsageError: not a work directory, or no such checkpoint in it.
    """
    from tfgan_ema import checkpoint, posthoc, recorded

    run = read_run(workdir)
    folder = Path(workdir) / "checkpoints"
    if not checkpoint.checkpoints(folder):
        raise UsageError(f"{workdir} has no checkpoint yet: train it until `checkpoint_every`.")
    data = run["data"]
    look_in(run.get("folder"))
    problem = f"the GAN in {workdir}/run.json cannot be made again"
    with reading.refusing(problem, "restore the file or train anew."):
        if run["config"] is None:  # it was made in Python
            gan = recorded.make(run["made_of"])
        else:
            gan = build_gan(ConfigDict(run["config"]), tuple(data["shape"]), data["num_classes"])
    checkpoint.restore(gan, folder, step)
    for name, average in posthoc.kept(workdir).items():
        posthoc.add(gan, name, average, workdir)
    return gan


def claimed(
    workdir: Path, differences: Callable[[dict[str, Any]], list[str]], force: bool
) -> dict[str, Any] | None:
    """What is recorded of the run in ``workdir``, or ``None`` for a new one.

    Args:
        workdir: the folder of the run; it need not exist.
        differences: in what a record differs from the run that is about to be trained.
        force: go on in spite of them.

    Raises:
        UsageError: the folder holds something else, or a run that differs.
    """
    if not (workdir / "run.json").exists():
        # A run that was killed before its first file leaves hidden ones.
        empty = workdir.is_dir() and all(map(files.is_hidden, workdir.iterdir()))
        if workdir.exists() and not empty:
            raise UsageError(
                f"workdir={workdir} exists and holds no run: choose an empty or a new folder."
            )
        return None
    run = read_run(workdir)
    differ = differences(run)
    if differ and not force:
        raise UsageError(
            f"workdir={workdir} belongs to a run with another configuration: "
            f"{'; '.join(differ)}. Choose another folder, or pass force_config=True to continue "
            "with the new one."
        )
    return run


def differences(config: ConfigDict, run: Mapping[str, Any]) -> list[str]:
    """The keys in which a configuration differs from a run's; a run may be given more steps."""
    if run["config"] is None:
        return ["it was made in Python"]
    old, new = flatten(run["config"]), flatten(plain(config))
    new["precision"] = old["precision"] if new["precision"] == "auto" else new["precision"]
    return [
        f"{key} (was {old.get(key)!r}, now {new.get(key)!r})"
        for key in sorted({*old, *new})
        if old.get(key) != new.get(key) and not (key == "steps" and new[key] > old[key])
    ]
