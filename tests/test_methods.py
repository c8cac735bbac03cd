"""Losses, penalties and mixings in all pairs, the rows of configs/methods.py, the page's keys."""

import ast
import itertools
import re
from pathlib import Path

import keras
import numpy as np
import pytest
import toy

import tfgan_ema as tg
from configs import base, methods, tables
from tfgan_ema import augment, export, losses, mixing, optimizers, penalties, runs, validation
from tfgan_ema.errors import UsageError

PAGE = Path(__file__).parents[1] / "docs" / "methods.md"

LOSSES = {name: (lambda name=name: losses.get(name)) for name in losses.names() if name != "alpha"}
LOSSES["alpha"] = lambda: losses.Alpha(0.6, 1.0)
LOSSES["gan_qp_l2"] = lambda: losses.GANQP("l2")

LATENT = 128  # of dcgan_32
# Lazy where laziness has an effect within three steps.
PENALTIES = {
    "gradient_penalty": lambda: penalties.GradientPenalty(points="fake", one_sided=True),
    "wgan_gp": lambda: penalties.wgan_gp(interval=2),
    "zero_centred": penalties.zero_centred,
    "dragan": penalties.dragan,
    "r1": lambda: penalties.R1(interval=2),
    "r2": penalties.R2,
    "r1_r2": lambda: penalties.R1R2(interval=2),
    "l2": penalties.L2,
    "orthogonal": penalties.Orthogonal,
    "drift": penalties.Drift,
    "weight_clip": penalties.WeightClip,
    "consensus": lambda: penalties.Consensus(1.0),
    "path_length": lambda: penalties.PathLength(interval=2),
    "lecam": penalties.LeCam,
}


def leak(**options):
    """A leak that starts at the second step."""
    return {
        "averages": [tg.EMA(0.9)],
        "leak": tg.LeakyEMA(0.5, start_step=1, **options),
    }


def fixed_generator(shape):
    """Any generator will do as a teacher."""
    x = keras.Input((shape[0],))
    y = keras.layers.Dense(int(np.prod(shape[1])), activation="tanh")(x)
    return keras.Model(x, keras.layers.Reshape(shape[1])(y))


# Each makes the options of a GAN for (latent size, shape of a sample).
MIXINGS = {
    "sync": lambda shape: leak(),
    "ramp": lambda shape: leak(ramp=2),
    "async_noise": lambda shape: leak(mode="async_noise"),
    "async_model": lambda shape: leak(mode="async_model", model=fixed_generator(shape)),
    "same_random": lambda shape: leak(mode="same_random"),
    "same_top_k": lambda shape: leak(mode="same_top_k"),
    "instance_noise": lambda shape: {"augment": [augment.InstanceNoise(0.3, steps=2)]},
    "top_k": lambda shape: {"top_k": mixing.TopK(0.5, decay=0.5, every=1)},
    "diff_augment": lambda shape: {"augment": [augment.DiffAugment()]},
    "ada": lambda shape: {"augment": [augment.ADA(probability=0.5)]},
    "all": lambda shape: (
        leak()
        | {"augment": [augment.InstanceNoise(0.1)], "top_k": mixing.TopK(0.5, decay=0.5, every=1)}
    ),
}


def test_every_method_is_here():
    assert {name.removesuffix("_l2") for name in LOSSES} == set(losses.names())
    assert set(PENALTIES) == set(penalties.names())
    assert set(mixing.MODES) | {"instance_noise", "diff_augment", "ada", "top_k"} <= set(MIXINGS)


def refusal(loss, mix, network):
    """The words with which a pair that makes no sense is refused, or ``None``."""
    if loss.startswith("gan_qp") and mix.startswith("same_"):
        return "distance of a real row and a fake one"
    if mix in ("diff_augment", "ada") and network == "mlp":
        return "it needs images"
    return None


