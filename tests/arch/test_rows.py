"""Rows: what a frozen dataclass with slots would do."""

from __future__ import annotations

import copy
import pickle
from typing import ClassVar

import pytest

from armvcpu.arch.rows import FEW, Row


class Point(Row):
    """Two numbers, the second of which need not be given."""

    x: int
    y: int = 7
    KIND: ClassVar[str] = "flat"


class Place(Point):
    """One more."""

    name: str = ""


class Other(Row):
    """The same fields in another class."""

    x: int
    y: int = 7


class Empty(Row):
    """No fields."""


def test_made_by_position_name_and_default():
    assert (Point(1, 2).x, Point(1, 2).y) == (1, 2)
    assert Point(y=2, x=1) == Point(1, 2)
    assert Point(1).y == 7
    assert Point.KIND == Point(1).KIND == "flat"


@pytest.mark.parametrize(
    ("values", "named", "problem"),
    [
        ((), {}, "missing 1 required positional argument: 'x'"),
        ((1, 2, 3), {}, "takes from 2 to 3 positional arguments but 4 were given"),
        ((1,), {"x": 1}, "got multiple values for argument 'x'"),
        ((1,), {"z": 1}, "got an unexpected keyword argument 'z'"),
        ((), {"y": 1, "z": 1}, "got an unexpected keyword argument 'z'"),
    ],
)
@pytest.mark.parametrize("made", [0, FEW - 1, FEW, FEW + 1])
def test_wrong_arguments_are_refused(values, named, problem, made):
    class Pair(Row):
        x: int
        y: int = 7

    for _ in range(made):
        assert Pair(1).y == 7
    for _ in range(2):
        with pytest.raises(TypeError, match=rf"Pair.__init__\(\) {problem}"):
            Pair(*values, **named)
    assert Pair(1, y=2) == Pair(y=2, x=1) == Pair(1, 2) != Pair(1)


def test_immutable():
    point = Point(1)
    with pytest.raises(AttributeError, match="cannot assign to field 'x'"):
        point.x = 2
    with pytest.raises(AttributeError, match="cannot assign"):
        point.other = 2
    with pytest.raises(AttributeError, match="cannot delete"):
        del point.x
    assert not hasattr(point, "__dict__")


def test_equal_only_to_the_same_class():
    assert Point(1, 2) == Point(1, 2) != Point(1, 3)
    assert Point(1, 2) != Other(1, 2)
    assert Point(1, 2) != Place(1, 2)
    assert Point(1, 2) != (1, 2)
    assert Empty() == Empty()


def test_hash_is_that_of_what_equals():
    assert len({Point(1), Point(1, 7), Point(2), Empty(), Empty()}) == 3
    with pytest.raises(TypeError):
        hash(Point([]))


def test_repr_is_how_it_is_made():
    assert repr(Point(1, "a")) == "Point(x=1, y='a')"
    assert repr(Place(1)) == "Place(x=1, y=7, name='')"
    assert repr(Empty()) == "Empty()"


def test_match():
    match Place(1, 2, "here"):
        case Place(x, y, name):
            assert (x, y, name) == (1, 2, "here")


def test_subclass_is_made_with_its_own_fields_whichever_is_made_first():
    class First(Row):
        a: int

    class Second(First):
        b: int = 1

    assert First(1).a == 1
    assert Second(1, 2).as_dict() == {"a": 1, "b": 2}


def test_replace():
    assert Place(1, 2).replace(y=3, name="there") == Place(1, 3, "there")


def test_copies():
    place = Place(1, [2])
    assert pickle.loads(pickle.dumps(place)) == copy.copy(place) == copy.deepcopy(place) == place
    assert copy.deepcopy(place).y is not place.y


def test_post_init_may_refuse():
    class Even(Row):
        number: int

        def __post_init__(self) -> None:
            if self.number % 2:
                raise ValueError("odd")

    assert Even(2).number == 2
    with pytest.raises(ValueError, match="odd"):
        Even(3)
