"""Self-hosted debug, as far as the engine leaves it to us: watchpoints, and software step that PSTATE.D held back.

Watchpoints (DDI 0487 D2.10) are guards of the pages that they watch (`guards.py`), which are looked up when the guest
writes DBGWVRn_EL1, DBGWCRn_EL1 or MDSCR_EL1: one follows the mapping that its address has then. A linked one (WT) is
taken as an unlinked one. The engine's own software step (D2.12) begins at ERET; where a guest has it active and clears
PSTATE.D by MSR, it is single-stepped up to there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from armvcpu.arch.controls import MDSCR_EL1
from armvcpu.arch.esr import ExceptionClass as EC  # noqa: N817  the field's own name
from armvcpu.arch.registers import by_name
from armvcpu.arch.sysregs_debug import WATCHPOINTS
from armvcpu.errors import UsageError
from armvcpu.machine.guards import Guard
from armvcpu.machine.memory import PAGE
from armvcpu.vcpu.exits import Exit, Nothing
from armvcpu.vcpu.mapping import MappingFlags

if TYPE_CHECKING:
    from armvcpu.arch.accesses import MemoryAccess
    from armvcpu.machine.machine import Machine

_MDSCR, _OSLSR = by_name["MDSCR_EL1"].encoding, by_name["OSLSR_EL1"].encoding
_VALUES = [by_name[f"DBGWVR{n}_EL1"].encoding for n in range(WATCHPOINTS)]
_CONTROLS = [by_name[f"DBGWCR{n}_EL1"].encoding for n in range(WATCHPOINTS)]
_D, _OSLK, _DEBUG_FAULT, _WNR = 1 << 9, 1 << 1, 0x22, 1 << 6
_SECURE_ONLY = 2
_STEPS = 256
"""Instructions that are stepped between two looks at what else there is to do."""
_MOST_PAGES = 1024
"""A watchpoint may watch 2 GiB; the pages of a larger one are not guarded."""


@dataclass(frozen=True, slots=True)
class Watchpoint:
    """One that is enabled: DBGWVRn_EL1 and DBGWCRn_EL1 (DDI 0487 D17.3)."""

    value: int
    control: int

    @property
    def levels(self) -> int:
        """The exception levels it watches, a bit each: PAC, and SSC and HMC for Non-secure state."""
        if self.control >> 13 & 1 or self.control >> 14 & 3 == _SECURE_ONLY:
            return 0
        return {1: 0b10, 2: 0b01, 3: 0b11}.get(self.control >> 1 & 3, 0)

    @property
    def denied(self) -> MappingFlags:
        """LSC: loads, stores or both."""
        kinds = {1: MappingFlags.READ, 2: MappingFlags.WRITE, 3: MappingFlags.READ | MappingFlags.WRITE}
        return kinds.get(self.control >> 3 & 3, MappingFlags(0))

    @property
    def ranges(self) -> list[tuple[int, int]]:
        """(first, last) virtual addresses watched: a power of two by MASK, else the bytes of BAS."""
        mask = self.control >> 24 & 0x1F
        if mask:
            size = 1 << mask
            first = self.value & -size
            return [(first, first + size - 1)]
        first, select = self.value & -4, self.control >> 5 & 0xFF
        if first & 4:
            select &= 0xF
        return [(first + n, first + n) for n in range(8) if select >> n & 1]

    def hit(self, address: int, width: int) -> int | None:
        """The lowest address of an access that is watched, or None."""
        found = [max(first, address) for first, last in self.ranges if first < address + width and address <= last]
        return min(found) if found else None


class SelfDebug:
    """Of one machine."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._guards: list[list[Guard]] = [[] for _ in range(machine.config.cpus)]
        self._changed = False
        self._stepped: int | None = None
        """The CPU that is stepped up to where its software step begins."""
        machine.engine.on_debug_write(self._on_write)

    def reset(self) -> None:
        """As after power-on: nothing is watched."""
        for own in self._guards:
            self._drop(own)
        self._changed, self._stepped = False, None

    def restore(self) -> None:
        """The CPUs, none of which is loaded, have other registers: watch what those say."""
        self.reset()
        machine = self._machine
        for cpu in machine.cpus:
            if hasattr(cpu.vcpu, "state") and cpu.vcpu.system_registers.read(_MDSCR) & MDSCR_EL1.MDE.mask:
                machine.turns.load(cpu.index)
                self.look()
                machine.turns.unload()

    def _drop(self, guards: list[Guard]) -> None:
        for guard in guards:
            self._machine.guards.remove(guard)
        guards.clear()

    def _on_write(self, register: int, value: int) -> None:
        """In the guest, before it writes one of the registers at EL1: the run ends soon, and `serve` looks."""
        index = self._machine.current_cpu.index
        if register == _MDSCR:
            steps = value & MDSCR_EL1.SS.mask and value & MDSCR_EL1.KDE.mask
            if steps or self._stepped == index:
                self._stepped = index if steps else None
            is_of_interest = steps or value & MDSCR_EL1.MDE.mask
        else:
            is_of_interest = register in _CONTROLS and value & 1
        if is_of_interest or self._guards[index]:
            self._changed = True
            self._machine.engine.leave()

    def serve(self) -> Exit:
        """Between two runs: guarded accesses, and what debug registers ask for; `Nothing` unless there is an exit."""
        reason = self._machine.guards.serve()
        if not self._changed or not isinstance(reason, Nothing):
            return reason
        self._changed = False
        self.look()
        return self._step_until_unmasked() if self._stepped == self._machine.current_cpu.index else reason

    def look(self) -> None:
        """Guard what the watchpoints of the CPU that is loaded watch, and nothing else of its."""
        machine = self._machine
        own = self._guards[machine.current_cpu.index]
        self._drop(own)
        for one in self._enabled() if machine.engine.read_sysreg(_MDSCR) & MDSCR_EL1.MDE.mask else ():
            pages = self._pages(one)
            if pages and one.denied:
                guard = Guard(pages, one.denied, _unheard, self._forbids)
                machine.guards.add(guard)
                own.append(guard)

    def _enabled(self) -> list[Watchpoint]:
        read = self._machine.engine.read_sysreg
        found = (Watchpoint(read(_VALUES[n]), read(_CONTROLS[n])) for n in range(WATCHPOINTS))
        return [one for one in found if one.control & 1]

    def _pages(self, one: Watchpoint) -> frozenset[int]:
        """The physical pages behind it that are RAM."""
        machine, pages = self._machine, set[int]()
        virtual = {at for first, last in one.ranges for at in range(first & -PAGE, last + 1, PAGE)[: _MOST_PAGES + 1]}
        if len(virtual) > _MOST_PAGES:
            return frozenset()
        for at in virtual:
            physical = machine.engine.translate(at)
            if physical is not None:
                try:
                    machine.memory.check_page(physical & -PAGE)
                except UsageError:  # a device, which can't be guarded
                    continue
                pages.add(physical & -PAGE)
        return frozenset(pages)

    # --- watchpoints ------------------------------------------------------------------------------------------

    def _forbids(self, access: MemoryAccess) -> bool:
        """Of an access that is about to be made: is it watched? Then the exception has been taken instead."""
        machine = self._machine
        state, read = machine.vcpu.state, machine.engine.read_sysreg
        level = state.pstate >> 2 & 3
        mdscr = read(_MDSCR)
        unmasked = level == 0 or (mdscr & MDSCR_EL1.KDE.mask and not state.pstate & _D)
        if not unmasked or not mdscr & MDSCR_EL1.MDE.mask or read(_OSLSR) & _OSLK:
            return False
        wanted = (MappingFlags.READ if access.reads else MappingFlags(0)) | (
            MappingFlags.WRITE if access.writes else MappingFlags(0)
        )
        for one in self._enabled():
            address = one.hit(access.address, access.width)
            if address is not None and one.denied & wanted and one.levels >> level & 1:
                is_write = access.writes and MappingFlags.WRITE in one.denied
                ec = EC.WATCHPOINT_CURRENT if level else EC.WATCHPOINT_LOWER
                machine.vcpu.take_debug_exception(ec, _DEBUG_FAULT | (_WNR if is_write else 0), address)
                return True
        return False

    # --- software step ----------------------------------------------------------------------------------------

    def _step_until_unmasked(self) -> Exit:
        """Step the guest at EL1 until it has cleared PSTATE.D, and take the exception that is pending from then on.

        Where that takes long, or an exit comes first, the next run ends at once, and this goes on.
        """
        machine = self._machine
        vcpu = machine.vcpu
        for _ in range(_STEPS):
            if self._stepped is None or not vcpu.state.pstate & 0xC:
                return Nothing()  # the guest has changed its mind, or gone to EL0
            if not vcpu.state.pstate & _D:
                vcpu.take_debug_exception(EC.SOFTSTEP_CURRENT, _DEBUG_FAULT, 0)
                self._stepped = None
                return Nothing()
            reason = vcpu.step()
            if not isinstance(reason, Nothing):
                self._go_on_later()
                return reason
        self._go_on_later()
        return Nothing()

    def _go_on_later(self) -> None:
        self._changed = True
        self._machine.engine.request_stop()


def _unheard(_access: object) -> None:
    """A guard for the guest's own sake: the host hears nothing."""
