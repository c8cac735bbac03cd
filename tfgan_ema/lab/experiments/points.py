"""Trains stacks of small GANs on points of the plane and measures them on the way."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from keras import ops
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tfgan_ema import averaging, checkpoint, losses, mixing, optimizers, penalties
from tfgan_ema.lab.experiments.cells import Progress
from tfgan_ema.lab.stacked import StackedGAN, stacked_mlp
from tfgan_ema.latents import Draws

Tensor = Any
Sampler = Callable[[int, Draws], Tensor]
Metric = Callable[[np.ndarray, np.ndarray], float]

# Column of a page -> the rows that belong in it, and which column should be below which
COLUMNS = {
    "no average": {"leak": False, "column": "none"},
    "EMA 0.999": {"leak": False, "column": "ema"},
    "uniform average": {"leak": False, "column": "uniform"},
    "EMA 0.9999": {"leak": False, "column": "ema_0.9999"},
    "LeakyEMA, raw": {"leak": True, "column": "none"},
    "LeakyEMA, EMA 0.999": {"leak": True, "column": "ema"},
    "LeakyEMA, uniform": {"leak": True, "column": "uniform"},
}
ORDERINGS = {
    "EMA better than no average": ("EMA 0.999", "no average"),
    "EMA better than the uniform average": ("EMA 0.999", "uniform average"),
    "leak: raw generator better than without": ("LeakyEMA, raw", "no average"),
    "leak: EMA better than without": ("LeakyEMA, EMA 0.999", "EMA 0.999"),
}

RAW = "none"  # the column of the generator that is not averaged
SHOWN = 400  # samples in a picture


class Method(NamedTuple):
    """A way of training, as plain values: what a cell's options hold.

    Attributes:
        loss: arguments of `losses.get`.
        optimizer: of both players, as for `optimizers.get`.
        penalty: ``[name, options]`` of `penalties.get`, one each.
        update: the order of the GAN's updates.
        n_dis: updates of the discriminator for one of the generator.
    """

    loss: dict[str, Any]
    optimizer: dict[str, Any]
    penalty: Sequence[tuple[str, dict[str, Any]]] = ()
    update: str = "alternating"
    n_dis: int = 1


def mixture(centers: np.ndarray, sigma: float) -> Sampler:
    """Fresh samples of the equal mixture of N(center, sigma^2 I): rows, draws -> [rows, 2]."""
    table = np.asarray(centers, np.float32)

    def sample(rows: int, draws: Draws) -> Tensor:
        chosen = draws.integers((rows,), len(table), "mode")
        return ops.take(table, chosen, axis=0) + sigma * draws.normal((rows, 2), "noise")

    return sample


def averages(steps: int) -> dict[str, dict[str, Any]]:
    """EMA 0.999 and the uniform average over the second half of training."""
    return {
        "ema": {"rule": "ema", "decay": 0.999},
        "uniform": {"rule": "uniform", "start_step": steps // 2},
    }


def half_leak(leaky: bool, steps: int) -> dict[str, Any] | None:
    """The leak of the experiments: half of the real batch, in the second half of training."""
    return {"beta": 0.5, "start_step": steps // 2} if leaky else None


def stack(
    method: Method,
    seeds: Sequence[int],
    networks: dict[str, Any],
    latent: Any,
    averages: dict[str, dict[str, Any]],
    leak: dict[str, Any] | None,
) -> StackedGAN:
    """A compiled stack of GANs, one for each seed.

    Args:
        method: how they are trained.
        seeds: of the networks' first weights and of every draw.
        networks: options of the ``mlp``.
        latent: a prior.
        averages: name -> options of `averaging.get`.
        leak: options of `mixing.LeakyEMA`, or ``None``.
    """
    gan = StackedGAN(
        *stacked_mlp(seeds=seeds, latent_dim=latent.dim, **networks),
        latent=latent,
        loss=losses.get(**method.loss),
        penalties=[penalties.get(name, **options) for name, options in method.penalty],
        averages=[averaging.get(name=key, **rule) for key, rule in averages.items()],
        leak=mixing.LeakyEMA(**leak) if leak else None,
        update_order=method.update,
        n_dis=method.n_dis,
        seed=tuple(seeds),
    )
    gan.compile(*(optimizers.get(method.optimizer) for _ in range(2)), jit_compile=True)
    return gan


def train(
    gan: StackedGAN,
    real: Sampler,
    batch_size: int,
    steps: int,
    every: int,
    middle: Path | None = None,
    progress: Progress = lambda share: None,
) -> Iterator[tuple[int, dict[str, float]]]:
    """Trains; yields the step and the logs every ``every`` steps, last at ``steps``.

    Until a leak starts, halfway, training with and without it is the same. Given a file ``middle``,
    the GAN without a leak writes its state there halfway. The one with a leak continues from that
    state if the file exists, and yields nothing of the first half.
    """
    rows, half = len(gan.seed) * batch_size, steps // 2

    def batch(step: Tensor) -> Tensor:
        streams = ["data/", *(f"data/{k}/" for k in range(1, gan.n_dis))]  # one for each update
        return ops.concatenate([real(rows, gan.draws(stream, step)) for stream in streams])

    if middle and gan.leak:
        if middle.exists():
            restore(gan, middle)
        else:
            gan.run(batch, half)
    while gan.steps_done < steps:
        logs = gan.run(batch, min(every, steps - gan.steps_done))
        if middle and gan.steps_done == half:
            save(gan, middle)
        yield gan.steps_done, logs
        progress(gan.steps_done / steps)


def save(gan: Any, path: Path, **metadata: Any) -> None:
    """Writes the state of a GAN, and what else JSON can hold."""
    checkpoint.write(path, checkpoint.to_arrays(gan.state()), **metadata)


def restore(gan: Any, path: Path) -> dict[str, Any]:
    """Gives a GAN the state in a file, which may be of one without the leak.

    Returns:
        The file's metadata.
    """
    arrays, metadata = checkpoint.read(path)
    state = gan.state()
    checkpoint.assign({key: state[key] for key in arrays if key in state}, arrays, path)
    return metadata


def columns(gan: Any) -> dict[str, int | str]:
    """The generators of a run: column -> ``average``, the argument of the GAN's methods."""
    return {RAW: "raw"} | {average.name: i for i, average in enumerate(gan.averages)}


