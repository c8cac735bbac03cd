"""A picture of the scores of a generator whose latent is truncated at several thresholds."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from tfgan_ema import files


def save_truncation_curves(rows: Sequence[Mapping[str, float]], path: str | Path) -> None:
    """Draws precision against recall, a Frechet distance against an Inception Score, as far as the
    rows have them, and every other score against the threshold.

    Args:
        rows: a mapping for each threshold, with ``truncation`` and scores by name.
        path: the picture to write, for example a PNG.
    """
    names = [name for name in rows[0] if name != "truncation" and not name.endswith("_std")]
    panels = []
    for prefixes in (("recall_", "precision_"), ("is_", "f")):
        pair = [next((n for n in names if n.startswith(prefix)), None) for prefix in prefixes]
        if None not in pair:
            panels.append(pair)
            names = [name for name in names if name not in pair]
    panels += [("truncation", name) for name in names]
    figure = Figure(figsize=(4.5 * len(panels), 3.8), layout="constrained")
    for axes, (x, y) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        axes.plot([row[x] for row in rows], [row[y] for row in rows], marker="o")
        if x != "truncation":
            for row in rows:
                axes.annotate(
                    f"{row['truncation']:g}", (row[x], row[y]), xytext=(4, 4),
                    textcoords="offset points", fontsize=8,
                )  # fmt: skip
        axes.set(xlabel=x, ylabel=y)
        axes.grid(alpha=0.3)
    with files.replacing(path) as temporary:
        figure.savefig(temporary, dpi=120)
