"""Schedules against closed forms, in one step and in training that is resumed."""

import keras
import numpy as np
import pytest
import toy

import tfgan_ema as tg
from tfgan_ema import checkpoint, latents, optimizers, runs, schedules
from tfgan_ema.errors import UsageError

STEPS = np.array([*range(12), 19, 20, 21, 40, 59, 60, 61, 1000])


def wave(t):
    return 0.2 + 0.3 * (1 + np.cos(np.pi * np.clip(t, 0, 1)))  # from 0.8 to 0.2


CLOSED_FORMS = {
    "constant": (schedules.ConstantValue(0.3), lambda step: np.full(len(step), 0.3)),
    "linear": (
        schedules.Linear(0.8, 0.2, 60, begin=20),
        lambda step: np.interp(step, [20, 60], [0.8, 0.2]),
    ),
    "cosine": (schedules.Cosine(0.8, 0.2, 60), lambda step: wave(step / 60)),
    "images": (
        schedules.Cosine(0.8, 0.2, images=1920, batch_size=32), lambda step: wave(32 * step / 1920),
    ),
    "warm_up": (schedules.WarmUp(0.4, 4), lambda step: 0.4 * np.minimum(1, (step + 1) / 4)),
    "warm_up_of_a_fall": (
        schedules.WarmUp(schedules.Cosine(0.8, 0.2, 60), 10),
        lambda step: wave(step / 60) * np.minimum(1, (step + 1) / 10),
    ),
    "each_update": (
        schedules.EachUpdate(schedules.Linear(1.0, 0.0, 10), 5),
        lambda step: np.interp(step / 5, [0, 10], [1, 0]),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CLOSED_FORMS)
def test_values_have_their_closed_form_at_20_steps(case):
    schedule, expected = CLOSED_FORMS[case]
    assert len(STEPS) == 20
    values = np.array(
        [float(schedule(keras.ops.convert_to_tensor(step, "int32"))) for step in STEPS]
    )
    np.testing.assert_allclose(values, expected(STEPS), rtol=2e-6, atol=1e-7)
    assert schedule.least - 1e-7 <= values.min()
    assert values.max() <= schedule.most + 1e-7
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(schedule))
    assert float(again(7)) == float(schedule(7))


def scheduled_gan():
    """Every number that may be scheduled is."""
    moving = {
        "kind": "adam",
        "learning_rate": {"kind": "cosine", "start": 2e-3, "end": 5e-4, "steps": 8},
        "beta_1": {"kind": "linear", "start": 0.5, "end": 0.0, "steps": 6},
        "beta_2": schedules.Cosine(0.9, 0.99, images=64, batch_size=8),
        "epsilon": 1e-3,
    }
    keras_own = keras.optimizers.schedules.ExponentialDecay(1e-3, 5, 0.9)
    return toy.gan(
        penalties=[tg.penalties.R1({"kind": "cosine", "start": 2.0, "end": 0.2, "steps": 7})],
        averages=[
            tg.EMA(half_life=schedules.Cosine(0.0, 100.0, 9)),
            tg.EMA(schedules.Linear(0.0, 0.9, 5), name="by_decay"),
        ],
        leak=tg.LeakyEMA(schedules.Linear(0.0, 0.6, 8)),
        augment=[tg.DiffAugment("color", probability=schedules.WarmUp(0.8, 9))],
        compiled={
            "d_optimizer": moving,
            "g_optimizer": moving | {"learning_rate": keras_own},
        },
    )


@pytest.mark.slow
def test_a_run_with_every_number_scheduled_resumes_bit_by_bit(tmp_path):
    first, second = scheduled_gan(), scheduled_gan()
    checkpoint.write(tmp_path / "state.npz", toy.fit(first, 3))
    first.save(tmp_path / "gan.keras")
    expected = toy.fit(first, 3)
    checkpoint.assign(second.state(), checkpoint.read(tmp_path / "state.npz")[0], "state")
    toy.assert_close(toy.fit(second, 3), expected, 0)
    # A saved GAN holds the schedules, too.
    toy.assert_close(toy.fit(keras.models.load_model(tmp_path / "gan.keras"), 3), expected, 0)


