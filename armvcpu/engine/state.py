"""A saved CPU: the buffer that `uc_context_save` fills, seen through calibrated offsets.

Unicorn's context is the engine's whole register file as one copy. Saving it costs 0.5 µs, less than reading four
registers one by one, and it alone carries the syndrome of the last exception. Where each register lies in it is
found by experiment on the installed library (`calibrate`), never assumed. docs/engine.md, "The context buffer".
"""

from __future__ import annotations

import ctypes as C  # noqa: N812
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from armvcpu.arch.registers import op
from armvcpu.errors import EngineUnsupported

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.engine.library import Library

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

    def exception(self) -> tuple[int, int, int]:
        """(syndrome, fault address, target EL) of the last exception."""
        at, words = self.exception_at, self.words
        return words[at] & 0xFFFF_FFFF, words[at + 1], words[at + 2] & 0xFFFF_FFFF

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


class _Probe:
    """Writes recognisable values and finds where they turn up in the context buffer."""

    def __init__(self, lib: Library, handle: int) -> None:
        self.lib, self.handle = lib, handle
        self.size = int(lib.quick.uc_context_size(handle))
        pointer = C.c_void_p()
        lib.check(lib.quick.uc_context_alloc(handle, C.byref(pointer)), "uc_context_alloc")
        assert pointer.value is not None
        self.address = pointer.value

    def snapshot(self) -> bytes:
        self.lib.check(self.lib.quick.uc_context_save(self.handle, self.address), "uc_context_save")
        return C.string_at(self.address, self.size)

    def find(self, name: str, value: int, write: Callable[[int], None]) -> int:
        """The one offset at which writing `value` makes it appear."""
        pattern = value.to_bytes(8, "little")
        before = self.snapshot()
        write(value)
        after = self.snapshot()
        hits = [at for at in range(0, self.size - 7, 4) if after[at : at + 8] == pattern != before[at : at + 8]]
        if len(hits) != 1:
            raise EngineUnsupported(f"cannot find {name} in the saved context of this Unicorn release")
        return hits[0]

    def changed(self, name: str, before: bytes, after: bytes) -> int:
        """The first offset, a multiple of 4, at which two snapshots differ."""
        for at in range(0, self.size, 4):
            if before[at : at + 4] != after[at : at + 4]:
                return at
        raise EngineUnsupported(f"cannot find {name} in the saved context of this Unicorn release")

    def release(self) -> None:
        self.lib.quick.uc_context_free(self.address)


@cache
def _layout_cache() -> dict[str, Layout]:
    return {}


def calibrate(
    lib: Library,
    handle: int,
    write_reg: Callable[[int, int], None],
    write_sysreg: Callable[[int, int], None],
    exception_offset: Callable[[bytes], int],
) -> Layout:
    """Find the layout on a fresh engine, once in a process. Leaves register values behind: reset afterwards.

    `exception_offset` gets a snapshot taken right after `svc #0x1234` and finds the syndrome in it.
    """
    known = _layout_cache()
    if "layout" not in known:
        probe = _Probe(lib, handle)
        try:
            known["layout"] = _find_layout(lib, probe, write_reg, write_sysreg, exception_offset)
        finally:
            probe.release()
    return known["layout"]


def _find_layout(
    lib: Library,
    probe: _Probe,
    write_reg: Callable[[int, int], None],
    write_sysreg: Callable[[int, int], None],
    exception_offset: Callable[[bytes], int],
) -> Layout:
    reg = lib.reg
    exception = exception_offset(probe.snapshot())

    def at_reg(name: str, value: int) -> int:
        return probe.find(name, value, lambda v: write_reg(getattr(reg, f"UC_ARM64_REG_{name}"), v))

    def at_sysreg(name: str, key: int, value: int) -> int:
        return probe.find(name, value, lambda v: write_sysreg(key, v))

    frame = at_reg("X0", 0x1111_2222_3333_0000)
    for index, name in ((30, "X30"), (FRAME_SP, "SP"), (FRAME_PC, "PC")):
        if at_reg(name, 0x1111_2222_3333_0000 + 0x10 * index) != frame + 8 * index:
            raise EngineUnsupported("this Unicorn release keeps the general registers in another order")

    def with_pstate(value: int) -> bytes:
        write_reg(reg.UC_ARM64_REG_PSTATE, value)
        return probe.snapshot()

    plain = with_pstate(0x3C5)
    flags = probe.changed("PSTATE.C", plain, with_pstate(0x2000_03C5))
    if probe.changed("PSTATE.V", plain, with_pstate(0x1000_03C5)) != flags + 4:
        raise EngineUnsupported("this Unicorn release keeps the condition flags in another order")
    pstate = probe.changed("PSTATE.IL", plain, with_pstate(0x0010_03C5))
    unmasked = with_pstate(0x5)
    daif = next(
        (at for at in range(flags + 16, probe.size, 8) if plain[at : at + 2] == b"\xc0\x03" != unmasked[at : at + 2]),
        0,
    )
    aarch64 = pstate + 4
    if plain[aarch64 : aarch64 + 4] != b"\1\0\0\0":
        raise EngineUnsupported("this Unicorn release keeps the execution state in another place")
    if not pstate < flags < daif:
        raise EngineUnsupported("this Unicorn release keeps PSTATE in another order")
    write_reg(reg.UC_ARM64_REG_PSTATE, 0x3C5)
    if (pstate | flags | daif | exception) % 8:
        raise EngineUnsupported("this Unicorn release aligns the saved context in another way")
    return Layout(
        size=probe.size,
        frame=frame,
        pstate=pstate,
        aarch64=aarch64,
        flags=flags,
        daif=daif,
        exception=exception,
        sp_el=at_sysreg("SP_EL1", op(3, 4, 4, 1, 0), 0x4444_0001_5555_0010) - 8,
        vbar_el=at_sysreg("VBAR_EL1", op(3, 0, 12, 0, 0), 0x4444_0002_5555_0800) - 8,
        sctlr_el=at_sysreg("SCTLR_EL1", op(3, 0, 1, 0, 0), 0x0000_0000_30D0_0812) - 8,
        hpfar_el2=at_sysreg("HPFAR_EL2", op(3, 4, 6, 0, 4), 0x0000_0004_5555_0010),
    )
