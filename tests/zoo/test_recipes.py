"""The configurations: every row is a valid experiment; those of the papers say what they say."""

import importlib
import inspect
import pkgutil
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import configs
import zoo
from configs import alpha, averaging, base, leaky, published, relativistic, tables
from tfgan_ema import (
    augment,
    data,
    latents,
    lookahead,
    losses,
    mixing,
    optimizers,
    penalties,
    runs,
    schedules,
)
from tfgan_ema import averaging as rules
from tfgan_ema.cli import train
from tfgan_ema.errors import UsageError

FILES = {
    name: importlib.import_module(f"configs.{name}")
    for _, name, _ in pkgutil.iter_modules(configs.__path__)
    if name not in ("base", "tables")
}


def experiments(name):
    """The configurations of a file: of its rows, or its only one."""
    file = FILES[name]
    return (
        {row: file.get_config(row) for row in file.ROWS}
        if hasattr(file, "ROWS")
        else {"": file.get_config()}
    )


@pytest.mark.parametrize("name", FILES)
def test_every_row_is_a_valid_experiment(name, tmp_path, monkeypatch):
    """All that can be said without data and without building networks."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / published.FFHQ.removeprefix("folder:")).mkdir()
    for config in experiments(name).values():
        base.check(config)
        data.check(config.data.name, config.data.split)
        parts = schedules.with_batch_size(runs.plain(config), config.batch_size)
        network = parts["network"]
        entry = zoo.entry(network.pop("kind"))
        assert parts["data"]["labels"] or entry.num_classes is None
        builder = importlib.import_module(f"zoo.{entry.family}").build
        assert network.keys() <= inspect.signature(builder).parameters.keys() - entry.options.keys()
        losses.get(parts["loss"].pop("kind"), **parts["loss"])
        for key, get in (("penalties", penalties.get), ("averages", rules.get)):
            for label, options in parts[key].items():
                get(options.pop("kind", label), **options)
        for label, options in parts["augment"].items():
            augment.get(label, **options)
        latents.get(config.latent.kind, 8)
        if parts["leak"] and parts["leak"].get("mode") != "async_model":  # which needs a generator
            mixing.LeakyEMA(**parts["leak"])
        for key, kind in (("top_k", mixing.TopK), ("lookahead", lookahead.Lookahead)):
            if parts[key]:
                kind(**parts[key])
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
    for name in FILES:
        found = [str(runs.plain(config)) for config in experiments(name).values()]
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


def test_the_page_of_the_papers_names_rows_that_exist():
    page = (Path(__file__).parents[2] / "docs" / "papers.md").read_text(encoding="utf-8")
    named = set(re.findall(rf"\b({'|'.join(FILES)}):([\w.-]+)", page))
    assert all(row in FILES[name].ROWS for name, row in named)
    rows = {(name, row) for name in ("averaging", "leaky") for row in FILES[name].ROWS}
    assert {row for _, row in rows - named} == {
        row for row in leaky.ROWS if "_beta_" in row and row != "church_beta_25_start_80k"
    }


def test_the_unstable_relativistic_runs():
    """The slides' right table: eight losses, four settings that are hard to train."""
    rows = {row: relativistic.get_config(row) for row in relativistic.ROWS}
    unstable = {row: c for row, c in rows.items() if row.split("_")[-1] not in ("1", "5")}
    assert (len(rows), len(unstable)) == (52, 32)
    assert {config.n_dis for config in unstable.values()} == {1}

    def setting(column):
        config = rows[f"ralsgan_{column}"]
        adam = (config[f"{p}_optimizer"].values() for p in "dg")
        assert len({tuple(values) for values in adam}) == 1
        network = {k: v for k, v in config.network.items() if k != "kind"}
        adam = config.d_optimizer
        return adam.learning_rate, (adam.beta_1, adam.beta_2), network

    assert setting("rate") == (1e-3, (0.5, 0.999), {"norm": "batch"})
    assert setting("betas") == (1e-4, (0.9, 0.9), {"norm": "batch"})
    assert setting("no_norm") == (1e-4, (0.5, 0.999), {"norm": "none"})
    assert setting("tanh") == (1e-4, (0.5, 0.999), {"norm": "batch", "tanh": True})


def test_the_averaging_paper():
    sizes = {row: averaging.get_config(row).data.image_size for row in averaging.ROWS}
    assert set(sizes.values()) == {None}  # the networks' own: 32, and 64 for CelebA
    decays = {0.9, 0.99, 0.999, 0.9999}
    faces = averaging.get_config("celeba_conventional").averages
    assert {average.get("decay") for average in faces.values()} == {*decays, None}
    plain, optimistic, consensus = (
        averaging.get_config(f"cifar10_dcgan{end}") for end in ("", "_optimistic", "_consensus")
    )
    assert plain.penalties.wgan_gp.weight == optimistic.penalties.wgan_gp.weight == 10.0
    adam = {**plain.g_optimizer, "kind": "optimistic_adam"}
    assert optimistic.g_optimizer.to_dict() == adam
    assert (consensus.update_order, consensus.g_optimizer.kind) == ("simultaneous", "rmsprop")
    assert consensus.penalties.to_dict() == {"consensus": {"weight": 10.0}}


def small(config):
    """The same experiment, narrow and with few rows."""
    tables.change(config, {"batch_size": 4, "accumulate": 1, "n_dis": min(config.n_dis, 2)})
    config.network.width = 1 / 32
    size = zoo.entry(config.network.kind).image_size
    return config, {128: 32, 256: 16}.get(size, size)


def unlike(name):
    """Rows of a file, one of each network under each loss, whatever the data and the rates."""
    found = {}
    for row, config in experiments(name).items():
        kind = (config.network, config.loss, [*config.penalties], config.data.labels)
        found.setdefault(str(kind), row)
    return found.values()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["alpha", "averaging"])
def test_every_row_has_a_dry_run_without_its_data(name, tmp_path, monkeypatch, capsys):
    """Rows that differ in rates and lengths alone count as one."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / published.FFHQ.removeprefix("folder:")
    folder.mkdir()
    Image.new("RGB", (256, 256)).save(folder / "face.png")
    own = ["--config.network.width=0.02", f"--config.data.data_dir={tmp_path / 'none'}"]
    rows = experiments(name)
    modes = {row: c.leak and c.leak.get("mode", "sync") for row, c in rows.items()}
    kinds = {str((c.network, c.data, c.loss.kind, modes[row])): row for row, c in rows.items()}
    for row in kinds.values():
        command = f"--config={name}{row and ':'}{row}"
        assert train.main(["tfgan-ema train", "--dry_run", command, *own]) == 0, command
        assert "first batch: " in capsys.readouterr().out
    assert {path.name for path in tmp_path.iterdir()} == {folder.name}


@pytest.mark.parametrize(
    ("name", "row"),
    [
        pytest.param(*case, marks=pytest.mark.slow)
        for case in [
            ("alpha", "lsun_0.6_2e-4"),
            ("alpha", "celeba_lsgan_1e-4"),
            ("averaging", "cifar10_resnet_5"),
            ("averaging", "cifar10_conventional_wgan_gp_1"),
            ("averaging", "cifar10_dcgan_optimistic"),
            ("averaging", "cifar10_dcgan_consensus"),
            ("averaging", "celeba_conventional"),
            ("leaky", "sngan_church"),
            ("leaky", "wgan_gp_church"),
            *(("published", row) for row in unlike("published")),
            *(
                ("relativistic", row)
                for row in unlike("relativistic")
                if re.search("_1$|^ras", row)
            ),
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