def samples(gan: StackedGAN, latent: np.ndarray) -> dict[str, np.ndarray]:
    """Column -> points [S, n, 2] that each generator makes of the same latents [n, d]."""
    seeds, count = len(gan.seed), len(latent)
    repeated = np.tile(latent, (seeds, 1))
    return {
        column: gan.generate(repeated, average=average).reshape(seeds, count, -1)
        for column, average in columns(gan).items()
    }


def shown(made: dict[str, np.ndarray]) -> dict[str, list[list[float]]]:
    """What a picture needs of `samples`: some points of the first seed, rounded."""
    return {column: np.round(stack[0, :SHOWN], 3).tolist() for column, stack in made.items()}


def draw(real: Sampler, count: int, seed: int) -> np.ndarray:
    """``count`` real points for measuring; their stream is not the one of training."""
    return ops.convert_to_numpy(real(count, Draws(seed, 0, "reference/")))


class Distances:
    """Distances between what the generators of a stack make and fresh real points.

    Args:
        real: draws the real points.
        count: points of each set.
    """

    def __init__(self, real: Sampler, count: int) -> None:
        self._real, self._count = real, count
        self._values = defaultdict(lambda: defaultdict(list))

    def measure(self, gan: StackedGAN, step: int, **metrics: Metric) -> dict[str, np.ndarray]:
        """Measures at a step, by named metrics of two sets of points; returns the `samples`."""
        latent = np.random.default_rng(step).standard_normal((self._count, 2), np.float32)
        made, truth = samples(gan, latent), draw(self._real, self._count, seed=step)
        for column, stack in made.items():
            for seed, points in enumerate(stack):
                for name, metric in metrics.items():
                    self._values[seed, column][name].append(metric(points, truth))
        return made

    def rows(self) -> list[dict[str, Any]]:
        """A row for each seed and column, with the mean of each metric over the steps."""
        return [
            {"seed": seed, "column": column} | {k: float(np.mean(v)) for k, v in row.items()}
            for (seed, column), row in self._values.items()
        ]


def support(gan: StackedGAN, extent: float, side: int = 60) -> np.ndarray:
    """Logits [side, side] of the first seed's discriminator over [-extent, extent]^2."""
    axis = np.linspace(-extent, extent, side, dtype=np.float32)
    points = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    logits = gan.players.logits(ops.convert_to_tensor(np.tile(points, (len(gan.seed), 1))))
    return ops.convert_to_numpy(logits)[: side**2].reshape(side, side)


def panels(rows: Sequence[str], titles: Sequence[str], extent: float) -> tuple[Figure, np.ndarray]:
    """Axes on the plane, [-extent, extent]^2: a row for each of ``rows``, titles above."""
    figure = Figure(figsize=(1.8 * len(titles), 1.8 * len(rows)), layout="constrained")
    limits = (-extent, extent)
    plane = {"xlim": limits, "ylim": limits, "xticks": [], "yticks": [], "aspect": "equal"}
    axes = figure.subplots(len(rows), len(titles), squeeze=False, subplot_kw=plane)
    for axis, row in zip(axes[:, 0], rows, strict=True):
        axis.set_ylabel(row, fontsize=9)
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title, fontsize=9)
    return figure, axes


def scatter(axis: Axes, points: Any, color: str) -> None:
    """Points of a picture, [n, 2]."""
    axis.scatter(*np.asarray(points).T, s=2, color=color, lw=0, rasterized=True)
