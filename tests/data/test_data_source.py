"""What a data set knows of its classes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfgan_ema import data
from tfgan_ema.data import sets
from tfgan_ema.errors import UsageError


@given(st.lists(st.text(min_size=1), min_size=1, unique=True), st.data())
def test_every_class_is_found_by_name_and_by_number(names, drawn):
    index = drawn.draw(st.integers(0, len(names) - 1))
    assert data.label_of(names[index], names) == index
    assert data.label_of(index, None) == index
    if str(index) not in names:
        assert data.label_of(index, names) == data.label_of(str(index), names) == index


def test_a_name_goes_before_a_number():
    assert data.label_of("10", ("10", "2", "7")) == 0
    assert data.label_of("1", ("10", "2", "7")) == 1
    assert data.label_of(np.int32(2), ("a", "b", "c")) == 2


@pytest.mark.parametrize(
    ("label", "names", "words"),
    [
        (
            "dgos",
            ("cats", "dogs", "dots", "eels"),
            "'dgos': .* such as 'dots', 'dogs', or .* 0 to 3",
        ),
        ("Dogs", ("cats", "dogs"), "'dogs'"),
        ("zebra", tuple(map(str, range(1000))), "such as '0', '1', '2', or its number, 0 to 999"),
        (4, ("cats", "dogs"), "label 4: .* 0 to 1"),
        ("-1", ("cats", "dogs"), "label '-1'"),
        ("", ("cats", "dogs"), "label ''"),
        ("1.0", ("cats", "dogs"), "label '1.0'"),
        (True, ("cats", "dogs"), "label True"),
        ("dogs", None, "have no names, give a number from 0"),
        (-1, None, "label -1"),
    ],
)
def test_an_unknown_class_is_one_line(label, names, words):
    with pytest.raises(UsageError, match=words) as error:
        data.label_of(label, names)
    assert "\n" not in str(error.value)


def test_sets_know_the_names_of_their_classes():
    digits = data.load("digits")
    assert digits.class_names == tuple(map(str, range(10)))
    assert data.load("ring").class_names is None
    for name, known in sets.SETS.items():
        assert len(set(known.class_names)) == 10, name
    assert sets.SETS["cifar10"].class_names[6] == "frog"
    assert sets.SETS["fashion_mnist"].class_names[9] == "Ankle boot"
    assert data.label_of("3", sets.SETS["mnist"].class_names) == 3
