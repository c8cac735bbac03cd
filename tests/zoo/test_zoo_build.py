"""Every network: counts by hand, shapes, ranges, gradients, saving, initial sizes, bad input."""

import itertools
import math

import keras
import numpy as np
import pytest
import tensorflow as tf

import zoo
from tfgan_ema.errors import UsageError
from zoo import initial
from zoo.stylegan2 import truncated

# Narrow builds for tests: width, image size
NARROW = {
    "biggan_128": (1 / 24, 32),
    "mlp": (1 / 10, None),
    "r3gan_256": (1 / 48, 64),
    "r3gan_imagenet_32": (1 / 48, 16),
    "r3gan_imagenet_64": (1 / 48, 16),
    "sngan_128": (1 / 32, 32),
    "stylegan2_32": (1 / 32, 16),
    "stylegan2_256": (1 / 32, 32),
    "wgan_gp_128": (1 / 32, 32),
}
# One of each family, for what takes long
FAMILIES = (
    "dcgan_32", "sndcgan_32", "conventional_32", "sngan_32", "biggan_32", "stylegan2_32",
    "r3gan_32",
)  # fmt: skip
rest = pytest.mark.slow


def some(*names):
    """Every network, of which the named ones are tested by default."""
    return [name if name in names else pytest.param(name, marks=rest) for name in zoo.names()]


ALL = some(*FAMILIES, "mlp")
IMAGES = [name for name in some(*FAMILIES) if "mlp" not in str(name)]
FEW = some("dcgan_32", "stylegan2_32")  # for what compiles


def narrow(name, **options):
    keras.utils.set_random_seed(1)
    width, size = NARROW.get(name, (1 / 16, None))
    classes = zoo.entry(name).num_classes and 4
    if name == "sngan_32":
        classes = 4  # the conditional form is the larger one
    options = {"num_classes": classes, "image_size": size, "width": width} | options
    return zoo.build(name, **options)


def inputs_of(model, rows=4, seed=0):
    rng = np.random.default_rng(seed)
    first = rng.normal(size=(rows, *model.inputs[0].shape[1:])).astype("float32")
    if len(model.inputs) == 1:
        return first
    return [first, np.arange(rows, dtype="int32") % 4]


def trained(networks):
    """The trainable parameters of each."""
    return tuple(sum(math.prod(w.shape) for w in net.trainable_weights) for net in networks)


# Parameters by hand, from the papers' tables and not from the models


def conv(i, o, k, bias=True):
    return i * o * k * k + o * bias


def dense(i, o, bias=True):
    return i * o + o * bias


def bn(c):
    return 2 * c


def resnet_g(grid, start, blocks):
    total = dense(128, grid * grid * start)
    for i, o in zip((start, *blocks), blocks, strict=False):
        total += bn(i) + conv(i, o, 3) + bn(o) + conv(o, o, 3) + conv(i, o, 1)
    return total + bn(blocks[-1]) + conv(blocks[-1], 3, 3)


def resnet_d(blocks, halvings):
    first = blocks[0]
    total = conv(3, first, 3) + conv(first, first, 3) + conv(3, first, 1)
    for n, (i, o) in enumerate(itertools.pairwise(blocks), 1):
        total += conv(i, i, 3) + conv(i, o, 3)
        total += conv(i, o, 1) if i != o or n < halvings else 0
    return total + dense(blocks[-1], 1)


def dcgan(grid, latent, up, down, k, bias):
    g = dense(latent, grid * grid * up[0], False) + sum(map(bn, up)) + conv(up[-1], 3, k, bias)
    g += sum(conv(i, o, k, False) for i, o in itertools.pairwise(up))
    d = conv(3, down[0], k, bias) + sum(map(bn, down[1:])) + dense(grid**2 * down[-1], 1, bias)
    return g, d + sum(conv(i, o, k, False) for i, o in itertools.pairwise(down))


