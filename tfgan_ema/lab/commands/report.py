"""usage: tfgan-ema report WORKDIR [--out=FILE]
       tfgan-ema report WORKDIR WORKDIR ... --out=FILE

Writes one HTML page that needs no network: samples over time, metrics, losses, interpolations, the
nearest training images and the configuration of a run of `tfgan-ema train`.

The page of several runs compares them: scores as means over seeds with their spread, curves over
one another, the last samples, and the keys in which the configurations differ.
"""

from pathlib import Path

from tfgan_ema import command, progress
from tfgan_ema.errors import UsageError

FLAGS = command.new_flags(("out", str, None, "The page; WORKDIR/report.html for one run."))


def _report(values: command.Flags, words: list[str]) -> None:
    if not words:
        raise UsageError("got nothing: expected a WORKDIR of `tfgan-ema train`, or several.")
    if len(words) > 1 and not values.out:
        raise UsageError("--out is missing: name the page that compares the runs.")
    from tfgan_ema import files, runs

    for workdir in words:
        runs.read_run(workdir)  # a wrong folder is refused at once
    out = Path(values.out or Path(words[0], "report.html"))
    command.check_output("out", out)
    command.start_engine()
    from tfgan_ema.lab import compare
    from tfgan_ema.lab.reports import run

    with progress.line("drawing"):
        text = run.page(words[0]) if len(words) == 1 else compare.page(words)
        files.write_text(out, text)
    progress.note(str(out))


main = command.main(_report, FLAGS, __doc__)
