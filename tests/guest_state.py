"""A stopped guest for the tests of this directory: a saved CPU in a buffer of its own, and some memory."""

from __future__ import annotations

from pathlib import Path
from struct import pack

from armvcpu.engine.state import FRAME_PC, FRAME_SP, VECTOR_STRIDE, CpuState, Layout, Views

GUESTS = Path(__file__).parents[1] / "guests" / "bin"

_LAYOUT = Layout(
    size=512 + 32 * VECTOR_STRIDE,
    frame=0,
    pstate=264,
    aarch64=268,
    flags=272,
    daif=288,
    sp_el=328,
    hpfar_el2=424,
    exclusive=432,
    hcr_el2=456,
    scr_el3=464,
    vectors=512,
)


def make_state(*, pc: int = 0, sp: int = 0, pstate: int = 0x3C5, **registers: int) -> CpuState:
    """A saved CPU with these values and zero elsewhere; `registers` are x0=, x30= and so on."""
    state = CpuState(_LAYOUT, Views(_LAYOUT, memoryview(bytearray(_LAYOUT.size)), 0))
    for name, value in registers.items():
        state.frame[int(name[1:])] = value
    state.frame[FRAME_PC], state.frame[FRAME_SP] = pc, sp
    state.raw[_LAYOUT.pstate : _LAYOUT.pstate + 4] = pack("<I", pstate & ~0x3C0)
    state.raw[_LAYOUT.aarch64] = 1
    state.raw[_LAYOUT.flags + 12 : _LAYOUT.flags + 16] = pack("<I", 1)  # ZF is kept as "result is zero"
    state.raw[_LAYOUT.daif : _LAYOUT.daif + 8] = pack("<Q", pstate & 0x3C0)
    return state


class Memory:
    """Pieces of memory at virtual addresses; reads that no one piece covers give None."""

    def __init__(self, pieces: dict[int, bytes] | None = None) -> None:
        self.pieces = dict(pieces or {})

    def read(self, address: int, size: int) -> bytes | None:
        for base, data in self.pieces.items():
            if base <= address and address + size <= base + len(data):
                return data[address - base : address - base + size]
        return None


def frame_records(*records: tuple[int, int, int]) -> dict[int, bytes]:
    """Memory with frame records (address, caller's x29, return address)."""
    return {at: pack("<QQ", x29, x30) for at, x29, x30 in records}
