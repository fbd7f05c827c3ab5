"""The exception layer: what EL2 does with a trap, by exception class.

Two tables, default first: one for exceptions that the architecture routes to EL2, one for those that the guest
takes itself, at EL1 (the engine reports those too and leaves their entry to us). A handler changes the vCPU's
state and returns, and the guest goes on; or it makes an exit, and `Aarch64VCpu.run()` returns it. The guest never
brings the host down: what no row knows becomes its own UNDEFINED exception. DDI 0487 D1.3, D17.2.37 (ESR_EL2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from armvcpu.arch.esr import ExceptionClass as EC  # noqa: N817  the field's own name
from armvcpu.arch.esr_words import describe_esr
from armvcpu.arch.instructions import has_writeback
from armvcpu.arch.registers import access_from_instruction, iss_from_encoding, lowest_el
from armvcpu.arch.sysreg import SysRegAccess, SysRegIss
from armvcpu.arch.vectors import VectorKind
from armvcpu.errors import GuestCrash
from armvcpu.vcpu.entry import entry_pstate, hits_own_vector, vector_address
from armvcpu.vcpu.exits import (
    AccessFlags,
    Exit,
    Halt,
    Hypercall,
    MmioRead,
    MmioWrite,
    NestedPageFault,
    SysRegRead,
    SysRegWrite,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.vcpu.vcpu import Aarch64VCpu

UNDEFINED_ESR = int(EC.UNKNOWN) << 26 | 1 << 25
EXTERNAL_ABORT, EXTERNAL_ABORT_ON_WALK = 0x10, 0x14
S1PTW = 1 << 7
"""ISS of an abort: the stage-2 fault was on a stage-1 table walk."""
HLT_SEMIHOSTING = 0xD45E_0000  # HLT #0xF000
STORM_LIMIT = 64
"""So many exceptions in a row from inside the vector they go to: the guest can't get out of it."""

_REMEMBERED = 1024
"""Decoded accesses that are kept, by syndrome."""

_HAS_FAR = frozenset(
    (
        EC.IABT_LOWER, EC.IABT_CURRENT, EC.PC_ALIGNMENT, EC.DABT_LOWER, EC.DABT_CURRENT, EC.WATCHPOINT_LOWER,
        EC.WATCHPOINT_CURRENT,
    )
)  # fmt: skip


