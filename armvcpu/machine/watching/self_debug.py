"""Self-hosted debug, as far as the engine leaves it to us: watchpoints, and software step that PSTATE.D held back.

Watchpoints (DDI 0487 D2.10) are guards of the pages that they watch (`guards.py`), which are looked up when the guest
writes DBGWVRn_EL1, DBGWCRn_EL1 or MDSCR_EL1, and again when it writes TTBR0_EL1 or a descriptor that led there: what
is watched is often mapped later, or elsewhere (copy on write). A linked one (WT) is taken as an unlinked one. The
engine's own software step (D2.12) begins at ERET; where a guest has it active and clears PSTATE.D by MSR, it is
single-stepped up to there.
"""

from __future__ import annotations

from functools import partial

from armvcpu.arch.controls import MDSCR_EL1
from armvcpu.arch.esr import ExceptionClass as EC
from armvcpu.arch.registers import by_name
from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.arch.sysregs_debug import WATCHPOINTS
from armvcpu.errors import UsageError
from armvcpu.machine.board.memory import PAGE
from armvcpu.machine.watching.guards import Guard, GuardedAccess, Guards
from armvcpu.vcpu.exits import Nothing
from armvcpu.vcpu.stage2.mapping import MappingFlags

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.arch.accesses import MemoryAccess
    from armvcpu.engine.api import Engine
    from armvcpu.machine.board.memory import GuestMemory
    from armvcpu.machine.running.turns import Turns
    from armvcpu.machine.watching.watchpoint import Watchpoint
    from armvcpu.vcpu.exits import Exit
    from armvcpu.vcpu.vcpu import Aarch64VCpu

_MDSCR, _OSLSR = by_name["MDSCR_EL1"].encoding, by_name["OSLSR_EL1"].encoding
_WATCHED_BITS = int(MDSCR_EL1.of(MDE=1, SS=1))
"""Of MDSCR_EL1: a hypervisor writes it at each switch, and nearly always without them."""
_TTBR0 = by_name["TTBR0_EL1"].encoding
_VALUES = [by_name[f"DBGWVR{n}_EL1"].encoding for n in range(WATCHPOINTS)]
_CONTROLS = [by_name[f"DBGWCR{n}_EL1"].encoding for n in range(WATCHPOINTS)]
_D, _OSLK, _DEBUG_FAULT, _WNR = 1 << 9, 1 << 1, 0x22, 1 << 6
_ERET = 0xD69F_03E0
_STEPS = 256
"""Instructions that are stepped between two looks at what else there is to do."""
_TABLE, _MOST_GUARDS = MappingFlags.WRITE, 4096


