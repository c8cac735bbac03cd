"""``tfgan-ema train``: trains a GAN from a config file, or goes on with an interrupted run."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from absl import flags

from tfgan_ema.cli import command
from tfgan_ema.errors import UsageError, unknown

USAGE = """
usage: tfgan-ema train --config=configs/NAME.py --workdir=DIR [--config.KEY=VALUE ...]

Trains a GAN and leaves checkpoints, sample grids, metrics.csv and TensorBoard events in DIR. The
same command again goes on where the run was interrupted, with the same result. A config file that
comes with the package may be named without its path: --config=quickstart.
"""


def _flags(words: Sequence[str]) -> flags.FlagValues:
    """The flags of this command; ``--config.KEY`` ones are found in ``words``."""
    from ml_collections import config_flags

    values = command.new_flags()
    config_flags.DEFINE_config_file(
        "config",
        None,
        "The experiment: a file with get_config(); --config.KEY=VALUE changes one of its keys.",
        flag_values=values,
        sys_argv=list(words),
    )
    flags.DEFINE_string("workdir", None, "Where the run lives.", flag_values=values)
    flags.DEFINE_string(
        "strategy",
        "auto",
        "auto, cpu, gpu, mirrored, multiworker (TF_CONFIG) or tpu.",
        flag_values=values,
    )
    flags.DEFINE_string("tpu", "", "Address of the TPU; empty for a local one.", flag_values=values)
    flags.DEFINE_bool(
        "dry_run",
        False,
        "Print the resolved configuration, parameter counts and the first batch's shape only.",
        flag_values=values,
    )
    flags.DEFINE_bool(
        "force_config",
        False,
        "Go on with a run although its recorded configuration differs.",
        flag_values=values,
    )
    return values


def main(argv: Sequence[str]) -> int:
    """Runs the command; returns its exit code."""
    try:
        words = [argv[0], *map(_locate, argv[1:])]
    except UsageError as error:
        return command.refuse(argv[0], error)
    return command.run(_train, _flags(words), USAGE, words)


def _locate(word: str) -> str:
    """``--config=NAME`` as the path of a config that comes with the package."""
    flag, equals, value = word.partition("=")
    if flag not in ("--config", "-config") or not equals:
        return word
    path, colon, argument = value.partition(":")
    if Path(path).is_file():
        return word
    import configs

    folder = Path(configs.__file__).parent
    name = Path(path).stem
    known = [p.stem for p in folder.glob("*.py") if not p.stem.startswith("_") and p.stem != "base"]
    if name not in known:
        raise unknown("config", value, known)
    return f"{flag}={folder / name}.py{colon}{argument}"


def _train(values: flags.FlagValues, positional: list[str]) -> int:
    if positional:
        raise UsageError(f"unexpected argument {positional[0]!r}: flags only, see --help.")
    if values.config is None:
        raise UsageError("--config is missing: e.g. --config=configs/quickstart.py.")
    if values.workdir is None and not values.dry_run:
        raise UsageError("--workdir is missing: name the folder where the run shall live.")
    from tfgan_ema import runs

    runs.check(values.config)
    strategy = command.start_engine().strategy(values.strategy, values.tpu)
    return runs.train(
        values.config,
        values.workdir,
        strategy,
        force_config=values.force_config,
        dry_run=values.dry_run,
    )


if __name__ == "__main__":
    sys.exit(main(["tfgan-ema train", *sys.argv[1:]]))
