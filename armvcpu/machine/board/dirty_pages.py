"""Which pages of RAM have been written: by the guest, which the engine logs, by devices and by the host.

A log that is taken is a log that begins anew, so there is one for the machine, and here it is kept for those who ask: a
snapshot, for all pages that may hold anything but zeroes; `machine.dirty_pages()`, for what has been written since it
was last called; whoever returns to a snapshot again, for what differs from it; and a history, which has a log of its
own (`new_log`). A page that has been written is always among them.
"""

from __future__ import annotations

from armvcpu.arch.static import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from armvcpu.engine.api import Memory
    from armvcpu.machine.board.ram import RamLayout

PAGE = 4096


class PageLog:
    """Which pages have been written since it was taken last; `DirtyPages.new_log` makes it."""

    __slots__ = ("_look", "bits")

    def __init__(self, look: Callable[[], None]) -> None:
        self._look = look
        self.bits = 0

    def take(self) -> set[int]:
        """The numbers of the pages, as they lie in the buffer that RAM is; none is noted after."""
        self._look()
        bits, self.bits = self.bits, 0
        return pages_of(bits)

    def note(self, pages: Collection[int]) -> None:
        """These have been written, too."""
        self.bits |= bitmap(pages)


class DirtyPages:
    """Of RAM as `layout` has it.

    `noted` has the ranges (address, bytes) that devices have written since the last look, and did not tell the engine:
    rings, which change with every request, and hold no code.
    """

    def __init__(self, memory: Memory, layout: RamLayout, noted: set[tuple[int, int]]) -> None:
        self._memory, self._layout, self._noted = memory, layout, noted
        self._used = self._since = self._changed = 0
        """Bitmaps of pages: those that may hold data, were written since somebody asked, and since `replace`."""
        self._extents = 0
        self._logs: list[PageLog] = []
        memory.track_dirty(layout.pieces[0].base, layout.size)

    def take(self) -> list[tuple[int, int]]:
        """(address, bytes) of what has been written since the last call: whole pages, in ascending order."""
        self._look()
        taken, self._since = self._since, 0
        return sorted(place for start, end in _ranges(taken) for place in self._layout.addresses(start, end))

    def used_bits(self) -> int:
        """A bit for each page that may hold anything but zeroes."""
        self._look()
        return self._used

    def used(self) -> list[tuple[int, int]]:
        """(start, end), in the buffer that RAM is, of what may hold anything but zeroes."""
        self._look()
        return list(_ranges(self._used))

    def replace(self, extents: Iterable[tuple[int, int]]) -> None:
        """RAM has other contents, zeroes but for these: for `take`, what was there and what is there are written."""
        self._look()
        before, self._used = self._used, 0
        for start, end in extents:
            self._used |= _bits(start, end)
        self._since |= before | self._used
        for log in self._logs:
            log.bits |= before | self._used
        self._changed, self._extents = 0, self._used

    def put_back(self, source: memoryview) -> None:
        """RAM has what it had at the last `replace`, and what `source` has: by pages that were written since."""
        self._look()
        self._memory.copy_pages(self._changed.to_bytes(-(-self._changed.bit_length() // 64) * 8, "little"), source)
        self._since |= self._changed
        self._changed, self._used = 0, self._extents

    def put(self, pages: Collection[int], source: memoryview) -> None:
        """RAM has what `source` has, a memory of the same size, in these pages."""
        self._look()
        bits = bitmap(pages)
        self._memory.copy_pages(bits.to_bytes(-(-bits.bit_length() // 64) * 8, "little"), source)
        self._note(bits)

    def new_log(self) -> PageLog:
        """A log of its own, which begins now."""
        self._look()
        log = PageLog(self._look)
        self._logs.append(log)
        return log

    def drop_log(self, log: PageLog) -> None:
        """It is wanted no more."""
        self._logs.remove(log)

    def _look(self) -> None:
        written = int.from_bytes(self._memory.take_dirty(), "little")
        while self._noted:
            address, size = self._noted.pop()
            start = self._layout.offset(address, size)
            written |= _bits(start, start + size)
        self._note(written)

    def _note(self, written: int) -> None:
        self._used |= written
        self._since |= written
        self._changed |= written
        for log in self._logs:
            log.bits |= written


def bitmap(pages: Collection[int]) -> int:
    """A bit for each page."""
    raw = bytearray((max(pages, default=-1) >> 3) + 1)
    for page in pages:
        raw[page >> 3] |= 1 << (page & 7)
    return int.from_bytes(raw, "little")


def pages_of(bits: int) -> set[int]:
    """The numbers of a bitmap's pages."""
    return {page for start, end in _ranges(bits) for page in range(start // PAGE, end // PAGE)}


def _bits(start: int, end: int) -> int:
    """The pages of a range."""
    return (1 << -(-end // PAGE)) - (1 << start // PAGE)


def _ranges(bits: int) -> Iterator[tuple[int, int]]:
    """(start, end) of each run of ones, in bytes."""
    pages = f"{bits:b}"[::-1]
    start = pages.find("1")
    while start >= 0:
        end = pages.find("0", start)
        end = len(pages) if end < 0 else end
        yield start * PAGE, end * PAGE
        start = pages.find("1", end)
