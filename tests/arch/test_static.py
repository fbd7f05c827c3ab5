"""The names for type checkers: what code relies on at run time."""

from __future__ import annotations

import pickle
import typing

import pytest

from armvcpu.arch import static


class Pair(static.NamedTuple):
    """Two."""

    first: int
    second: int = 2

    @property
    def total(self) -> int:
        return self.first + self.second


def test_named_tuples_are_those_of_typing():
    assert tuple(Pair(1)) == (1, 2) == Pair(1)
    assert Pair(second=5, first=1)._replace(first=2).total == 7
    assert (Pair.__name__, Pair.__module__, Pair.__doc__) == ("Pair", __name__, "Two.")
    assert pickle.loads(pickle.dumps(Pair(3))) == Pair(3)


def test_bases_take_what_is_in_brackets():
    number = static.TypeVar("number", bound=int)

    class Box(static.Generic[number]):
        pass

    class Small(Box[int]):
        pass

    class Reader(static.Protocol):
        def read(self) -> int: ...

    assert issubclass(Small, Box)
    assert Reader() is not None


def test_unreachable_code_says_so():
    with pytest.raises(AssertionError, match="'x'"):
        static.assert_never("x")


def test_every_name_is_one_of_typing():
    assert all(hasattr(typing, name) and hasattr(static, name) for name in static.__all__)
