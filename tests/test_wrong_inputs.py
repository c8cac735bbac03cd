"""Wrong values in every public function: one line that names the argument, and nothing is written.

A row names a call and one of its arguments; what is wrong for that kind of argument makes the
cases. The call is made with the wrong value beside right ones.
"""

import math

import keras
import numpy as np
import pytest
from keras import layers

import tfgan_ema as tg
import zoo
from tfgan_ema import checkpoint, data
from tfgan_ema.data import mixtures
from tfgan_ema.engines import devices
from tfgan_ema.errors import UsageError

NAN, INF = math.nan, math.inf
NO_NUMBER = ["high", [1.0], {}, NAN]
KINDS = {
    "count": [0, -1, 1.5, *NO_NUMBER],  # a whole number from 1
    "index": [-1, 1.5, *NO_NUMBER],  # from 0
    "seed": [1.5, 2**63, -(2**63) - 1, "0", None, NAN],
    "share": [-0.1, 1.5, INF, *NO_NUMBER],  # in [0, 1]
    "positive": [0.0, -1.0, INF, *NO_NUMBER],
    "weight": [-1.0, INF, *NO_NUMBER],  # from 0
    "name": ["nope", "", 3, ["r1"]],
    "truncation": [0.0, -1.0, INF, *NO_NUMBER],
}  # fmt: skip


def points():
    generator = keras.Sequential([layers.Input((4,)), layers.Dense(2)])
    return generator, keras.Sequential([layers.Input((2,)), layers.Dense(1)])


def gan(**options):
    return tg.GAN(*points(), **{"latent": 4, **options})


@pytest.fixture(scope="module")
def made():
    """A compiled GAN of points and a conditional one of images."""
    plain = gan(averages=[tg.EMA(0.9, name="slow")])
    conditional = tg.GAN(
        *zoo.build("sngan_32", width=1 / 32, num_classes=3), latent=128, num_classes=3
    )
    for each in (plain, conditional):
        each.compile()
    return plain, conditional


