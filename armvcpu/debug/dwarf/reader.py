"""Makes types of DWARF's entries (DIEs). A type is made once for each entry; what it refers to by pointer, when asked.

DWARF 5 chapter 5; 5.7.6 has the two ways in which DWARF 4 and 5 say where a bit-field is.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from armvcpu.debug.dwarf.kinds import (
    Alias,
    ArrayType,
    Base,
    Encoding,
    Enumeration,
    FunctionType,
    Member,
    PointerType,
    Record,
    Type,
    Void,
)

if TYPE_CHECKING:
    from collections.abc import Callable

_ENCODINGS = {
    1: Encoding.UNSIGNED, 2: Encoding.BOOLEAN, 4: Encoding.FLOAT, 5: Encoding.SIGNED, 6: Encoding.SIGNED,
    7: Encoding.UNSIGNED, 8: Encoding.UNSIGNED, 0x10: Encoding.UNSIGNED,
}  # fmt: skip
"""DW_ATE_* (DWARF 5, 7.8)."""
DW_CC_PASS_BY_REFERENCE = 4
_QUALIFIERS = {"DW_TAG_const_type": "const", "DW_TAG_volatile_type": "volatile", "DW_TAG_atomic_type": "_Atomic"}
_POINTERS = {
    "DW_TAG_pointer_type": "*", "DW_TAG_reference_type": "&", "DW_TAG_rvalue_reference_type": "&&",
}  # fmt: skip
_RECORDS = {"DW_TAG_structure_type": "struct", "DW_TAG_class_type": "class", "DW_TAG_union_type": "union"}
_FEW = 64
"""Typedefs and qualifiers in a row: damaged DWARF may have circles."""


def name_of(die: Any) -> str:
    """DW_AT_name; empty where there is none."""
    attribute = die.attributes.get("DW_AT_name")
    return attribute.value.decode(errors="replace") if attribute is not None else ""


def number_of(die: Any, name: str, otherwise: int = 0) -> int:
    """An attribute that is a plain number."""
    attribute = die.attributes.get(name)
    return attribute.value if attribute is not None and isinstance(attribute.value, int) else otherwise


def origin_of(die: Any) -> Any:
    """The entry that has a name and a type for another: a declaration's, or an inlined function's abstract one."""
    for _ in range(4):
        for name in ("DW_AT_abstract_origin", "DW_AT_specification"):
            if name in die.attributes:
                die = die.get_DIE_from_attribute(name)
                break
        else:
            break
    return die


class TypeReader:
    """Types of one file."""

    def __init__(self) -> None:
        self._known: dict[int, Type] = {}
        self._void = Void()

    def of(self, die: Any, depth: int = 0) -> Type:
        """The type that an entry has (DW_AT_type): a parameter's, a member's, a function's result; void without one."""
        for entry in (die, origin_of(die)):
            if "DW_AT_type" in entry.attributes:
                return self.read(entry.get_DIE_from_attribute("DW_AT_type"), depth)
        return self._void

    def read(self, die: Any, depth: int = 0) -> Type:
        """The type that an entry is."""
        known = self._known.get(die.offset)
        if known is None:
            if depth > _FEW:
                raise ValueError("types in a circle")
            known = self._known[die.offset] = self._make(die, depth + 1)
        return known

    def _make(self, die: Any, depth: int) -> Type:
        make = _MAKERS.get(die.tag)
        if make is None:
            return Type(name_of(die) or die.tag, number_of(die, "DW_AT_byte_size"))
        return make(self, die, depth)

    def _base(self, die: Any, _depth: int) -> Type:
        encoding = _ENCODINGS.get(number_of(die, "DW_AT_encoding"), Encoding.OTHER)
        return Base(name_of(die), number_of(die, "DW_AT_byte_size"), encoding)

    def _pointer(self, die: Any, _depth: int) -> Type:
        return PointerType(partial(self._later, die), _POINTERS[die.tag])

    def _record(self, die: Any, _depth: int) -> Type:
        name = f"{_RECORDS[die.tag]} {name_of(die)}".strip()
        members = partial(self._members, die)
        record = Record(name, number_of(die, "DW_AT_byte_size"), members, is_union=die.tag == "DW_TAG_union_type")
        record.passed_by_reference = number_of(die, "DW_AT_calling_convention") == DW_CC_PASS_BY_REFERENCE
        return record

    def _later(self, die: Any) -> Type:
        """As `of`, once somebody asks: in a trap, where damage is no type, and no error."""
        try:
            return self.of(die)
        except Exception:  # whatever damaged DWARF makes of its reader
            return self._void

    def _members(self, die: Any) -> list[Member]:
        found: list[Member] = []
        with suppress(Exception):  # as in _later
            found.extend(self._member(child) for child in die.iter_children() if _is_member(child))
        return found

    def _member(self, die: Any) -> Member:
        kind: Callable[[], Type] = partial(self._later, die)
        offset, bits = number_of(die, "DW_AT_data_member_location"), number_of(die, "DW_AT_bit_size")
        name = name_of(die) or (kind().bare.name if die.tag == "DW_TAG_inheritance" else "")
        if not bits:
            return Member(name, kind, offset)
        if "DW_AT_bit_offset" in die.attributes:  # of DWARF 2 and 3: from the most significant bit of a unit
            size = number_of(die, "DW_AT_byte_size", kind().size)
            return Member(name, kind, offset, bits, 8 * size - number_of(die, "DW_AT_bit_offset") - bits, size)
        first = 8 * offset + number_of(die, "DW_AT_data_bit_offset")
        return Member(name, kind, first // 8, bits, first % 8, (first % 8 + bits + 7) // 8)

    def _enumeration(self, die: Any, _depth: int) -> Type:
        names = {
            number_of(child, "DW_AT_const_value"): name_of(child)
            for child in die.iter_children()
            if child.tag == "DW_TAG_enumerator"
        }
        size = number_of(die, "DW_AT_byte_size", 4)
        return Enumeration(f"enum {name_of(die)}".strip(), size, names, is_signed=any(number < 0 for number in names))

    def _array(self, die: Any, depth: int) -> Type:
        kind = self.of(die, depth)
        counts = [_count(child) for child in die.iter_children() if child.tag == "DW_TAG_subrange_type"]
        is_vector = "DW_AT_GNU_vector" in die.attributes
        for count in reversed(counts or [0]):
            kind = ArrayType(kind, count, is_vector=is_vector)
        return kind

    def _alias(self, die: Any, depth: int) -> Type:
        target = self.of(die, depth)
        qualifier = _QUALIFIERS.get(die.tag)
        return Alias(name_of(die) if qualifier is None else f"{qualifier} {target.name}", target)

    def _same(self, die: Any, depth: int) -> Type:
        return self.of(die, depth)


def _is_member(die: Any) -> bool:
    """Is it part of an object, or the base class that is: no static member of C++?"""
    return die.tag in {"DW_TAG_member", "DW_TAG_inheritance"} and "DW_AT_external" not in die.attributes


def _count(die: Any) -> int:
    """Elements: DW_AT_count, or DW_AT_upper_bound, which for C counts from 0; 0 where neither is a number."""
    if "DW_AT_count" in die.attributes:
        return number_of(die, "DW_AT_count")
    upper = number_of(die, "DW_AT_upper_bound", -1)
    return upper + 1 if upper < 1 << 31 else 0  # of an array without a length, some say 2^64 - 1


_MAKERS: dict[str, Callable[[TypeReader, Any, int], Type]] = {
    "DW_TAG_base_type": TypeReader._base,
    "DW_TAG_enumeration_type": TypeReader._enumeration,
    "DW_TAG_array_type": TypeReader._array,
    "DW_TAG_typedef": TypeReader._alias,
    "DW_TAG_restrict_type": TypeReader._same,
    "DW_TAG_subroutine_type": lambda _self, _die, _depth: FunctionType(),
    **dict.fromkeys(_QUALIFIERS, TypeReader._alias),
    **dict.fromkeys(_POINTERS, TypeReader._pointer),
    **dict.fromkeys(_RECORDS, TypeReader._record),
}
