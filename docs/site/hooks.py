"""Files from above the folder docs, which pages link to as GitHub shows them, become pages too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ABOVE = Path(__file__).parents[2]
PAGES = ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
PICTURES = "zoo/exports/*/samples.png"


def on_files(files: Files, config: Any) -> Files:
    """Adds the files."""
    for path in (*PAGES, *(p.relative_to(ABOVE).as_posix() for p in ABOVE.glob(PICTURES))):
        files.append(File.generated(config, path, abs_src_path=str(ABOVE / path)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Points links at them."""
    if page.file.src_uri in PAGES:
        return markdown.replace("](docs/", "](")
    return markdown.replace("](../", "](") if "/" not in page.file.src_uri else markdown