P, X = tg.penalties, np.zeros((8, 2), "float32")
CALLS = {
    "EMA": (tg.EMA, {"decay": "share", "start_step": "index", "statistics": "name"}),
    "EMA half-life": (
        lambda half_life=1e4, ramp=0.05: tg.EMA(half_life=half_life, ramp=ramp),
        {"half_life": "positive", "ramp": "positive"},
    ),
    "PowerEMA": (tg.PowerEMA, {"sigma": ["0.05", *KINDS["share"]], "statistics": "name"}),
    "Lookahead": (
        tg.Lookahead,
        {"k": "count", "alpha": "share", "super_slow": [5, 7, *KINDS["count"]], "averages": "name"},
    ),
    "UniformAverage": (
        tg.UniformAverage,
        {"start_step": "index", "period": "count", "statistics": "name"},
    ),
    "LeakyEMA": (
        tg.LeakyEMA,
        {"beta": "share", "start_step": "index", "mode": "name", "ramp": "index"},
    ),
    "TopK": (tg.TopK, {"least": "share", "decay": "share", "every": "count"}),
    "InstanceNoise": (tg.InstanceNoise, {"stddev": "weight", "steps": "count"}),
    "DiffAugment": (tg.DiffAugment, {"policy": "name"}),
    "GradientPenalty": (
        P.GradientPenalty,
        {"weight": "weight", "interval": "count", "points": "name", "target": "weight"},
    ),
    "R1": (P.R1, {"weight": "weight", "interval": "count", "factor": "positive"}),
    "R2": (P.R2, {"weight": "weight", "interval": "count", "factor": "positive"}),
    "L2": (P.L2, {"weight": "weight", "player": "name"}),
    "Orthogonal": (P.Orthogonal, {"weight": "weight", "player": "name"}),
    "Drift": (P.Drift, {"weight": "weight", "interval": "count"}),
    "WeightClip": (P.WeightClip, {"limit": "positive"}),
    "Consensus": (P.Consensus, {"weight": "weight"}),
    "PathLength": (
        P.PathLength,
        {"weight": "weight", "interval": "count", "decay": "share", "shrink": "count"},
    ),
    "wgan_gp": (P.wgan_gp, {"weight": "weight", "interval": "count"}),
    "Alpha": (
        lambda alpha_d=1.0, alpha_g=1.0: tg.losses.Alpha(alpha_d, alpha_g),
        {"alpha_d": [0.0, -1.0, *NO_NUMBER], "alpha_g": [0.0, -1.0, *NO_NUMBER]},
    ),
    "LeastSquares": (tg.losses.LeastSquares, {"real": [INF, *NO_NUMBER], "fake": NO_NUMBER}),
    "GANQP": (tg.losses.GANQP, {"distance": "name", "weight": "positive"}),
    "losses.get": (tg.losses.get, {"loss": ["nope", "", None, 3, ["hinge"], tg.losses.Hinge]}),
    "penalties.get": (P.get, {"name": "name"}),
    "averaging.get": (tg.averaging.get, {"rule": "name"}),
    "augment.get": (tg.augment.get, {"name": "name"}),
    "optimizers.get": (
        tg.optimizers.get,
        {"config": ["nope", "", 3, None, {}, {"kind": "adam", "learning_rate": "fast"},
                    {"kind": "adam", "learning_rate": -1}, {"kind": "adam", "beta_1": 1.0},
                    {"kind": "adam", "nope": 1}, {"kind": ["adam"]}]},
    ),
    "OptimisticAdam": (
        tg.OptimisticAdam,
        {"learning_rate": NO_NUMBER[:3], "beta_1": [1.0, -0.1, *NO_NUMBER],
         "beta_2": [1.0, -0.1, *NO_NUMBER], "epsilon": [-1.0, *NO_NUMBER]},
    ),
    "Linear": (
        lambda start=0.1, end=0.0, steps=10, begin=0: tg.schedules.Linear(
            start, end, steps, begin=begin
        ),
        {"start": NO_NUMBER, "end": NO_NUMBER, "steps": "count", "begin": "index"},
    ),
    "WarmUp": (lambda peak=0.1, steps=10: tg.schedules.WarmUp(peak, steps),
               {"steps": "count", "peak": "weight"}),
    "Constant": (tg.schedules.ConstantValue, {"value": NO_NUMBER}),
    "schedules.get": (tg.schedules.get, {"kind": "name"}),
    "lazy_rescaled": (lambda interval: tg.optimizers.lazy_rescaled("adam", interval),
                      {"interval": "count"}),
    "latents.get": (
        lambda name="normal", dim=4: tg.latents.get(name, dim),
        {"name": "name", "dim": "count"},
    ),
    "Normal": (tg.latents.Normal, {"dim": "count"}),
    "Hypersphere": (tg.latents.Hypersphere, {"dim": "count"}),
    "Uniform": (tg.latents.Uniform, {"dim": "count"}),
    "GAN": (
        gan,
        {"latent": [0, -1, 1.5, *NO_NUMBER, 5], "n_dis": "count", "accumulate": "count",
         "num_classes": "count", "seed": "seed", "loss": "name", "update_order": "name",
         "penalties": ["r1", P.R1(), [3], None], "averages": ["ema", tg.EMA(), [0.9], None],
         "leak": [0.5, "sync"], "augment": [["nope"], 3, "diff_augment", [tg.DiffAugment()]],
         "top_k": [0.5, "half"], "lookahead": [5, "slow"],
         "generator": [None, 3], "discriminator": [None, 3]},
    ),
    "Checkpoint": (
        lambda every=1, keep=3: tg.Checkpoint("w", every=every, keep=keep),
        {"every": "count", "keep": "count"},
    ),
    "SampleGrid": (
        lambda every=1, count=4, seed=0: tg.SampleGrid("w", every=every, count=count, seed=seed),
        {"every": "count", "count": "count", "seed": "seed"},
    ),
    "Evaluate": (
        lambda every=1, evaluator=dict: tg.Evaluate(evaluator, "w", every=every),
        {"every": "count", "evaluator": [None, 3, "fid"]},
    ),
    "Run": (
        lambda **options: tg.Run("w", **options),
        {"log_every": "count", "sample_every": "count", "checkpoint_every": "count",
         "keep_checkpoints": "count", "evaluator": ["fid", 3]},
    ),
    "EMACallback": (
        tg.EMACallback,
        {"decay": "share", "every": "count", "save_to": ["a.png", 3]},
    ),
    "data.load": (
        lambda name="ring", **options: data.load(name, **options),
        {"name": ["nope", "", 3, None, "folder:", "folder:nowhere", "idx:nowhere", "tfds:"],
         "split": ["nope", "", 3, "test"], "image_size": [4, 0, "4"], "channels": [1, 2, "3"],
         "nope": [1], "labels": []},
    ),
    "digits": (
        lambda **options: data.load("digits", **options),
        {"image_size": [0, -1, 1.5, 10**6, *NO_NUMBER], "channels": [0, 2, 4, "3", NAN, [1]],
         "split": ["test", ""]},
    ),
    "ring": (
        lambda **options: data.load("ring", **options),
        {"count": [0, -1, 1.5, "5", NAN, 10**15], "seed": [1.5, "0", NAN], "modes": "count",
         "sigma": "weight", "radius": [NAN, "far", INF]},
    ),
    "mixtures.grid": (mixtures.grid, {"side": "count", "spacing": [NAN, "far"], "count": "count"}),
    "pipeline": (
        lambda batch_size=2, seed=0, **options: data.pipeline(
            data.load("ring", count=10), batch_size, seed=seed, **options
        ),
        {"batch_size": [*[0, -1, 1.5, "2", NAN], 10**15], "seed": "seed", "start": "index",
         "shard": [(2, 2), (-1, 1), 3, (0, 0)], "flip": [True], "whole_epochs": []},
    ),
    "data.fetch": (data.fetch, {"name": ["nope", "", 3, "digits", "ring", None]}),
    "label_of": (
        lambda label: data.label_of(label, ("a", "b")), {"label": ["c", 2, -1, "-1", None]}
    ),
    "zoo.build": (
        lambda name="dcgan_32", **options: zoo.build(name, **options),
        {"name": "name", "image_size": [0, -1, 1.5, 33, 10**6, *NO_NUMBER],
         "channels": [0, 2, "3", NAN], "width": [0.0, -1.0, INF, 1e9, *NO_NUMBER],
         "num_classes": [0, -1, 1.5, "3", NAN, 10], "nope": [1]},
    ),
    "zoo.load": (zoo.load, {"name": "name"}),
    "Evaluator": (
        lambda metrics=("fid",), reference="cifar10", **options: tg.metrics.Evaluator(
            metrics, reference, **options
        ),
        {"metrics": ["fid", "", [], ["nope"], [3], None, 3, ["modes"]],
         "reference": [None, 3, "nope", "folder:nowhere", "nowhere.npz"],
         "samples": [1, *KINDS["count"]], "reference_samples": [1, *KINDS["count"]],
         "batch": "count", "seed": [*KINDS["seed"], -1], "device": ["nope", "gpu:x", "cpu:99", 3],
         "split": ["nope", "", 3]},
    ),
    "strategy": (devices.strategy, {"name": ["nope", "", 3, None, "gpu", "tpu", "multiworker"]}),
    "read checkpoint": (checkpoint.read, {"path": ["nowhere.npz", ".", ""]}),
    "load_generator": (
        lambda folder: tg.export.load_generator(folder), {"folder": ["nowhere", ".", ""]}
    ),
}  # fmt: skip

