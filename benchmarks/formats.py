"""The shipped image models in every format: sizes, differences, scores, milliseconds for an image.

    pip install -e '.[onnx,litert,openvino]'
    python -m benchmarks.formats [--models=NAMES] [--samples=5000] [--repeats=30]

Each format is run by its own runtime with the threads that it chooses, in one process, after
another; a time is the median over calls. The SavedModel and the 8-bit weights are scored on equal
latents, against the data that the model was trained on, by the distance of the model's card unless
that is FID; other formats are the SavedModel up to rounding.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

import zoo
from tfgan_ema import command
from zoo import shipped

FLAGS = command.new_flags(
    ("models", list, None, "Shipped models (default: all that make images)."),
    ("samples", command.whole(2), 5000, "Samples that are scored."),
    ("repeats", command.whole(), 30, "Calls of which the median is taken."),
)
SIZES = (1, 16)  # rows of a call
SCORED = ("SavedModel", "litert, 8 bits")


def milliseconds(generate: Callable, feed: dict[str, np.ndarray], repeats: int) -> float:
    """The median time of a call, per row."""
    times = []
    for _ in range(repeats + 3):
        start = time.perf_counter()
        generate(feed)
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times[3:]) / len(feed["latent"])


def _rows(feed: dict[str, np.ndarray], first: int, count: int) -> dict[str, np.ndarray]:
    return {name: values[first : first + count] for name, values in feed.items()}


def _measure(name: str, samples: int, repeats: int) -> None:
    from tfgan_ema import formats, progress, runs, sampling, usage
    from tfgan_ema.metrics import Evaluator

    card, loaded = shipped.card(name), zoo.load(name)
    metric = next(iter(card["metrics"]["averaged"]))
    source = runs.load_source(ConfigDict(card["config"]), card["data"]["name"])
    feed = formats.inputs(loaded, samples)

    def report(kind: str, size: int, apart: Sequence[float], generate: Callable) -> None:
        places = iter(range(0, samples, 50))

        def draw(count: int, seed: int) -> np.ndarray:
            chunks = [generate(_rows(feed, next(places), 50)) for _ in range(-(-count // 50))]
            return np.asarray(sampling.to_uint8(np.concatenate(chunks)))[:count]

        times = [milliseconds(generate, _rows(feed, 0, rows), repeats) for rows in SIZES]
        score = ""
        if kind in SCORED and metric != "fid":  # which takes hours on a small machine
            scores = Evaluator([metric], source, samples=samples, batch=50)(draw)
            score = f"{metric} {scores[metric]:.4g}"
        cells = [f"{value:.2g}" for value in apart] + [score]
        cells += [f"{value:.2f}" for value in times]
        print(f"| {name} | {kind} | {size / 1e6:.2f} | {' | '.join(cells)} |", flush=True)

    report("SavedModel", card["bytes"], (0, 0), formats.run_saved_model(loaded))
    with tempfile.TemporaryDirectory() as scratch:
        for kind in (*formats.FORMATS, "litert, 8 bits"):
            format = kind.partition(",")[0]
            folder, path = Path(scratch, kind), Path(scratch, kind, usage.FILES[format])
            generator = zoo.load(name, keras=True) if kind == "keras" else None
            with progress.silence():
                made = formats.write(
                    format,
                    shipped.folder(name),
                    folder,
                    generator=generator,
                    quantize=kind != format,
                )
                generate = formats.FORMATS[format].load(path)
            report(kind, made.size, (made.largest, made.mean), generate)


def _run(values: command.Flags, _: list[str]) -> None:
    command.start_engine()
    images = [name for name in shipped.names() if len(shipped.card(name)["data"]["shape"]) == 3]
    print(
        "| model | format | MB | largest difference, grey levels | mean | score | "
        "ms an image, batch of 1 | of 16 |\n|---|---|---|---|---|---|---|---|"
    )
    for name in values.models or images:
        _measure(name, values.samples, values.repeats)


def main(argv: Sequence[str]) -> int:
    """Runs the command; returns its exit code."""
    return command.run(_run, FLAGS, __doc__, argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
