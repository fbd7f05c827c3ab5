"""Self-hosted debug, as far as the engine leaves it to us: watchpoints, and software step that PSTATE.D held back.

Watchpoints (DDI 0487 D2.10) are ranges of virtual addresses that the engine watches, wherever they lead. They are
looked up when the guest writes DBGWVRn_EL1, DBGWCRn_EL1 or MDSCR_EL1; whether one is hit is looked up in the registers
of the CPU that makes the access. A linked one (WT) is taken as an unlinked one. The engine's own software step (D2.12)
begins at ERET; where a guest has it active and clears PSTATE.D by MSR, it is single-stepped up to there.
"""

from __future__ import annotations

from functools import partial

from armvcpu.arch.controls import HCR_EL2, MDSCR_EL1
from armvcpu.arch.esr import ExceptionClass as EC
from armvcpu.arch.registers import by_name
from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.arch.sysregs_debug import WATCHPOINTS
from armvcpu.machine.watching.touched import touched
from armvcpu.vcpu.exits import Nothing

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.engine.api import Engine, Removable
    from armvcpu.machine.running.turns import Turns
    from armvcpu.machine.watching.watchpoint import Watchpoint
    from armvcpu.vcpu.exits import Exit
    from armvcpu.vcpu.vcpu import Aarch64VCpu

_MDSCR, _OSLSR, _MDCR_EL2 = (by_name[name].encoding for name in ("MDSCR_EL1", "OSLSR_EL1", "MDCR_EL2"))
_WATCHED_BITS = int(MDSCR_EL1.of(MDE=1, SS=1))
"""Of MDSCR_EL1: a hypervisor writes it at each switch, and nearly always without them."""
_VALUES = [by_name[f"DBGWVR{n}_EL1"].encoding for n in range(WATCHPOINTS)]
_CONTROLS = [by_name[f"DBGWCR{n}_EL1"].encoding for n in range(WATCHPOINTS)]
_D, _OSLK, _DEBUG_FAULT, _WNR, _TDE, _IL = 1 << 9, 1 << 1, 0x22, 1 << 6, 1 << 8, 1 << 25
_ERET = 0xD69F_03E0
_STEPS = 256
"""Instructions that are stepped between two looks at what else there is to do."""


class SelfDebug:
    """The watchpoints of a machine's CPUs, and the steps up to where a software step begins."""

    def __init__(self, cpus: int, engine: Engine, turns: Turns) -> None:
        self._engine, self._turns = engine, turns
        self._watched: list[list[Removable]] = [[] for _ in range(cpus)]
        """What each CPU watches."""
        self._changed = False
        self._stepped: int | None = None
        """The CPU that is stepped up to where its software step begins."""

    def attach(self, vcpu: Aarch64VCpu) -> None:
        """Hear of a vCPU's writes of the registers of debug."""
        for register in (_MDSCR, *_VALUES, *_CONTROLS):
            bits = _WATCHED_BITS if register == _MDSCR else 0
            vcpu.sysregs.listen(register, partial(self._on_write, register), bits)

    def reset(self) -> None:
        """As after power-on: nothing is watched."""
        for watched in self._watched:
            self._drop(watched)
        self._changed, self._stepped = False, None

    @property
    def is_idle(self) -> bool:
        """Is nothing watched, and nothing to be looked at?"""
        return not (any(self._watched) or self._changed) and self._stepped is None

    def restore(self) -> None:
        """The CPUs, none of which is loaded, have other registers: watch what those say."""
        self.reset()
        for cpu in self._turns.cpus:
            if cpu.vcpu.has_state:
                self._look(cpu.index, cpu.vcpu.system_registers.read)

    @staticmethod
    def _drop(watched: list[Removable]) -> None:
        for each in watched:
            each.remove()
        watched.clear()

    def _on_write(self, register: int, value: int) -> int:
        """In the guest, before it writes one of the registers at EL1: the run ends then, and `attend` looks."""
        index = self._turns.cpu.index
        if register == _MDSCR:
            steps = value & MDSCR_EL1.SS.mask and value & MDSCR_EL1.KDE.mask
            if steps or self._stepped == index:
                self._stepped = index if steps else None
            is_of_interest = steps or value & MDSCR_EL1.MDE.mask
        else:
            is_of_interest = register in _CONTROLS and value & 1
        if is_of_interest or self._watched[index]:
            self._changed = True
            self._engine.leave()
        return value

    def attend(self) -> Exit | None:
        """Between two runs: what debug registers ask for; an exit, where a step made one."""
        if not self._changed:
            return None
        self._changed = False
        index = self._turns.cpu.index
        self._look(index, self._engine.registers.read)
        return self._step_until_unmasked() if self._stepped == index else None

    def _look(self, index: int, read: Callable[[int], int]) -> None:
        """Watch what the watchpoints of a CPU watch, by its registers, and nothing else of its."""
        watched = self._watched[index]
        self._drop(watched)
        for one in self._enabled(read) if read(_MDSCR) & MDSCR_EL1.MDE.mask else ():
            ranges = one.ranges
            if ranges and (one.reads or one.writes):
                first, last = ranges[0][0], ranges[-1][1]
                watched.append(
                    self._engine.listen.watch(
                        first, last - first + 1, self._on_access, reads=one.reads, writes=one.writes
                    )
                )

    @staticmethod
    def _enabled(read: Callable[[int], int]) -> list[Watchpoint]:
        from armvcpu.machine.watching.watchpoint import Watchpoint

        found = (Watchpoint(read(_VALUES[n]), read(_CONTROLS[n])) for n in range(WATCHPOINTS))
        return [one for one in found if one.control & 1]

    # --- watchpoints ------------------------------------------------------------------------------------------

    def _on_access(self, address: int, width: int, is_write: bool) -> None:
        """Of an access that is about to be made: is it watched? Then the exception is taken instead."""
        read = self._engine.registers.read
        target = self._target(read)
        if target is None:
            return
        accessed = touched(self._engine, address, width, is_write=is_write)
        if accessed is None:
            return
        level, is_secure = self._engine.state.el, self._turns.cpu.vcpu.processor.is_secure
        for one in self._enabled(read):
            hit = one.hit(*accessed)
            if hit is not None and (one.writes if is_write else one.reads) and one.watches(level, is_secure=is_secure):
                ec = EC.WATCHPOINT_CURRENT if level == target else EC.WATCHPOINT_LOWER
                self._engine.take_exception(
                    int(ec) << 26 | _IL | _DEBUG_FAULT | (_WNR if is_write else 0), hit, el=target
                )
                return

    def _target(self, read: Callable[[int], int]) -> int | None:
        """The level that a debug exception goes to, where it is not masked (D2.3, D2.4)."""
        cpu, state = self._turns.cpu.vcpu, self._engine.state
        mdscr, level = read(_MDSCR), state.el
        if not mdscr & MDSCR_EL1.MDE.mask or read(_OSLSR) & _OSLK:
            return None
        target = 1
        if cpu.config.el > 1 and not cpu.processor.is_secure:
            is_routed = read(_MDCR_EL2) & _TDE or cpu.processor.hcr_el2 & HCR_EL2.TGE.mask
            target = 2 if is_routed else 1
        if level < target:
            return target
        return target if level == target and mdscr & MDSCR_EL1.KDE.mask and not state.pstate & _D else None

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
