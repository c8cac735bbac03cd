"""Shipped recipes whose average is chosen after training: two power-function averages, snapshots.

    tfgan-ema train --config=widths:ring_mlp --workdir=runs/ring_mlp
    tfgan-ema average runs/ring_mlp --sweep=0.01..0.25 --at=5000,10000,20000 --metrics=w1 \\
        --plot=map.png

The EMA of decay 0.999 is tracked as well, and marked in the plot.
"""

from ml_collections import ConfigDict

from configs import base, shipped
from configs.tables import change, choose

SNAPSHOTS = 40  # a run
ROWS = shipped.ROWS


def get_config(row: str = "") -> ConfigDict:
    """A row of `ROWS` with snapshots.

    Raises:
        UsageError: no such row.
    """
    recipe = choose("widths", row, ROWS)
    averages = {
        "averages.narrow": {"kind": "power_ema", "sigma": 0.05},
        "averages.wide": {"kind": "power_ema", "sigma": 0.1},
        "snapshot_every": recipe["steps"] // SNAPSHOTS,
    }
    return change(base.papers_config(), recipe | averages)
