"""The central claim on images: no average, EMA, uniform average, and EMA with LeakyEMA.

Fashion-MNIST and CIFAR-10 at reduced width. Averages only look on, so all generators of a seed that
have no leak come from one training; a leaky cell goes on from that training's state where its leak
starts, before which it changes nothing. All seeds share sets and budgets, not batches: a seed
decides its own order of data and its own first weights.
"""

from __future__ import annotations

import base64
import functools
import io
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from ml_collections import ConfigDict
from PIL import Image

from tfgan_ema import checkpoint, data, runs
from tfgan_ema.data import png
from tfgan_ema.lab.experiments import experiment, points, verdicts
from tfgan_ema.lab.experiments.cells import Cell
from tfgan_ema.lab.reports import pages
from tfgan_ema.metrics import Evaluator

STRIP = 6  # fixed latents that are pictured over time
DECAY = 0.999


class Problem(NamedTuple):
    """A set of images and how it is judged.

    Attributes:
        title: for people.
        data: of the configuration.
        distance: the metric of the curves; its result has the same name.
        space: the feature space of precision and recall.
    """

    title: str
    data: dict[str, Any]
    distance: str
    space: str


PROBLEMS = {
    "fashion_mnist": Problem(
        "Fashion-MNIST",
        {"name": "fashion_mnist", "channels": 1},
        "fd_fashion_classifier",
        "fashion_classifier",
    ),
    "cifar10": Problem("CIFAR-10", {"name": "cifar10", "flip": True}, "fid", "inception"),
}
_DIGITS = {"name": "digits", "image_size": 16, "channels": 1}
DIGITS = Problem("digits in its place", _DIGITS, "fd_pixels", "pixels")


class Budget(NamedTuple):
    """How much of a problem.

    Attributes:
        network: of the configuration, with what else its recipe changes there.
        steps: generator steps; leaks start after a third and after two thirds of them.
        every: steps between two points of the curves.
        curve: samples of each.
        final: samples of the last measurement, which has precision and recall too.
        seeds: of each cell.
        betas: shares that leak.
        step: seconds of one core for a step.
        sample: seconds of one core to draw, embed and compare 1,000 samples.
        coverage: seconds of one core for precision and recall.
    """

    network: dict[str, Any]
    steps: int
    every: int
    curve: int
    final: int
    seeds: int = 3
    betas: Sequence[float] = (0.25, 0.5, 0.75)
    step: float = 0.0
    sample: float = 0.0
    coverage: float = 0.0

    @property
    def starts(self) -> tuple[int, int]:
        """The steps from which leaks begin."""
        return self.steps // 3, 2 * self.steps // 3


def _dcgan(width: float) -> dict[str, Any]:
    return {"network": {"name": "dcgan_32", "width": width}}


_SN_ADAM = {"name": "adam", "learning_rate": 2e-4, "beta_1": 0.0, "beta_2": 0.9}
_SNGAN = {
    "network": {"name": "sngan_32"}, "loss": {"name": "hinge"}, "n_dis": 5,
    "d_optimizer": _SN_ADAM, "g_optimizer": _SN_ADAM,
}  # fmt: skip
_SMOKE = Budget(_dcgan(1 / 16), 30, 10, 100, 200, 2, (0.5,), 0.03, 0.5, 0.5)
BUDGETS = {
    "smoke": dict.fromkeys(PROBLEMS, _SMOKE),
    "desk": {
        "fashion_mnist": Budget(
            _dcgan(0.25), 9000, 1000, 5000, 10_000, step=0.065, sample=0.4, coverage=25.0
        ),
        "cifar10": Budget(
            _dcgan(0.5), 6000, 1000, 1000, 10_000, 1, step=0.1, sample=80.0, coverage=60.0
        ),
    },
    "paper": {
        "fashion_mnist": Budget(
            _dcgan(1.0), 99_000, 3000, 10_000, 50_000, 5, step=0.5, sample=0.5, coverage=40.0
        ),
        "cifar10": Budget(
            _SNGAN, 99_000, 11_000, 10_000, 50_000, 5, step=40.0, sample=115.0, coverage=700.0
        ),
    },
}


