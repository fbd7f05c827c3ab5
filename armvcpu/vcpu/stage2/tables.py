"""A tree of stage 2 translation tables: the walk, and edits by range.

In this layer because it is what `addrspace.py` keeps a guest's address space in; it knows descriptors
(Arm DDI 0487, D8.3) and nothing of regions. How an edit is ordered stands in `edit.py`.
"""

from __future__ import annotations

from armvcpu.arch.stage2 import ADDRESS_MASK, LAST_LEVEL, VALID, Stage2Geometry, is_table
from armvcpu.arch.static import TYPE_CHECKING, NamedTuple
from armvcpu.errors import InternalError, UsageError
from armvcpu.vcpu.stage2.edit import Stage2Edit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from armvcpu.vcpu.stage2.pool import TablePool


class Leaf(NamedTuple):
    """A block or page: the IPA it starts at, its size in bytes and its descriptor."""

    ipa: int
    size: int
    descriptor: int

    def pa(self, ipa: int) -> int:
        """The physical address that this leaf gives for an `ipa` in it."""
        return (self.descriptor & ADDRESS_MASK) + ipa - self.ipa


class Stage2Tables:
    """One tree; addresses and sizes are whole pages inside the geometry's input range.

    `on_change(ipa, size)` is told which translations must leave the TLBs, at most once an edit.
    """

    def __init__(self, pool: TablePool, geometry: Stage2Geometry, on_change: Callable[[int, int], None]) -> None:
        self.pool, self.geometry, self.on_change = pool, geometry, on_change
        self._root = pool.allocate_root(geometry.root_tables)

    @property
    def root(self) -> int:
        """Physical address of the root table, VTTBR_EL2.BADDR."""
        return self.pool.address(self._root)

    def lookup(self, ipa: int) -> Leaf | None:
        """The block or page that translates `ipa`, any byte address in the input range."""
        geometry, entries, table = self.geometry, self.pool.entries, self._root
        for level in range(geometry.start_level, LAST_LEVEL + 1):
            entry = entries[table + geometry.index(ipa, level)]
            if not entry & VALID:
                return None
            if not is_table(entry, level):
                size = 1 << geometry.shift(level)
                return Leaf(ipa & -size, size, entry)
            table = self.pool.slot(entry & ADDRESS_MASK)
        raise InternalError(f"the stage 2 walk of {ipa:#x} passed the last level")

    def leaves(self, start: int, end: int) -> Iterator[Leaf]:
        """Every block and page that touches [start, end), in order; the outer ones may reach beyond it."""
        return self._leaves(self._root, self.geometry.start_level, start, end)

    def map(self, ipa: int, pa: int, size: int, attributes: int) -> None:
        """Translate [ipa, ipa + size), none of it valid yet, to `pa` with the largest leaves that fit.

        UsageError, with nothing changed, when the table pool is used up.
        """
        self._edit(lambda edit, root, level: edit.map(root, level, ipa, ipa + size, (pa, attributes)))

    def change(self, parts: Iterable[tuple[int, int, int | None]]) -> None:
        """For each disjoint (ipa, size, attributes): change what is valid there to these; None removes it.

        A block that reaches across parts must get the same from each. Errors as `map`.
        """

        def plan(edit: Stage2Edit, root: int, level: int) -> None:
            for ipa, size, attributes in parts:
                edit.change(root, level, ipa, ipa + size, attributes)

        self._edit(plan)

    def _edit(self, plan: Callable[[Stage2Edit, int, int], object]) -> None:
        edit = Stage2Edit(self.pool, self.geometry)
        try:
            plan(edit, self._root, self.geometry.start_level)
        except UsageError:
            edit.abandon()
            raise
        edit.commit(self.on_change)

    def _leaves(self, table: int, level: int, start: int, end: int) -> Iterator[Leaf]:
        size = 1 << self.geometry.shift(level)
        for index, low, high in self.geometry.parts(level, start, end):
            entry = self.pool.entries[table + index]
            if is_table(entry, level):
                yield from self._leaves(self.pool.slot(entry & ADDRESS_MASK), level + 1, low, high)
            elif entry & VALID:
                yield Leaf(low & -size, size, entry)
