"""Code that draws from an exported generator without this package, as it lies beside the export."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

FILES = {  # the file of each format
    "saved_model": "saved_model.pb",
    "keras": "generator.keras",
    "onnx": "generator.onnx",
    "litert": "generator.tflite",
    "openvino": "generator.xml",
}
_HEAD = {
    "saved_model": ("tensorflow", "import tensorflow as tf"),
    "keras": ("tfgan_ema", "import keras\n\nimport tfgan_ema  # its layers are those of the file"),
    "onnx": ("onnxruntime", "import onnxruntime"),
    "litert": ("ai-edge-litert", "from ai_edge_litert.interpreter import Interpreter"),
    "openvino": ("openvino", "import openvino"),
}
_PRIORS = {
    "normal": "latent = rng.standard_normal(({count}, {dim}), 'float32')\n",
    "hypersphere": (
        "latent = rng.standard_normal(({count}, {dim}), 'float32')\n"
        "latent /= np.sqrt(np.mean(latent**2, axis=1, keepdims=True))\n"
    ),
    "uniform": "latent = rng.uniform(-1, 1, ({count}, {dim})).astype('float32')\n",
    "constant": "latent = np.ones(({count}, {dim}), 'float32')\n",
    "truncated": (
        "normal = NormalDist()\n"
        "most = normal.cdf({truncation})\n"
        "part = rng.uniform(1 - most, most, ({count}, {dim}))\n"
        "latent = np.vectorize(normal.inv_cdf)(part).astype('float32')\n"
    ),
}
_RUN = {
    "keras": (
        "model = keras.models.load_model(folder / '{file}')\n"
        "images = model.predict({arguments}, verbose=0)\n"
    ),
    "onnx": (
        "session = onnxruntime.InferenceSession(folder / '{file}')\n"
        "(images,) = session.run(['images'], {{{named}}})\n"
    ),
    "litert": (
        "generate = Interpreter(str(folder / '{file}')).get_signature_runner('serving_default')\n"
        "images = generate({keywords})['images']\n"
    ),
    "openvino": (
        "exact = {{'INFERENCE_PRECISION_HINT': 'f32'}}  # else some processors round to 16 bits\n"
        "generate = openvino.compile_model(folder / '{file}', 'CPU', exact)\n"
        "images = generate({{{named}}})['images']\n"
    ),
}
_SAVED_MODEL = (
    "model = tf.saved_model.load(folder)  # keep it as long as its signatures are used\n"
    "request = {{'count': tf.constant({count}), 'seed': tf.constant(0, tf.int64)}}\n"
    "images = model.signatures['sample'](**request)['images'].numpy()\n"
)
_UINT8 = "images = np.clip(np.round(127.5 * (images + 1)), 0, 255).astype('uint8')\n"


def code(
    format: str,
    prior: Mapping[str, Any],
    class_names: Sequence[str] | None = None,
    *,
    images: bool = True,
    folder: str = "Path(__file__).parent",
    count: int = 16,
) -> str:
    """A program that draws samples into the array ``images``.

    Args:
        format: a key of `FILES`.
        prior: of the latents: ``kind``, ``dim`` and, if it is truncated, ``truncation``.
        class_names: of a conditional generator, by label.
        images: whether samples are images, which become uint8, or points.
        folder: an expression that gives the folder of the export.
        count: how many are drawn.
    """
    needs, imports = _HEAD[format]
    labels = _labels(class_names) if class_names else ""
    if format == "saved_model":
        body = _SAVED_MODEL.format(count=count)
        if class_names:
            body += (
                "# model.signatures['sample_label'](**request, label=tf.constant(0)): one class\n"
            )
    else:
        imports = f"import numpy as np\n{imports}"
        names = ["latent", "label"] if class_names else ["latent"]
        body = "rng = np.random.default_rng(0)\n" + _draw(prior, count)
        if class_names:
            body += f"label = rng.integers(0, {len(class_names)}, {count}, 'int32')\n"
        body += _RUN[format].format(
            file=FILES[format],
            named=", ".join(f"'{name}': {name}" for name in names),
            keywords=", ".join(f"{name}={name}" for name in names),
            arguments=f"[{', '.join(names)}]" if class_names else "latent",
        )
        body += _UINT8 if images else ""
    places = {
        "Path(": "from pathlib import Path\n",
        "NormalDist(": "from statistics import NormalDist\n",
    }
    standard = "".join(line for name, line in places.items() if name in folder + body)
    head = f'"""Draws {count} samples. It needs {needs}."""\n\n{standard}' + "\n" * bool(standard)
    head += f"{imports}\n\nfolder = {folder}\n{labels}"
    return head + body.replace("'", '"') + "print(images.shape, images.dtype)\n"


def _labels(class_names: Sequence[str]) -> str:
    text = f"The labels 0, 1, ... are {json.dumps([*class_names])}"
    return textwrap.fill(text, 99, initial_indent="# ", subsequent_indent="# ") + "\n"


def _draw(prior: Mapping[str, Any], count: int) -> str:
    kind = "truncated" if prior.get("truncation") else prior["kind"]
    if kind not in _PRIORS:
        return f"latent = ...  # float32 [{count}, {prior['dim']}] of your prior, {kind}\n"
    return _PRIORS[kind].format(count=count, **prior)