def check(network, loss, penalty, mix, **compiled):
    """Three steps of one combination: all numbers finite, both players moved.

    A mixing that the loss or the data refuse is checked to be refused; then `sync` takes its place.
    """
    shape = (2, (2,)) if network == "mlp" else (LATENT, (32, 32, 3))

    def build(mix):
        options = {"loss": LOSSES[loss](), "penalties": [PENALTIES[penalty]()]}
        options["update_order"] = "simultaneous" if penalty == "consensus" else "alternating"
        return toy.gan(network, compiled=compiled, **options, **MIXINGS[mix](shape))

    words = refusal(loss, mix, network)
    if words:
        with pytest.raises(UsageError, match=words):
            build(mix)
        mix = "sync"
    gan = build(mix)
    before, found = toy.checkpoint.to_arrays(gan.state()), {}

    class Look(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            found.update(logs)

    chosen = toy.points() if network == "mlp" else None
    after = toy.fit(gan, 3, batch_size=4, chosen=chosen, callbacks=[Look()])
    assert all(np.isfinite(value).all() for value in after.values())
    assert all(np.isfinite(float(value)) for value in found.values())
    assert (penalty in found) != (penalty in ("weight_clip", "consensus"))  # no terms of a loss
    for player in ("generator", "discriminator"):
        keys = [key for key in after if key.startswith(f"{player}/")]
        assert any((after[key] != before[key]).any() for key in keys)


def covering():
    """Every loss, penalty and mixing at least twice, in changing company."""
    names = [list(table) for table in (LOSSES, PENALTIES, MIXINGS)]
    return [
        tuple(
            row[(i * stride + i // len(row) * turn) % len(row)]
            for row, stride, turn in zip(names, (1, 5, 3), (0, 1, 1), strict=True)
        )
        for i in range(28)
    ]


def test_the_covering_subset_covers():
    found = covering()
    for i, table in enumerate((LOSSES, PENALTIES, MIXINGS)):
        counts = [sum(row[i] == name for row in found) for name in table]
        assert min(counts) >= 2
    assert len(set(found)) == len(found)


@pytest.mark.parametrize("combination", covering(), ids="-".join)
def test_methods_together_on_points(combination):
    check("mlp", *combination, run_eagerly=True)


@pytest.mark.slow
@pytest.mark.parametrize("loss", LOSSES)
def test_every_pair_on_points(loss):
    """All penalties and all mixings with each loss, compiled."""
    for penalty, mix in itertools.zip_longest(PENALTIES, MIXINGS, fillvalue="sync"):
        check("mlp", loss, penalty, mix)
        keras.backend.clear_session()


@pytest.mark.slow
@pytest.mark.parametrize("combination", covering(), ids="-".join)
def test_methods_together_on_images(combination):
    check("dcgan_32", *combination)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"penalties": [penalties.Consensus()]}, "use update_order='simultaneous'"),
        (
            {"penalties": [penalties.Consensus()], "update_order": "simultaneous", "n_dis": 2},
            "use 1 and 1",
        ),
        (
            {"penalties": [penalties.Consensus(), penalties.R1(interval=4)],
             "update_order": "simultaneous"},
            "use interval 1",
        ),
        ({"accumulate": 2, "loss": "relativistic_average_least_squares"}, "use accumulate 1"),
        ({"accumulate": 2, "top_k": mixing.TopK()}, "use accumulate 1"),
        ({"leak": mixing.LeakyEMA()}, "averages="),
        ({"penalties": [penalties.R1(), penalties.R1()]}, "two penalties are named 'r1'"),
        ({"update_order": "both"}, "unknown update_order 'both'"),
    ],
)  # fmt: skip
def test_pairs_that_make_no_sense_are_refused_in_one_line(options, words):
    with pytest.raises(UsageError, match=words) as error:
        toy.gan("mlp", **options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("latent", "sample"), [(5, (2,)), (2, (3,))])
def test_a_fixed_generator_of_another_kind_is_refused_in_one_line(latent, sample):
    fixed = fixed_generator((latent, sample))
    with pytest.raises(UsageError, match="the leak's fixed generator") as error:
        toy.gan("mlp", leak=tg.LeakyEMA(mode="async_model", model=fixed))
    assert "\n" not in str(error.value)


def test_a_lazy_branch_in_which_replicas_would_meet_is_refused(two_replicas):
    with two_replicas.scope():
        penalty = penalties.PathLength(interval=2)
    gan = toy.gan("conv", strategy=two_replicas, penalties=[penalty])  # G has batch normalisation
    with pytest.raises(UsageError, match="under 2 replicas: collectives are not possible"):
        toy.fit(gan, 1)


# The configurations and the page


@pytest.mark.slow
def test_every_row_of_the_method_configs_builds():
    for row in methods.ROWS:
        config = methods.get_config(row)
        base.check(config)
        points = config.data.name == "ring"
        config.network.width = 0.02
        runs.build_gan(config, (2,) if points else (32, 32, 1), None)


def test_lazy_r1_slows_its_optimizer_as_stylegan2_does():
    config = methods.get_config("r1_lazy")
    c = 16 / 17
    found = dict(config.d_optimizer)
    expected = {"learning_rate": 1e-4 * c, "beta_1": 0.9**c, "beta_2": 0.999**c}
    for key, value in expected.items():
        assert found[key] == pytest.approx(value)
    assert config.g_optimizer.learning_rate == 1e-4


def rows_of_the_page():
    """Method -> the configuration keys that the page's table gives for it."""
    table = {}
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if len(cells) == 5 and " = " in cells[3]:
            table[cells[0]] = dict(
                key.split(" = ", 1) for key in re.findall(r"`([^`]+ = [^`]+)`", cells[3])
            )
    return table


def test_every_key_of_the_page_builds(monkeypatch):
    fixed = fixed_generator((2, (2,)))  # for the folder that the page names
    monkeypatch.setattr(export, "load_generator", lambda folder: fixed)
    points = {"kind": "mlp", "g_hidden": [4], "d_hidden": [4]}
    for method, keys in rows_of_the_page().items():
        config = base.get_config()
        images = "image" in method
        config.network = {"kind": "dcgan_32", "width": 0.02} if images else points
        tables.change(config, {key: ast.literal_eval(value) for key, value in keys.items()})
        base.check(config)
        gan = runs.build_gan(config, (32, 32, 3) if images else (2,), None)
        assert gan.steps_done == 0, method


def test_the_page_names_everything_that_can_be_configured():
    keys = [" ".join(f"{k} = {v}" for k, v in row.items()) for row in rows_of_the_page().values()]
    text = "\n".join(keys)
    for name in [*losses.names(), *mixing.MODES, *validation.UPDATE_ORDERS, *optimizers.names()]:
        if name not in ("sync", "alternating"):  # the defaults
            assert re.search(rf"= .*['\"]{name}['\"]", text), name
    for name in [*penalties.names(), "instance_noise", "diff_augment", "ada"]:
        assert re.search(rf"(penalties|augment)\.{name}\b", text), name
    for word in ("top_k.", "averages.", 'start_step = "auto"', "ramp", "accumulate", "interval"):
        assert word in text, word
    rows = re.findall(r"methods\.py:(\w+)", PAGE.read_text(encoding="utf-8"))
    assert set(rows) - {"ROW"} <= set(methods.ROWS)