def sndcgan(norm="spectral"):
    normed = norm != "none"
    g = dense(128, 16 * 512, not normed) + bn(512) * normed + conv(64, 3, 3)
    for i, o in ((512, 256), (256, 128), (128, 64)):
        g += conv(i, o, 4, not normed) + bn(o) * normed
    d = conv(3, 64, 3) + conv(64, 128, 4) + conv(128, 128, 3) + conv(128, 256, 4)
    d += conv(256, 256, 3) + conv(256, 512, 4) + conv(512, 512, 3) + dense(16 * 512, 1)
    if norm == "batch":  # a gain and an offset in the place of a bias, but for the last
        d += 64 + 128 + 128 + 256 + 256 + 512
    return g, d


def conventional(extra):
    g = dense(512, 16 * 512, False) + bn(512) + conv(512, 512, 3, False) + bn(512)
    stages = [(512, 512)] * extra + [(512, 256), (256, 128), (128, 64)]
    for i, o in stages:
        g += conv(i, o, 3, False) + bn(o) + conv(o, o, 3, False) + bn(o)
    g += conv(64, 3, 1)
    d = conv(3, 64, 1)
    for i, o in [(64, 128), (128, 256), (256, 512)] + [(512, 512)] * extra:
        d += conv(i, i, 3) + conv(i, o, 3)
    return g, d + conv(512, 512, 3) + conv(512, 512, 4) + dense(512, 1)


