"""Losses against TF-GAN, 50-digit arithmetic and a NumPy transcription of the papers."""

import functools
import math
import warnings

import mpmath
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from tfgan_ema import losses
from tfgan_ema.alpha import alpha_loss
from tfgan_ema.errors import UsageError
from tfgan_ema.interop import tfgan

ALPHAS = (0.2, 0.5, 0.9, 1 - 1e-6, 1.0, 1 + 1e-6, 1.2, 2.0, 10.0, math.inf)
LOGITS = np.arange(-80, 80.5, 0.5, dtype="float32")


def build(name):
    return losses.get(name, **({"alpha_d": 0.6, "alpha_g": 1.2} if name == "alpha" else {}))


def draw(seed, n=16):
    """Real and fake logits, and the samples behind them."""
    rng = np.random.default_rng(seed)
    real, fake = rng.normal(0.3, 2, n), rng.normal(-0.4, 2, n)
    return real, fake, (rng.normal(size=(n, 4, 4, 3)), rng.normal(size=(n, 4, 4, 3)))


# --- values and gradients of every loss ----------------------------------------------------------


def reference(name, real, fake, samples):
    """(D, G) in float64, straight from the papers."""
    r, f, r_, f_ = real, fake, real.mean(), fake.mean()
    mean, relu = np.mean, lambda t: np.maximum(t, 0)

    def sp(t):
        return np.logaddexp(0, t)

    def l1(s, alpha):
        k = (alpha - 1) / alpha
        return (1 - (1 + np.exp(-s)) ** -k) / k

    d, n = r - f, 10 * np.abs(samples[0] - samples[1]).mean((1, 2, 3))
    return {
        "non_saturating": (mean(sp(-r)) + mean(sp(f)), mean(sp(-f))),
        "saturating": (mean(sp(-r)) + mean(sp(f)), -mean(sp(f))),
        "hinge": (mean(relu(1 - r)) + mean(relu(1 + f)), -mean(f)),
        "wasserstein": (mean(f) - mean(r), -mean(f)),
        "least_squares": ((mean((r - 1) ** 2) + mean(f**2)) / 2, mean((f - 1) ** 2) / 2),
        "alpha": (mean(l1(r, 0.6)) + mean(l1(-f, 0.6)), mean(l1(f, 1.2))),
        "relativistic": (mean(sp(-(r - f))), mean(sp(-(f - r)))),
        "relativistic_average": (
            (mean(sp(-(r - f_))) + mean(sp(f - r_))) / 2,
            (mean(sp(r - f_)) + mean(sp(-(f - r_)))) / 2,
        ),
        "relativistic_average_least_squares": (
            (mean((r - f_ - 1) ** 2) + mean((f - r_ + 1) ** 2)) / 2,
            (mean((r - f_ + 1) ** 2) + mean((f - r_ - 1) ** 2)) / 2,
        ),
        "relativistic_average_hinge": (
            (mean(relu(1 - (r - f_))) + mean(relu(1 + (f - r_)))) / 2,
            (mean(relu(1 + (r - f_))) + mean(relu(1 - (f - r_)))) / 2,
        ),
        "relativistic_f": (2 * mean(sp(f - r)), 2 * mean(sp(r - f))),
        "gan_qp": (mean(-d + d**2 / (2 * n)), mean(d)),
    }[name]


@pytest.mark.parametrize("name", losses.names())
def test_value_is_the_papers(name):
    loss = build(name)
    for seed in range(3):
        real, fake, samples = draw(seed)
        arguments = {"samples": samples} if loss.needs_samples else {}
        got = loss.discriminator(real, fake, **arguments), loss.generator(real, fake, **arguments)
        np.testing.assert_allclose(
            [float(value) for value in got], reference(name, real, fake, samples), rtol=2e-6
        )


