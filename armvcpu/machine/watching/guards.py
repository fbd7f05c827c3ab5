"""Guarded pages: RAM of which stage 2 denies the guest something, to hear of accesses or to have them fail.

The engine has no watchpoints. An access that a watched page denies leaves the engine without an exit; it is then made
under single step with the page shown, and heard of with what it read or wrote. A page that is denied altogether is a
hole: accesses end in external aborts. Accesses by devices and by the walks of the MMU go unheard.

A Linux kernel that runs without stage 2 has it while there are guards.
"""

from __future__ import annotations

from armvcpu.arch.registers import by_name
from armvcpu.arch.rows import Row
from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.machine.board.memory import PAGE, page_pieces
from armvcpu.vcpu.exits import Nothing
from armvcpu.vcpu.stage2.mapping import RWX, MappingFlags

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from armvcpu.arch.accesses import MemoryAccess
    from armvcpu.machine.board.memory import GuestMemory
    from armvcpu.machine.running.stage2 import Stage2Switch
    from armvcpu.machine.running.turns import Turns
    from armvcpu.vcpu.addrspace import AddressSpace
    from armvcpu.vcpu.exits import Exit
    from armvcpu.vcpu.pcpu import Aarch64PerCpu
    from armvcpu.vcpu.vcpu import Aarch64VCpu

_DCZID = by_name["DCZID_EL0"].encoding


class GuardedAccess(Row):
    """One that has been made: virtual address and bytes; `value`, little-endian, None where memory can't be read."""

    pc: int
    is_read: bool
    address: int
    width: int
    value: int | None
    pieces: tuple[tuple[int, int], ...]
    """(physical address, size) of what it touched: two where it crosses a page."""


class Guard(Row):
    """What is denied of some pages, and who hears of the accesses; nobody: then they fail."""

    pages: frozenset[int]
    denied: MappingFlags
    hear: Callable[[GuardedAccess], None] | None
    forbid: Callable[[MemoryAccess], bool] | None = None
    """Asked before an access is made; True where the guest has taken an exception in its place."""

    __eq__ = object.__eq__  # two may guard the same
    __hash__ = object.__hash__


