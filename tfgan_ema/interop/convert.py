"""Weights of reference implementations, put into the networks of the zoo.

mimicry's SNGAN, cGAN-PD and WGAN-GP, BigGAN-PyTorch and StyleGAN2-ADA, both players:
`load_weights` fills a network built by `zoo.build` from the tensors that
`tfgan_ema.interop.pytorch.read_tensors` found in a checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np

from tfgan_ema.errors import UsageError
from tfgan_ema.layers import spectral_layers

# Where each of our weights comes from: our path -> (their name, transform).
Plan = dict[str, tuple[str, Callable[[np.ndarray], np.ndarray]]]

_OWN = "/v"  # follows from u by one power iteration
# Counters, estimates of sigma and fixed filters: nothing that a network here lacks.
_IGNORED = (
    "num_batches_tracked",
    "sn_sigma",
    "sv0",
    "accumulation_counter",
    "resample_filter",
)


def _same(w: np.ndarray) -> np.ndarray:
    return w


def _vector(w: np.ndarray) -> np.ndarray:
    return w.reshape(-1)


def _conv(w: np.ndarray) -> np.ndarray:
    return w.transpose(2, 3, 1, 0)  # [out, in, h, w] -> [h, w, in, out]


def _dense(w: np.ndarray) -> np.ndarray:
    return w.T


def _to_grid(grid: int) -> Callable[[np.ndarray], np.ndarray]:
    """Rows (or entries) that count [c, h, w] -> columns (or entries) that count [h, w, c]."""

    def transform(w: np.ndarray) -> np.ndarray:
        if w.shape[0] == 1:  # u is stored as a row
            w = w.reshape(-1)
        w = w.reshape(-1, grid, grid, *w.shape[1:])
        w = np.moveaxis(w, 0, 2)
        w = w.reshape(-1, *w.shape[3:])
        return w.T

    return transform


def _from_grid(grid: int) -> Callable[[np.ndarray], np.ndarray]:
    """A dense kernel whose inputs count [c, h, w] -> one whose inputs count [h, w, c]."""

    def transform(w: np.ndarray) -> np.ndarray:
        w = w.reshape(w.shape[0], -1, grid, grid)
        return w.transpose(2, 3, 1, 0).reshape(-1, w.shape[0])

    return transform


def _affine(ours: str, theirs: str, kernel: Callable = _dense, bias: Callable = _same) -> Plan:
    return {
        f"{ours}/kernel": (f"{theirs}.weight", kernel),
        f"{ours}/bias": (f"{theirs}.bias", bias),
    }


def _spectral(ours: str, theirs: str, u: str, vector: Callable = _vector) -> Plan:
    return {f"{ours}/u": (f"{theirs}.{u}", vector)}


def _moments(ours: str, theirs: str, mean: str, variance: str) -> Plan:
    return {
        f"{ours}/moving_mean": (f"{theirs}.{mean}", _same),
        f"{ours}/moving_variance": (f"{theirs}.{variance}", _same),
    }


def _blocks(names: set[str], ours: list[str], theirs: Callable[[int, str], str], u: str) -> Plan:
    """The convolutions of residual blocks: ``theirs(block, part)`` for each of our parts."""
    plan: Plan = {}
    for index in range(sum(name.endswith("_conv1/kernel") for name in names)):
        for part in ours:
            mine = f"block{index}_{part}"
            if f"{mine}/kernel" in names:
                plan |= _affine(mine, theirs(index, part), _conv)
                if f"{mine}/u" in names:
                    plan |= _spectral(mine, theirs(index, part), u)
    return plan


_PARTS = ["conv1", "conv2", "shortcut"]


def _mimicry(model: keras.Model) -> Plan:
    names = {weight.path for weight in model.weights}
    parts = {"conv1": "c1", "conv2": "c2", "shortcut": "c_sc", "norm1": "b1", "norm2": "b2"}
    count = sum(name.endswith("_conv1/kernel") for name in names)
    if "dense/kernel" not in names:
        plan = _blocks(names, _PARTS, lambda i, part: f"block{i + 1}.{parts[part]}", "sn_u")
        # Layers are counted through, but for one slip: SNGAN-48 has two layers 5.
        spectral = "logits/u" in names
        last = "l5" if spectral and model.inputs[0].shape[1] == 48 else f"l{count + 1}"
        plan |= _affine("logits", last)
        if spectral:
            plan |= _spectral("logits", last, "sn_u")
        if "embedding/kernel" in names:
            plan["embedding/kernel"] = ("l_y.weight", _same)
            plan |= _spectral("embedding", "l_y", "sn_u")
        return plan
    plan = _blocks(names, _PARTS, lambda i, part: f"block{i + 2}.{parts[part]}", "sn_u")
    grid = _to_grid(model.get_layer("block0_conv1").output.shape[1] // 2)
    plan |= _affine("dense", "l1", grid, grid)
    plan |= _affine("to_image", f"c{count + 2}", _conv)
    for index in range(count):
        for part in ("norm1", "norm2"):
            mine, theirs = f"block{index}_{part}", f"block{index + 2}.{parts[part]}"
            if f"{mine}/gamma" in names:
                plan |= _norm(mine, theirs)
            else:
                half = model.get_layer(mine).gain.shape[1]
                plan[f"{mine}/gain"] = (f"{theirs}.embed.weight", lambda w, c=half: w[:, :c])
                plan[f"{mine}/bias"] = (f"{theirs}.embed.weight", lambda w, c=half: w[:, c:])
                plan |= _moments(
                    f"{mine}/statistics", f"{theirs}.bn", "running_mean", "running_var"
                )
    return plan | _norm("norm", f"b{count + 2}")


def _norm(ours: str, theirs: str) -> Plan:
    return {
        f"{ours}/gamma": (f"{theirs}.weight", _same),
        f"{ours}/beta": (f"{theirs}.bias", _same),
    } | _moments(ours, theirs, "running_mean", "running_var")


def _biggan(model: keras.Model) -> Plan:
    names = {weight.path for weight in model.weights}
    parts = {"conv1": "conv1", "conv2": "conv2", "shortcut": "conv_sc"}
    plan = _blocks(names, _PARTS, lambda i, part: f"blocks.{i}.0.{parts[part]}", "u0")
    generator = "dense/kernel" in names
    if "attention_gain/gain" in names:
        order = [layer.name for layer in model.layers]
        at = max(
            int(name.removeprefix("block").split("_")[0])
            for name in order[: order.index("attention_queries")]
            if name.startswith("block") and name.endswith("_conv2")
        )
        theirs = {"queries": "theta", "keys": "phi", "values": "g", "out": "o"}
        for part, letter in theirs.items():
            plan[f"attention_{part}/kernel"] = (f"blocks.{at}.1.{letter}.weight", _conv)
            plan |= _spectral(f"attention_{part}", f"blocks.{at}.1.{letter}", "u0")
        plan["attention_gain/gain"] = (f"blocks.{at}.1.gamma", _same)
    if not generator:
        plan |= _affine("logits", "linear") | _spectral("logits", "linear", "u0")
        plan["embedding/kernel"] = ("embed.weight", _same)
        return plan | _spectral("embedding", "embed", "u0")
    grid = _to_grid(model.get_layer("block0_conv1").output.shape[1] // 2)
    plan |= _affine("dense", "linear", grid, grid) | _spectral("dense", "linear", "u0", grid)
    plan |= _affine("to_image", "output_layer.2", _conv)
    plan |= _spectral("to_image", "output_layer.2", "u0")
    plan["norm/gamma"] = ("output_layer.0.gain", _same)
    plan["norm/beta"] = ("output_layer.0.bias", _same)
    plan |= _moments("norm", "output_layer.0", "stored_mean", "stored_var")
    if "shared/embeddings" in names:
        plan["shared/embeddings"] = ("shared.weight", _same)
    for index in range(sum(name.endswith("_conv1/kernel") for name in names)):
        for k in (1, 2):
            mine, theirs = f"block{index}_norm{k}", f"blocks.{index}.0.bn{k}"
            plan |= _moments(f"{mine}/statistics", theirs, "stored_mean", "stored_var")
            if f"{mine}/gain/kernel" in names:
                for part in ("gain", "bias"):
                    plan[f"{mine}/{part}/kernel"] = (f"{theirs}.{part}.weight", _dense)
                    plan |= _spectral(f"{mine}/{part}", f"{theirs}.{part}", "u0")
            else:
                plan[f"{mine}/gain"] = (f"{theirs}.gain.weight", lambda w: 1 + w)
                plan[f"{mine}/bias"] = (f"{theirs}.bias.weight", _same)
    return plan


def _stylegan2(model: keras.Model) -> Plan:
    names = {weight.path for weight in model.weights}
    plan: Plan = {}
    if "constant/image" not in names:
        for name in sorted(names):
            layer, kind = name.split("/")
            if layer == "from_rgb":
                theirs, kernel = f"b{model.inputs[0].shape[1]}.fromrgb", _conv
            elif layer == "b4_dense":
                theirs, kernel = "b4.fc", _from_grid(4)
            elif layer == "logits":
                theirs, kernel = "b4.out", _dense
            elif layer == "embedding":
                theirs, kernel = "mapping.embed", _dense
            elif layer.startswith("class"):
                theirs, kernel = f"mapping.fc{layer.removeprefix('class')}", _dense
            else:
                theirs, kernel = layer.replace("_", "."), _conv
            plan[name] = (
                (f"{theirs}.weight", kernel) if kind == "kernel" else (f"{theirs}.bias", _same)
            )
        return plan
    plan["constant/image"] = ("synthesis.b4.const", lambda w: w.transpose(1, 2, 0))
    plan["style_mean/mean"] = ("mapping.w_avg", _same)
    for name in names:
        layer, _, kind = name.partition("/")
        if layer.startswith("dense") or layer == "embedding":
            theirs = layer.replace("dense", "fc").replace("embedding", "embed")
            transform = _dense if kind == "kernel" else _same
            plan[name] = (f"mapping.{theirs}.{_THEIR_KIND[kind]}", transform)
        elif layer.endswith(("_noise", "_rgb_bias")):
            base = layer.removesuffix("_noise").removesuffix("_bias")
            base = base.replace("rgb", "torgb").replace("_", ".")
            plan[name] = (f"synthesis.{base}.{_THEIR_KIND[kind]}", _same)
        elif layer.startswith("b"):
            base = f"synthesis.{layer.replace('rgb', 'torgb').replace('_', '.')}"
            if kind.startswith("affine/"):
                kind = kind.removeprefix("affine/")
                transform = _dense if kind == "kernel" else _same
                plan[name] = (f"{base}.affine.{_THEIR_KIND[kind]}", transform)
            else:
                plan[name] = (f"{base}.weight", _conv)
    return plan


_THEIR_KIND = {
    "kernel": "weight",
    "bias": "bias",
    "strength": "noise_strength",
    "image": "noise_const",
}
# family of the zoo: (whose checkpoints, the plan, a tensor that every generator and one that every
# discriminator has)
FORMATS = {
    "resnet": ("mimicry", _mimicry, ("l1.weight", "block1.c1.weight")),
    "biggan": ("BigGAN-PyTorch", _biggan, ("output_layer.0.gain", "embed.weight")),
    "stylegan2": ("StyleGAN2-ADA", _stylegan2, ("synthesis.b4.const", "b4.conv.weight")),
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
            WGAN-GP; ``"biggan"`` for BigGAN-PyTorch; ``"stylegan2"`` for StyleGAN2-ADA.
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
    probe = probes[0 if model.inputs[0].name == "latent" else 1]
    if prefix is None:
        prefix = _prefix(tensors, probe, source)
    tensors = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
    plan = planner(model)
    values, wrong = {}, []
    for weight in model.weights:
        if weight.path.endswith(_OWN):
            continue
        name, transform = plan[weight.path]
        if name not in tensors:
            wrong.append(f"{name} is missing (for {weight.path} {tuple(weight.shape)})")
            continue
        try:
            value = transform(tensors[name])
        except (ValueError, IndexError):
            value = tensors[name]
        if value.shape != tuple(weight.shape):
            wrong.append(
                f"{name} {tensors[name].shape} does not fit {weight.path} {tuple(weight.shape)}"
            )
        values[weight.path] = value
    used = {name for name, _ in plan.values()}
    for layer in spectral_layers(model):
        name = plan[layer.u.path][0].removesuffix("sn_u") + "sn_v"
        if name in tensors:  # it counts [in, h, w], ours [h, w, in]
            v = tensors[name]
            if len(layer.kernel.shape) == 4:
                v = np.moveaxis(v.reshape(-1, *layer.kernel.shape[:2]), 0, -1).reshape(-1)
            values[layer.v.path] = v
            used.add(name)
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
    for weight in model.weights:
        if weight.path in values:
            weight.assign(values[weight.path].astype("float32"))
    for layer in spectral_layers(model):
        if layer.v.path not in values:  # then the reference iterates once in every call
            layer.power_iteration()


def _renamed(name: str) -> str:
    """PyTorch's own spectral norm keeps ``weight_orig``, ``weight_u`` and ``weight_v``."""
    pairs = ((".weight_orig", ".weight"), (".weight_u", ".sn_u"), (".weight_v", ".sn_v"))
    for theirs, ours in pairs:
        if name.endswith(theirs):
            return name.removesuffix(theirs) + ours
    return name


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
