"""usage: tfgan-ema train --config=NAME[:ROW] --workdir=DIR [--config.KEY=VALUE ...]

Trains a GAN and writes checkpoints, sample grids, metrics.csv and TensorBoard events to DIR. To
resume an interrupted run, repeat the command: the result is the same. NAME is a config that comes
with the package, such as quickstart, or the path of a file with get_config().

--config.KEY=VALUE changes one key, for example --config.steps=20000 or --config.leak.beta=0.5; a
part that is off is switched on, and None switches it off: --config.leak=None. Parts of your own are
named by their module, beside the config or in the current folder: --config.loss.kind=MODULE:CLASS.

With --cluster, Ray starts --workers=N on its hosts, and all again at the latest checkpoint when one
is lost; the hosts must see DIR.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import inspect
import runpy
import sys
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfgan_ema import command
from tfgan_ema.errors import UsageError, unknown

if TYPE_CHECKING:
    from ml_collections import ConfigDict

STRATEGIES = ("auto", "cpu", "gpu", "mirrored", "multiworker", "tpu")
FLAGS = command.new_flags(
    ("config", str, None, "Name or path of the experiment."),
    ("workdir", str, None, "The folder of the run."),
    ("strategy", command.one_of(*STRATEGIES), "auto", f"{', '.join(STRATEGIES)}."),
    ("tpu", str, None, "Address of the TPU; a local one unless given."),
    (
        "worker_timeout",
        command.number("(0, inf)"),
        300.0,
        "Seconds to wait for the other workers of a cluster.",
    ),
    (
        "workers",
        command.whole(),
        1,
        "Workers that Ray places on hosts, and starts again when one is lost (--cluster).",
    ),
    *command.CLUSTER,
    ("dry_run", bool, False, "Show what would be trained, and stop."),
    ("force_config", bool, False, "Resume even if the run's configuration differs."),
)


def main(argv: Sequence[str]) -> int:
    """Runs the command; returns its exit code."""
    changes = [word for word in argv if word.startswith(("--config.", "-config."))]
    words = [word for word in argv if word not in changes]
    return command.run(functools.partial(_train, changes), FLAGS, __doc__, words)


def _train_on_hosts(changes: list[str], values: command.Flags) -> int:
    """Starts this command with the same flags on every worker of a cluster."""
    from tfgan_ema import hosts

    command.given(values, ("strategy", "tpu", "dry_run"), "does not go with --cluster")
    names = ("config", "workdir", "worker_timeout", "force_config")
    own = [f"--{name}={values[name].value}" for name in names]
    hosts.train([*own, *changes], Path(values.workdir), values.workers, values.cluster, values.gpus)
    print(f"done: {values.workdir}")
    return 0


def _train(changes: list[str], values: command.Flags, positional: list[str]) -> int:
    command.no_words(positional)
    if values.config is None:
        raise UsageError("--config is missing: for example --config=quickstart.")
    if values.workdir is None and not values.dry_run:
        raise UsageError("--workdir is missing: name the folder of the run.")
    command.check_output("workdir", values.workdir, "folder")
    from configs import base, tables

    config, folder = load_config(values.config)
    base.check(tables.change(config, dict(map(change, changes))))
    if values.cluster:
        return _train_on_hosts(changes, values)
    command.given(values, ("workers", "gpus"), "belongs to --cluster")
    command.start_engine()
    from tfgan_ema import training
    from tfgan_ema.engines import devices

    return training.train(
        config,
        values.workdir,
        devices.strategy(values.strategy, values.tpu or "", values.worker_timeout),
        folder=folder,
        force_config=values.force_config,
        dry_run=values.dry_run,
    )


def load_config(name: str) -> tuple[ConfigDict, Path | None]:
    """The experiment of ``PATH[:ROW]``, or ``NAME[:ROW]`` for a config of the package.

    Returns:
        The configuration and the folder of a file of one's own, whose modules can be imported.

    Raises:
        UsageError: no such file or row.
    """
    import configs
    from tfgan_ema import runs

    path, _, row = name.partition(":")
    if ("." in Path(path).name and not Path(path).is_file()) or Path(path).is_dir():
        raise UsageError(f"--config={name}: no such file; name a file, or a config of the package.")
    own = Path(path).resolve().parent if Path(path).is_file() else None
    runs.look_in(own)
    if own is None:
        folder = Path(configs.__file__).parent
        known = {p.stem for p in folder.glob("*.py")} - {"__init__", "base", "tables"}
        if Path(path).stem not in known:
            raise unknown("config", name, known)
        path = str(folder / Path(path).with_suffix(".py").name)
    with _blaming(name, path):
        get_config = runpy.run_path(path).get("get_config")
    if not callable(get_config):
        raise UsageError(f"--config={name}: the file has no get_config().")
    if row and not inspect.signature(get_config).parameters:
        raise UsageError(f"--config={name}: the file holds one experiment; leave out :{row}.")
    with _blaming(name, path):
        config = get_config(row) if row else get_config()
    if not hasattr(config, "ignore_type"):
        kind = type(config).__name__
        raise UsageError(f"--config={name}: get_config() gives {kind}, expected a ConfigDict.")
    return config, own


@contextlib.contextmanager
def _blaming(name: str, path: str) -> Iterator[None]:
    """Inside, an error of a configuration's own code is one line that says where it is."""
    try:
        yield
    except UsageError:
        raise
    except Exception as error:
        calls = traceback.extract_tb(error.__traceback__)
        lines = [call.lineno for call in calls if call.filename == path]
        lines = lines or [getattr(error, "lineno", None) or 1]
        raise UsageError(
            f"--config={name}: line {lines[-1]}: {type(error).__name__}: {error}"
        ) from error


def change(word: str) -> tuple[str, Any]:
    """The key and the value of ``--config.KEY=VALUE``; what is no Python literal is a text."""
    key, equals, text = word.lstrip("-").removeprefix("config.").partition("=")
    if not equals:
        raise UsageError(f"{word}: expected --config.KEY=VALUE.")
    try:
        return key, ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return key, text


if __name__ == "__main__":
    sys.exit(main(["tfgan-ema train", *sys.argv[1:]]))