Z, IMAGES = np.zeros((3, 4)), np.zeros((4, 32, 32, 3), "uint8")
METHODS = {
    "sample": (
        lambda made, count=2, seed=0, **options: made[0].sample(count, seed, **options),
        {"count": [-1, 1.5, "2", None, NAN, 10**15], "seed": "seed",
         "average": ["nope", 1, -1, 1.5, None, []], "truncation": "truncation",
         "labels": [[0, 1], 3]},
    ),
    "sample labels": (
        lambda made, labels: made[1].sample(2, labels=labels),
        {"labels": [[0], [0, 3], [-1, 0], [0.5, 1], ["a", "b"], 3, [[0, 1]]]},
    ),
    "generate": (
        lambda made, latent=Z, **options: made[0].generate(latent, **options),
        {"latent": [np.zeros((3, 5)), np.zeros(4), "noise", None, [["a"] * 4]],
         "labels": [[0, 0, 0]], "average": ["nope", 2]},
    ),
    "call": (lambda made, latent: made[0](latent), {"latent": [np.zeros((3, 5)), np.zeros(4)]}),
    "call labels": (
        lambda made, inputs: made[1](*inputs),
        {"inputs": [(np.zeros((2, 128)),), (np.zeros((2, 5)), np.zeros(2, "int32"))]},
    ),
    "predict": (lambda made, x: made[0].predict(x), {"x": [np.zeros((3, 5)), np.zeros(4)]}),
    "discriminate": (
        lambda made, images: made[0].discriminate(images),
        {"images": [np.zeros((3, 5)), np.zeros(2), "pictures", None, IMAGES]},
    ),
    "fit": (
        lambda made, x=X, **options: made[0].fit(x, verbose=0, **options),
        {"x": [np.zeros((8, 3)), np.zeros(8), [], "pictures", None, 3, np.full((8, 2), NAN),
               np.zeros((0, 2)), [["a", "b"]] * 8, IMAGES, {}],
         "y": [[0] * 8, [0] * 7], "batch_size": [*KINDS["count"], 9],
         "validation_split": [1.0, -0.1, 1.5, "some", NAN],
         "steps_per_epoch": ["count"] and KINDS["count"], "epochs": ["many", 1.5, NAN, [1]],
         "class_weight": [{0: 1.0}], "sample_weight": [np.ones(8)],
         "callbacks": [["nope"], 3, [keras.callbacks.SwapEMAWeights()]],
         "validation_data": [3, "held out", (np.zeros((4, 3)),)]},
    ),
    "fit labels": (
        lambda made, x=IMAGES, y=None: made[1].fit(x, y, batch_size=2, verbose=0),
        {"y": [[0, 1, 2], [0, 1, 2, 3], [-1, 0, 0, 0], [0.5] * 4, ["a"] * 4, None],
         "x": [np.zeros((4, 32, 32, 1), "uint8"), np.full((4, 32, 32, 3), 255.0)]},
    ),
    "evaluate": (
        lambda made, x=X, **options: made[0].evaluate(x, verbose=0, **options),
        {"x": [np.zeros((8, 3)), [], "pictures", None, np.full((8, 2), NAN)],
         "y": [[0] * 8], "batch_size": "count", "sample_weight": [np.ones(8)]},
    ),
    "train_on_batch": (
        lambda made, x: made[0].train_on_batch(x), {"x": [np.zeros((8, 3)), [], "pictures", None]}
    ),
    "compile": (
        lambda made, **options: gan().compile(**options),
        {"d_optimizer": ["nope", 3, {"kind": "nope"}],
         "g_optimizer": ["sgd", {"kind": "adam", "x": 1}], "steps_per_execution": "count",
         "loss": ["mse"], "optimizer": ["adam"]},
    ),
    "add_average": (
        lambda made, rule: made[0].add_average(rule), {"rule": ["ema", 0.9, tg.EMA(name="slow")]}
    ),
    "restore": (
        lambda made, folder="nowhere", step=3: checkpoint.restore(made[0], folder, step),
        {"step": [3, -1, "3", 1.5]},
    ),
    "saved_model": (
        lambda made, **options: tg.export.saved_model(made[0], "m", **options),
        {"average": ["nope", 4], "truncation": "truncation"},
    ),
    "run": (
        lambda made, steps: made[0].run(lambda step: keras.ops.zeros((8, 2)), steps),
        {"steps": ["many", 1.5, -1, NAN]},
    ),
}  # fmt: skip


