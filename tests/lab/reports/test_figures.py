"""Figures for papers: equal latents for every generator, a row for each class, the right files."""

import itertools

import numpy as np
import pytest
import toy

import tfgan_ema as tg
from tfgan_ema import latents
from tfgan_ema.cli import main
from tfgan_ema.errors import UsageError
from tfgan_ema.lab.reports import figures

NAMES = ["a", "b", "c"]


@pytest.fixture(scope="module")
def drawn():
    gan = toy.gan(averages=[tg.EMA(0.5), tg.EMA(0.9)], num_classes=3)
    return figures.of_run(gan, NAMES)


def plain(dim=2):
    """A generator whose images are as grey as the first number of the latent."""

    def grey(latent, labels):
        return np.tile(latent[:, :1, None, None] / 4, (1, 4, 4, 1))

    return figures.Drawn({"grey": grey}, latents.Normal(dim), None)


@pytest.mark.parametrize("kind", figures.KINDS)
def test_each_generator_is_a_panel(drawn, kind):
    figure = figures.draw(kind, drawn, rows=2, columns=3)
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == [*drawn.generators]
    assert titles[0] == "raw"
    assert len(titles) == 3
    _, *averages = (axes.get_images()[0].get_array() for axes in figure.axes)
    np.testing.assert_array_equal(*averages)  # nothing was trained
    names = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert names == {"classes": NAMES, "truncation": [*map(str, figures.THRESHOLDS), "none"]}.get(
        kind, []
    )


def test_the_rows_of_classes_are_of_equal_latents():
    seen = {}

    def generate(latent, labels):
        seen.update(latent=latent, labels=labels)
        return np.zeros((len(latent), 4, 4, 3))

    drawn = figures.Drawn({"g": generate}, latents.Normal(2), NAMES)
    figures.draw("classes", drawn, columns=4)
    np.testing.assert_array_equal(seen["labels"], np.repeat([0, 1, 2], 4))
    for row in np.split(seen["latent"], 3):
        np.testing.assert_array_equal(row, seen["latent"][:4])


def test_truncation_draws_the_same_latents_nearer_to_nothing():
    picture = figures.draw("truncation", plain(), columns=5).axes[0].get_images()[0].get_array()
    rows = [picture[2 + 5 * i, 1::5][:5].astype(int) - 128 for i in range(6)]
    for narrow, wide in itertools.pairwise(rows):
        assert (abs(narrow) <= abs(wide) + 1).all()
    assert abs(rows[-1]).max() > abs(rows[0]).max()


def test_what_does_not_fit_is_refused():
    with pytest.raises(UsageError, match="the generator is unconditional"):
        figures.draw("classes", plain())
    points = figures.Drawn({"p": lambda latent, labels: latent}, latents.Normal(2), None)
    with pytest.raises(UsageError, match="makes points, not images"):
        figures.draw("truncation", points)
    (cloud,) = figures.draw("samples", points, rows=5).axes[0].collections
    assert cloud.get_offsets().shape == (40, 2)


def test_the_command_writes_a_figure_of_a_model(tmp_path, capsys):
    out = tmp_path / "figure.svg"
    words = ["figure", "dcgan_fashion_mnist", "--rows=1", "--columns=2"]
    assert main.main([*words, f"--out={out}"]) == 0
    assert "<svg" in out.read_text()
    for wrong, message in [
        (["--out=a.txt"], "expected a file ending in .pdf, .png or .svg"),
        ([f"--out={out}", "--step=3"], "--step belongs to a run"),
        ([f"--out={out}", "--kind=classes"], "the generator is unconditional"),
    ]:
        capsys.readouterr()
        assert main.main([*words, *wrong]) == 2
        assert message in capsys.readouterr().err
