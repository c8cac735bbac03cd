"""The page of all shipped models: samples, scores, curves, interpolations, how to use them.

Everything is read from the models and their cards.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from PIL import Image

from tfgan_ema import data, latents, runs
from tfgan_ema.errors import UsageError
from tfgan_ema.export import ExportedGenerator
from tfgan_ema.lab.reports import cards, charts, interpolation, pages, pictures
from zoo import shipped


def page() -> str:
    """The page of all shipped models, as HTML; the same models give the same page.

    Raises:
        UsageError: there is none.
    """
    names = shipped.names()
    if not names:
        raise UsageError(f"{shipped.FOLDER} holds no model: `tfgan-ema zoo add` makes one.")
    models = [_model(shipped.card(name), shipped.folder(name)) for name in names]
    return pages.render("gallery.html.j2", title="Trained models", models=models)


def _model(card: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """What the page shows of a model."""
    with Image.open(folder / "samples.png") as file:
        samples = np.asarray(file)
    caption = f"First {card['samples']['count']} samples of seed {card['samples']['seed']}"
    first = pictures.figure(caption, samples, f"{caption} of {card['name']}")
    paths, interpolated = _interpolation(card, folder)
    shown = ["raw", f"averaged ({next(iter(card['config']['averages']))})"]
    if len(card["data"]["shape"]) == 1:  # points: the pictures show the average alone
        shown = shown[1:]
    return {
        "card": card,
        "figures": [first, interpolated],
        "paths": paths,
        "frames": pictures.frames(pictures.sample_pictures(folder / "steps"), shown),
        "scores": cards.score_rows(card),
        "scores_note": cards.scores_note(card),
        "charts": [charts.lines(metric, curves) for metric, curves in card["history"].items()],
        "settings": runs.flatten(card["config"]),
    }


def _interpolation(card: Mapping[str, Any], folder: Path) -> tuple[str, Markup]:
    """The paths that a run's page shows, described, and what the model makes along them."""
    model = ExportedGenerator(folder)
    dim = model.signatures["serving_default"].structured_input_signature[1]["latent"].shape[1]
    images = len(card["data"]["shape"]) == 3
    prior = latents.get(card["config"]["latent"]["kind"], dim)
    paths = interpolation.latent_paths(prior, card["data"]["num_classes"], images)
    inputs = paths.latents if paths.labels is None else [paths.latents, paths.labels]
    samples = reference = None
    if not images:  # mixtures, which are drawn, not fetched
        samples = model.sample(interpolation.CLOUD, 1)
        reference = data.load(card["data"]["name"]).batch(range(interpolation.CLOUD))[0]
    made = np.asarray(model(inputs))
    return paths.description, interpolation.figure("Interpolation", made, samples, reference)
