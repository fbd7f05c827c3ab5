"""A saved CPU: the buffer that `uc_context_save` fills, seen through calibrated offsets.

Unicorn's context is the engine's whole register file as one copy. Saving it costs 0.5 µs, less than reading four
registers one by one, and it alone carries the syndrome of the last exception. Where each register lies in it is
found by experiment on the installed library (`calibration.py`), never assumed. docs/engine.md, "The context buffer".
"""

from __future__ import annotations

import ctypes as C  # noqa: N812
from dataclasses import dataclass

FRAME_SP, FRAME_PC, FRAME_SIZE = 31, 32, 33
"""Indices in `CpuState.frame`: x0 to x30, then the current SP and PC."""

_KEPT_AS_IS = 0x0FFF_F03F  # all but NZCV, BTYPE and DAIF


@dataclass(frozen=True, slots=True)
class Layout:
    """Byte offsets into the context buffer. NF to BTYPE are how the engine keeps PSTATE while it runs."""

    size: int
    frame: int
    pstate: int
    aarch64: int  # u32: 1 in AArch64 state, 0 in AArch32
    flags: int  # CF, VF, NF, ZF: four u32
    daif: int
    exception: int  # syndrome u32, fsr u32, vaddress u64, target EL u32
    sp_el: int  # four u64, by Exception level
    vbar_el: int  # likewise: VBAR_EL1 is the second
    sctlr_el: int
    hpfar_el2: int


class CpuState:
    """One saved CPU. `frame` is a window of 33 u64 (x0 to x30, SP, PC); changes are written back by the engine.

    Whoever changes `frame` directly calls `touch(index)` (or uses `set_gpr`, `set_pc`), so that the engine knows
    which registers to write when the guest goes on.
    """

    __slots__ = (
        "_cv",
        "_daif",
        "_layout",
        "_nz",
        "_pointers",
        "_pstate",
        "_sctlr",
        "_sp",
        "_vbar",
        "address",
        "dirty_from",
        "dirty_to",
        "exception_at",
        "frame",
        "pointers_at",
        "raw",
        "words",
    )  # fmt: skip

    def __init__(self, layout: Layout, memory: C.Array[C.c_char]) -> None:
        self._layout, self.address = layout, C.addressof(memory)
        self.raw = memoryview(memory).cast("B")
        self.words = self.raw[: layout.size & -8].cast("Q")
        self.frame = self.raw[layout.frame : layout.frame + 8 * FRAME_SIZE].cast("Q")
        self.dirty_from, self.dirty_to = FRAME_SIZE, -1
        self._pointers = (C.c_void_p * FRAME_SIZE)(*(self.address + layout.frame + 8 * i for i in range(FRAME_SIZE)))
        self.pointers_at = C.addressof(self._pointers)
        """Where the frame's addresses lie, one for each register: what a batch write takes."""
        self.exception_at = layout.exception // 8
        self._pstate, self._daif = layout.pstate // 8, layout.daif // 8
        self._cv, self._nz = layout.flags // 8, layout.flags // 8 + 1
        self._sp, self._vbar, self._sctlr = layout.sp_el // 8, layout.vbar_el // 8, layout.sctlr_el // 8

    def load(self, raw: bytes) -> None:
        """Become what `raw` was at another time; the engine must load it before it runs."""
        self.raw[:] = raw
        self.dirty_from, self.dirty_to = FRAME_SIZE, -1

    def touch(self, index: int) -> None:
        """Note that `frame[index]` has been changed."""
        if index < self.dirty_from:
            self.dirty_from = index
        if index > self.dirty_to:
            self.dirty_to = index

    def gpr(self, index: int) -> int:
        """Xn, 64 bits; register 31 is XZR and reads as zero."""
        return self.frame[index] if index != 31 else 0

    def set_gpr(self, index: int, value: int) -> None:
        """Write Xn with the low 64 bits of `value`; a write to register 31, XZR, is ignored."""
        if index != 31:
            self.frame[index] = value & 0xFFFF_FFFF_FFFF_FFFF
            if index < self.dirty_from:
                self.dirty_from = index
            if index > self.dirty_to:
                self.dirty_to = index

    @property
    def pc(self) -> int:
        """The guest's program counter; in a trap, the exception's preferred return address."""
        return self.frame[FRAME_PC]

    def set_pc(self, value: int) -> None:
        """Where the guest goes on."""
        self.frame[FRAME_PC] = value & 0xFFFF_FFFF_FFFF_FFFF
        self.touch(FRAME_PC)

    def step_over(self, rt: int = 31, value: int = 0) -> None:
        """Have the guest go on behind the instruction at PC, with `value` in its register `rt` (31: none)."""
        frame = self.frame
        if rt != 31:
            frame[rt] = value & 0xFFFF_FFFF_FFFF_FFFF
        if rt < self.dirty_from:
            self.dirty_from = rt if rt != 31 else FRAME_PC
        frame[FRAME_PC] = frame[FRAME_PC] + 4 & 0xFFFF_FFFF_FFFF_FFFF
        self.dirty_to = FRAME_PC

    @property
    def pstate(self) -> int:
        """PSTATE in the layout of SPSR_ELx. BTYPE is never shown: no presented CPU has FEAT_BTI."""
        words = self.words  # the engine keeps the flags apart: C and V, N and Z (Z is set where its word is zero)
        cv, nz = words[self._cv], words[self._nz]
        flags = nz & 0x8000_0000 | (nz >> 32 == 0) << 30 | (cv & 1) << 29 | cv >> 63 << 28
        return words[self._pstate] & _KEPT_AS_IS | flags | words[self._daif]

    @property
    def aarch32(self) -> bool:
        """Is the CPU in AArch32 state, PSTATE.nRW? `pstate` and `frame` then mean nothing."""
        return not self.raw[self._layout.aarch64]

    def sp_el(self, el: int) -> int:
        """The banked SP_ELx; not the live one of the level and selection that is running."""
        return self.words[self._sp + el]

    def vbar_el(self, el: int) -> int:
        """VBAR_ELx."""
        return self.words[self._vbar + el]

    def sctlr_el(self, el: int) -> int:
        """SCTLR_ELx."""
        return self.words[self._sctlr + el]

    @property
    def hpfar_el2(self) -> int:
        """HPFAR_EL2: the page of the last stage-2 abort's IPA."""
        return self.words[self._layout.hpfar_el2 // 8]
