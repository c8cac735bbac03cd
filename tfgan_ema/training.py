"""Training the run of a work directory: what is checked first, what watches, what is written."""

from __future__ import annotations

import contextlib
import functools
import math
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_collections import ConfigDict

from tfgan_ema import files, progress, runs
from tfgan_ema.errors import UsageError, check_memory, unknown

if TYPE_CHECKING:
    from keras.callbacks import Callback

    from tfgan_ema.data import Source
    from tfgan_ema.gan import GAN
    from tfgan_ema.metrics import Evaluator


def train(
    config: ConfigDict,
    workdir: str | os.PathLike | None,
    strategy: Any,
    *,
    folder: str | os.PathLike | None = None,
    force_config: bool = False,
    dry_run: bool = False,
) -> int:
    """Trains the run of a work directory, from its latest checkpoint if it has one.

    Args:
        config: see ``configs/base.py``, whose ``check`` it has passed.
        workdir: where everything is written; a folder of another run is refused. ``None`` only for
            a dry run.
        strategy: from `tfgan_ema.engines.devices.strategy`.
        folder: where modules with parts of one's own are, besides the current folder.
        force_config: continue even if the recorded configuration differs.
        dry_run: check everything, print the resolved configuration, parameter counts and the first
            batch's shape, and write nothing; the data need not be on disk.

    Returns:
        0; 1 when training stopped because it diverged; 130 or 143 when Ctrl-C or SIGTERM stopped
        it, after it was saved.

    Raises:
        UsageError: bad configuration, data or folder, a folder in which another process trains, or
            workers that differ.
    """
    from tfgan_ema.engines import devices

    with devices.together(strategy):
        return _train(config, workdir, strategy, folder, force_config, dry_run)


def _train(
    config: ConfigDict,
    workdir: str | os.PathLike | None,
    strategy: Any,
    folder: str | os.PathLike | None,
    force_config: bool,
    dry_run: bool,
) -> int:
    from tfgan_ema import checkpoint, data
    from tfgan_ema.engines import devices

    runs.look_in(folder)
    differences = functools.partial(runs.differences, config)
    run = None if workdir is None else runs.claimed(Path(workdir), differences, force_config)
    replicas = strategy.num_replicas_in_sync
    if config.batch_size % (replicas * config.accumulate):
        raise UsageError(
            f"batch_size {config.batch_size} over {replicas} replicas and accumulate "
            f"{config.accumulate}: it must be divisible by their product."
        )
    name = run["data"]["name"] if run else None
    source = runs.outline(config, name)
    config = _with_precision(config, source.shape, run)
    facts = runs.flatten(runs.plain(config)) | {"dry_run": dry_run}
    devices.compare(strategy, facts | _contents(source))  # before there are variables to share
    gan, num_classes, evaluator = _parts(config, source, strategy, runs.outline)
    snapshots = _snapshots(config, gan)
    own = [_own_callback(path) for path in config.callbacks or ()]
    if dry_run:
        _describe(config, gan, source)
        print(snapshots, end="")
        return 0
    if not source.count:  # all else is right: now they may be downloaded
        source = runs.load_source(config, name)
        gan, num_classes, evaluator = _parts(config, source, strategy, runs.load_source)
    check_memory(
        f"batch_size {config.batch_size}",
        4 * config.n_dis * config.batch_size * math.prod(source.shape),
    )
    workdir, chief = Path(workdir), devices.is_chief(gan)
    latest = max(checkpoint.checkpoints(workdir / "checkpoints"), default=None)
    devices.compare(strategy, {"latest checkpoint in workdir": latest} | _contents(source))
    with files.claim(workdir) if chief else contextlib.nullcontext():
        if chief:
            run = runs.claimed(workdir, differences, force_config)  # now that no other one writes
            for each in (workdir, *workdir.iterdir()):
                files.clear_leftovers(each)  # and what a killed run no longer came to remove
            checkpoint.prune(workdir / "checkpoints", config.keep_checkpoints)
        step = checkpoint.restore(gan, workdir / "checkpoints") or 0
        if chief and (run is None or run["config"] != runs.plain(config)):
            runs.write_run(workdir, config, source, num_classes, folder)
        if step >= config.steps:
            progress.note(f"{workdir} is complete: {step} of {config.steps} steps.")
            return 0
        start = f"resuming at step {step}" if step else f"training {config.steps} steps"
        progress.note(f"{start}\n{snapshots}".strip())
        batches = functools.partial(
            data.pipeline,
            source,
            config.n_dis * config.batch_size,
            seed=config.seed,
            start=step,
            flip=config.data.flip,
            labels=num_classes is not None,
        )
        watching = [*_callbacks(config, workdir, source, evaluator), *own]
        shards = devices.distribute(strategy, lambda shard: batches(shard=shard))
        return _fit(gan, shards, config.steps, workdir, watching)


