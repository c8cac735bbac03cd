"""Model cards: what a trained generator is, how it was made, what it scores, if that holds.

`add` makes a shipped model of a finished run, `check` puts it to the test.
"""

from __future__ import annotations

import functools
import json
import os
import platform
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from tfgan_ema import export, runs
from tfgan_ema.data import png
from tfgan_ema.errors import UsageError, unknown
from tfgan_ema.gan import GAN
from tfgan_ema.lab.reports import pictures
from tfgan_ema.metrics import Evaluator
from tfgan_ema.metrics.evaluator import METRICS
from tfgan_ema.records import read_table
from zoo import shipped

MOST_BYTES, MOST_BYTES_TOGETHER = 12_000_000, 60_000_000
REPEATS = 3  # sets of samples that are scored, one a seed: the spread is the standard error
IMAGES, POINTS = 64, 2000  # first samples of seed 0 that are hashed and shown
STEPS = 8  # pictures over the run that come along

LICENCE = "Apache-2.0"
DATA_LICENCES = {"fashion_mnist": "MIT", "cifar10": "none stated by its authors"}

# What anybody with TensorFlow can run. One thread: sums are then taken in one order.
PLAIN = """
import hashlib, sys
sys.modules["tfgan_ema"] = sys.modules["keras"] = None  # importing them now fails
import tensorflow as tf
tf.config.threading.set_intra_op_parallelism_threads(1)
model, count, seed = tf.saved_model.load(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
samples = model.signatures["sample"](count=tf.constant(count), seed=tf.constant(seed, tf.int64))
print(hashlib.sha256(samples["images"].numpy().tobytes()).hexdigest())
"""


def add(
    name: str,
    workdir: str | os.PathLike,
    *,
    average: str = "0",
    metrics: Sequence[str] | None = None,
    samples: int = 10_000,
    overwrite: bool = False,
) -> Path:
    """Exports a finished run's generator as the shipped model ``name``, with its card.

    Raw and averaged generator are scored on the same latents, `REPEATS` times with other seeds.

    Args:
        name: a row of ``configs/shipped.py``, the recipe.
        workdir: the run, trained to its last step.
        average: index or name of the average that is shipped.
        metrics: names in `metrics.METRICS`; ``None`` means those of the run's configuration.
        samples: in each set that is scored.
        overwrite: whether a model of that name is replaced.

    Returns:
        The model's folder.

    Raises:
        UsageError: no such recipe, an unfinished run, a model that is there already or too large.
    """
    from configs import shipped as recipes

    workdir = Path(workdir)
    if name not in recipes.ROWS:
        raise unknown("recipe of configs/shipped.py", name, recipes.ROWS)
    if name in shipped.names() and not overwrite:
        raise UsageError(f"{shipped.folder(name)} exists: pass --overwrite to replace it.")
    run, gan = runs.read_run(workdir), runs.load_run(workdir)
    config = ConfigDict(run["config"])
    if gan.steps_done < config.steps:
        raise UsageError(
            f"{workdir} is at step {gan.steps_done} of {config.steps}: train it to its end first."
        )
    chosen = gan.average(average)
    if chosen is None:
        raise UsageError(f"average {average!r}: expected an average; the zoo ships no raw weights.")
    evaluator = _evaluator(config, run["data"]["name"], metrics, samples)
    shipped.FOLDER.mkdir(parents=True, exist_ok=True)
    temporary = shipped.FOLDER / f".{name}.{os.getpid()}.tmp"
    try:
        export.saved_model(gan, temporary, average=chosen.name)
        size = _checked_size(name, temporary)
        count = IMAGES if len(gan.generator.output_shape) == 4 else POINTS
        first = gan.sample(count, 0, average=chosen.name)
        (png.save_grid if first.ndim == 4 else png.save_scatter)(temporary / "samples.png", first)
        _copy_pictures(workdir / "samples", temporary / "steps")
        card = {
            "name": name,
            "data": run["data"]
            | {"split": config.data.split, "licence": _data_licence(run["data"]["name"])},
            "recipe": f"configs/shipped.py:{name}",
            "changes": _changes(recipes.get_config(name), config),
            "config": run["config"],
            "commands": _commands(name, recipes.get_config(name), run, average),
            "average": chosen.name,
            "steps": gan.steps_done,
            "hours": _hours(workdir),
            "device": run.get("device", "a device that its run did not note"),
            "seed": config.seed,
            "parameters": int(gan.generator.count_params()),
            "samples": {"count": count, "seed": 0, "sha256": plain_hash(temporary, count, 0)},
            "metrics": _measured(gan, chosen.name, evaluator),
            "history": _history(workdir),
            "bytes": size,
            "licence": LICENCE,
            "versions": run["versions"] | {"python": platform.python_version()},
            "machine": platform.machine(),
        }
        card["limits"] = _limits(card)
        _write(temporary / "card.json", json.dumps(card, indent=1) + "\n")
        _write(temporary / "card.md", markdown(card))
        shutil.rmtree(shipped.FOLDER / name, ignore_errors=True)
        temporary.replace(shipped.FOLDER / name)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return shipped.FOLDER / name


