"""LeakyEMA, noise, augmentation, top-k: exact shares, exact rows, hand-written transcriptions."""

import contextlib
import math
from unittest import mock

import keras
import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
import toy
from hypothesis import example, given, settings
from hypothesis import strategies as st

import tfgan_ema as tg
from tfgan_ema import augment, checkpoint, mixing
from tfgan_ema.adapt import Batch
from tfgan_ema.engines import tensorflow as engine
from tfgan_ema.errors import UsageError
from tfgan_ema.latents import Draws

DRAWS = Draws(5, 3, "test/")


# LeakyEMA: how many rows, and which


@contextlib.contextmanager
def replica(index, count, whole=None):
    """The engine as replica ``index`` of ``count`` sees it; ``gather`` gives ``whole``."""
    with (
        mock.patch.object(engine, "replicas", return_value=count),
        mock.patch.object(engine, "rows", lambda n: index * n + tf.range(n)),
        mock.patch.object(engine, "gather", lambda x: x if whole is None else whole),
    ):
        yield


def leak(layer, rows, step=0, *, index=0, count=1, logits=None):
    """One replica's mixed batch of row numbers: real i is i, fake -1 - i, taught 1000 + i."""
    real = tf.range(rows, dtype=tf.float32)[:, None]
    asked = []

    def teacher(chosen):
        asked.append(chosen.numpy())
        return 1000.0 + tf.cast(chosen, tf.float32)[:, None], None

    local = None if logits is None else tf.constant(logits[index * rows : (index + 1) * rows])
    with replica(index, count, None if logits is None else tf.constant(logits)):
        images, _ = layer(
            real, None, -1.0 - real, None,
            engine=engine, step=tf.constant(step), teacher=teacher,
            discriminator=lambda images, labels: local,
        )  # fmt: skip
    return images.numpy()[:, 0], asked


