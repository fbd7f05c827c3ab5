"""CPACR_EL1.FPEN made to work: the engine itself never traps floating point and Advanced SIMD.

Two facts of the engine carry the cure (docs/engine.md, "Floating point traps"). What it does keep apart, at each
Exception level, is code translated with SVE trapped and not; so the real CPACR_EL1 gets ZEN := FPEN, and code for FP
on and for FP off never mix (SVE itself is hidden from every guest). And it reports each block that it has translated,
before the block runs. A block translated for FP off must not hold an FP instruction: where one does, the first such
word is replaced by UDF, the block is translated again at once, and the word is put back when that is reported. The
UDF then arrives as an UNDEFINED instruction whose word in memory is FP, and `repair` makes EC 0x07 of it.

Between the patch and the second report nothing else of the guest can run: virtual interrupts are held back, and a
stop puts the word back. With FPEN = 0b11 the hook is gone, and FP costs nothing.
"""

from __future__ import annotations

import ctypes as C  # noqa: N812
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from armvcpu.arch import instructions
from armvcpu.arch.controls import CPACR_EL1 as CPACR_VIEW
from armvcpu.arch.controls import HCR_EL2 as HCR_VIEW
from armvcpu.arch.esr import ESR, ExceptionClass, FpIss
from armvcpu.arch.pstate import el
from armvcpu.arch.registers import op
from armvcpu.engine.library import EDGE_CALLBACK
from armvcpu.engine.state import FRAME_PC

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.engine.core import EngineCore
    from armvcpu.engine.library import Library
    from armvcpu.engine.state import CpuState

CPACR_EL1, HCR_EL2 = op(3, 0, 1, 0, 2), op(3, 4, 1, 1, 0)
FP_TRAP = ESR.of(EC=ExceptionClass.FP, IL=1, ISS=FpIss.of(CV=1, COND=0b1110))
"""The syndrome of every such trap from AArch64 state (DDI 0487 D17.2.37, "Exception from an access to SVE ...")."""

_VIRTUAL_INTERRUPTS = HCR_VIEW.VI.mask | HCR_VIEW.VF.mask
_OFF_AT = {0b00: (True, True), 0b01: (True, False), 0b10: (True, True), 0b11: (False, False)}
"""FPEN to whether FP is trapped at (EL0, EL1): D17.2, CPACR_EL1."""


@dataclass(frozen=True, slots=True)
class _Patch:
    """A word of the guest's code that is UDF for the moment."""

    physical: int
    word: int
    block: int
    held: int  # HCR_EL2.VI and VF as they were


class _Block(C.Structure):
    """`uc_tb`: what a translated block covers."""

    _fields_ = (("pc", C.c_uint64), ("instructions", C.c_uint16), ("size", C.c_uint16))


