"""Folders of images as they are found: classes, links, damaged files, the cache."""

import os
import re
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import EpsImagePlugin, Image

from tfgan_ema import data
from tfgan_ema.data import folder, images
from tfgan_ema.errors import UsageError


def load(path, cache, **arguments):
    return data.load(f"folder:{path}", data_dir=cache, **{"image_size": 8, **arguments})


def paint(path, colour="red"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (9, 9), colour).save(path)


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def album(tmp_path):
    """Two classes, six formats, each image of one colour; and a file that is no image."""
    folder = tmp_path / "album"
    for i, name in enumerate(
        ["cat/a.png", "cat/deep/b.jpg", "cat/c.webp", "dog/d.bmp", "dog/e.GIF", "dog/f.tiff"]
    ):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20 + i, 30), (40 * i, 0, 0)).save(path)
    (folder / "notes.txt").write_text("not an image")
    (folder / "cat" / "._a.png").write_text("a leftover of a file manager")
    return folder


def test_folder_of_many_formats_with_classes(album, tmp_path, capsys):
    source = data.load(f"folder:{album}", image_size=8, data_dir=tmp_path / "cache", labels=True)
    assert (source.shape, source.count, source.num_classes) == ((8, 8, 3), 6, 2)
    assert source.class_names == ("cat", "dog")
    samples, labels = source.batch(np.arange(6))
    assert labels.tolist() == [0, 0, 0, 1, 1, 1]
    # sorted by path: cat/a, cat/c, cat/deep/b, dog/...; JPEG and GIF may be off by a little
    np.testing.assert_allclose(samples[:, 4, 4, 0], [0, 80, 40, 120, 160, 200], atol=4)
    assert capsys.readouterr().err == ""


def test_folder_is_decoded_once(album, tmp_path, monkeypatch):
    arguments = {"image_size": 8, "channels": 1, "data_dir": tmp_path / "cache"}
    first = data.load(f"folder:{album}", **arguments)
    with monkeypatch.context() as patch:
        patch.setattr(Image, "open", None)
        again = data.load(f"folder:{album}", **arguments)
    np.testing.assert_array_equal(first.samples, again.samples)
    Image.new("RGB", (9, 9), "white").save(album / "cat" / "a.png")
    assert data.load(f"folder:{album}", **arguments).samples[0, 0, 0, 0] == 255


def test_damaged_images_are_skipped_counted_and_reported_once(album, tmp_path, capsys):
    for name in ("cat/a.png", "dog/d.bmp"):
        path = album / name
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    (album / "dog" / "z.png").write_bytes(b"")
    source = data.load(f"folder:{album}", image_size=8, data_dir=tmp_path / "cache")
    err = capsys.readouterr().err
    assert source.count == 4
    assert source.batch(np.arange(4))[1].tolist() == [0, 0, 1, 1]
    assert err.count("\n") == 1
    assert "skipped 3 of 7 images" in err
    assert "cat/a.png" in err


def test_a_flat_folder_has_no_labels(tmp_path):
    Image.new("L", (5, 5), 7).save(tmp_path / "a.png")
    source = data.load(f"folder:{tmp_path}", image_size=4, data_dir=tmp_path / "cache")
    assert source.batch([0])[1] is None
    assert (source.num_classes, source.class_names) == (None, None)


def test_folders_without_images_are_refused_and_nothing_is_kept(tmp_path):
    cache = tmp_path / "cache"
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(UsageError, match="no images in"):
        data.load(f"folder:{empty}", image_size=8, data_dir=cache)
    with pytest.raises(UsageError, match="no folder"):
        data.load(f"folder:{tmp_path / 'nowhere'}", image_size=8, data_dir=cache)
    assert not cache.exists()
    (empty / "a.png").write_bytes(b"nothing")
    with pytest.raises(UsageError, match="none of the 1 images"):
        data.load(f"folder:{empty}", image_size=8, data_dir=cache)
    assert [path for path in cache.rglob("*") if not path.is_dir()] == []


# ------------------------------------------------------- what is taken, what is left


def test_hidden_files_and_folders_are_left_out(tmp_path, cache, capsys):
    for name in ("cat/a.png", "dog/b.png"):
        paint(tmp_path / "set" / name)
    for name in (".x.png", ".thumbnails/a.png", "cat/.ipynb_checkpoints/a.png", "cat/._a.png"):
        paint(tmp_path / "set" / name)
    source = load(tmp_path / "set", cache)
    assert (source.count, source.class_names) == (2, ("cat", "dog"))
    paint(tmp_path / ".hidden" / "a.png")
    assert load(tmp_path / ".hidden", cache).count == 1  # asked for by name
    assert capsys.readouterr().err == ""