def check(name: str) -> dict[str, bool]:
    """What a shipped model's card says, put to the test: claim -> whether it holds.

    The first samples are drawn in a process that knows TensorFlow alone; the first set of samples
    is scored again.

    Raises:
        UsageError: no such model, or its reference set cannot be had.
    """
    folder, card = shipped.folder(name), shipped.card(name)
    drawn, metrics = card["samples"], card["metrics"]
    found = plain_hash(folder, drawn["count"], drawn["seed"])
    claims = {
        f"the first {drawn['count']} samples of seed {drawn['seed']} are those of the card "
        "(TensorFlow alone, bit for bit)": found == drawn["sha256"]
    }
    evaluator = _evaluator(
        ConfigDict(card["config"]), card["data"]["name"], list(metrics["spaces"]),
        metrics["samples"],
    )  # fmt: skip
    evaluator.seed = metrics["seeds"][0]
    scores = evaluator(shipped.load(name).sample)
    for metric, values in metrics["averaged"].items():
        error = standard_error(values)
        claim = f"{metric} {scores[metric]:.4g} is {values[0]:.4g} within {error:.2g}"
        # Equal scores of equal sets have no spread, but their last digit may be another's rounding.
        claims[claim] = abs(scores[metric] - values[0]) <= error + 1e-5 * abs(values[0])
    return claims


