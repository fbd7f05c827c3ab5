"""The vocabulary of guest mappings: flags, their descriptor attributes, and regions.

Apart from `addrspace.py` so that the address space is only its operations. Encodings: Arm DDI 0487 D8.
"""

from __future__ import annotations

from enum import Flag, auto
from functools import cache

from armvcpu.arch.rows import Row
from armvcpu.arch.stage2 import ADDRESS_MASK, LEAF_TYPE, PAGE_SIZE, S2AP, SH, XN, MemAttr, Stage2Descriptor
from armvcpu.errors import UsageError, number_in


class MappingFlags(Flag):
    """What a guest may do with memory, and its type (neither DEVICE nor UNCACHED: Normal Write-Back)."""

    READ = auto()
    WRITE = auto()
    EXECUTE = auto()
    DEVICE = auto()  # Device-nGnRE
    UNCACHED = auto()  # Normal, Non-cacheable


RWX = MappingFlags.READ | MappingFlags.WRITE | MappingFlags.EXECUTE


@cache
def leaf_attributes(flags: MappingFlags) -> int:
    """The attribute bits of a block or page descriptor. UsageError for DEVICE with UNCACHED."""
    if MappingFlags.DEVICE | MappingFlags.UNCACHED in flags:
        raise UsageError("memory is either DEVICE or UNCACHED, not both; drop one flag")
    memory, shareability = MemAttr.NORMAL_WB, SH.INNER
    if MappingFlags.DEVICE in flags:
        memory, shareability = MemAttr.DEVICE_nGnRE, SH.OUTER
    elif MappingFlags.UNCACHED in flags:
        memory, shareability = MemAttr.NORMAL_NC, SH.OUTER
    access = S2AP.RO * (MappingFlags.READ in flags) | S2AP.WO * (MappingFlags.WRITE in flags)
    execute = XN.EXECUTABLE if MappingFlags.EXECUTE in flags else XN.EXECUTE_NEVER
    return Stage2Descriptor.of(MemAttr=memory, S2AP=access, SH=shareability, AF=1, XN=execute)


def leaf_flags(descriptor: int) -> MappingFlags:
    """The flags a block or page descriptor was made from."""
    return _flags_of(descriptor & ~(ADDRESS_MASK | LEAF_TYPE))


@cache
def _flags_of(attributes: int) -> MappingFlags:
    descriptor, flags = Stage2Descriptor(attributes), MappingFlags(0)
    if descriptor.S2AP & S2AP.RO:
        flags |= MappingFlags.READ
    if descriptor.S2AP & S2AP.WO:
        flags |= MappingFlags.WRITE
    if descriptor.XN == XN.EXECUTABLE:
        flags |= MappingFlags.EXECUTE
    if descriptor.MemAttr == MemAttr.DEVICE_nGnRE:
        flags |= MappingFlags.DEVICE
    elif descriptor.MemAttr == MemAttr.NORMAL_NC:
        flags |= MappingFlags.UNCACHED
    return flags


class Region(Row):
    """A mapped range: `hpa` is where a linear mapping starts, None for memory from the allocator."""

    gpa: int
    size: int
    flags: MappingFlags
    hpa: int | None
    lazy_execute: bool

    @property
    def end(self) -> int:
        """The first address after the region."""
        return self.gpa + self.size

    @property
    def first_flags(self) -> MappingFlags:
        """What a page may do before its first execute fault."""
        return self.flags & ~MappingFlags.EXECUTE if self.lazy_execute else self.flags

    def cut(self, start: int, end: int) -> Region:
        """The part of this region within [start, end)."""
        gpa, stop = max(self.gpa, start), min(self.end, end)
        hpa = None if self.hpa is None else self.hpa + gpa - self.gpa
        return self.replace(gpa=gpa, size=stop - gpa, hpa=hpa)


def check_pages(kind: str, start: int, size: int, limit: int) -> None:
    """UsageError unless [start, start + size) is whole pages below `limit`, a power of two."""
    number_in(f"the address of a {kind} range", start, 64, signed=True)
    number_in(f"the size of a {kind} range", size, 64, signed=True)
    if start % PAGE_SIZE or size % PAGE_SIZE or size <= 0:
        raise UsageError(f"{kind} range {start:#x}, {size:#x} bytes, is not made of whole 4 KiB pages")
    if start < 0 or start + size > limit:
        raise UsageError(f"{kind} range {start:#x}, {size:#x} bytes, exceeds {limit.bit_length() - 1} address bits")
