"""The functions of one ELF file's DWARF: found by address, unit by unit, and kept.

A kernel has thousands of units and millions of entries, which take minutes to read. So the unit of an address comes
from .debug_aranges, or else from the first entry of each unit; and of a unit only what may be functions is read.
"""

from __future__ import annotations

from bisect import bisect_right
from functools import cached_property, partial
from io import BytesIO
from typing import TYPE_CHECKING, Any, NamedTuple

from elftools.dwarf.locationlists import LocationParser
from elftools.elf.elffile import ELFFile

from armvcpu.debug.dwarf.calls import constant, in_general, in_vector
from armvcpu.debug.dwarf.function import Function
from armvcpu.debug.dwarf.ranges import base_of, ranges_of
from armvcpu.debug.dwarf.reader import TypeReader, name_of, origin_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from armvcpu.debug.dwarf.calls import Where
    from armvcpu.debug.dwarf.kinds import Type

_SCOPES = {"DW_TAG_namespace", "DW_TAG_module", "DW_TAG_structure_type", "DW_TAG_class_type"}
"""In which functions may be, beside the unit itself."""
_DW_OP_REG0, _DW_OP_REGX, _DW_OP_LIT0, _DW_OP_STACK_VALUE = 0x50, 0x90, 0x30, 0x9F
_V0 = 64
"""DWARF's number of V0 (IHI 0057, 4.1)."""


class _Part(NamedTuple):
    """A range of addresses, and the entry of the function that has it."""

    low: int
    high: int
    die: Any


class DwarfFile:
    """One ELF file. Whatever damaged DWARF makes of its reader comes out as it is: `dwarf.py` deals with it."""

    def __init__(self, data: bytes) -> None:
        elf: Any = ELFFile(BytesIO(data))
        self._dwarf: Any = elf.get_dwarf_info() if elf.has_dwarf_info(strict=True) else None
        self._types = TypeReader()
        self._parts: dict[int, list[_Part]] = {}
        self._functions: dict[int, Function] = {}

    @property
    def has_functions(self) -> bool:
        """Is there DWARF that describes any?"""
        return self._dwarf is not None

    def function_at(self, address: int) -> Function | None:
        """The function whose code has an address, as it was linked; inlined ones count as their callers."""
        if self._dwarf is None:
            return None
        for unit in self._units_of(address):
            parts = self._parts_of(unit)
            at = bisect_right(parts, address, key=lambda part: part.low) - 1
            if at >= 0 and parts[at].low <= address < parts[at].high:
                return self._function(parts[at].die)
        return None

    def _units_of(self, address: int) -> Iterator[Any]:
        offset = None if self._aranges is None else self._aranges.cu_offset_at_addr(address)
        if offset is not None:
            yield self._dwarf.get_CU_at(offset)
        for ranges, unit in self._units:
            if unit.cu_offset != offset and (not ranges or any(low <= address < high for low, high in ranges)):
                yield unit

    @cached_property
    def _aranges(self) -> Any:
        return self._dwarf.get_aranges()

    @cached_property
    def _units(self) -> list[tuple[list[tuple[int, int]], Any]]:
        """Every unit with its ranges, from its first entry; no ranges where that tells none."""
        return [(list(ranges_of(self._dwarf, unit.get_top_DIE())), unit) for unit in self._dwarf.iter_CUs()]

    def _parts_of(self, unit: Any) -> list[_Part]:
        parts = self._parts.get(unit.cu_offset)
        if parts is None:
            found = (
                _Part(low, high, die)
                for die in _functions_in(unit.get_top_DIE())
                for low, high in ranges_of(self._dwarf, die)
                if low < high
            )
            parts = self._parts[unit.cu_offset] = sorted(found, key=lambda part: part.low)
        return parts

    def _function(self, die: Any) -> Function:
        known = self._functions.get(die.offset)
        if known is None:
            ranges = list(ranges_of(self._dwarf, die))
            low, high = ranges[0]
            children = [child.tag for child in die.iter_children()]
            known = self._functions[die.offset] = Function(
                name_of(die) or name_of(origin_of(die)), low, high,
                partial(self._parameters, die, low), partial(self._types.of, die),
                is_variadic="DW_TAG_unspecified_parameters" in children,
            )  # fmt: skip
        return known

    def _parameters(self, die: Any, entry: int) -> list[tuple[str, Type, Where | None]]:
        return [
            (name_of(child) or name_of(origin_of(child)), self._types.of(child), self._where(child, entry))
            for child in die.iter_children()
            if child.tag == "DW_TAG_formal_parameter"
        ]

    def _where(self, die: Any, entry: int) -> Where | None:
        """Where DWARF itself says that a parameter is at an address; None where it does not, or too intricately.

        A compiler that has made another function of a static one (`f.isra.0`, `f.constprop.0`) passes arguments
        elsewhere than the standard does. Without optimisation it tells only where they are once they have been stored.
        """
        if "DW_AT_const_value" in die.attributes:
            value = die.attributes["DW_AT_const_value"].value
            return constant(value) if isinstance(value, int) else None
        attribute = die.attributes.get("DW_AT_location")
        parser = LocationParser(self._dwarf.location_lists())
        if attribute is None or not parser._attribute_has_loc_list(attribute, die.cu["version"]):
            return None
        base = base_of(die.cu)
        each: Any
        for each in parser.parse_from_attribute(attribute, die.cu["version"], die):
            if hasattr(each, "base_address"):
                base = each.base_address
                continue
            start = 0 if each.is_absolute else base
            if start + each.begin_offset <= entry < start + each.end_offset:
                return _simple_place(bytes(each.loc_expr), self._types.of(die))
        return None


def _functions_in(die: Any) -> Iterator[Any]:
    """The entries of functions that have code, in a unit and the scopes inside it."""
    for child in die.iter_children():
        if child.tag == "DW_TAG_subprogram":
            if "DW_AT_low_pc" in child.attributes or "DW_AT_ranges" in child.attributes:
                yield child
        elif child.tag in _SCOPES and child.has_children:
            yield from _functions_in(child)


def _simple_place(expression: bytes, kind: Type) -> Where | None:
    """A register, or a small constant (DWARF 5, 2.6.1.1.3 and 2.6.1.1.4)."""
    if kind.is_composite or kind.size > 8:
        return None
    if len(expression) == 1 and _DW_OP_REG0 <= expression[0] <= _DW_OP_REG0 + 30:
        return in_general(expression[0] - _DW_OP_REG0, kind.size)
    if len(expression) == 2 and expression[0] == _DW_OP_REGX and _V0 <= expression[1] < _V0 + 32:
        return in_vector(expression[1] - _V0, 1, kind.size)
    if len(expression) == 2 and expression[1] == _DW_OP_STACK_VALUE and 0 <= expression[0] - _DW_OP_LIT0 < 32:
        return constant(expression[0] - _DW_OP_LIT0)
    return None