class Guards:
    """The guards of one machine."""

    def __init__(
        self, memory: GuestMemory, space: AddressSpace, pcpu: Aarch64PerCpu, turns: Turns, stage2: Stage2Switch
    ) -> None:
        self._memory, self._space, self._pcpu, self._turns, self._stage2 = memory, space, pcpu, turns, stage2
        self._guards: list[Guard] = []
        self._allowed: dict[int, MappingFlags] = {}
        """By page: what the guest may do; nothing at all where accesses fail."""
        self._faulted: int | None = None

    @property
    def are_possible(self) -> bool:
        """Is stage 2 ours?"""
        return not self._stage2.is_guests

    def __bool__(self) -> bool:
        return bool(self._guards)

    def add(self, guard: Guard) -> None:
        """Guard from now on; UsageError where one of the pages is not RAM."""
        for page in guard.pages:
            self._memory.check_page(page)
        self._stage2.hold(True)
        self._guards.append(guard)
        self._settle(guard.pages)

    def remove(self, guard: Guard) -> None:
        """Guard no longer; one that is not there is fine."""
        if guard in self._guards:
            self._guards.remove(guard)
            if self._pcpu.is_enabled():  # else the machine has been closed
                self._settle(guard.pages)

    def _settle(self, pages: frozenset[int]) -> None:
        for page in pages:
            guards = [guard for guard in self._guards if page in guard.pages]
            if any(guard.hear is None for guard in guards):
                allowed = MappingFlags(0)
            else:
                allowed = RWX
                for guard in guards:
                    allowed &= ~guard.denied
            self._allowed.pop(page, None)
            if allowed != RWX:
                self._allowed[page] = allowed
            self._memory.allow(self._space, page, allowed)
        self._pcpu.engine.code.invalidate()  # IC spares a page that stage 2 has not let execute yet
        self._stage2.hold(bool(self._guards))

    # --- accesses ---------------------------------------------------------------------------------------------

    def claims(self, address: int) -> bool:
        """In a stage-2 fault: is it a watched page's? The run then ends, and `attend` makes the access."""
        page = address & -PAGE
        if not self._allowed.get(page):
            return False
        self._faulted = page
        self._pcpu.engine.leave()
        return True

    def attend(self) -> Exit | None:
        """Execute an instruction that has faulted, and tell who hears of its access; its exit, where it made one.

        It is not executed, and faults again later, where an interrupt, an exception or a stop comes first.
        """
        return None if self._faulted is None else self._execute()

    def _execute(self) -> Exit | None:
        engine, vcpu = self._pcpu.engine, self._turns.cpu.vcpu
        pc, shown = vcpu.state.pc, set[int]()
        before: _Before | None = None
        reason: Exit = Nothing()
        try:
            while (page := self._faulted) is not None:
                self._faulted = None
                shown.add(page)
                self._space.protect(page, PAGE, RWX)
                before = self._look(vcpu)
                if before is not None and self._is_forbidden(before):
                    break
                if executed := engine.instructions:
                    engine.instructions = executed - 1  # what faulted has not been executed
                reason = vcpu.step()
            else:
                if before is not None and vcpu.state.pc == pc + 4:
                    self._tell(before, vcpu)
        finally:
            for page in shown:
                if page in self._allowed:  # who heard may have taken the guard away
                    self._space.protect(page, PAGE, self._allowed[page])
        return None if isinstance(reason, Nothing) else reason

    def _is_forbidden(self, before: _Before) -> bool:
        pages = {address & -PAGE for address, _ in before.pieces}
        asked = {guard.forbid for guard in self._guards if guard.forbid is not None and guard.pages & pages}
        return any(forbid(before.access) for forbid in asked)

    def _look(self, vcpu: Aarch64VCpu) -> _Before | None:
        """What is about to be accessed, where the instruction accesses memory."""
        engine, state = self._pcpu.engine, vcpu.state
        word = vcpu.fetch_word()
        if word is None:
            return None
        from armvcpu.arch.accesses import memory_access  # most guests have no guards

        zva_size = 4 << (engine.registers.read(_DCZID) & 0xF)
        access = memory_access(word, state.pc, state.gpr, state.frame[31], zva_size)
        if access is None:
            return None
        pieces = tuple(
            (physical, size)
            for at, size in page_pieces(access.address, access.width)
            if (physical := engine.memory.translate(at)) is not None
        )
        return _Before(state.pc, access, pieces, self._value(access))

    def _value(self, access: MemoryAccess) -> int | None:
        data = self._pcpu.engine.memory.read_virtual(access.address, access.width)
        return None if data is None else int.from_bytes(data, "little")

    def _tell(self, before: _Before, vcpu: Aarch64VCpu) -> None:
        pc, access, pieces, value = before.pc, before.access, before.pieces, before.value
        heard = []
        if access.reads:
            heard.append(GuardedAccess(pc, True, access.address, access.width, value, pieces))
        if (
            access.writes
            and (access.status is None or not vcpu.state.gpr(access.status) & 0xFFFF_FFFF)
            and (access.expected is None or access.expected == value)
        ):
            heard.append(GuardedAccess(pc, False, access.address, access.width, self._value(access), pieces))
        pages = {address & -PAGE for address, _ in pieces}
        for one in heard:
            self._tell_one(one, [g for g in self._guards if g.pages & pages])

    @staticmethod
    def _tell_one(access: GuardedAccess, guards: Sequence[Guard]) -> None:
        kind = MappingFlags.READ if access.is_read else MappingFlags.WRITE
        for guard in guards:
            if guard.hear is not None and kind in guard.denied:
                guard.hear(access)


class _Before(Row):
    """An access before it is made: PC, what it is, where, and what memory holds there."""

    pc: int
    access: MemoryAccess
    pieces: tuple[tuple[int, int], ...]
    value: int | None