def _with_precision(
    config: ConfigDict, shape: tuple[int, ...], run: Mapping[str, Any] | None
) -> ConfigDict:
    """The configuration with a precision in place of ``auto``.

    A run that was begun before goes on in its own. A new one computes in bfloat16 if its samples
    are images and the device multiplies it faster than float32.
    """
    from tfgan_ema.engines import devices

    if config.precision != "auto":
        return config
    faster = len(shape) == 3 and devices.is_fast_in_bfloat16()
    chosen = run["config"]["precision"] if run else "bfloat16" if faster else "float32"
    return ConfigDict({**config, "precision": chosen})


def _fit(gan: GAN, batches: Any, steps: int, workdir: Path, watching: list[Callback]) -> int:
    """Trains up to a step, or until it diverges or is told to stop; returns the exit code."""
    from tfgan_ema import checkpoint, guards

    gan.last_step, to_do = steps, steps - gan.steps_done
    finite, start = guards.StopOnNaN(workdir), time.perf_counter()
    try:
        with (
            guards.StopOnSignal() as stop,
            progress.line("compiling", to_do, show=_on_terminal(), keep=True) as line,
        ):
            gan.fit(
                batches,
                steps_per_epoch=to_do,
                callbacks=[finite, stop, _shown_in(line, gan), *watching],  # what ends it is first
                shuffle=False,  # the pipeline has done it
                verbose=0,
            )
    except OSError as error:
        kept = (f"step {step}" for step in checkpoint.checkpoints(workdir / "checkpoints"))
        error.add_note(f"Checkpoints that are kept: {', '.join(kept) or 'none'}.")
        raise
    if finite.message:
        print(f"tfgan-ema train: {finite.message}", file=sys.stderr)
        return 1
    if stop.number and gan.steps_done < steps:
        print(
            f"tfgan-ema train: {signal.Signals(stop.number).name}: stopped at step "
            f"{gan.steps_done} of {steps} and saved in {workdir}. To continue, repeat the command.",
            file=sys.stderr,
        )
        return 128 + stop.number
    spent = ", ".join(f"{what} {progress.clock(line.spent[what])}" for what in line.spent)
    seconds = time.perf_counter() - start
    progress.note(f"done: {workdir} in {progress.clock(seconds)}{spent and f' ({spent})'}")
    return 0


def _on_terminal() -> bool:
    """Whether the output shows a bar, rather than lines that a file can hold."""
    return progress.visible() and sys.stdout.isatty()


def _shown_in(line: progress.Line, gan: GAN) -> Callback:
    """Moves a bar with a GAN's training, and shows the losses."""
    from keras.callbacks import LambdaCallback

    done = gan.steps_done

    def advance(batch: int, logs: Mapping[str, float]) -> None:
        nonlocal done
        line.rename("training")
        losses = {name: f"{logs[name]:.4g}" for name in ("d_loss", "g_loss")}
        line.advance(gan.steps_done - done, **losses)
        done = gan.steps_done

    return LambdaCallback(on_train_batch_end=advance)


def training_set(workdir: str | os.PathLike) -> Source:
    """The data that a run was trained on.

    Raises:
        UsageError: the run was trained from Python, or its data are gone.
    """
    run = runs.read_run(workdir)
    if run["config"] is None:
        raise UsageError(
            f"{workdir} was trained on {run['data']['name']}: give a reference to score against."
        )
    return runs.load_source(ConfigDict(run["config"]), run["data"]["name"])


def _parts(
    config: ConfigDict, source: Source, strategy: Any, load: Callable[..., Source]
) -> tuple[GAN, int | None, Evaluator | None]:
    """What is made from a configuration for a data set: the GAN, its classes, what scores it."""
    num_classes = source.num_classes if config.data.labels else None
    with strategy.scope():
        gan = runs.build_gan(config, source.shape, num_classes)
    return gan, num_classes, evaluator_of(config, source, load) if config.evaluate_every else None


