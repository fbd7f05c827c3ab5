"""A guest's physical address space: which IPA reaches which physical address, and how.

In this layer because the vCPU's stage 2 faults are answered from it. Regions say what was asked for; the
stage 2 tables say what the CPU sees now, which is less while pages wait for their first use: memory that is
populated lazily, and code in a `lazy_execute` region. `handle_page_fault` closes that gap.
Follows Arm DDI 0487 D8. Addresses and sizes are bytes, in whole 4 KiB pages. A refused call raises UsageError
and changes nothing.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from operator import attrgetter

from armvcpu.arch.stage2 import PAGE_SIZE, Stage2Geometry
from armvcpu.arch.static import TYPE_CHECKING, NamedTuple
from armvcpu.errors import UsageError, kind_in
from armvcpu.vcpu.stage2.mapping import MappingFlags, Region, check_pages, leaf_attributes, leaf_flags
from armvcpu.vcpu.stage2.pool import TablePool
from armvcpu.vcpu.stage2.tables import Stage2Tables

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = ["AddressSpace", "MappingFlags", "Region", "TablePool", "Translation"]

_start = attrgetter("gpa")


class Translation(NamedTuple):
    """Where a guest-physical address leads now: physical address, permissions, bytes of the block or page."""

    hpa: int
    flags: MappingFlags
    leaf_size: int


class AddressSpace:
    """Guest-physical memory of one VM, in tables from `pool`.

    `allocate(size)` returns page-aligned physical memory for `map_alloc`; `release(hpa, size)` takes it back,
    in pieces as it gets unmapped. `on_change(gpa, size)` is called when translations must leave the TLBs,
    before what they lead to is reused; `stage2/edit.py` has the order. EXECUTE in a `lazy_execute` region is
    granted for `execute_granule` bytes (a power of two, at least a page) at a time.
    """

    def __init__(
        self,
        pool: TablePool,
        levels: int = 3,
        input_bits: int = 39,
        pa_bits: int = 48,
        *,
        allocate: Callable[[int], int] | None = None,
        release: Callable[[int, int], None] | None = None,
        on_change: Callable[[int, int], None] | None = None,
        execute_granule: int = PAGE_SIZE,
    ) -> None:
        if execute_granule < PAGE_SIZE or execute_granule & execute_granule - 1:
            raise UsageError(f"execute granule {execute_granule:#x} is not a power of two of 4 KiB or more")
        geometry = Stage2Geometry(levels, input_bits)
        self.vtcr = int(geometry.vtcr_el2(pa_bits))
        self._gpa_end, self._hpa_end = 1 << input_bits, 1 << pa_bits
        self._tables = Stage2Tables(pool, geometry, on_change or (lambda _gpa, _size: None))
        self._allocate, self._release = allocate, release
        self._granule = execute_granule
        self._regions: list[Region] = []  # in order of gpa, disjoint

    @property
    def root(self) -> int:
        """Physical address of the root table, for VTTBR_EL2.BADDR."""
        return self._tables.root

    def regions(self) -> tuple[Region, ...]:
        """What is mapped, in order of address; `unmap` and `protect` cut regions."""
        return tuple(self._regions)

    def map_linear(self, gpa: int, hpa: int, size: int, flags: MappingFlags, *, lazy_execute: bool = False) -> None:
        """Map `size` bytes at `gpa` to physical memory or a device at `hpa`."""
        region = Region(gpa, size, flags, hpa, lazy_execute)
        self._check_new(region)
        self._check_hpa(hpa, size)
        self._tables.map(gpa, hpa, size, leaf_attributes(region.first_flags))
        self._replace(gpa, region.end, [region])

    def map_alloc(
        self, gpa: int, size: int, flags: MappingFlags, *, populate: bool = True, lazy_execute: bool = False
    ) -> None:
        """Map memory from the allocator: in one piece now, or a page at each first access."""
        region = Region(gpa, size, flags, None, lazy_execute)
        self._check_new(region)
        if self._allocate is None:
            raise UsageError("map_alloc needs an AddressSpace with an allocator; pass allocate=")
        if populate:
            self._populate(gpa, size, region.first_flags)
        self._replace(gpa, region.end, [region])

    def unmap(self, gpa: int, size: int) -> None:
        """Remove what is mapped in the range (holes are fine) and give allocated memory back."""
        self._check_range(gpa, size)
        end = gpa + size
        freed = [piece for region in self._cut(gpa, end) for piece in self._allocated(region)]
        self._tables.change([(gpa, size, None)])
        self._replace(gpa, end, [])
        self._give_back(freed)

    def clear(self) -> None:
        """Unmap everything."""
        self.unmap(0, self._gpa_end)

    def protect(self, gpa: int, size: int, flags: MappingFlags) -> None:
        """Give the range, which must be mapped without holes, new flags.

        In a `lazy_execute` region every page is execute-never again until it faults.
        """
        self._check_range(gpa, size)
        kind_in("what a guest may do with memory", flags, MappingFlags)
        inside = self._cut(gpa, gpa + size)
        if sum(region.size for region in inside) != size:
            raise UsageError(f"guest range {gpa:#x} to {gpa + size:#x} has holes; protect mapped memory only")
        changed = [region.replace(flags=flags) for region in inside]
        self._tables.change([(new.gpa, new.size, leaf_attributes(new.first_flags)) for new in changed])
        self._replace(gpa, gpa + size, changed)

    def translate(self, gpa: int) -> Translation | None:
        """What the tables hold for `gpa` (any byte address) now; None if nothing is there."""
        leaf = self._tables.lookup(gpa) if 0 <= gpa < self._gpa_end else None
        if leaf is None:
            return None
        return Translation(leaf.pa(gpa), leaf_flags(leaf.descriptor), leaf.size)

    def handle_page_fault(self, gpa: int, access: MappingFlags) -> bool:
        """Answer a stage 2 translation or permission fault. True: the access is now allowed, run it again.

        False: no region allows it, so it is the caller's (a device, or an abort in the guest). A read by the
        guest's own stage 1 walk (ESR_ELx.ISS.S1PTW) is a READ. UsageError when the table pool is used up.
        """
        region = self._region_at(gpa)
        if region is None or access not in region.flags:
            return False
        page = gpa & -PAGE_SIZE
        leaf = self._tables.lookup(page)
        if leaf is None:
            self._populate(page, PAGE_SIZE, region.first_flags | access)
        elif access not in leaf_flags(leaf.descriptor):
            granted = region.cut(gpa & -self._granule, (gpa & -self._granule) + self._granule)
            self._tables.change([(granted.gpa, granted.size, leaf_attributes(region.flags))])
        return True

    def _populate(self, gpa: int, size: int, flags: MappingFlags) -> None:
        """Map memory fresh from the allocator, or leave everything as it was."""
        assert self._allocate is not None
        attributes = leaf_attributes(flags)
        hpa = self._allocate(size)
        try:
            self._check_hpa(hpa, size)
            self._tables.map(gpa, hpa, size, attributes)
        except UsageError:
            self._give_back([(hpa, size)])
            raise

    def _allocated(self, region: Region) -> Iterator[tuple[int, int]]:
        """(hpa, size) of what the allocator gave for this region so far."""
        if region.hpa is None:
            for leaf in self._tables.leaves(region.gpa, region.end):
                start, end = max(leaf.ipa, region.gpa), min(leaf.ipa + leaf.size, region.end)
                yield leaf.pa(start), end - start

    def _give_back(self, pieces: Iterable[tuple[int, int]]) -> None:
        if self._release is not None:
            for hpa, size in pieces:
                self._release(hpa, size)

    def _region_at(self, gpa: int) -> Region | None:
        index = bisect_right(self._regions, gpa, key=_start)
        if index and gpa < self._regions[index - 1].end:
            return self._regions[index - 1]
        return None

    def _touching(self, start: int, end: int) -> slice:
        """Where the regions that touch [start, end) stand in the list."""
        first = bisect_right(self._regions, start, key=_start)
        first -= bool(first and self._regions[first - 1].end > start)
        return slice(first, max(first, bisect_left(self._regions, end, key=_start)))

    def _cut(self, start: int, end: int) -> list[Region]:
        return [region.cut(start, end) for region in self._regions[self._touching(start, end)]]

    def _replace(self, start: int, end: int, inside: list[Region]) -> None:
        """Put `inside` where [start, end) was, keeping what touching regions have beyond it."""
        where = self._touching(start, end)
        touching = self._regions[where]
        before = [region.cut(0, start) for region in touching[:1] if region.gpa < start]
        after = [region.cut(end, region.end) for region in touching[-1:] if region.end > end]
        self._regions[where] = [*before, *inside, *after]

    def check_free(self, gpa: int, size: int) -> None:
        """UsageError unless the whole range is in the address space and nothing is mapped there."""
        self._check_range(gpa, size)
        for other in self._regions[self._touching(gpa, gpa + size)]:
            there = f"the mapping at {other.gpa:#x}, which is memory or another device's"
            raise UsageError(f"guest range {gpa:#x} to {gpa + size:#x} overlaps {there}")

    def _check_new(self, region: Region) -> None:
        kind_in("what a guest may do with memory", region.flags, MappingFlags)
        self.check_free(region.gpa, region.size)
        leaf_attributes(region.flags)  # refuses flags that contradict each other
        if region.lazy_execute and MappingFlags.EXECUTE not in region.flags:
            raise UsageError("lazy_execute defers EXECUTE, which is not in the flags; add it there")

    def _check_range(self, gpa: int, size: int) -> None:
        check_pages("guest", gpa, size, self._gpa_end)

    def _check_hpa(self, hpa: int, size: int) -> None:
        check_pages("physical", hpa, size, self._hpa_end)
