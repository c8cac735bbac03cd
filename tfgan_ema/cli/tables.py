"""How commands print tables."""

from collections.abc import Collection, Sequence


def print_table(rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> None:
    """Prints rows as columns; those of the indices in ``right`` are aligned to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    sides = [">" if i in right else "<" for i in range(len(widths))]
    layout = "  ".join(f"{{:{side}{width}}}" for side, width in zip(sides, widths, strict=True))
    for row in rows:
        print(layout.format(*row).rstrip())
