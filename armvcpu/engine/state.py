"""The registers of one CPU: in place while an engine has it loaded, in memory of its own otherwise.

A state is the part of the engine's register file that a reset clears: every register, and no pointer. Where each one
lies in it is a fact of the installed Unicorn (shim/unicorn.h) that the self-test proves.
"""

from __future__ import annotations

from armvcpu.arch.static import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

FRAME_SP, FRAME_PC, FRAME_SIZE = 31, 32, 33
"""Indices in `CpuState.frame`: x0 to x30, then the current SP and PC."""

VECTOR_STRIDE = 256
"""Bytes from one V register to the next: the engine has room for SVE, which no presented CPU has."""

_KEPT_AS_IS = 0x0FFF_F03F  # all but NZCV, BTYPE and DAIF
_DAIF = 0x3C0


class Layout(NamedTuple):
    """Byte offsets in a state of `size` bytes. PSTATE is kept in parts while the engine runs."""

    size: int
    frame: int
    pstate: int
    aarch64: int  # u32: 1 in AArch64 state, 0 in AArch32
    flags: int  # CF, VF, NF, ZF: four u32
    daif: int
    sp_el: int  # four u64, by Exception level
    hpfar_el2: int
    vectors: int  # V0 to V31, VECTOR_STRIDE bytes each
    exclusive: int  # three u64
    hcr_el2: int
    scr_el3: int


class Views:
    """The same memory as bytes, as 64-bit words, and its general registers."""

    __slots__ = ("address", "frame", "raw", "words")

    def __init__(self, layout: Layout, memory: memoryview, address: int) -> None:
        self.raw, self.words, self.address = memory, memory.cast("Q"), address
        self.frame = memory[layout.frame : layout.frame + 8 * FRAME_SIZE].cast("Q")


