"""Counts lines of code: neither blank, nor comment, nor docstring; a line of a string counts.

    python -m benchmarks.code_lines [FOLDER ...]

Without folders it prints the rooms of the package, the library (all but `lab` and `cli`) and the
whole.
"""

from __future__ import annotations

import ast
import io
import sys
import tokenize
from collections.abc import Sequence
from pathlib import Path

_LAYOUT = (
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
)
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def code_lines(source: str) -> int:
    """The number of lines of code of a Python file's text."""
    docstrings: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, _DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            first = node.body[0]
            docstrings |= set(range(first.lineno, first.end_lineno + 1))
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in _LAYOUT:
            lines |= set(range(token.start[0], token.end[0] + 1))
    return len(lines - docstrings)


def count(folder: Path) -> int:
    """The lines of code of all Python files of a folder, or of one file."""
    files = folder.rglob("*.py") if folder.is_dir() else [folder]
    return sum(code_lines(path.read_text(encoding="utf-8")) for path in files)


def main(folders: Sequence[str]) -> None:
    """Prints the counts."""
    if folders:
        for folder in folders:
            print(f"{count(Path(folder)):6,}  {folder}")
        return
    package = Path(__file__).parents[1] / "tfgan_ema"
    rooms = {
        path.name: count(path)
        for path in sorted(package.iterdir())
        if path.is_dir() or path.suffix == ".py"
    }
    for name, lines in rooms.items():
        print(f"{lines:6,}  {name}")
    whole = sum(rooms.values())
    print(f"{whole - rooms['lab'] - rooms['cli']:6,}  library\n{whole:6,}  tfgan_ema")


if __name__ == "__main__":
    main(sys.argv[1:])
