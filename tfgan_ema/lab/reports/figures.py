"""Figures for a paper: samples of generators on equal latents, by class, along paths, truncated."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from keras import ops
from matplotlib.figure import Figure

from tfgan_ema import latents
from tfgan_ema.data import png
from tfgan_ema.errors import UsageError
from tfgan_ema.lab.reports import interpolation
from tfgan_ema.latents import Draws

KINDS = ("samples", "classes", "paths", "truncation")
THRESHOLDS = (0.3, 0.5, 0.7, 1.0, 2.0)  # of a truncated normal latent, a row for each

Generate = Callable[[np.ndarray, np.ndarray | None], Any]


class Drawn(NamedTuple):
    """What images are drawn from.

    Attributes:
        generators: (latents, labels) -> images in [-1, 1], by name.
        prior: of the latents.
        class_names: of a conditional generator.
    """

    generators: Mapping[str, Generate]
    prior: Any
    class_names: Sequence[str] | None


def of_run(gan: Any, class_names: Sequence[str] | None) -> Drawn:
    """The raw generator of a run and each of its averages."""
    names = ["raw", *(average.name for average in gan.averages)]

    def generate(name: str) -> Generate:
        return lambda latent, labels: gan.generate(latent, labels, average=name)

    if gan.num_classes is not None and class_names is None:
        class_names = [str(label) for label in range(gan.num_classes)]
    known = class_names if gan.num_classes is not None else None
    return Drawn({name: generate(name) for name in names}, gan.latent, known)


def of_model(name: str, model: Any) -> Drawn:
    """An exported generator, see `export.load_generator`.

    Raises:
        UsageError: it does not say which prior its latents have.
    """
    if model.prior is None or model.prior["kind"] not in latents.PRIORS:
        raise UsageError(f"{model.folder} does not say what its latents are: export it anew.")

    def generate(latent: np.ndarray, labels: np.ndarray | None) -> np.ndarray:
        return model(latent if labels is None else [latent, labels]).numpy()

    prior = latents.get(model.prior["kind"], model.prior["dim"])
    return Drawn({name: generate}, prior, model.class_names)


def draw(
    kind: str, drawn: Drawn, *, rows: int = 8, columns: int = 8, seed: int = 0, width: float = 5.5
) -> Figure:
    """A figure of one panel for each generator, all of equal latents.

    Args:
        kind: one of `KINDS`. ``samples`` are ``rows`` of ``columns`` images, or as many points;
            ``classes`` is a row for each class; ``paths`` are interpolations between latents;
            ``truncation`` is a row for each of `THRESHOLDS` and one without.
        drawn: the generators.
        rows: of ``samples``.
        columns: of all but ``paths``.
        seed: of the latents.
        width: of the figure, in inches.

    Raises:
        UsageError: a kind that does not fit the generator.
    """
    latent, labels, names, columns = _inputs(kind, drawn, rows, columns, seed)
    made = {name: np.asarray(g(latent, labels)) for name, g in drawn.generators.items()}
    if next(iter(made.values())).ndim == 4:
        pictures = {name: png.grid(images, columns, padding=1) for name, images in made.items()}
        return _figure(pictures, names, width)
    if kind != "samples":
        raise UsageError(f"{kind}: the generator makes points, not images; choose samples.")
    return _clouds(made, width)


def _inputs(
    kind: str, drawn: Drawn, rows: int, columns: int, seed: int
) -> tuple[np.ndarray, np.ndarray | None, Sequence[str], int]:
    """Latents, labels, the names of the rows, and how many images are in a row."""
    classes = drawn.class_names

    def latent(count: int, truncation: float | None = None) -> np.ndarray:
        return ops.convert_to_numpy(drawn.prior.draw(count, Draws(seed, 0, "figure/"), truncation))

    def cyclic(count: int) -> np.ndarray | None:
        return None if classes is None else np.arange(count, dtype="int32") % len(classes)

    if kind == "classes":
        if classes is None:
            raise UsageError("classes: the generator is unconditional; choose another kind.")
        labels = np.repeat(np.arange(len(classes), dtype="int32"), columns)
        return np.tile(latent(columns), (len(classes), 1)), labels, classes, columns
    if kind == "paths":
        paths = interpolation.latent_paths(drawn.prior, classes and len(classes), images=True)
        return paths.latents, paths.labels, (), interpolation.STOPS
    if kind == "truncation":
        cut = [latent(columns, threshold) for threshold in (*THRESHOLDS, None)]
        labels = cyclic(columns)
        labels = None if labels is None else np.tile(labels, len(cut))
        return np.concatenate(cut), labels, [*map(str, THRESHOLDS), "none"], columns
    return latent(rows * columns), cyclic(rows * columns), (), columns


def _figure(panels: Mapping[str, np.ndarray], names: Sequence[str], width: float) -> Figure:
    height, across, _ = next(iter(panels.values())).shape
    each = width / len(panels)
    figure = Figure(figsize=(width, each * height / across + 0.3), layout="compressed")
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for i, (name, picture) in enumerate(panels.items()):
        axes[i].imshow(picture.squeeze(), cmap="gray", vmin=0, vmax=255, interpolation="none")
        axes[i].set_title(name, fontsize=8)
        axes[i].spines[:].set_visible(False)
        axes[i].set(xticks=[], yticks=[])
        if names and i == 0:
            middles = (np.arange(len(names)) + 0.5) * height / len(names)
            axes[i].set_yticks(middles, names, fontsize=7)
            axes[i].tick_params(length=0)
    return figure


def _clouds(panels: Mapping[str, np.ndarray], width: float) -> Figure:
    """Points on equal axes, which hold 99.8 % of all."""
    low, high = np.quantile(np.concatenate([*panels.values()]), [0.001, 0.999], axis=0)
    margin = 0.1 * (high - low).max()
    figure = Figure(figsize=(width, width / len(panels) + 0.3), layout="compressed")
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for axis, (name, points) in zip(axes, panels.items(), strict=True):
        axis.scatter(*points.T, s=0.6, alpha=0.5, color="tab:blue", linewidths=0, rasterized=True)
        axis.set_title(name, fontsize=8)
        axis.set(xlim=(low[0] - margin, high[0] + margin), xticks=[], yticks=[])
        axis.set(ylim=(low[1] - margin, high[1] + margin), aspect="equal")
    return figure
