"""The exception layer: what EL2 does with a trap, by exception class.

Two tables, default first: one for exceptions that the architecture routes to EL2, one for those that the guest
takes itself, at EL1 (the engine reports those too and leaves their entry to us). A handler changes the vCPU's
state and returns, and the guest goes on; or it makes an exit, and `Aarch64VCpu.run()` returns it. The guest never
brings the host down: what no row knows becomes its own UNDEFINED exception. DDI 0487 D1.3, D17.2.37 (ESR_EL2).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from armvcpu.arch.esr import ExceptionClass as EC  # noqa: N817  the field's own name
from armvcpu.vcpu.call_traps import CallTraps
from armvcpu.vcpu.el1_entry import El1Entry
from armvcpu.vcpu.exits import Halt
from armvcpu.vcpu.stage2_aborts import Stage2Aborts
from armvcpu.vcpu.sysreg_traps import SysRegTraps

if TYPE_CHECKING:
    from armvcpu.vcpu.vcpu import Aarch64VCpu

HLT_SEMIHOSTING = 0xD45E_0000  # HLT #0xF000

CallHandler = Callable[["Aarch64VCpu"], "int | None"]
"""Answers a call inside the trap: gets the vCPU (arguments in its registers), gives x0, or None to leave it."""
TrapHandler = Callable[[int, int], None]
"""One row's: gets ESR and FAR."""


@dataclass(slots=True)
class TrapHandlers:
    """A user's Python that answers inside the trap: no exit, some 2 µs instead of 5. Calls are by number."""

    hypercalls: dict[int, CallHandler] = field(default_factory=dict)
    smc: dict[int, CallHandler] = field(default_factory=dict)
    semihosting: Callable[[Aarch64VCpu], None] | None = None
    breakpoint: Callable[[Aarch64VCpu, int], bool] | None = None
    """Asked at each BRK, with its immediate, whether it is a debugger's; if so it has ended the run."""


class ExceptionLayer:
    """The trap handler of one vCPU."""

    def __init__(self, vcpu: Aarch64VCpu) -> None:
        self._vcpu = vcpu
        self.el1 = El1Entry(vcpu)
        self.aborts = Stage2Aborts(vcpu, self.el1)
        self._registers = SysRegTraps(vcpu, self.el1)
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
        self._to_el1 = _table(
            self.el1.take_exception, {EC.UNKNOWN: self._undefined_instruction, EC.BRK64: self._breakpoint}
        )

    def on_trap(self, target: int, esr: int, far: int) -> None:
        """The engine's trap handler: one look into a table."""
        if target == 2:
            self._to_el2[esr >> 26](esr, far)
        else:
            self._to_el1[esr >> 26](esr, far)

    # --- rows of the table for EL2 ----------------------------------------------------------------------------

    def _unknown_trap(self, _esr: int, _far: int) -> None:
        """No row: EL2 asked for no such trap, so the guest sees what it would see without EL2."""
        self.el1.take_undefined()

    def _wfx(self, esr: int, _far: int) -> None:
        """WFI waits, so it is an exit; a WFE is stepped over (the engine itself never traps one: docs/engine.md)."""
        state = self._vcpu.state
        state.set_pc(state.pc + 4)
        if not esr & 1:
            self._vcpu.exit(Halt())

    # --- rows of the table for EL1 ----------------------------------------------------------------------------

    def _undefined_instruction(self, esr: int, far: int) -> None:
        """EC 0: among them are accesses to registers that the engine lacks, and semihosting."""
        vcpu = self._vcpu
        word = vcpu.engine.fetch_word(vcpu.state.pc)
        if word is not None:
            if self._registers.emulate(word):
                return
            if word == HLT_SEMIHOSTING and vcpu.handlers.semihosting is not None:
                vcpu.handlers.semihosting(vcpu)
                return
        self.el1.take_exception(esr, far)

    def _breakpoint(self, esr: int, far: int) -> None:
        """BRK: a debugger's, where there is one that says so, else the guest's own."""
        handler = self._vcpu.handlers.breakpoint
        if handler is None or not handler(self._vcpu, esr & 0xFFFF):
            self.el1.take_exception(esr, far)


def _table(default: TrapHandler, rows: dict[EC, TrapHandler]) -> list[TrapHandler]:
    table = [default] * 64
    for ec, handler in rows.items():
        table[ec] = handler
    return table
