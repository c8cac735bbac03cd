"""usage: tfgan-ema sweep --config=NAME[:ROW] --out=DIR [--grid='KEY=VALUE,VALUE;KEY=VALUE,VALUE']
                       [--seeds=0..31] [--cluster=local|auto|ADDRESS] [--config.KEY=VALUE ...]

Trains a configuration with every combination of some values and with several seeds, and scores the
raw generator and the averages of each run as `config.evaluate` says. DIR gets one table
(results.csv), one page (index.html) with means over the seeds and tests of the differences, and
the runs (runs/). To resume an interrupted sweep, repeat the command: finished runs are kept.

Keys are those of --config.KEY=VALUE. Several keys that take the same value are joined by a plus:
--grid='d_optimizer.learning_rate+g_optimizer.learning_rate=1e-4,2e-4;n_dis=1,2'.
"""

from __future__ import annotations

import functools
import shlex
from collections.abc import Sequence
from pathlib import Path

from tfgan_ema import command
from tfgan_ema.cli import train
from tfgan_ema.errors import UsageError

FLAGS = command.new_flags(
    ("config", str, None, "Name or path of the experiment."),
    ("out", str, None, "The folder of the sweep."),
    ("grid", str, None, "Values by key, see above; without it, one setting."),
    ("seeds", str, "0..2", "Seeds of training, such as 0..31 or 0,2,5."),
    *command.CLUSTER,
)


def main(argv: Sequence[str]) -> int:
    """Runs the command; returns its exit code."""
    changes = [word for word in argv if word.startswith(("--config.", "-config."))]
    words = [word for word in argv if word not in changes]
    return command.run(functools.partial(_sweep, changes, argv), FLAGS, __doc__, words)


def _sweep(
    changes: list[str], argv: Sequence[str], values: command.Flags, positional: list[str]
) -> None:
    command.no_words(positional)
    for name in ("config", "out"):
        if not values[name].value:
            raise UsageError(f"--{name} is missing.")
    command.check_output("out", values.out, "folder")
    command.start_engine()
    from configs import tables
    from tfgan_ema.lab import sweep

    grid, seeds = sweep.parse_grid(values.grid or ""), sweep.parse_seeds(values.seeds)
    config, own = train.load_config(values.config)
    tables.change(config, dict(map(train.change, changes)))
    page = sweep.run(
        config, grid, seeds, Path(values.out), _command(argv), own=own, cluster=values.cluster,
        gpus=values.gpus,
    )  # fmt: skip
    print(page)


def _command(argv: Sequence[str]) -> str:
    return " ".join([argv[0], *map(shlex.quote, argv[1:])])
