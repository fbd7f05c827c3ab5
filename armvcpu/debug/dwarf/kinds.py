"""The types of C and its relatives, each of which makes a Python value of bytes (DWARF 5, chapter 5).

What is a number comes out as one: int, float, bool. Enumerators, pointers, structures and arrays are objects of
`values.py` that print as a debugger would show them. Qualifiers and typedefs are looked through; their names stay.
"""

from __future__ import annotations

import math
import struct
from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING, Any

from armvcpu.debug.dwarf.values import Array, EnumValue, Pointer, Struct

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.debug.dwarf.place import Place

_CHARACTERS = {"char", "char8_t"}
FLOATS = {2: "<e", 4: "<f", 8: "<d"}
"""By bytes: floating-point types as `struct` has them."""


class Encoding(Enum):
    """What the bits of a base type are (DW_ATE_*)."""

    UNSIGNED = "unsigned"
    SIGNED = "signed"
    BOOLEAN = "boolean"
    FLOAT = "float"
    OTHER = "other"


class Type:
    """A type: its name as C writes it, its size in bytes, and its natural alignment."""

    def __init__(self, name: str, size: int, alignment: int | None = None) -> None:
        self._name, self.size = name, size
        self._alignment = alignment

    @property
    def name(self) -> str:
        """As C writes it."""
        return self._name

    @property
    def alignment(self) -> int:
        """Natural alignment in bytes (AAPCS64 5.6)."""
        return self._alignment or max(self.size, 1)

    @property
    def bare(self) -> Type:
        """The type behind typedefs and qualifiers."""
        return self

    @property
    def is_composite(self) -> bool:
        """Is it a structure, union or array?"""
        return False

    def load(self, place: Place, offset: int = 0) -> Any:
        """The value of the bytes at a place."""
        return self.of_bytes(place.read(offset, self.size), place)

    def of_bytes(self, data: bytes, place: Place) -> Any:
        """The value of these bytes: of a scalar type."""
        return int.from_bytes(data, "little")

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}, {self.size} bytes>"


class Void(Type):
    """No value, and what a pointer to anything points to."""

    def __init__(self) -> None:
        super().__init__("void", 0, 1)

    def load(self, place: Place, offset: int = 0) -> None:
        """Nothing."""


class Base(Type):
    """A number, a character or a truth value. What is called `signed char` or `unsigned char` is a number."""

    def __init__(self, name: str, size: int, encoding: Encoding) -> None:
        super().__init__(name, size)
        self.encoding = encoding
        self.is_signed = encoding is Encoding.SIGNED
        self.is_character = size == 1 and name in _CHARACTERS

    def of_bytes(self, data: bytes, place: Place) -> Any:
        """An int, a float or a bool; of a character, its number."""
        if self.encoding is Encoding.FLOAT:
            return _float(data)
        number = int.from_bytes(data, "little", signed=self.is_signed)
        return number != 0 if self.encoding is Encoding.BOOLEAN else number


def _float(data: bytes) -> float:
    if shape := FLOATS.get(len(data)):
        return float(struct.unpack(shape, data)[0])
    bits = int.from_bytes(data[:16], "little")  # binary128: AAPCS64's long double
    sign, exponent, fraction = -1.0 if bits >> 127 else 1.0, bits >> 112 & 0x7FFF, bits & (1 << 112) - 1
    if exponent == 0x7FFF:
        return math.nan if fraction else sign * math.inf
    try:
        return sign * math.ldexp((fraction | (exponent != 0) << 112) / (1 << 112), max(exponent, 1) - 16383)
    except OverflowError:
        return sign * math.inf


class Enumeration(Type):
    """Named numbers."""

    def __init__(self, name: str, size: int, names: dict[int, str], *, is_signed: bool) -> None:
        super().__init__(name, size)
        self.names, self.is_signed = names, is_signed

    def of_bytes(self, data: bytes, place: Place) -> EnumValue:
        """A number that prints as its enumerator."""
        return EnumValue(int.from_bytes(data, "little", signed=self.is_signed), self.names)


class PointerType(Type):
    """A pointer or a reference; `target` may be a function."""

    def __init__(self, target: Callable[[], Type], mark: str = "*", size: int = 8) -> None:
        super().__init__(mark, size)
        self._target, self._mark = target, mark

    @cached_property
    def target(self) -> Type:
        """What it points to; read when asked for, since types refer to themselves by pointers."""
        return self._target()

    @property
    def name(self) -> str:
        """That of what it points to, and `*` or `&`."""
        name = self.target.name
        return f"{name}{self._mark}" if name.endswith(("*", "&")) else f"{name} {self._mark}"

    @property
    def is_text(self) -> bool:
        """Does it point to characters of one byte?"""
        target = self.target.bare
        return isinstance(target, Base) and target.is_character

    def of_bytes(self, data: bytes, place: Place) -> Pointer:
        """A number with what it points to."""
        return Pointer(int.from_bytes(data, "little"), self, place.memory)


