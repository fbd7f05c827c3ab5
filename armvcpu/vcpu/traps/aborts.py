"""Stage-2 aborts from a lower EL: memory provided lazily, an emulated device, or a page fault for the caller.

The syndrome describes a device access (ISV, SAS, SSE, SRT, SF, WnR: DDI 0487 D17.2.37), HPFAR_EL2 has the IPA
(D17.2.64). Of one that finds nothing at all the guest gets a synchronous external abort.
"""

from __future__ import annotations

from armvcpu.arch.instructions import has_writeback
from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.vcpu.exits import MmioRead, MmioWrite, NestedPageFault
from armvcpu.vcpu.stage2.mapping import MappingFlags

if TYPE_CHECKING:
    from armvcpu.vcpu.traps.guest import TrappedVCpu

EXTERNAL_ABORT, EXTERNAL_ABORT_ON_WALK = 0x10, 0x14
S1PTW = 1 << 7
"""ISS of an abort: the stage-2 fault was on a stage-1 table walk."""
_FAULT, _PERMISSION = 0x3C, 0xC
"""ISS.DFSC and IFSC without the level, and a permission fault: something is mapped there."""


class Stage2Aborts:
    """Deals with the instruction and data aborts of one vCPU."""

    def __init__(self, vcpu: TrappedVCpu) -> None:
        self._vcpu = vcpu

    def instruction_abort(self, esr: int, far: int) -> None:
        """EC 0x20."""
        self._page_fault(esr, far, MappingFlags.EXECUTE)

    def data_abort(self, esr: int, far: int) -> None:
        """EC 0x24: lazily provided memory, an emulated device by ISS, or NestedPageFault without ISV."""
        vcpu = self._vcpu
        write = bool(esr & 1 << 6)
        access = MappingFlags.WRITE if write else MappingFlags.READ
        if not esr & 1 << 24 or esr & S1PTW:  # no register to serve
            self._page_fault(esr, far, access)
            return
        ipa = self._ipa(far)
        if vcpu.handle_page_fault(ipa, access):
            return
        state = vcpu.state
        vcpu.last_trap = (esr, far, state.pc)
        word = vcpu.fetch_word()
        if word is not None and has_writeback(word):  # the engine sets ISV here, against D17.2.37
            vcpu.leave(NestedPageFault(ipa, access, esr & _FAULT == _PERMISSION))
            return
        width = 1 << (esr >> 22 & 3)
        reg = esr >> 16 & 31
        state.set_pc(state.pc + 4)
        if write:
            data = state.gpr(reg) & (1 << 8 * width) - 1
            vcpu.leave(MmioWrite(ipa, width, data, esr & _FAULT == _PERMISSION))
        else:
            vcpu.leave(MmioRead(ipa, width, reg, 8 if esr & 1 << 15 else 4, bool(esr & 1 << 21)))

    def take_external_abort(self) -> None:
        """The access of the last stage-2 abort found no memory and no device: a synchronous external abort."""
        vcpu = self._vcpu
        esr, far, pc = vcpu.last_trap
        if vcpu.state.pc != pc:
            vcpu.state.set_pc(pc)
        status = EXTERNAL_ABORT_ON_WALK | esr & 3 if esr & S1PTW else EXTERNAL_ABORT
        vcpu.engine.take_external_abort(esr & ~(0x1FF_FFFF & ~0x40) | status, far)  # keeps EC, IL and WnR

    def _page_fault(self, esr: int, far: int, access: MappingFlags) -> None:
        """A stage-2 fault that memory management may cure; otherwise an exit. PC stays on the instruction.

        On a stage-1 table walk (S1PTW) it is the read of a descriptor, whatever the instruction does, and FAR_EL2
        has no part in the IPA.
        """
        vcpu = self._vcpu
        if esr & S1PTW:
            ipa, access = self._ipa(0), MappingFlags.READ
        else:
            ipa = self._ipa(far)
        if not vcpu.handle_page_fault(ipa, access):
            vcpu.last_trap = (esr, far, vcpu.state.pc)
            vcpu.leave(NestedPageFault(ipa, access, esr & _FAULT == _PERMISSION))

    def _ipa(self, far: int) -> int:
        """HPFAR_EL2 has the page, FAR the offset (DDI 0487 D17.2.64)."""
        return (self._vcpu.state.hpfar_el2 & 0xFFF_FFFF_FFF0) << 8 | far & 0xFFF


def read_result(read: MmioRead, value: int) -> int:
    """What an MmioRead's register gets for a device's answer: cut to the width, extended as the instruction says."""
    bits = 8 * read.width
    value &= (1 << bits) - 1
    if read.signed_ext and value >> (bits - 1):
        value -= 1 << bits
    return value & (1 << 8 * read.reg_width) - 1