@pytest.mark.parametrize("name", losses.names())
def test_gradient_is_the_difference_quotient_of_the_reference(name):
    loss = build(name)
    real, fake, samples = draw(7)
    for player in (0, 1):
        r, f = tf.constant(real, tf.float32), tf.constant(fake, tf.float32)
        with tf.GradientTape() as tape:
            tape.watch([r, f])
            objective = (loss.discriminator, loss.generator)[player]
            value = objective(r, f, samples=samples if loss.needs_samples else None)
        got = tape.gradient(value, [r, f], unconnected_gradients="zero")
        step = 1e-5
        for side in (0, 1):
            expected = []
            for i in range(len(real)):
                nudge = step * np.eye(len(real))[i]
                up = (real + nudge, fake) if side == 0 else (real, fake + nudge)
                down = (real - nudge, fake) if side == 0 else (real, fake - nudge)
                difference = (
                    reference(name, *up, samples)[player] - reference(name, *down, samples)[player]
                )
                expected.append(difference / (2 * step))
            np.testing.assert_allclose(got[side], expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("name", losses.names())
def test_any_float_goes_in_and_a_float32_scalar_comes_out(name, dtype):
    loss = build(name)
    real, fake, samples = draw(3)
    low = ops.cast(real, dtype), ops.cast(fake, dtype)
    rounded = [ops.convert_to_numpy(ops.cast(logits, "float64")) for logits in low]
    arguments = {"samples": samples} if loss.needs_samples else {}
    for objective, expected in zip(
        (loss.discriminator, loss.generator), reference(name, *rounded, samples), strict=True
    ):
        value = objective(*low, **arguments)
        assert value.dtype == tf.float32
        assert value.shape == ()
        # The rounding of the logits is the only rounding to half precision.
        assert float(value) == pytest.approx(expected, rel=2e-6)


@pytest.mark.parametrize("name", losses.names())
def test_generator_reads_real_logits_exactly_where_it_says_so(name):
    loss = build(name)
    real, fake, _ = draw(0)
    if loss.generator_needs_real:
        assert float(loss.generator(real, fake)) != float(loss.generator(real**3, fake))
    else:
        assert float(loss.generator(real, fake)) == float(loss.generator(None, fake))


def test_tfgan_agrees():
    theirs = tfgan.losses()
    real, fake, _ = draw(11)
    r, f = tf.constant(real, tf.float32), tf.constant(fake, tf.float32)
    # TF-GAN smooths the real label to .875 unless told otherwise.
    plain = {"label_smoothing": 0.0}
    pairs = {
        "non_saturating": (
            theirs.modified_discriminator_loss(r, f, **plain),
            theirs.modified_generator_loss(f, **plain),
        ),
        "wasserstein": (
            theirs.wasserstein_discriminator_loss(r, f),
            theirs.wasserstein_generator_loss(f),
        ),
        "hinge": (
            theirs.wasserstein_hinge_discriminator_loss(r, f),
            theirs.wasserstein_hinge_generator_loss(f),
        ),
        "least_squares": (
            theirs.least_squares_discriminator_loss(r, f),
            theirs.least_squares_generator_loss(f),
        ),
        # TF-GAN leaves the paper's 1/2 out, and means the average loss by "relativistic".
        "relativistic_average": (
            theirs.relativistic_discriminator_loss(r, f) / 2,
            theirs.relativistic_generator_loss(r, f) / 2,
        ),
    }
    for name, expected in pairs.items():
        loss = losses.get(name)
        got = loss.discriminator(r, f), loss.generator(r, f)
        np.testing.assert_allclose(got, expected, rtol=1e-6, err_msg=name)
    # Its minimax generator loss is minus the discriminator's, constant on the real side.
    constant = np.logaddexp(0, -1)
    np.testing.assert_allclose(
        losses.Saturating().generator(None, f),
        theirs.minimax_generator_loss(f, **plain) + constant,
        rtol=1e-5,
    )
    coded = losses.LeastSquares(real=1, fake=-1, target=0)
    np.testing.assert_allclose(
        [coded.discriminator(r, f), coded.generator(None, f)],
        [
            theirs.least_squares_discriminator_loss(r, f, real_label=1, fake_label=-1),
            theirs.least_squares_generator_loss(f, real_label=0),
        ],
        rtol=1e-6,
    )


# --- alpha ---------------------------------------------------------------------------------------


@functools.cache
def fifty_digits(alpha):
    """Value, slope and bend of l1 at LOGITS, along the tangent past exponent 80; the exponents."""
    rows = []
    with mpmath.workdps(50):
        k = mpmath.mpf(1) if alpha == math.inf else (mpmath.mpf(alpha) - 1) / mpmath.mpf(alpha)
        for s in map(mpmath.mpf, map(float, LOGITS)):
            log_d = -mpmath.log1p(mpmath.exp(-s))
            d, complement = 1 / (1 + mpmath.exp(-s)), 1 / (1 + mpmath.exp(s))
            exponent = k * log_d
            capped = min(exponent, mpmath.mpf(80))
            size = mpmath.exp(capped)
            value = (mpmath.expm1(capped) + size * (exponent - capped)) / -k if k else -log_d
            bend = d - (k if exponent < 80 else 0) * complement
            rows.append([value, -size * complement, size * complement * bend, exponent])
        return np.array([[float(entry) for entry in row] for row in rows]).T


def with_derivatives(objective, logits):
    with tf.GradientTape() as outer:
        outer.watch(logits)
        with tf.GradientTape() as inner:
            inner.watch(logits)
            value = objective(logits)
        slope = inner.gradient(value, logits)
    return value, slope, outer.gradient(slope, logits)


@pytest.mark.parametrize("xla", [False, True])
@pytest.mark.parametrize("alpha", ALPHAS)
def test_alpha_in_float32_is_the_fifty_digit_one(alpha, xla):
    elementwise = functools.partial(alpha_loss, alpha=alpha)
    run = tf.function(functools.partial(with_derivatives, elementwise), jit_compile=xla)
    value, slope, bend = (part.numpy().astype("float64") for part in run(tf.constant(LOGITS)))
    exact_value, exact_slope, exact_bend, exponent = fifty_digits(alpha)
    # Relative, though the values span 70 powers of ten: an exponent near 80 is itself right to
    # 4e-6 in float32.
    np.testing.assert_allclose(value, exact_value, rtol=1e-5)
    np.testing.assert_allclose(slope, exact_slope, rtol=1e-5)
    # The bend is a difference, right relative to its terms; at the joint it jumps.
    smooth = np.abs(exponent - 80) > 1e-3
    error = np.abs(bend - exact_bend) / (np.abs(exact_slope) + np.abs(exact_bend))
    assert error[smooth].max() < 1e-5


@pytest.mark.parametrize("saturating", [False, True])
@pytest.mark.parametrize(("alpha_d", "alpha_g"), [(0.2, 1.0), (0.6, 0.9), (1.2, 1.2), (2.0, 1.5)])
def test_alpha_objectives_put_each_alpha_at_its_player(alpha_d, alpha_g, saturating):
    def l1(alpha, logits):
        return np.interp(logits, LOGITS, fifty_digits(alpha)[0])

    real, fake = np.array([0.5, -3.0, 70.0]), np.array([-4.0, 2.5, 0.0])
    assert np.isin([*real, *fake], LOGITS).all()  # so nothing is interpolated
    loss = losses.Alpha(alpha_d, alpha_g, saturating)
    expected_d = l1(alpha_d, real).mean() + l1(alpha_d, -fake).mean()
    expected_g = -l1(alpha_g, -fake).mean() if saturating else l1(alpha_g, fake).mean()
    assert float(loss.discriminator(real, fake)) == pytest.approx(expected_d, rel=1e-5)
    assert float(loss.generator(None, fake)) == pytest.approx(expected_g, rel=1e-5)


def test_alpha_at_logit_zero_has_the_known_values():
    known = {0.2: 3.75, 0.5: 1, 0.9: 0.721, 1: 0.6931, 1.2: 0.655, 2: 0.586, math.inf: 0.5}
    for alpha, value in known.items():
        assert float(alpha_loss(ops.zeros(1), alpha)[0]) == pytest.approx(value, abs=6e-4)


def test_alpha_one_is_the_usual_gan():
    real, fake, _ = draw(5)
    for saturating, usual in ((False, losses.NonSaturating()), (True, losses.Saturating())):
        loss = losses.Alpha(1, 1, saturating)
        np.testing.assert_allclose(
            [loss.discriminator(real, fake), loss.generator(None, fake)],
            [usual.discriminator(real, fake), usual.generator(None, fake)],
            rtol=1e-6,
        )


@pytest.mark.parametrize(
    ("alpha_d", "alpha_g", "saturating", "valid"),
    [
        (1, 1, False, True),
        (0.5, 1.2, False, True),
        (3, 1.6, False, False),  # 4.6 < 4.8
        (2, 2, False, False),  # on the edge, which does not belong
        (math.inf, 0.9, False, True),
        (math.inf, 1, False, False),
        (0.3, 1, True, True),
        (0.5, 1 / 3, True, False),
        (1, 0.51, True, True),
        (2, 1, True, False),
        (2, 1.01, True, True),
        (2, 2.01, True, False),
        (math.inf, math.inf, True, True),
    ],
)
def test_alpha_warns_outside_its_valid_region(alpha_d, alpha_g, saturating, valid):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        losses.Alpha(alpha_d, alpha_g, saturating)
    assert [f"alpha_d={float(alpha_d)}" in str(entry.message) for entry in caught] == (
        [] if valid else [True]
    )


@given(st.floats(0.01, 100), st.lists(st.floats(-1000, 1000, width=32), min_size=1, max_size=8))
@settings(max_examples=60, deadline=None)
def test_alpha_is_finite_and_falls_everywhere(alpha, logits):
    value, slope, _ = with_derivatives(
        functools.partial(alpha_loss, alpha=alpha), tf.constant(logits, tf.float32)
    )
    assert np.isfinite(value).all()
    assert np.isfinite(slope).all()
    assert (slope.numpy() <= 0).all()


# --- relativistic --------------------------------------------------------------------------------

RELATIVISTIC = [name for name in losses.names() if name.startswith("relativistic")]


@given(st.sampled_from([*RELATIVISTIC, "gan_qp"]), st.integers(0, 99), st.floats(-50, 50))
@settings(max_examples=60, deadline=None)
def test_a_constant_added_to_all_logits_changes_nothing(name, seed, constant):
    loss = build(name)
    real, fake, samples = draw(seed)
    for objective in (loss.discriminator, loss.generator):
        np.testing.assert_allclose(
            objective(real + constant, fake + constant, samples=samples),
            objective(real, fake, samples=samples),
            rtol=1e-4,
            atol=1e-4,
        )


@pytest.mark.parametrize("name", RELATIVISTIC)
def test_players_are_mirror_images(name):
    loss = build(name)
    real, fake, _ = draw(2)
    assert float(loss.generator(real, fake)) == float(loss.discriminator(fake, real))


@pytest.mark.parametrize("player", ["discriminator", "generator"])
@pytest.mark.parametrize("size", [4, 64])
@pytest.mark.parametrize("name", RELATIVISTIC)
def test_halves_with_global_means_equal_the_whole_batch(name, size, player):
    objective = getattr(build(name), player)
    real, fake, _ = draw(4, n=size)
    real += np.linspace(0, 3, size)  # the halves differ
    half = size // 2

    def whole(logits):
        return objective(logits[0], logits[1])

    def halved(logits):
        halves = [slice(half), slice(half, size)]
        # A half is known by its own mean; what batch_mean answers is the mean of the whole row.
        means = {float(ops.mean(row[part])): ops.mean(row) for row in logits for part in halves}

        def whole_mean(row):
            return means[float(ops.mean(row))]

        values = [
            objective(logits[0][part], logits[1][part], batch_mean=whole_mean) for part in halves
        ]
        return (values[0] + values[1]) / 2

    logits = tf.constant([real, fake], tf.float32)
    results = []
    for function in (whole, halved):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            value = function(logits)
        results.append((value, tape.gradient(value, logits)))
    for got, expected in zip(*results, strict=True):
        np.testing.assert_allclose(got, expected, rtol=2e-6, atol=1e-7)


# --- gan_qp --------------------------------------------------------------------------------------


def test_gan_qp_with_the_l2_distance():
    real, fake, samples = draw(1)
    d = real - fake
    n = 3 * np.sqrt(((samples[0] - samples[1]) ** 2).mean((1, 2, 3)))
    got = losses.GANQP("l2", weight=3).discriminator(real, fake, samples=samples)
    assert float(got) == pytest.approx(np.mean(d**2 / (2 * n) - d), rel=2e-6)


@pytest.mark.parametrize("distance", ["l1", "l2"])
def test_gan_qp_of_equal_samples_is_finite(distance):
    points = np.ones((2, 2), "float32")
    got = losses.GANQP(distance).discriminator([1.0, 2.0], [1.0, 2.0], samples=(points, points))
    assert float(got) == 0


# --- by name -------------------------------------------------------------------------------------


def test_get_builds_by_name_and_passes_losses_through():
    assert losses.names()[0] == "non_saturating"
    assert repr(losses.get("hinge")) == "Hinge()"
    loss = losses.get("alpha", alpha_d="inf", alpha_g=0.9)
    assert repr(loss) == "Alpha(alpha_d=inf, alpha_g=0.9, saturating=False)"
    assert losses.get(loss) is loss
    assert losses.get("least_squares", fake=-1, target=0) == losses.LeastSquares(1, -1, 0)


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        (("hinj",), {}, ["'hinj'", "'hinge'"]),
        ((["hinge"],), {}, ["unknown loss"]),
        (("hinge",), {"margin": 1}, ["'margin'", "'hinge'", "none"]),
        (("alpha",), {"alpha": 1}, ["'alpha'", "alpha_d, alpha_g, saturating"]),
        (("alpha",), {"alpha_d": 1}, ["needs alpha_g"]),
        (("alpha",), {"alpha_d": 0, "alpha_g": 1}, ["Alpha alpha_d 0:", "(0, inf]"]),
        (("alpha",), {"alpha_d": 1, "alpha_g": math.nan}, ["Alpha alpha_g nan", "(0, inf]"]),
        (("alpha",), {"alpha_d": "many", "alpha_g": 1}, ["alpha_d 'many'", "number"]),
        (("alpha",), {"alpha_d": 1, "alpha_g": 1, "saturating": "no"}, ["saturating='no'"]),
        (("least_squares",), {"fake": 1}, ["both 1.0"]),
        (("least_squares",), {"target": math.inf}, ["LeastSquares target inf"]),
        (("gan_qp",), {"distance": "l3"}, ["'l3'", "l1, l2"]),
        (("gan_qp",), {"weight": 0}, ["GANQP weight 0", "(0, inf)"]),
        ((losses.Hinge(),), {"margin": 1}, ["margin", "Hinge()"]),
    ],
)
def test_wrong_input_is_answered_in_one_line(arguments, options, words):
    with pytest.raises(UsageError) as caught:
        losses.get(*arguments, **options)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message


