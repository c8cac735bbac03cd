"""Mixed precision: loss scaling does what it should, and training comes out alike."""

import io
import json

import keras
import numpy as np
import pytest
import toy
from scipy import stats

import tfgan_ema as tg
from configs import base
from tfgan_ema import runs, training
from tfgan_ema.data import mixtures
from tfgan_ema.engines import devices, tensorflow_devices
from tfgan_ema.errors import UsageError
from tfgan_ema.lab.experiments import points
from tfgan_ema.lab.stacked import StackedGAN, stacked_mlp
from tfgan_ema.metrics import mode_coverage

CENTERS, SIGMA = mixtures.ring_centers(8), 0.05


def trained(policy, jit_compile, seeds=range(8), steps=3000):
    """High-quality share and modes, raw and averaged, of each seed's perceptron on the ring."""
    keras.config.set_dtype_policy(policy)
    pair = stacked_mlp(tuple(seeds), g_hidden=(64,) * 2, d_hidden=(64,) * 2)
    gan = StackedGAN(
        *pair,
        latent=2,
        loss="non_saturating",
        penalties=[tg.penalties.R1(0.02)],
        averages=[tg.EMA(0.99)],
        seed=tuple(seeds),
    )
    adam = {"kind": "adam", "learning_rate": 1e-3, "beta_1": 0.5}
    gan.compile(adam, dict(adam), jit_compile=jit_compile)
    real = points.mixture(CENTERS, SIGMA)
    gan.run(lambda step: real(64 * len(gan.seed), gan.draws("data/", step)), steps)
    return gan


def shares(gan, count=2000):
    """[seeds] the share of the average's samples that lie at a mode."""
    latent = np.random.default_rng(0).normal(size=(len(gan.seed), count, 2)).astype("float32")
    samples = np.asarray(gan.averages[0].shadow(latent, training=False), "float64")
    return np.array([mode_coverage(s, CENTERS, SIGMA)["high_quality"] for s in samples])


@pytest.mark.slow
def test_statistics_on_the_ring_do_not_depend_on_precision_or_xla():
    """Seeds go their own way within a thousand steps, so sets of seeds are compared."""
    reference = shares(trained("float32", False))
    assert np.median(reference) > 0.6
    for policy, jit in [
        ("float32", True), ("mixed_bfloat16", False), ("mixed_float16", False),
        ("mixed_float16", True),
    ]:  # fmt: skip
        found = shares(trained(policy, jit))
        assert np.median(found) > 0.6
        assert stats.mannwhitneyu(found, reference).pvalue > 0.01


def float16(**options):
    keras.config.set_dtype_policy("mixed_float16")
    return toy.gan(averages=[tg.EMA(0.9)], track_gradients=True, **options)


def test_gradients_are_those_of_the_unscaled_loss():
    gans = [float16()]
    keras.config.set_dtype_policy("float32")
    gans.append(toy.gan(averages=[tg.EMA(0.9)], track_gradients=True))
    for gan in gans:
        toy.fit(gan, 5)
    rough, exact = (gan.get_metrics_result() for gan in gans)
    for name in ("d_gradient_norm", "g_gradient_norm", "d_loss", "g_loss"):
        assert float(rough[name]) == pytest.approx(float(exact[name]), rel=0.02)


def overflow(gan):
    """One step in which G's gradients overflow; its trainable weights before and after."""
    gan.g_optimizer.dynamic_scale.assign(2.0**120)
    before = [w.numpy() for w in gan.generator.trainable_weights]
    toy.fit(gan, 1)
    return before, [w.numpy() for w in gan.generator.trainable_weights]


def test_a_step_that_overflows_is_left_out_and_halves_the_scale():
    gan = float16()
    toy.fit(gan, 2)
    for old, new in zip(*overflow(gan), strict=True):
        np.testing.assert_array_equal(old, new)
    assert gan.g_optimizer.dynamic_scale.numpy() == 2.0**119
    assert [int(gan.g_optimizer.iterations), int(gan.d_optimizer.iterations)] == [2, 3]


def test_replicas_leave_the_same_step_out(two_replicas):
    gan = float16(strategy=two_replicas)
    for old, new in zip(*overflow(gan), strict=True):
        np.testing.assert_array_equal(old, new)
    assert gan.g_optimizer.dynamic_scale.numpy() == 2.0**119
    toy.fit(gan, 1, batch_size=8)
    assert gan.g_optimizer.dynamic_scale.numpy() == 2.0**118


def test_the_scale_is_part_of_the_state():
    gan = float16()
    gan.g_optimizer.dynamic_scale.assign(2.0**7)
    assert 2.0**7 in [v.numpy() for v in gan.state().values() if v.path.endswith("dynamic_scale")]


def test_weights_and_averages_stay_float32():
    gan = float16()
    models = [gan.generator, gan.discriminator, *(average.shadow for average in gan.averages)]
    assert {w.dtype for model in models for w in model.weights} == {"float32"}


def test_consensus_is_refused():
    with pytest.raises(UsageError, match="consensus with float16"):
        float16(update_order="simultaneous", penalties=[tg.penalties.Consensus(1.0)])


# The device decides

SMALL = {"steps": 2, "batch_size": 4, "log_every": 1, "sample_every": 2, "checkpoint_every": 1}


@pytest.fixture
def config():
    config = base.get_config()
    config.update({**SMALL, "precision": "auto"})
    config.data.name, config.network = "digits", {"kind": "dcgan_32", "width": 1 / 16}
    return config


def train(config, workdir):
    assert training.train(config, workdir, devices.strategy("cpu")) == 0
    return json.loads((workdir / "run.json").read_text())["config"]["precision"]


@pytest.mark.parametrize(("fast", "expected"), [(True, "bfloat16"), (False, "float32")])
def test_a_run_records_what_the_device_decided_and_goes_on_in_it(
    config, tmp_path, monkeypatch, fast, expected
):
    monkeypatch.setattr(devices, "is_fast_in_bfloat16", lambda: fast)
    assert train(config, tmp_path) == expected
    runs.load_run(tmp_path)
    monkeypatch.setattr(devices, "is_fast_in_bfloat16", lambda: not fast)  # another machine
    config.steps = 3
    assert train(config, tmp_path) == expected
    config.steps, config.precision = 4, "float16"
    with pytest.raises(UsageError, match=f"precision .was '{expected}', now 'float16'"):
        train(config, tmp_path)


def test_points_stay_in_float32(config, tmp_path, monkeypatch):
    monkeypatch.setattr(devices, "is_fast_in_bfloat16", lambda: True)
    config.data.name, config.network = "ring", {"kind": "mlp"}
    config.latent = {"kind": "normal"}
    assert train(config, tmp_path) == "float32"


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("flags\t\t: fpu amx_bf16 avx512f", True),
        ("flags\t\t: fpu avx512_bf16", True),
        ("model name\t: x\nflags\t\t: fpu avx512f avx2", False),
        ("Features\t: fp asimd", False),
    ],
)
def test_processors_by_the_names_of_linux(monkeypatch, lines, expected):
    monkeypatch.setattr(tensorflow_devices, "open", lambda path: io.StringIO(lines), raising=False)
    assert tensorflow_devices.is_fast_in_bfloat16() is expected
