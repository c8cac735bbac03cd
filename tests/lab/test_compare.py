"""The page that compares runs, of folders whose numbers are known."""

import re

import numpy as np
import pytest

from configs import base
from tfgan_ema import runs
from tfgan_ema.cli import main
from tfgan_ema.data import png
from tfgan_ema.lab import compare


def made(folder, scores, **changes):
    """A run with ``scores`` of the raw generator and of its average at steps 10 and 20."""
    config = base.get_config()
    config.update_from_flattened_dict(changes)
    data = {"name": "ring", "shape": [2], "num_classes": None, "class_names": None}
    runs.write_record(folder, {"config": runs.plain(config), "data": data}, None)
    rows = [
        f"{step},{name},{value + (20 - step)}"
        for step in (10, 20)
        for name, value in zip(("raw", "ema"), scores, strict=True)
    ]
    (folder / "evaluation.csv").write_text("\n".join(["step,generator,w1", *rows]) + "\n")
    logged = [f"{step},{1 / step},{2 / step}" for step in (5, 10, 20)]
    (folder / "metrics.csv").write_text("\n".join(["step,d_loss,g_loss", *logged]) + "\n")
    png.save_png(folder / "samples" / "step_00000020.png", np.zeros((8, 24, 3), "uint8"))
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Two learning rates, two seeds of each."""
    root = tmp_path_factory.mktemp("runs")
    rows = {("slow", 0): (4.0, 3.0), ("slow", 1): (6.0, 5.0), ("fast", 0): (2.0, 1.0)}
    rows["fast", 1] = (2.0, 2.0)
    return [
        made(
            root / f"{name}-{seed}",
            scores,
            seed=seed,
            **{"g_optimizer.learning_rate": {"slow": 1e-4, "fast": 4e-4}[name]},
        )
        for (name, seed), scores in rows.items()
    ]


@pytest.fixture(scope="module")
def text(folders):
    return compare.page(folders)


def cells(text, section):
    """The rows of the tables of a section."""
    part = text.partition(f'id="{section}"')[2].partition("</section>")[0]
    rows = re.findall(r"<tr>(.*?)</tr>", part, re.DOTALL)
    return [re.findall(r"<t[hd]>(.*?)</t[hd]>", row) for row in rows]


def test_scores_are_means_over_seeds_with_their_spread(text):
    rows = {tuple(row[:2]): row[2] for row in cells(text, "scores")[1:5]}
    assert rows == {
        ("g_optimizer.learning_rate=0.0001 raw", "2"): "5 ± 1.4",
        ("g_optimizer.learning_rate=0.0001 ema", "2"): "4 ± 1.4",
        ("g_optimizer.learning_rate=0.0004 raw", "2"): "2 ± 0",
        ("g_optimizer.learning_rate=0.0004 ema", "2"): "1.5 ± 0.71",
    }


def test_differences_are_tested_on_equal_seeds(text):
    rows = {row[1]: row[2:] for row in cells(text, "scores")[6:]}
    slow, fast = (f"g_optimizer.learning_rate={rate}" for rate in ("0.0001", "0.0004"))
    assert len(rows) == 4
    assert rows[f"{slow} ema - {slow} raw"] == ["-1 ± 0", "0 (paired by seed)", "0"]
    assert rows[f"{fast} ema - {slow} ema"][0] == "-2.5 ± 0.5"


def test_configurations_show_what_differs_alone(text):
    assert cells(text, "configuration") == [
        ["key", "slow-0", "slow-1", "fast-0", "fast-1"],
        ["g_optimizer.learning_rate", "0.0001", "0.0001", "0.0004", "0.0004"],
        ["seed", "0", "1", "0", "1"],
    ]


def test_curves_of_all_runs_lie_over_one_another(text):
    charts = re.findall(r'<figure class="chart">.*?</figcaption>', text, re.DOTALL)
    titles = {re.search("<b>(.*?)</b>", chart)[1]: chart for chart in charts}
    assert {"w1, raw", "w1, ema", "d_loss", "g_loss"} == {*titles}
    for chart in titles.values():
        assert all(name in chart for name in ("slow-0 ", "slow-1 ", "fast-0 ", "fast-1 "))
    assert "slow-1 5<" in titles["w1, ema"]
    assert text.count("<img ") == 4


def test_folders_of_one_name_are_told_apart(folders, tmp_path):
    one, other = made(tmp_path / "a/run", (1.0, 1.0)), made(tmp_path / "b/run", (1.0, 1.0))
    text = compare.page([one, other])
    assert "a/run (step 20), b/run (step 20)." in text
    assert "The configurations are the same." in text


def test_the_command_refuses_what_is_no_comparison(folders, tmp_path, capsys):
    first, second = map(str, folders[:2])
    assert main.main(["report", first, second]) == 2
    assert "--out is missing" in capsys.readouterr().err
    assert main.main(["report", first, first, f"--out={tmp_path / 'a.html'}"]) == 2
    assert "expected two or more different ones" in capsys.readouterr().err
    assert main.main(["report", first, second, f"--out={tmp_path / 'a.html'}"]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'a.html'}\n"


@pytest.mark.slow
def test_a_browser_shows_it_at_both_widths_in_light_and_dark(text, tmp_path, views):
    path = tmp_path / "compare.html"
    path.write_text(text)
    for page in views(path):
        assert page.locator("section").count() == 4
