"""HTML pages of results: Jinja2 templates, and the parts that Python puts into them.

A page is one file that needs no network and follows the reader's light or dark colours. Everything
is escaped but `Markup`, which the functions here and in `charts` return.
"""

import io
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jinja2
import matplotlib
from markupsafe import Markup
from matplotlib.figure import Figure

TEMPLATES = Path(__file__).parent / "templates"
INK = "#010203"  # in a figure it means the colour of the page's text

_ENVIRONMENT = jinja2.Environment(
    loader=jinja2.FileSystemLoader(TEMPLATES),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def render(template: str, **context: Any) -> str:
    """The text of a template in the folder ``templates``; those of pages need a ``title``."""
    return _ENVIRONMENT.get_template(template).render(context)


def heading(text: str, level: int = 2) -> Markup:
    """The heading of a section."""
    return _part("heading", text, level)


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> Markup:
    """A table; cells are text, and may have several lines."""
    return _part("table", head, rows)


def picture(source: str, caption: str, description: str = "") -> Markup:
    """An image from a data URI; its description for readers who do not see it is the caption's."""
    return _part("picture", source, caption, description or caption)


def drawing(figure: Figure, caption: str) -> Markup:
    """A Matplotlib figure with its caption; large clouds of points should be rasterized."""
    return _part("drawing", svg(figure), caption)


def chart(title: str, legend: Iterable[tuple[str, str]], figure: Figure) -> Markup:
    """A small Matplotlib figure below its title and legend, pairs of a colour and a text."""
    return _part("chart", title, legend, svg(figure))


def svg(figure: Figure) -> Markup:
    """A Matplotlib figure as SVG; equal figures give equal text."""
    file = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with matplotlib.rc_context({"svg.hashsalt": "tfgan_ema", "svg.fonttype": "none"}):
        figure.savefig(file, format="svg", dpi=110, metadata=nothing)
    # HTML needs no name spaces; other figures of the page have the same running numbers.
    superfluous = r' (xmlns(:xlink)?="[^"]+"|id="[a-z0-9.]+_\d+")'
    text = re.sub(superfluous, "", file.getvalue())
    return Markup(text[text.index("<svg") :].replace(INK, "currentColor"))


def short(value: float, _: int | None = None) -> str:
    """A number for a table, a legend or an axis: 4 digits, thousands and millions as k and M."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= 10 * size or (abs(value) >= size and value % (size / 10) == 0):
            return f"{value / size:.4g}{letter}"
    return f"{value:.4g}"


def _part(macro: str, *values: Any) -> Markup:
    return getattr(_ENVIRONMENT.get_template("parts.html.j2").module, macro)(*values)


_ENVIRONMENT.filters |= {"short": short, "thousands": "{:,}".format}