class SelfDebug:
    """The watchpoints of a machine's CPUs, and the steps up to where a software step begins."""

    def __init__(self, cpus: int, engine: Engine, memory: GuestMemory, guards: Guards, turns: Turns) -> None:
        self._engine, self._memory, self._all_guards, self._turns = engine, memory, guards, turns
        self._guards: list[dict[tuple[int, MappingFlags], Guard]] = [{} for _ in range(cpus)]
        """Of each CPU, by page and what is denied (and EXECUTE for a table)."""
        self._changed = self._is_watching_translation = False
        self._moved: set[int] = set()
        """The CPUs whose watchpoints may have come to other pages."""
        self._stepped: int | None = None
        """The CPU that is stepped up to where its software step begins."""

    def attach(self, vcpu: Aarch64VCpu) -> None:
        """Hear of a vCPU's writes of the registers of debug: where there are guards, of watchpoints too."""
        for register in (_MDSCR, *_VALUES, *_CONTROLS) if self._all_guards.are_possible else (_MDSCR,):
            bits = _WATCHED_BITS if register == _MDSCR else 0
            vcpu.sysregs.listen(register, partial(self._on_write, register), bits)

    def reset(self) -> None:
        """As after power-on: nothing is watched."""
        for own in self._guards:
            self._drop(own)
        self._changed, self._stepped = False, None
        self._moved.clear()
        self._watch_translation(False)

    @property
    def is_idle(self) -> bool:
        """Is nothing watched, and nothing to be looked at?"""
        return not (any(self._guards) or self._changed or self._moved or self._is_watching_translation) and (
            self._stepped is None
        )

    def restore(self) -> None:
        """The CPUs, none of which is loaded, have other registers: watch what those say."""
        self.reset()
        for cpu in self._turns.cpus:
            if cpu.vcpu.has_state and cpu.vcpu.system_registers.read(_MDSCR) & MDSCR_EL1.MDE.mask:
                self._turns.load(cpu.index)
                self.look()
                self._turns.unload()

    def _drop(self, guards: dict[tuple[int, MappingFlags], Guard]) -> None:
        for guard in guards.values():
            self._all_guards.remove(guard)
        guards.clear()

    def _on_write(self, register: int, value: int) -> int:
        """In the guest, before it writes one of the registers at EL1: the run ends then, and `attend` looks."""
        self._look_at_write(register, value)
        return value

    def _look_at_write(self, register: int, value: int) -> None:
        index = self._turns.cpu.index
        if register == _TTBR0:
            if self._guards[index]:
                self._moved.add(index)
                self._engine.leave()
            return
        if register == _MDSCR:
            steps = value & MDSCR_EL1.SS.mask and value & MDSCR_EL1.KDE.mask
            if steps or self._stepped == index:
                self._stepped = index if steps else None
            is_of_interest = steps or value & MDSCR_EL1.MDE.mask
        else:
            is_of_interest = register in _CONTROLS and value & 1
        if is_of_interest or self._guards[index]:
            self._changed = True
            self._engine.leave()

    def attend(self) -> Exit | None:
        """Between two runs: what debug registers ask for; an exit, where a step made one."""
        while self._moved:
            self._follow(self._moved.pop())
        if not self._changed:
            return None
        self._changed = False
        self.look()
        return self._step_until_unmasked() if self._stepped == self._turns.cpu.index else None

    def look(self) -> None:
        """Guard what the watchpoints of the CPU that is loaded watch, and nothing else of its."""
        index = self._turns.cpu.index
        self._drop(self._guards[index])
        self._follow(index)
        self._watch_translation(any(self._guards))

    def _watch_translation(self, wanted: bool) -> None:
        """Hear of writes of TTBR0_EL1 too? Some kernels make two at each entry."""
        if wanted is not self._is_watching_translation:
            self._is_watching_translation = wanted
            for cpu in self._turns.cpus:
                cpu.vcpu.sysregs.listen(_TTBR0, partial(self._on_write, _TTBR0) if wanted else None)
                cpu.vcpu.settle_listeners()

    def _follow(self, index: int) -> None:
        """Guard where a CPU's watchpoints have come to, and the tables on the way, besides where they have been."""
        from armvcpu.machine.watching.regimes import EL1, walk  # few guests watch anything

        own, read = self._guards[index], self._reader(index)
        if len(own) > _MOST_GUARDS:
            self._drop(own)
        for one in self._enabled(read) if read(_MDSCR) & MDSCR_EL1.MDE.mask else ():
            for at in one.pages if one.denied else ():
                found = walk(at, EL1, read, self._memory.doubleword)
                for descriptor in found.descriptors:
                    self._guard(index, descriptor, _TABLE, partial(self._on_table_write, index), None)
                if found.physical is not None:
                    self._guard(index, found.physical, one.denied, _unheard, self._forbids)

    def _guard(
        self,
        index: int,
        address: int,
        denied: MappingFlags,
        hear: Callable[[GuardedAccess], None],
        forbid: Callable[[MemoryAccess], bool] | None,
    ) -> None:
        page = address & -PAGE
        key = page, denied if forbid else denied | MappingFlags.EXECUTE  # what no watchpoint denies
        if key in self._guards[index]:
            return
        guard = Guard(frozenset((page,)), denied, hear, forbid)
        try:
            self._all_guards.add(guard)
        except UsageError:  # a device, which can't be guarded
            return
        self._guards[index][key] = guard

    def _on_table_write(self, index: int, _access: GuardedAccess) -> None:
        self._moved.add(index)

    def _reader(self, index: int) -> Callable[[int], int]:
        """The system registers of a CPU, which may not be the one that is loaded."""
        cpu = self._turns.cpus[index]
        return self._engine.registers.read if cpu.is_bound else cpu.vcpu.system_registers.read

    @staticmethod
    def _enabled(read: Callable[[int], int]) -> list[Watchpoint]:
        from armvcpu.machine.watching.watchpoint import Watchpoint

        found = (Watchpoint(read(_VALUES[n]), read(_CONTROLS[n])) for n in range(WATCHPOINTS))
        return [one for one in found if one.control & 1]

    # --- watchpoints ------------------------------------------------------------------------------------------

    def _forbids(self, access: MemoryAccess) -> bool:
        """Of an access that is about to be made: is it watched? Then the exception has been taken instead."""
        vcpu = self._turns.cpu.vcpu
        state, read = vcpu.state, self._engine.registers.read
        level = state.pstate >> 2 & 3
        mdscr = read(_MDSCR)
        unmasked = level == 0 or (mdscr & MDSCR_EL1.KDE.mask and not state.pstate & _D)
        if not unmasked or not mdscr & MDSCR_EL1.MDE.mask or read(_OSLSR) & _OSLK:
            return False
        wanted = (MappingFlags.READ if access.reads else MappingFlags(0)) | (
            MappingFlags.WRITE if access.writes else MappingFlags(0)
        )
        for one in self._enabled(read):
            address = one.hit(access.address, access.width)
            if address is not None and one.denied & wanted and one.levels >> level & 1:
                is_write = access.writes and MappingFlags.WRITE in one.denied
                ec = EC.WATCHPOINT_CURRENT if level else EC.WATCHPOINT_LOWER
                vcpu.take_debug_exception(ec, _DEBUG_FAULT | (_WNR if is_write else 0), address)
                return True
        return False

    # --- software step ----------------------------------------------------------------------------------------

    def _step_until_unmasked(self) -> Exit | None:
        """Step the guest at EL1 until it has cleared PSTATE.D, and take the exception that is pending from then on.

        Where that takes long, or an exit comes first, the next run ends at once, and this goes on.
        """
        vcpu = self._turns.cpu.vcpu
        for _ in range(_STEPS):
            if self._stepped is None or not vcpu.state.pstate & 0xC or vcpu.fetch_word() == _ERET:
                return None  # the guest has changed its mind, or is going where the engine's own step begins
            if not vcpu.state.pstate & _D:
                vcpu.take_debug_exception(EC.SOFTSTEP_CURRENT, _DEBUG_FAULT, 0)
                self._stepped = None
                return None
            reason = vcpu.step()
            if not isinstance(reason, Nothing):
                self._go_on_later()
                return reason
        self._go_on_later()
        return None

    def _go_on_later(self) -> None:
        self._changed = True
        self._engine.request_stop()


def _unheard(_access: object) -> None:
    """A guard for the guest's own sake: the host hears nothing."""
