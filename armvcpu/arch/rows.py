"""Rows: small immutable records of named, typed fields. In this layer because every layer has some.

    class Region(Row):
        base: int
        size: int = 4096

A row is declared and behaves like a frozen dataclass with slots: it is made by position or by name, prints itself, can
be matched, hashed and pickled, and equals only a row of its own class. But a dataclass takes half a millisecond to
declare, dozens of them were half of a start, and importing `dataclasses` is as much again. Here a class's constructor
is written once it has made some rows, which most classes of a run never do.
"""

from __future__ import annotations

from armvcpu.arch.static import TYPE_CHECKING, Any, Self, dataclass_transform

if TYPE_CHECKING:
    from collections.abc import Callable

FEW = 8
"""Rows that a class makes before its constructor is written, which costs as much as making twenty of them."""

_set = object.__setattr__


class RowType(type):
    """The class of row classes: makes slots of the annotated names, and keeps their defaults."""

    __match_args__: tuple[str, ...]
    _defaults: dict[str, Any]
    _made: int

    def __new__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> RowType:
        """Make a class."""
        names = tuple(n for n, kind in namespace.get("__annotations__", {}).items() if not kind.startswith("ClassVar"))
        defaults = {name: namespace.pop(name) for name in names if name in namespace}
        namespace["__slots__"] = names
        for base in bases:
            assert isinstance(base, RowType)
            names, defaults = (*base.__match_args__, *names), {**base._defaults, **defaults}
        namespace["__match_args__"], namespace["_defaults"] = names, defaults
        namespace["__init__"], namespace["_made"] = _first_init, 0
        return super().__new__(cls, name, bases, namespace)


def _first_init(row: Row, *values: Any, **named: Any) -> None:
    """The constructor of a class until it has made some rows, or is called wrongly."""
    kind = type(row)
    kind._made += 1
    fields = _fields(kind, values, named) if kind._made <= FEW and not hasattr(kind, "__post_init__") else None
    if fields is not None:
        for name in kind.__match_args__:
            _set(row, name, fields[name])
        return
    init = _constructor(kind)
    type.__setattr__(kind, "__init__", init)
    init(row, *values, **named)


def _fields(kind: RowType, values: tuple[Any, ...], named: dict[str, Any]) -> dict[str, Any] | None:
    """Every field's value by name; None where the arguments are wrong, of which Python itself says what is."""
    names = kind.__match_args__
    given = dict(zip(names, values, strict=False))
    if len(given) != len(values) or not given.keys().isdisjoint(named):
        return None
    fields = {**kind._defaults, **given, **named}
    return fields if fields.keys() == set(names) else None


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
