"""A run: a resolved configuration, a work directory, and what is built from them.

A work directory holds ``run.json`` (the configuration and the data that were used),
``checkpoints/``, ``samples/``, ``metrics.csv``, ``evaluation.csv`` and TensorBoard events.
"""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_collections import ConfigDict

from tfgan_ema import files
from tfgan_ema.errors import UsageError, build, unknown

if TYPE_CHECKING:
    from keras.callbacks import Callback

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
    import zoo
    from tfgan_ema import data

    chosen = config.data
    return data.load_first(
        [name] if name else [known for known in (chosen.name, chosen.fallback) if known],
        split=chosen.split,
        image_size=chosen.image_size or zoo.entry(config.network.kind).image_size,
        channels=chosen.channels,
        data_dir=chosen.data_dir,
        labels=chosen.labels,
    )


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

    if config.precision not in PRECISIONS:
        raise unknown("precision", config.precision, PRECISIONS)
    keras.mixed_precision.set_global_policy(PRECISIONS[config.precision])
    keras.utils.set_random_seed(config.seed)
    parts = plain(config)
    size = {"image_size": shape[0], "channels": shape[2]} if len(shape) == 3 else {}
    network = functools.partial(zoo.build, **size, num_classes=num_classes)
    generator, discriminator = _build("network", parts["network"], network)
    if generator.output_shape[1:] != shape:
        raise UsageError(
            f"network {config.network.kind!r} makes samples of shape "
            f"{generator.output_shape[1:]}, the data have {shape}: choose another network or data "
            "set."
        )
    prior = functools.partial(latents.get, dim=generator.inputs[0].shape[-1])
    gan = GAN(
        generator,
        discriminator,
        latent=_build("latent", parts["latent"], prior),
        loss=_build("loss", parts["loss"], losses.get),
        penalties=_build_all(parts["penalties"], penalties.get),
        averages=_build_all(parts["averages"], averaging.get),
        leak=_build("leak", parts["leak"], _leak_or_top_k),
        augment=[_build(*item, augment.get) for item in (parts["augment"] or {}).items()],
        top_k=_build("top_k", parts["top_k"], _leak_or_top_k),
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


def _build(label: str, options: Mapping[str, Any] | None, get: Callable) -> Any:
    """``get(kind, **options)``, where the kind is the label unless the options name another."""
    if options is None:
        return None
    if not isinstance(options, Mapping):
        raise UsageError(f"{label} {options!r}: expected its options, or None.")
    try:
        return get(options.get("kind", label), **{k: options[k] for k in options if k != "kind"})
    except TypeError as error:  # for example a text where a number was expected
        raise UsageError(f"{label} {options}: a value has a wrong type ({error}).") from error


def _build_all(options: Mapping[str, Any] | None, get: Callable) -> list[Any]:
    """A part for each label, which becomes its name."""
    parts = {label: _build(label, chosen, get) for label, chosen in (options or {}).items()}
    for label, part in parts.items():
        part.name = label
    return list(parts.values())


def _leak_or_top_k(kind: str, **options: Any) -> Any:
    from tfgan_ema import mixing

    if kind == "leak" and "model" in options:  # the folder of an exported generator
        from tfgan_ema import export

        options["model"] = export.load_generator(options["model"])
    return build("part", kind, {"leak": mixing.LeakyEMA, "top_k": mixing.TopK}, options)


# Work directories


def read_run(workdir: str | os.PathLike) -> dict[str, Any]:
    """The content of ``run.json``: config, data (name, shape, num_classes), versions, device.

    Raises:
        UsageError: the folder is not a run's, or an older version's.
    """
    path = Path(workdir) / "run.json"
    try:
        run = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError(
            f"{workdir} is not a work directory: it has no run.json; expected the --workdir of "
            "`tfgan-ema train`."
        ) from None
    except json.JSONDecodeError as error:
        raise UsageError(f"{path} is damaged ({error}): restore it or train anew.") from None
    if not (isinstance(run, dict) and {"config", "data", "versions"} <= run.keys()):
        raise UsageError(f"{path} was not written by `tfgan-ema train`: name another folder.")
    if run.get("format") != FORMAT:
        raise UsageError(
            f"{workdir} was made by an older version of tfgan_ema: train anew, or use version "
            "0.1.0."
        )
    return run


def write_run(
    workdir: str | os.PathLike, config: ConfigDict, source: Source, num_classes: int | None
) -> None:
    """Writes ``run.json``."""
    import importlib.metadata as metadata

    import keras

    from tfgan_ema import __version__
    from tfgan_ema.engines import devices

    packages = (keras.config.backend(), "keras", "numpy")
    versions = {package: metadata.version(package) for package in packages}
    run = {
        "format": FORMAT,
        "config": plain(config),
        "data": {"name": source.name, "shape": list(source.shape), "num_classes": num_classes},
        "versions": versions | {"tfgan_ema": __version__},
        "device": devices.device_kind(),
    }
    files.write_text(Path(workdir) / "run.json", json.dumps(run, indent=2) + "\n")


def load_run(workdir: str | os.PathLike, step: int | None = None) -> GAN:
    """The GAN of a work directory with the weights of a checkpoint, by default the latest.

    Raises:
        UsageError: not a work directory, or no such checkpoint in it.
    """
    from tfgan_ema import checkpoint

    run = read_run(workdir)
    folder = Path(workdir) / "checkpoints"
    if not checkpoint.checkpoints(folder):
        raise UsageError(f"{workdir} has no checkpoint yet: train it until `checkpoint_every`.")
    data = run["data"]
    gan = build_gan(ConfigDict(run["config"]), tuple(data["shape"]), data["num_classes"])
    checkpoint.restore(gan, folder, step)
    return gan


def _claim(config: ConfigDict, workdir: Path, force: bool) -> dict[str, Any] | None:
    """What is recorded of the run in ``workdir``, or ``None`` for a new one.

    Raises:
        UsageError: the folder holds something else, or a run with another configuration.
    """
    if not (workdir / "run.json").exists():
        if workdir.exists() and (not workdir.is_dir() or any(workdir.iterdir())):
            raise UsageError(
                f"--workdir={workdir} exists and holds no run: choose an empty or a new folder."
            )
        return None
    run = read_run(workdir)
    old, new = flatten(run["config"]), flatten(plain(config))
    differ = [
        f"{key} (was {old.get(key)!r}, now {new.get(key)!r})"
        for key in sorted({*old, *new})
        if old.get(key) != new.get(key)
    ]
    if differ and not force:
        raise UsageError(
            f"--workdir={workdir} belongs to a run with another configuration: "
            f"{'; '.join(differ)}. Choose another folder, or pass --force_config to continue with "
            "the new one."
        )
    return run


# Training


def train(
    config: ConfigDict,
    workdir: str | os.PathLike | None,
    strategy: Any,
    *,
    force_config: bool = False,
    dry_run: bool = False,
) -> int:
    """Trains the run of a work directory, from its latest checkpoint if it has one.

    Args:
        config: see ``configs/base.py``.
        workdir: where everything is written; a folder of another run is refused. ``None`` only for
            a dry run.
        strategy: from `tfgan_ema.engines.devices.strategy`.
        force_config: continue even if the recorded configuration differs.
        dry_run: print the resolved configuration, parameter counts and the first batch's shape,
            and write nothing.

    Returns:
        0, or 1 when training stopped because it diverged.

    Raises:
        UsageError: bad configuration, data or folder.
    """
    from configs import base
    from tfgan_ema import callbacks, checkpoint, data
    from tfgan_ema.engines import devices

    base.check(config)
    run = None if workdir is None else _claim(config, Path(workdir), force_config)
    replicas = strategy.num_replicas_in_sync
    if config.batch_size % (replicas * config.accumulate):
        raise UsageError(
            f"batch_size {config.batch_size} over {replicas} replicas and accumulate "
            f"{config.accumulate}: it must be divisible by their product."
        )
    source = load_source(config, run["data"]["name"] if run else None)
    num_classes = source.num_classes if config.data.labels else None
    with strategy.scope():
        gan = build_gan(config, source.shape, num_classes)
    if dry_run:
        _describe(config, gan, source)
        return 0
    workdir = Path(workdir)
    step = checkpoint.restore(gan, workdir / "checkpoints") or 0
    chief = devices.is_chief(gan)
    if chief and (run is None or force_config):
        write_run(workdir, config, source, num_classes)
    if step >= config.steps:
        print(f"{workdir} is complete: {step} of {config.steps} steps.")
        return 0
    print(f"resuming at step {step}" if step else f"training {config.steps} steps")
    batches = functools.partial(
        data.pipeline,
        source,
        config.n_dis * config.batch_size,
        seed=config.seed,
        start=step,
        flip=config.data.flip,
        labels=num_classes is not None,
    )
    guard = callbacks.StopOnNaN(workdir)
    gan.last_step = config.steps
    gan.fit(
        devices.distribute(strategy, lambda shard: batches(shard=shard)),
        steps_per_epoch=config.steps - step,
        callbacks=[guard, *_callbacks(config, workdir, source, chief)],
        shuffle=False,  # the pipeline has done it
        verbose=1 if sys.stdout.isatty() else 0,
    )
    if guard.message:
        print(f"tfgan-ema train: {guard.message}", file=sys.stderr)
        return 1
    print(f"done: {workdir}")
    return 0


def _callbacks(config: ConfigDict, workdir: Path, source: Source, chief: bool) -> list[Callback]:
    """What watches a run. The checkpoints come last, to hold what an evaluation has set."""
    from tfgan_ema import callbacks, metrics, records

    events = records.Events(workdir) if chief else None
    points = source.batch(range(min(source.count, 2000)))[0] if len(source.shape) == 1 else None
    found = [
        callbacks.SampleGrid(
            workdir,
            every=config.sample_every,
            count=64 if points is None else 2000,
            seed=config.seed,
            reference=points,
            events=events,
        ),
        callbacks.MetricsLog(workdir, every=config.log_every, events=events),
        callbacks.Checkpoint(workdir, every=config.checkpoint_every, keep=config.keep_checkpoints),
    ]
    if config.evaluate_every:
        options = dict(config.evaluate, reference=config.evaluate.reference or source)
        best = {key: options.pop(key) for key in ("best_metric", "smaller_is_better")}
        evaluator = metrics.Evaluator(**options, seed=config.seed)
        every = config.evaluate_every
        found.insert(-1, callbacks.Evaluate(evaluator, workdir, every=every, events=events, **best))
    return found


def _describe(config: ConfigDict, gan: GAN, source: Source) -> None:
    print(ConfigDict(plain(config)))
    for player in (gan.generator, gan.discriminator):
        print(f"{player.name}: {player.count_params():,} parameters")
    print(f"data: {source.name}, {source.count:,} samples of shape {source.shape}")
    rows = config.n_dis * config.batch_size
    print(f"first batch: {(rows, *source.shape)} ({config.n_dis} x {config.batch_size} rows)")