class CpuState:
    """One CPU. `frame` is a window of 33 u64: x0 to x30, SP, PC; the guest goes on with what is written there."""

    __slots__ = (
        "_aarch64", "_cv", "_daif", "_exclusive", "_hcr", "_hpfar", "_nz", "_pstate", "_scr", "_sp", "_vectors",
        "frame", "give_up", "own", "raw", "words",
    )  # fmt: skip

    def __init__(self, layout: Layout, own: Views) -> None:
        self.own = own
        """Its memory while no engine has it."""
        self.give_up: Callable[[], None] | None = None
        self.look_at(own)
        self._pstate, self._daif, self._hpfar = layout.pstate // 8, layout.daif // 8, layout.hpfar_el2 // 8
        self._cv, self._nz, self._sp = layout.flags // 8, layout.flags // 8 + 1, layout.sp_el // 8
        self._aarch64 = layout.aarch64
        self._hcr, self._scr = layout.hcr_el2 // 8, layout.scr_el3 // 8
        self._vectors, self._exclusive = layout.vectors // 8, layout.exclusive // 8

    def look_at(self, views: Views, give_up: Callable[[], None] | None = None) -> None:
        """For engines: have the registers in other memory from now on, which has the same values.

        `give_up` is how the engine whose memory that is gives them back.
        """
        self.raw, self.words, self.frame = views.raw, views.words, views.frame
        self.give_up = give_up

    def settle(self) -> None:
        """Have the registers in memory of its own, so that they may be replaced; no engine runs it."""
        if self.give_up is not None:
            self.give_up()

    def gpr(self, index: int) -> int:
        """Xn, 64 bits; register 31 is XZR and reads as zero."""
        return self.frame[index] if index != 31 else 0

    def set_gpr(self, index: int, value: int) -> None:
        """Write Xn with the low 64 bits of `value`; a write to register 31, XZR, is ignored."""
        if index != 31:
            self.frame[index] = value & 0xFFFF_FFFF_FFFF_FFFF

    @property
    def pc(self) -> int:
        """The guest's program counter; in a trap, the exception's preferred return address."""
        return self.frame[FRAME_PC]

    def set_pc(self, value: int) -> None:
        """Where the guest goes on."""
        self.frame[FRAME_PC] = value & 0xFFFF_FFFF_FFFF_FFFF

    def step_over(self, rt: int = 31, value: int = 0) -> None:
        """Have the guest go on behind the instruction at PC, with `value` in its register `rt` (31: none)."""
        frame = self.frame
        if rt != 31:
            frame[rt] = value & 0xFFFF_FFFF_FFFF_FFFF
        frame[FRAME_PC] = frame[FRAME_PC] + 4 & 0xFFFF_FFFF_FFFF_FFFF

    @property
    def pstate(self) -> int:
        """PSTATE in the layout of SPSR_ELx. BTYPE is never shown: no presented CPU has FEAT_BTI."""
        words = self.words  # the engine keeps the flags apart: C and V, N and Z (Z is set where its word is zero)
        cv, nz = words[self._cv], words[self._nz]
        flags = nz & 0x8000_0000 | (nz >> 32 == 0) << 30 | (cv & 1) << 29 | cv >> 63 << 28
        return words[self._pstate] & _KEPT_AS_IS | flags | words[self._daif]

    def set_pstate(self, value: int) -> None:
        """Write PSTATE of AArch64 state; `sp` is then the stack pointer that it selects (DDI 0487 D1.2.2).

        An engine that has the state loaded has to be told (`SystemRegisters.write_pstate`): it derives flags from it.
        """
        self.set_sp_el(self._selected, self.frame[FRAME_SP])
        self._put_u32(self._aarch64, 1)
        self._put_u32(8 * self._pstate, value & _KEPT_AS_IS)
        self.words[self._cv] = value >> 29 & 1 | (value >> 28 & 1) << 63
        self.words[self._nz] = value & 0x8000_0000 | (value >> 30 & 1 ^ 1) << 32
        self.words[self._daif] = value & _DAIF
        self.frame[FRAME_SP] = self.words[self._sp + self._selected]

    def _put_u32(self, offset: int, value: int) -> None:
        self.raw[offset : offset + 4] = value.to_bytes(4, "little")

    @property
    def _selected(self) -> int:
        """Which SP_ELx PSTATE selects."""
        pstate = self.words[self._pstate]
        return pstate >> 2 & 3 if pstate & 1 else 0

    @property
    def aarch32(self) -> bool:
        """Is the CPU in AArch32 state, PSTATE.nRW? `pstate` and `frame` then mean nothing."""
        return not self.raw[self._aarch64]

    def sp_el(self, el: int) -> int:
        """The banked SP_ELx; not the live one of the level and selection that is running."""
        return self.words[self._sp + el]

    def set_sp_el(self, el: int, value: int) -> None:
        """Write the banked SP_ELx, 64 bits."""
        self.words[self._sp + el] = value

    def stack_pointer(self, el: int) -> int:
        """SP_ELx, wherever PSTATE has put it."""
        return self.frame[FRAME_SP] if el == self._selected else self.words[self._sp + el]

    def set_stack_pointer(self, el: int, value: int) -> None:
        """Write SP_ELx, 64 bits, wherever PSTATE has put it."""
        if el == self._selected:
            self.frame[FRAME_SP] = value
        else:
            self.words[self._sp + el] = value

    def vector(self, index: int) -> int:
        """Vn, 128 bits."""
        at = self._vectors + VECTOR_STRIDE // 8 * index
        return self.words[at] | self.words[at + 1] << 64

    def set_vector(self, index: int, value: int) -> None:
        """Write Vn, 128 bits."""
        at = self._vectors + VECTOR_STRIDE // 8 * index
        self.words[at], self.words[at + 1] = value & 0xFFFF_FFFF_FFFF_FFFF, value >> 64

    @property
    def el(self) -> int:
        """The Exception level that executes."""
        return self.words[self._pstate] >> 2 & 3

    @property
    def hcr_el2(self) -> int:
        """HCR_EL2."""
        return self.words[self._hcr]

    @property
    def scr_el3(self) -> int:
        """SCR_EL3."""
        return self.words[self._scr]

    def save_general(self) -> tuple[int, bytes, bytes]:
        """PSTATE, X0 to X30 with SP and PC, and V0 to V31: what a function that is called may change."""
        at = 8 * self._vectors
        return self.pstate, bytes(self.frame), bytes(self.raw[at : at + 32 * VECTOR_STRIDE])

    def load_general(self, saved: tuple[int, bytes, bytes]) -> bool:
        """Return to what `save_general` gave; True where more of PSTATE changes than its flags and masks."""
        pstate, frame, vectors = saved
        differs = bool((self.words[self._pstate] ^ pstate) & _KEPT_AS_IS)
        self.set_pstate(pstate)
        self.frame[:] = memoryview(frame).cast("Q")
        at = 8 * self._vectors
        self.raw[at : at + 32 * VECTOR_STRIDE] = vectors
        return differs

    @property
    def exclusive(self) -> tuple[int, int, int]:
        """The local exclusive monitor (B2.12): the address it watches, all ones for none, and what LDXR read there.

        The engine compares with that: a store of the same value in between goes unnoticed.
        """
        at = self._exclusive
        return self.words[at], self.words[at + 1], self.words[at + 2]

    def set_exclusive(self, address: int, low: int, high: int) -> None:
        """Have the monitor watch an address, with the doublewords that were read there."""
        at = self._exclusive
        self.words[at], self.words[at + 1], self.words[at + 2] = address, low, high

    @property
    def hpfar_el2(self) -> int:
        """HPFAR_EL2: the page of the last stage-2 abort's IPA."""
        return self.words[self._hpfar]
