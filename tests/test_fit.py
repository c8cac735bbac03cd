"""What ``fit``, ``evaluate``, ``predict`` and the calls on one batch take, and what they refuse."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import toy
from hypothesis import given, settings
from hypothesis import strategies as st

import tfgan_ema as tg
from tfgan_ema import checkpoint
from tfgan_ema.errors import UsageError

ROWS = 50
LABELS = np.arange(ROWS) % 3


def images():
    return np.random.default_rng(0).integers(0, 256, (ROWS, 8, 8, 3), dtype=np.uint8)


def floats():
    return images().astype("float32") / np.float32(127.5) - np.float32(1)


def dataset(*parts):
    return tf.data.Dataset.from_tensor_slices(parts if len(parts) > 1 else parts[0])


class Sequence(keras.utils.PyDataset):
    """Batches by index."""

    def __init__(self, *parts, size=16):
        super().__init__()
        self.parts, self.size = parts, size

    def __len__(self):
        return -(-len(self.parts[0]) // self.size)

    def __getitem__(self, index):
        rows = slice(index * self.size, (index + 1) * self.size)
        return tuple(part[rows] for part in self.parts)


def generator(*parts, size=16):
    sequence = Sequence(*parts, size=size)
    yield from (sequence[i] for i in range(len(sequence)))


def unshuffled(**options):
    return {"batch_size": 16, "shuffle": False, **options}


# Data -> what follows it in a call of `fit`; all are batches of 16 in the order of the rows.
KINDS = {
    "bytes": lambda: ((images(), LABELS), unshuffled()),
    "doubles": lambda: ((floats().astype("float64"), LABELS), unshuffled()),
    "tensors": lambda: ((tf.constant(floats()), tf.constant(LABELS)), unshuffled()),
    "a pair": lambda: (((images(), LABELS),), unshuffled()),
    "a dictionary": lambda: (({"image": images(), "label": LABELS},), unshuffled()),
    "a column of labels": lambda: ((images(), LABELS[:, None].astype("uint8")), unshuffled()),
    "one-hot labels": lambda: ((images(), np.eye(3)[LABELS]), unshuffled()),
    "a dataset": lambda: ((dataset(images(), LABELS).batch(16),), {}),
    "a dataset of pairs": lambda: ((dataset(floats(), LABELS),), {"batch_size": 16}),
    "a dataset batched otherwise": lambda: (
        (dataset(images(), LABELS).batch(7),),
        {"batch_size": 16},
    ),
    "a dataset of TFDS": lambda: (
        (dataset({"image": images(), "label": LABELS, "id": LABELS}).batch(16),),
        {},
    ),
    "an endless dataset": lambda: (
        (dataset(images(), LABELS).batch(16).repeat(),),
        {"steps_per_epoch": 3},
    ),
    "a PyDataset": lambda: ((Sequence(images(), LABELS),), {"shuffle": False}),
    "a generator": lambda: ((generator(images(), LABELS),), {}),
}


@pytest.fixture(scope="module")
def expected():
    model = toy.gan(num_classes=3, averages=[tg.EMA(0.9)])
    model.fit(floats(), LABELS.astype("int32"), verbose=0, **unshuffled())
    return checkpoint.to_arrays(model.state())


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_data_trains_the_same_steps(kind, expected, capsys):
    model = toy.gan(num_classes=3, averages=[tg.EMA(0.9)])
    data, options = KINDS[kind]()
    model.fit(*data, verbose=0, **options)
    assert model.steps_done == 3
    toy.assert_close(checkpoint.to_arrays(model.state()), expected, 1e-6)
    said = capsys.readouterr().err
    assert ("2 rows" in said or "2 of 50 rows" in said) == (kind not in UNSAID), said


UNSAID = ("a dataset of pairs", "a dataset batched otherwise")  # tf.data drops these rows itself


@pytest.mark.parametrize(
    "kind",
    ["bytes", "one-hot labels", "a dataset", "a dataset of TFDS", "a PyDataset", "a generator"],
)
def test_every_kind_of_data_is_evaluated_whole(kind):
    """Numbers are means over all rows, whatever the batches."""
    model = toy.gan(num_classes=3)
    data, options = KINDS[kind]()
    steps = {"steps": 4} if "steps_per_epoch" in options else {}
    size = {key: options[key] for key in ("batch_size",) if key in options}
    logs = model.evaluate(*data, verbose=0, return_dict=True, **size, **steps)
    if not steps:  # an endless set has no last batch
        mean = model.discriminate(images(), LABELS).mean()
        np.testing.assert_allclose(logs["real_logit"], mean, rtol=1e-4)


@settings(max_examples=20)
@given(
    kind=st.sampled_from(["arrays", "dataset", "sequence", "generator"]),
    count=st.integers(1, 40),
    size=st.integers(1, 12),
    n_dis=st.integers(1, 3),
    accumulate=st.integers(1, 2),
    execution=st.integers(1, 4),
)
def test_steps_read_the_right_rows(kind, count, size, n_dis, accumulate, execution):
    """The right number of steps on the right rows, or one line."""
    points = np.arange(count, dtype="float32")[:, None] * [1, 0]
    pair = toy.zoo.build("mlp", g_hidden=(4,), d_hidden=(4,))
    model = tg.GAN(*pair, latent=2, n_dis=n_dis, accumulate=accumulate, seed=count)
    model.compile(steps_per_execution=execution, run_eagerly=True)
    seen, update = [], model._update_discriminator

    def spy(k, real):
        seen.append(np.asarray(real.images)[:, 0].astype(int))
        update(k, real)

    model._update_discriminator = spy
    step = size * n_dis  # rows
    data = {
        "arrays": lambda: (points, {"batch_size": size}),
        "dataset": lambda: (dataset(points).batch(step), {}),
        "sequence": lambda: (Sequence(points, size=step), {"shuffle": False}),
        "generator": lambda: (generator(points, size=step), {}),
    }[kind]
    x, options = data()
    first = step if kind == "arrays" else min(step, count)  # rows of the first batch
    if first % (n_dis * accumulate) or count < first:
        with pytest.raises(UsageError) as error:
            model.fit(x, verbose=0, **options)
        assert "\n" not in str(error.value)
        assert not seen
        return
    model.fit(x, verbose=0, **options)
    steps = count // first
    assert model.steps_done == steps
    assert len(seen) == steps * n_dis
    assert all(len(rows) == first // n_dis for rows in seen)
    rows = np.concatenate(seen)
    assert len(set(rows)) == len(rows)  # none twice in an epoch
    if kind != "arrays":
        np.testing.assert_array_equal(np.sort(rows), np.arange(steps * first))


@pytest.mark.slow
@settings(max_examples=6, deadline=None)
@given(
    kind=st.sampled_from(["arrays", "dataset", "sequence", "generator"]),
    steps=st.integers(1, 3),
    left=st.integers(0, 5),
    size=st.integers(1, 4),
    n_dis=st.integers(1, 2),
    accumulate=st.integers(1, 2),
)
def test_two_replicas_read_the_rows_of_one(
    two_replicas, kind, steps, left, size, n_dis, accumulate
):
    """The same training, or one line where two replicas cannot share a batch."""
    rows = size * accumulate * n_dis
    points = toy.points(steps * rows + min(left, rows - 1)).samples
    ends = []
    for strategy in (None, two_replicas):
        model = toy.gan("mlp", strategy=strategy, n_dis=n_dis, accumulate=accumulate)
        x, options = {
            "arrays": lambda: (points, {"batch_size": size * accumulate}),
            "dataset": lambda: (dataset(points).batch(rows), {}),
            "sequence": lambda: (Sequence(points, size=rows), {"shuffle": False}),
            "generator": lambda: (generator(points, size=rows), {}),
        }[kind]()
        if strategy and size % 2:
            with pytest.raises(UsageError, match=r"2 replica|multiple of 2") as error:
                model.fit(x, verbose=0, **options)
            assert "\n" not in str(error.value)
            return
        model.fit(x, verbose=0, **options)
        assert model.steps_done == steps
        ends.append(checkpoint.to_arrays(model.state()))
    toy.assert_close(*ends, 2e-5)


def test_arrays_are_shuffled_anew_each_epoch_by_the_seed():
    def orders(seed):
        pair = toy.zoo.build("mlp", g_hidden=(4,), d_hidden=(4,))
        model = tg.GAN(*pair, latent=2, seed=seed)
        model.compile(run_eagerly=True)
        seen, update = [], model._update_discriminator
        model._update_discriminator = lambda k, real: (
            seen.append(np.asarray(real.images)[:, 0]),
            update(k, real),
        )
        model.fit(np.arange(12.0)[:, None] * [1, 0], batch_size=4, epochs=2, verbose=0)
        return np.concatenate(seen).reshape(2, 12)

    first, again, other = orders(1), orders(1), orders(2)
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(np.sort(first, axis=1), [np.arange(12)] * 2)
    assert (first[0] != first[1]).any()
    assert (first != other).any()


def test_training_goes_on_with_the_rows_that_would_have_come():
    whole = toy.gan("mlp", averages=[tg.EMA(0.9)])
    points = toy.points(40).samples
    whole.fit(points, batch_size=8, epochs=2, verbose=0)
    first, second = (toy.gan("mlp", averages=[tg.EMA(0.9)]) for _ in range(2))
    first.fit(points, batch_size=8, epochs=2, steps_per_epoch=3, verbose=0)
    for name, variable in second.state().items():
        variable.assign(first.state()[name])
    second.fit(points, batch_size=8, steps_per_epoch=4, verbose=0)
    toy.assert_close(*(checkpoint.to_arrays(m.state()) for m in (second, whole)), 0)


def test_another_batch_size_keeps_the_optimizers():
    model = toy.gan(num_classes=3)
    model.fit(images(), LABELS, batch_size=16, verbose=0)
    model.fit(images(), LABELS, batch_size=10, verbose=0)
    model.evaluate(images(), LABELS, batch_size=7, verbose=0)
    model.evaluate(images(), LABELS, batch_size=20, verbose=0)
    assert model.steps_done == int(model.g_optimizer.iterations) == 3 + 5


@pytest.mark.parametrize("execution", [1, 4])
def test_nothing_moves_where_the_data_have_ended(execution):
    """Also where the number of batches is unknown before."""
    batches = dataset(toy.points(48).samples).batch(8)
    counted, uncounted = (
        toy.gan("mlp", compiled={"steps_per_execution": execution}) for _ in range(2)
    )
    counted.fit(batches, verbose=0, epochs=2)
    uncounted.fit(batches.filter(lambda x: True), verbose=0, epochs=2)
    assert uncounted.steps_done == 12
    toy.assert_close(*(checkpoint.to_arrays(m.state()) for m in (uncounted, counted)), 0)


def test_validation_in_every_form():
    points = toy.points(50).samples

    def history(*data, **options):
        return toy.gan("mlp").fit(*data, batch_size=10, verbose=0, **options).history

    held_out = points[40:]
    expected = history(points[:40], validation_data=(held_out,))
    assert expected["val_real_logit"]
    for options in (
        {"validation_data": held_out},
        {"validation_data": dataset(held_out).batch(10)},
        {"validation_data": dataset(held_out).batch(10).repeat(), "validation_steps": 1},
        {"validation_data": Sequence(held_out, size=10)},
        {"validation_data": held_out, "validation_batch_size": 10},
    ):
        assert history(points[:40], **options) == expected
    assert history(points, validation_split=0.2) == expected


def test_one_batch():
    model, other = (toy.gan(num_classes=3) for _ in range(2))
    logs = model.train_on_batch(images()[:16], LABELS[:16], return_dict=True)
    other.fit(images()[:16], LABELS[:16], batch_size=16, shuffle=False, verbose=0)
    toy.assert_close(*(checkpoint.to_arrays(m.state()) for m in (model, other)), 1e-6)
    assert model.steps_done == 1
    assert np.isfinite(logs["d_loss"])
    np.testing.assert_allclose(
        model.test_on_batch(images()[:16], LABELS[:16]),
        model.evaluate(images()[:16], LABELS[:16], batch_size=16, verbose=0),
        rtol=1e-5,
    )


def test_predict_takes_latents_and_labels():
    model, latent = toy.gan(num_classes=3), np.zeros((5, 6))
    made = model.predict([latent, LABELS[:5]], verbose=0)
    np.testing.assert_allclose(made, model.generate(latent, LABELS[:5]), atol=1e-6)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda m: m.fit(floats() * 127, LABELS), "images from -127 to 127: expected floats"),
        (lambda m: m.fit(dataset(floats() * 127, LABELS).batch(8)), "images from -127"),
        (lambda m: m.fit(generator(floats() * np.nan, LABELS)), "images from nan to nan"),
        (lambda m: m.fit(images().astype("int32"), LABELS), "int32 images: expected uint8"),
        (lambda m: m.fit(floats()[:, :4], LABELS), r"rows of shape \(4, 8, 3\)"),
        (lambda m: m.fit(dataset(floats()[:, :4], LABELS).batch(8)), r"rows of shape \(4, 8, 3\)"),
        (lambda m: m.fit(images()), "batches without labels for num_classes 3"),
        (lambda m: m.fit({"picture": images()}), "keys picture: expected 'image' and 'label'"),
        (lambda m: m.fit(images(), LABELS + 1), "labels from 1 to 3: expected 0 to 2"),
        (lambda m: m.fit(dataset(images(), LABELS - 1).batch(8)), "labels from -1 to 1"),
        (lambda m: m.fit(Sequence(images(), LABELS + 1)), "labels from 1 to 3"),
        (lambda m: m.evaluate(images(), LABELS - 1), "labels from -1 to 1"),
        (lambda m: m.evaluate(dataset(images(), LABELS + 1).batch(8)), "labels from 1 to 3"),
        (lambda m: m.sample(2, labels=[0, 3]), "labels from 0 to 3"),
        (lambda m: m.generate(np.zeros((2, 6)), [0, -1]), "labels from -1 to 0"),
        (lambda m: m.generate(np.zeros((2, 6))), "latents without labels"),
        (lambda m: m.predict(np.zeros((2, 6))), "latents without labels"),
        (lambda m: m.predict([np.zeros((2, 7)), [0, 1]]), r"latents of shape \(2, 7\)"),
        (lambda m: m.fit(images(), LABELS[:40]), r"labels of shape \(40,\)"),
        (lambda m: m.fit(images(), np.eye(4)[LABELS]), r"labels of shape \('n', 4\)"),
        (lambda m: m.fit(images(), LABELS / 2), "float.* labels: expected integers"),
        (lambda m: m.fit(images(), LABELS, batch_size=64), "50 rows for steps of 64"),
        (lambda m: m.fit(images(), LABELS, batch_size=2.5), "batch_size 2.5"),
        (lambda m: m.fit(images(), LABELS, class_weight={0: 1.0}), "class_weight: a GAN"),
        (lambda m: m.fit(images(), LABELS, sample_weight=np.ones(50)), "sample_weight: a GAN"),
        (lambda m: m.fit(dataset(images(), LABELS, LABELS).batch(8)), "with sample weights"),
        (lambda m: m.fit(Sequence(images(), LABELS), batch_size=8), "batch_size with a PyDataset"),
        (lambda m: m.fit(dataset(images()).batch(8), LABELS), "labels beside a dataset"),
        (lambda m: m.fit(dataset(images(), LABELS).batch(8).repeat()), "set steps_per_epoch"),
        (lambda m: m.fit(batch for batch in ()), "a generator without batches"),
        (lambda m: m.fit("cats"), "data of type str: expected arrays"),
        (lambda m: m.fit(), "data of type NoneType"),
        (lambda m: m.fit(images(), LABELS, validation_split=1.0), "validation_split 1.0"),
        (lambda m: m.fit(images()[:1], LABELS[:1], validation_split=0.4), "leaves none to"),
        (
            lambda m: m.fit(images(), LABELS, validation_data=generator(images(), LABELS)),
            "set validation_steps",
        ),
    ],
)
def test_what_cannot_be_trained_on_is_one_line(call, words):
    model = toy.gan(num_classes=3)
    with pytest.raises(UsageError, match=words) as error:
        call(model)
    assert "\n" not in str(error.value)
    assert model.steps_done == 0


def test_a_gan_that_was_not_compiled_says_so():
    pair = toy.zoo.build("mlp", g_hidden=(4,), d_hidden=(4,))
    for call in (lambda m: m.fit(np.zeros((4, 2))), lambda m: m.evaluate(np.zeros((4, 2)))):
        with pytest.raises(UsageError, match="no optimizers yet"):
            call(tg.GAN(*pair, latent=2))


@pytest.mark.parametrize(
    "kind",
    ["bytes", *(pytest.param(x, marks=pytest.mark.slow) for x in ("a dataset", "a PyDataset"))],
)
def test_two_replicas_train_as_one_device(kind, two_replicas):
    models = toy.gan(num_classes=3), toy.gan(num_classes=3, strategy=two_replicas)
    for model in models:
        data, options = KINDS[kind]()
        model.fit(*data, verbose=0, **options)
        assert model.steps_done == 3
    toy.assert_close(*(checkpoint.to_arrays(m.state()) for m in models), 5e-4)


L = keras.layers


@pytest.mark.parametrize(
    ("networks", "words"),
    [
        (([L.Dense(2)], [L.Dense(1, activation="sigmoid")]), "ends in sigmoid: losses take logits"),
        (([L.Dense(2)], [L.Dense(1), L.Activation("sigmoid")]), "ends in sigmoid"),
        (
            ([L.Dense(3)], [L.Dense(1)]),
            r"discriminator takes \(None, 2\), but is given \(None, 3\)",
        ),
        (([L.Dense(2)], [L.Dense(4)]), "expected one logit a row"),
    ],
)
def test_networks_that_do_not_fit_are_refused_when_they_meet(networks, words):
    players = [
        keras.Sequential([keras.Input((size,)), *parts])
        for size, parts in zip((4, 2), networks, strict=True)
    ]
    with pytest.raises(UsageError, match=words):
        tg.GAN(*players, latent=4)


def test_a_wrong_latent_width_is_refused_when_the_networks_meet():
    pair = toy.zoo.build("mlp", g_hidden=(4,), d_hidden=(4,))
    with pytest.raises(UsageError, match=r"generator takes \(None, 2\), but is given \(None, 5\)"):
        tg.GAN(*pair, latent=5)


class Subclass(keras.Model):
    """A network without declared inputs."""

    def __init__(self, units, width=8, **kwargs):
        super().__init__(**kwargs)
        self.units, self.width = units, width
        self.hidden, self.out = L.Dense(width), L.Dense(units)

    def call(self, x, training=False):
        return self.out(self.hidden(x))

    def get_config(self):
        return {**super().get_config(), "units": self.units, "width": self.width}


def test_subclassed_networks_train_and_are_averaged():
    model = tg.GAN(Subclass(2), Subclass(1), latent=4, averages=[tg.EMA(0.5)])
    model.compile()
    model.fit(toy.points(64).samples, batch_size=16, verbose=0)
    latent = np.ones((3, 4))
    assert (model.generate(latent) != model.generate(latent, average="raw")).any()
    with pytest.raises(UsageError, match="the discriminator does not run on"):
        tg.GAN(Subclass(2), keras.Sequential([L.Reshape((5,)), L.Dense(1)]), latent=4)
