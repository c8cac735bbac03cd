"""StyleGAN2 (arXiv 1912.04958, 2006.06676): mapping, modulated synthesis, filtered discriminator.

``stylegan2_32`` is the CIFAR-10 configuration of NVlabs/stylegan2-ada-pytorch: 512 channels,
mapping of 2 layers, a discriminator without residuals, minibatch std over 32; batch 64, R1 1e-2
every 16, Adam 2.5e-3 (0, 0.99), EMA half-life 500k images with ramp 0.05. ``stylegan2_256`` is its
paper256: mapping of 8, residual discriminator, R1 1, path length 2 every 4, style mixing 0.9,
half-life 20k. Images are not squashed: they lie roughly in [-1, 1].

The generator is a model of two: ``mapping`` (latent, label) -> styles [n, layers, d], and
``synthesis`` styles -> images. The mapping's outputs are the synthesis's inputs, the styles first;
a path-length penalty takes the gradient with respect to them.

**Randomness.** No layer draws numbers. What a sample needs beyond its latent follows it in the
latent input, which the prior N(0, I) fills: with ``noise="input"`` the noise images of every layer,
with ``style_mixing`` a second latent and two numbers that choose what to mix. So samples are
functions of their latents, the same for any number of replicas, and a generator and its average
can be given the same noise. ``noise="const"`` (default) keeps one noise image per layer with the
weights.
"""

from __future__ import annotations

import itertools
import math

import keras
from keras import layers, ops

from tfgan_ema.errors import UsageError, unknown
from tfgan_ema.layers.style import (
    ConstantInput,
    EqualConv2D,
    EqualDense,
    MeanTracker,
    MinibatchStd,
    ModulatedConv2D,
    NoiseBiasActivation,
    StyleMixing,
    normalize_second_moment,
    upsample,
)
from zoo.common import doubled_sizes, label_input, scaled, with_label

# name: channels at resolution r are min(base // r, 512); mapping's layers; residual D?;
#       rows in a group of minibatch std
TABLE = {
    "cifar": (32768, 2, False, 32),
    "paper256": (16384, 8, True, 8),
}
MAX_CHANNELS = 512
NOISES = ("const", "input", "none")
MAPPING_SPEED = 0.01  # learning-rate multiplier of the mapping
CLASS_MAPPING_LAYERS = 8  # of the discriminator's label


