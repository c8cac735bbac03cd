"""Parts of pages: what is escaped, and that a page of them stands alone in a browser."""

import re

import pytest
from matplotlib.figure import Figure

from tfgan_ema.lab.reports import pages

PIXEL = (
    "data:image/png;base64,"
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def drawn(points=300):
    figure = Figure(figsize=(9, 3), layout="constrained")
    for axis in figure.subplots(1, 3):
        axis.scatter(range(points), range(points), rasterized=True)
        axis.set_title("a < b")
    return figure


@pytest.fixture(scope="module")
def text():
    """An experiment's page with all that it can hold, most of it too wide for a telephone."""
    return pages.render(
        "experiment.html.j2",
        title="A <title> of_a_page_with_a_very_long_word_that_no_telephone_can_hold_in_one_line",
        parts=[
            pages.heading("First & last"),
            "Text with <tags>.",
            pages.table(["", *"abcdefgh"], [["<row>", *["0.1234 ± 0.0012"] * 8]] * 3),
            pages.drawing(drawn(), "Three panels"),
            pages.picture(PIXEL, "A picture"),
        ],
        command="tfgan-ema reproduce ring --budget=smoke --out=/a/very/long/path/to/some/folder",
        duration="3 minutes",
        date="2026-01-01",
        made_by="TensorFlow on CPU",
        versions="Python 3",
    )


def test_text_is_escaped_and_becomes_a_paragraph(text):
    assert "<p>Text with &lt;tags&gt;.</p>" in text
    assert "<h2>First &amp; last</h2>" in text
    assert "<td>&lt;row&gt;</td>" in text
    assert "<title>A &lt;title&gt;" in text
    assert 'aria-label="Three panels"' in text
    assert "<code>tfgan-ema reproduce ring" in text
    assert not re.search(r"https?://|@import|url\((?!#)", text)


def test_equal_figures_are_equal_text_without_the_day_or_the_version():
    one, other = pages.svg(drawn()), pages.svg(drawn())
    assert one == other
    assert "a &lt; b" in one
    assert not re.search(r"Matplotlib|<\?xml|<!DOCTYPE|20\d\d-", one)
    ids = re.findall(r'\bid="([^"]+)"', pages.svg(drawn(5)))
    assert not re.search(r"_\d+\b", " ".join(ids))


def test_a_browser_shows_an_experiments_page(text, tmp_path, views):
    path = tmp_path / "index.html"
    path.write_text(text, encoding="utf-8")
    for page in views(path):
        assert page.locator("svg image").count() == 3  # the rasterized clouds
        width = page.viewport_size["width"]
        assert page.locator("svg").bounding_box()["width"] >= min(width, 500)