def cases(table):
    for call, (function, arguments) in table.items():
        for argument, kind in arguments.items():
            for i, value in enumerate(KINDS.get(kind, kind) if isinstance(kind, str) else kind):
                shown = repr(value)[:20] if not isinstance(value, np.ndarray) else value.shape
                yield pytest.param(function, argument, value, id=f"{call}-{argument}-{i}-{shown}")


@pytest.fixture
def refused(tmp_path, monkeypatch):
    """Calls, and expects one line and an empty folder; nothing may be fetched or started."""

    def no(*args, **kwargs):
        raise AssertionError("something was started")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TFGAN_EMA_CACHE", str(tmp_path / "cache"))
    for name in ("tfgan_ema.downloads.fetch", "tfgan_ema.data.catalog._probe", "subprocess.Popen"):
        monkeypatch.setattr(name, no)

    def call(function, argument, value):
        with pytest.raises((UsageError, TypeError)) as caught:
            function(**{argument: value})
        message = str(caught.value)
        assert len(message.splitlines()) == 1
        clear = f"argument {argument!r}" in message or "os.PathLike" in message
        assert caught.type is not TypeError or clear
        assert not any(tmp_path.iterdir())

    return call


@pytest.mark.parametrize(("function", "argument", "value"), list(cases(CALLS)))
def test_a_wrong_argument_is_one_line(refused, function, argument, value):
    refused(function, argument, value)


@pytest.mark.parametrize(("function", "argument", "value"), list(cases(METHODS)))
def test_a_wrong_argument_of_a_method_is_one_line(made, refused, function, argument, value):
    refused(lambda **options: function(made, **options), argument, value)
