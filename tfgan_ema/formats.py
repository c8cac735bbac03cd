"""An exported generator in the formats of other runtimes: Keras, ONNX, LiteRT, OpenVINO.

Each is made of a SavedModel, whose signature ``serving_default`` gives the names of inputs and
output, and is compared with it after it was written. Only a SavedModel holds ``sample``; the others
take latents, and the ``usage.py`` beside them draws these from the prior.
"""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import tensorflow as tf

from tfgan_ema import export, files, latents, usage
from tfgan_ema.errors import UsageError, one_of
from tfgan_ema.latents import Draws

if TYPE_CHECKING:
    import keras

    from tfgan_ema.export import ExportedGenerator

COMPARED = 256  # samples
GREY = 2 / 255  # a grey level of images in [-1, 1]
_CLOSE = 1.0  # grey levels by which exact formats may differ

Feed = Mapping[str, np.ndarray]


class Written(NamedTuple):
    """An export and how far its images are from the SavedModel's, in grey levels (points: / 127.5).

    Attributes:
        folder: where it is.
        largest: the largest difference of a value.
        mean: the mean difference.
        size: bytes of the model's files.
    """

    folder: Path
    largest: float
    mean: float
    size: int


class Format(NamedTuple):
    """The packages that a format needs, what writes a loaded SavedModel in it, what runs its file.

    Keras's has no writer: a SavedModel has no layers.
    """

    needs: tuple[str, ...]
    write: Callable[[ExportedGenerator, Path], None] | None
    load: Callable[[Path], Callable[[Feed], np.ndarray]]


def write(
    format: str,
    model: str | os.PathLike,
    folder: str | os.PathLike,
    *,
    generator: keras.Model | None = None,
    quantize: bool = False,
    overwrite: bool = False,
) -> Written:
    """Writes an exported generator in another format, with its record and a program that uses it.

    Args:
        format: a key of `FORMATS`.
        model: the folder of a SavedModel that `export.saved_model` wrote.
        folder: where to; must not exist unless ``overwrite``.
        generator: the same generator as a Keras model; only ``"keras"`` needs it.
        quantize: 8-bit weights (``"litert"`` only): a quarter of the size, for a loss of quality.
        overwrite: whether an existing export is replaced.

    Raises:
        UsageError: the folder exists, an option does not fit, or the written model's images differ
            from the SavedModel's.
        ModuleNotFoundError: a converter or a runtime is not installed.
    """
    chosen = FORMATS[one_of("format", format, FORMATS)]
    check(format, quantize)
    if chosen.write is None and generator is None:
        raise UsageError("format 'keras': it needs the generator, a SavedModel has no layers.")
    folder = Path(folder)
    export.check_target(folder, overwrite)
    loaded = export.load_generator(model)
    with files.replacing(folder) as temporary:
        temporary.mkdir()
        path = temporary / usage.FILES[format]
        if chosen.write is None:
            generator.save(path)
        elif quantize:
            _write_litert(loaded, path, quantize=True)
        else:
            chosen.write(loaded, path)
        size = sum(part.stat().st_size for part in temporary.iterdir())
        feed = inputs(loaded, COMPARED)
        wanted = run_saved_model(loaded)(feed)
        apart = np.abs(np.subtract(chosen.load(path)(feed), wanted, dtype="float64")) / GREY
        written = Written(folder, float(apart.max()), float(apart.mean()), size)
        if not quantize and not written.largest <= _CLOSE:
            raise UsageError(
                f"{format}: the images differ by {written.largest:.3g} grey levels from the "
                "SavedModel's; use that, or another format."
            )
        _write_record(temporary, format, loaded, written, wanted.ndim == 4)
    return written


def check(format: str, quantize: bool = False) -> None:
    """Refuses a format that cannot be written here, before anything is computed; as `write`."""
    if quantize and format != "litert":
        raise UsageError(f"quantize with the format {format!r}: only litert knows it.")
    for package in FORMATS[format].needs:
        if importlib.util.find_spec(package) is None:
            raise ModuleNotFoundError(f"No module named {package!r}", name=package)


