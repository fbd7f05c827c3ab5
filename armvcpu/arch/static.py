"""The names of `typing` that mean something to type checkers alone, without importing it: that takes 4 ms of a start.

A file that every run imports takes them from here. What is not a name in annotations does as little as it can.
"""

from __future__ import annotations

from collections import namedtuple

__all__ = [
    "IO",
    "TYPE_CHECKING",
    "Any",
    "ClassVar",
    "Generic",
    "Literal",
    "NamedTuple",
    "NoReturn",
    "Protocol",
    "Self",
    "TypeVar",
    "assert_never",
    "dataclass_transform",
    "overload",
]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import (
        IO,
        Any,
        ClassVar,
        Generic,
        Literal,
        NamedTuple,
        NoReturn,
        Protocol,
        Self,
        TypeVar,
        assert_never,
        dataclass_transform,
        overload,
    )
else:

    class _Name:
        """What can be a base class and have something in brackets."""

        def __class_getitem__(cls, _arguments):
            return cls

    class Generic(_Name):
        """Has no parameters at run time."""

    class Protocol(_Name):
        """A class as others are."""

    class Any(_Name):
        """Nothing to do with values."""

    IO = ClassVar = Literal = NoReturn = Self = Any

    def TypeVar(name, *_constraints, **_options):
        """Only its name."""
        return name

    class _NamedTupleType(type):
        def __new__(cls, name, bases, namespace):
            """A class of named tuples, with the methods that it declares."""
            fields = namespace.get("__annotations__", {})
            if not fields:
                return super().__new__(cls, name, bases, namespace)
            made = namedtuple(name, fields, defaults=[namespace[f] for f in fields if f in namespace])
            for attribute in namespace.keys() - fields.keys() - {"__annotations__", "__qualname__"}:
                setattr(made, attribute, namespace[attribute])
            return made

    class NamedTuple(metaclass=_NamedTupleType):
        """As `typing` makes them."""

    def dataclass_transform(**_options):
        """The decorator that changes nothing."""
        return lambda decorated: decorated

    def overload(_declared):
        """A declaration, which the function itself follows."""

    def assert_never(value):
        """What type checkers have excluded is here."""
        raise AssertionError(f"nobody expected {value!r}")
