"""One edit of a stage 2 table tree: planned first, then committed in the order the architecture asks for.

Apart from `tables.py` because this is where the ordering rules live. Planning builds new tables out of
sight and touches nothing that can be walked, so an edit that runs out of table frames leaves no trace.
A commit follows Arm DDI 0487 D8, "Using break-before-make when updating translation table entries":

- an entry that changes size or memory type becomes invalid, `report` is called (the TLBI), and the new one
  is written;
- changed permissions and removed entries are written and then reported;
- a new entry over an invalid one is not reported: invalid entries are never cached in a TLB.

Table frames return to the pool only after the report, because walks through them may have been cached.
"""

from __future__ import annotations

from array import array

from armvcpu.arch.stage2 import (
    ADDRESS_MASK,
    FIRST_LEAF_LEVEL,
    LAST_LEVEL,
    LEAF_TYPE,
    TABLE_ENTRIES,
    TABLE_TYPE,
    VALID,
    Stage2Descriptor,
    Stage2Geometry,
    is_table,
    leaf_type,
)
from armvcpu.arch.static import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.vcpu.stage2.pool import TablePool

ATTRIBUTES = (1 << 64) - 1 & ~(ADDRESS_MASK | LEAF_TYPE)
MEMORY_TYPE = Stage2Descriptor.MemAttr.mask | Stage2Descriptor.SH.mask


class Stage2Edit:
    """Plan with `map` and `change`, then `commit` or `abandon`. Ranges lie inside the table given."""

    def __init__(self, pool: TablePool, geometry: Stage2Geometry) -> None:
        self.pool, self.geometry = pool, geometry
        self._writes: list[tuple[int, array[int]]] = []  # runs of entries: first slot, values
        self._added: list[int] = []
        self._retired: list[int] = []
        self._low, self._high = 1 << 64, 0  # the IPA range of valid entries that change
        self._breaks = False

    def map(self, table: int, level: int, start: int, end: int, target: tuple[int, int]) -> None:
        """Plan [start, end), all invalid now, to `target`: its first physical address, and the attributes.

        UsageError when the pool is used up.
        """
        size = 1 << self.geometry.shift(level)
        pa, attributes = target
        ipa = start
        while ipa < end:
            slot = table + self.geometry.index(ipa, level)
            here = pa + ipa - start
            if level >= FIRST_LEAF_LEVEL and not (ipa | here) & size - 1 and ipa + size <= end:
                stop = end & -size
                first = here | attributes | leaf_type(level)
                self._writes.append((slot, array("Q", range(first, first + stop - ipa, size))))
            else:
                stop = min(end, (ipa & -size) + size)
                entry = self.pool.entries[slot]
                lower = self._next_table(entry) if is_table(entry, level) else self._new_table(slot)
                self.map(lower, level + 1, ipa, stop, (here, attributes))
            ipa = stop

    def change(self, table: int, level: int, start: int, end: int, attributes: int | None) -> bool:
        """Plan new attributes, or None for removal, for what is valid in [start, end).

        True if the table will hold nothing any more. UsageError when the pool is used up.
        """
        emptied = attributes is None and self._is_clear_around(table, level, start, end)
        for index, low, high in self.geometry.parts(level, start, end):
            slot = table + index
            entry = self.pool.entries[slot]
            if not entry & VALID:
                continue
            whole = high - low == 1 << self.geometry.shift(level)
            if whole and attributes is None:
                self._remove(slot, level, low, high)
            elif is_table(entry, level):
                emptied &= self._change_below(slot, level, low, high, attributes)
            elif whole and attributes is not None:
                self._change_leaf(slot, low, high, attributes)
            elif entry & ATTRIBUTES != attributes:
                self.change(self._split(slot, level, low), level + 1, low, high, attributes)
                emptied = False  # the rest of the split block stays
        return emptied

    def abandon(self) -> None:
        """Give the new tables back; nothing else was touched."""
        for table in self._added:
            self.pool.release(table)

    def commit(self, report: Callable[[int, int], None]) -> None:
        """Write the entries; `report(ipa, size)` is called once if anything valid changed."""
        entries = self.pool.entries
        if self._breaks:
            for slot, values in self._writes:
                entries[slot : slot + len(values)] = array("Q", bytes(8 * len(values)))
            report(self._low, self._high - self._low)
        for slot, values in reversed(self._writes):  # what a new table holds before the link to it
            entries[slot : slot + len(values)] = values
        if self._high and not self._breaks:
            report(self._low, self._high - self._low)
        for table in self._retired:
            self.pool.release(table)

    def _write(self, slot: int, descriptor: int) -> None:
        self._writes.append((slot, array("Q", (descriptor,))))

    def _note_change(self, start: int, end: int) -> None:
        self._low, self._high = min(self._low, start), max(self._high, end)

    def _next_table(self, entry: int) -> int:
        return self.pool.slot(entry & ADDRESS_MASK)

    def _new_table(self, slot: int) -> int:
        """A cleared table that `slot` will point to."""
        table = self.pool.allocate()
        self._added.append(table)
        self._write(slot, self.pool.address(table) | TABLE_TYPE)
        return table

    def _is_clear_around(self, table: int, level: int, start: int, end: int) -> bool:
        """Whether a table, other than the root, which stays, holds nothing outside [start, end)."""
        if level == self.geometry.start_level:
            return False
        first, last = self.geometry.index(start, level), self.geometry.index(end - 1, level)
        is_clear = self.pool.is_clear
        return is_clear(table, table + first) and is_clear(table + last + 1, table + TABLE_ENTRIES)

    def _change_below(self, slot: int, level: int, start: int, end: int, attributes: int | None) -> bool:
        """`change` in the table that `slot` points to; if that empties it, it goes too: True."""
        lower = self._next_table(self.pool.entries[slot])
        if not self.change(lower, level + 1, start, end, attributes):
            return False
        self._retired.append(lower)
        self._write(slot, 0)
        return True

    def _remove(self, slot: int, level: int, start: int, end: int) -> None:
        """Drop a leaf, or a table with all that it leads to."""
        self._retire_tables(self.pool.entries[slot], level)
        self._write(slot, 0)
        self._note_change(start, end)

    def _retire_tables(self, entry: int, level: int) -> None:
        if is_table(entry, level):
            table = self._next_table(entry)
            self._retired.append(table)
            if level + 1 < LAST_LEVEL:
                for lower in self.pool.entries[table : table + TABLE_ENTRIES]:
                    self._retire_tables(lower, level + 1)

    def _change_leaf(self, slot: int, start: int, end: int, attributes: int) -> None:
        old = self.pool.entries[slot]
        new = old & ~ATTRIBUTES | attributes
        if new != old:
            self._breaks |= bool((new ^ old) & MEMORY_TYPE)
            self._write(slot, new)
            self._note_change(start, end)

    def _split(self, slot: int, level: int, ipa: int) -> int:
        """A table of next-level leaves in place of the block at `slot`, with the same translations."""
        size = 1 << self.geometry.shift(level)
        first = self.pool.entries[slot] & ~LEAF_TYPE | leaf_type(level + 1)
        table = self._new_table(slot)
        leaves = range(first, first + size, size // TABLE_ENTRIES)
        self.pool.entries[table : table + TABLE_ENTRIES] = array("Q", leaves)
        self._note_change(ipa & -size, (ipa & -size) + size)
        self._breaks = True
        return table