def inputs(loaded: ExportedGenerator, count: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Latents of the prior, and every label in turn, under the names of the signature.

    Where the prior is unknown or not this package's, the latents are normal.
    """
    spec = loaded.signatures["serving_default"].structured_input_signature[1]
    prior = loaded.prior or {}
    kind = prior.get("kind") if prior.get("kind") in latents.PRIORS else "normal"
    drawn = latents.get(kind, spec["latent"].shape[1])
    latent = drawn.draw(count, Draws(seed, 0, "formats/"), prior.get("truncation"))
    feed = {"latent": np.asarray(latent, "float32")}
    if loaded.conditional:
        feed["label"] = np.arange(count, dtype="int32") % len(loaded.class_names or [0])
    return feed


def run_saved_model(loaded: ExportedGenerator) -> Callable[[Feed], np.ndarray]:
    """Runs the SavedModel itself, as the other formats are run."""
    signature = loaded.signatures["serving_default"]
    return lambda feed: signature(**{k: tf.constant(v) for k, v in feed.items()})["images"].numpy()


def _write_record(
    folder: Path, format: str, loaded: ExportedGenerator, written: Written, images: bool
) -> None:
    prior = loaded.prior or {"kind": "an unknown one", "dim": inputs(loaded, 1)["latent"].shape[1]}
    names = loaded.class_names
    if loaded.conditional and names is None:
        names = ("0",)
    record = {
        "format": format,
        "latent": prior,
        "class_names": names,
        "compared": COMPARED,
        "largest_difference_in_grey_levels": written.largest,
        "mean_difference_in_grey_levels": written.mean,
    }
    files.write_text(folder / export.RECORD, json.dumps(record, indent=1) + "\n")
    files.write_text(folder / "usage.py", usage.code(format, prior, names, images=images))


# The formats


def _write_onnx(loaded: ExportedGenerator, path: Path) -> None:
    import onnx
    import tf2onnx

    signature = loaded.signatures["serving_default"]
    specs = [*signature.structured_input_signature[1].values()]

    @tf.function(input_signature=specs, autograph=False)
    def generate(*tensors: tf.Tensor) -> dict[str, tf.Tensor]:
        return signature(**{spec.name: x for spec, x in zip(specs, tensors, strict=True)})

    model, _ = tf2onnx.convert.from_function(generate, specs)
    about = {"latent": json.dumps(loaded.prior), "class_names": json.dumps(loaded.class_names)}
    onnx.helper.set_model_props(model, about)
    onnx.save(model, path)


def _load_onnx(path: Path) -> Callable[[Feed], np.ndarray]:
    import onnxruntime

    session = onnxruntime.InferenceSession(path)
    return lambda feed: session.run(["images"], dict(feed))[0]


def _write_litert(loaded: ExportedGenerator, path: Path, *, quantize: bool = False) -> None:
    converter = tf.lite.TFLiteConverter.from_saved_model(
        str(loaded.folder), signature_keys=["serving_default"]
    )
    converter.optimizations = [tf.lite.Optimize.DEFAULT] if quantize else []
    path.write_bytes(converter.convert())


def _load_litert(path: Path) -> Callable[[Feed], np.ndarray]:
    from ai_edge_litert.interpreter import Interpreter

    generate = Interpreter(str(path)).get_signature_runner("serving_default")
    return lambda feed: generate(**feed)["images"]


def _write_openvino(loaded: ExportedGenerator, path: Path) -> None:
    import openvino

    model = openvino.convert_model(loaded.signatures["serving_default"])
    openvino.save_model(model, path, compress_to_fp16=False)


def _load_openvino(path: Path) -> Callable[[Feed], np.ndarray]:
    import openvino

    generate = openvino.compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda feed: generate(dict(feed))["images"]


def _load_keras(path: Path) -> Callable[[Feed], np.ndarray]:
    import keras

    model = keras.models.load_model(path)

    def run(feed: Feed) -> np.ndarray:
        given = [feed[name] for name in ("latent", "label") if name in feed]
        return model.predict_on_batch(given if len(given) > 1 else given[0])

    return run


FORMATS = {
    "keras": Format((), None, _load_keras),
    "onnx": Format(("tf2onnx", "onnx", "onnxruntime"), _write_onnx, _load_onnx),
    "litert": Format(("ai_edge_litert",), _write_litert, _load_litert),
    "openvino": Format(("openvino",), _write_openvino, _load_openvino),
}
