"""Values that are more than a number: enumerators, pointers, structures, arrays.

They print as a debugger shows them. A pointer and an enumerator are integers, too. What is in the guest's memory is
read when it is asked for: look at it before the guest goes on. Memory that is none is `Unreadable` when asked for, and
`<unreadable>` in print.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from armvcpu.debug.dwarf.place import InMemory, Unreadable
from armvcpu.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator

    from armvcpu.debug.dwarf.kinds import ArrayType, PointerType, Record
    from armvcpu.debug.dwarf.place import Memory, Place

LONGEST_TEXT = 4096
"""Bytes of a text that has no end before."""
_SHOWN_TEXT, _SHOWN_ELEMENTS, _SHOWN_DEPTH = 200, 20, 3
_PIECE = 64


class EnumValue(int):
    """A number of an enumeration; prints as the enumerator's name, `A | B` where several make it up."""

    names: dict[int, str]

    def __new__(cls, number: int, names: dict[int, str]) -> EnumValue:
        """A number with the names of its enumeration."""
        value = super().__new__(cls, number)
        value.names = names
        return value

    @property
    def name(self) -> str | None:
        """The enumerator's; None where there is none of this number."""
        return self.names.get(self)

    def __str__(self) -> str:
        return self.name or self._flags() or int.__repr__(self)

    __repr__ = __str__

    def _flags(self) -> str:
        """The names of its bits, where the enumeration is one of bits and has them all."""
        left, found = int(self), []
        for bit, name in self.names.items():
            if bit > 0 and not bit & bit - 1 and left & bit:
                found.append(name)
                left &= ~bit
        return " | ".join(found) if not left else ""


class Pointer(int):
    """An address with what is there: `pointer.field` or `pointer["field"]`, `pointer[i]`, `pointer.deref()`.

    A member that is called as a method of this class, or of int, is had in brackets only.
    """

    _type: PointerType
    _memory: Memory

    def __new__(cls, address: int, type: PointerType, memory: Memory) -> Pointer:
        """An address with its type."""
        value = super().__new__(cls, address)
        value._type, value._memory = type, memory
        return value

    def deref(self) -> Any:
        """The value that it points to; Unreadable where there is no memory."""
        return self[0]

    def __getitem__(self, index: int | str) -> Any:
        """The element `index`, as in C, or a member."""
        kind = self._type.target
        if isinstance(index, str):
            return member_of(kind.load(InMemory(self._memory, int(self))), index)
        if not kind.size:
            raise UsageError(f"{self._type.name} {int(self):#x}: what it points to has no value")
        return kind.load(InMemory(self._memory, int(self) + index * kind.size))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return self[name]

    def raw(self, size: int) -> bytes:
        """`size` bytes there; Unreadable where they are no memory."""
        return InMemory(self._memory, int(self)).read(0, size)

    def string(self, most: int = LONGEST_TEXT) -> str:
        """The characters there up to the NUL, at most so many bytes, as UTF-8; Unreadable where there is no memory."""
        return _text(InMemory(self._memory, int(self)), 0, most)[0]

    def __repr__(self) -> str:
        shown = f"{int(self):#x}"
        if self and self._type.is_text:
            try:
                text, ended = _text(InMemory(self._memory, int(self)), 0, _SHOWN_TEXT)
            except Unreadable:
                return shown
            return f"{shown} {quoted(text, ended=ended)}"
        return shown

    __str__ = __repr__


