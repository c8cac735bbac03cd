"""How long a step of each arm of `tfgan-ema reproduce modern` takes one core, in turns.

    python -m benchmarks.modern [--budget=desk] [--repeats=7] [--steps=20]

The time is that of the processor, in a process with one thread. From its medians the table of the
experiment has the steps that each arm takes in R3GAN's time.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Sequence

from absl import flags

from tfgan_ema import command, remote

FLAGS = command.new_flags()
flags.DEFINE_string("budget", "desk", "Of the experiment.", flag_values=FLAGS)
flags.DEFINE_integer("repeats", 7, "Turns of each arm.", flag_values=FLAGS)
flags.DEFINE_integer("steps", 20, "Of a turn.", flag_values=FLAGS)


def _trainer(cell: object, steps: int) -> tuple[Callable[[], None], int]:
    """What trains the arm of a cell for some steps, and its number of parameters."""
    from tfgan_ema import runs
    from tfgan_ema.lab.experiments import modern, training

    config = modern.configuration(cell.options)
    config.steps_per_execution = steps
    source = runs.load_source(config)
    gan = runs.build_gan(config, source.shape, None)
    networks = (gan.generator, gan.discriminator)
    size = sum(w.value.shape.num_elements() for net in networks for w in net.trainable_weights)
    return lambda: training.train(gan, source, config, steps), size


def _run(values: flags.FlagValues, _: list[str]) -> None:
    remote.use_one_thread()
    from tfgan_ema.lab.experiments import modern

    cells = {cell.head["arm"]: cell for cell in reversed(modern.cells(values.budget))}
    arms = {name: _trainer(cell, values.steps) for name, cell in sorted(cells.items())}
    seconds = {name: [] for name in arms}
    for repeat in range(values.repeats + 1):
        for name, (train, _) in arms.items():
            start = time.process_time()
            train()
            if repeat:  # the first turn compiles
                seconds[name].append((time.process_time() - start) / values.steps)
    table = modern.BUDGETS[values.budget].arms
    middle = {name: statistics.median(each) for name, each in seconds.items()}
    whole = middle[modern.OURS] * table[modern.OURS].steps
    for name, (_, size) in arms.items():
        low, high = min(seconds[name]), max(seconds[name])
        print(
            f"{name:<6} {size:,} parameters, {middle[name]:.4f} s a step ({low:.4f} .. {high:.4f});"
            f" {whole / middle[name]:,.0f} steps in {whole:.0f} s, the table has "
            f"{table[name].steps:,}"
        )


def main(argv: Sequence[str]) -> int:
    """Runs the command; returns its exit code."""
    return command.run(_run, FLAGS, __doc__, argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
