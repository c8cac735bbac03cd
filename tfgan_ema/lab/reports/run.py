"""The page of a run: its samples, scores, curves, interpolations and configuration.

Everything is read from the work directory, the latest checkpoint and training data on disk.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from ml_collections import ConfigDict
from PIL import Image
from scipy.spatial.distance import cdist

from configs import base
from tfgan_ema import GAN, data, recorded, runs
from tfgan_ema.data.source import Source
from tfgan_ema.errors import UsageError
from tfgan_ema.lab.reports import charts, interpolation, pages, pictures
from tfgan_ema.metrics import classifier, features, nearest_real
from tfgan_ema.records import read_table

MOST_STEPS = 24  # sample pictures on the page
TRAINING, DRAWN, SHOWN, NEAREST = 10_000, 256, 6, 5  # of the nearest neighbours
SMALL = 32  # pixels a side, for distances between pixels


def page(workdir: str | os.PathLike) -> str:
    """The page of a run, as HTML; the same run gives the same page.

    Args:
        workdir: of `tfgan-ema train`, with at least one checkpoint.

    Raises:
        UsageError: not a work directory, or one without a checkpoint.
    """
    workdir = Path(workdir)
    record, gan = runs.read_run(workdir), runs.load_run(workdir)
    config = record["config"] or recorded.as_configuration(record["made_of"])
    try:
        source, missing = _training_data(record), ""
    except UsageError as reason:
        source, missing = None, str(reason)
    leak_start = {}
    if gan.leak is not None and not gan.leak.waiting:
        leak_start["leak starts"] = float(gan.leak.start)
    sampled = pictures.sample_pictures(workdir / "samples")
    shown = pictures.evenly_spaced(sampled, MOST_STEPS)
    names = list(_generators(gan))
    return pages.render(
        "run.html.j2",
        title=workdir.resolve().name,
        run=record,
        config=config,
        step=gan.steps_done,
        frames=pictures.frames(shown, names if _makes_images(gan) else names[-1:]),
        sampled=len(sampled),
        evaluation=_evaluation(read_table(workdir / "evaluation.csv"), leak_start),
        training=_training(read_table(workdir / "metrics.csv"), leak_start),
        paths=_interpolation(gan, source),
        neighbours=None if source is None else _neighbours(gan, source),
        missing=missing,
        settings=runs.flatten(config),
        defaults=runs.flatten(runs.plain(base.get_config())),
    )


def _training_data(record: Mapping[str, Any]) -> Source:
    """The data that a run was trained on, from disk.

    Raises:
        UsageError: they are not there, or are others now.
    """
    name, shape = record["data"]["name"], record["data"]["shape"]
    if record["config"] is None:
        raise UsageError(f"they are {name}, of which nothing is kept.")
    config = ConfigDict(record["config"])
    if not data.on_disk(name, config.data.data_dir):
        raise UsageError(f"{name} is not on disk; `tfgan-ema data fetch {name}` brings it.")
    source = runs.load_source(config, name)
    if list(source.shape) != shape:
        raise UsageError(f"{name} has shape {source.shape}, the run had {shape}.")
    return source


def _generators(gan: GAN) -> dict[str, int | str]:
    """The raw generator and the first average: name on the page -> argument ``average``."""
    return {"raw": "raw"} | {f"averaged ({average.name})": 0 for average in gan.averages[:1]}


def _makes_images(gan: GAN) -> bool:
    return len(gan.generator.output_shape) == 4


def _curve(rows: Iterable[Mapping[str, str]], column: str) -> charts.Curve:
    """(step, value) of the rows that have one."""
    return [(int(row["step"]), float(row[column])) for row in rows if row.get(column)]


def _evaluation(
    rows: Sequence[Mapping[str, str]], marks: Mapping[str, float]
) -> dict[str, Any] | None:
    """The last row of each generator, and a chart for each metric."""
    if not rows:
        return None
    curves = charts.histories(rows)
    drawn = [charts.lines(metric, curves[metric], marks=marks) for metric in curves]
    last = {row["generator"]: row for row in rows}
    return {"metrics": list(curves), "last": last, "charts": drawn}


def _training(rows: Sequence[Mapping[str, str]], marks: Mapping[str, float]) -> list[Markup]:
    """A chart for each group of logged columns."""
    columns = [c for c in (rows[0] if rows else ()) if c not in ("step", "seconds_per_step")]
    distances = [column for column in columns if column.startswith("distance/")]
    groups = [
        ("Losses", ["d_loss", "g_loss"], 4),
        ("Mean logits", ["real_logit", "fake_logit"], 4),
        ("Accuracy of the discriminator", ["d_accuracy"], 4),
        ("Distance of the raw weights to the average", distances, 1),
    ]
    grouped = {column for _, names, _ in groups for column in names}
    groups += [(column, [column], 2) for column in columns if column not in grouped]
    drawn = []
    for title, names, colour in groups:
        curves = {name.removeprefix("distance/"): _curve(rows, name) for name in names}
        drawn.append(charts.lines(title, curves, colour=colour, marks=marks))
    return drawn


def _interpolation(gan: GAN, source: Source | None) -> dict[str, Any]:
    """Paths between latents, through the raw and the averaged generator."""
    images = _makes_images(gan)
    paths = interpolation.latent_paths(gan.latent, gan.num_classes, images)
    figures = []
    for name, average in _generators(gan).items():
        made = gan.generate(paths.latents, paths.labels, average=average)
        samples = reference = None
        if not images:
            reference = samples = gan.sample(interpolation.CLOUD, 1, average=average)
            if source is not None:
                rows = pictures.evenly_spaced(range(source.count), interpolation.CLOUD)
                reference = source.batch(rows)[0]
        figures.append(interpolation.figure(name, made, samples, reference))
    return {"description": paths.description, "figures": figures}


def _neighbours(gan: GAN, source: Source) -> dict[str, Any]:
    """The samples that lie nearest to training data, and how near samples lie as a whole."""
    generator, average = list(_generators(gan).items())[-1]
    samples = gan.sample(DRAWN, 1, average=average)
    space = "points" if samples.ndim == 2 else classifier.SPACES.get(source.name, "pixels")
    rows = pictures.evenly_spaced(range(source.count), TRAINING)
    chunks = (source.batch(rows[i : i + 500])[0] for i in range(0, len(rows), 500))
    training = np.concatenate([_embed(space, chunk) for chunk in chunks])
    generated = _embed(space, samples)
    nearest = nearest_real(training, generated)
    closest = []
    if space != "points":
        chosen = np.argsort(nearest.distance, kind="stable")[:SHOWN]
        for sample, distances in zip(chosen, cdist(generated[chosen], training), strict=True):
            near = np.argsort(distances, kind="stable")[:NEAREST]
            images = [samples[sample], *source.batch([rows[i] for i in near])[0]]
            uris = [pictures.data_uri(image, 128) for image in images]
            closest.append({"images": uris, "distances": distances[near]})
    return {
        "generator": generator, "samples": DRAWN, "training": len(rows), "of": source.count,
        "space": space, "width": SMALL, "nearest": nearest, "closest": closest,
    }  # fmt: skip


def _embed(space: str, samples: np.ndarray) -> np.ndarray:
    if space == "pixels" and samples.shape[1] > SMALL:
        samples = np.stack([_shrunk(image, SMALL) for image in samples])
    return features.embed(space, samples)[0]


def _shrunk(image: np.ndarray, width: int) -> np.ndarray:
    """A uint8 image [h, w, c] as [h width / w, width, c]."""
    height = round(image.shape[0] * width / image.shape[1])
    picture = Image.fromarray(image.squeeze()).resize((width, height), Image.Resampling.BOX)
    return np.asarray(picture).reshape(height, width, -1)