def test_a_scheduled_run_differs_from_a_constant_one():
    """And each of its numbers is read in the step: a constant schedule is the number itself."""
    options = (
        {"beta": 0.5},
        {"beta": schedules.ConstantValue(0.5)},
        {"beta": schedules.Linear(0.5, 0.1, 4)},
    )
    results = []
    for option in options:
        beta = option["beta"]
        model = toy.gan(
            penalties=[tg.penalties.R1(beta)], leak=tg.LeakyEMA(beta), averages=[tg.EMA(beta)],
            augment=[tg.DiffAugment("color", probability=beta)],
            compiled={p: {"kind": "adam", "beta_1": beta, "beta_2": beta, "epsilon": 1e-3}
                      for p in ("d_optimizer", "g_optimizer")},
        )  # fmt: skip
        results.append(list(toy.fit(model, 4).values()))
    number, constant, moving = results
    for one, other in zip(number, constant, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    assert any(np.abs(a - b).max() > 1e-4 for a, b in zip(number, moving, strict=True))


def test_adams_betas_follow_their_schedules():
    """Against Adam's equations with the betas of each update."""
    gradients, variable = np.array([0.3, -0.2, 0.5, 0.1], "float32"), keras.Variable(1.0)
    beta_1, beta_2 = schedules.Linear(0.5, 0.0, 3), schedules.Linear(0.9, 0.99, 3)
    adam = optimizers.Adam(0.1, beta_1=beta_1, beta_2=beta_2, epsilon=1e-8)
    adam.build([variable])
    m = v = 0.0
    p = 1.0
    for step, gradient in enumerate(gradients):
        b1, b2 = float(beta_1(step)), float(beta_2(step))
        m, v = b1 * m + (1 - b1) * gradient, b2 * v + (1 - b2) * gradient**2
        corrected = m / (1 - b1 ** (step + 1)), v / (1 - b2 ** (step + 1))
        p -= 0.1 * corrected[0] / (np.sqrt(corrected[1]) + 1e-8)
        adam.apply([keras.ops.convert_to_tensor(gradient)], [variable])
    np.testing.assert_allclose(float(variable.value), p, rtol=1e-5)


def test_the_schedules_of_a_discriminator_count_generator_steps():
    config = {
        "kind": "adam",
        "learning_rate": schedules.Linear(1.0, 0.0, 10),
        "beta_2": schedules.Linear(0.9, 0.8, 10),
    }
    adam = optimizers.get(config, updates_per_step=5)
    adam.build([keras.Variable(0.0)])
    adam.iterations.assign(25)
    assert float(adam.learning_rate) == pytest.approx(0.5)
    assert float(adam.beta_2) == pytest.approx(0.85)


def test_the_average_has_the_half_life_of_its_step():
    rule = tg.EMA(half_life=schedules.Cosine(0.0, 100.0, 4))
    for step in range(1, 7):
        half_life = 50 * (1 - np.cos(np.pi * min(1, (step - 1) / 4)))
        expected = 1 - 0.5 ** (8 / max(half_life, 1e-8))
        np.testing.assert_allclose(float(rule.rate(step, 8)), expected, rtol=1e-5)


def test_the_share_of_a_leak_is_exact_at_every_step():
    leak = tg.LeakyEMA(schedules.Linear(0.0, 0.5, 10))
    found = [int(leak.count(step, 64)) for step in range(12)]
    assert found == [int(np.floor(64 * 0.05 * min(step, 10) + 0.5)) for step in range(12)]


def test_the_probability_of_augmentation_moves():
    images = np.ones((256, 4, 4, 1), "float32")
    augment = tg.DiffAugment("color", probability=schedules.Linear(0.0, 1.0, 4))
    for step in range(6):
        changed = np.asarray(augment(images, latents.Draws(1, step, "test/"))) != 1
        assert abs(changed.any(axis=(1, 2, 3)).mean() - min(1, step / 4)) < 0.1


def test_configurations_know_the_batch_size():
    from configs import base

    config = base.get_config()
    config.network, config.batch_size = {"kind": "dcgan_32", "width": 1 / 16}, 16
    config.averages = {"ema": {"half_life": {"kind": "cosine", "start": 0, "end": 5, "images": 64}}}
    gan = runs.build_gan(config, (32, 32, 3), None)
    half_life = gan.averages[0].rule.half_life
    assert (half_life.batch_size, float(half_life(2)), float(half_life(4))) == (16, 2.5, 5.0)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: schedules.Linear(1.0, 0.0), "expected steps, or images"),
        (lambda: schedules.Linear(1.0, 0.0, 5, images=5), "expected steps, or images"),
        (
            lambda: schedules.Cosine(1.0, 0.0, images=100),
            "expected steps, or images with the batch_size",
        ),
        (lambda: schedules.Linear(1.0, 0.0, 5, begin=5), "goes nowhere"),
        (lambda: tg.EMA(schedules.Linear(0.5, 1.0, 5)), r"EMA decay, scheduled, 1.0: expected"),
        (lambda: tg.penalties.R1({"start": 1.0}), "expected a number, or a schedule such as"),
        (lambda: tg.penalties.R1({"kind": "cosinus"}), "did you mean 'cosine'"),
        (
            lambda: tg.penalties.R1(keras.optimizers.schedules.CosineDecay(1.0, 5)),
            "Keras's schedules are for learning rates",
        ),
        (
            lambda: optimizers.get({"kind": "adam", "epsilon": {"kind": "constant", "value": 1}}),
            "epsilon cannot be a schedule",
        ),
        (
            lambda: tg.LeakyEMA(schedules.Linear(0.0, 0.5, 9), ramp=5),
            "with a beta that is a schedule",
        ),
        (
            lambda: optimizers.get(
                {"kind": "adam", "learning_rate": schedules.ConstantValue(1.0), "decay_steps": 5}
            ),
            "give one",
        ),
    ],
)
def test_what_does_not_fit_is_said_in_one_line(make, words):
    with pytest.raises(UsageError, match=words) as error:
        make()
    assert "\n" not in str(error.value)
