"""The configurations of the papers: every row is a valid experiment and says what they say."""

import numpy as np
import pytest

import zoo
from configs import alpha, averaging, base, leaky, published, relativistic, shipped, tables
from tfgan_ema import averaging as rules
from tfgan_ema import latents, losses, mixing, optimizers, penalties, runs
from tfgan_ema.errors import UsageError

FILES = {
    "alpha": alpha,
    "averaging": averaging,
    "leaky": leaky,
    "published": published,
    "relativistic": relativistic,
    "shipped": shipped,
}


@pytest.mark.parametrize("name", FILES)
def test_every_row_is_a_valid_experiment(name):
    for row in FILES[name].ROWS:
        config = FILES[name].get_config(row)
        base.check(config)
        parts = runs.plain(config)
        entry = zoo.entry(parts["network"]["kind"])
        assert parts["data"]["labels"] or entry.num_classes is None
        losses.get(parts["loss"].pop("kind"), **parts["loss"])
        for label, options in parts["penalties"].items():
            penalties.get(options.pop("kind", label), **options)
        for label, options in parts["averages"].items():
            rules.get(options.pop("kind", label), **options)
        latents.get(config.latent.kind, 8)
        if parts["leak"] and parts["leak"].get("mode") != "async_model":  # which needs a generator
            mixing.LeakyEMA(**parts["leak"])
        for player in ("d_optimizer", "g_optimizer"):
            optimizers.get(parts[player])


def test_a_row_is_asked_for_by_name():
    with pytest.raises(UsageError, match=r"name one, as in --config=leaky:sngan_church"):
        leaky.get_config()
    with pytest.raises(UsageError, match="did you mean 'sngan_church'"):
        leaky.get_config("sngan_chruch")
    config = tables.change(leaky.get_config("sngan_church"), {"leak.beta": 0.1})
    assert config.leak.beta == 0.1


def test_no_experiment_has_two_names():
    for name, file in FILES.items():
        found = [str(runs.plain(file.get_config(row))) for row in file.ROWS]
        assert len(set(found)) == len(found), name


def test_the_thesis():
    config = leaky.get_config("sngan_church")
    settings = (config.network.kind, config.steps, config.n_dis, config.batch_size)
    assert settings == ("sngan_128", 250_000, 5, 64)
    assert config.loss.kind == "hinge"
    adam = config.d_optimizer
    assert (adam.learning_rate, adam.beta_1, adam.get("decay_steps", 0)) == (2e-4, 0.5, 0)
    assert config.averages.ema.decay == 0.999
    assert config.leak.to_dict() == {"beta": 0.5, "start_step": 100_000}
    # Table 3
    rows = [leaky.get_config(row).leak for row in leaky.ROWS if "_beta_" in row]
    found = {(leak.beta, leak.start_step) for leak in (config.leak, *rows)}
    starts = (80_000, 100_000, 120_000, 140_000)
    assert found == {(beta, start) for beta in (0.25, 0.5, 0.75) for start in starts}
    assert {leaky.get_config(row).leak.get("mode", "sync") for row in leaky.ROWS} == set(
        mixing.MODES
    )


def test_lazy_regularisation_rescales_adam():
    """Karras et al. 2020, appendix B: c = k / (k + 1) on the rate, and betas to the power c."""
    config = published.get_config("stylegan2_cifar10")
    rate = config.d_optimizer.learning_rate, config.g_optimizer.learning_rate
    np.testing.assert_allclose(rate, (0.0025 * 16 / 17, 0.0025 * 4 / 5))
    np.testing.assert_allclose(config.d_optimizer.beta_2, 0.99 ** (16 / 17))
    assert config.penalties.r1.to_dict() == {"weight": 0.01, "interval": 16}


def test_images_of_alpha_runs_and_their_length():
    config = alpha.get_config("celeba_0.6_5e-4")
    assert config.loss.to_dict() == {"kind": "alpha", "alpha_d": 0.6, "alpha_g": 1.0}
    assert (config.d_optimizer.beta_1, config.d_optimizer.beta_2) == (0.9, 0.99)
    assert config.steps == pytest.approx(100 * 0.8 * 202_599 / 128, rel=1e-3)
    assert config.g_optimizer.learning_rate == 5e-4


def small(config):
    """The same experiment, narrow and with few rows."""
    tables.change(config, {"batch_size": 4, "accumulate": 1, "n_dis": min(config.n_dis, 2)})
    config.network.width = 1 / 32
    size = zoo.entry(config.network.kind).image_size
    return config, {128: 32, 256: 16}.get(size, size)


@pytest.mark.parametrize(
    ("name", "row"),
    [
        pytest.param(*case, marks=pytest.mark.slow)
        for case in [
            ("alpha", "lsun_0.6_2e-4"),
            ("alpha", "celeba_lsgan_1e-4"),
            ("averaging", "cifar10_resnet_5"),
            ("averaging", "cifar10_conventional_wgan_gp_1"),
            ("leaky", "sngan_church"),
            ("leaky", "wgan_gp_church"),
            *(("published", row) for row in published.ROWS),
            *(("relativistic", row) for row in relativistic.ROWS),
        ]
    ],
)
def test_two_steps_of_training(name, row):
    config, size = small(FILES[name].get_config(row))
    classes = 4 if config.data.labels else None
    rng = np.random.default_rng(0)
    rows = config.batch_size * config.n_dis
    images = rng.uniform(-1, 1, (2 * rows, size, size, 3)).astype("float32")
    labels = rng.integers(0, 4, 2 * rows).astype("int32")
    gan = runs.build_gan(config, (size, size, 3), classes)
    before = [np.asarray(w) for w in gan.generator.trainable_weights]
    data = (images, labels) if classes else (images,)
    logs = gan.fit(*data, batch_size=rows, epochs=1, verbose=0).history
    assert np.isfinite([value for values in logs.values() for value in values]).all()
    moved = [
        np.any(np.asarray(w) != old)
        for old, w in zip(before, gan.generator.trainable_weights, strict=True)
    ]
    assert np.mean(moved) > 0.5
    assert gan.sample(2).shape == (2, size, size, 3)
