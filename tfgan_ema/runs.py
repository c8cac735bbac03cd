"""A run: a resolved configuration, a work directory, and what is built from them.

A work directory holds ``run.json`` (the configuration and the data that were found),
``checkpoints/``, ``samples/``, ``metrics.csv``, ``evaluation.csv`` and TensorBoard events.
"""

from __future__ import annotations

import json
import math
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from tfgan_ema.errors import UsageError, unknown

PRECISIONS = {"float32": "float32", "bfloat16": "mixed_bfloat16", "float16": "mixed_float16"}
INTERVALS = ("log_every", "checkpoint_every", "sample_every", "evaluate_every")


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
    """A configuration as JSON would give it back."""
    return json.loads(config.to_json())


def check(config: ConfigDict) -> None:
    """Refuses values that no part would notice in time.

    Raises:
        UsageError: an unknown key or a value out of range.
    """
    from configs import base

    known = base.get_config()
    for key in config:
        if key not in known:
            raise unknown("config key", key, known)
    for key in ("data", "leak", "evaluate"):
        for name in config[key]:
            if name not in known[key]:
                raise unknown(f"config key in {key!r}", name, known[key])
    for key in ("steps", "batch_size", "n_dis", "accumulate", "steps_per_execution",
                "log_every", "checkpoint_every", "sample_every", "keep_checkpoints"):  # fmt: skip
        if config[key] < 1:
            raise UsageError(f"{key} {config[key]}: expected a whole number >= 1.")
    if config.evaluate_every < 0:
        raise UsageError(f"evaluate_every {config.evaluate_every}: expected 0 (never) or more.")
    if config.precision not in PRECISIONS:
        raise unknown("precision", config.precision, PRECISIONS)
    epoch_length(config)
    if config.leak.auto and not config.evaluate_every:
        raise UsageError(
            "leak.auto starts the leak where the evaluated metric flattens, but evaluate_every is "
            "0: set it."
        )


def epoch_length(config: ConfigDict, step: int = 0) -> int:
    """Generator steps in a Keras epoch: the greatest that ends at every interval.

    Args:
        config: a configuration.
        step: where training starts.

    Raises:
        UsageError: steps_per_execution does not divide it.
    """
    length = math.gcd(config.steps, step, *(config[key] for key in INTERVALS))
    if length % config.steps_per_execution:
        raise UsageError(
            f"steps_per_execution {config.steps_per_execution}: it must divide {length}, the "
            f"greatest common divisor of steps and {', '.join(INTERVALS)}."
        )
    return length


def load_source(config: ConfigDict, name: str | None = None) -> Any:
    """The data set of a configuration; ``name`` overrides the configured one.

    Raises:
        UsageError: it cannot be had, and there is no fallback.
    """
    import zoo
    from tfgan_ema import data

    chosen = config.data
    network = zoo.entry(config.network.name)
    options = {
        "split": chosen.split,
        "image_size": chosen.image_size or network.image_size,
        "channels": chosen.channels or None,
        "data_dir": chosen.data_dir or None,
        "labels": chosen.labels,
    }
    if name or not chosen.fallback:
        return data.load(name or chosen.name, **options)
    return data.load_first([chosen.name, chosen.fallback], **options)


