"""Slices of splits and random choices of samples."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfgan_ema import data
from tfgan_ema.data import splits
from tfgan_ema.data.source import Source
from tfgan_ema.errors import UsageError


def numbered(count):
    """Samples that are their own indices; the first half of them is of class 0."""
    index = np.arange(count, dtype=np.int32)
    points = np.stack([index, index], axis=1).astype(np.float32)
    return Source("numbered", points, (2 * index // count).astype(np.int32), 2, ("a", "b"))


def rows_of(source):
    return source.samples[:, 0].astype(int).tolist()


@pytest.mark.parametrize(
    ("text", "count", "ends"),
    [
        ("train", 7, (0, 7)),
        ("train[:90%]", 1000, (0, 900)),
        ("train[90%:]", 1000, (900, 1000)),
        ("train[10:]", 50, (10, 50)),
        ("train[:10]", 50, (0, 10)),
        ("test[-10:]", 50, (40, 50)),
        ("test[:-20%]", 50, (0, 40)),
        ("train[5:7]", 50, (5, 7)),
        ("train[10%:-5]", 50, (5, 45)),
        ("train[:]", 3, (0, 3)),
    ],
)
def test_slices_as_tfds_writes_them(text, count, ends):
    assert splits.parse(text).rows(count) == ends


@given(st.integers(100, 500), st.integers(1, 99))
def test_two_sides_of_a_cut_share_nothing_and_leave_nothing_out(count, share):
    def rows(text):
        return rows_of(splits.parse(text).of(numbered(count)))

    for back in (f"{share}%", f"-{100 - share}%"):
        assert sorted(rows(f"train[:{share}%]") + rows(f"train[{back}:]")) == list(range(count))


@given(st.integers(2, 500), st.integers(0, 2**40), st.data())
def test_smaller_choices_lie_within_larger_ones(count, seed, drawn):
    many = drawn.draw(st.integers(1, count))
    few = drawn.draw(st.integers(1, many))
    source = numbered(count)
    larger, smaller = (rows_of(data.choose(source, n, seed)) for n in (many, few))
    assert set(smaller) <= set(larger)
    assert (len(smaller), len(larger)) == (few, many)
    assert larger == sorted(larger)


def test_a_choice_is_fair_and_depends_on_the_seed_alone():
    source = numbered(2000)
    chosen = [data.choose(source, 400, seed) for seed in range(30)]
    assert rows_of(data.choose(source, 400, 3)) == rows_of(chosen[3])
    shares = [part.labels.mean() for part in chosen]
    assert abs(np.mean(shares) - 0.5) < 4 * 0.5 * np.sqrt(0.8 / 400 / 30)
    assert len(set(shares)) > 10  # the classes are not balanced by force
    counts = np.bincount(np.concatenate([rows_of(part) for part in chosen]), minlength=2000)
    assert counts.max() < 20  # 6 expected, a deviation of 2.2
    assert chosen[0].class_names == source.class_names
    assert chosen[0].num_classes == 2


def test_a_slice_of_a_sorted_set_has_all_classes():
    held_out = splits.parse("train[90%:]").of(numbered(1000))
    assert held_out.labels.mean() == pytest.approx(0.5, abs=0.2)


def test_a_slice_is_the_choice_of_seed_0():
    source = numbered(50)
    first = splits.parse("train[:20]").of(source)
    np.testing.assert_array_equal(first.samples, data.choose(source, 20).samples)
    np.testing.assert_array_equal(first.samples[:, 0] >= 25, first.labels)


def test_the_order_is_the_one_that_it_always_was():
    """Runs that were made are of these samples."""
    assert splits.order(10, 0).tolist() == [3, 7, 1, 6, 5, 9, 4, 0, 2, 8]
    assert splits.order(10, 1000).tolist() == [4, 3, 5, 6, 8, 1, 9, 0, 7, 2]


@pytest.mark.parametrize(
    ("split", "words"),
    [
        ("train[", "expected the name of a split, or a slice"),
        ("train[1:2:3]", "expected the name of a split, or a slice"),
        ("train[:1.5%]", "expected the name of a split, or a slice"),
        ("train+test", "expected the name of a split, or a slice"),
        ("train[5:5]", "rows 5 to 5 of 1797: expected a slice within the split"),
        ("train[:2000]", "rows 0 to 2000 of 1797"),
        ("train[-2000:]", "rows -203 to 1797 of 1797"),
        ("test[:5]", "has no split 'test', only 'train'"),
    ],
)
def test_what_is_no_slice_is_one_line(split, words):
    with pytest.raises(UsageError, match=r"^[^\n]*$") as error:
        data.load("digits", split=split)
    assert words in str(error.value)


def test_every_source_is_cut(tmp_path):
    from PIL import Image

    for name in ("a", "b"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(10):
            level = np.full((4, 4, 3), 10 * i, np.uint8)
            Image.fromarray(level).save(tmp_path / "photos" / name / f"{i}.png")
    for name, options in (
        ("ring", {"count": 100}),
        ("digits", {}),
        (f"folder:{tmp_path / 'photos'}", {"image_size": 4}),
    ):
        whole, front, back = (
            data.load(name, split=split, data_dir=tmp_path / "cache", **options)
            for split in ("train", "train[:30%]", "train[30%:]")
        )
        assert front.count + back.count == whole.count
        both = np.concatenate([front.samples, back.samples]).reshape(whole.count, -1)
        expected = whole.samples.reshape(whole.count, -1)
        np.testing.assert_array_equal(np.sort(both, axis=0), np.sort(expected, axis=0))
