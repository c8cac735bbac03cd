"""One HTML page about a run: what it was, how it went, what its generators make.

Everything is read from the work directory, the latest checkpoint and training data on disk.
"""

from __future__ import annotations

import base64
import html
import io
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from keras import ops
from ml_collections import ConfigDict
from PIL import Image

from tfgan_ema import data, latents, runs
from tfgan_ema.callbacks import GAP
from tfgan_ema.data import png
from tfgan_ema.data.source import Source
from tfgan_ema.errors import UsageError
from tfgan_ema.lab.reports import charts, pages
from tfgan_ema.latents import Draws
from tfgan_ema.metrics import classifier, features, nearest_real, slerp
from tfgan_ema.metrics.manifold import balls
from tfgan_ema.metrics.neighbours import nearest_neighbours
from tfgan_ema.records import read_table

T = TypeVar("T")

MOST_STEPS = 24  # sample pictures on the page
MOST_POINTS = 400  # of a curve
PATHS, STOPS, CLOUD = 6, 9, 500  # rows and columns of the interpolation; samples that are points
TRAINING, DRAWN, SHOWN, NEAREST = 10_000, 256, 6, 5  # of the nearest neighbours
SMALL = 32  # pixels a side, for distances between pixels
LOSSLESS, WIDEST = 48_000, 640  # bytes and pixels beyond which a picture is compressed

STYLE = (
    charts.STYLE
    + """
body { max-width: 70rem; background: Canvas; color: CanvasText }
h1 { margin-bottom: .3rem } h2 { margin: 3rem 0 .5rem; scroll-margin-top: 1rem }
nav { display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; margin: 1rem 0 }
.lead, .note { opacity: .8; max-width: 46rem }
.pair { display: grid; gap: 1rem 1.5rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 20rem), 1fr)) }
.pair figure { margin: 0; min-width: 0 } .pair figcaption { opacity: 1; margin-bottom: .3rem }
.pair figure > img { display: block; width: 100%; max-width: 34rem; border-radius: 4px }
.small { image-rendering: pixelated }
.control { display: flex; flex-wrap: wrap; align-items: center; gap: .8rem; margin: 1rem 0;
  position: sticky; top: 0; padding: .6rem 0; background: Canvas }
.control input { flex: 1 1 12rem; min-width: 0; height: 1.5rem; accent-color: #3b82c4 }
.control output { min-width: 4.5rem; font-variant-numeric: tabular-nums; font-weight: 600 }
.neighbours td, .neighbours th { padding: .25rem .35rem; text-align: center; font-size: .8rem }
.neighbours td:first-child, .neighbours th:first-child { padding-right: 1.2rem }
.neighbours img { display: block; width: 64px; max-width: 11vw; margin: 0 auto .1rem }
td { font-variant-numeric: tabular-nums } a { color: inherit }
#configuration td:nth-child(2) { overflow-wrap: anywhere; min-width: 6rem }
summary { cursor: pointer }
:focus-visible { outline: 2px solid #3b82c4; outline-offset: 3px }
"""
)

# The browser keeps a slider's place over a reload, so the page asks it once at the start.
SCRIPT = """<script>
for (const strip of document.querySelectorAll(".strip")) {
  const slider = strip.querySelector("input"), output = strip.querySelector("output")
  const frames = strip.querySelectorAll(".frame")
  const show = () => {
    frames.forEach((frame, i) => { frame.hidden = i != slider.value })
    output.value = frames[slider.value].dataset.step
    slider.setAttribute("aria-valuetext", "step " + output.value)
  }
  slider.addEventListener("input", show)
  show()
}
</script>"""


def page(workdir: str | os.PathLike) -> str:
    """The page of a run, as HTML; the same run gives the same page.

    Args:
        workdir: of `tfgan-ema train`, with at least one checkpoint.

    Raises:
        UsageError: not a work directory, or one without a checkpoint.
    """
    workdir = Path(workdir)
    run, gan = runs.read_run(workdir), runs.load_run(workdir)
    config = ConfigDict(run["config"])
    try:
        source = _training_data(config, run["data"])
    except UsageError as reason:
        source, missing = None, f"The training data cannot be read: {reason}"
    marks = _leak_starts(gan)
    sections = {
        "Samples": _samples(workdir / "samples", _pictured(gan)),
        "Evaluation": _evaluation(read_table(workdir / "evaluation.csv"), marks),
        "Training": _training(read_table(workdir / "metrics.csv"), marks),
        "Interpolation": _interpolation(gan, source),
        "Nearest neighbours": _neighbours(gan, source) if source else note(missing),
        "Configuration": _configuration(config, run),
    }
    links = [f'<a href="#{anchor(name)}">{name}</a>' for name in sections]
    body = [_lead(config, run, gan.steps_done), f"<nav>{' '.join(links)}</nav>"]
    for name, content in sections.items():
        body.append(f'<section id="{anchor(name)}"><h2>{name}</h2>\n{content}</section>')
    return pages.page(workdir.resolve().name, [*body, SCRIPT], STYLE)


