"""Trapped MSR and MRS: decoded, then answered by the vCPU's table of registers (`sysreg.py`), or an exit.

They come from EL2's traps with a syndrome (DDI 0487 D17.2.37, EC 0x18), and as UNDEFINED instructions where the engine
lacks the register: then the word at PC tells what is accessed (docs/engine.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from armvcpu.arch.registers import access_from_instruction, iss_from_encoding, lowest_el
from armvcpu.arch.sysreg import SysRegAccess, SysRegIss
from armvcpu.vcpu.el1_entry import UNDEFINED_ESR
from armvcpu.vcpu.exits import SysRegRead, SysRegWrite

if TYPE_CHECKING:
    from armvcpu.vcpu.el1_entry import El1Entry
    from armvcpu.vcpu.vcpu import Aarch64VCpu

_REMEMBERED = 1024
"""Decoded accesses that are kept, by syndrome and by instruction."""


class SysRegTraps:
    """Answers the register accesses of one vCPU; PC is on the instruction."""

    def __init__(self, vcpu: Aarch64VCpu, el1: El1Entry) -> None:
        self._vcpu, self._el1 = vcpu, el1
        self._accesses: dict[int, SysRegAccess] = {}
        self._words: dict[int, tuple[SysRegAccess | None, int]] = {}

    def msr_mrs(self, esr: int, _far: int) -> None:
        """A trap of EL2's."""
        access = self._accesses.get(esr)
        if access is None:
            if len(self._accesses) > _REMEMBERED:
                self._accesses.clear()
            access = self._accesses[esr] = SysRegIss(esr).access
        if access[0] in self._vcpu.sysregs.in_place:
            self._answer_in_place(access[0])
        self._access(access)

    def emulate(self, word: int) -> bool:
        """An UNDEFINED instruction: False unless it is an access that this exception level may make."""
        known = self._words.get(word)
        if known is None:
            known = self._decode(word)
        access, level = known
        if access is None or level > (self._vcpu.state.pstate >> 2 & 3):
            return False
        self._access(access)
        return True

    def _decode(self, word: int) -> tuple[SysRegAccess | None, int]:
        """The access that an instruction makes, and the lowest level that may make it; remembered."""
        access = access_from_instruction(word)
        if len(self._words) > _REMEMBERED:
            self._words.clear()
        known = self._words[word] = access, 0 if access is None else lowest_el(access.encoding)
        return known

    def _answer_in_place(self, encoding: int) -> None:
        """An instruction that comes often has trapped at an address that the engine does not know yet."""
        vcpu = self._vcpu
        if vcpu.observer is None and vcpu.state.pstate & 0xC == 4:
            reader = vcpu.sysregs.readers.get(encoding)
            vcpu.engine.answer_in_place(encoding, None if reader is None else reader())

    def _access(self, access: SysRegAccess) -> None:
        """A user's handler, the table, or an exit."""
        vcpu = self._vcpu
        state = vcpu.state
        encoding, rt, is_read = access
        table = vcpu.sysregs
        if is_read:
            reader = table.readers.get(encoding)
            if reader is not None and encoding not in table.undefined:
                value = reader()
                if vcpu.observer is not None:
                    vcpu.observer.sysreg(vcpu.vcpu_id, state, encoding, True, value)
                state.step_over(rt, value)
                return
        else:
            writer = table.writers.get(encoding)
            if writer is not None and encoding not in table.undefined:
                value = state.gpr(rt)
                if vcpu.observer is not None:
                    vcpu.observer.sysreg(vcpu.vcpu_id, state, encoding, False, value)
                writer(value)
                state.step_over()
                return
        self._leave_unclaimed(access)

    def _leave_unclaimed(self, access: SysRegAccess) -> None:
        """Nobody answers: UNDEFINED where the architecture or the CPU model says so, else an exit."""
        vcpu = self._vcpu
        encoding, rt, is_read = access
        if vcpu.sysregs.is_undefined(encoding, is_read=is_read):
            self._el1.take_undefined()
            return
        vcpu.last_trap = (UNDEFINED_ESR, 0, vcpu.state.pc)
        vcpu.state.set_pc(vcpu.state.pc + 4)
        name = iss_from_encoding(encoding)
        vcpu.exit(SysRegRead(name, rt) if is_read else SysRegWrite(name, vcpu.state.gpr(rt)))
