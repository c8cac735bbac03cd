"""Charts: what they draw, on which axes, and that they do so in the same way each time."""

import math
import re

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tfgan_ema.lab.reports import charts, pages

finite = st.floats(-1e9, 1e9).map(lambda x: round(x, 6))
values = st.lists(st.one_of(finite, st.sampled_from([math.nan, math.inf])), max_size=8)


@settings(max_examples=25)
@given(values)
def test_any_curve_is_drawn_inside_its_chart(values):
    drawn = charts.lines("<t>", {"a&b": list(enumerate(values))})
    points = [(x, y) for x, y in enumerate(values) if math.isfinite(y)]
    if not points:
        assert drawn == ""
        return
    assert "&lt;t&gt;" in drawn
    assert "a&amp;b" in drawn
    axis = charts.plot([("red", points)], {}).axes[0]
    (line,) = axis.lines
    np.testing.assert_array_equal(line.get_xydata(), points)
    for limits, column in ((axis.get_xlim(), 0), (axis.get_ylim(), 1)):
        assert limits[0] <= min(p[column] for p in points) < limits[1]
        assert limits[0] < max(p[column] for p in points) <= limits[1]


@settings(max_examples=25)
@given(low=finite, extent=st.floats(1e-3, 1e9))
def test_ticks_are_few_round_and_inside(low, extent):
    figure = charts.plot([("red", [(0, low), (1000, low + extent)])], {})
    figure.draw_without_rendering()
    axis = figure.axes[0]
    for side, limits in ((axis.xaxis, axis.get_xlim()), (axis.yaxis, axis.get_ylim())):
        ticks = [tick for tick in side.get_ticklocs() if limits[0] <= tick <= limits[1]]
        if extent > 1e-6 * max(abs(low), abs(low + extent)):  # else rounding decides
            assert 2 <= len(ticks) <= 12


def test_wide_ranges_are_logarithmic():
    drawn = charts.lines("fid", {"raw": [(0, 400.0), (1, 40.0), (2, 4.0)]})
    assert "fid (logarithmic)" in drawn
    for label in ("200", "20", "5"):
        assert re.search(rf"<text[^>]*>{label}</text>", drawn)
    (curve,) = re.findall(r'<path d="(M[^"]*)"[^>]*stroke: #d9722e', drawn)
    heights = [float(y) for y in re.findall(r"[\d.]+ ([\d.]+)", curve)]
    assert np.allclose(np.diff(heights, 2), 0, atol=0.01)
    assert "logarithmic" not in charts.lines("fid", {"raw": [(0, 400.0), (1, 0.0)]})


def test_more_curves_than_colours_are_all_drawn():
    names = [f"average {i}" for i in range(len(charts.COLOURS) + 2)]
    drawn = charts.lines("fid", {name: [(0, i), (9, i)] for i, name in enumerate(names)})
    assert all(f"{name} {i}</span>" in drawn for i, name in enumerate(names))
    assert len(re.findall(r'<path d="M[^"]*"[^>]*stroke: #(?!0)', drawn)) == len(names)


def test_the_same_chart_is_the_same_text_in_the_ink_of_the_page():
    curves, marks = {"raw": [(0, 1.0), (9, 2.0)]}, {"leak starts": 4.0, "outside": 90.0}
    drawn = charts.lines("fid", curves, marks=marks)
    assert drawn == charts.lines("fid", curves, marks=marks)
    assert "leak starts" in drawn
    assert "outside" not in drawn
    assert pages.INK not in drawn
    assert "currentColor" in drawn


def test_numbers_are_short():
    shown = {0.123456: "0.1235", 1000: "1k", 1234: "1234", 12340: "12.34k", 2e6: "2M", -3e7: "-30M"}
    assert {value: pages.short(value) for value in shown} == shown
