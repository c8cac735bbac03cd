"""The experiments themselves at the smoke budget, and the claims behind their short cuts."""

import csv
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from tfgan_ema.data import mixtures
from tfgan_ema.lab.commands import reproduce as command
from tfgan_ema.lab.experiments import grid, lottery, points, ring, toy2d
from tfgan_ema.lab.stacked import Replay, StackedDraws, replayed
from tfgan_ema.latents import Normal
from tfgan_ema.metrics import wasserstein_1

NETWORKS = {"g_hidden": [16, 16], "d_hidden": [16, 16]}
EXPERIMENTS = {"grid": grid.GRID, "ring": ring.RING, "alpha": ring.ALPHA_RING,
               "toy2d": toy2d.TOY2D, "lottery": lottery.LOTTERY}  # fmt: skip


def smoke(name, out):
    assert command.main(["tfgan-ema reproduce", name, "--budget=smoke", f"--out={out}"]) == 0
    with (out / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    return rows, (out / "index.html").read_text()


def check_page(page, tables):
    assert page.count("<table>") == tables
    assert not re.search(r"\bnan\b|\binf\b|Traceback", page)


@pytest.mark.slow
def test_ring(tmp_path):
    rows, page = smoke("ring", tmp_path)
    seeds = ring.BUDGETS["smoke"]["seeds"]
    assert len({(r["game"], r["seed"], r["generator"]) for r in rows}) == 4 * seeds * 3
    leaky = {int(r["epoch"]) for r in rows if r["game"].endswith("leaky")}
    assert leaky == {3, 4}  # the first half is that of the run without a leak
    check_page(page, 2)


@pytest.mark.slow
def test_grid(tmp_path):
    rows, page = smoke("grid", tmp_path)
    assert len(rows) == 4 * 2 * 4 * grid.BUDGETS["smoke"]["seeds"]
    assert all(float(r["euclidean"]) > 0 < float(r["squared"]) for r in rows)
    assert len({r["squared"] for r in rows}) > len(rows) // 2
    check_page(page, 4)
    assert page.count("<figure>") == 8


@pytest.mark.slow
def test_toy2d(tmp_path):
    rows, page = smoke("toy2d", tmp_path)
    assert len(rows) == 4 * len(toy2d.SMOKE_METHODS) * 2 * 2 * toy2d.BUDGETS["smoke"]["seeds"]
    check_page(page, 4)


@pytest.mark.slow
@pytest.mark.parametrize(("penalty", "converges"), [(None, True), ("wgan_gp", False), ("r1", True)])
def test_where_wgan_gp_collapses(penalty, converges):
    """The circle: as in the table; with the settings of the other rows; with R1 there."""
    method = toy2d.METHODS["wgan_gp"]
    if penalty:
        loss = {"loss": "wasserstein"}
        method = toy2d.METHODS["r1"]._replace(loss=loss, penalty=[(penalty, {"weight": 10.0})])
    gan = points.stack(method, range(2), toy2d.NETWORKS, Normal(2), {}, None)
    for _ in points.train(gan, toy2d.circle, toy2d.BATCH_SIZE, 2000, 500):
        pass
    distances = points.Distances(toy2d.circle, 512)
    distances.measure(gan, 2000, wasserstein_1=wasserstein_1)
    found = [row["wasserstein_1"] for row in distances.rows()]
    print(method.penalty, method.n_dis, found)
    assert all((distance < 0.3) == converges for distance in found)


@pytest.mark.slow
def test_lottery(tmp_path):
    rows, page = smoke("lottery", tmp_path)
    budget = lottery.BUDGETS["smoke"]
    assert len(rows) == 2 * budget["seeds"] * budget["draws"]
    check_page(page, 3)


def test_parts_of_a_variance_are_told_apart(rng):
    """Seeds with deviation 3, draws with deviation 1 each, as stated."""
    levels = 100 + 3 * rng.standard_normal(400)
    table = [
        {"seed": seed, "generator": "ema", "draw": draw, "frechet": level + rng.standard_normal(),
         "frechet_error": 1.0}
        for seed, level in enumerate(levels)
        for draw in range(4)
    ]  # fmt: skip
    found = lottery.components(table, "frechet", "ema")
    assert found["training"] == pytest.approx(3, rel=0.1)
    assert found["drawing"] == pytest.approx(1, rel=0.1)
    assert found["stated"] == 1


def test_pitman_tells_paired_variances_apart(rng):
    common, first, second = rng.standard_normal((3, 60))
    ratio, p = lottery.pitman(common + first, 3 * (common + second))
    assert ratio == pytest.approx(1 / 3, rel=0.3)
    assert p < 0.001
    assert lottery.pitman(common + first, common + second)[1] > 0.05


@pytest.mark.slow
def test_a_killed_run_resumes_and_ends_as_a_whole_one(tmp_path):
    """Also: the same command twice gives the same table."""
    whole, page = smoke("alpha_ring", tmp_path / "whole")
    check_page(page, 3)
    assert len(whole) == 4 * 4 * 4 * 3  # alphas, seeds, epochs, generators

    out = tmp_path / "killed"
    words = [
        sys.executable,
        "-m",
        "tfgan_ema.cli.main",
        "reproduce",
        "alpha_ring",
        "--budget=smoke",
    ]
    with subprocess.Popen(
        [*words, f"--out={out}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:  # fmt: skip
        while not list((out / "cells").glob("[!.]*.json")):
            assert process.poll() is None
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGKILL)
    kept = {p: p.stat().st_mtime_ns for p in (out / "cells").glob("[!.]*.json")}
    assert 0 < len(kept) < 8
    assert not (out / "results.csv").exists()
    again, _ = smoke("alpha_ring", out)
    assert again == whole
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in kept.items())


@pytest.mark.slow
def test_a_leak_that_starts_halfway_may_continue_from_there(tmp_path):
    """Bit for bit what training from the beginning gives."""
    real = points.mixture(mixtures.grid_centers(), 0.2)

    def run(leaky, middle):
        gan = points.stack(
            grid.METHODS["baseline"], (1, 2), networks=NETWORKS, latent=Normal(2),
            averages=grid.averages(40), leak={"beta": 0.5, "start_step": 20} if leaky else None,
        )  # fmt: skip
        stops = [step for step, _ in points.train(gan, real, 16, 40, 10, middle)]
        return stops, {key: np.asarray(value) for key, value in gan.state().items()}

    middle = tmp_path / "middle.npz"
    stops, scratch = run(True, middle)
    assert stops == [30, 40]
    assert not middle.exists()
    stops, plain = run(False, middle)
    assert stops == [10, 20, 30, 40]
    assert middle.exists()
    stops, forked = run(True, middle)
    assert stops == [30, 40]
    for key, value in scratch.items():
        np.testing.assert_array_equal(forked[key], value)
    moved = [np.abs(plain[key] - forked[key]).max() for key in plain if "generator" in key]
    assert max(moved) > 1e-5


@pytest.mark.parametrize(
    ("problem", "distance"),
    [
        ("line", lambda x, y: np.abs(x - y)),
        ("circle", lambda x, y: np.abs(np.hypot(x, y) - 1)),
        ("four_lines", lambda x, y: np.abs(np.maximum(np.abs(x), np.abs(y)) - 1)),
    ],
)
def test_problems_have_their_shapes(problem, distance):
    made = points.draw(toy2d.PROBLEMS[problem], 4000, seed=3)
    assert distance(*made.T).max() < 1e-6
    assert np.abs(made.mean(axis=0)).max() < 0.06  # five standard errors
    if problem == "four_lines":
        assert np.abs(made).min(axis=1).max() <= 0.5


def test_the_gaussian_has_its_moments():
    made = points.draw(toy2d.gaussian, 40_000, seed=3)
    np.testing.assert_allclose(np.cov(made.T), np.eye(2) / 4, atol=0.01)


def test_a_mixture_has_its_centers_and_spread():
    centers = mixtures.ring_centers(8)
    made = points.draw(points.mixture(centers, 0.01), 8000, seed=1)
    nearest = np.linalg.norm(made[:, None] - centers, axis=-1).argmin(axis=1)
    assert np.bincount(nearest, minlength=8).min() > 800
    assert (made - centers[nearest]).std() == pytest.approx(0.01, rel=0.05)


def test_the_ring_meets_the_same_latents_every_epoch():
    """The pairing of the authors' code: batch k of points with batch k of latents, each epoch."""
    data = mixtures.ring(640, seed=0)[0]
    table = np.random.default_rng(0).standard_normal((640, 2), np.float32)
    per_epoch = 640 // ring.BATCH_SIZE
    for step in (0, 3, per_epoch, per_epoch + 3):
        draws = StackedDraws((4, 5), step, "data/")
        place = (step % per_epoch) * ring.BATCH_SIZE
        points_now = np.asarray(replayed(data, 2 * ring.BATCH_SIZE, draws))
        latents_now = np.asarray(Replay(table).draw(2 * ring.BATCH_SIZE, draws))
        for half in (slice(None, ring.BATCH_SIZE), slice(ring.BATCH_SIZE, None)):
            np.testing.assert_array_equal(points_now[half], data[place:][: ring.BATCH_SIZE])
            np.testing.assert_array_equal(latents_now[half], table[place:][: ring.BATCH_SIZE])


@pytest.mark.parametrize("name", EXPERIMENTS)
@pytest.mark.parametrize("budget", ["smoke", "desk", "paper"])
def test_cells_have_names_of_their_own_and_costs(name, budget):
    cells = EXPERIMENTS[name].cells(budget)
    assert len({cell.name for cell in cells}) == len(cells)
    assert all(cell.cost > 0 for cell in cells)
