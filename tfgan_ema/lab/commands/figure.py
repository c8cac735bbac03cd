"""usage: tfgan-ema figure RUN|MODEL --out=FILE.pdf [--kind=samples]

Draws a figure for a paper: the raw generator of a run and each of its averages side by side, on
equal latents. A model of `tfgan-ema export` or `tfgan-ema zoo list` is one panel. The kinds are
samples, classes (a row for each), paths (interpolations) and truncation (a row for each threshold).
"""

from pathlib import Path

from tfgan_ema import command, progress
from tfgan_ema.errors import UsageError
from zoo import shipped

ENDINGS = (".pdf", ".png", ".svg")

FLAGS = command.new_flags(
    ("out", str, None, "The file: .pdf, .png or .svg."),
    (
        "kind",
        command.one_of("samples", "classes", "paths", "truncation"),
        "samples",
        "What is shown: samples, classes, paths or truncation.",
    ),
    ("rows", command.whole(most=64), 8, "Rows of images (--kind=samples); of points, a factor."),
    ("columns", command.whole(most=64), 8, "Images in a row (not --kind=paths)."),
    ("seed", command.SEED, 0, "Of the latents."),
    ("width", command.number("(0, 50]"), 5.5, "Of the figure, in inches."),
    ("dpi", command.whole(most=1200), 300, "Dots in an inch."),
    ("step", command.whole(0), None, "Step of the run's checkpoint; the latest unless given."),
)


def _figure(values: command.Flags, words: list[str]) -> None:
    if len(words) != 1:
        raise UsageError(f"got {words or 'nothing'}: expected one run or model.")
    if not values.out or Path(values.out).suffix.lower() not in ENDINGS:
        raise UsageError(f"--out={values.out or ''}: expected a file ending in .pdf, .png or .svg.")
    command.check_output("out", values.out)
    from tfgan_ema import files, runs

    run = Path(words[0], "run.json").exists()
    if run:
        runs.read_run(words[0])
    else:
        command.given(values, ["step"], "belongs to a run: an exported model is fixed")
        folder = shipped.locate(words[0])
    command.start_engine()
    from tfgan_ema.lab.reports import figures

    if run:
        drawn = figures.of_run(runs.load_run(words[0], values.step), runs.class_names(words[0]))
    else:
        from tfgan_ema import export

        drawn = figures.of_model(folder.resolve().name, export.load_generator(folder))
    with progress.line("drawing"), files.replacing(values.out) as temporary:
        figure = figures.draw(
            values.kind,
            drawn,
            rows=values.rows,
            columns=values.columns,
            seed=values.seed,
            width=values.width,
        )
        figure.savefig(temporary, dpi=values.dpi)
    progress.note(values.out)


main = command.main(_figure, FLAGS, __doc__)
