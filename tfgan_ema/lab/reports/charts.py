"""Small charts as inline SVG, drawn by Matplotlib in the colours of the page, light or dark."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import matplotlib.style
import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator

from tfgan_ema.lab.reports import pages, pictures

Curve = Sequence[tuple[float, float]]  # (x, y), x rising

# Each is told from white and from near-black, so one set serves light and dark pages.
COLOURS = ("#d9722e", "#3b82c4", "#2e9e6b", "#a06cc8", "#c8505f", "#2a96a0")
MOST_POINTS = 400  # of a curve; longer ones are thinned out evenly
WIDE_RANGE = 30  # positive values that span more than this factor get a logarithmic axis
styled = matplotlib.style.context(pages.TEMPLATES / "chart.mplstyle")


def histories(rows: Iterable[Mapping[str, str]]) -> dict[str, dict[str, Curve]]:
    """The curves of a run's ``evaluation.csv``: metric -> generator -> values by step."""
    curves = defaultdict(lambda: defaultdict(list))
    for row in rows:
        for metric, value in row.items():
            if value and metric not in ("step", "generator"):
                curves[metric][row["generator"]].append((int(row["step"]), float(value)))
    return curves


def lines(
    title: str,
    curves: Mapping[str, Curve],
    *,
    colour: int = 0,
    marks: Mapping[str, float] | None = None,
) -> Markup:
    """Curves over a common axis, with a legend that gives their last values.

    Args:
        title: of the chart.
        curves: by name; values that are not finite are left out.
        colour: of the first curve, an index into `COLOURS`; the others follow in turn.
        marks: x of vertical lines, by what is written at them.

    Returns:
        A ``figure``; nothing where no curve has a finite value.
    """
    finite, legend = [], []
    for i, (name, curve) in enumerate(curves.items()):
        drawn = pictures.evenly_spaced(curve, MOST_POINTS)
        points = [(x, y) for x, y in drawn if math.isfinite(y)]
        if points:
            ink = COLOURS[(colour + i) % len(COLOURS)]
            finite.append((ink, points))
            legend.append((ink, f"{name} {pages.short(points[-1][1])}"))
    if not finite:
        return Markup()
    figure = plot(finite, marks or {})
    logarithmic = figure.axes[0].get_yscale() == "log"
    return pages.chart(f"{title} (logarithmic)" if logarithmic else title, legend, figure)


@styled
def plot(curves: Sequence[tuple[str, Curve]], marks: Mapping[str, float]) -> Figure:
    """The figure of `lines`, of at least one finite curve; each comes with its colour."""
    figure = Figure()
    axis = figure.subplots()
    for colour, curve in curves:
        axis.plot(*zip(*curve, strict=True), color=colour, marker="o" if len(curve) == 1 else "")
    values = [y for _, curve in curves for _, y in curve]
    axis.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10], integer=True))
    axis.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    if min(values) > 0 and max(values) > WIDE_RANGE * min(values):
        axis.set_yscale("log")
        digits = (1, 2, 5) if max(values) < 1000 * min(values) else (1,)
        axis.yaxis.set_major_locator(LogLocator(subs=digits))
        axis.minorticks_off()
    axis.xaxis.set_major_formatter(pages.short)
    axis.yaxis.set_major_formatter(pages.short)
    first, last = axis.get_xlim()
    for text, x in marks.items():
        if first <= x <= last:
            axis.axvline(x, color=pages.INK, linestyle=(0, (3, 3)), linewidth=0.8, alpha=0.5)
            top = axis.get_xaxis_transform()  # x of the data, y from 0 to 1
            axis.text(x, 1, text, transform=top, ha="center", va="bottom")
    return figure


@styled
def plane(title: str, data: np.ndarray, samples: np.ndarray, paths: np.ndarray) -> Markup:
    """Samples and paths in the plane over data in grey, as a ``figure``.

    Args:
        title: of the chart.
        data: the cloud that sets the frame, ``[n, 2]``.
        samples: ``[m, 2]``; those outside the frame are not seen.
        paths: ``[paths, points, 2]``.
    """
    figure = Figure(figsize=(4, 4))
    axis = figure.subplots()
    for points, colour in ((data, "#888888"), (samples, COLOURS[1])):
        axis.scatter(*points.T, s=4, color=colour, alpha=0.6, linewidths=0)
    for path, colour in zip(paths, COLOURS, strict=True):
        axis.plot(*path.T, color=colour)
    low, high = data.min(axis=0), data.max(axis=0)
    reach = 0.75 * float((high - low).max()) + 1e-3
    x, y = np.stack([(low + high) / 2 - reach, (low + high) / 2 + reach], axis=1)
    axis.set(xlim=x, ylim=y, xticks=[], yticks=[])
    axis.spines[:].set(visible=True, alpha=0.3)
    return pages.chart(title, [], figure)