def anchor(name: str) -> str:
    """The id of a section."""
    return name.lower().replace(" ", "-")


def note(text: str) -> str:
    """A paragraph of remarks."""
    return f'<p class="note">{html.escape(text)}</p>'


def spread(items: Sequence[T], most: int) -> list[T]:
    """At most ``most`` items, evenly spread, the first and the last among them."""
    if len(items) <= most:
        return list(items)
    return [items[i * (len(items) - 1) // (most - 1)] for i in range(most)]


def _training_data(config: ConfigDict, recorded: Mapping[str, Any]) -> Source:
    """The data that a run was trained on, from disk.

    Raises:
        UsageError: they are not there, or are others now.
    """
    name = recorded["name"]
    if not data.on_disk(name, config.data.data_dir or None):
        raise UsageError(f"{name} is not on disk; `tfgan-ema data fetch {name}` brings it.")
    source = runs.load_source(config, name)
    if list(source.shape) != recorded["shape"]:
        raise UsageError(f"{name} has shape {source.shape}, the run had {recorded['shape']}.")
    return source


# What the run was


def _lead(config: ConfigDict, run: Mapping[str, Any], step: int) -> str:
    shape = " x ".join(map(str, run["data"]["shape"]))
    averages = ", ".join(f"{name} ({_options(rule)})" for name, rule in config.averages.items())
    leak = f"; LeakyEMA with beta {config.leak.beta:g}" if config.leak.beta else ""
    text = (
        f"{config.network.name} on {run['data']['name']} ({shape}), checkpoint of step {step:,} of "
        f"{config.steps:,}. Loss {config.loss.name}; averages: {averages or 'none'}{leak}."
    )
    return f'<p class="lead">{html.escape(text)}</p>'


def _options(options: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in options.items() if key != "rule")


def _configuration(config: ConfigDict, run: Mapping[str, Any]) -> str:
    from configs import base

    chosen, defaults = (runs.flatten(runs.plain(c)) for c in (config, base.get_config()))
    changed = [
        (key, _value(value), _value(defaults.get(key, "")))
        for key, value in sorted(chosen.items())
        if key not in defaults or value != defaults[key]
    ]
    versions = ", ".join(f"{name} {number}" for name, number in run["versions"].items())
    every = pages.table(("key", "value"), [(k, _value(v)) for k, v in sorted(chosen.items())])
    return (
        note("The keys that differ from configs/base.py.")
        + pages.table(("key", "value", "default"), changed)
        + f"<details><summary>All {len(chosen)} keys</summary>{every}</details>"
        + note(f"Made with {versions}.")
    )


def _value(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


# How it went


def _curve(rows: Iterable[Mapping[str, str]], column: str) -> list[tuple[int, float]]:
    """(step, value) of the rows that have one."""
    points = [(int(row["step"]), float(row[column])) for row in rows if row.get(column)]
    return spread(points, MOST_POINTS)


def _evaluation(rows: list[Mapping[str, str]], marks: Mapping[str, float]) -> str:
    if not rows:
        return note("The run was not evaluated: evaluate_every is 0, or it has not come to it.")
    histories: dict[str, list[Mapping[str, str]]] = {}
    for row in rows:
        histories.setdefault(row["generator"], []).append(row)
    last = [history[-1] for history in histories.values()]
    metrics = [column for column in rows[0] if column not in ("step", "generator")]
    values = [
        [m, *(charts.short(float(row[m])) if row[m] else "" for row in last)] for m in metrics
    ]
    table = pages.table(
        ("last values", *histories), [["step", *(f"{int(row['step']):,}" for row in last)], *values]
    )
    drawn = [
        charts.lines(
            metric,
            {name: _curve(history, metric) for name, history in histories.items()},
            marks=marks,
        )
        for metric in metrics
    ]
    return table + pair(drawn)


def _training(rows: list[Mapping[str, str]], marks: Mapping[str, float]) -> str:
    if not rows:
        return note("Nothing is logged yet: log_every is not reached.")
    columns = [column for column in rows[0] if column not in ("step", "seconds_per_step")]
    distances = [column for column in columns if column.startswith("distance/")]
    groups = [
        ("Losses", ["d_loss", "g_loss"], 4),
        ("Mean logits", ["real_logit", "fake_logit"], 4),
        ("Accuracy of the discriminator", ["d_accuracy"], 4),
        ("Distance of the raw weights to the average", distances, 1),
    ]
    grouped = {column for _, names, _ in groups for column in names}
    groups += [(column, [column], 2) for column in columns if column not in grouped]
    drawn = [
        charts.lines(
            title,
            {name.removeprefix("distance/"): _curve(rows, name) for name in names},
            colour=colour,
            marks=marks,
        )
        for title, names, colour in groups
    ]
    return pair(drawn)


def _leak_starts(gan: Any) -> dict[str, float]:
    if gan.leak is None or gan.leak.waiting:
        return {}
    return {"leak starts": float(gan.leak.start)}


def pair(figures: Iterable[str]) -> str:
    """Figures side by side, or one below the other where the page is narrow."""
    return f'<div class="pair">{"".join(figures)}</div>'


# What its generators make


def _generators(gan: Any) -> dict[str, int | None]:
    """The raw generator and the first average, by what the page calls them."""
    return {"raw": None} | {f"averaged ({s.rule.name})": 0 for s in gan.shadows[:1]}


def _pictured(gan: Any) -> list[str]:
    """Whose samples `SampleGrid` draws: both side by side, of points the averaged alone."""
    names = list(_generators(gan))
    return names if len(gan.generator.output_shape) == 4 else names[-1:]


def _samples(folder: Path, names: Sequence[str]) -> str:
    """The pictures of `SampleGrid` and what to know about them."""
    found = pictures(folder)
    if not found:
        return note("No samples yet: sample_every is not reached.")
    chosen = spread(found, MOST_STEPS)
    some = f" {len(chosen)} of {len(found)} pictures, evenly spread." if chosen != found else ""
    return note(
        f"The same latents at every step; the arrow keys move the slider.{some} Large pictures "
        "are compressed here; the folder samples has them as they were."
    ) + strip(chosen, names)


def pictures(folder: Path) -> list[Path]:
    """What `SampleGrid` left in a folder, by step."""
    return sorted(folder.glob("step_*.png"), key=_step)


def strip(chosen: Sequence[Path], names: Sequence[str]) -> str:
    """Pictures of `SampleGrid` behind a slider, for `SCRIPT`; ``names`` are those of their halves.

    Needs at least one picture.
    """
    last = len(chosen) - 1
    frames = [_frame(path, names, path is not chosen[-1]) for path in chosen]
    return (
        '<div class="strip"><label class="control">Step '
        f'<input type="range" min="0" max="{last}" value="{last}">'
        f"<output>{_step(chosen[-1]):,}</output></label>\n{''.join(frames)}</div>"
    )


def _step(path: Path) -> int:
    return int(path.stem.removeprefix("step_"))


def _frame(path: Path, names: Sequence[str], hidden: bool) -> str:
    with Image.open(path) as file:
        picture = np.asarray(file)
    half = (picture.shape[1] - GAP) // 2
    parts = [picture[:, :half], picture[:, -half:]] if len(names) == 2 else [picture]
    step = f"{_step(path):,}"
    figures = [
        figure(name, part, f"{name}, step {step}") for name, part in zip(names, parts, strict=True)
    ]
    return f'<div class="frame" data-step="{step}"{" hidden" * hidden}>{pair(figures)}</div>\n'


def _interpolation(gan: Any, source: Source | None) -> str:
    """Paths between latents, through the raw and the averaged generator."""
    images = len(gan.generator.output_shape) == 4
    paths = latent_paths(gan.latent, gan.num_classes, images)
    figures = []
    for name, average in _generators(gan).items():
        made = gan.generate(paths.latents, paths.labels, average=average)
        samples = ground = None
        if not images:
            samples = gan.sample(CLOUD, 1, average=average)
            ground = samples if source is None else _batch(source, CLOUD)
        figures.append(paths_figure(name, made, samples, ground))
    return note(paths.said) + pair(figures)


class Paths(NamedTuple):
    """Paths between pairs of latents.

    Attributes:
        latents: [PATHS * stops, d], path after path.
        labels: of a conditional generator, one class a path, int [PATHS * stops].
        said: what they are, for the page.
    """

    latents: np.ndarray
    labels: np.ndarray | None
    said: str


def latent_paths(prior: Any, num_classes: int | None, images: bool) -> Paths:
    """The same paths for every generator of that prior: great circles where it is round."""
    stops = STOPS if images else 8 * STOPS
    ends = ops.convert_to_numpy(prior.draw(2 * PATHS, Draws(0, 0, "report/")))
    start, end = (np.repeat(half, stops, axis=0) for half in np.split(ends, 2))
    share = np.tile(np.linspace(0, 1, stops), PATHS)
    curved = isinstance(prior, latents.Normal | latents.Hypersphere)
    path = slerp(start, end, share) if curved else start + share[:, None] * (end - start)
    labels, fixed = None, ""
    if num_classes is not None:
        rows = np.arange(PATHS) % num_classes
        labels, fixed = np.repeat(rows, stops), f" Their labels: {', '.join(map(str, rows))}."
    kind = "Great-circle" if curved else "Straight"
    what = "a row each" if images else f"among {CLOUD} samples in blue, over the data in grey"
    return Paths(path, labels, f"{kind} paths between {PATHS} pairs of latents, {what}.{fixed}")


def paths_figure(
    name: str, made: np.ndarray, samples: np.ndarray | None, ground: np.ndarray | None
) -> str:
    """What a generator makes along `latent_paths`; points among samples over data."""
    if made.ndim == 4:
        return figure(name, png.grid(made, STOPS), f"{name}, {PATHS} latent paths")
    return charts.plane(name, ground, samples, made.reshape(PATHS, -1, 2))


def _batch(source: Source, most: int) -> np.ndarray:
    return source.batch(spread(range(source.count), most))[0]


def _neighbours(gan: Any, source: Source) -> str:
    """The samples that lie nearest to training data, and how near samples lie as a whole."""
    name, average = list(_generators(gan).items())[-1]
    samples = gan.sample(DRAWN, 1, average=average)
    space = "points" if samples.ndim == 2 else classifier.SPACES.get(source.name, "pixels")
    rows = spread(range(source.count), TRAINING)
    chunks = (source.batch(rows[i : i + 500])[0] for i in range(0, len(rows), 500))
    training = np.concatenate([_features(space, chunk) for chunk in chunks])
    generated = _features(space, samples)
    found = nearest_real(training, generated)
    said = note(
        f"{DRAWN} samples of the {name} generator against {len(rows):,} of {source.count:,} "
        f"training samples, by Euclidean distance in {_said(space)}. The median distance to the "
        f"nearest training sample is {charts.short(found.ratio)} times that between training "
        f"samples (about 1 for fresh samples, 0 for copies); {found.copies:.1%} are nearer than "
        "all but 1 % of training samples are to each other."
    )
    if space == "points":
        return said
    closest = np.argsort(found.distance, kind="stable")[:SHOWN]
    shown, real = balls(training, generated[closest], 1)[::-1]
    squared, index = nearest_neighbours(shown, min(NEAREST, len(rows)), real)
    lines = []
    for sample, near, distances in zip(samples[closest], index, np.sqrt(squared), strict=True):
        neighbours = source.batch([rows[i] for i in near])[0]
        cells = [_cell(sample, "sample", "")]
        cells += [
            _cell(image, "training image", f"{distance:#.3g}")
            for image, distance in zip(neighbours, distances, strict=True)
        ]
        lines.append(f"<tr>{''.join(cells)}</tr>")
    head = f'<tr><th>sample</th><th colspan="{NEAREST}">nearest training images, distance</th></tr>'
    return (
        said
        + note(f"The {SHOWN} samples that lie nearest to a training image:")
        + f'<div class="wide"><table class="neighbours">{head}{"".join(lines)}</table></div>'
    )


def _said(space: str) -> str:
    named = {"pixels": f"pixels (0 to 1, at most {SMALL} px wide)", "points": "the plane"}
    return named.get(space, f"the features of {space}")


def _features(space: str, samples: np.ndarray) -> np.ndarray:
    if space == "pixels" and samples.shape[1] > SMALL:
        samples = np.stack([_shrunk(image, SMALL) for image in samples])
    return features.embed(space, samples)[0]


def _shrunk(image: np.ndarray, width: int) -> np.ndarray:
    """A uint8 image [h, w, c] as [h width / w, width, c]."""
    height = round(image.shape[0] * width / image.shape[1])
    picture = _picture(image).resize((width, height), Image.Resampling.BOX)
    return np.asarray(picture).reshape(height, width, -1)


def _cell(image: np.ndarray, description: str, text: str) -> str:
    return f"<td>{img(image, description, 128)}{text}</td>"


def figure(caption: str, image: np.ndarray, description: str) -> str:
    """A picture [h, w, 1 or 3], uint8, below its caption."""
    return (
        f"<figure><figcaption>{html.escape(caption)}</figcaption>"
        f"{img(image, description, WIDEST)}</figure>"
    )


def _picture(image: np.ndarray) -> Image.Image:
    return Image.fromarray(image[..., 0] if image.ndim == 3 and image.shape[-1] == 1 else image)


def img(image: np.ndarray, description: str, widest: int) -> str:
    """An image in the page: exact where that takes few bytes, else compressed."""
    picture = _picture(image)
    picture.thumbnail((widest, 8 * widest))
    exact = _webp(picture, lossless=True)
    content = exact if len(exact) <= LOSSLESS else _webp(picture, quality=80)
    uri = "data:image/webp;base64," + base64.b64encode(content).decode()
    return pages.image(uri, description)


def _webp(picture: Image.Image, **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, format="WEBP", **options)
    return file.getvalue()
