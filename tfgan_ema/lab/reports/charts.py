"""Small charts as SVG that take the colours of the page they stand in, light or dark."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

Curve = Sequence[tuple[float, float]]  # (x, y), x rising

# Each is told from white and from near-black, so one set serves light and dark pages.
COLOURS = ("#d9722e", "#3b82c4", "#2e9e6b", "#a06cc8", "#c8505f", "#2a96a0")

STYLE = """
.chart svg { background: none; display: block; width: 100% }
.chart figcaption { opacity: 1; line-height: 1.4; margin-bottom: .3rem }
.chart figcaption b { display: block; opacity: 1 }
.chart text { fill: currentColor; font-size: 11px; opacity: .75 }
.chart .rule { stroke: currentColor; opacity: .15 }
.chart .mark { stroke: currentColor; opacity: .5; stroke-dasharray: 3 3 }
.chart rect { fill: none }
.chart .dots { fill: #888 }
.chart .cloud { fill: #3b82c4; opacity: .6 }
.chart path { fill: none; stroke-width: 1.8; stroke-linejoin: round; stroke-linecap: round }
.key { white-space: nowrap; margin-right: 1em }
.key::before { content: ""; display: inline-block; width: .8em; height: .8em; border-radius: 50%;
  margin-right: .35em; background: var(--ink) }
""" + "".join(
    f".c{i} {{ --ink: {ink} }} .chart path.c{i} {{ stroke: {ink} }}\n"
    for i, ink in enumerate(COLOURS)
)

WIDTH, HEIGHT = 400, 220
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 10, 22  # margins
WIDE_RANGE = 30  # positive values that span more than this factor get a logarithmic axis


def short(value: float) -> str:
    """A number for an axis or a legend: 4 digits, thousands and millions as k and M."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= 10 * size or (abs(value) >= size and value % (size / 10) == 0):
            return f"{value / size:.4g}{letter}"
    return f"{value:.4g}"


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers in [low, high], 1, 2 or 5 times a power of ten apart, at most ``most``."""
    power = 10.0 ** math.floor(math.log10((high - low) / most))
    step = next(m * power for m in (1, 2, 5, 10, 20) if (high - low) / (m * power) <= most - 1)
    return [round(i * step, 12) for i in range(math.ceil(low / step), math.floor(high / step) + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten in [low, high], and 2 and 5 times them where these are few."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    digits = (1, 2, 5) if len(powers) <= 4 else (1,)
    found = [digit * 10.0**power for power in powers for digit in digits]
    return [value for value in found if low <= value <= high]


def lines(
    title: str,
    curves: Mapping[str, Curve],
    *,
    colour: int = 0,
    marks: Mapping[str, float] | None = None,
) -> str:
    """Curves over a common axis, with a legend that gives their last values.

    Args:
        title: of the chart.
        curves: by name; values that are not finite are left out.
        colour: of the first curve, an index into `COLOURS`; the others follow in turn.
        marks: x of vertical lines, by what is written at them.

    Returns:
        A ``figure``; the empty string where no curve has a finite value.
    """
    curves = {
        name: [(x, y) for x, y in curve if math.isfinite(y)] for name, curve in curves.items()
    }
    points = [point for curve in curves.values() for point in curve]
    if not points:
        return ""
    xs, ys = zip(*points, strict=True)
    first, last = _frame(min(xs), max(xs), 0)
    logarithmic = min(ys) > 0 and max(ys) > WIDE_RANGE * min(ys)
    scale = math.log10 if logarithmic else float
    low, high = _frame(scale(min(ys)), scale(max(ys)), 0.05)

    def across(x: float) -> float:
        return LEFT + (x - first) / (last - first) * (WIDTH - LEFT - RIGHT)

    def up(y: float) -> float:
        return HEIGHT - BOTTOM - (scale(y) - low) / (high - low) * (HEIGHT - TOP - BOTTOM)

    drawn = []
    for y in log_ticks(10**low, 10**high) if logarithmic else ticks(low, high):
        drawn.append(_line("rule", LEFT, up(y), WIDTH - RIGHT, up(y)))
        drawn.append(_text(LEFT - 6, up(y) + 4, short(y), "end"))
    for x in ticks(first, last):
        drawn.append(_text(across(x), HEIGHT - 4, short(x), "middle"))
    for text, x in (marks or {}).items():
        if first <= x <= last:
            drawn.append(_line("mark", across(x), TOP, across(x), HEIGHT - BOTTOM))
            side, anchor = (4, "start") if x < (first + last) / 2 else (-4, "end")
            drawn.append(_text(across(x) + side, TOP + 8, text, anchor))
    inks = [(colour + i) % len(COLOURS) for i in range(len(curves))]
    for ink, curve in zip(inks, curves.values(), strict=True):
        drawn.append(_path(ink, [(across(x), up(y)) for x, y in curve]))
    keys = [
        (ink, f"{name} {short(curve[-1][1])}")
        for ink, (name, curve) in zip(inks, curves.items(), strict=True)
        if curve
    ]
    heading = f"{title} (logarithmic)" if logarithmic else title
    return _figure(heading, (WIDTH, HEIGHT), drawn, keys)


def plane(title: str, data: np.ndarray, samples: np.ndarray, paths: np.ndarray) -> str:
    """Samples and paths in the plane over data in grey, as a ``figure``.

    Args:
        title: of the chart.
        data: the cloud that sets the frame, ``[n, 2]``.
        samples: ``[m, 2]``; those outside the frame are not seen.
        paths: ``[paths, points, 2]``.
    """
    low, high = data.min(axis=0), data.max(axis=0)
    centre, reach = (low + high) / 2, 0.75 * float((high - low).max()) + 1e-3

    def place(points: np.ndarray) -> list[list[float]]:
        return (WIDTH / 2 * (1 + (points - centre) / reach * (1, -1))).tolist()

    drawn = [f'<rect class="rule" width="{WIDTH}" height="{WIDTH}"/>']
    drawn += [
        f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="1.6"/>'
        for kind, points in (("dots", data), ("cloud", samples))
        for x, y in place(points)
    ]
    drawn += [_path(i % len(COLOURS), place(path)) for i, path in enumerate(paths)]
    return _figure(title, (WIDTH, WIDTH), drawn, [])


def _frame(low: float, high: float, margin: float) -> tuple[float, float]:
    """An axis that holds [low, high] and is not empty."""
    extent = high - low
    if extent <= 1e-9 * max(abs(low), abs(high), 1e-9):
        extent = max(abs(low), 1.0)
        return low - extent / 2, high + extent / 2
    return low - margin * extent, high + margin * extent


def _figure(
    title: str, size: tuple[int, int], drawn: Iterable[str], keys: Iterable[tuple[int, str]]
) -> str:
    legend = " ".join(f'<span class="key c{i}">{html.escape(text)}</span>' for i, text in keys)
    return (
        f'<figure class="chart"><figcaption><b>{html.escape(title)}</b> {legend}</figcaption>'
        f'<svg viewBox="0 0 {size[0]} {size[1]}" role="img" aria-label="{html.escape(title)}">'
        f"{''.join(drawn)}</svg></figure>"
    )


def _line(kind: str, x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{html.escape(text)}</text>'


def _path(ink: int, points: Iterable[tuple[float, float]]) -> str:
    """A line; a single point becomes a dot, since its caps are round."""
    places = [f"{x:.1f} {y:.1f}" for x, y in points]
    if len(places) == 1:
        places *= 2
    return f'<path class="c{ink}" d="M{" L".join(places)}"/>' if places else ""