class ExceptionLayer:
    """The trap handler of one vCPU."""

    def __init__(self, vcpu: Aarch64VCpu) -> None:
        self._vcpu = vcpu
        self._storm = 0
        self._before_storm = (0, 0)
        self._hypercalls = vcpu.handlers.hypercalls
        self._accesses: dict[int, SysRegAccess] = {}
        self._words: dict[int, tuple[SysRegAccess | None, int]] = {}
        self._to_el2 = self._table(
            self._unknown_trap,
            {
                EC.WFX: self._wfx,
                EC.HVC64: self._hvc,
                EC.SMC64: self._smc,
                EC.MSR_MRS: self._msr_mrs,
                EC.IABT_LOWER: self._instruction_abort,
                EC.DABT_LOWER: self._data_abort,
            },
        )
        self._to_el1 = self._table(self.take_exception, {EC.UNKNOWN: self._undefined, EC.BRK64: self._breakpoint})

    @staticmethod
    def _table(
        default: Callable[[int, int], None], rows: dict[EC, Callable[[int, int], None]]
    ) -> list[Callable[[int, int], None]]:
        table = [default] * 64
        for ec, handler in rows.items():
            table[ec] = handler
        return table

    def on_trap(self, target: int, esr: int, far: int) -> None:
        """The engine's trap handler: one look into a table."""
        if target == 2:
            self._to_el2[esr >> 26](esr, far)
        else:
            self._to_el1[esr >> 26](esr, far)

    # --- the guest's own exceptions ---------------------------------------------------------------------------

    def take_exception(self, esr: int, far: int) -> None:
        """Enter an exception at EL1: AArch64.TakeException with target EL1."""
        self._take(esr, far, VectorKind.SYNCHRONOUS)

    def take_serror(self, iss: int) -> None:
        """Enter an SError interrupt at EL1 (AArch64.TakePhysicalSErrorException); PSTATE.A is the caller's affair."""
        self._take(int(EC.SERROR) << 26 | 1 << 25 | iss & 0x1FF_FFFF, 0, VectorKind.SERROR)

    def _take(self, esr: int, far: int, kind: VectorKind) -> None:
        vcpu = self._vcpu
        state = vcpu.state
        pstate, elr = state.pstate, state.pc
        vector = vector_address(state.vbar_el(1), pstate, 1, kind)
        has_far = esr >> 26 in _HAS_FAR
        if vcpu.observer is not None:
            vcpu.observer.exception(vcpu.vcpu_id, state, 1, esr, far if has_far else None, vector)
        self._watch_for_storm(elr, vector, esr)
        vcpu.last_exception = (esr, far if has_far else None, elr)
        vcpu.engine.enter_exception(
            1,
            elr=elr,
            spsr=pstate,
            esr=esr,
            far=far if has_far else None,
            pstate=entry_pstate(pstate, 1, state.sctlr_el(1), vcpu.features),
            pc=vector,
        )

    def _watch_for_storm(self, elr: int, vector: int, esr: int) -> None:
        if not hits_own_vector(elr, vector):
            self._storm = 0
            self._before_storm = (esr, elr)
            return
        self._storm += 1
        if self._storm >= STORM_LIMIT:
            self._storm = 0
            first_esr, first_elr = self._before_storm
            raise GuestCrash(
                f"endless exception loop: the vector at {vector:#x} raises the exception it is to handle; "
                f"it began at {first_elr:#x} with: {describe_esr(first_esr)}"
            )

    def undefined(self) -> None:
        """The instruction at PC is UNDEFINED for the guest."""
        self.take_exception(UNDEFINED_ESR, 0)

    def external_abort(self) -> None:
        """The access of the last stage-2 abort found no memory and no device: a synchronous external abort."""
        vcpu = self._vcpu
        esr, far, pc = vcpu.last_trap
        if vcpu.state.pc != pc:
            vcpu.state.set_pc(pc)
        status = EXTERNAL_ABORT_ON_WALK | esr & 3 if esr & S1PTW else EXTERNAL_ABORT
        current = 1 if vcpu.state.pstate & 0xC else 0
        self.take_exception(esr & ~(0x1FF_FFFF & ~0x40) | current << 26 | status, far)  # keeps EC, IL and WnR

    def _undefined(self, esr: int, far: int) -> None:
        """EC 0: an undefined instruction; among them accesses to registers that the engine lacks, and semihosting."""
        vcpu = self._vcpu
        word = vcpu.fetch_word()
        if word is not None:
            known = self._words.get(word)
            if known is None:
                known = self._decode(word)
            access, level = known
            if access is not None and level <= (vcpu.state.pstate >> 2 & 3):
                self._access(access)
                return
            if word == HLT_SEMIHOSTING and vcpu.handlers.semihosting is not None:
                vcpu.handlers.semihosting(vcpu)
                return
        self.take_exception(esr, far)

    def _breakpoint(self, esr: int, far: int) -> None:
        """BRK: a debugger's, where there is one that says so, else the guest's own."""
        handler = self._vcpu.handlers.breakpoint
        if handler is None or not handler(self._vcpu, esr & 0xFFFF):
            self.take_exception(esr, far)

    def _decode(self, word: int) -> tuple[SysRegAccess | None, int]:
        """The access that an instruction makes, and the lowest level that may make it; remembered."""
        access = access_from_instruction(word)
        if len(self._words) > _REMEMBERED:
            self._words.clear()
        known = self._words[word] = access, 0 if access is None else lowest_el(access.encoding)
        return known

    # --- traps to EL2 -----------------------------------------------------------------------------------------

    def _unknown_trap(self, _esr: int, _far: int) -> None:
        """No row: EL2 asked for no such trap, so the guest sees what it would see without EL2."""
        self.undefined()

    def _wfx(self, esr: int, _far: int) -> None:
        """WFI waits, so it is an exit; a WFE is stepped over (the engine itself never traps one: docs/engine.md)."""
        state = self._vcpu.state
        state.set_pc(state.pc + 4)
        if not esr & 1:
            self._vcpu.exit(Halt())

    def _hvc(self, _esr: int, _far: int) -> None:
        """HVC: PC is already behind it. A registered handler, a firmware service, or the Hypercall exit."""
        vcpu = self._vcpu
        handler = self._hypercalls.get(vcpu.state.frame[0])
        if handler is not None:
            value = handler(vcpu)
            if vcpu.observer is not None:
                self._observe_call("hvc", value)
            if value is not None:
                vcpu.state.set_gpr(0, value)
        elif not self._service("hvc"):
            frame = vcpu.state.frame
            vcpu.exit(Hypercall(frame[0], (frame[1], frame[2], frame[3], frame[4], frame[5], frame[6])))

    def _smc(self, _esr: int, _far: int) -> None:
        """SMC, trapped by HCR_EL2.TSC with PC on it. What nobody claims is NOT_SUPPORTED (DEN 0028 5.1)."""
        vcpu = self._vcpu
        vcpu.state.set_pc(vcpu.state.pc + 4)
        handler = vcpu.handlers.smc.get(vcpu.state.frame[0] & 0xFFFF_FFFF)
        if handler is not None:
            self._answer("smc", handler(vcpu))
        elif not self._service("smc"):
            self._answer("smc", -1)

    def _answer(self, conduit: str, value: int | None) -> None:
        vcpu = self._vcpu
        if vcpu.observer is not None:
            self._observe_call(conduit, value)
        if value is not None:
            vcpu.state.set_gpr(0, value)

    def _service(self, conduit: str) -> bool:
        """Let the firmware services answer the call in x0; False where none claims it."""
        vcpu = self._vcpu
        frame = vcpu.state.frame
        function_id = frame[0] & 0xFFFE_FFFF  # W0 without the hint in bit 16 (DEN 0028 2.5)
        if not vcpu.services.supports(function_id):
            return False
        result = vcpu.services.call(function_id, frame[1:7].tolist())
        if vcpu.observer is not None:
            self._observe_call(conduit, result)
        if isinstance(result, tuple):
            for index, value in enumerate(result):
                vcpu.state.set_gpr(index, value)
        else:
            vcpu.state.set_gpr(0, 0)  # SUCCESS, unless whoever acts on the exit finds otherwise
            vcpu.exit(result)
        return True

    def _observe_call(self, conduit: str, result: object) -> None:
        vcpu = self._vcpu
        assert vcpu.observer is not None
        frame = vcpu.state.frame
        vcpu.observer.call(vcpu.vcpu_id, vcpu.state, conduit, frame[0], frame[1:7].tolist(), result)

    def _msr_mrs(self, esr: int, _far: int) -> None:
        access = self._accesses.get(esr)
        if access is None:
            if len(self._accesses) > _REMEMBERED:
                self._accesses.clear()
            access = self._accesses[esr] = SysRegIss(esr).access
        if access[0] in self._vcpu.sysregs.in_place:
            self._answer_in_place(access[0])
        self._access(access)

    def _answer_in_place(self, encoding: int) -> None:
        """An instruction that comes often has trapped at an address that the engine does not know yet."""
        vcpu = self._vcpu
        if vcpu.observer is None and vcpu.state.pstate & 0xC == 4:
            reader = vcpu.sysregs.readers.get(encoding)
            vcpu.engine.answer_in_place(encoding, None if reader is None else reader())

    def _access(self, access: SysRegAccess) -> None:
        """A trapped register access: a user's handler, the table, or an exit; PC is on the instruction."""
        vcpu = self._vcpu
        state = vcpu.state
        encoding, rt, is_read = access
        table = vcpu.sysregs
        if is_read:
            reader = table.readers.get(encoding)
            if reader is not None and encoding not in table.undefined:
                value = reader()
                if vcpu.observer is not None:
                    self._observe_register(encoding, True, value)
                state.step_over(rt, value)
                return
        else:
            writer = table.writers.get(encoding)
            if writer is not None and encoding not in table.undefined:
                value = state.gpr(rt)
                if vcpu.observer is not None:
                    self._observe_register(encoding, False, value)
                writer(value)
                state.step_over()
                return
        self._unclaimed(access)

    def _observe_register(self, encoding: int, is_read: bool, value: int) -> None:
        vcpu = self._vcpu
        if vcpu.observer is not None:
            vcpu.observer.sysreg(vcpu.vcpu_id, vcpu.state, encoding, is_read, value)

    def _unclaimed(self, access: SysRegAccess) -> None:
        vcpu = self._vcpu
        encoding, rt, is_read = access
        if vcpu.sysregs.is_undefined(encoding, is_read=is_read):
            self.undefined()
            return
        vcpu.last_trap = (UNDEFINED_ESR, 0, vcpu.state.pc)
        vcpu.state.set_pc(vcpu.state.pc + 4)
        name = iss_from_encoding(encoding)
        vcpu.exit(SysRegRead(name, rt) if is_read else SysRegWrite(name, vcpu.state.gpr(rt)))

    def _instruction_abort(self, esr: int, far: int) -> None:
        self._page_fault(esr, far, AccessFlags.EXECUTE)

    def _page_fault(self, esr: int, far: int, access: AccessFlags) -> None:
        """A stage-2 fault that memory management may cure; otherwise an exit. PC stays on the instruction.

        On a stage-1 table walk (S1PTW) it is the read of a descriptor, whatever the instruction does, and FAR_EL2
        has no part in the IPA.
        """
        vcpu = self._vcpu
        if esr & S1PTW:
            ipa, access = self._ipa(0), AccessFlags.READ
        else:
            ipa = self._ipa(far)
        if not vcpu.handle_page_fault(ipa, access):
            vcpu.last_trap = (esr, far, vcpu.state.pc)
            vcpu.exit(NestedPageFault(ipa, access))

    def _ipa(self, far: int) -> int:
        """HPFAR_EL2 has the page, FAR the offset (DDI 0487 D17.2.64)."""
        return (self._vcpu.state.hpfar_el2 & 0xFFF_FFFF_FFF0) << 8 | far & 0xFFF

    def _data_abort(self, esr: int, far: int) -> None:
        """A stage-2 data abort: lazily provided memory, an emulated device by ISS, or NestedPageFault without ISV."""
        vcpu = self._vcpu
        write = bool(esr & 1 << 6)
        access = AccessFlags.WRITE if write else AccessFlags.READ
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
            vcpu.exit(NestedPageFault(ipa, access))
            return
        width = 1 << (esr >> 22 & 3)
        reg = esr >> 16 & 31
        state.set_pc(state.pc + 4)
        if write:
            vcpu.exit(MmioWrite(ipa, width, state.gpr(reg) & (1 << 8 * width) - 1))
        else:
            vcpu.exit(MmioRead(ipa, width, reg, 8 if esr & 1 << 15 else 4, bool(esr & 1 << 21)))


def read_result(read: MmioRead, value: int) -> int:
    """What an MmioRead's register gets for a device's answer: cut to the width, extended as the instruction says."""
    bits = 8 * read.width
    value &= (1 << bits) - 1
    if read.signed_ext and value >> (bits - 1):
        value -= 1 << bits
    return value & (1 << 8 * read.reg_width) - 1


__all__ = ["ExceptionLayer", "Exit", "read_result"]
