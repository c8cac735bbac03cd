"""The networks behind feature spaces, built from a mapping of weights.

Widths and kernel sizes come from the weights (``NAME/kernel``, ``NAME/bias``); the code holds the
wiring alone. Batch normalisation is folded into the convolutions before the weights are stored
(`tfgan_ema.metrics.weights.fold`), so each step is a convolution, a bias and a rectifier.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping

import keras
import numpy as np
from keras import ops
from PIL import Image

Weights = Mapping[str, np.ndarray]
IMAGENET_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
IMAGENET_DEVIATION = np.array([0.229, 0.224, 0.225], np.float32)


def fid_inception(weights: Weights) -> keras.Model:
    """Inception-v3 of 2015-12-05, the network of FID, up to ``pool_3``.

    Maps float32 images ``[n, 299, 299, 3]`` of 0..255, resized by `resize_like_tf1`, to features
    ``[n, 2048]``. It differs from the published Inception-v3 in pooling: averages leave out the
    padding, and the last block takes a maximum.
    """
    conv = functools.partial(_convolution, weights)
    average = keras.layers.AveragePooling2D(3, 1, "same", dtype="float32")
    reduced = keras.layers.MaxPooling2D(3, 2, "valid", dtype="float32")

    def tower(x, block, index, count, **last):
        base = f"{block}.tower_{index}" if index else f"{block}.tower"
        for i in range(count):
            x = conv(
                x, f"{base}.conv_{i}" if i else f"{base}.conv", **last if i == count - 1 else {}
            )
        return x

    def narrow(x, block, depths):
        parts = [conv(x, f"{block}.conv")]
        parts += [tower(x, block, index, depth) for index, depth in enumerate(depths)]
        parts += [tower(average(x), block, len(depths), 1)]
        return ops.concatenate(parts, -1)

    def wide(x, block, pool):
        first = conv(x, f"{block}.tower_conv")
        second = conv(conv(x, f"{block}.tower_1_conv"), f"{block}.tower_1_conv_1")
        parts = [conv(x, f"{block}.conv")]
        for y, name in ((first, f"{block}.tower"), (second, f"{block}.tower_1")):
            parts += [conv(y, f"{name}_mixed_conv"), conv(y, f"{name}_mixed_conv_1")]
        return ops.concatenate([*parts, conv(pool(x), f"{block}.tower_2_conv")], -1)

    down = {"strides": 2, "padding": "valid"}
    images = keras.Input((299, 299, 3), dtype="float32")
    x = (images - 128.0) / 128.0
    x = conv(x, "conv", **down)
    x = conv(x, "conv_1", padding="valid")
    x = reduced(conv(x, "conv_2"))
    x = conv(x, "conv_3")
    x = reduced(conv(x, "conv_4", padding="valid"))
    for block in ("mixed", "mixed_1", "mixed_2"):
        x = narrow(x, block, (2, 3))
    x = ops.concatenate(
        [conv(x, "mixed_3.conv", **down), tower(x, "mixed_3", 0, 3, **down), reduced(x)], -1
    )
    for block in ("mixed_4", "mixed_5", "mixed_6", "mixed_7"):
        x = narrow(x, block, (3, 5))
    x = ops.concatenate(
        [tower(x, "mixed_8", 0, 2, **down), tower(x, "mixed_8", 1, 4, **down), reduced(x)], -1
    )
    x = wide(x, "mixed_9", average)
    x = wide(x, "mixed_10", keras.layers.MaxPooling2D(3, 1, "same", dtype="float32"))
    return _load(keras.Model(images, ops.mean(x, axis=(1, 2)), name="fid_inception"), weights)


def resnet50(weights: Weights) -> keras.Model:
    """ResNet-50 (He et al. 2015) as first published for Keras, trained on ImageNet.

    Maps float32 images ``[n, 224, 224, 3]`` of 0..255 to (features ``[n, 2048]``, class
    probabilities ``[n, 1000]``).
    """
    conv = functools.partial(_convolution, weights)

    def block(x, name, strides):
        y = conv(x, f"{name}_branch2a", strides=strides)
        y = conv(conv(y, f"{name}_branch2b"), f"{name}_branch2c", activation=None)
        if f"{name}_branch1/kernel" in weights:
            x = conv(x, f"{name}_branch1", strides=strides, activation=None)
        return ops.relu(x + y)

    images = keras.Input((224, 224, 3), dtype="float32")
    x = ops.flip(images, axis=-1) - np.array([103.939, 116.779, 123.68], np.float32)  # BGR, centred
    x = conv(ops.pad(x, ((0, 0), (3, 3), (3, 3), (0, 0))), "conv1", strides=2, padding="valid")
    x = ops.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    x = keras.layers.MaxPooling2D(3, 2, "valid", dtype="float32")(x)
    for stage, letters in ((2, "abc"), (3, "abcd"), (4, "abcdef"), (5, "abc")):
        for letter in letters:
            x = block(x, f"res{stage}{letter}", 2 if letter == "a" and stage > 2 else 1)
    features = ops.mean(x, axis=(1, 2))
    logits = features @ weights["fc1000/kernel"] + weights["fc1000/bias"]
    model = keras.Model(images, [features, ops.softmax(logits)], name="resnet50")
    return _load(model, weights)


def grey_classifier(weights: Weights | None = None, classes: int = 10) -> keras.Model:
    """A small classifier of 28x28 grey images, our own.

    Maps float32 images ``[n, 28, 28, 1]`` of 0..255 to (features ``[n, 128]``, class
    probabilities ``[n, classes]``). Without weights it comes untrained, for
    `tfgan_ema.metrics.classifier`.
    """
    images = keras.Input((28, 28, 1), dtype="float32")
    x = images / 127.5 - 1.0
    options = {"padding": "same", "use_bias": weights is not None, "dtype": "float32"}
    for index, (filters, stride) in enumerate(((24, 1), (48, 2), (64, 1), (80, 2), (128, 1))):
        x = keras.layers.Conv2D(filters, 3, stride, name=f"conv_{index}", **options)(x)
        if weights is None:
            x = keras.layers.BatchNormalization(dtype="float32", name=f"norm_{index}")(x)
        x = ops.relu(x)
    features = ops.mean(x, axis=(1, 2))
    head = keras.layers.Dense(classes, activation="softmax", dtype="float32", name="head")
    model = keras.Model(images, [features, head(features)], name="grey_classifier")
    return model if weights is None else _load(model, weights)


def efficientnet_lite0(weights: Weights) -> keras.Model:
    """EfficientNet-Lite0 (Tan and Le 2019, without squeeze and excitation), trained on ImageNet.

    Maps float32 images ``[n, 224, 224, 3]`` of 0..255 to (features ``[n, 1280]``, class
    probabilities ``[n, 1000]``).
    """
    conv = functools.partial(_convolution, weights, activation="relu6")
    count = len({name.split(".")[0] for name in weights if name.startswith("block_")})
    images = keras.Input((224, 224, 3), dtype="float32")
    x = conv((images - 127.0) / 128.0, "stem", strides=2)
    for i in range(count):
        y = conv(x, f"block_{i}.expand") if f"block_{i}.expand/kernel" in weights else x
        size = weights[f"block_{i}.depthwise/kernel"].shape[0]
        y = keras.layers.DepthwiseConv2D(
            size, 2 if i in (1, 3, 5, 11) else 1, "same", activation="relu6", dtype="float32",
            data_format="channels_last", name=f"block_{i}.depthwise",
        )(y)  # fmt: skip
        y = conv(y, f"block_{i}.project", activation=None)
        x = x + y if x.shape == y.shape else y
    features = ops.mean(conv(x, "head"), axis=(1, 2))
    logits = features @ weights["classes/kernel"] + weights["classes/bias"]
    model = keras.Model(images, [features, ops.softmax(logits)], name="efficientnet_lite0")
    return _load(model, weights)


def vision_transformer(weights: Weights) -> keras.Model:
    """A vision transformer (Dosovitskiy et al. 2021) as DINOv2 trains it, up to its class token.

    Maps float32 images ``[n, s, s, 3]`` of 0..255, with s from the number of positions in the
    weights, to features ``[n, d]``. Heads are 64 wide. The scales of its residual branches are
    folded into the weights.
    """
    patch, _, _, width = weights["patches/kernel"].shape
    positions, heads = weights["positions"], width // 64
    side = round((len(positions) - 1) ** 0.5)

    def dense(x, name, activation=None):
        units = weights[f"{name}/bias"].shape[0]
        layer = keras.layers.Dense(units, activation, dtype="float32", name=name)
        return layer(x)

    def norm(x, name):
        return keras.layers.LayerNormalization(epsilon=1e-6, dtype="float32", name=name)(x)

    def attention(x, name):
        x = ops.reshape(dense(x, f"{name}.qkv"), (-1, side**2 + 1, 3, heads, 64))
        query, key, value = ops.unstack(ops.transpose(x, (2, 0, 3, 1, 4)), 3)
        shares = ops.softmax(query @ ops.transpose(key, (0, 1, 3, 2)) / 8.0)
        mixed = ops.transpose(shares @ value, (0, 2, 1, 3))
        return dense(ops.reshape(mixed, (-1, side**2 + 1, width)), f"{name}.proj")

    images = keras.Input((side * patch, side * patch, 3), dtype="float32")
    x = (images / 255.0 - IMAGENET_MEAN) / IMAGENET_DEVIATION
    x = _convolution(weights, x, "patches", patch, "valid", None)
    x = ops.reshape(x, (-1, side**2, width)) + positions[1:]
    first = ops.zeros_like(x[:, :1]) + (weights["class_token"] + positions[0])
    x = ops.concatenate([first, x], axis=1)
    for i in range(len([name for name in weights if name.endswith(".qkv/kernel")])):
        x = x + attention(norm(x, f"{i}.norm1"), f"{i}.attn")
        hidden = dense(norm(x, f"{i}.norm2"), f"{i}.fc1", "gelu")
        x = x + dense(hidden, f"{i}.fc2")
    return _load(keras.Model(images, norm(x, "norm")[:, 0], name="vision_transformer"), weights)


def three_digits(weights: Weights) -> keras.Model:
    """`grey_classifier` of the digits on each colour of an image of StackedMNIST.

    Maps float32 images ``[n, 28, 28, 3]`` of 0..255 to (features ``[n, 384]``, probabilities of the
    numbers that the three digits make ``[n, 1000]``).
    """
    digits = grey_classifier(weights)
    images = keras.Input((28, 28, 3), dtype="float32")
    colours = [digits(images[..., colour : colour + 1]) for colour in range(3)]
    features, probabilities = zip(*colours, strict=True)
    numbers = ops.einsum("ni,nj,nk->nijk", *probabilities)
    outputs = [ops.concatenate(features, -1), ops.reshape(numbers, (-1, 1000))]
    return keras.Model(images, outputs, name="three_digits")


def without_frame(images, size: int):
    """MNIST's images of 32 pixels without the frame that made them so large; others by `resize`."""
    if images.shape[1:3] == (32, 32) and size == 28:
        return images[:, 2:-2, 2:-2]
    return resize(images, size)