def cells(budget: str, names: Sequence[str]) -> list[Cell]:
    """For each seed of a set one cell without a leak, then one for each leak."""
    found = []
    for name in names:
        problem = DIGITS if budget == "smoke" else PROBLEMS[name]
        sizes = BUDGETS[budget][name]
        for seed in range(sizes.seeds):
            options = {
                "problem": name,
                "seed": seed,
                "changes": {"data": problem.data, **sizes.network},
                "distance": problem.distance,
                "space": problem.space,
                **{key: getattr(sizes, key) for key in ("steps", "every", "curve", "final")},
                "starts": list(sizes.starts),
            }
            plain = f"{name}-{seed}"
            draws = sizes.sample / 1000
            cost = sizes.steps * sizes.step + 4 * sizes.coverage
            cost += 4 * (sizes.steps // sizes.every * sizes.curve + sizes.final) * draws + 20
            found.append(_cell(plain, options, plain, None, cost))
            for start in sizes.starts:
                for beta in sizes.betas:
                    cost = 1.05 * (sizes.steps - start) * sizes.step + sizes.coverage
                    cost += (sizes.curve + sizes.final) * draws + 20
                    leak = {"beta": beta, "start_step": start}
                    found.append(_cell(f"{plain}-{start}-{beta:g}", options, plain, leak, cost))
    return found


def _cell(
    name: str, options: dict[str, Any], plain: str, leak: dict[str, Any] | None, cost: float
) -> Cell:
    options = {**options, "name": name, "plain": plain, "leak": leak}
    return Cell(name, "tfgan_ema.lab.experiments.images:measure", options, cost)


def measure(
    problem: str,
    name: str,
    plain: str,
    seed: int,
    leak: dict[str, Any] | None,
    changes: dict[str, Any],
    distance: str,
    space: str,
    steps: int,
    every: int,
    curve: int,
    final: int,
    starts: Sequence[int],
    folder: Path,
    progress: Callable[[float], None],
) -> dict[str, Any]:
    """Trains one seed and measures its generators on the same latents.

    Without a leak, the curves of all generators, their last measurement, and where leaks may start
    the state, for the cell that goes on from there. With one, the last measurement of the average,
    and of the raw generator on the samples of a curve's point. The state at every point of the
    curves and what is measured so far are kept until all cells are done, so that a cell goes on
    from there.

    Returns:
        ``rows``: one a generator and measurement; ``strip``: of seed 0 without a leak, pictures of
        fixed latents, generator -> step -> PNG.
    """
    config = configuration(changes, seed, steps, every, starts[0], leak)
    source = runs.load_source(config)
    gan = runs.build_gan(config, source.shape, None)
    small = Evaluator([distance], source, samples=curve)
    large = Evaluator(_final_metrics(distance, space), source, samples=final)
    columns = points.columns(gan) if leak is None else {points.RAW: None, "ema": 0}
    last = [(column, large) for column in columns]
    if leak is not None:
        last = [(points.RAW, small), ("ema", large)]
    kept = folder / f"{name}.npz"
    found: dict[str, Any] = {"rows": [], "strip": {}, "last": 0}
    if kept.exists():
        arrays, found = checkpoint.read(kept)
        checkpoint.assign(gan.state(), arrays, kept)
    elif leak and _fork(folder, plain, leak["start_step"]).exists():
        points.go_on_from(gan, _fork(folder, plain, leak["start_step"]))

    def score(column: str, evaluator: Evaluator) -> dict[str, Any]:
        scores = evaluator(functools.partial(gan.sample, average=columns[column]))
        return {
            "problem": problem, "leak": label(leak), "seed": seed, "generator": column,
            "step": gan.steps_done, "samples": evaluator.samples, "metric": distance,
            "distance": scores[distance],
            "precision": scores.get(f"precision_{space}", ""),
            "recall": scores.get(f"recall_{space}", ""),
        }  # fmt: skip

    def keep() -> None:
        checkpoint.write(kept, checkpoint.to_arrays(gan.state()), **found)
        progress((gan.steps_done // every + found["last"]) / (steps // every + len(last)))

    while gan.steps_done < steps:
        _train(gan, source, config, every)
        step = gan.steps_done
        if leak is None:
            found["rows"] += [score(column, small) for column in columns]
        if leak is None and seed == 0:
            for column, average in columns.items():
                pictures = found["strip"].setdefault(column, {})
                pictures[str(step)] = _picture(gan.sample(STRIP, 0, average=average))
        if leak is None and step in starts:
            checkpoint.write(_fork(folder, plain, step), checkpoint.to_arrays(gan.state()))
        keep()
    for column, evaluator in last[found["last"] :]:
        found["rows"].append(score(column, evaluator))
        found["last"] += 1
        keep()
    return {key: found[key] for key in ("rows", "strip")}


def _final_metrics(distance: str, space: str) -> list[str]:
    return [distance, f"precision_recall_{space}"]


def prepare(budget: str, names: Sequence[str]) -> None:
    """Makes what is known of the training sets once, not in each of the first cells."""
    for name in names:
        o = cells(budget, [name])[0].options
        config = configuration(
            o["changes"], o["seed"], o["steps"], o["every"], o["starts"][0], None
        )
        source = runs.load_source(config)
        metrics = _final_metrics(o["distance"], o["space"])
        Evaluator(metrics, source, progress=sys.stderr.isatty()).prepare(source.shape)


def configuration(
    changes: dict[str, Any],
    seed: int,
    steps: int,
    every: int,
    uniform_from: int,
    leak: dict[str, Any] | None,
) -> ConfigDict:
    """The run of a cell."""
    from configs import base

    config = base.get_config()
    config.update(changes)
    config.steps, config.seed = steps, seed
    config.averages = {
        "ema": {"rule": "ema", "decay": DECAY},
        "uniform": {"rule": "uniform", "start_step": uniform_from},
        "copied": {"rule": "ema", "decay": DECAY, "statistics": "copy"},
    }
    config.leak.update(leak or {})
    config.steps_per_execution = math.gcd(every, 100)
    return config


def _train(gan: Any, source: data.Source, config: ConfigDict, steps: int) -> None:
    batches = data.pipeline(
        source,
        config.n_dis * config.batch_size,
        seed=config.seed,
        start=gan.steps_done,
        flip=config.data.flip,
    )
    gan.fit(batches, steps_per_epoch=steps, verbose=0, shuffle=False)


def _fork(folder: Path, plain: str, step: int) -> Path:
    """Where a cell without a leak leaves its state for those that leak from a step on."""
    return folder / f"{plain}-from-{step}.npz"


def label(leak: dict[str, Any] | None) -> str:
    """A leak in a table; empty for none."""
    return f"beta {leak['beta']:g} from step {leak['start_step']:,}" if leak else ""


def _picture(images: np.ndarray) -> str:
    """Images below each other as a PNG in base64."""
    stream = io.BytesIO()
    Image.fromarray(np.squeeze(png.grid(images, columns=1, padding=1))).save(stream, format="PNG")
    return base64.b64encode(stream.getvalue()).decode()


# The page


def reproduce(out: Path, budget: str) -> Path:
    """Both sets; see `experiment.run`. Takes over the cells of either set alone from its folder."""
    return _reproduce("images", list(PROBLEMS), out, budget)


def reproduce_fashion(out: Path, budget: str) -> Path:
    """Fashion-MNIST alone."""
    return _reproduce("fashion", ["fashion_mnist"], out, budget)


def reproduce_cifar(out: Path, budget: str) -> Path:
    """CIFAR-10 alone."""
    return _reproduce("cifar", ["cifar10"], out, budget)


def _reproduce(name: str, names: list[str], out: Path, budget: str) -> Path:
    titles = " and ".join(PROBLEMS[problem].title for problem in names)

    def body(table: list[dict[str, Any]], results: dict[str, Any]) -> list[str]:
        return [part for n in names for part in _section(n, budget, table, results)]

    return experiment.run(
        name, f"Averages and LeakyEMA on {titles}", budget, out,
        lambda budget: cells(budget, names), rows, body,
        functools.partial(prepare, budget, names),
    )  # fmt: skip


def rows(results: dict[str, Any]) -> list[dict[str, Any]]:
    """One row a seed, cell, generator and measurement."""
    return [row for result in results.values() for row in result["rows"]]


def _values(
    table: Sequence[dict[str, Any]], leak: str, generator: str, key: str = "distance"
) -> list[float]:
    """A generator's values in the rows of one measurement, by seed."""
    found = [r for r in table if (r["leak"], r["generator"]) == (leak, generator)]
    return [row[key] for row in sorted(found, key=lambda row: row["seed"])]


def _section(
    name: str, budget: str, table: Sequence[dict[str, Any]], results: dict[str, Any]
) -> list[str]:
    sizes, title = BUDGETS[budget][name], PROBLEMS[name].title
    mine = [row for row in table if row["problem"] == name]
    ended = [row for row in mine if row["step"] == sizes.steps]
    large = [row for row in ended if row["precision"] != ""]
    small = [row for row in ended if row["precision"] == ""]
    metric = mine[0]["metric"]
    leaks = [label({"beta": b, "start_step": s}) for s in sizes.starts for b in sizes.betas]
    generators = [("no average", "", points.RAW), ("EMA", "", "ema"), ("uniform", "", "uniform")]
    generators += [("EMA, batch statistics of the raw generator", "", "copied")]
    generators += [(f"EMA, leak {leak}", leak, "ema") for leak in leaks]
    scores = [
        [what, *(verdicts.spread(_values(large, leak, g, key)) for key in
                 ("distance", "precision", "recall"))]
        for what, leak, g in generators
    ]  # fmt: skip
    claims = [
        ("EMA better than no average", large, ("", "ema"), ("", points.RAW)),
        ("uniform average better than no average", large, ("", "uniform"), ("", points.RAW)),
        ("EMA better than the uniform average", large, ("", "ema"), ("", "uniform")),
        ("EMA better with batch statistics of its own", large, ("", "ema"), ("", "copied")),
        *((f"leak {leak}: EMA better than without", large, (leak, "ema"), ("", "ema"))
          for leak in leaks),
        *((f"leak {leak}: raw generator better than without", small, (leak, points.RAW),
           ("", points.RAW)) for leak in leaks),
    ]  # fmt: skip
    caption = f"{metric} of {sizes.curve:,} samples by step"
    caption += ": mean and range over the seeds." if sizes.seeds > 1 else "."
    strips = results[f"{name}-0"]["strip"]
    latent = f"{STRIP} fixed latents of seed 0 by step, first to last"
    return [
        f"<h2>{title}</h2><p>{_said(name, budget)}</p>",
        pages.table(["", metric, "precision", "recall"], scores),
        *_verdicts(claims, sizes),
        "<h3>Raw and averaged over training</h3>",
        pages.figure(pages.image(pages.inline(_curves(mine, sizes)), caption), caption),
        "<h3>Evolution of fixed latents</h3>",
        *(
            pages.figure(_strip(strips[g]), f"{what}: {latent}.")
            for what, _, g in generators[:4]
        ),
    ]  # fmt: skip


def _verdicts(claims: Sequence[tuple[str, Any, Any, Any]], sizes: Budget) -> list[str]:
    """One seed has differences, of which no test can tell whether they are chance."""
    tested = (
        f"Paired t-test over the {sizes.seeds} seeds, two-sided, 5 % level. With {sizes.seeds} "
        "seeds only differences much larger than their scatter can be told from chance."
    )
    title, columns = "Verdicts", ["ordering", "verdict", "difference", "p"]
    if sizes.seeds == 1:
        tested = "One seed, so no test: how far apart seeds are is not known."
        title, columns = "Differences", ["ordering", "difference"]
    lines = [_verdict(claim) for claim in claims]
    return [
        f"<h3>{title}</h3><p>{tested} A negative difference is a smaller distance. Averaged "
        f"generators are compared on {sizes.final:,} samples, raw ones with a leak on "
        f"{sizes.curve:,}.</p>",
        pages.table(columns, [[line[column] for column in columns] for line in lines]),
    ]


def _said(name: str, budget: str) -> str:
    sizes = BUDGETS[budget][name]
    network = sizes.network["network"]
    seeds = "one seed"
    if sizes.seeds > 1:
        seeds = f"{sizes.seeds} seeds: mean ± standard deviation"
    instead = "" if budget != "smoke" else f" Smoke budget: {DIGITS.title}."
    return (
        f"{network['name']} at {network.get('width', 1):g} of its width, {sizes.steps:,} steps of "
        f"64 images, {seeds}; {sizes.final:,} samples of each generator. "
        f"EMA with decay {DECAY:g}; the uniform average starts at step {sizes.starts[0]:,}; the "
        "average of a leaky run is the one that leaks. Batch statistics of averages are "
        "re-estimated before each measurement, except in the row that says otherwise. All "
        f"generators of a seed are measured on the same latents.{instead}"
    )


def _verdict(claim: tuple[str, Any, Any, Any]) -> dict[str, str]:
    what, table, one, other = claim
    verdict, difference, p = verdicts.lower(_values(table, *one), _values(table, *other))
    word = {"lower": "holds", "higher": "is reversed"}.get(verdict, verdict)
    return {
        "ordering": what, "verdict": word, "difference": f"{difference:+.3f}", "p": f"{p:.2g}",
    }  # fmt: skip


def _curves(table: Sequence[dict[str, Any]], sizes: Budget) -> Figure:
    """Learning curves of the run without a leak."""
    figure = Figure(figsize=(7, 3.8), layout="constrained")
    axis = figure.subplots()
    curve = [row for row in table if row["leak"] == "" and row["precision"] == ""]
    steps = sorted({row["step"] for row in curve})
    for generator in dict.fromkeys(row["generator"] for row in curve):
        values = np.array(
            [_values([r for r in curve if r["step"] == s], "", generator) for s in steps]
        )
        (line,) = axis.plot(steps, values.mean(axis=1), marker="o", ms=3, label=generator)
        axis.fill_between(steps, values.min(1), values.max(1), alpha=0.2, color=line.get_color())
    axis.set(xlabel="step", ylabel=curve[0]["metric"], yscale="log")
    axis.legend()
    return figure


def _strip(pictures: dict[str, str]) -> str:
    """Pictures of all steps side by side, a pixel as four."""
    columns = []
    for step in sorted(pictures, key=int):
        with Image.open(io.BytesIO(base64.b64decode(pictures[step]))) as image:
            columns.append(np.asarray(image))
    stream = io.BytesIO()
    twice = np.concatenate(columns, axis=1).repeat(2, axis=0).repeat(2, axis=1)
    Image.fromarray(twice).save(stream, format="PNG")
    uri = "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()
    return pages.image(uri, "samples by step")