class FunctionType(Type):
    """What a pointer to a function points to."""

    def __init__(self, name: str = "function") -> None:
        super().__init__(name, 0, 1)

    def load(self, place: Place, offset: int = 0) -> None:
        """Code has no value."""


class Member:
    """A member of a structure: `bits` and `shift` are those of a bit-field, within its `size` bytes."""

    __slots__ = ("_type", "bits", "name", "offset", "shift", "size")

    def __init__(
        self, name: str, type: Callable[[], Type], offset: int, bits: int = 0, shift: int = 0, size: int = 0
    ) -> None:
        self.name, self._type, self.offset = name, type, offset
        self.bits, self.shift, self.size = bits, shift, size

    @property
    def type(self) -> Type:
        """Its type."""
        return self._type()

    def load(self, place: Place, offset: int) -> Any:
        """Its value in the structure at `offset` of a place."""
        kind = self.type
        if not self.bits:
            return kind.load(place, offset + self.offset)
        raw = int.from_bytes(place.read(offset + self.offset, self.size), "little") >> self.shift
        number = raw & (1 << self.bits) - 1
        if getattr(kind.bare, "is_signed", False) and number >> self.bits - 1:
            number -= 1 << self.bits
        return kind.of_bytes((number & (1 << 8 * kind.size) - 1).to_bytes(kind.size, "little"), place)


class Record(Type):
    """A structure, union or class. Members of an anonymous one inside count as its own."""

    def __init__(self, name: str, size: int, members: Callable[[], list[Member]], *, is_union: bool) -> None:
        super().__init__(name, size)
        self._members, self.is_union = members, is_union
        self.passed_by_reference = False
        """C++: is it no trivial type, so that a call passes where it is (DW_AT_calling_convention)?"""

    @cached_property
    def members(self) -> list[Member]:
        """In the order of their declaration."""
        return self._members()

    @cached_property
    def alignment(self) -> int:
        """Of the member with the largest one."""
        return max((member.type.alignment for member in self.members), default=1)

    @property
    def is_composite(self) -> bool:
        """It is."""
        return True

    @cached_property
    def by_name(self) -> dict[str, tuple[Member, int]]:
        """Each member that has a name, and the offset of the anonymous structure that it is in."""
        found: dict[str, tuple[Member, int]] = {}
        for member in self.members:
            if member.name:
                found.setdefault(member.name, (member, 0))
            inner = member.type.bare
            if isinstance(inner, Record) and (not member.name or member.name == inner.name):  # or a base class
                for name, (each, offset) in inner.by_name.items():
                    found.setdefault(name, (each, offset + member.offset))
        return found

    def load(self, place: Place, offset: int = 0) -> Struct:
        """The structure, whose members are read when they are asked for."""
        return Struct(self, place, offset)


class ArrayType(Type):
    """Elements of one type, one after another; `is_vector`: a short vector of Advanced SIMD (AAPCS64 5.3)."""

    def __init__(self, element: Type, count: int, *, is_vector: bool = False) -> None:
        super().__init__(f"{element.name}[{count or ''}]", element.size * count)
        self.element, self.count, self.is_vector = element, count, is_vector

    @property
    def alignment(self) -> int:
        """That of an element."""
        return self.size if self.is_vector else self.element.alignment

    @property
    def is_composite(self) -> bool:
        """It is, but for a vector."""
        return not self.is_vector

    def load(self, place: Place, offset: int = 0) -> Array:
        """The array, whose elements are read when they are asked for."""
        return Array(self, place, offset)


class Alias(Type):
    """Another name of a type: a typedef, or the type with `const`, `volatile`, `restrict`, `_Atomic`."""

    def __init__(self, name: str, target: Type) -> None:
        super().__init__(name, target.size)
        self.target = target

    @property
    def alignment(self) -> int:
        """That of the type."""
        return self.target.alignment

    @property
    def bare(self) -> Type:
        """The type behind it."""
        return self.target.bare

    @property
    def is_composite(self) -> bool:
        """Is the type?"""
        return self.target.is_composite

    def load(self, place: Place, offset: int = 0) -> Any:
        """The value of the type."""
        return self.target.load(place, offset)

    def of_bytes(self, data: bytes, place: Place) -> Any:
        """The value of the type."""
        return self.target.of_bytes(data, place)
