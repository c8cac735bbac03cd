"""usage: tfgan-ema average WORKDIR --sigma=0.03 [--at=60000] --out=NAME
       tfgan-ema average WORKDIR --sweep=0.01..0.25 [--at=20000,60000] [--plot=map.png]

Makes the average that training with another width would have given, of a run that kept snapshots
(averages of the kind power_ema, and snapshot_every). The width sigma is the share of training that
the average remembers. NAME is then an average of the run: `tfgan-ema sample --workdir=WORKDIR
--average=NAME`, and the same for evaluate and export.

--sweep scores averages over a range of widths, and the run's own, and writes WORKDIR/widths.csv;
rows that are there already are not scored again. --plot draws the scores by width and step.
"""

from __future__ import annotations

from pathlib import Path

from tfgan_ema import command, progress
from tfgan_ema.cli import tables
from tfgan_ema.errors import UsageError

FLAGS = command.new_flags(
    ("sigma", command.number("(0, 0.2886)"), None, "The width, in (0, 0.2887)."),
    ("at", list, [], "Generator step of the average, or several with --sweep; the last if none."),
    ("out", str, None, "Name of the average."),
    ("overwrite", bool, False, "Replace an average of that name."),
    ("sweep", str, None, "Widths to score, LEAST..MOST."),
    ("widths", command.whole(1, 1000), 8, "How many widths are scored."),
    ("metrics", list, ["fid"], "What they are scored by, see `tfgan-ema evaluate`."),
    ("reference", str, None, "What they are compared with; the training set unless given."),
    ("samples", command.whole(2), 10_000, "How many samples are scored."),
    ("plot", str, None, "PNG, PDF or SVG of the scores (--sweep)."),
)


def _average(values: command.Flags, words: list[str]) -> None:
    if len(words) != 1:
        raise UsageError(f"got {words or 'nothing'}: expected one WORKDIR of `tfgan-ema train`.")
    if (values.sigma is None) == (values.sweep is None):
        raise UsageError("give either --sigma=WIDTH --out=NAME, or --sweep=LEAST..MOST.")
    from tfgan_ema import runs

    workdir = Path(words[0])
    runs.read_run(workdir)  # a wrong folder is refused at once
    steps = [_step(text) for text in values.at]
    if values.sweep:
        _sweep(workdir, steps, values)
        return
    if not values.out or len(steps) > 1:
        raise UsageError("--sigma makes one average: give it --out=NAME and at most one --at=STEP.")
    command.start_engine()
    from tfgan_ema import posthoc

    average = posthoc.synthesise(workdir, values.sigma, *steps)
    posthoc.keep(workdir, values.out, average, overwrite=values.overwrite)
    runs.load_run(workdir).average(values.out)  # it fits the run
    progress.note(
        f"{values.out}: the average of width {average.sigma:g} at step {average.step}, of which "
        f"the snapshots miss {average.residual:.2%}; use it as --average={values.out}."
    )


def _sweep(workdir: Path, steps: list[int], values: command.Flags) -> None:
    widths = _widths(values.sweep, values.widths)
    command.check_output("plot", values.plot)
    command.start_engine()
    from tfgan_ema.lab import widths as lab

    rows = lab.sweep(workdir, widths, steps, values.metrics, values.samples, values.reference)
    columns = list(rows[-1])
    tables.print_table([columns, *([row.get(c, "") for c in columns] for row in rows)])
    if values.plot:
        lab.save_map(rows, values.plot)
        progress.note(values.plot)


def _widths(text: str, count: int) -> list[float]:
    """Widths between two, evenly spaced in their logarithms."""
    import numpy as np

    from tfgan_ema import profiles

    try:
        least, most = map(float, text.split(".."))
    except ValueError:
        raise UsageError(f"--sweep={text}: expected LEAST..MOST, such as 0.01..0.25.") from None
    for sigma in (least, most):
        profiles.exponent(sigma)
    if least >= most:
        raise UsageError(f"--sweep={text}: expected the smaller width first.")
    return [float(f"{sigma:.4g}") for sigma in np.geomspace(least, most, count)]


def _step(text: str) -> int:
    if not text.isdecimal():
        raise UsageError(f"--at={text}: expected generator steps, such as 20000,60000.")
    return int(text)


main = command.main(_average, FLAGS, __doc__)
