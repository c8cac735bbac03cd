"""The ring of Gaussians of the (alpha_D, alpha_G)-GAN (Otstot 2023): mode coverage over seeds.

Eight Gaussians on the unit circle. As in the authors' code, 50,000 points and as many latents are
drawn once and gone through in the same order in every epoch, each batch of points with the same
latents, which serve the discriminator's update and then the generator's. A seed succeeds when its
25,000 test samples cover all eight modes, and fails when they cover none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from tfgan_ema.data import mixtures
from tfgan_ema.lab.experiments import experiment, points, verdicts
from tfgan_ema.lab.experiments.cells import Cell
from tfgan_ema.lab.experiments.points import Method
from tfgan_ema.lab.reports import pages
from tfgan_ema.latents import Draws, Replay, replayed
from tfgan_ema.metrics import mode_coverage

SIGMA = 0.01
MODES = 8
BATCH_SIZE = 128
NETWORKS = {"g_hidden": [400] * 4, "d_hidden": [200] * 4}
ADAM = {"name": "adam", "learning_rate": 1e-4, "beta_1": 0.9, "beta_2": 0.999}
ALPHAS = (0.3, 0.5, 0.7, 1.0)
SECONDS = 1.1e-2  # of one core, for a step of one seed

# Success and failure of 200 seeds after 400 epochs, saturating, alpha_G = 1, in percent.
PAPER = {0.3: (87, 2), 0.5: (80, 5), 0.7: (74, 7), 1.0: (47, 30)}
PAPER_EPOCHS, PAPER_SEEDS = 400, 200

_REAL = {"size": 50_000, "test": 25_000}
_SMOKE = {"size": 1280, "test": 500, "epochs": 4, "every": 1, "seeds": 4, "stack": 2}
_PAPER = {**_REAL, "epochs": PAPER_EPOCHS, "every": 20, "seeds": PAPER_SEEDS, "stack": 10}
# training points; test latents; epochs; a measurement every so many; seeds a game, in stacks of
ALPHA_BUDGETS = {
    "smoke": _SMOKE,
    "desk": {**_REAL, "epochs": 18, "every": 1, "seeds": 40, "stack": 10},
    "paper": _PAPER,
}
BUDGETS = {
    "smoke": _SMOKE,
    "desk": {**_REAL, "epochs": 16, "every": 2, "seeds": 10, "stack": 5},
    "paper": _PAPER,
}


def _alpha(alpha: float, saturating: bool) -> dict[str, Any]:
    return {"loss": "alpha", "alpha_d": alpha, "alpha_g": 1.0, "saturating": saturating}


def _cells(games: dict[str, dict[str, Any]], budget: dict[str, int]) -> list[Cell]:
    """The cells of every game, its seeds cut into stacks; games of one `fork` share a half."""
    sizes = dict(budget)
    seeds, stack = sizes.pop("seeds"), sizes.pop("stack")
    steps = sizes["size"] // BATCH_SIZE * sizes["epochs"]
    return [
        Cell(
            f"{name}-{first}",
            "tfgan_ema.lab.experiments.ring:measure",
            {**game, **sizes, "seeds": list(range(first, min(first + stack, seeds)))},
            min(stack, seeds - first) * steps * SECONDS * (0.5 if game["leaky"] else 1) + 8,
        )
        for name, game in games.items()
        for first in range(0, seeds, stack)
    ]


def measure(
    loss: dict[str, Any],
    leaky: bool,
    fork: str | None,
    size: int,
    test: int,
    epochs: int,
    every: int,
    seeds: Sequence[int],
    folder: Path,
    progress: Callable[[float], None],
) -> list[dict[str, Any]]:
    """Trains a stack of seeds; one row a seed, generator and measured epoch."""
    data = mixtures.ring(size, seed=0)[0]
    latents = np.random.default_rng(0).standard_normal((size, 2), np.float32)
    fixed = np.random.default_rng(1).standard_normal((test, 2), np.float32)
    per_epoch = size // BATCH_SIZE
    steps = epochs * per_epoch
    gan = points.stack(
        Method(loss, ADAM),
        seeds,
        networks=NETWORKS,
        latent=Replay(latents),
        averages={
            "ema": {"rule": "ema", "decay": 0.999},
            "uniform": {"rule": "uniform", "start_step": steps // 2},
        },
        leak={"beta": 0.5, "start_step": steps // 2} if leaky else None,
    )

    def real(rows: int, draws: Draws) -> Any:
        return replayed(data, rows, draws)

    rows = []
    middle = folder / f"{fork}-{seeds[0]}.npz" if fork else None
    for step, _ in points.train(gan, real, BATCH_SIZE, steps, every * per_epoch, middle):
        for column, made in points.samples(gan, fixed).items():
            rows += [
                {"seed": seed, "epoch": step // per_epoch, "generator": column}
                | _rounded(mode_coverage(made[i], mixtures.ring_centers(MODES), SIGMA))
                for i, seed in enumerate(seeds)
            ]
        progress(step / steps)
    return rows


def _rounded(measured: dict[str, float]) -> dict[str, float]:
    return {key: round(value, 6) for key, value in measured.items()}


def _rows(results: dict[str, Any]) -> list[dict[str, Any]]:
    """One row a seed, generator and epoch, with the name of its game."""
    return [
        {"game": name.rsplit("-", 1)[0], **row}
        for name, result in results.items()
        for row in result
    ]


def _counts(table: list[dict[str, Any]], **wanted: Any) -> tuple[int, int, int]:
    """Seeds that succeed, that fail, and all, among the rows that match."""
    modes = [row["modes"] for row in table if all(row[key] == v for key, v in wanted.items())]
    return sum(m == MODES for m in modes), sum(m == 0 for m in modes), len(modes)


# Alpha


def alpha_game(alpha: float) -> str:
    """The name of the saturating game with that alpha_D."""
    return f"alpha_{alpha:g}"


def reproduce_alpha(out: Path, budget: str) -> Path:
    """The ring under saturating alpha-losses; see `experiment.run`."""
    games = {alpha_game(a): {"loss": _alpha(a, True), "leaky": False, "fork": None} for a in ALPHAS}
    return experiment.run(
        "alpha_ring", "The ring under alpha-losses", budget, out,
        lambda budget: _cells(games, ALPHA_BUDGETS[budget]), _rows, _alpha_body,
    )  # fmt: skip


def _alpha_body(table: list[dict[str, Any]], results: dict[str, Any]) -> list[str]:
    epochs = sorted({row["epoch"] for row in table})
    last = epochs[-1]
    final = {
        a: _counts(table, game=alpha_game(a), generator=points.RAW, epoch=last) for a in ALPHAS
    }
    lines = [
        [
            f"{a:g}",
            verdicts.rate(good, n), f"{PAPER[a][0]} %", verdicts.rate(bad, n), f"{PAPER[a][1]} %",
        ]
        for a, (good, bad, n) in final.items()
    ]  # fmt: skip
    good_1, bad_1, n_1 = final[1.0]
    tests = []
    for a in ALPHAS[:-1]:
        good, bad, n = final[a]
        tests.append([
            f"{a:g} against 1",
            f"{100 * (good / n - good_1 / n_1):+.0f} points",
            f"{verdicts.rates_differ(good, good_1, n, n_1):.2g}",
            f"{100 * (bad / n - bad_1 / n_1):+.0f} points",
            f"{verdicts.rates_differ(bad, bad_1, n, n_1):.2g}",
        ])  # fmt: skip
    by_epoch = [
        [str(epoch)]
        + [
            f"{100 * good / n:.0f} / {100 * bad / n:.0f}"
            for a in ALPHAS
            for good, bad, n in [
                _counts(table, game=alpha_game(a), generator=points.RAW, epoch=epoch)
            ]
        ]
        for epoch in epochs
    ]
    caption = "Success and failure against alpha_D, with Wilson's 95 % intervals; crosses: paper."
    return [
        "<p>Saturating objective, alpha_G = 1, the generator as trained (no average), after "
        f"{last} epochs of {n_1} seeds; the paper has {PAPER_EPOCHS} epochs and {PAPER_SEEDS} "
        "seeds. Success: 8 of 8 modes; failure: none. Rates with Wilson's 95 % interval.</p>",
        pages.table(["alpha_D", "success", "paper", "failure", "paper"], lines),
        pages.figure(pages.image(pages.inline(_alpha_figure(final)), caption), caption),
        "<h2>Does a smaller alpha_D help?</h2><p>Fisher's exact test, two-sided.</p>",
        pages.table(["", "success", "p", "failure", "p"], tests),
        "<h2>By epoch</h2><p>Success / failure in percent.</p>",
        pages.table(["epoch", *(f"alpha_D {a:g}" for a in ALPHAS)], by_epoch),
        "<h2>Averages</h2>",
        _by_generator(table, [alpha_game(a) for a in ALPHAS], last),
    ]


def _alpha_figure(final: dict[float, tuple[int, int, int]]) -> Figure:
    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axis = figure.subplots()
    for index, (what, color) in enumerate((("success", "tab:green"), ("failure", "tab:red"))):
        rates = [100 * counts[index] / counts[2] for counts in final.values()]
        bounds = [verdicts.wilson(counts[index], counts[2]) for counts in final.values()]
        errors = [
            [r - 100 * low for r, (low, _) in zip(rates, bounds, strict=True)],
            [100 * high - r for r, (_, high) in zip(rates, bounds, strict=True)],
        ]
        axis.errorbar(
            list(final), rates, np.abs(errors), fmt="o-", capsize=3, color=color, label=what
        )
        axis.plot(list(final), [PAPER[a][index] for a in final], "x", color=color)
    axis.set(xlabel="alpha_D", ylabel="% of seeds", ylim=(-3, 103))
    axis.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    return figure


def _by_generator(table: list[dict[str, Any]], games: Sequence[str], epoch: int) -> str:
    lines = []
    for game in games:
        for generator in dict.fromkeys(row["generator"] for row in table):
            wanted = {"game": game, "generator": generator, "epoch": epoch}
            good, bad, n = _counts(table, **wanted)
            rows = [r for r in table if all(r[key] == v for key, v in wanted.items())]
            means = [
                verdicts.spread([row[key] for row in rows])
                for key in ("modes", "high_quality", "mode_kl")
            ]
            lines.append([game, generator, verdicts.rate(good, n), verdicts.rate(bad, n), *means])
    head = ["game", "average", "success", "failure", "modes", "high quality", "KL over modes"]
    return pages.table(head, lines)


# Averages and the leak

GAMES = {
    loss + ("_leaky" if leaky else ""): {"loss": {"loss": loss}, "leaky": leaky, "fork": loss}
    for leaky in (False, True)
    for loss in ("saturating", "non_saturating")
}


def reproduce(out: Path, budget: str) -> Path:
    """The ring with averages and LeakyEMA, which no paper has; see `experiment.run`."""
    return experiment.run(
        "ring", "The ring: averages and LeakyEMA", budget, out,
        lambda budget: _cells(GAMES, BUDGETS[budget]), _rows, _averages_body,
    )  # fmt: skip


def _averages_body(table: list[dict[str, Any]], results: dict[str, Any]) -> list[str]:
    last = max(row["epoch"] for row in table)
    lines = []
    for game in ("saturating", "non_saturating"):
        for generator in dict.fromkeys(row["generator"] for row in table):
            pair = [game + "_leaky", game]
            (good, bad, n), (good_0, bad_0, n_0) = (
                _counts(table, game=g, generator=generator, epoch=last) for g in pair
            )
            lines.append([
                game, generator,
                f"{100 * (good / n - good_0 / n_0):+.0f} points",
                f"{verdicts.rates_differ(good, good_0, n, n_0):.2g}",
                f"{100 * (bad / n - bad_0 / n_0):+.0f} points",
                f"{verdicts.rates_differ(bad, bad_0, n, n_0):.2g}",
            ])  # fmt: skip
    return [
        f"<p>After {last} epochs. EMA with decay .999; the uniform average and the leak (half of "
        "the real batch) start in the middle of training. Success: 8 of 8 modes; failure: none. "
        "Rates with Wilson's 95 % interval, the rest mean ± standard deviation over seeds.</p>",
        _by_generator(table, list(GAMES), last),
        "<h2>What the leak changes</h2><p>Fisher's exact test, two-sided.</p>",
        pages.table(["game", "average", "success", "p", "failure", "p"], lines),
    ]
