"""The central claim on images: no average, EMA, uniform average, and EMA with LeakyEMA.

Fashion-MNIST and CIFAR-10 at reduced width. Averaging does not affect training, so all generators
of a seed that have no leak come from one training. A leaky run continues from the state of that
training where its leak starts, before which it changes nothing; its average is the one that leaks.
All seeds share data sets and budgets, not batches: a seed decides its own order of the data and its
own first weights. The smoke budget takes scikit-learn's digits instead.

Scores are mean ± standard deviation over the seeds, curves mean and range. All generators of a seed
are measured on the same latents. Batch statistics of averages are estimated before each
measurement, except in the row of the raw generator's. Orderings: paired t-tests over the seeds,
two-sided, 5 % level; a negative difference is a smaller distance. With few seeds only differences
much larger than their scatter can be told from chance, and with one seed there is no test.
"""

import base64
import functools
import io
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from ml_collections import ConfigDict
from PIL import Image

from tfgan_ema import runs
from tfgan_ema.data import png
from tfgan_ema.lab.experiments import points, training, verdicts
from tfgan_ema.lab.experiments.cells import Cell, Progress
from tfgan_ema.lab.experiments.experiment import Experiment, Results, Row, select, values
from tfgan_ema.lab.experiments.points import RAW
from tfgan_ema.lab.experiments.training import dcgan
from tfgan_ema.lab.reports import pages, pictures
from tfgan_ema.metrics import Evaluator
from tfgan_ema.progress import visible

STRIP = 6  # fixed latents that are pictured over time
DECAY = 0.999


class Problem(NamedTuple):
    """A set of images and how its generators are scored.

    Attributes:
        title: for people.
        data: of the configuration.
        space: the feature space of the metrics.
    """

    title: str
    data: dict[str, Any]
    space: str

    @property
    def distance(self) -> str:
        """The metric of the curves; its result has the same name."""
        return "fid" if self.space == "inception" else f"fd_{self.space}"


_FASHION = {"name": "fashion_mnist", "channels": 1}
PROBLEMS = {
    "fashion_mnist": Problem("Fashion-MNIST", _FASHION, "fashion_classifier"),
    "cifar10": Problem("CIFAR-10", {"name": "cifar10", "flip": True}, "inception"),
}
DIGITS = Problem("digits", {"name": "digits", "image_size": 16, "channels": 1}, "pixels")


