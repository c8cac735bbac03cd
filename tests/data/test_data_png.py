"""Pictures of samples."""

import matplotlib
import numpy as np
import pytest
from PIL import Image

from tfgan_ema.data import png


def test_every_level_survives_the_way_to_floats_and_back():
    levels = np.arange(256, dtype=np.uint8)
    floats = levels.astype(np.float32) / np.float32(127.5) - 1
    np.testing.assert_array_equal(png.to_uint8(floats), levels)


def test_values_outside_are_clipped_and_halves_round_to_even():
    floats = np.array([-3, -1, 0, 1, 9, 0.5 / 127.5 - 1, 2.5 / 127.5 - 1])
    assert png.to_uint8(floats).tolist() == [0, 0, 128, 255, 255, 0, 2]


@pytest.mark.parametrize(("n", "columns", "rows"), [(6, 3, 2), (5, 2, 3), (4, None, 2), (1, 7, 1)])
def test_grid_lays_out_row_by_row(n, columns, rows):
    images = np.arange(n, dtype=np.uint8)[:, None, None, None] * np.ones((1, 3, 4, 1), np.uint8)
    picture = png.grid(images, columns, padding=2)
    columns = columns or 2
    assert picture.shape == (rows * 5 + 2, columns * 6 + 2, 1)
    for i in range(n):
        top, left = (i // columns) * 5 + 2, (i % columns) * 6 + 2
        assert (picture[top : top + 3, left : left + 4] == i).all()
    assert (picture == 255).sum() == picture.size - n * 12


@pytest.mark.parametrize("channels", [1, 3])
def test_saved_grid_reads_back(tmp_path, channels):
    images = np.random.default_rng(0).uniform(-1, 1, (4, 8, 8, channels)).astype(np.float32)
    path = tmp_path / "new" / "grid.png"
    png.save_grid(path, images, columns=2)
    with Image.open(path) as picture:
        shown = np.asarray(picture).reshape(22, 22, channels)
    np.testing.assert_array_equal(shown, png.grid(png.to_uint8(images), 2))
    assert list(path.parent.iterdir()) == [path]


def test_a_failed_write_leaves_the_old_picture(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    png.save_png(path, np.zeros((4, 4, 3), np.uint8))
    before = path.read_bytes()

    def fail(self, file, **_):
        file.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        png.save_png(path, np.ones((4, 4, 3), np.uint8))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_scatter_shows_samples_over_data_and_counts_what_lies_outside(tmp_path, monkeypatch):
    titles = []
    from matplotlib.axes import Axes

    monkeypatch.setattr(Axes, "set_title", lambda self, text, **_: titles.append(text))
    backend = matplotlib.get_backend()
    random = np.random.default_rng(0)
    reference = random.normal(size=(200, 2))
    samples = np.concatenate([random.normal(size=(50, 2)) * 0.1, [[100.0, 0.0]]])
    png.save_scatter(tmp_path / "s.png", samples, reference)
    assert titles == ["51 samples, 1 outside"]
    assert matplotlib.get_backend() == backend
    with Image.open(tmp_path / "s.png") as picture:
        colours = np.asarray(picture.convert("RGB")).reshape(-1, 3).astype(int)
    assert (colours[:, 2] - colours[:, 0] > 40).any()  # the blue samples
    assert (colours == 204).all(axis=1).any()  # the grey data
