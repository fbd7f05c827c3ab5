"""Bit fields of architecture registers, declared once as rows of a class.

A register view is an immutable `int` whose fields are `Field` descriptors, named as in the Arm ARM:

    class ESR(RegisterView):
        EC = Field(31, 26, ExceptionClass)
        IL = Field(25)

    ESR(0x5600_1234).EC            -> ExceptionClass.SVC64
    ESR.of(EC=0x15, IL=1)          -> ESR(0x5600_0000)
"""

from __future__ import annotations

from armvcpu.arch.static import TYPE_CHECKING, Any, ClassVar, Generic, Self, TypeVar, overload

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T", bound=int)


class Field(Generic[T]):
    """Bits `hi` to `lo` (both included) of a register, read as `kind` (an int, or an IntEnum)."""

    __slots__ = ("hi", "kind", "lo", "mask", "name")

    @overload
    def __init__(self: Field[int], hi: int, lo: int | None = None) -> None: ...
    @overload
    def __init__(self, hi: int, lo: int | None, kind: Callable[[int], T]) -> None: ...
    def __init__(self, hi: int, lo: int | None = None, kind: Callable[[int], Any] = int) -> None:
        self.hi = hi
        self.lo = hi if lo is None else lo
        self.kind = kind
        self.mask = ((1 << (self.hi - self.lo + 1)) - 1) << self.lo
        self.name = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, obj: None, owner: type) -> Field[T]: ...
    @overload
    def __get__(self, obj: int, owner: type) -> T: ...
    def __get__(self, obj: int | None, owner: type) -> Field[T] | Any:
        if obj is None:
            return self
        return self.kind((int(obj) & self.mask) >> self.lo)

    def place(self, value: int) -> int:
        """`value` moved to this field's position; ValueError if it does not fit."""
        placed = value << self.lo
        if value < 0 or placed & ~self.mask:
            raise ValueError(f"{value:#x} does not fit field {self.name}, bits {self.hi}:{self.lo}")
        return placed


class RegisterView(int):
    """An immutable register value with named fields; subclasses declare `Field`s."""

    FIELDS: ClassVar[dict[str, Field[Any]]] = {}

    def __init_subclass__(cls) -> None:
        own = {name: value for name, value in vars(cls).items() if isinstance(value, Field)}
        cls.FIELDS = {**cls.FIELDS, **own}

    @classmethod
    def of(cls, **fields: int) -> Self:
        """The register value with these fields set and every other bit zero."""
        value = 0
        for name, field_value in fields.items():
            value |= cls.FIELDS[name].place(field_value)
        return cls(value)

    def replace(self, **fields: int) -> Self:
        """This value with some fields changed."""
        value = int(self)
        for name, field_value in fields.items():
            field = self.FIELDS[name]
            value = value & ~field.mask | field.place(field_value)
        return type(self)(value)

    def describe(self) -> str:
        """The non-zero fields as `NAME=0x1 ...`, in declaration order."""
        shown = ((name, (int(self) & f.mask) >> f.lo) for name, f in self.FIELDS.items())
        return " ".join(f"{name}={value:#x}" for name, value in shown if value)
