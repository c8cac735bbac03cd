"""The models that come with the package, trained; ``--config=configs/shipped.py:NAME``.

`tfgan-ema zoo add NAME --workdir=DIR` makes the export and its card of a finished run. Widths are a
part of the published ones, so that two cores are enough and an export stays below 12 MB.
"""

from typing import Any

from ml_collections import ConfigDict

from configs import base
from configs._tables import adam, change, choose

_FASHION = {
    "data.name": "fashion_mnist",
    "data.channels": 1,
    "evaluate.metrics": ("fd_fashion_classifier", "precision_recall_fashion_classifier"),
    "evaluate.samples": 5000,
    "evaluate_every": 2500,
}
_SN = {"loss.name": "hinge", "network": {"name": "sngan_32", "width": 0.125}}


def _points(data: str, **network: Any) -> dict[str, Any]:
    """A perceptron on a mixture, many steps in a call."""
    return {
        "data.name": data,
        "network": {"name": "mlp", **network},
        "batch_size": 128,
        "steps": 20_000,
        "penalties": {"r1": {"weight": 0.02}},
        "evaluate.metrics": ("w1", "modes"),
        "evaluate.samples": 2000,
        "evaluate_every": 1000,
        "sample_every": 2000,
        "steps_per_execution": 100,
        "jit": True,
    }


# name: learning rate and betas of Adam, changes
ROWS = {
    "ring_mlp": ((1e-3, 0.5, 0.999), _points("ring", width=0.5)),
    "grid_mlp": ((1e-3, 0.5, 0.999), _points("grid", width=0.5)),
    "dcgan_fashion_mnist": (
        (2e-4, 0.5, 0.999),
        {**_FASHION, "steps": 20_000, "network": {"name": "dcgan_32", "width": 0.375}},
    ),
    "sngan_fashion_mnist": (
        (2e-4, 0.0, 0.9), {**_FASHION, **_SN, "steps": 10_000, "data.labels": True},
    ),
    "sngan_cifar10": (
        (2e-4, 0.0, 0.9),
        {
            **_SN, "steps": 10_000, "data.flip": True,
            "evaluate.metrics": ("fid", "precision_recall_inception"),
        },
    ),
}  # fmt: skip


def get_config(row: str = "") -> ConfigDict:
    """The run of a row of `ROWS`.

    Raises:
        UsageError: no such row.
    """
    rates, changes = choose("shipped", row, ROWS)
    config = base.get_config()
    adam(config, *rates)
    return change(config, changes)
