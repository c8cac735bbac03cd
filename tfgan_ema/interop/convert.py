"""Weights of reference implementations, put into the networks of the zoo.

mimicry's SNGAN, cGAN-PD and WGAN-GP, BigGAN-PyTorch, StyleGAN2-ADA and R3GAN, generators and
discriminators: `load_weights` fills a network built by `zoo.build` from the tensors that
`tfgan_ema.interop.pytorch.read_tensors` read from a checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np

from tfgan_ema.errors import UsageError
from tfgan_ema.layers import spectral_layers

Transform = Callable[[np.ndarray], np.ndarray]
Plan = dict[str, tuple[str, Transform]]  # path of our weight -> name of their tensor, transform

# Counters, estimates of sigma and fixed filters: nothing that a network here lacks.
_IGNORED = (
    "num_batches_tracked", "sn_sigma", "sv0", "accumulation_counter", "resample_filter",
    "Resampler.Kernel",
)  # fmt: skip


_same: Transform = np.asarray


def _kernel(w: np.ndarray) -> np.ndarray:
    """[out, in] -> [in, out], and [out, in, h, w] -> [h, w, in, out]."""
    return np.moveaxis(w, (1, 0), (-2, -1))


def _rows_from_grid(grid: int) -> Transform:
    """Rows (or entries) that count [c, h, w] -> columns (or entries) that count [h, w, c]."""

    def transform(w: np.ndarray) -> np.ndarray:
        if w.shape[0] == 1:  # u is stored as a row
            w = w.reshape(-1)
        w = np.moveaxis(w.reshape(-1, grid, grid, *w.shape[1:]), 0, 2)
        return w.reshape(-1, *w.shape[3:]).T

    return transform


def _v_of(kernel: tuple[int, ...]) -> Transform:
    """The v of a kernel; theirs counts [in, h, w], ours [h, w, in]."""
    if len(kernel) < 4:
        return _same
    return lambda v: np.moveaxis(v.reshape(-1, *kernel[:2]), 0, -1).reshape(-1)


def _columns_from_grid(grid: int) -> Transform:
    """A dense kernel whose inputs count [c, h, w] -> one whose inputs count [h, w, c]."""
    return lambda w: w.reshape(len(w), -1, grid, grid).transpose(2, 3, 1, 0).reshape(-1, len(w))


def _plan(
    model: keras.Model,
    layers: dict[str, str],
    variables: dict[str, str],
    transforms: dict[str, Transform],
) -> Plan:
    """The plan of the weights whose names translate part by part.

    Args:
        model: our network.
        layers: our layer -> their module; layers that the network lacks do not count.
        variables: our variable in a layer, or the path of one -> their tensor in a module.
        transforms: by path, where it is not `_kernel` for kernels, `np.ravel` for u and `_same`.
    """
    plan: Plan = {}
    for weight in model.weights:
        layer, _, variable = weight.path.partition("/")
        kind = variable.rpartition("/")[2]
        if layer in layers and kind != "v":  # v follows from u by one power iteration
            usual = {"kernel": _kernel, "u": np.ravel}.get(kind, _same)
            theirs = variables.get(weight.path, variables.get(variable, variable))
            transform = transforms.get(weight.path, usual)
            plan[weight.path] = (f"{layers[layer]}.{theirs}", transform)
    return plan


def _blocks(count: int, parts: dict[str, str], module: str, first: int) -> dict[str, str]:
    """Our layers of ``count`` residual blocks -> their modules; theirs count from ``first``."""
    return {
        f"block{i}_{ours}": f"{module.format(i + first)}.{theirs}"
        for i in range(count)
        for ours, theirs in parts.items()
    }


def _block_count(model: keras.Model) -> int:
    return sum(layer.name.endswith("_conv1") for layer in model.layers)


def _residual_transforms(model: keras.Model) -> dict[str, Transform]:
    """For a table of classes, and for the dense layer that makes a generator's first grid."""
    grid = _rows_from_grid(model.get_layer("block0_conv1").output.shape[1] // 2)
    return {"embedding/kernel": _same, "dense/kernel": grid, "dense/bias": grid, "dense/u": grid}


def _norms_by_class(plan: Plan) -> list[str]:
    """The normalisations that have a gain and a bias for each class."""
    found = [path.partition("/") for path in plan if path.startswith("block")]
    return [layer for layer, _, variable in found if variable == "gain"]


def _is_generator(model: keras.Model) -> bool:
    return model.inputs[0].name == "latent"


def _mimicry(model: keras.Model) -> Plan:
    variables = {
        "kernel": "weight", "u": "sn_u", "gamma": "weight", "beta": "bias",
        "moving_mean": "running_mean", "moving_variance": "running_var",
        "statistics/moving_mean": "bn.running_mean",
        "statistics/moving_variance": "bn.running_var",
    }  # fmt: skip
    parts = {"conv1": "c1", "conv2": "c2", "shortcut": "c_sc", "norm1": "b1", "norm2": "b2"}
    count = _block_count(model)
    # Layers are counted through, but for one slip: the discriminator of SNGAN-48 has two layers 5.
    slip = any(w.path == "logits/u" for w in model.weights) and model.inputs[0].shape[1] == 48
    layers = _blocks(count, parts, "block{}", first=2 if _is_generator(model) else 1) | {
        "dense": "l1", "norm": f"b{count + 2}", "to_image": f"c{count + 2}",
        "logits": "l5" if slip else f"l{count + 1}", "embedding": "l_y",
    }  # fmt: skip
    plan = _plan(model, layers, variables, _residual_transforms(model))
    for layer in _norms_by_class(plan):
        theirs = f"{layers[layer]}.embed.weight"
        plan[f"{layer}/gain"] = (theirs, lambda w: np.split(w, 2, axis=1)[0])
        plan[f"{layer}/bias"] = (theirs, lambda w: np.split(w, 2, axis=1)[1])
    return plan


def _biggan(model: keras.Model) -> Plan:
    variables = {
        "kernel": "weight", "u": "u0", "embeddings": "weight", "gamma": "gain", "beta": "bias",
        "moving_mean": "stored_mean", "moving_variance": "stored_var",
        "statistics/moving_mean": "stored_mean", "statistics/moving_variance": "stored_var",
        "gain/kernel": "gain.weight", "gain/u": "gain.u0",
        "bias/kernel": "bias.weight", "bias/u": "bias.u0",
    }  # fmt: skip
    parts = {
        "conv1": "conv1", "conv2": "conv2", "shortcut": "conv_sc", "norm1": "bn1", "norm2": "bn2",
    }  # fmt: skip
    layers = _blocks(_block_count(model), parts, "blocks.{}.0", first=0) | {
        "dense": "linear", "shared": "shared", "norm": "output_layer.0",
        "to_image": "output_layer.2", "logits": "linear", "embedding": "embed",
    }  # fmt: skip
    names = [layer.name for layer in model.layers]
    if "attention_gain" in names:
        before = names[: names.index("attention_queries")]
        block = sum(name.endswith("_conv2") for name in before) - 1
        letters = {"queries": ".theta", "keys": ".phi", "values": ".g", "out": ".o", "gain": ""}
        for ours, theirs in letters.items():
            layers[f"attention_{ours}"] = f"blocks.{block}.1{theirs}"
        variables["attention_gain/gain"] = "gamma"
    plan = _plan(model, layers, variables, _residual_transforms(model))
    for layer in _norms_by_class(plan):
        plan[f"{layer}/gain"] = (f"{layers[layer]}.gain.weight", lambda w: 1 + w)
        plan[f"{layer}/bias"] = (f"{layers[layer]}.bias.weight", _same)
    return plan


def _stylegan2(model: keras.Model) -> Plan:
    variables = {
        "kernel": "weight", "affine/kernel": "affine.weight", "affine/bias": "affine.bias",
        "strength": "noise_strength", "image": "noise_const",
    }  # fmt: skip
    ours = {weight.path.partition("/")[0] for weight in model.weights}
    layers = {layer: layer.replace("_", ".") for layer in ours}
    for layer in ours:
        if layer.startswith(("dense", "class")):
            layers[layer] = f"mapping.fc{layer[5:]}"
    layers["embedding"] = "mapping.embed"
    if not _is_generator(model):
        layers |= {"from_rgb": f"b{model.inputs[0].shape[1]}.fromrgb"}
        layers |= {"b4_dense": "b4.fc", "logits": "b4.out"}
        return _plan(model, layers, variables, {"b4_dense/kernel": _columns_from_grid(4)})
    for layer in ours:
        if layer.startswith("b"):
            module = layer.removesuffix("_noise").removesuffix("_bias").replace("rgb", "torgb")
            layers[layer] = f"synthesis.{module.replace('_', '.')}"
    plan = _plan(model, layers, variables, {})
    plan["constant/image"] = ("synthesis.b4.const", lambda w: w.transpose(1, 2, 0))
    plan["style_mean/mean"] = ("mapping.w_avg", _same)
    return plan


def _r3gan(model: keras.Model) -> Plan:
    generator = _is_generator(model)
    names = [layer.name for layer in model.layers]
    stages = sum(name.endswith("_conv3") for name in names) // 2
    change = "MainLayers.{}.Layers.{}"  # the first layer of a stage, or its last
    ends = change.format(*((0, 0) if generator else (stages - 1, 2)))
    size = model.outputs[0].shape[1] if generator else model.inputs[0].shape[1]
    layers = {
        "dense": f"{ends}.LinearLayer", "basis": f"{ends}.Basis", "logits": f"{ends}.LinearLayer",
        "to_image": "AggregationLayer.Layer", "from_image": "ExtractionLayer.Layer",
        "embedding": "EmbeddingLayer",
    }  # fmt: skip
    variables, transforms = {}, {"basis/kernel": lambda w: w.transpose(2, 3, 0, 1)}
    for stage in range(stages):
        named = size >> (stages - 1 - stage if generator else stage)
        module = change.format(stage, 0 if generator else 2)
        layers[f"width{named}"] = f"{module}.LinearLayer.Layer"
        for i in range(2):
            module = change.format(stage, i + generator)
            layers |= {f"block{2 * stage + i}_conv{k}": module for k in (1, 2, 3)}
    for path in (weight.path for weight in model.weights):
        if path.startswith("block"):
            k, kind = path[path.index("_conv") + 5], path.rpartition("/")[2]
            ours = {"kernel": f"LinearLayer{k}.Layer.weight", "bias": f"NonLinearity{k}.Bias"}
            variables[path] = ours[kind]
    plan = _plan(model, layers, {"kernel": "weight", **variables}, transforms)
    if generator:
        plan["basis/image"] = (f"{ends}.Basis", lambda w: w.transpose(1, 2, 0))
    return plan


# family of the zoo: (whose checkpoints, the plan, a tensor that every generator and one that every
# discriminator has)
FORMATS = {
    "resnet": ("mimicry", _mimicry, ("l1.weight", "block1.c1.weight")),
    "biggan": ("BigGAN-PyTorch", _biggan, ("output_layer.0.gain", "embed.weight")),
    "stylegan2": ("StyleGAN2-ADA", _stylegan2, ("synthesis.b4.const", "b4.conv.weight")),
    "r3gan": ("R3GAN", _r3gan, ("AggregationLayer.Layer.weight", "ExtractionLayer.Layer.weight")),
}


def load_weights(
    model: keras.Model, tensors: dict[str, np.ndarray], family: str, prefix: str | None = None
) -> None:
    """Fills a network of the zoo with the weights of the reference implementation.

    Every weight must be found with its shape, and every tensor used, before anything is assigned.
    Build mimicry's networks with ``reading="mimicry"``: they differ from the papers'.

    Args:
        model: a generator or a discriminator from `zoo.build`.
        tensors: from `read_tensors`.
        family: the module of the zoo that built it: ``"resnet"`` for mimicry's SNGAN, cGAN-PD and
            WGAN-GP; ``"biggan"`` for BigGAN-PyTorch; ``"stylegan2"`` for StyleGAN2-ADA;
            ``"r3gan"`` for R3GAN.
        prefix: of the network's tensors in a checkpoint that holds several, e.g. ``"G_ema."``;
            ``None`` takes the averaged generator if there is one, else the only network that fits.

    Raises:
        UsageError: a family without converter, or a checkpoint of another architecture; the message
            names the tensors that differ.
    """
    if family not in FORMATS:
        raise UsageError(
            f"family {family!r}: no converter; there are some for {', '.join(FORMATS)}."
        )
    source, planner, probes = FORMATS[family]
    tensors = {_renamed(name): value for name, value in tensors.items()}
    if prefix is None:
        prefix = _prefix(tensors, probes[0 if _is_generator(model) else 1], source)
    tensors = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
    plan = planner(model)
    for layer in spectral_layers(model):
        name = plan[layer.u.path][0].removesuffix("sn_u") + "sn_v"
        if name in tensors:
            plan[layer.v.path] = (name, _v_of(layer.kernel.shape))
    weights = {weight.path: weight for weight in model.weights}
    values, wrong = {}, []
    for path, (name, transform) in plan.items():
        wanted = f"{path} {tuple(weights[path].shape)}"
        if name not in tensors:
            wrong.append(f"{name} is missing (for {wanted})")
            continue
        try:
            values[path] = transform(tensors[name])
        except (ValueError, IndexError, TypeError):  # of another rank
            values[path] = tensors[name]
        if values[path].shape != tuple(weights[path].shape):
            wrong.append(f"{name} {tensors[name].shape} does not fit {wanted}")
    used = {name for name, _ in plan.values()}
    wrong += [
        f"{name} {value.shape} is not known to the network"
        for name, value in tensors.items()
        if name not in used and not name.endswith(_IGNORED)
    ]
    if wrong:
        rest = f"; and {len(wrong) - 8} more" if len(wrong) > 8 else ""
        raise UsageError(
            f"a checkpoint of another architecture than this {source} {model.name}: "
            f"{'; '.join(wrong[:8])}{rest}. Check the network's name, image_size, width, "
            "num_classes."
        )
    for path, value in values.items():
        with np.errstate(over="ignore"):
            values[path] = value.astype(np.float32)
        if not np.isfinite(values[path]).all():
            raise UsageError(f"a checkpoint with NaN or infinity in {plan[path][0]}: use another.")
    for path, value in values.items():
        weights[path].assign(value)
    for layer in spectral_layers(model):
        if layer.v.path not in values:  # then the reference iterates once in every call
            layer.power_iteration()


def _renamed(name: str) -> str:
    """PyTorch's own spectral norm keeps ``weight_orig``, ``weight_u`` and ``weight_v``."""
    module, _, tensor = name.rpartition(".")
    ours = {"weight_orig": "weight", "weight_u": "sn_u", "weight_v": "sn_v"}.get(tensor)
    return f"{module}.{ours}" if module and ours else name


def _prefix(tensors: dict[str, np.ndarray], probe: str, source: str) -> str:
    """What stands in front of the network's names in a checkpoint."""
    found = [n.removesuffix(probe) for n in tensors if n == probe or n.endswith(f".{probe}")]
    averaged = [prefix for prefix in found if "ema" in prefix.lower()]
    choice = averaged or found
    if len(choice) == 1:
        return choice[0]
    if not choice:
        names = ", ".join(list(tensors)[:6])
        raise UsageError(
            f"a checkpoint without {probe}, which {source} networks of this kind have; it holds "
            f"{names}, ... ({len(tensors)} tensors)."
        )
    raise UsageError(f"several networks fit: choose a prefix among {', '.join(map(repr, choice))}.")