def test_gan_qp_without_samples_says_what_it_needs():
    with pytest.raises(UsageError, match="real_images, fake_images"):
        losses.GANQP().discriminator([0.0], [0.0])


# --- any relativistic pair -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pair", "sibling"),
    [
        ("logistic", "relativistic_average"),
        ("least_squares", "relativistic_average_least_squares"),
        ("hinge", "relativistic_average_hinge"),
    ],
)
def test_named_pairs_on_average_are_twice_the_published_losses(pair, sibling):
    real, fake, _ = draw(0)
    found, published = losses.RelativisticF(pair, average=True), losses.get(sibling)
    for player in ("discriminator", "generator"):
        value = float(getattr(found, player)(real, fake))
        assert value == pytest.approx(2 * float(getattr(published, player)(real, fake)), rel=1e-6)


@pytest.mark.parametrize("average", [False, True])
def test_four_functions_of_ones_own(average):
    """Equations 11 and 12, and 15 and 16: the alpha-losses as a relativistic GAN, saturating."""
    pair = (lambda t: alpha_loss(t, 0.5), lambda t: alpha_loss(-t, 0.5))
    saturating = (lambda t: -alpha_loss(t, 2.0), lambda t: -alpha_loss(-t, 2.0))
    loss = losses.RelativisticF(pair, saturating, average=average)
    assert loss.needs_whole_batch is average
    r, f, _ = draw(1)
    r_, f_ = (r.mean(), f.mean()) if average else (r, f)

    def l1(s, alpha):
        k = (alpha - 1) / alpha
        return (1 - (1 + np.exp(-s)) ** -k) / k

    expected = np.mean(l1(r - f_, 0.5)) + np.mean(l1(-(f - r_), 0.5))
    assert float(loss.discriminator(r, f)) == pytest.approx(expected, rel=1e-5)
    expected = -np.mean(l1(r - f_, 2.0)) - np.mean(l1(-(f - r_), 2.0))
    assert float(loss.generator(r, f)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("pair", ["log", 3, (len,), ("a", "b")])
def test_a_wrong_pair_is_one_line(pair):
    with pytest.raises(UsageError, match="pair of relativistic_f") as error:
        losses.RelativisticF(pair)
    assert "\n" not in str(error.value)