def build(
    *,
    image_size: int,
    channels: int,
    width: float,
    num_classes: int | None,
    table: str,
    latent_dim: int = 512,
    noise: str = "const",
    style_mixing: float = 0.0,
    std_group: int | None = None,
    mapping_layers: int | None = None,
) -> tuple[keras.Model, keras.Model]:
    """Generator: latent [n, d] -> images, unbounded; discriminator: images -> logits.

    Args:
        image_size: a power of 2, at least 8.
        channels: of the images.
        width: multiplies all channels and the size of the styles.
        num_classes: classes of the conditional form, or ``None``.
        table: a row of `TABLE`.
        latent_dim: numbers in the latent proper; the generator's input is longer with
            ``noise="input"`` or style mixing, see the module.
        noise: ``"const"``, ``"input"`` or ``"none"``.
        style_mixing: probability of mixing in training, 0.9 in paper256.
        std_group: rows in a group of minibatch std; ``None`` means the table's.
        mapping_layers: depth of the mapping; ``None`` means the table's.

    Raises:
        UsageError: an impossible size, an unknown kind of noise, a probability outside [0, 1].
    """
    resolutions = doubled_sizes(image_size)
    if noise not in NOISES:
        raise unknown("noise", noise, NOISES)
    if not 0 <= style_mixing <= 1:
        raise UsageError(f"style_mixing {style_mixing!r}: expected a probability in [0, 1].")
    base, depth, residual, group = TABLE[table]
    sizes = {r: scaled(min(base // r, MAX_CHANNELS), width) for r in resolutions}
    synthesis = _synthesis(sizes, scaled(MAX_CHANNELS, width), channels, noise)
    mapping = _mapping(synthesis, latent_dim, mapping_layers or depth, num_classes, style_mixing)
    latent = keras.Input(mapping.inputs[0].shape[1:], name="latent")
    inputs = with_label(latent, label_input(num_classes))
    generator = keras.Model(inputs, synthesis(mapping(inputs)), name="generator")
    return generator, _discriminator(sizes, channels, residual, std_group or group, num_classes)


def truncated(generator: keras.Model, psi: float) -> keras.Model:
    """A copy whose styles are pulled towards their mean: ``mean + psi (w - mean)``.

    Args:
        generator: one of this family.
        psi: 1 changes nothing, 0 gives the mean image; around 0.7 is customary.
    """

    def clone(layer):
        config = layer.get_config()
        if isinstance(layer, MeanTracker):
            config["psi"] = float(psi)
        return layer.__class__.from_config(config)

    copy = keras.models.clone_model(generator, clone_function=clone, recursive=True)
    copy.set_weights(generator.get_weights())
    return copy


def _mapping(synthesis, latent_dim, depth, num_classes, mixing):
    styles, *noises = synthesis.inputs
    style_count, style_dim = styles.shape[1:]
    mixing_parts = [latent_dim, 2] if mixing else []
    parts = [latent_dim, *mixing_parts, *(math.prod(noise.shape[1:]) for noise in noises)]
    inputs, label = keras.Input((sum(parts),), name="latent"), label_input(num_classes)
    ends = itertools.accumulate(parts)
    latent, *rest = [inputs[:, end - size : end] for size, end in zip(parts, ends, strict=True)]

    dense = [
        EqualDense(style_dim, "lrelu", MAPPING_SPEED, dtype="float32", name=f"dense{i}")
        for i in range(depth)
    ]
    if label is not None:
        embedding = EqualDense(style_dim, dtype="float32", name="embedding")
        condition = normalize_second_moment(embedding(_one_hot(label, num_classes)))

    def mapped(z, track):
        w = normalize_second_moment(ops.cast(z, "float32"))
        if label is not None:
            w = ops.concatenate([w, condition], axis=-1)
        for layer in dense:
            w = layer(w)
        if track:
            w = MeanTracker(dtype="float32", name="style_mean")(w)
        return ops.repeat(ops.expand_dims(w, 1), style_count, axis=1)

    w = mapped(latent, track=True)
    if mixing:
        second, draws, *rest = rest
        w = StyleMixing(mixing, dtype="float32", name="mixing")(
            [w, mapped(second, track=False), draws]
        )
    noises = [
        ops.reshape(piece, (-1, *noise.shape[1:]))
        for piece, noise in zip(rest, noises, strict=True)
    ]
    return keras.Model(with_label(inputs, label), [w, *noises] if noises else w, name="mapping")


def _synthesis(sizes, style_dim, channels, noise):
    count = 2 * len(sizes)
    styles = keras.Input((count, style_dim), name="styles", dtype="float32")
    noises = []

    def styled(x, index, filters, name, up=False):
        x = ModulatedConv2D(filters, up=up, name=name)([x, styles[:, index]])
        layer = NoiseBiasActivation(noise, name=f"{name}_noise")
        if noise != "input":
            return layer(x)
        noises.append(keras.Input((*x.shape[1:3], 1), name=f"noise{index}", dtype="float32"))
        return layer([x, noises[-1]])

    image, index = None, 0
    for resolution, filters in sizes.items():
        if resolution == 4:
            x = ConstantInput(4, filters, name="constant")(styles)
        else:
            x = styled(x, index, filters, f"b{resolution}_conv0", up=True)
            index += 1
        x = styled(x, index, filters, f"b{resolution}_conv1")
        index += 1
        # ToRGB reads the style that the next block starts with.
        name = f"b{resolution}_rgb"
        rgb = ModulatedConv2D(channels, 1, demodulate=False, name=name)([x, styles[:, index]])
        rgb = NoiseBiasActivation("none", "linear", dtype="float32", name=f"{name}_bias")(rgb)
        image = rgb if image is None else upsample(image) + rgb
    image = layers.Activation("linear", dtype="float32", name="images")(image)
    return keras.Model([styles, *noises] if noises else styles, image, name="synthesis")


def _discriminator(sizes, channels, residual, group, num_classes):
    *resolutions, last = sorted(sizes, reverse=True)
    images = keras.Input((resolutions[0], resolutions[0], channels), name="images")
    label = label_input(num_classes)
    x = EqualConv2D(sizes[resolutions[0]], 1, name="from_rgb")(images)
    for resolution in resolutions:
        filters, wider = sizes[resolution], sizes[resolution // 2]
        names = [f"b{resolution}_{part}" for part in ("conv0", "conv1", "skip")]
        # Each of the two paths of a residual block carries half of the variance.
        gain = math.sqrt(0.5) if residual else 1.0
        h = EqualConv2D(filters, name=names[0])(x)
        h = EqualConv2D(wider, 3, True, gain=gain, name=names[1])(h)
        if residual:
            skip = EqualConv2D(wider, 1, True, "linear", False, gain, name=names[2])
            h = h + skip(x)
        x = h
    top = sizes[last]
    x = MinibatchStd(group, dtype="float32", name="minibatch_std")(x)
    x = EqualConv2D(top, dtype="float32", name="b4_conv")(x)
    x = layers.Flatten(dtype="float32")(x)
    x = EqualDense(top, "lrelu", dtype="float32", name="b4_dense")(x)
    if label is None:
        logits = EqualDense(1, dtype="float32", name="logits")(x)
        return keras.Model(images, logits, name="discriminator")
    x = EqualDense(top, dtype="float32", name="logits")(x)
    y = EqualDense(top, dtype="float32", name="embedding")(_one_hot(label, num_classes))
    y = normalize_second_moment(y)
    for i in range(CLASS_MAPPING_LAYERS):
        y = EqualDense(top, "lrelu", MAPPING_SPEED, dtype="float32", name=f"class{i}")(y)
    logits = ops.sum(x * y, axis=-1, keepdims=True) / math.sqrt(top)
    return keras.Model([images, label], logits, name="discriminator")


def _one_hot(label, num_classes):
    return ops.one_hot(label, num_classes, dtype="float32")