def build_gan(config: ConfigDict, shape: tuple[int, ...], num_classes: int | None) -> Any:
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
    from tfgan_ema import averaging, gan, latents, losses, mixing, penalties

    keras.mixed_precision.set_global_policy(PRECISIONS[config.precision])
    keras.utils.set_random_seed(config.seed)
    network = plain(config)["network"]
    size = {"image_size": shape[0], "channels": shape[2]} if len(shape) == 3 else {}
    generator, discriminator = zoo.build(**size, num_classes=num_classes, **network)
    if generator.output_shape[1:] != shape:
        raise UsageError(
            f"network {network['name']!r} makes samples of shape {generator.output_shape[1:]}, the "
            f"data have {shape}: choose another network or data set."
        )
    options = plain(config)
    loss = options["loss"]
    rules = [averaging.get(**({"name": name} | rule)) for name, rule in options["averages"].items()]
    leak = options["leak"]
    auto = leak.pop("auto")
    if leak["beta"]:
        leak["start_step"] = "auto" if auto else leak["start_step"]
        leak["model"] = leak["model"] or None
        leak = mixing.LeakyEMA(**leak)
    else:
        leak = None
    latent_shape = generator.inputs[0].shape
    model = gan.GAN(
        generator,
        discriminator,
        latent=latents.get(config.latent, latent_shape[-1]),
        loss=losses.get(loss.pop("name"), **loss),
        penalties=[penalties.get(name, **p) for name, p in options["penalties"].items()],
        averages=rules,
        leak=leak,
        augment=[mixing.get(name, **a) for name, a in options["augment"].items()],
        top_k=mixing.TopK(**options["top_k"]) if options["top_k"] else None,
        n_dis=config.n_dis,
        update=config.update_order,
        accumulate=config.accumulate,
        num_classes=num_classes,
        seed=config.seed,
        track_gradients=config.track_gradients,
    )
    model.compile(
        options["d_optimizer"],
        options["g_optimizer"],
        steps_per_execution=config.steps_per_execution,
        jit_compile=config.jit,
    )
    return model


