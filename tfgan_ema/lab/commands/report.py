"""usage: tfgan-ema report WORKDIR [--out=FILE]

Writes one HTML page that needs no network: samples over time, metrics, losses, interpolations, the
nearest training images and the configuration of a run of `tfgan-ema train`.
"""

from pathlib import Path

from tfgan_ema import command, progress
from tfgan_ema.errors import UsageError

FLAGS = command.new_flags(("out", str, None, "The page; WORKDIR/report.html unless given."))


def _report(values: command.Flags, words: list[str]) -> None:
    if len(words) != 1:
        raise UsageError(f"got {words or 'nothing'}: expected one WORKDIR of `tfgan-ema train`.")
    from tfgan_ema import files, runs

    workdir = Path(words[0])
    runs.read_run(workdir)  # a wrong folder is refused at once
    out = Path(values.out or workdir / "report.html")
    command.check_output("out", out)
    command.start_engine()
    from tfgan_ema.lab.reports import run as report

    with progress.line("drawing"):
        files.write_text(out, report.page(workdir))
    progress.note(str(out))


main = command.main(_report, FLAGS, __doc__)