@settings(max_examples=40, deadline=None)
@given(
    rows=st.integers(1, 24),
    count=st.integers(1, 5),
    beta=st.one_of(st.sampled_from([0.29, 0.525, 0.57, 0.58, 0.7]), st.floats(0, 0.999)),
)
def test_share_is_exact_on_the_global_batch(rows, count, beta):
    layer = mixing.LeakyEMA(beta)
    batch = rows * count
    whole = math.floor(beta * batch + 0.5)
    leaked, generated = [], []
    for index in range(count):
        mixed, asked = leak(layer, rows, index=index, count=count)
        changed = mixed != np.arange(rows)
        np.testing.assert_array_equal(mixed[changed], 1000 + np.flatnonzero(changed))
        leaked.append(changed)
        generated.append(sum(len(rows) for rows in asked))
    leaked = np.concatenate(leaked)
    assert leaked.sum() == whole
    assert set(generated) == {math.ceil(whole / count)}  # no more are generated than needed
    alone, _ = leak(layer, batch)
    np.testing.assert_array_equal(leaked, alone != np.arange(batch))
    if whole:  # evenly spread, round the corner too
        gaps = np.diff(np.append(np.flatnonzero(leaked), np.flatnonzero(leaked)[0] + batch))
        assert set(gaps) <= {batch // whole, -(-batch // whole)}


def test_29_percent_of_50_in_float32():
    """0.29 * 50 lies on different sides of a half in float32 and float64."""
    assert (leak(mixing.LeakyEMA(0.29), 50)[0] >= 1000).sum() == 14


@settings(max_examples=20, deadline=None)
@given(
    rows=st.integers(1, 12),
    count=st.integers(1, 4),
    beta=st.floats(0, 0.999),
    seed=st.integers(0, 99),
)
def test_same_top_k_leaks_the_most_real_fakes_of_the_global_batch(rows, count, beta, seed):
    layer = mixing.LeakyEMA(beta, mode="same_top_k")
    logits = np.random.default_rng(seed).normal(size=rows * count).astype("float32")
    parts = [leak(layer, rows, index=i, count=count, logits=logits) for i in range(count)]
    assert not any(asked for _, asked in parts)
    whole = math.floor(beta * rows * count + 0.5)
    best = np.zeros(rows * count, bool)
    best[np.argsort(-logits)[:whole]] = True
    numbers = np.tile(np.arange(rows), count)
    mixed = np.concatenate([mixed for mixed, _ in parts])
    np.testing.assert_array_equal(mixed, np.where(best, -1 - numbers, numbers))


def test_ramp_rises_to_the_whole_share_and_stays():
    layer = mixing.LeakyEMA(0.525, start_step=10, ramp=4)
    counts = [(leak(layer, 60, step)[0] >= 1000).sum() for step in (0, 9, 10, 11, 12, 13, 14, 99)]
    assert counts == [0, 0, 8, 16, 24, 32, 32, 32]


def test_before_the_start_nothing_leaks_and_nothing_is_generated():
    layer = mixing.LeakyEMA(0.5, start_step=3)
    for step in range(5):
        mixed, asked = leak(layer, 6, step)
        assert (mixed >= 1000).sum() == (3 if step >= 3 else 0)
        assert bool(asked) == (step >= 3)
    never = mixing.LeakyEMA(0.5, start_step="auto")
    assert never.waiting
    assert leak(never, 6, 10**9)[1] == []


# LeakyEMA in the GAN: whose samples, which labels


def mixed(gan, real, labels=None):
    """Real batch and fakes of one update, the mixed batch, and which rows were leaked."""
    real = Batch(tf.constant(real, tf.float32), labels)
    fake = gan.players.fakes(*gan._latents(real, DRAWS))
    after = gan._mixed(real, fake, DRAWS)
    flat = (after.images - real.images).numpy().reshape(len(real.images), -1)
    return fake, after, np.flatnonzero(np.abs(flat).max(axis=1) > 0)


def moved(gan):
    """The average gets weights of its own."""
    for i, (average, _) in enumerate(gan.averages[0].pairs if gan.averages else []):
        average.assign_add(0.05 * tf.ones(average.shape) * (1 + i % 3))
    return gan


def test_sync_is_taught_by_the_average_on_the_same_latents(rng):
    gan = moved(toy.gan("mlp", averages=[tg.EMA(0.9)], leak=tg.LeakyEMA(0.5)))
    fake, after, rows = mixed(gan, rng.normal(size=(8, 2)))
    assert rows.tolist() == [1, 3, 5, 7]
    expected = gan.averages[0].shadow(fake.latent).numpy()[rows]
    np.testing.assert_allclose(after.images.numpy()[rows], expected, atol=1e-6)
    assert np.abs(expected - fake.images.numpy()[rows]).max() > 0.01


def test_leaked_rows_carry_the_labels_they_were_generated_with(rng):
    average = tg.EMA(0.9, statistics="copy")
    options = {"averages": [average], "leak": tg.LeakyEMA(0.5), "num_classes": 3}
    gan = moved(toy.gan("conv", **options))
    labels = tf.fill([8], 7)
    fake, after, rows = mixed(gan, rng.normal(size=(8, 8, 8, 3)), labels)
    expected = labels.numpy()
    expected[rows] = fake.labels.numpy()[rows]
    np.testing.assert_array_equal(after.labels, expected)
    guided = gan.averages[0].shadow([fake.latent, fake.labels], training=False).numpy()[rows]
    np.testing.assert_allclose(after.images.numpy()[rows], guided, atol=1e-6)


def test_async_noise_teaches_on_latents_of_its_own(rng):
    options = {"averages": [tg.EMA(0.9)], "leak": tg.LeakyEMA(0.5, mode="async_noise")}
    gan = moved(toy.gan("mlp", **options))
    fake, after, rows = mixed(gan, rng.normal(size=(8, 2)))
    latent, _ = gan._latents(Batch(np.zeros((8, 2))), DRAWS.fold_in("leak"))
    expected = gan.averages[0].shadow(latent).numpy()[rows]
    np.testing.assert_allclose(after.images.numpy()[rows], expected, atol=1e-6)
    assert np.abs(latent - fake.latent).min() > 0


def test_async_model_is_a_fixed_generator_or_an_exported_one(rng, tmp_path):
    other = moved(toy.gan("mlp", averages=[tg.EMA(0.9)]))
    folder = tg.export.saved_model(other, tmp_path / "teacher")
    real = rng.normal(size=(8, 2))
    for model in (other.averages[0].shadow, tg.export.load_generator(folder)):
        gan = toy.gan("mlp", leak=tg.LeakyEMA(0.5, mode="async_model", model=model))
        _, after, rows = mixed(gan, real)
        latent, _ = gan._latents(Batch(real), DRAWS.fold_in("leak"))
        expected = other.averages[0].shadow(latent).numpy()[rows]
        np.testing.assert_allclose(after.images.numpy()[rows], expected, atol=1e-5)
    before = [w.numpy() for w in other.averages[0].shadow.weights]
    toy.fit(gan, 2, chosen=toy.points())  # the exported one, in a compiled step
    assert all(np.isfinite(w.numpy()).all() for w in gan.discriminator.weights)
    gan = toy.gan("mlp", leak=tg.LeakyEMA(0.5, mode="async_model", model=other.averages[0].shadow))
    toy.fit(gan, 1, chosen=toy.points())
    for old, new in zip(before, other.averages[0].shadow.weights, strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("mode", ["same_random", "same_top_k"])
def test_same_modes_leak_this_updates_fakes(mode, rng):
    gan = toy.gan("mlp", leak=tg.LeakyEMA(0.5, mode=mode))
    fake, after, rows = mixed(gan, rng.normal(size=(8, 2)))
    assert len(rows) == 4
    np.testing.assert_array_equal(after.images.numpy()[rows], fake.images.numpy()[rows])
    logits = gan.players.logits(fake.images).numpy()
    best = np.sort(np.argsort(-logits)[:4]).tolist()
    assert rows.tolist() == (best if mode == "same_top_k" else [1, 3, 5, 7])


class Counted(keras.layers.Layer):
    """Passes its input on and counts, at run time, the passes outside training."""

    passes = 0

    def call(self, x, training=False):
        def count(value):
            Counted.passes += 1
            return value

        if training:
            return x
        return tf.ensure_shape(tf.numpy_function(count, [x], x.dtype), x.shape)


def test_the_average_does_not_run_before_the_start():
    x = keras.Input((2,))
    generator = keras.Model(x, Counted()(keras.layers.Dense(2)(x)))
    discriminator = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    gan = tg.GAN(
        generator, discriminator, latent=2,
        averages=[tg.EMA(0.9)], leak=tg.LeakyEMA(0.5, start_step=3), n_dis=2,
    )  # fmt: skip
    gan.compile(steps_per_execution=5)
    Counted.passes = 0
    toy.fit(gan, 5, chosen=toy.points())
    assert Counted.passes == 2 * 2  # steps 3 and 4, two discriminator updates each


def test_under_xla_the_teacher_is_inside_a_conditional():
    layer = mixing.LeakyEMA(0.5, start_step=10)
    weight = tf.Variable(tf.ones((3, 5)))

    @tf.function(jit_compile=True)
    def step(real, t):
        def teacher(rows):
            latent = tf.cast(rows, tf.float32)[:, None] + tf.ones((1, 3))
            return tf.matmul(latent, weight), None

        return layer(
            real, None, real, None, engine=engine, step=t, teacher=teacher, discriminator=None
        )[0]

    arguments = tf.zeros((64, 5)), tf.constant(0)
    text = step.experimental_get_compiler_ir(*arguments)(stage="hlo")
    entry = text[text.index("ENTRY") :]
    assert "conditional(" in entry
    assert " dot(" in text
    assert " dot(" not in entry
    assert step(*arguments).numpy().max() == 0
    assert (step(arguments[0], tf.constant(10)).numpy().max(axis=1) > 0).sum() == 32


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"beta": 1.0}, "no real image is left"),
        ({"beta": -0.1}, "beta -0.1"),
        ({"beta": float("nan")}, "beta nan"),
        ({"start_step": -1}, "start_step -1"),
        ({"start_step": "later"}, "or 'auto'"),
        ({"mode": "syncd"}, "did you mean 'sync'"),
        ({"mode": "async_model"}, "needs a fixed generator"),
        ({"model": print}, "needs a fixed generator"),
        ({"ramp": -5}, "ramp -5"),
        ({"mode": "async_model", "model": "/nowhere"}, r"export.load_generator\(FOLDER\)"),
    ],
)
def test_leaky_ema_refuses_in_one_line(options, words):
    with pytest.raises(UsageError, match=words) as error:
        mixing.LeakyEMA(**options)
    assert "\n" not in str(error.value)


