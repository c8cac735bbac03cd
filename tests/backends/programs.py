"""What tests run under another backend: ``KERAS_BACKEND=... python programs.py NAME FOLDER``.

A process has one backend, so the two sides of a comparison meet in files.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import toy

import tfgan_ema as tg
from tfgan_ema import checkpoint, latents

STEPS = 20
CASES = {
    "hinge_sn": ("conv", {"loss": "hinge", "n_dis": 2, "num_classes": 3}),
    "non_saturating_r1": ("conv", {"penalties": {"r1": {"weight": 1.0, "interval": 2}}}),
    "wasserstein_gp": ("mlp", {"loss": "wasserstein", "penalties": {"wgan_gp": {}}}),
    "relativistic_average": ("mlp", {"loss": "relativistic_average", "update": "g_first"}),
    "alpha": ("mlp", {"loss": ("alpha", {"alpha_d": 0.6, "alpha_g": 1.0})}),
    "consensus": (
        "mlp", {"update": "simultaneous", "penalties": {"consensus": {"weight": 0.5}}},
    ),
    "path_length": (
        "mlp", {"penalties": {"path_length": {"interval": 2}, "dragan": {}}, "accumulate": 2},
    ),
}  # fmt: skip


def gan(name: str, compiled: dict | None = None):
    """The GAN of a case, with two averages, a leak from step 5 on, and logged gradients."""
    network, options = CASES[name]
    options = dict(options)
    found = options.pop("penalties", {})
    options["penalties"] = [tg.penalties.get(key, **value) for key, value in found.items()]
    if isinstance(options.get("loss"), tuple):
        loss, values = options["loss"]
        options["loss"] = tg.losses.get(loss, **values)
    return toy.gan(
        network,
        averages=[tg.EMA(0.9), tg.UniformAverage(start_step=3)],
        leak=tg.LeakyEMA(0.4, start_step=5),
        track_gradients=True,
        compiled=compiled,
        **options,
    )


def fit(model, steps: int = STEPS):
    """Trains on; returns all state and the means of the logs."""
    chosen = toy.points() if len(model.generator.output_shape) == 2 else None
    state = toy.fit(model, steps, chosen=chosen)
    return state | {f"log/{metric.name}": np.array(metric.result()) for metric in model.metrics}


def steps(folder: Path) -> None:
    """Every case on from its first state, for 20 steps; draws and samples beside it."""
    draws = latents.Draws(2**40 + 7, 5, "test/")
    np.savez(
        folder / f"draws_{tg.engines.current().__name__.rpartition('.')[2]}.npz",
        integers=draws.integers((50, 3), 1000, "a"),
        uniform=draws.uniform((50, 3), "b"),
        normal=draws.normal((10_000,), "c"),
    )
    for name in CASES:
        model = gan(name)
        first = folder / f"{name}_first.npz"
        if first.exists():
            checkpoint.assign(model.state(), checkpoint.read(first)[0], first)
        else:
            checkpoint.write(first, checkpoint.to_arrays(model.state()))
        last = fit(model) | {"sample": model.sample(70, seed=2**33 + 1)}
        checkpoint.write(folder / f"{name}_{model_backend()}.npz", last)


def model_backend() -> str:
    """The backend's name."""
    import keras

    return keras.config.backend()


if __name__ == "__main__":
    globals()[sys.argv[1]](Path(sys.argv[2]))