class Struct:
    """A structure or union: `struct.field` or `struct["field"]`, read then; iterates over the names of its members.

    A member whose name begins with an underscore is had in brackets only.
    """

    __slots__ = ("_offset", "_place", "_type")

    def __init__(self, type: Record, place: Place, offset: int) -> None:
        self._type, self._place, self._offset = type, place, offset

    def __getitem__(self, name: str) -> Any:
        """A member's value; UsageError where there is no such member."""
        found = self._type.by_name.get(name)
        if found is None:
            raise UsageError(f"{self._type.name} has no member {name!r}{did_you_mean(name, self._type.by_name, 3)}")
        member, offset = found
        return member.load(self._place, self._offset + offset)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return self[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._type.by_name)

    def __contains__(self, name: object) -> bool:
        return name in self._type.by_name

    def __repr__(self) -> str:
        return shown(self, _SHOWN_DEPTH)

    def _shown(self, depth: int) -> str:
        """`{a = 1, b = ...}`, structures inside down to so many levels."""
        if depth <= 0:
            return "{...}"
        members = self._type.members
        parts = [f"{member.name} = {self._member(member, depth)}" for member in members[:_SHOWN_ELEMENTS]]
        return "{" + ", ".join(parts + ["..."] * (len(members) > _SHOWN_ELEMENTS)) + "}"

    def _member(self, member: Any, depth: int) -> str:
        try:
            return shown(member.load(self._place, self._offset), depth - 1)
        except Unreadable:
            return "<unreadable>"


class Array:
    """An array: a sequence, each of whose elements is read when it is asked for; characters print as text."""

    __slots__ = ("_offset", "_place", "_type")

    def __init__(self, type: ArrayType, place: Place, offset: int) -> None:
        self._type, self._place, self._offset = type, place, offset

    def __len__(self) -> int:
        return self._type.count

    def __getitem__(self, index: int) -> Any:
        """An element; IndexError behind the last, but for an array without a length."""
        count = self._type.count
        if index < 0:
            index += count
        if index < 0 or (count and index >= count):
            raise IndexError(f"{self._type.name} has no element {index}")
        return self._type.element.load(self._place, self._offset + index * self._type.element.size)

    def __iter__(self) -> Iterator[Any]:
        return (self[index] for index in range(len(self)))

    def string(self) -> str:
        """Its characters up to the NUL, as UTF-8."""
        return _text(self._place, self._offset, self._type.size or LONGEST_TEXT)[0]

    def __repr__(self) -> str:
        return shown(self, _SHOWN_DEPTH)

    def _shown(self, depth: int) -> str:
        """`[1, 2, ...]`, or `"text"`."""
        if depth <= 0:
            return "[...]"
        element = self._type.element.bare
        try:
            if getattr(element, "is_character", False):
                return quoted(self.string())
            parts = [shown(self[index], depth - 1) for index in range(min(len(self), _SHOWN_ELEMENTS))]
        except Unreadable:
            return "<unreadable>"
        return "[" + ", ".join(parts + ["..."] * (len(self) > _SHOWN_ELEMENTS)) + "]"


def shown(value: Any, depth: int = _SHOWN_DEPTH) -> str:
    """A value of any type in print, structures down to so many levels."""
    if isinstance(value, Struct | Array):
        try:
            return value._shown(depth)
        except Unreadable:
            return "<unreadable>"
    return repr(value)


def member_of(value: Any, name: str) -> Any:
    """A member of what a pointer points to."""
    if not isinstance(value, Struct):
        raise UsageError(f"what the pointer points to has no member {name!r}: it is no structure")
    return value[name]


def quoted(text: str, *, ended: bool = True) -> str:
    """A text in quotation marks, on one line; `...` behind one that has no end."""
    inner = "".join(c if c.isprintable() and c not in '"\\' else repr(c)[1:-1] if c != '"' else '\\"' for c in text)
    return f'"{inner}"' + ("" if ended else "...")


def _text(place: Place, offset: int, most: int) -> tuple[str, bool]:
    """The characters up to the NUL, and whether there was one; what comes before memory that is none counts."""
    found = b""
    while len(found) < most:
        try:
            piece = place.read(offset + len(found), _piece(place.address(offset + len(found)), most - len(found)))
        except Unreadable:
            if not found:
                raise
            return found.decode(errors="replace"), False
        end = piece.find(b"\0")
        if end >= 0:
            return (found + piece[:end]).decode(errors="replace"), True
        found += piece
    return found.decode(errors="replace"), False


def _piece(address: int | None, most: int) -> int:
    """Bytes that are read at once: up to the next multiple of 64, behind which there may be no memory."""
    return most if address is None else min(most, _PIECE - address % _PIECE)
