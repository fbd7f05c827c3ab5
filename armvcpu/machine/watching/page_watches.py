"""Watched pages of RAM: who hears of the guest's accesses, with what they have read or written.

The engine tells before an access of such a page is made (`Listen.watch`), at every Exception level. The instruction is
then executed by itself, unwatched, and what it has read or written is told. Accesses by devices and by the walks of the
MMU go unheard.
"""

from __future__ import annotations

from armvcpu.arch.rows import Row
from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.machine.board.memory import PAGE, page_pieces
from armvcpu.machine.watching.touched import instruction_access
from armvcpu.vcpu.exits import Nothing

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.arch.accesses import MemoryAccess
    from armvcpu.engine.api import Engine, Removable
    from armvcpu.machine.board.memory import GuestMemory
    from armvcpu.machine.running.turns import Turns
    from armvcpu.vcpu.exits import Exit
    from armvcpu.vcpu.vcpu import Aarch64VCpu


class WatchedAccess(Row):
    """One that has been made: virtual address and bytes; `value`, little-endian, None where memory can't be read."""

    pc: int
    is_read: bool
    address: int
    width: int
    value: int | None
    pieces: tuple[tuple[int, int], ...]
    """(physical address, size) of what it touched: two where it crosses a page."""


class PageWatch:
    """Whole pages, by their physical addresses, and who hears of reads or writes of them."""

    def __init__(
        self, pages: frozenset[int], hear: Callable[[WatchedAccess], object], *, reads: bool, writes: bool
    ) -> None:
        self.pages, self.hear, self.reads, self.writes = pages, hear, reads, writes


class PageWatches:
    """Those of one machine; an attendant of its run loop."""

    def __init__(self, engine: Engine, memory: GuestMemory, turns: Turns) -> None:
        self._engine, self._memory, self._turns = engine, memory, turns
        self._watches: dict[PageWatch, list[Removable]] = {}
        self._is_awaited = False
        """Is there an access to be made under watch?"""

    def __bool__(self) -> bool:
        return bool(self._watches)

    def add(self, watch: PageWatch) -> None:
        """Watch from now on; UsageError where one of the pages is not RAM."""
        for page in watch.pages:
            self._memory.check_page(page)
        listen = self._engine.listen
        self._watches[watch] = [
            listen.watch(page, PAGE, self._on_access, reads=watch.reads, writes=watch.writes, is_physical=True)
            for page in watch.pages
        ]

    def remove(self, watch: PageWatch) -> None:
        """Watch no longer; one that is not there is fine."""
        for each in self._watches.pop(watch, ()):
            each.remove()

    def _on_access(self, _address: int, _width: int, _is_write: bool) -> None:
        """In the guest, before the access: the run ends here, and `attend` has it made."""
        self._is_awaited = True
        self._engine.leave()

    def attend(self) -> Exit | None:
        """Execute the instruction, and tell who hears of its access; its exit, where it made one.

        It is not executed, and told of again later, where an interrupt, an exception or a stop comes first.
        """
        if not self._is_awaited:
            return None
        self._is_awaited = False
        vcpu = self._turns.cpu.vcpu
        pc, before = vcpu.state.pc, self._look(vcpu)
        self._engine.listen.suspend_watches(True)
        try:
            reason: Exit = vcpu.step()
        finally:
            self._engine.listen.suspend_watches(False)
        if before is not None and vcpu.state.pc == pc + 4:
            self._tell(before, vcpu)
        return None if isinstance(reason, Nothing) else reason

    def _look(self, vcpu: Aarch64VCpu) -> _Before | None:
        """What is about to be accessed, where the instruction accesses memory."""
        access = instruction_access(self._engine)
        if access is None:
            return None
        pieces = tuple(
            (physical, size)
            for at, size in page_pieces(access.address, access.width)
            if (physical := self._engine.memory.translate(at)) is not None
        )
        return _Before(vcpu.state.pc, access, pieces, self._value(access))

    def _value(self, access: MemoryAccess) -> int | None:
        data = self._engine.memory.read_virtual(access.address, access.width)
        return None if data is None else int.from_bytes(data, "little")

    def _tell(self, before: _Before, vcpu: Aarch64VCpu) -> None:
        pc, access, pieces, value = before.pc, before.access, before.pieces, before.value
        heard = []
        if access.reads:
            heard.append(WatchedAccess(pc, True, access.address, access.width, value, pieces))
        if (
            access.writes
            and (access.status is None or not vcpu.state.gpr(access.status) & 0xFFFF_FFFF)
            and (access.expected is None or access.expected == value)
        ):
            heard.append(WatchedAccess(pc, False, access.address, access.width, self._value(access), pieces))
        pages = {address & -PAGE for address, _ in pieces}
        for one in heard:
            for watch in tuple(self._watches):
                if watch.pages & pages and (watch.reads if one.is_read else watch.writes):
                    watch.hear(one)


class _Before(Row):
    """An access before it is made: PC, what it is, where, and what memory holds there."""

    pc: int
    access: MemoryAccess
    pieces: tuple[tuple[int, int], ...]
    value: int | None