# Where the metric flattens


def first_flat(values, **options):
    """The index at which training would start the leak."""
    for n in range(1, len(values) + 1):
        found = mixing.plateau(range(n), values[:n], **options)
        if found is not None:
            assert found == n - 1
            return found
    return None


@settings(max_examples=60, deadline=None)
@given(scale=st.floats(0.3, 300), drop=st.floats(1, 500), floor=st.floats(0, 100))
def test_an_exponential_fall_flattens_in_its_plateau_and_not_before(scale, drop, floor):
    """However often it is evaluated, at most 1/50 of the fall is still to come."""
    curve = floor + drop * np.exp(-np.arange(int(8 * scale) + 30) / scale)
    start = first_flat(curve.tolist())
    assert start is not None
    assert curve[start] - floor <= drop / 50
    assert start <= max(10, 5 * scale + 15)


@settings(max_examples=60, deadline=None)
@given(length=st.integers(1, 300), drop=st.floats(0.1, 500), noise=st.floats(0, 0.01))
@example(length=255, drop=1.0, noise=0.009765625)  # slower than its own noise at first
def test_a_fall_with_a_plateau_starts_inside_it(length, drop, noise):
    rng = np.random.default_rng(length)
    curve = drop * np.maximum(1 - np.arange(2 * length + 30) / length, 0) + 1
    curve += noise * drop * rng.normal(size=len(curve))
    start = first_flat(curve.tolist())
    assert length <= start <= max(10, 1.5 * length + 5)


