"""Trapped MSR and MRS: decoded, then answered by the vCPU's table of registers (`sysreg.py`), or an exit.

What the table answers does not trap: the engine has it as rows. Here is what EL2 traps by its own controls (DDI 0487
D17.2.37, EC 0x18), and what neither the table nor the engine knows: then the word at PC tells what is accessed.
"""

from __future__ import annotations

from armvcpu.arch.esr import ESR, ExceptionClass
from armvcpu.arch.registers import access_from_instruction, iss_from_encoding
from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.arch.sysreg import SysRegAccess, SysRegIss
from armvcpu.vcpu.exits import SysRegRead, SysRegWrite

if TYPE_CHECKING:
    from armvcpu.vcpu.traps.guest import TrappedVCpu

UNDEFINED_ESR = int(ESR.of(EC=ExceptionClass.UNKNOWN, IL=1))


class SysRegTraps:
    """Answers the register accesses of one vCPU; PC is on the instruction."""

    def __init__(self, vcpu: TrappedVCpu) -> None:
        self._vcpu = vcpu

    def msr_mrs(self, esr: int, _far: int) -> None:
        """A trap of EL2's."""
        self._access(SysRegIss(esr).access)

    def emulate(self, word: int) -> bool:
        """An instruction that the engine does not know: False where it is no access of a register."""
        access = access_from_instruction(word)
        if access is None:
            return False
        self._access(access)
        return True

    def _access(self, access: SysRegAccess) -> None:
        """A user's handler, the table, or an exit. Who only listens to a native register has no part in a trap."""
        vcpu = self._vcpu
        state, table = vcpu.state, vcpu.sysregs
        rows = table.rows
        encoding, rt, is_read = access
        if is_read and encoding in table.readers:
            state.step_over(rt, rows.reads[encoding]())
        elif not is_read and encoding in table.writers:
            rows.writes[encoding](state.gpr(rt))
            state.step_over()
        else:
            self._leave_unclaimed(access)

    def _leave_unclaimed(self, access: SysRegAccess) -> None:
        """Nobody answers: UNDEFINED where the architecture or the CPU model says so, else an exit."""
        vcpu = self._vcpu
        encoding, rt, is_read = access
        if vcpu.sysregs.is_undefined(encoding, is_read=is_read):
            vcpu.processor.undefined()
            return
        vcpu.last_trap = (UNDEFINED_ESR, 0, vcpu.state.pc)
        vcpu.state.set_pc(vcpu.state.pc + 4)
        name = iss_from_encoding(encoding)
        vcpu.leave(SysRegRead(name, rt) if is_read else SysRegWrite(name, vcpu.state.gpr(rt)))
