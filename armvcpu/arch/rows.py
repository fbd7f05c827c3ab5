"""Rows: small immutable records of named, typed fields. In this layer because every layer has some.

    class Region(Row):
        base: int
        size: int = 4096

A row is declared and behaves like a frozen dataclass with slots: it is made by position or by name, prints itself, can
be matched, hashed and pickled, and equals only a row of its own class. But a dataclass takes half a millisecond to
declare, dozens of them were half of a start, and importing `dataclasses` is as much again. Here a class's constructor
is written when its first row is made, which most classes of a run never see.
"""

from __future__ import annotations

TYPE_CHECKING = False  # as `typing` has it, which takes milliseconds to import
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Self, dataclass_transform
else:

    def dataclass_transform(**_):
        """For type checkers only."""
        return lambda row_class: row_class


class RowType(type):
    """The class of row classes: makes slots of the annotated names, and keeps their defaults."""

    __match_args__: tuple[str, ...]
    _defaults: dict[str, Any]

    def __new__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> RowType:
        """Make a class."""
        names = tuple(n for n, kind in namespace.get("__annotations__", {}).items() if not kind.startswith("ClassVar"))
        defaults = {name: namespace.pop(name) for name in names if name in namespace}
        namespace["__slots__"] = names
        for base in bases:
            assert isinstance(base, RowType)
            names, defaults = (*base.__match_args__, *names), {**base._defaults, **defaults}
        namespace["__match_args__"], namespace["_defaults"] = names, defaults
        namespace["__init__"] = _first_init
        return super().__new__(cls, name, bases, namespace)


def _first_init(row: Row, *values: Any, **named: Any) -> None:
    """The constructor of a class until it makes its first row."""
    kind = type(row)
    init = _constructor(kind)
    type.__setattr__(kind, "__init__", init)
    init(row, *values, **named)


def _constructor(kind: RowType) -> Callable[..., None]:
    """A function as one would write it by hand, which no loop over the fields is as fast as."""
    names, defaults = kind.__match_args__, kind._defaults
    known: dict[str, Any] = {f"set_{name}": getattr(kind, name).__set__ for name in names}
    known |= {f"default_{name}": value for name, value in defaults.items()}
    parameters = (f"{name}=default_{name}" if name in defaults else name for name in names)
    body = [f"set_{name}(row, {name})" for name in names]
    if hasattr(kind, "__post_init__"):
        body.append("row.__post_init__()")
    text = f"def __init__({', '.join(('row', *parameters))}): {'; '.join(body) or 'pass'}"
    exec(text, known)  # noqa: S102  of nothing but the names in our own classes
    init: Callable[..., None] = known["__init__"]
    init.__qualname__ = f"{kind.__qualname__}.__init__"
    return init


@dataclass_transform(frozen_default=True)
class Row(metaclass=RowType):
    """The base of all rows."""

    def replace(self, **changes: Any) -> Self:
        """This row with some fields changed."""
        return type(self)(**{**Row.as_dict(self), **changes})

    def as_dict(self) -> dict[str, Any]:
        """The fields by name."""
        return {name: getattr(self, name) for name in type(self).__match_args__}

    def _values(self) -> tuple[Any, ...]:
        return tuple([getattr(self, name) for name in type(self).__match_args__])

    def __eq__(self, other: object) -> bool:
        if other.__class__ is not self.__class__:
            return NotImplemented
        assert isinstance(other, Row)
        return self._values() == other._values()

    def __hash__(self) -> int:
        return hash(self._values())

    def __repr__(self) -> str:
        fields = ", ".join([f"{name}={value!r}" for name, value in Row.as_dict(self).items()])
        return f"{type(self).__qualname__}({fields})"

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"cannot assign to field {name!r} of a {type(self).__qualname__}")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"cannot delete field {name!r} of a {type(self).__qualname__}")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self._values()
