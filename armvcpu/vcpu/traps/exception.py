"""The exception layer: what the software above the guest does with a trap, by exception class.

Exceptions that the guest takes itself, at its own levels, are entered by the engine. What comes here is for the level
above them, or one that somebody has asked about: semihosting, a debugger's BRK, a register that nobody knows. A guest
that starts at EL1 is trapped to EL2 by what `setup.py` configures; one that starts at EL2 comes by SMC alone; above one
that starts at EL3 there is no level. A handler changes the vCPU's state and returns, and the guest goes on; or it makes
an exit, and `Aarch64VCpu.run()` returns it. The guest never brings the host down: what no row knows becomes its own
UNDEFINED exception. DDI 0487 D1.3, D17.2.37 (ESR_EL2).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from armvcpu.arch.esr import ExceptionClass as EC
from armvcpu.arch.esr import has_far
from armvcpu.arch.esr_words import describe_esr
from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.engine.api import TARGET_AARCH32, TARGET_WAIT
from armvcpu.errors import GuestCrash, Unmodelled
from armvcpu.vcpu.exits import Halt
from armvcpu.vcpu.traps.aborts import Stage2Aborts
from armvcpu.vcpu.traps.calls import CallTraps
from armvcpu.vcpu.traps.registers import UNDEFINED_ESR, SysRegTraps

if TYPE_CHECKING:
    from armvcpu.vcpu.traps.guest import TrappedVCpu

HLT_SEMIHOSTING = 0xD45E_0000  # HLT #0xF000

VECTOR_SIZE = 0x80
"""Bytes from one vector to the next (D1.3.1)."""

TrapRow = Callable[[int, int], None]
"""One row's: gets ESR and FAR."""


class ExceptionLayer:
    """The trap handler of one vCPU."""

    def __init__(self, vcpu: TrappedVCpu, highest: int = 1) -> None:
        self._vcpu, self._highest = vcpu, highest
        self.aborts = Stage2Aborts(vcpu)
        self._registers = SysRegTraps(vcpu)
        calls = CallTraps(vcpu)
        self._to_el2 = _table(
            self._unknown_trap,
            {
                EC.WFX: self._wfx,
                EC.HVC64: calls.hvc,
                EC.SMC64: calls.smc,
                EC.MSR_MRS: self._registers.msr_mrs,
                EC.IABT_LOWER: self.aborts.instruction_abort,
                EC.DABT_LOWER: self.aborts.data_abort,
            },
        )
        self._asked: dict[int, Callable[[int], bool]] = {
            EC.UNKNOWN: self._undefined_instruction,
            EC.HVC64: calls.heard_hvc,
            EC.SMC64: calls.heard_smc,
        }
        self._smc = calls.smc_above
        if highest > 1:
            self._to_el2 = _table(partial(self._to_own_level, 2), {})

    def on_trap(self, target: int, esr: int, far: int) -> None:
        """The engine's trap handler."""
        if target == 2:
            self._to_el2[esr >> 26](esr, far)
        elif target <= self._highest:
            self._to_own_level(target, esr, far)
        elif target == TARGET_WAIT:
            self._vcpu.leave(Halt())
        elif target == TARGET_AARCH32:
            raise Unmodelled(
                f"the guest executes AArch32 code after an ERET to AArch32 state (ESR {esr:#010x}); no presented CPU"
                " has AArch32 (ID_AA64PFR0_EL1.EL0 = 1)"
            )
        elif esr >> 26 == EC.SMC64:
            self._smc(esr)
        else:
            self._vcpu.processor.undefined()

    def _to_own_level(self, target: int, esr: int, far: int) -> None:
        """Answer it in the guest's place, or have the guest take it."""
        answer = self._asked.get(esr >> 26)
        if answer is None or not answer(esr):
            self._vcpu.engine.take_exception(esr, far, el=target)

    def on_entry(self) -> None:
        """The guest has taken an exception, and somebody asked; or it takes one in its own vector for ever."""
        vcpu = self._vcpu
        last = vcpu.engine.last_exception
        vector = vcpu.state.pc
        if (observer := vcpu.listeners.observer) is not None:
            far = last.far if has_far(last.esr) else None
            observer.exception(vcpu.vcpu_id, last.elr, last.el, last.esr, far, vector)
        if vcpu.engine.is_endless:
            raise GuestCrash(self._endless_loop(last.elr, vector), vcpu.dump())

    def _endless_loop(self, elr: int, vector: int) -> str:
        first = self._vcpu.engine.first_fault
        what = f"the vector at {vector:#x} raises the exception it is to handle"
        if not 0 <= elr - vector < VECTOR_SIZE:
            what = f"its handler takes another one at {elr:#x}, again and again"
        began = "" if first is None else f"; it began at {first.elr:#x} with: {describe_esr(first.esr)}"
        return f"endless exception loop: {what}{began}"

    # --- rows of the table for EL2 ----------------------------------------------------------------------------

    def _unknown_trap(self, _esr: int, _far: int) -> None:
        """No row: EL2 asked for no such trap, so the guest sees what it would see without EL2."""
        self._vcpu.engine.take_exception(UNDEFINED_ESR)

    def _wfx(self, esr: int, _far: int) -> None:
        """WFI waits, so it is an exit; a WFE that EL2 traps (TWE) is stepped over."""
        state = self._vcpu.state
        state.set_pc(state.pc + 4)
        if not esr & 1:
            self._vcpu.leave(Halt())

    # --- exceptions to the guest's own levels that somebody has asked about: have they been answered? ---------

    def _undefined_instruction(self, _esr: int) -> bool:
        """EC 0: semihosting, or an access to a register that the engine lacks."""
        vcpu = self._vcpu
        word = vcpu.fetch_word()
        if word == HLT_SEMIHOSTING and vcpu.handlers.semihosting is not None:
            vcpu.handlers.semihosting(vcpu)
            return True
        return word is not None and self._registers.emulate(word)


def _table(default: TrapRow, rows: dict[EC, TrapRow]) -> list[TrapRow]:
    table = [default] * 64
    for ec, handler in rows.items():
        table[ec] = handler
    return table