def attention(c):
    return conv(c, c // 8, 1, False) * 2 + conv(c, c // 2, 1, False) + conv(c // 2, c, 1, False) + 1


def biggan_128():
    ch, y = 96, 128 + 20
    g = 1000 * 128 + dense(20, 16 * 16 * ch) + bn(ch) + conv(ch, 3, 3) + attention(2 * ch)
    for i, o in ((16, 16), (16, 8), (8, 4), (4, 2), (2, 1)):
        i, o = i * ch, o * ch
        g += conv(i, o, 3) + conv(o, o, 3) + conv(i, o, 1) + 2 * y * (i + o)
    d = attention(ch) + dense(16 * ch, 1) + 1000 * 16 * ch
    for i, o in ((3 / ch, 1), (1, 2), (2, 4), (4, 8), (8, 16), (16, 16)):
        i, o = round(i * ch), o * ch
        d += conv(i, o, 3) + conv(o, o, 3) + (conv(i, o, 1) if i != o else 0)
    return g, d


def biggan_32():
    g = dense(128, 16 * 256) + bn(256) + conv(256, 3, 3)
    g += 3 * (2 * conv(256, 256, 3) + conv(256, 256, 1) + 2 * 10 * 2 * 256)
    d = conv(3, 256, 3) + conv(256, 256, 3) + conv(3, 256, 1)
    d += 3 * 2 * conv(256, 256, 3) + conv(256, 256, 1) + dense(256, 1) + 10 * 256
    return g, d


def stylegan2(resolution, base, depth, residual):
    width = {r: min(base // r, 512) for r in (2**i for i in range(2, 9)) if r <= resolution}
    g = depth * dense(512, 512) + 16 * 512

    def styled(i, o):  # style, kernel, bias, noise strength
        return dense(512, i) + conv(i, o, 3, False) + o + 1

    for r, c in width.items():
        g += styled(c, c) + (styled(width[r // 2], c) if r > 4 else 0)
        g += dense(512, c) + conv(c, 3, 1)
    d = conv(3, width[resolution], 1) + conv(513, 512, 3) + dense(16 * 512, 512) + dense(512, 1)
    for r in list(width)[1:]:
        i, o = width[r], width[r // 2]
        d += conv(i, i, 3) + conv(i, o, 3) + (conv(i, o, 1, False) if residual else 0)
    return g, d


def r3gan(group, *widths):
    """``widths`` from 4x4 on: two bottlenecks each, and what joins them."""
    blocks = 0
    for width in widths:
        hidden = 2 * width
        blocks += 2 * (dense(width, hidden) + 9 * group * hidden + hidden + hidden * width)
    joints = sum(i * o for i, o in itertools.pairwise(widths) if i != o) + 3 * widths[-1]
    basis = 16 * widths[0]
    return 64 * widths[0] + basis + blocks + joints, widths[0] + basis + blocks + joints


def perceptron(*sizes):
    return sum(dense(i, o) for i, o in itertools.pairwise(sizes))


WIDE = (64, 128, 256, 512, 1024)
SNGAN = {
    32: (resnet_g(4, 256, (256,) * 3), resnet_d((128,) * 4, 2)),
    48: (resnet_g(6, 512, (256, 128, 64)), resnet_d(WIDE, 4)),
    64: (resnet_g(4, 1024, (512, 256, 128, 64)), resnet_d(WIDE, 5)),
    128: (resnet_g(4, 1024, (1024, 512, 256, 128, 64)), resnet_d((*WIDE, 1024), 5)),
}
PARAMETERS = {
    "averaging_resnet_32": (resnet_g(4, 128, (128,) * 3), resnet_d((128,) * 4, 2)),
    "averaging_resnet_sn_32": (resnet_g(4, 256, (256,) * 3), resnet_d((256,) * 4, 2)),
    "biggan_32": biggan_32(),
    "biggan_128": biggan_128(),
    "conventional_32": conventional(0),
    "conventional_64": conventional(1),
    "dcgan_32": dcgan(4, 128, (256, 128, 64), (64, 128, 256), 5, True),
    "dcgan_64": dcgan(4, 128, (512, 256, 128, 64), (64, 128, 256, 512), 5, True),
    "dcgan_alpha_64": dcgan(4, 100, (512, 256, 128, 64), (64, 128, 256, 512), 4, False),
    "dcgan_alpha_112": dcgan(7, 100, (512, 256, 128, 64), (64, 128, 256, 512), 4, False),
    "mlp": (perceptron(2, *[400] * 4, 2), perceptron(2, *[200] * 4, 1)),
    "r3gan_32": r3gan(16, 768, 768, 768, 768),
    "r3gan_64": r3gan(16, 768, 768, 768, 768, 384),
    "r3gan_256": r3gan(16, 768, 768, 768, 768, 384, 192, 96),
    "r3gan_imagenet_32": r3gan(32, *[1536] * 4),
    "r3gan_imagenet_64": r3gan(32, *[1536] * 5),
    "sndcgan_32": sndcgan(),
    "stylegan2_32": stylegan2(32, 32768, 2, False),
    "stylegan2_256": stylegan2(256, 16384, 8, True),
    **{f"sngan_{size}": counts for size, counts in SNGAN.items()},
    **{f"wgan_gp_{size}": counts for size, counts in SNGAN.items()},
}


def test_published_counts():
    assert PARAMETERS["sngan_32"] == (4_276_739, 1_053_825)
    # PyTorch's DCGAN example
    assert PARAMETERS["dcgan_alpha_64"] == (3_576_704, 2_765_568)
    assert PARAMETERS["biggan_128"] == (70_433_988, 87_982_370)


def test_the_catalogue_states_them():
    assert {name: zoo.entry(name).parameters for name in zoo.names()} == PARAMETERS


@pytest.mark.parametrize(
    "name", some("sngan_32", "dcgan_alpha_64", "stylegan2_32", "biggan_32", "mlp", "r3gan_32")
)
def test_full_size_parameters(name, monkeypatch):
    # Orthogonal kernels of this size take half a minute, and counting needs no values.
    monkeypatch.setattr(
        keras.initializers.Orthogonal,
        "__call__",
        lambda self, shape, dtype=None: keras.ops.ones(shape, dtype or "float32"),
    )
    networks = zoo.build(name, num_classes=zoo.entry(name).num_classes)
    assert trained(networks) == PARAMETERS[name]


@pytest.mark.parametrize("norm", ["batch", "none"])
def test_other_normalisations_and_activations_of_sndcgan(norm):
    networks = zoo.build("sndcgan_32", norm=norm, tanh=True)
    assert trained(networks) == sndcgan(norm)
    for network, activations in zip(networks, (4, 7), strict=True):
        kinds = [type(operation).__name__ for operation in network.operations]
        assert kinds.count("Tanh") == activations
        assert not {"LeakyReLU", "Relu"} & set(kinds)


# Behaviour


@pytest.mark.parametrize("name", ALL)
def test_shapes_ranges_and_saving(name, tmp_path):
    generator, discriminator = narrow(name)
    z = inputs_of(generator)
    images = np.asarray(generator(z))
    size = (NARROW[name][1] if name in NARROW else None) or zoo.entry(name).image_size
    assert images.shape == ((4, 2) if size is None else (4, size, size, 3))
    assert images.dtype == np.float32
    assert 0 < np.std(images, axis=0).max() < np.inf
    family = zoo.entry(name).family
    if family not in ("mlp", "stylegan2", "conventional", "r3gan") and "averaging" not in name:
        assert np.abs(images).max() <= 1
    labels = z[1:] if isinstance(z, list) else []
    logits = np.asarray(discriminator([images, *labels] if labels else images))
    assert logits.shape == (4, 1)
    assert logits.dtype == np.float32
    assert np.isfinite(logits).all()
    paths = [weight.path for weight in generator.weights]
    assert len(set(paths)) == len(paths)
    for model, inputs, expected in (
        (generator, z, images),
        (discriminator, [images, *labels] if labels else images, logits),
    ):
        model.save(tmp_path / "model.keras")
        loaded = keras.models.load_model(tmp_path / "model.keras")
        np.testing.assert_array_equal(np.asarray(loaded(inputs)), expected)


@pytest.mark.parametrize("name", IMAGES)
def test_grey_images_and_static_shapes(name):
    generator, discriminator = narrow(name, channels=1)
    assert generator.output_shape[-1] == 1
    models = [*(x for x in generator.layers if hasattr(x, "layers")), generator, discriminator]
    for model in models:
        for operation in model.operations:
            for tensor in keras.tree.flatten(operation.output):
                assert None not in tensor.shape[1:], operation.name


# Weights that have no gradient at the start, by construction: everything behind a gain of 0.
BEHIND_ZERO = ("attention_queries", "attention_keys", "attention_values", "attention_out")


@pytest.mark.parametrize("name", some(*FAMILIES, "biggan_128", "mlp"))
def test_gradient_reaches_every_weight(name):
    generator, discriminator = narrow(name)
    rng = np.random.default_rng(0)
    for model in (generator, discriminator):
        inputs = inputs_of(model, rows=8)
        for weight in model.trainable_weights:
            if weight.path.endswith("_conv3/kernel"):  # R3GAN's start at 0, and stop gradients
                weight.assign(rng.normal(0, 0.1, weight.shape))
        with tf.GradientTape() as tape:
            outputs = model(inputs, training=False)
            loss = tf.reduce_sum(outputs * rng.normal(size=outputs.shape).astype("float32"))
        variables = [weight.value for weight in model.trainable_weights]
        for weight, gradient in zip(
            model.trainable_weights, tape.gradient(loss, variables), strict=True
        ):
            if weight.path.split("/")[0] in BEHIND_ZERO:
                continue
            gradient = tf.convert_to_tensor(gradient)
            assert np.isfinite(gradient).all(), weight.path
            assert np.abs(gradient).max() > 0, weight.path


def test_batch_statistics_silence_only_biases():
    """In training a constant in front of a batch normalisation has no effect, and nothing else."""
    generator, _ = narrow("sngan_32", width=1 / 8, num_classes=None)
    inputs = inputs_of(generator, rows=16)
    weights = np.random.default_rng(0).normal(size=(16, *generator.output_shape[1:]))
    with tf.GradientTape() as tape:
        images = generator(inputs, training=True)
        loss = tf.reduce_sum(images * weights.astype("float32"))
    gradients = tape.gradient(loss, [weight.value for weight in generator.trainable_weights])
    silent = {
        weight.path
        for weight, gradient in zip(generator.trainable_weights, gradients, strict=True)
        if np.abs(gradient).max() < 1e-3
    }
    parts = ("conv1", "conv2", "shortcut")
    assert silent == {f"block{i}_{part}/bias" for i in range(3) for part in parts}


@pytest.mark.parametrize("name", FEW)
def test_mixed_precision(name):
    keras.config.set_dtype_policy("mixed_bfloat16")
    generator, discriminator = narrow(name)
    assert {weight.dtype for weight in generator.weights + discriminator.weights} == {"float32"}
    z = inputs_of(generator)
    rough = np.asarray(generator(z))
    assert rough.dtype == np.float32
    labels = z[1:] if isinstance(z, list) else []
    logits = discriminator([rough, *labels] if labels else rough)
    assert logits.dtype == tf.float32
    assert np.isfinite(logits).all()
    keras.config.set_dtype_policy("float32")
    exact, _ = narrow(name)
    exact.set_weights(generator.get_weights())
    exact = np.asarray(exact(z))
    assert 0 < np.abs(rough - exact).mean() < 0.03 * max(1, np.abs(exact).mean())


def step_of(generator, discriminator, rate=1e-3):
    """A plain step of both players, as simple as can be."""
    from tfgan_ema import layers as tl

    def step(z, images, labels):
        z, images = ([x, labels] if labels is not None else x for x in (z, images))
        tl.power_iterate(discriminator)
        with tf.GradientTape(persistent=True) as tape:
            fake = generator(z, training=True)
            fake = [fake, labels] if labels is not None else fake
            real = discriminator(images, training=True)
            false = discriminator(fake, training=True)
            d_loss = tf.reduce_mean(tf.nn.softplus(-real) + tf.nn.softplus(false))
            g_loss = tf.reduce_mean(tf.nn.softplus(-false))
        for loss, model in ((d_loss, discriminator), (g_loss, generator)):
            gradients = tape.gradient(loss, [w.value for w in model.trainable_weights])
            context = tf.distribute.get_replica_context()
            gradients = context.all_reduce(
                tf.distribute.ReduceOp.MEAN, [tf.convert_to_tensor(g) for g in gradients]
            )
            for weight, gradient in zip(model.trainable_weights, gradients, strict=True):
                weight.assign_sub(rate * gradient)
        return d_loss

    return step


def batch(generator, discriminator, rows, seed):
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(rows, *generator.inputs[0].shape[1:])).astype("float32")
    images = rng.normal(0, 0.5, (rows, *discriminator.inputs[0].shape[1:])).astype("float32")
    labels = np.arange(rows, dtype="int32") % 4 if len(generator.inputs) > 1 else None
    return z, images, labels


# The group of minibatch std must fit the share of a replica.
GROUP = {"stylegan2_32": {"std_group": 2}, "stylegan2_256": {"std_group": 2}}


@pytest.mark.slow
@pytest.mark.parametrize("name", FEW)
def test_two_replicas_equal_one(name, two_replicas):
    options = GROUP.get(name, {})
    generator, discriminator = narrow(name, **options)
    with two_replicas.scope():
        twins = narrow(name, **options)
    for twin, model in zip(twins, (generator, discriminator), strict=True):
        twin.set_weights(model.get_weights())
    single = tf.function(step_of(generator, discriminator))
    shared_step = step_of(*twins)

    @tf.function
    def shared(*parts):
        return two_replicas.run(shared_step, args=parts)

    for seed in range(2):
        whole = batch(generator, discriminator, 8, seed)
        single(*whole)
        halves = [
            None
            if part is None
            else two_replicas.experimental_distribute_values_from_function(
                lambda context, part=part: tf.constant(
                    np.split(part, 2)[context.replica_id_in_sync_group]
                )
            )
            for part in whole
        ]
        shared(*halves)
    for twin, model in zip(twins, (generator, discriminator), strict=True):
        for a, b in zip(twin.weights, model.weights, strict=True):
            np.testing.assert_allclose(
                np.asarray(a), np.asarray(b), atol=2e-4, rtol=2e-4, err_msg=b.path
            )


@pytest.mark.parametrize("name", some("dcgan_32"))
def test_a_step_compiles_under_xla(name):
    generator, discriminator = narrow(name)
    start = [model.get_weights() for model in (generator, discriminator)]
    parts = batch(generator, discriminator, 8, 0)
    results = []
    for jit in (False, True):
        for model, weights in zip((generator, discriminator), start, strict=True):
            model.set_weights(weights)
        loss = tf.function(step_of(generator, discriminator), jit_compile=jit)(*parts)
        results.append([np.asarray(loss), *generator.get_weights(), *discriminator.get_weights()])
    for plain, compiled in zip(*results, strict=True):
        np.testing.assert_allclose(compiled, plain, atol=2e-4, rtol=2e-3)


@pytest.mark.parametrize("name", FEW)
def test_exports(name, tmp_path):
    generator, _ = narrow(name)
    z = inputs_of(generator)
    parts = z if isinstance(z, list) else [z]
    archive = keras.export.ExportArchive()
    archive.track(generator)
    signature = [tf.TensorSpec((None, *part.shape[1:]), part.dtype) for part in parts]
    serve = generator if len(parts) == 1 else lambda z, label: generator([z, label])
    archive.add_endpoint("serve", serve, input_signature=signature)
    archive.write_out(str(tmp_path), verbose=False)
    loaded = tf.saved_model.load(str(tmp_path))
    served = loaded.serve(*[tf.constant(part) for part in parts])
    np.testing.assert_allclose(served, np.asarray(generator(z)), atol=1e-5)


# Initial sizes


def near(values, expected, factor):
    values, expected = np.array(values), np.array(expected)
    assert values.shape == expected.shape
    assert (np.abs(np.log(values / expected)) < math.log(factor)).all(), (values, expected)


def test_initial_sizes_of_residual_generators():
    """Each block adds variance 1 to its input: Glorot with gain sqrt 2 behind a normalised ReLU."""
    sizes = list(initial.measure("sngan_32", 0)["generator"].values())
    dense = 2 * 128 / (128 + 4096)  # Glorot on latents of variance 1
    near(sizes[:4], [math.sqrt(dense + blocks) for blocks in range(4)], 1.15)


def test_initial_sizes_of_dcgan():
    """N(0, .02) kernels behind a normalised ReLU: variance = 1/2 * channels * taps * .0004."""
    sizes = list(initial.measure("dcgan_64", 0)["generator"].values())
    taps = 25 / 4
    predicted = [math.sqrt(0.5 * c * taps * 0.0004) for c in (512, 256, 128, 64)]
    near(sizes, [0.02 * math.sqrt(128), *predicted], 1.3)


def test_initial_sizes_of_stylegan2():
    """Demodulation keeps activations near 1, with no drift over the layers.

    A little below, as the filter of the resampling removes part of white features' variance.
    """
    result = initial.measure("stylegan2_32", 0, rows=8, width=0.25, std_group=8)
    synthesis = [v for k, v in result["generator"].items() if k.endswith("_noise")]
    assert len(synthesis) == 7
    near(synthesis, [0.7] * 7, 1.6)
    near(synthesis[1:], [np.mean(synthesis[1:])] * 6, 1.15)


@pytest.mark.parametrize("name", ["sngan_32", "sndcgan_32", "biggan_32", "conventional_32"])
def test_normalised_discriminators_do_not_expand(name):
    """Spectral norms of 1: no convolution of stride 1 makes a signal larger than sqrt(taps)."""
    classes = zoo.entry(name).num_classes
    sizes = initial.measure(name, 0, rows=8, width=0.25, num_classes=classes)["discriminator"]
    stages = list(sizes.values())[:-1]
    assert all(b < 1.5 * a for a, b in itertools.pairwise(stages))
    assert min(stages) > 1e-5


# Styles


def test_the_mean_style_follows_training_and_truncates():
    generator, _ = zoo.build("stylegan2_32", image_size=8, width=1 / 32)
    z = inputs_of(generator, rows=64)
    tracker = generator.get_layer("mapping").get_layer("style_mean")
    styles = np.asarray(generator.get_layer("mapping")(z))[:, 0]
    generator(z, training=False)
    assert np.all(np.asarray(tracker.mean) == 0)
    for _ in range(3):
        generator(z, training=True)
    expected = (1 - 0.995**3) * styles.mean(0)
    np.testing.assert_allclose(np.asarray(tracker.mean), expected, atol=1e-6)
    pulled = truncated(generator, 0.3)
    mapped = np.asarray(pulled.get_layer("mapping")(z))[:, 0]
    np.testing.assert_allclose(mapped, expected + 0.3 * (styles - expected), atol=1e-5)
    images = np.asarray(truncated(generator, 0.0)(z))
    np.testing.assert_allclose(images, np.broadcast_to(images[:1], images.shape), atol=1e-5)
    np.testing.assert_allclose(
        np.asarray(truncated(generator, 1.0)(z)), np.asarray(generator(z)), atol=1e-6
    )


def test_style_mixing_mixes_in_training_only():
    options = {"image_size": 16, "width": 1 / 32, "style_mixing": 0.9}
    generator, _ = zoo.build("stylegan2_32", **options)
    assert generator.inputs[0].shape[-1] == 2 * 512 + 2
    z = inputs_of(generator, rows=512)
    mapping = generator.get_layer("mapping")
    plain, mixed = (np.asarray(mapping(z, training=flag)) for flag in (False, True))
    count = plain.shape[1]
    kept = np.all(plain == mixed, axis=2).sum(1)  # styles before the cut
    assert kept.min() >= 1
    shares = np.bincount(kept, minlength=count + 1)[1:] / 512
    near(shares, [0.9 / (count - 1)] * (count - 1) + [0.1], 1.5)
    swapped = z.copy()
    swapped[:, :512], swapped[:, 512:1024] = z[:, 512:1024], z[:, :512]
    other = np.asarray(mapping(swapped, training=False))
    row = int(np.flatnonzero(kept < count)[0])
    np.testing.assert_allclose(mixed[row, kept[row] :], other[row, kept[row] :], atol=1e-6)


# Bad input


def test_bad_requests_say_what_to_do():
    cases = {
        "did you mean 'sngan_32'": {"name": "sngan_33"},
        "a multiple of 8; the nearest are 24 and 32": {"name": "sngan_32", "image_size": 30},
        "a multiple of 16; the nearest are 96 and 112": {"name": "dcgan_64", "image_size": 100},
        "a power of 2": {"name": "stylegan2_32", "image_size": 48},
        "expected 1 (grey) or 3 (RGB)": {"name": "dcgan_32", "channels": 2},
        "unknown norm 'layer'": {"name": "sndcgan_32", "norm": "layer"},
        "has no class-conditional form": {"name": "dcgan_32", "num_classes": 10},
        "BigGAN is class-conditional": {"name": "biggan_32"},
        "num_classes 0: expected a whole number >= 1": {"name": "sngan_32", "num_classes": 0},
        "width 0: expected a number in (0, inf)": {"name": "sngan_32", "width": 0},
        "points, not images": {"name": "mlp", "image_size": 32},
        "did you mean 'latent_dim'": {"name": "sngan_32", "latent_dims": 3},
        "did you mean 'mimicry'": {"name": "sngan_32", "reading": "mimic"},
        "unknown noise": {"name": "stylegan2_32", "noise": "white"},
        "probability": {"name": "stylegan2_32", "style_mixing": 2},
    }
    for message, arguments in cases.items():
        with pytest.raises(UsageError) as error:
            zoo.build(**arguments)
        assert message in str(error.value)
        assert "\n" not in str(error.value)


def test_a_batch_that_no_group_fits():
    _, discriminator = zoo.build("stylegan2_32", image_size=8, width=1 / 32, std_group=4)
    with pytest.raises(UsageError, match="multiple of 4"):
        discriminator(np.zeros((6, 8, 8, 3), "float32"))
    assert discriminator(np.zeros((3, 8, 8, 3), "float32")).shape == (3, 1)