def test_linked_folders_and_files_are_followed(tmp_path, cache, capsys):
    paint(tmp_path / "store" / "deep" / "1.png", "lime")
    paint(tmp_path / "set" / "a" / "0.png")
    (tmp_path / "set" / "b").symlink_to(tmp_path / "store")
    (tmp_path / "set" / "a" / "2.png").symlink_to("../b/deep/1.png")
    source = load(tmp_path / "set", cache, labels=True)
    samples, labels = source.batch(np.arange(3))
    assert samples[:, 0, 0, 1].tolist() == [0, 255, 255]
    assert labels.tolist() == [0, 0, 1]
    assert source.class_names == ("a", "b")
    (tmp_path / "link").symlink_to(tmp_path / "set")
    np.testing.assert_array_equal(load(tmp_path / "link", cache).samples, source.samples)
    assert capsys.readouterr().err == ""


@settings(max_examples=25)
@given(st.sets(st.tuples(*[st.sampled_from(["", "a", "a/b", "c"])] * 2), max_size=4))
def test_no_graph_of_links_is_walked_for_ever(tmp_path_factory, links):
    path = tmp_path_factory.mktemp("graph")
    for name in ("", "a", "a/b", "c"):
        paint(path / name / "x.png")
    for number, (place, target) in enumerate(links):
        (path / place / f"link{number}").symlink_to(path / target)
    found = list(folder._image_files(path))
    assert found == sorted(found)
    assert len(set(found)) == len(found)
    assert {file.resolve() for file in found} == {file.resolve() for file in path.rglob("x.png")}
    for file in found:  # no folder lies in itself
        above = [parent.resolve() for parent in file.parents if path in (parent, *parent.parents)]
        assert len(set(above)) == len(above)


def test_what_cannot_be_opened_is_named_and_never_a_class(tmp_path, cache, monkeypatch, capsys):
    path = tmp_path / "set"
    for name in ("cat/a.png", "dog/b.png", "eel/c.png"):
        paint(path / name)
    (path / "gone.png").symlink_to("/nowhere.png")
    (path / "lost class").symlink_to("/nowhere")
    (path / "circle.png").symlink_to("circle.png")
    (path / "cat" / "folder.png").mkdir()
    os.mkfifo(path / "cat" / "pipe.png")  # opening it would wait for ever
    listdir, access = os.listdir, os.access

    def refuse(place):
        if Path(place).name == "eel":
            raise PermissionError(13, "Permission denied")
        return listdir(place)

    with monkeypatch.context() as patch:  # the superuser may read everything
        patch.setattr(os, "listdir", refuse)
        patch.setattr(os, "access", lambda file, mode: Path(file).name != "b.png")
        source = load(path, cache)
        assert (source.count, source.class_names) == (1, ("cat",))
        said = capsys.readouterr().err
        assert said.count("\n") == 1
        assert "skipped 6 of 7 images" in said
        assert "'cat/pipe.png' (not a file that can be opened), " in said
        assert len(re.findall(r"'([^']+)'", said)) == 6  # all are named
    assert os.access is access
    source = load(path, cache)  # permission was given: the cache notices
    assert (source.count, source.class_names) == (3, ("cat", "dog", "eel"))
    assert "skipped 4 of 7 images" in capsys.readouterr().err


def test_names_of_any_bytes_are_said_in_one_line(tmp_path, cache, capsys):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "a\nb.png").write_bytes(b"no image")
    weird = os.fsdecode(b"caf\xe9")
    paint(tmp_path / "set" / weird / "\N{SNOWMAN}.png")
    paint(tmp_path / "set" / weird / f"{weird}.png")
    assert load(tmp_path / "set", cache).count == 2
    assert r"'a\nb.png' (not an image that Pillow knows)" in capsys.readouterr().err
    (tmp_path / "set" / "a\nb.png").unlink()
    source = load(tmp_path / "set", cache)
    assert source.class_names == (r"caf\udce9",)
    source.class_names[0].encode()  # it can be written to any file


@pytest.mark.parametrize("pixels", [100, 150])
def test_decompression_bombs_are_named_in_one_line(tmp_path, cache, capsys, monkeypatch, pixels):
    paint(tmp_path / "set" / "a.png")
    Image.new("1", (17, 17)).save(tmp_path / "set" / "bomb.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", pixels)  # Pillow refuses twice as many
    with warnings.catch_warnings(record=True, action="always") as warned:
        assert load(tmp_path / "set", cache).count == (1 if pixels == 100 else 2)
    said = capsys.readouterr().err
    assert (said.count("\n"), "'bomb.png' (Image size (289 pixels) exceeds limit" in said) == (
        (1, True) if pixels == 100 else (0, False)
    )
    assert warned == []


def test_images_of_which_one_frame_is_taken_are_named(tmp_path, cache, capsys):
    (tmp_path / "set").mkdir()
    frames = [Image.new("RGB", (9, 9), colour) for colour in ("red", "lime")]
    for name in ("a.gif", "b.png", "c.webp", "d.tiff"):
        frames[0].save(tmp_path / "set" / name, save_all=True, append_images=frames[1:])
    frames[0].save(tmp_path / "set" / "e.gif")
    for _ in range(2):  # from the files, from the cache
        source = load(tmp_path / "set", cache)
        assert np.ptp(source.samples, axis=0).max() < 8
        said = capsys.readouterr().err
        assert said.count("\n") == 1
        assert "only the first frame of 4 images" in said
        assert said.endswith(": 'a.gif', 'b.png', 'c.webp', 'd.tiff'\n")


