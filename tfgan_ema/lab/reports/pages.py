"""Plain HTML pages of results: tables, figures, one file each, light and dark."""

from __future__ import annotations

import html
import io
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STYLE = """
:root { color-scheme: light dark }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem }
.wide { overflow-x: auto }
table { border-collapse: collapse; font-size: .88rem; margin: 1rem 0 }
th, td { text-align: left; vertical-align: top; padding: .3rem .7rem; white-space: pre-line }
tr { border-bottom: 1px solid #8886 }
figure { margin: 2rem 0 } figure img, figure svg { max-width: 100%; height: auto; background: #fff }
figcaption { opacity: .75; font-size: .9rem }
"""


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table; cells are text, and may have several lines."""

    def line(tag: str, cells: Iterable[str]) -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(c)}</{tag}>" for c in cells) + "</tr>"

    body = "\n".join(line("td", row) for row in rows)
    return f'<div class="wide"><table>{line("th", head)}{body}</table></div>'


def figure(picture: str, caption: str) -> str:
    """A picture, as markup, with its caption as text."""
    return f"<figure>{picture}<figcaption>{html.escape(caption)}</figcaption></figure>"


def image(source: str, description: str) -> str:
    """A picture in a file beside the page, or a data URI."""
    return f'<img src="{source}" alt="{html.escape(description)}">'


def inline(drawing: Figure, dpi: int = 110) -> str:
    """A matplotlib figure as a data URI (PNG) for `image`."""
    import base64

    buffer = io.BytesIO()
    drawing.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def page(title: str, body: Iterable[str], style: str = "") -> str:
    """A whole page; ``body`` is markup, ``style`` is CSS of its own."""
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{html.escape(title)}</title><style>{STYLE}{style}</style>\n"
        f"<h1>{html.escape(title)}</h1>\n" + "\n".join(body) + "</html>\n"
    )