def plain_hash(folder: Path, count: int, seed: int) -> str:
    """SHA-256 of an export's samples, drawn in a process that cannot import this package.

    Raises:
        UsageError: TensorFlow cannot load or run it.
    """
    words = [sys.executable, "-c", PLAIN, str(folder), str(count), str(seed)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise UsageError(f"{folder} does not run in TensorFlow alone ({last}): export it anew.")
    return done.stdout.strip()


def standard_error(values: Sequence[float]) -> float:
    """Of the mean of independent values."""
    return float(np.std(values, ddof=1) / np.sqrt(len(values)))


def size(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _checked_size(name: str, folder: Path) -> int:
    """The bytes of an export that is not too large to be shipped."""
    mine = size(folder)
    others = sum(size(shipped.folder(other)) for other in shipped.names() if other != name)
    for what, value, most in (
        (name, mine, MOST_BYTES), ("all models together", mine + others, MOST_BYTES_TOGETHER)
    ):  # fmt: skip
        if value > most:
            raise UsageError(
                f"{what}: {value / 1e6:.1f} MB, expected at most {most / 1e6:.0f} MB; train a "
                "narrower network (network.width)."
            )
    return mine


def _evaluator(
    config: ConfigDict, data: str, metrics: Sequence[str] | None, samples: int
) -> Evaluator:
    return Evaluator(
        list(metrics or config.evaluate.metrics),
        runs.load_source(config, data),
        samples=samples,
        progress=sys.stderr.isatty(),
    )


def _measured(gan: GAN, average: str, evaluator: Evaluator) -> dict[str, Any]:
    """Scores of the raw and of the averaged generator, a value a seed."""
    seeds = list(range(REPEATS))
    found: dict[str, dict[str, list[float]]] = {"raw": {}, "averaged": {}}
    for seed in seeds:
        evaluator.seed = seed
        for generator, drawn in (("raw", "raw"), ("averaged", average)):
            scores = evaluator(functools.partial(gan.sample, average=drawn))
            for metric, value in scores.items():
                found[generator].setdefault(metric, []).append(value)
    spaces = {metric: METRICS[metric].space for metric in evaluator.metrics}
    return {"samples": evaluator.samples, "seeds": seeds, "spaces": spaces, **found}


def _changes(recipe: ConfigDict, config: ConfigDict) -> dict[str, Any]:
    """The dotted keys in which a run differs from its recipe."""
    wanted, had = (runs.flatten(runs.plain(each)) for each in (recipe, config))
    return {key: value for key, value in had.items() if wanted.get(key) != value}


def _commands(
    name: str, recipe: ConfigDict, run: Mapping[str, Any], average: str
) -> dict[str, str]:
    """What makes the run, the model and its numbers again."""
    changes = "".join(
        " " + shlex.quote(f"--config.{key}={tuple(value) if isinstance(value, list) else value}")
        for key, value in _changes(recipe, ConfigDict(run["config"])).items()
    )
    backend = "KERAS_BACKEND=jax " if "jax" in run["versions"] else ""
    place = f"runs/{name}"
    return {
        "train": f"{backend}tfgan-ema train --config=shipped:{name} --workdir={place}{changes}",
        "add": f"tfgan-ema zoo add {name} --workdir={place} --average={average}",
        "check": f"tfgan-ema zoo check {name}",
    }


def _hours(workdir: Path) -> float:
    """Training alone, by the clock of the machine that trained."""
    rows = read_table(workdir / "metrics.csv")
    steps = np.diff([0, *(int(row["step"]) for row in rows)])
    seconds = [float(row["seconds_per_step"]) for row in rows]
    return float(f"{float(steps @ seconds) / 3600:.3g}")


def _history(workdir: Path) -> dict[str, dict[str, list[list[float]]]]:
    """Metric -> generator -> [step, value] of the run's own evaluations."""
    rows = read_table(workdir / "evaluation.csv")
    found: dict[str, dict[str, list[list[float]]]] = {}
    for row in rows:
        for metric in [key for key in row if key not in ("step", "generator")]:
            curve = found.setdefault(metric, {}).setdefault(row["generator"], [])
            curve.append([int(row["step"]), float(row[metric])])
    return found


def _copy_pictures(samples: Path, folder: Path) -> None:
    """Some of a run's pictures over the steps, for the gallery."""
    folder.mkdir()
    for picture in pictures.evenly_spaced(pictures.sample_pictures(samples), STEPS):
        shutil.copy(picture, folder)


def _data_licence(name: str) -> str:
    return DATA_LICENCES.get(name, "none needed (drawn from a seed)")


def _limits(card: Mapping[str, Any]) -> list[str]:
    """What not to expect, from what the card holds."""
    config, data = card["config"], card["data"]
    shape = "x".join(map(str, data["shape"]))
    width = config["network"].get("width", 1.0)
    narrow = f", at {width:g} of its width" if width != 1 else ""
    return [
        f"One seed of {config['network']['name']}{narrow}, {card['steps']:,} steps: its scores are "
        "not those of a published model.",
        f"Makes samples of shape {shape} like those of {data['name']}, and nothing else.",
        f"Scores come from {card['metrics']['samples']:,} samples against the {data['split']} "
        "split, and are comparable only at that number and in that feature space.",
        f"The hash is that of processors like the one that made it ({card['machine']}): others may "
        "round differently.",
    ]


def markdown(card: Mapping[str, Any]) -> str:
    """The card for people."""
    data, drawn, metrics = card["data"], card["samples"], card["metrics"]
    changes = ", ".join(f"{k} {v}" for k, v in card["changes"].items()) or "none"
    facts = {
        "data": f"{data['name']}, split {data['split']}, shape {data['shape']}; licence: "
        f"{data['licence']}",
        "recipe": f"`{card['recipe']}`; changes: {changes}",
        "network": f"{card['config']['network']['name']}, generator of {card['parameters']:,} "
        "parameters",
        "shipped": f"average `{card['average']}`, step {card['steps']:,}, seed {card['seed']}",
        "training": f"{card['hours']:.2f} hours on {card['device']}",
        "samples": f"first {drawn['count']} of seed {drawn['seed']}, sha256 `{drawn['sha256']}`",
        "size": f"{card['bytes'] / 1e6:.2f} MB",
        "licence": card["licence"],
        "made with": ", ".join(f"{k} {v}" for k, v in card["versions"].items()),
    }
    scores = "\n".join(f"| {' | '.join(row)} |" for row in score_rows(card))
    spaces = ", ".join(f"{metric}: {space}" for metric, space in metrics["spaces"].items())
    return (
        f"# {card['name']}\n\n![First {drawn['count']} samples of seed {drawn['seed']}]"
        "(samples.png)\n\n| | |\n|---|---|\n"
        + "".join(f"| {key} | {value} |\n" for key, value in facts.items())
        + "\n## Scores\n\n| metric | raw | averaged | averaged - raw |\n|---|---|---|---|\n"
        + f"{scores}\n\n{scores_note(card)} Feature spaces: {spaces}.\n"
        + "\n## Made by\n\n```\n"
        + "\n".join(card["commands"].values())
        + "\n```\n\n## Limits\n\n"
        + "".join(f"- {limit}\n" for limit in card["limits"])
    )


def score_rows(card: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Metric, raw, averaged, their difference on the same latents: each mean ± standard error."""
    raw, averaged = card["metrics"]["raw"], card["metrics"]["averaged"]
    rows = []
    for metric, values in averaged.items():
        difference = np.subtract(values, raw[metric])
        rows.append((metric, *(_mean(v) for v in (raw[metric], values, difference))))
    return rows


def scores_note(card: Mapping[str, Any]) -> str:
    """What the numbers of `score_rows` are."""
    metrics = card["metrics"]
    return (
        f"Mean ± standard error of {len(metrics['seeds'])} sets of {metrics['samples']:,} samples, "
        "raw and averaged on the same latents; the error is that of sampling, not of training "
        "again."
    )


def _mean(values: Sequence[float]) -> str:
    return f"{np.mean(values):.4g} ± {standard_error(values):.2g}"


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
