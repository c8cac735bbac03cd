"""What tests run under another backend: ``KERAS_BACKEND=... python programs.py NAME FOLDER``.

A process has one backend, so the two sides of a comparison meet in files.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable
from pathlib import Path
from unittest import mock

import keras
import numpy as np
import toy

import tfgan_ema as tg
from tfgan_ema import checkpoint, controllers, data, engines, latents
from tfgan_ema.engines import devices as machine
from tfgan_ema.layers import resampling

BACKEND = keras.config.backend()
STEPS = 20
FALLING = {"kind": "cosine", "start": 2.0, "end": 0.1, "steps": 9}
SCHEDULED = {  # for both players
    "kind": "adam", "epsilon": 1e-3,
    "learning_rate": {"kind": "cosine", "start": 2e-3, "end": 5e-4, "steps": 15},
    "beta_1": {"kind": "linear", "start": 0.5, "end": 0.0, "steps": 10},
    "beta_2": {"kind": "cosine", "start": 0.9, "end": 0.99, "steps": 20},
}  # fmt: skip
CASES = {
    "hinge_sn": ("conv", {"loss": "hinge", "n_dis": 2, "num_classes": 3}),
    "non_saturating_r1": ("conv", {"penalties": {"r1": {"weight": 1.0, "interval": 2}}}),
    "wasserstein_gp": ("mlp", {"loss": "wasserstein", "penalties": {"wgan_gp": {}}}),
    "relativistic_average": ("mlp", {"loss": "relativistic_average", "update_order": "g_first"}),
    "alpha": (
        "mlp", {"loss": ("alpha", {"alpha_d": 0.6, "alpha_g": 1.0}), "accumulate": 2,
                "penalties": {"path_length": {"interval": 2}}},
    ),
    "consensus": (
        "mlp", {"update_order": "simultaneous", "penalties": {"consensus": {"weight": 0.5}}},
    ),
    "lookahead": (
        "mlp", {"lookahead": {"k": 3, "super_slow": 9}, "averages": [{"rule": "power_ema"}]},
    ),
    "controlled": (
        "mlp", {"leak": {"beta": 0.5, "adaptive": True, "target": -0.9},
                "penalties": {"lecam": {"weight": 0.3}}},
    ),
    "r3gan": ("r3gan", {"loss": "relativistic", "penalties": {"r1_r2": {}}}),
    "scheduled": (
        "mlp", {"leak": {"beta": {"kind": "linear", "start": 0.0, "end": 0.9, "steps": 15}},
                "penalties": {"r1": {"weight": FALLING}},
                "averages": [{"half_life": {"kind": "warm_up", "peak": 40.0, "steps": 30}}],
                "compiled": {"d_optimizer": SCHEDULED, "g_optimizer": SCHEDULED}},
    ),
    "augmented": ("conv", {"augment": {"policy": "color", "adaptive": True, "target": -0.9}}),
}  # fmt: skip
LENGTHS = dict.fromkeys(CASES, STEPS) | {"r3gan": 3}  # without norms, rounding grows soon
SHARED = ("hinge_sn",)  # what the default tests need of them
SPEED = 4 * 8 / 0.1  # with which shares move by 0.1 every four steps of these batches


def gan(name: str, compiled: dict | None = None):
    """The GAN of a case, with logged gradients; most have two averages and a leak from step 5."""
    network, options = CASES[name]
    options = dict(options)
    penalties = options.pop("penalties", {})
    options["penalties"] = [tg.penalties.get(key, **value) for key, value in penalties.items()]
    averages = options.pop("averages", [{"decay": 0.9}, {"rule": "uniform", "start_step": 3}])
    options["averages"] = [tg.averaging.get(**{"rule": "ema"} | rule) for rule in averages]
    options["leak"] = tg.LeakyEMA(**options.get("leak", {"beta": 0.4, "start_step": 5}))
    if "lookahead" in options:
        options["lookahead"] = tg.Lookahead(**options["lookahead"])
    if "augment" in options:
        options["augment"] = [tg.DiffAugment(**options["augment"])]
    optimizers = options.pop("compiled", {})
    if isinstance(options.get("loss"), tuple):
        loss, values = options["loss"]
        options["loss"] = tg.losses.get(loss, **values)
    return toy.gan(
        network,
        track_gradients=True,
        compiled={**optimizers, **(compiled or {})},
        **options,
    )


def fit(model, steps: int = STEPS):
    """Trains on; returns all state and the means of the logs."""
    chosen = toy.points() if len(model.generator.output_shape) == 2 else None
    with mock.patch.object(controllers, "SPEED", SPEED):
        state = toy.fit(model, steps, chosen=chosen)
    return state | {f"log/{metric.name}": np.array(metric.result()) for metric in model.metrics}


def begin(folder: Path, names: Iterable[str]) -> None:
    """Writes the first states of cases."""
    for name in names:
        checkpoint.write(folder / f"{name}_first.npz", checkpoint.to_arrays(gan(name).state()))


def begun(folder: Path, name: str):
    """The GAN of a case in its first state."""
    model = gan(name)
    checkpoint.assign(model.state(), checkpoint.read(folder / f"{name}_first.npz")[0], name)
    return model


def served(model) -> dict[str, np.ndarray]:
    """What the averaged generator makes."""
    made = {"sample": model.sample(70, seed=2**33 + 1)}
    if model.num_classes:
        rng = np.random.default_rng(1)
        latent, labels = rng.normal(size=(9, 6)).astype("float32"), rng.integers(0, 3, 9)
        made["images"] = model.generate(latent, labels)
    return {f"served/{key}": value for key, value in made.items()}


def steps(folder: Path, *names: str) -> None:
    """Trains cases from their first states; writes what is left and samples."""
    for name in names:
        model = begun(folder, name)
        last = fit(model, LENGTHS[name]) | served(model)
        if name == "alpha":
            scores = model.evaluate(np.ones((16, 2), "float32"), batch_size=8, verbose=0)
            last["evaluation"] = np.array(scores)
        checkpoint.write(folder / f"{name}_{BACKEND}.npz", last)


def numbers(folder: Path) -> None:
    """Writes draws, convolutions and batches."""
    draws = latents.Draws(2**40 + 7, 5, "test/")
    np.savez(
        folder / f"draws_{BACKEND}.npz",
        integers=draws.integers((50, 3), 1000, "a"),
        uniform=draws.uniform((50, 3), "b"),
        normal=draws.normal((10_000,), "c"),
    )
    np.savez(folder / f"folded_{BACKEND}.npz", **folded())
    batches = data.pipeline(
        toy.source(classes=3), 40, seed=3, start=1, flip=True, labels=True, shard=(1, 2)
    )
    taken = list(itertools.islice(batches, 4))  # across the border of two epochs of 96
    np.savez(
        folder / f"batches_{BACKEND}.npz",
        images=np.stack([images for images, _ in taken]),
        labels=np.stack([labels for _, labels in taken]),
    )


def folded() -> dict[str, np.ndarray]:
    """Convolutions with a change of resolution folded in; their forms differ by backend."""
    rng, made = np.random.default_rng(2), {}
    for size, (height, width), resample in itertools.product(
        (1, 3), ((4, 6), (5, 7)), ("up", "down")
    ):
        x = rng.normal(size=(2, height, width, 3)).astype("float32")
        kernel = rng.normal(size=(size, size, 3, 4)).astype("float32")
        x, kernel = keras.ops.convert_to_tensor(x), keras.ops.convert_to_tensor(kernel)
        y = resampling.conv(x, kernel, resample)
        made[f"{resample}{size}_{height}"] = keras.ops.convert_to_numpy(y)
    return made


def devices(folder: Path) -> None:
    """Two cases on all the devices that there are."""
    engine = engines.current()
    assert machine.strategy("mirrored").num_replicas_in_sync == 2
    taken = engine._stacks
    rows = set()

    def watched(*arguments):
        for stack in taken(*arguments):
            rows.update((len(b[0]), len(b[0].addressable_shards[0].data)) for b in stack)
            yield stack

    engine._stacks = watched
    for name in ("hinge_sn", "relativistic_average"):
        model = begun(folder, name)
        checkpoint.write(folder / f"{name}_devices.npz", fit(model) | served(model))
        assert {len(v.value.sharding.device_set) for v in model.state().values()} == {2}
    assert rows == {(16, 8), (8, 4)}, rows


if __name__ == "__main__":
    globals()[sys.argv[1]](Path(sys.argv[2]), *sys.argv[3:])
