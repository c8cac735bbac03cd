"""Paths between latents, and what a generator makes along them."""

from typing import NamedTuple

import numpy as np
from keras import ops
from markupsafe import Markup

from tfgan_ema import latents
from tfgan_ema.data import png
from tfgan_ema.lab.reports import charts, pictures
from tfgan_ema.latents import Draws
from tfgan_ema.metrics import slerp

Prior = latents.Normal | latents.Hypersphere | latents.Uniform

PATHS, STOPS, CLOUD = 6, 9, 500  # rows and columns of pictures; samples where they are points


class Paths(NamedTuple):
    """Paths between pairs of latents.

    Attributes:
        latents: ``[PATHS * stops, d]``, path after path.
        labels: of a conditional generator, one class a path, int ``[PATHS * stops]``.
        description: a sentence or two for the page.
    """

    latents: np.ndarray
    labels: np.ndarray | None
    description: str


def latent_paths(prior: Prior, num_classes: int | None, images: bool) -> Paths:
    """The same paths for every generator of that prior: great circles where it is round."""
    stops = STOPS if images else 8 * STOPS
    ends = ops.convert_to_numpy(prior.draw(2 * PATHS, Draws(0, 0, "report/")))
    start, end = (np.repeat(half, stops, axis=0) for half in np.split(ends, 2))
    share = np.tile(np.linspace(0, 1, stops), PATHS)
    if isinstance(prior, latents.Normal | latents.Hypersphere):
        kind, path = "Great-circle", slerp(start, end, share)
    else:
        kind, path = "Straight", start + share[:, None] * (end - start)
    layout = "one in each row" if images else f"with {CLOUD} samples in blue and the data in grey"
    description = f"{kind} paths between {PATHS} pairs of latents, {layout}."
    labels = None
    if num_classes is not None:
        classes = np.arange(PATHS) % num_classes
        labels = np.repeat(classes, stops)
        description += f" Their labels: {', '.join(map(str, classes))}."
    return Paths(path, labels, description)


def figure(
    name: str, made: np.ndarray, samples: np.ndarray | None, data: np.ndarray | None
) -> Markup:
    """What a generator makes along `latent_paths`; points among samples over data."""
    if made.ndim == 4:
        return pictures.figure(name, png.grid(made, STOPS), f"{name}, {PATHS} latent paths")
    return charts.plane(name, data, samples, made.reshape(PATHS, -1, 2))