def test_a_line_does_not_grow_with_the_number_of_names():
    assert folder._first([f"{i}" for i in range(25)]).endswith("18, 19, ...")


def test_pixels_of_an_unknown_range_are_named(tmp_path, cache, capsys):
    paint(tmp_path / "set" / "a.png")
    Image.fromarray(np.full((9, 9), 70_000, np.int32)).save(tmp_path / "set" / "b.tif")
    assert load(tmp_path / "set", cache).count == 1
    assert "'b.tif' (its pixels run from 70000 to 70000, expected 0 to 65535)" in (
        capsys.readouterr().err
    )


# ------------------------------------------------------------------------ cache


def prepared(cache):
    return sorted(path.name for path in (cache / "data" / "prepared").iterdir())


def test_a_cache_of_older_decoding_rules_is_not_used(tmp_path, cache, monkeypatch):
    paint(tmp_path / "set" / "a.png")
    load(tmp_path / "set", cache)
    load(tmp_path / "set", cache)
    assert len(prepared(cache)) == 1
    monkeypatch.setattr(images, "RULES", images.RULES + 1)
    load(tmp_path / "set", cache)
    assert len(prepared(cache)) == 2


def test_an_interrupted_load_leaves_nothing(tmp_path, cache, monkeypatch):
    for i in range(5):
        paint(tmp_path / "set" / f"{i}.png")

    class Interrupted(folder.ThreadPool):
        def starmap(self, function, items):
            if items[0][0] == "4.png":
                raise KeyboardInterrupt
            return super().starmap(function, items)

    monkeypatch.setattr(folder, "_CHUNK", 2)
    with monkeypatch.context() as patch:
        patch.setattr(folder, "ThreadPool", Interrupted)
        with pytest.raises(KeyboardInterrupt):
            load(tmp_path / "set", cache)
    assert prepared(cache) == []
    assert load(tmp_path / "set", cache).count == 5


@pytest.mark.parametrize("size", [8, 4])
def test_a_killed_load_is_cleared_by_the_next(tmp_path, cache, size):
    for i in range(5):
        paint(tmp_path / "set" / f"{i}.png")
    program = """
import os, signal, sys
from tfgan_ema import data
from tfgan_ema.data import folder, images
fit, folder._CHUNK = images.fit, 2

def deadly(image, *arguments):
    if image.filename.endswith("4.png"):
        os.kill(os.getpid(), signal.SIGKILL)
    return fit(image, *arguments)

images.fit = deadly
data.load("folder:" + sys.argv[1], image_size=8, data_dir=sys.argv[2])
"""
    killed = subprocess.run([sys.executable, "-c", program, tmp_path / "set", cache])
    assert killed.returncode == -signal.SIGKILL
    (leftover,) = prepared(cache)
    assert leftover.startswith(".")
    assert load(tmp_path / "set", cache, image_size=size).count == 5
    (kept,) = prepared(cache)
    assert not kept.startswith(".")


# ------------------------------------------------------------------ made to do harm


def test_very_deep_folders_and_webs_of_links_end(tmp_path, cache, capsys, monkeypatch):
    paint(tmp_path / "deep" / "a.png")
    (tmp_path / "deep" / "/".join("d" * 150)).mkdir(parents=True)
    assert load(tmp_path / "deep", cache).count == 1
    assert "skipped 1 of 2 images" in capsys.readouterr().err
    monkeypatch.setattr(folder, "_OFTEN", 10)
    for number in range(9):
        paint(tmp_path / "web" / str(number) / "x.png")
        for other in range(9):
            (tmp_path / "web" / str(number) / f"to{other}").symlink_to(f"../{other}")
    assert 9 <= load(tmp_path / "web", cache).count <= 9 * 10  # of nearly 10^6 paths
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("name", ["b.eps", "b.png"])
def test_programs_are_not_run(tmp_path, cache, capsys, monkeypatch, name):
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *_: pytest.fail("it runs"))
    paint(tmp_path / "set" / "a.png")
    Image.new("RGB", (9, 9)).save(tmp_path / "set" / name, "EPS")
    assert load(tmp_path / "set", cache).count == 1
    assert f"'{name}' (not an image that Pillow knows)" in capsys.readouterr().err


def test_an_image_without_enough_memory_is_named(tmp_path, cache, capsys, monkeypatch):
    paint(tmp_path / "set" / "a.png")
    paint(tmp_path / "set" / "b.png")
    fit = images.fit

    def fail(image, *arguments):
        if image.filename.endswith("b.png"):
            raise MemoryError
        return fit(image, *arguments)

    monkeypatch.setattr(images, "fit", fail)
    assert load(tmp_path / "set", cache).count == 1
    assert "'b.png' (needs more memory than there is)" in capsys.readouterr().err