class FpTrap:
    """FP traps of one engine, at EL0 and EL1. The guest's accesses of CPACR_EL1 (CPTR_EL2.TCPAC) come here."""

    def __init__(self, engine: EngineCore, lib: Library, handle: int, fail: Callable[[BaseException], None]) -> None:
        self._engine, self._lib, self._handle, self._fail = engine, lib, handle, fail
        self.active = False
        """Is FP off at EL0 or EL1?"""
        self._off: tuple[bool, bool] = _OFF_AT[3]
        self._patch: _Patch | None = None
        self._hook = 0
        self._callback = EDGE_CALLBACK(self._on_block)
        self._pc, self._pc_id = C.c_uint64(), C.c_int(self._lib.reg.UC_ARM64_REG_PC)
        self._pc_pointer = C.c_void_p(C.addressof(self._pc))

    # --- CPACR_EL1 --------------------------------------------------------------------------------------------

    def read_cpacr(self) -> int:
        """CPACR_EL1 as the guest sees it: FPEN; the rest is RES0, since SVE and trace are not implemented."""
        return self._engine.registers.read_sysreg(CPACR_EL1) & CPACR_VIEW.FPEN.mask

    def write_cpacr(self, value: int) -> None:
        """Write CPACR_EL1 of the loaded state for the guest; it holds from the next instruction on."""
        fpen = CPACR_VIEW(value).FPEN
        self._engine.registers.write_sysreg(CPACR_EL1, CPACR_VIEW.of(FPEN=fpen, ZEN=fpen))
        self._follow(fpen)

    def reloaded(self) -> None:
        """Another state has been loaded: its CPACR_EL1 counts now."""
        self._follow(CPACR_VIEW(self._engine.registers.read_sysreg(CPACR_EL1)).FPEN)

    def pause(self) -> None:
        """Trap nothing, whatever CPACR_EL1 says, until `reloaded`: for code of the engine's own."""
        self._follow(0b11)

    def _follow(self, fpen: int) -> None:
        self._off = _OFF_AT[fpen]
        self.active = fpen != 0b11
        if self.active and not self._hook:
            self._hook = self._lib.add_hook(self._handle, self._lib.const.UC_HOOK_EDGE_GENERATED, self._callback)

    # --- what the engine asks ---------------------------------------------------------------------------------

    def is_trap(self, state: CpuState) -> bool:
        """Was the UNDEFINED instruction at `state.pc` one that FPEN traps at its Exception level?"""
        word = self._engine.fetch_word(state.frame[FRAME_PC])
        return word is not None and instructions.is_fp_simd(word) and self._off[el(state.pstate) & 1]

    @property
    def pending(self) -> bool:
        """Did a run end with a word of the guest's code patched? Then `drain` comes before anything else."""
        return self._patch is not None

    @property
    def hooked(self) -> bool:
        """Are new blocks being looked at?"""
        return bool(self._hook)

    def drain(self) -> None:
        """Outside a run: put a patched word back, and drop the hook where FP is on. In a run hooks only pile up."""
        self._restore()
        if self._hook and not self.active:
            self._lib.check(self._lib.quick.uc_hook_del(self._handle, self._hook), "uc_hook_del")
            self._hook = 0

    # --- translated blocks ------------------------------------------------------------------------------------

    def _on_block(self, _uc: int, block: int, _previous: int, _data: int) -> None:
        try:
            patched = self._restore()
            if self.active:
                described = _Block.from_address(block)
                self._examine(described.pc, described.size, patched)
        except BaseException as failure:  # it must not pass through C
            self._fail(failure)

    def _examine(self, pc: int, size: int, patched: _Patch | None) -> None:
        """A block has been translated and is about to run; `patched` was in memory meanwhile."""
        if patched is not None and patched.block == pc:
            return
        if not self._off[el(self._engine.registers.read(self._lib.reg.UC_ARM64_REG_PSTATE)) & 1]:
            return
        code = self._engine.read_virtual(pc, size & ~3)
        if code is None:
            return
        for index, word in enumerate(struct.unpack(f"<{len(code) // 4}I", code)):
            if instructions.is_fp_simd(word):
                self._translate_again(pc, pc + 4 * index, word)
                return

    def _translate_again(self, block: int, address: int, word: int) -> None:
        """Put UDF at `address`, forget the block and start over at its first instruction: none has run yet."""
        physical = self._engine.translate(address)
        if physical is None:
            return
        registers = self._engine.registers
        hcr = registers.read_sysreg(HCR_EL2)
        self._patch = _Patch(physical, word, block, hcr & _VIRTUAL_INTERRUPTS)
        if self._patch.held:
            registers.write_sysreg(HCR_EL2, hcr & ~_VIRTUAL_INTERRUPTS)
        self._write_word(physical, instructions.UDF)
        # The first word only: a block that merely overlaps this one keeps its translation, or the two would take
        # turns in throwing each other out.
        remove = self._lib.const.UC_CTL_TB_REMOVE_CACHE
        self._lib.control(self._handle, remove, C.c_uint64(block), C.c_uint64(block + 4))
        # Writing PC makes the engine look for its next block again, before the one just reported has run.
        self._pc.value = block
        error = self._lib.quick.uc_reg_write_batch(
            self._handle, C.addressof(self._pc_id), C.addressof(self._pc_pointer), 1
        )
        self._lib.check(error, "uc_reg_write_batch PC")

    def _restore(self) -> _Patch | None:
        """Put the patched word back, if there is one; returns what was undone."""
        patch, self._patch = self._patch, None
        if patch is not None:
            self._write_word(patch.physical, patch.word)
            if patch.held:
                registers = self._engine.registers
                registers.write_sysreg(HCR_EL2, registers.read_sysreg(HCR_EL2) | patch.held)
        return patch

    def _write_word(self, physical: int, word: int) -> None:
        data = word.to_bytes(4, "little")
        self._lib.check(self._lib.quick.uc_mem_write(self._handle, physical, data, 4), f"patching {physical:#x}")
