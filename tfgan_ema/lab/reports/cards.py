"""Model cards: what a trained generator is, how it was made, what it scores.

`add` makes a shipped model of a finished run, `check` tests whether its card is true.
"""

import functools
import json
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

from configs import shipped as recipes
from tfgan_ema import files, progress, runs, usage
from tfgan_ema.data import png
from tfgan_ema.errors import UsageError
from tfgan_ema.gan import GAN
from tfgan_ema.lab.reports import charts, pages, pictures
from tfgan_ema.metrics import METRICS, Evaluator
from tfgan_ema.records import read_table
from zoo import shipped

MOST_BYTES, MOST_BYTES_TOGETHER = 12_000_000, 60_000_000
SEEDS = [0, 1, 2]  # a set of samples is scored for each
IMAGES, POINTS = 64, 2000  # first samples of seed 0 that are hashed and shown
MOST_PICTURES = 8  # of the run's, copied into the model's folder

LICENCE = "Apache-2.0"
DATA_LICENCES = {"fashion_mnist": "MIT", "cifar10": "none stated by its authors"}


def add(
    name: str,
    workdir: str | Path,
    *,
    average: int | str = 0,
    metrics: Sequence[str] | None = None,
    samples: int = 10_000,
    overwrite: bool = False,
) -> Path:
    """Exports a finished run's generator as the shipped model ``name``, with its card.

    The raw and the averaged generator are scored on the same latents, once for each of `SEEDS`.

    Args:
        name: a row of ``configs/shipped.py``, the recipe.
        workdir: the run, trained to its last step.
        average: index or name of the average that is shipped.
        metrics: names in `metrics.METRICS`; ``None`` means those of the run's configuration.
        samples: how many are scored for each seed.
        overwrite: whether a model of that name is replaced.

    Returns:
        The model's folder.

    Raises:
        UsageError: no such recipe, an unfinished run, a model that exists already or is too large.
    """
    from tfgan_ema import export

    workdir = Path(workdir)
    recipe = recipes.get_config(name)
    files.clear_leftovers(shipped.FOLDER)  # a killed command may have moved the model aside
    if name in shipped.names() and not overwrite:
        raise UsageError(f"{shipped.folder(name)} exists: pass overwrite=True to replace it.")
    run, gan = runs.read_run(workdir), runs.load_run(workdir)
    if run["config"] is None:
        raise UsageError(f"{workdir} was trained from Python: a card tells how `train` made it.")
    config = ConfigDict(run["config"])
    if gan.steps_done < config.steps:
        raise UsageError(
            f"{workdir} is at step {gan.steps_done} of {config.steps}: train it to its end first."
        )
    chosen = gan.average(average)
    if chosen is None:
        raise UsageError(f"average {average!r}: expected an average; the zoo ships no raw weights.")
    evaluator = _evaluator(run, metrics, samples)
    with files.replacing(shipped.FOLDER / name) as folder:
        names = run["data"].get("class_names")
        export.saved_model(gan, folder, average=chosen.name, class_names=names)
        size = _checked_size(name, folder)
        count = IMAGES if len(gan.generator.output_shape) == 4 else POINTS
        first = gan.sample(count, 0, average=chosen.name)
        (png.save_grid if first.ndim == 4 else png.save_scatter)(folder / "samples.png", first)
        (folder / "steps").mkdir()
        drawn = pictures.sample_pictures(workdir / "samples")
        for picture in pictures.evenly_spaced(drawn, MOST_PICTURES):
            shutil.copy(picture, folder / "steps")
        changes = _changes(recipe, config)
        licence = DATA_LICENCES.get(run["data"]["name"], "none needed (drawn from a seed)")
        card = {
            "name": name,
            "data": run["data"] | {"split": config.data.split, "licence": licence},
            "recipe": f"configs/shipped.py:{name}",
            "changes": changes,
            "config": run["config"],
            "commands": _commands(name, changes, run["versions"], average),
            "latent": export.load_generator(folder).prior,
            "average": chosen.name,
            "steps": gan.steps_done,
            "hours": _hours(workdir),
            "device": run["device"],
            "seed": config.seed,
            "parameters": int(gan.generator.count_params()),
            "samples": {"count": count, "seed": 0, "sha256": plain_hash(folder, count, 0)},
            "metrics": _scores(gan, chosen.name, evaluator),
            "history": charts.histories(read_table(workdir / "evaluation.csv")),
            "bytes": size,
            "licence": LICENCE,
            "versions": run["versions"] | {"python": platform.python_version()},
            "machine": platform.machine(),
        }
        card["limits"] = pages.render("card_limits.txt.j2", card=card).splitlines()
        files.write_text(folder / "card.json", json.dumps(card, indent=1) + "\n")
        files.write_text(folder / "card.md", markdown(card))
    return shipped.FOLDER / name


def check(name: str) -> dict[str, bool]:
    """Tests what a shipped model's card claims; claim -> whether it is true.

    The first samples are drawn in a process that knows TensorFlow alone; the first set of samples
    is scored again.

    Raises:
        UsageError: no such model, or its reference set is not available.
    """
    folder, card = shipped.folder(name), shipped.card(name)
    drawn, metrics = card["samples"], card["metrics"]
    claims = {
        f"the first {drawn['count']} samples of seed {drawn['seed']} have the card's SHA-256 "
        "(TensorFlow alone, bit for bit)": plain_hash(folder, drawn["count"], drawn["seed"])
        == drawn["sha256"]
    }
    evaluator = _evaluator(card, list(metrics["spaces"]), metrics["samples"])
    evaluator.seed = metrics["seeds"][0]
    scores = evaluator(shipped.load(name).sample)
    for metric, values in metrics["averaged"].items():
        error = standard_error(values)
        claim = f"{metric} {scores[metric]:.4g} is {values[0]:.4g} within {error:.2g}"
        # Equal scores have no standard error, but another machine may round their last digit.
        claims[claim] = abs(scores[metric] - values[0]) <= error + 1e-5 * abs(values[0])
    return claims