@pytest.mark.parametrize("shape", ["straight", "rising", "constant"])
def test_without_a_fall_or_without_an_end_there_is_no_plateau(shape):
    t = np.arange(500.0)
    curve = {"straight": 500 - t, "rising": t, "constant": 0 * t + 3}[shape]
    assert first_flat(curve.tolist()) is None


def test_noise_alone_is_no_fall(rng):
    for _ in range(50):
        assert first_flat(rng.normal(size=200).tolist()) is None


def test_an_automatic_leak_starts_once_and_a_checkpoint_keeps_it(tmp_path):
    """Evaluate sees 100 e^(-step/2); from the start on the discriminator's batch leaks."""

    def gan():
        options = {"averages": [tg.EMA(0.9)], "leak": tg.LeakyEMA(0.5, start_step="auto")}
        return toy.gan("mlp", **options)

    model = gan()

    def score(sample):
        return {"fid": 100 * math.exp(-model.steps_done / 2)}

    starts = []

    class Look(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            starts.append(int(model.leak.start.numpy()))

    found = [tg.Evaluate(score, tmp_path, every=1), Look(), tg.Checkpoint(tmp_path, every=5)]
    toy.fit(model, 15, chosen=toy.points(), callbacks=found)
    expected = 1 + first_flat([100 * math.exp(-step / 2) for step in range(1, 16)])
    assert 10 <= expected < 14
    never = [mixing.NEVER] * (expected - 1)
    assert starts == never + [expected] * (15 - expected + 1)
    resumed = gan()
    assert resumed.leak.waiting
    assert checkpoint.restore(resumed, tmp_path / "checkpoints") == 15
    assert not resumed.leak.waiting
    assert int(resumed.leak.start.numpy()) == expected


# Instance noise


def test_noise_has_the_stated_moments_and_leaves_no_trace_of_the_images():
    images = tf.ones((256, 16, 16, 1))
    noise = (augment.InstanceNoise(0.3)(images, DRAWS) - images).numpy()
    assert noise.mean() == pytest.approx(0, abs=5 * 0.3 / 256)
    assert noise.std() == pytest.approx(0.3, rel=0.01)
    assert scipy.stats.kstest(noise.ravel() / 0.3, "norm").pvalue > 1e-3


def test_noise_falls_linearly_and_ends():
    augmentation = augment.InstanceNoise(0.4, steps=8)
    images = tf.zeros((64, 64))
    for step, stddev in ((0, 0.4), (2, 0.3), (6, 0.1), (8, 0), (100, 0)):
        found = augmentation(images, Draws(1, tf.constant(step), "x/")).numpy()
        assert found.std() == pytest.approx(stddev, rel=0.05)


def test_real_and_fake_get_noise_of_their_own():
    gan = toy.gan("mlp", augment=[augment.InstanceNoise(1.0)])
    zeros = Batch(tf.zeros((512, 2)))
    real, fake, again = (
        gan._augmented(zeros, DRAWS, name).images for name in ("real", "fake", "real")
    )
    np.testing.assert_array_equal(real, again)
    assert abs(np.corrcoef(np.ravel(real), np.ravel(fake))[0, 1]) < 0.1


def test_extreme_draws_are_finite_and_symmetric():
    """The outermost of the 2^24 quantiles, which come up once in 2^24 draws."""
    bits = np.array([0, 2**24 - 1, 1, 2**24 - 2, 2**23, 2**23 - 1], "int32")
    with mock.patch.object(engine, "random_bits", return_value=tf.constant(bits)):
        z = DRAWS.normal((6,), "z").numpy()
    exact = scipy.stats.norm.ppf((bits + 0.5) / 2**24)
    np.testing.assert_allclose(z, exact, rtol=1e-5, atol=1e-9)


# DiffAugment


def colour(image, random):
    """One image: brightness, saturation, contrast, as Zhao et al. 2020 give them."""
    out = image + random[0] - 0.5
    grey = out.mean(axis=2, keepdims=True)
    out = grey + 2 * random[1] * (out - grey)
    return out.mean() + (0.5 + random[2]) * (out - out.mean())


def shifted(image, down, right):
    h, w, _ = image.shape
    out = np.zeros_like(image)
    for y in range(h):
        for x in range(w):
            if 0 <= y - down < h and 0 <= x - right < w:
                out[y, x] = image[y - down, x - right]
    return out


def cut(image, top, left, side):
    """A hole of ``side`` around a corner that may lie outside."""
    out = image.copy()
    out[max(top, 0) : max(top + side[0], 0), max(left, 0) : max(left + side[1], 0)] = 0
    return out


@pytest.fixture(params=[(8, 8, 3), (7, 12, 1)], ids=["square", "odd"])
def images(request, rng):
    return rng.normal(size=(16, *request.param)).astype("float32")


def test_colour_policy(images):
    random = DRAWS.fold_in("color").uniform((16, 3), "color").numpy()
    expected = [colour(image, r) for image, r in zip(images, random, strict=True)]
    found = augment.DiffAugment(["color"])(tf.constant(images), DRAWS)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_translation_policy_shifts_up_to_an_eighth(images):
    size = images.shape[1:3]
    reach = [int(length / 8 + 0.5) for length in size]
    draws = DRAWS.fold_in("translation")
    shift = [
        draws.integers((16,), 2 * reach[i] + 1, f"shift{i + 1}").numpy() - reach[i] for i in (0, 1)
    ]
    expected = [
        shifted(image, *s) for image, s in zip(images, zip(*shift, strict=True), strict=True)
    ]
    found = augment.DiffAugment(["translation"])(tf.constant(images), DRAWS)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert {int(v) for v in shift[1]} == set(range(-reach[1], reach[1] + 1))


def test_cutout_policy_cuts_half_the_size(images):
    size = images.shape[1:3]
    side = [int(length / 2 + 0.5) for length in size]
    draws = DRAWS.fold_in("cutout")
    corner = [
        draws.integers((16,), size[i] + 1 - side[i] % 2, f"centre{i + 1}").numpy() - side[i] // 2
        for i in (0, 1)
    ]
    expected = [cut(x, *c, side) for x, c in zip(images, zip(*corner, strict=True), strict=True)]
    found = augment.DiffAugment(["cutout"])(tf.constant(images), DRAWS).numpy()
    np.testing.assert_array_equal(found, expected)
    holes = (found == 0).all(axis=3).sum(axis=(1, 2))
    assert holes.min() >= side[0] * side[1] / 4 - max(side)
    assert holes.max() == side[0] * side[1]


def test_all_policies_are_differentiable_and_rows_have_draws_of_their_own(images):
    augmentation = augment.DiffAugment("color,translation,cutout")
    x, v = tf.constant(images), tf.constant(np.roll(images, 3, axis=0))
    with tf.GradientTape() as tape:
        tape.watch(x)
        out = augmentation(x, DRAWS)
        total = tf.reduce_sum(out * v)
    assert out.shape == x.shape
    # affine in the images: a difference along any direction is the derivative
    along = tf.reduce_sum((augmentation(x + v, DRAWS) - out) * v).numpy()
    assert tf.reduce_sum(tape.gradient(total, x) * v).numpy() == pytest.approx(along, rel=1e-3)
    same = augmentation(tf.repeat(x[:1], 16, axis=0), DRAWS).numpy()
    assert all(np.abs(same[i] - same[j]).max() > 1e-3 for i in range(16) for j in range(i))


def test_augmentations_refuse_in_one_line():
    with pytest.raises(UsageError, match="policy 'colour'"):
        augment.DiffAugment("colour")
    with pytest.raises(UsageError, match="it needs images"):
        augment.DiffAugment()(tf.zeros((4, 2)), DRAWS)
    with pytest.raises(UsageError, match="stddev -1"):
        augment.InstanceNoise(-1)
    with pytest.raises(UsageError, match="steps 0"):
        augment.InstanceNoise(steps=0)
    with pytest.raises(UsageError, match="unknown augmentation"):
        augment.get("diffaugment")


# Top-k


@pytest.mark.parametrize("phi", [lambda t: -t, tf.nn.softplus], ids=["linear", "curved"])
def test_top_k_is_the_mean_over_the_best(phi, rng):
    values = rng.normal(size=10).astype("float32")
    top_k = mixing.TopK(0.3, decay=0.5, every=2)
    for step, kept in ((0, 10), (1, 10), (2, 5), (3, 5), (4, 3), (400, 3)):
        logits = tf.Variable(values)
        with tf.GradientTape() as tape:
            chosen, factor = top_k(engine, logits, tf.constant(step))
            loss = factor * tf.reduce_mean(phi(-chosen))
        found = tape.gradient(loss, logits)
        with tf.GradientTape() as tape:
            best = tf.gather(logits, np.argsort(-values)[:kept])
            loss = tf.reduce_mean(phi(-best))
        expected = tf.convert_to_tensor(tape.gradient(loss, logits))
        np.testing.assert_allclose(found, expected, atol=1e-6)
        assert np.count_nonzero(found) == kept


def test_top_k_keeps_at_least_one():
    _, factor = mixing.TopK(0.01, decay=0.01, every=1)(engine, tf.range(5.0), tf.constant(9))
    assert float(factor) == 5


@pytest.mark.parametrize("options", [{"least": 0}, {"least": 1.5}, {"decay": 0}, {"every": 0}])
def test_top_k_refuses_in_one_line(options):
    with pytest.raises(UsageError, match=f"TopK {next(iter(options))}"):
        mixing.TopK(**options)
