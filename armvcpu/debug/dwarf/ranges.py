"""Which addresses an entry of DWARF is about (DWARF 5, 2.17)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


def ranges_of(dwarf: Any, die: Any) -> Iterator[tuple[int, int]]:
    """(first address, behind the last) of each range."""
    attributes = die.attributes
    if "DW_AT_ranges" in attributes:
        base = base_of(die.cu)
        lists = dwarf.range_lists()
        for entry in lists.get_range_list_at_offset(attributes["DW_AT_ranges"].value, die.cu):
            if hasattr(entry, "base_address"):
                base = entry.base_address
            else:
                start = 0 if getattr(entry, "is_absolute", False) else base
                yield start + entry.begin_offset, start + entry.end_offset
    elif "DW_AT_low_pc" in attributes and "DW_AT_high_pc" in attributes:
        low, high = attributes["DW_AT_low_pc"].value, attributes["DW_AT_high_pc"]
        yield low, high.value if high.form == "DW_FORM_addr" else low + high.value


def base_of(unit: Any) -> int:
    """What a unit's addresses are told from, where they are told as offsets."""
    attribute = unit.get_top_DIE().attributes.get("DW_AT_low_pc")
    return 0 if attribute is None else int(attribute.value)