def plain_hash(folder: Path, count: int, seed: int) -> str:
    """SHA-256 of an export's samples, drawn in a process that cannot import this package.

    Raises:
        UsageError: TensorFlow cannot load or run it.
    """
    script = Path(__file__).with_name("plain_tensorflow.py")
    command = [sys.executable, "-P", str(script), str(folder), str(count), str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise UsageError(f"{folder} does not run in TensorFlow alone ({last}): export it anew.")
    return done.stdout.strip()


def standard_error(values: Sequence[float]) -> float:
    """The standard error of the mean of independent values."""
    return float(np.std(values, ddof=1) / np.sqrt(len(values)))


def size(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def markdown(card: Mapping[str, Any]) -> str:
    """The card for people."""
    changes = ", ".join(f"{key} {value}" for key, value in card["changes"].items())
    context = {"scores": score_rows(card), "scores_note": scores_note(card), "changes": changes}
    names = card["data"]["class_names"] if card["data"]["num_classes"] else None
    context["usage"] = usage.code(
        "saved_model", card["latent"], names, folder=json.dumps(card["name"])
    )
    return pages.render("card.md.j2", card=card, **context)


def score_rows(card: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Metric, raw, averaged, their difference on the same latents: each mean ± standard error."""
    raw, averaged = card["metrics"]["raw"], card["metrics"]["averaged"]
    rows = []
    for metric, values in averaged.items():
        columns = raw[metric], values, np.subtract(values, raw[metric])
        rows.append((metric, *(f"{np.mean(v):.4g} ± {standard_error(v):.2g}" for v in columns)))
    return rows


def scores_note(card: Mapping[str, Any]) -> str:
    """What the numbers of `score_rows` are."""
    return pages.render("card_scores.txt.j2", card=card)


def _checked_size(name: str, folder: Path) -> int:
    """The bytes of an export that is not too large to be shipped."""
    mine = size(folder)
    together = mine + sum(size(shipped.folder(n)) for n in shipped.names() if n != name)
    limits = {name: (mine, MOST_BYTES), "all models together": (together, MOST_BYTES_TOGETHER)}
    for what, (value, most) in limits.items():
        if value > most:
            raise UsageError(
                f"{what}: {value / 1e6:.1f} MB, expected at most {most / 1e6:.0f} MB; train a "
                "narrower network (network.width)."
            )
    return mine


def _evaluator(made: Mapping[str, Any], metrics: Sequence[str] | None, samples: int) -> Evaluator:
    """Scores samples against the data of a run or a card."""
    config = made["config"]
    source = runs.load_source(ConfigDict(config), made["data"]["name"])
    metrics = list(metrics or config["evaluate"]["metrics"])
    return Evaluator(metrics, source, samples=samples, progress=progress.visible())


def _scores(gan: GAN, average: str, evaluator: Evaluator) -> dict[str, Any]:
    """Scores of the raw and of the averaged generator, one value for each seed."""
    values: dict[str, dict[str, list[float]]] = {"raw": {}, "averaged": {}}
    for seed in SEEDS:
        evaluator.seed = seed
        for column, drawn in (("raw", "raw"), ("averaged", average)):
            scores = evaluator(functools.partial(gan.sample, average=drawn))
            for metric, value in scores.items():
                values[column].setdefault(metric, []).append(value)
    spaces = {metric: METRICS[metric].space for metric in evaluator.metrics}
    return {"samples": evaluator.samples, "seeds": SEEDS, "spaces": spaces, **values}


def _changes(recipe: ConfigDict, config: ConfigDict) -> dict[str, Any]:
    """The dotted keys in which a run differs from its recipe."""
    wanted, used = (runs.flatten(runs.plain(each)) for each in (recipe, config))
    return {key: value for key, value in used.items() if wanted.get(key) != value}


def _commands(
    name: str, changes: Mapping[str, Any], versions: Mapping[str, str], average: int | str
) -> dict[str, str]:
    """The commands that make the run, the model and its numbers again."""
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in changes.items()}
    options = "".join(f" {shlex.quote(f'--config.{k}={v}')}" for k, v in values.items())
    backend = "KERAS_BACKEND=jax " if "jax" in versions else ""
    workdir = f"--workdir=runs/{name}"
    return {
        "train": f"{backend}tfgan-ema train --config=shipped:{name} {workdir}{options}",
        "add": f"tfgan-ema zoo add {name} {workdir} --average={average}",
        "check": f"tfgan-ema zoo check {name}",
    }


def _hours(workdir: Path) -> float:
    """Training time alone, by the clock of the machine that trained."""
    rows = read_table(workdir / "metrics.csv")
    steps = np.diff([0, *(int(row["step"]) for row in rows)])
    seconds = [float(row["seconds_per_step"]) for row in rows]
    return float(f"{float(steps @ seconds) / 3600:.3g}")