def resize_like_tf1(images, size: int):
    """Bilinear resizing whose corners lie as in TensorFlow 1, on which FID's features depend.

    Output pixel i samples the input at ``i * old / new``, without the half-pixel shift and
    without smoothing when it shrinks.

    Args:
        images: float32 array or tensor ``[n, h, w, c]``.
        size: of the square output.
    """
    for axis in (1, 2):
        old = images.shape[axis]
        place = np.arange(size, dtype=np.float32) * np.float32(old / size)
        low = np.minimum(place.astype(np.int32), old - 1)
        high = np.minimum(low + 1, old - 1)
        share = (place - low).reshape((-1, 1, 1) if axis == 1 else (-1, 1))
        start = ops.take(images, low, axis=axis)
        images = start + (ops.take(images, high, axis=axis) - start) * share
    return images


def resize_like_pillow(images, size: int):
    """Pillow's bicubic resizing of floating-point images, smoothed when it shrinks, to a square.

    FID's network on images resized so is what clean-fid computes (Parmar et al. 2022).
    """
    resized = np.empty((len(images), size, size, images.shape[-1]), np.float32)
    for image, out in zip(np.asarray(images, np.float32), resized, strict=True):
        for channel in range(image.shape[-1]):
            plane = Image.fromarray(image[..., channel])
            out[..., channel] = plane.resize((size, size), Image.Resampling.BICUBIC)
    return np.clip(resized, 0, 255)


def resize(images, size: int):
    """Bilinear resizing, smoothed when it shrinks, to a square."""
    return ops.image.resize(images, (size, size), "bilinear", antialias=True)


def _convolution(weights: Weights, x, name, strides=1, padding="same", activation="relu"):
    """A named convolution of the size of its weights, which `_load` sets in the whole model."""
    height, width, _, filters = weights[f"{name}/kernel"].shape
    layer = keras.layers.Conv2D(
        filters, (height, width), strides, padding, activation=activation, dtype="float32",
        data_format="channels_last", name=name,
    )  # fmt: skip
    return layer(x)


def _load(model: keras.Model, weights: Weights) -> keras.Model:
    for layer in model.layers:
        if layer.weights:
            layer.set_weights([weights[f"{layer.name}/kernel"], weights[f"{layer.name}/bias"]])
    model.trainable = False
    return model