def _own_callback(path: str) -> Callback:
    from keras.callbacks import Callback

    made = runs.imported("callback", path)()
    if not isinstance(made, Callback):
        raise UsageError(f"callback {path!r}: expected a class of keras.callbacks.Callback.")
    return made


def _contents(source: Source) -> dict[str, Any]:
    """What tells whether two workers read the same data."""
    return {
        "data set": source.name,
        "samples on disk": source.count,
        "shape of a sample": source.shape,
        "contents of the data": source.fingerprint(),
    }


def evaluator_of(config: ConfigDict, source: Source, load: Callable[..., Source]) -> Evaluator:
    """What scores a run against its own data or others; ``load`` loads those of another split.

    Raises:
        UsageError: metrics, options or a reference that are unknown or do not fit the data.
    """
    from tfgan_ema import data, metrics

    options = dict(config.evaluate)
    best, _ = options.pop("best_metric"), options.pop("smaller_is_better")
    name, split = options.pop("reference"), options.pop("split")
    if name and not (":" in name or name in data.names() or Path(name).exists()):
        known = [*data.names(), "folder:PATH", "tfds:NAME", "a folder of images", "an npz file"]
        raise unknown("evaluate.reference", name, known)
    if split and not name:
        held_out = config.copy_and_resolve_references()
        held_out.data.split, held_out.data.count = split, None
        source = load(held_out, source.name)
    evaluator = metrics.Evaluator(
        **options, reference=name or source, split=split or "train", seed=config.seed,
        data_dir=config.data.data_dir,
    )  # fmt: skip
    points = len(source.shape) == 1
    for metric, found in evaluator.metrics.items():
        if (found.space == "points") != points:
            what = "points" if points else "images"
            raise UsageError(f"metric {metric!r}: the data are {what}; choose a metric of {what}.")
    names = [name for metric in evaluator.metrics.values() for name in metric.results]
    if best is not None and best not in names:
        raise unknown("evaluate.best_metric", best, names)
    return evaluator


def _callbacks(
    config: ConfigDict, workdir: Path, source: Source, evaluator: Evaluator | None
) -> list[Callback]:
    """What watches a run, and by which score its best checkpoint is picked."""
    from tfgan_ema import run

    evaluate = None
    if evaluator:
        first, *_ = evaluator.metrics.values()  # rows of an earlier run may begin with another
        evaluate = {
            "evaluator": evaluator,
            "every": config.evaluate_every,
            "best_metric": config.evaluate.best_metric or first.results[0],
            "smaller_is_better": config.evaluate.smaller_is_better,
        }
    points = source.batch(range(min(source.count, 2000)))[0] if len(source.shape) == 1 else None
    return run.watchers(
        workdir,
        log_every=config.log_every,
        sample_every=config.sample_every,
        checkpoint_every=config.checkpoint_every,
        keep_checkpoints=config.keep_checkpoints,
        snapshot_every=config.snapshot_every,
        snapshot_dtype=config.snapshot_dtype,
        lines=not _on_terminal(),
        evaluate=evaluate,
        seed=config.seed,
        reference=points,
    )


def _snapshots(config: ConfigDict, gan: GAN) -> str:
    """The line that says how large the snapshots of a run will be; empty without any.

    Raises:
        UsageError: there is nothing to keep, or an unknown dtype.
    """
    if config.snapshot_every is None:
        return ""
    from tfgan_ema import posthoc

    count = config.steps // config.snapshot_every
    megabytes = posthoc.size(gan, config.snapshot_dtype) / 1e6
    return f"snapshots: {count} of {megabytes:.3g} MB, {count * megabytes:,.3g} MB in all\n"


def _describe(config: ConfigDict, gan: GAN, source: Source) -> None:
    print(ConfigDict(runs.plain(config)))
    for player in (gan.generator, gan.discriminator):
        print(f"{player.name}: {player.count_params():,} parameters")
    count = f"{source.count:,}" if source.count else "not on disk,"
    print(f"data: {source.name}, {count} samples of shape {source.shape}")
    rows = config.n_dis * config.batch_size
    print(f"first batch: {(rows, *source.shape)} ({config.n_dis} x {config.batch_size} rows)")