def read_run(workdir: str | os.PathLike) -> dict[str, Any]:
    """The content of ``run.json``: config, data (name, shape, num_classes), versions, device.

    Raises:
        UsageError: the folder is not a run's.
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
        raise UsageError(f"{path} is not that of `tfgan-ema train`: name another folder.")
    return run


def load_run(workdir: str | os.PathLike, step: int | None = None) -> Any:
    """The GAN of a work directory with the weights of a checkpoint, the latest unless told.

    Raises:
        UsageError: not a work directory, or no such checkpoint in it.
    """
    from tfgan_ema import checkpoint

    run = read_run(workdir)
    folder = Path(workdir) / "checkpoints"
    if not checkpoint.checkpoints(folder):
        raise UsageError(f"{workdir} has no checkpoint yet: train it until `checkpoint_every`.")
    data = run["data"]
    model = build_gan(ConfigDict(run["config"]), tuple(data["shape"]), data["num_classes"])
    checkpoint.restore(model, folder, step)
    return model


def find_average(gan: Any, name: str) -> int | None:
    """The average that a ``--average`` flag means: an index, a name, or ``raw``.

    Raises:
        UsageError: the GAN has no such average.
    """
    names = [shadow.rule.name for shadow in gan.shadows]
    if name == "raw":
        return None
    if name in names:
        return names.index(name)
    if name.isdecimal() and int(name) < max(len(names), 1):
        return int(name)
    raise unknown("average", name, [*names, "raw", *map(str, range(len(names)))])


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
        f"{key} (was {old.get(key, 'absent')!r}, now {new.get(key, 'absent')!r})"
        for key in sorted({*old, *new})
        if old.get(key) != new.get(key)
    ]
    if differ and not force:
        raise UsageError(
            f"--workdir={workdir} belongs to a run with another configuration: "
            f"{'; '.join(differ)}. Choose another folder, or pass --force_config to go on with "
            "the new one."
        )
    return run


def _record(config: ConfigDict, source: Any, num_classes: int | None) -> dict[str, Any]:
    import importlib.metadata as metadata

    import keras

    from tfgan_ema import __version__, engines

    packages = (keras.config.backend(), "keras", "numpy")
    versions = {package: metadata.version(package) for package in packages}
    return {
        "config": plain(config),
        "data": {"name": source.name, "shape": list(source.shape), "num_classes": num_classes},
        "versions": versions | {"tfgan_ema": __version__},
        "device": engines.current().device_kind(),
    }


def train(
    config: ConfigDict,
    workdir: str | os.PathLike | None,
    strategy: Any,
    *,
    force_config: bool = False,
    dry_run: bool = False,
) -> int:
    """Trains, or goes on training, the run of a work directory.

    Args:
        config: see ``configs/base.py``.
        workdir: where everything is written; a folder of another run is refused. ``None`` only for
            a dry run.
        strategy: from the engine's `strategy`.
        force_config: go on even if the recorded configuration differs.
        dry_run: print the resolved configuration, parameter counts and the first batch's shape,
            and write nothing.

    Returns:
        0, or 1 when training stopped because it diverged.

    Raises:
        UsageError: bad configuration, data or folder.
    """
    from tfgan_ema import checkpoint, data, engines

    check(config)
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
    rows = config.n_dis * config.batch_size
    if dry_run:
        _describe(config, gan, source, rows)
        return 0
    workdir = Path(workdir)
    workdir.mkdir(parents=True, exist_ok=True)
    step = checkpoint.restore(gan, workdir / "checkpoints") or 0
    chief = engines.current().is_chief(gan)
    if chief and (run is None or force_config):
        _write_json(workdir / "run.json", _record(config, source, num_classes))
    if step >= config.steps:
        print(f"{workdir} is complete: {step} of {config.steps} steps.")
        return 0
    if step:
        print(f"going on from step {step}")
    chunk = epoch_length(config, step)
    callbacks, guard = _callbacks(config, workdir, source, chief)

    def pipeline(shard: tuple[int, int]) -> Any:
        return data.pipeline(
            source,
            rows,
            seed=config.seed,
            start=step,
            flip=config.data.flip,
            labels=num_classes is not None,
            shard=shard,
        )

    started = time.perf_counter()
    gan.fit(
        engines.current().distribute(strategy, pipeline),
        steps_per_epoch=chunk,
        epochs=config.steps // chunk,
        initial_epoch=step // chunk,
        callbacks=callbacks,
        shuffle=False,  # the pipeline has done it
        verbose=1 if sys.stdout.isatty() else 2,
    )
    if guard.message:
        print(f"tfgan-ema train: {guard.message}", file=sys.stderr)
        return 1
    minutes = (time.perf_counter() - started) / 60
    print(f"trained {config.steps - step} steps in {minutes:.1f} minutes: {workdir}")
    return 0


def _callbacks(config: ConfigDict, workdir: Path, source: Any, chief: bool) -> tuple[list, Any]:
    from tfgan_ema import callbacks, metrics, records

    events = records.Events(workdir) if chief else None
    guard = callbacks.StopOnNaN(workdir)
    points = source.batch(range(min(source.count, 2000)))[0] if len(source.shape) == 1 else None
    found = [
        guard,
        callbacks.SampleGrid(
            workdir,
            every=config.sample_every,
            count=64 if points is None else 2000,
            seed=config.seed,
            reference=points,
            events=events,
        ),
        callbacks.MetricsLog(workdir, events=events),
    ]
    if config.averages:
        found.insert(1, callbacks.EMACallback())
    if config.evaluate_every:
        evaluator = metrics.Evaluator(
            metrics=list(config.evaluate.metrics),
            reference=config.evaluate.reference or source,
            samples=config.evaluate.samples,
            seed=config.seed,
        )
        found.append(
            callbacks.Evaluate(
                evaluator,
                workdir,
                every=config.evaluate_every,
                best_metric=config.evaluate.best_metric or None,
                smaller_is_better=config.evaluate.smaller_is_better,
                events=events,
            )
        )
    # Last, so that a checkpoint holds what an evaluation of the same step has set.
    found.append(
        callbacks.Checkpoint(workdir, every=config.checkpoint_every, keep=config.keep_checkpoints)
    )
    return found, guard


def _describe(config: ConfigDict, gan: Any, source: Any, rows: int) -> None:
    print(config)
    for player in (gan.generator, gan.discriminator):
        print(f"{player.name}: {player.count_params():,} parameters")
    print(f"data: {source.name}, {source.count:,} samples of shape {source.shape}")
    print(f"first batch: {(rows, *source.shape)} ({config.n_dis} x {config.batch_size} rows)")


def _write_json(path: Path, content: Any) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    temporary.replace(path)