class Budget(NamedTuple):
    """How much of a problem.

    Attributes:
        network: of the configuration, with what else its recipe changes there.
        steps: generator steps; leaks start after a third and after two thirds of them.
        every: steps between two points of the curves.
        curve: samples of each point.
        final: samples of the last measurement, which has precision and recall too.
        seeds: of each cell.
        step: seconds of one core for a step.
        sample: seconds of one core to draw, embed and compare 1,000 samples.
        coverage: seconds of one core for precision and recall.
        betas: shares that leak.
    """

    network: dict[str, Any]
    steps: int
    every: int
    curve: int
    final: int
    seeds: int
    step: float
    sample: float
    coverage: float
    betas: Sequence[float] = (0.25, 0.5, 0.75)

    @property
    def starts(self) -> list[int]:
        """The steps from which leaks begin."""
        return [self.steps // 3, 2 * self.steps // 3]

    def leaks(self) -> list[dict[str, Any]]:
        """The leaks, as in a configuration."""
        return [{"beta": b, "start_step": start} for start in self.starts for b in self.betas]

    def seconds(self, leak: dict[str, Any] | None) -> float:
        """Of one core, for a cell."""
        generators, points = (1, 1) if leak else (4, self.steps // self.every)
        steps = self.steps - (leak["start_step"] if leak else 0)
        samples = generators * (points * self.curve + self.final) / 1000
        return steps * self.step + generators * self.coverage + samples * self.sample + 20


_SN_ADAM = {"name": "adam", "learning_rate": 2e-4, "beta_1": 0.0, "beta_2": 0.9}
_SNGAN = {
    "network": {"name": "sngan_32"}, "loss": {"name": "hinge"}, "n_dis": 5,
    "d_optimizer": _SN_ADAM, "g_optimizer": _SN_ADAM,
}  # fmt: skip
_SMOKE = Budget(dcgan(1 / 16), 30, 10, 100, 200, 2, 0.03, 0.5, 0.5, (0.5,))
BUDGETS = {
    "smoke": dict.fromkeys(PROBLEMS, _SMOKE),
    "desk": {
        "fashion_mnist": Budget(dcgan(0.25), 9000, 1000, 5000, 10_000, 3, 0.065, 0.4, 25.0),
        "cifar10": Budget(dcgan(0.5), 6000, 1000, 1000, 10_000, 1, 0.1, 80.0, 60.0),
    },
    "paper": {
        "fashion_mnist": Budget(dcgan(1.0), 99_000, 3000, 10_000, 50_000, 5, 0.5, 0.5, 40.0),
        "cifar10": Budget(_SNGAN, 99_000, 11_000, 10_000, 50_000, 5, 40.0, 115.0, 700.0),
    },
}


def cells(names: Sequence[str], budget: str) -> list[Cell]:
    """For each seed of a set one cell without a leak, then one for each leak."""
    return [
        _cell(name, budget, seed, leak)
        for name in names
        for seed in range(BUDGETS[budget][name].seeds)
        for leak in (None, *BUDGETS[budget][name].leaks())
    ]


def _cell(name: str, budget: str, seed: int, leak: dict[str, Any] | None) -> Cell:
    sizes, problem = BUDGETS[budget][name], DIGITS if budget == "smoke" else PROBLEMS[name]
    plain, function = f"{name}-{seed}", "tfgan_ema.lab.experiments.images:measure"
    options = {
        "problem": name,
        "name": f"{plain}-{leak['start_step']}-{leak['beta']:g}" if leak else plain,
        "plain": plain,  # the cell of this seed that has no leak
        "seed": seed,
        "leak": leak,
        "changes": {"data": problem.data, **sizes.network},
        "distance": problem.distance,
        "space": problem.space,
        **{key: getattr(sizes, key) for key in ("steps", "every", "curve", "final", "starts")},
    }
    return Cell(options["name"], function, options, sizes.seconds(leak))


def measure(folder: Path, progress: Progress, **options: Any) -> dict[str, Any]:
    """Trains one seed and measures its generators on the same latents.

    Without a leak, the curves of all generators and their last measurement; at the steps where
    leaks may start, the state is written for the cells that continue from there. With one, the last
    measurement of the average, and of the raw generator on the samples of a curve's point. The
    state at every point of the curves and the measurements so far are kept until all cells are
    done, so that an interrupted cell resumes.

    Returns:
        ``rows``: one for each generator and measurement; ``strip``: of seed 0 without a leak,
        pictures of fixed latents, generator -> step -> PNG.
    """
    o = SimpleNamespace(**options)
    config = configuration(options)
    source = runs.load_source(config)
    gan = runs.build_gan(config, source.shape, None)
    columns = points.columns(gan)
    curve = Evaluator([o.distance], source, samples=o.curve)
    final = Evaluator(_metrics(options), source, samples=o.final)
    last = [(RAW, curve), ("ema", final)] if o.leak else [(column, final) for column in columns]
    forks = {step: folder / f"{o.plain}-from-{step}.npz" for step in o.starts}
    kept = folder / f"{o.name}.npz"
    done: dict[str, Any] = {"rows": [], "strip": {}, "last": 0}
    if kept.exists():
        done = points.restore(gan, kept)
    elif o.leak and forks[o.leak["start_step"]].exists():
        points.restore(gan, forks[o.leak["start_step"]])

    def score(column: str, evaluator: Evaluator) -> None:
        scores = evaluator(functools.partial(gan.sample, average=columns[column]))
        done["rows"].append({
            "problem": o.problem, "leak": label(o.leak), "seed": o.seed,
            "generator": column, "step": gan.steps_done, "samples": evaluator.samples,
            "metric": o.distance, "distance": scores[o.distance],
            "precision": scores.get(f"precision_{o.space}", ""),
            "recall": scores.get(f"recall_{o.space}", ""),
        })  # fmt: skip

    def keep() -> None:
        points.save(gan, kept, **done)
        progress((gan.steps_done // o.every + done["last"]) / (o.steps // o.every + len(last)))

    while gan.steps_done < o.steps:
        training.train(gan, source, config, o.every)
        step = gan.steps_done
        if not o.leak:
            for column, average in columns.items():
                score(column, curve)
                if o.seed == 0:
                    picture = _png(gan.sample(STRIP, 0, average=average))
                    done["strip"].setdefault(column, {})[str(step)] = picture
            if step in forks:
                points.save(gan, forks[step])
        keep()
    for column, evaluator in last[done["last"] :]:
        score(column, evaluator)
        done["last"] += 1
        keep()
    return {key: done[key] for key in ("rows", "strip")}


def _metrics(options: dict[str, Any]) -> list[str]:
    """Of the last measurement."""
    return [options["distance"], f"precision_recall_{options['space']}"]


def configuration(options: dict[str, Any]) -> ConfigDict:
    """The run of a cell."""
    averages = {
        "ema": {"decay": DECAY},
        "uniform": {"start_step": options["starts"][0]},
        "copied": {"kind": "ema", "decay": DECAY, "statistics": "copy"},
    }
    return training.configuration(options, averages)


def prepare(names: Sequence[str], budget: str) -> None:
    """Computes what the metrics need of the training sets once, not in each of the first cells."""
    for name in names:
        options = cells([name], budget)[0].options
        source = runs.load_source(configuration(options))
        evaluator = Evaluator(_metrics(options), source, progress=visible())
        evaluator.prepare(source.shape)


def label(leak: dict[str, Any] | None) -> str:
    """A leak in a table; empty for none."""
    return f"beta {leak['beta']:g} from step {leak['start_step']:,}" if leak else ""


def _png(images: np.ndarray) -> str:
    """Images below each other as a PNG in base64."""
    stream = io.BytesIO()
    Image.fromarray(np.squeeze(png.grid(images, columns=1, padding=1))).save(stream, format="PNG")
    return base64.b64encode(stream.getvalue()).decode()


def parts(names: Sequence[str], budget: str, table: list[Row], results: Results) -> list[str]:
    """The page: a section for each set."""
    return [part for name in names for part in section(name, budget, table, results)]


def section(name: str, budget: str, table: list[Row], results: Results) -> list[str]:
    """Scores, orderings, curves and fixed latents of a set."""
    sizes, table = BUDGETS[budget][name], select(table, problem=name)
    metric, strips = table[0]["metric"], results[f"{name}-0"]["strip"]

    def end(generator: str, leak: str = "", samples: int = sizes.final) -> dict[str, Any]:
        return {"generator": generator, "leak": leak, "step": sizes.steps, "samples": samples}

    plain = {
        "no average": end(RAW),
        "EMA": end("ema"),
        "uniform": end("uniform"),
        "EMA, batch statistics of the raw generator": end("copied"),
    }
    pairs = {
        "EMA better than no average": ("EMA", "no average"),
        "uniform average better than no average": ("uniform", "no average"),
        "EMA better than the uniform average": ("EMA", "uniform"),
        "EMA better with batch statistics of its own": ("EMA", list(plain)[-1]),
    }
    leaky, raw = {}, {"raw": end(RAW, samples=sizes.curve)}
    for leak in map(label, sizes.leaks()):
        leaky[f"EMA, leak {leak}"] = end("ema", leak)
        raw[f"raw, {leak}"] = end(RAW, leak, sizes.curve)
        pairs[f"leak {leak}: EMA better than without"] = (f"EMA, leak {leak}", "EMA")
        pairs[f"leak {leak}: raw generator better than without"] = (f"raw, {leak}", "raw")
    keys, scored = ("distance", "precision", "recall"), plain | leaky
    scores = [verdicts.means(table, key, scored) for key in keys]
    orderings = verdicts.orderings(table, "distance", scored | raw, pairs)
    latents = f"{STRIP} fixed latents of seed 0 by step, first to last"
    return [
        pages.heading(PROBLEMS[name].title),
        _description(sizes),
        pages.table(["", metric, *keys[1:]], zip(scored, *scores, strict=True)),
        pages.table(["ordering", "verdict"], zip(pairs, orderings, strict=True)),
        pages.drawing(_curves(table), f"{metric} of {sizes.curve:,} samples, by step."),
        *(
            pages.picture(_strip(strips[wanted["generator"]]), f"{what}: {latents}.")
            for what, wanted in plain.items()
        ),
    ]


def _description(sizes: Budget) -> str:
    network = sizes.network["network"]
    return (
        f"{network['name']} at {network.get('width', 1):g} of its width, {sizes.steps:,} steps of "
        f"64 images, seeds: {sizes.seeds}. The last measurement takes {sizes.final:,} samples, but "
        f"{sizes.curve:,} of raw generators beside a leak. EMA has decay {DECAY:g}; the uniform "
        f"average starts at step {sizes.starts[0]:,}."
    )


def _curves(table: list[Row]) -> Figure:
    """Learning curves of the run without a leak."""
    figure = Figure(figsize=(7, 3.8), layout="constrained")
    axis = figure.subplots()
    curve = select(table, leak="", precision="")
    steps = sorted({row["step"] for row in curve})
    for generator in dict.fromkeys(row["generator"] for row in curve):
        by_step = [values(curve, "distance", generator=generator, step=step) for step in steps]
        distances = np.array(by_step)
        (line,) = axis.plot(steps, distances.mean(1), marker="o", ms=3, label=generator)
        low, high = distances.min(1), distances.max(1)
        axis.fill_between(steps, low, high, alpha=0.2, color=line.get_color())
    axis.set(xlabel="step", ylabel=curve[0]["metric"], yscale="log")
    axis.legend()
    return figure


def _strip(by_step: dict[str, str]) -> str:
    """Pictures of all steps side by side as a data URI, a pixel as four."""
    columns = [
        np.asarray(Image.open(io.BytesIO(base64.b64decode(by_step[step]))))
        for step in sorted(by_step, key=int)
    ]
    strip = np.concatenate(columns, axis=1).repeat(2, axis=0).repeat(2, axis=1)
    return pictures.data_uri(strip, strip.shape[1])


def _experiment(name: str, problems: Sequence[str]) -> Experiment:
    title = f"Averages and LeakyEMA on {' and '.join(PROBLEMS[p].title for p in problems)}"
    made = (functools.partial(function, problems) for function in (cells, parts, prepare))
    return Experiment(name, title, __doc__, *made)


IMAGES = _experiment("images", list(PROBLEMS))  # takes over the cells of the other two
FASHION = _experiment("fashion", ["fashion_mnist"])
CIFAR = _experiment("cifar", ["cifar10"])
