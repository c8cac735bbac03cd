"""The models that come with the package, trained.

    tfgan-ema train --config=shipped:ring_mlp --workdir=runs/ring_mlp

`tfgan-ema zoo add NAME --workdir=DIR` makes the export and its card of a finished run. Widths are a
part of the published ones, so that an export stays below 12 MB and, but for CIFAR-10, two cores are
enough.
"""

from typing import Any

from ml_collections import ConfigDict

from configs import base
from configs.tables import change, choose, optimizers

_FASHION = {
    "data.name": "fashion_mnist",
    "data.channels": 1,
    "evaluate.metrics": ("fd_fashion_classifier", "precision_recall_fashion_classifier"),
    "evaluate.samples": 5000,
    "evaluate_every": 2000,
}


_POINTS = {
    "steps_per_execution": 100,
    "jit": True,
    "evaluate.metrics": ("w1", "modes"),
    "evaluate.samples": 2000,
    "evaluate_every": 1000,
    "sample_every": 2000,
}
_SN_ADAM = optimizers("adam", learning_rate=2e-4, beta_1=0.0, beta_2=0.9)
# A discriminator this narrow under spectral normalisation loses to its generator, which then makes
# one picture a class, unless it learns faster: two updates, at four times the rate.
_SN = {
    **_SN_ADAM,
    "d_optimizer.learning_rate": 8e-4,
    "n_dis": 2,
    "loss.kind": "hinge",
    "network": {"kind": "sngan_32", "width": 0.125},
}

ROWS: dict[str, dict[str, Any]] = {
    "ring_mlp": {
        **_POINTS,
        **optimizers("adam", learning_rate=1e-3, beta_1=0.5, beta_2=0.999),
        "data.name": "ring",
        "network": {"kind": "mlp", "width": 0.5},
        "batch_size": 128,
        "steps": 20_000,
        "penalties.r1.weight": 0.02,
    },
    # The best row of `tfgan-ema reproduce grid`.
    "grid_mlp": {
        **_POINTS,
        **optimizers("rmsprop", learning_rate=2e-4, rho=0.9, epsilon=1e-10),
        "data.name": "grid",
        "network": {
            "kind": "mlp", "g_hidden": [256] * 4, "d_hidden": [256] * 4, "d_slope": 0.0,
        },
        "batch_size": 64,
        "steps": 40_000,
        "update_order": "simultaneous",
        "penalties.consensus.weight": 10.0,
    },
    "dcgan_fashion_mnist": {
        **_FASHION, "steps": 12_000, "network": {"kind": "dcgan_32", "width": 0.375},
    },
    "sngan_fashion_mnist": {
        **_FASHION, **_SN, "steps": 10_000, "data.labels": True,
    },
    # The published recipe at half its width, for an accelerator.
    "sngan_cifar10": {
        **_SN_ADAM, "n_dis": 5, "loss.kind": "hinge", "steps": 20_000, "data.flip": True,
        "network": {"kind": "sngan_32", "width": 0.5}, "steps_per_execution": 100,
    },
}  # fmt: skip


def get_config(row: str = "") -> ConfigDict:
    """The run of a row of `ROWS`.

    Raises:
        UsageError: no such row.
    """
    return change(base.papers_config(), choose("shipped", row, ROWS))
