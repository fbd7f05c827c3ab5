"""The scripted engine's states: `CpuState`s over buffers with a layout of their own, and system registers."""

from __future__ import annotations

import struct

from armvcpu.arch.pstate import DAIF
from armvcpu.arch.registers import SYSREGS, by_name
from armvcpu.engine.state import FRAME_SIZE, VECTOR_STRIDE, CpuState, Layout, Views

LAYOUT = Layout(
    frame=0,
    pstate=8 * FRAME_SIZE,
    aarch64=8 * FRAME_SIZE + 4,
    flags=0x110,
    daif=0x120,
    sp_el=0x128,
    hpfar_el2=0x148,
    exclusive=0x150,
    hcr_el2=0x168,
    scr_el3=0x170,
    vectors=0x178,
    size=0x178 + 32 * VECTOR_STRIDE,
)
"""Any offsets would do that keep PSTATE's parts in the order in which `CpuState` reads them."""

_IN_BUFFER = {
    by_name["HPFAR_EL2"].encoding: LAYOUT.hpfar_el2,
    by_name["HCR_EL2"].encoding: LAYOUT.hcr_el2,
    by_name["SCR_EL3"].encoding: LAYOUT.scr_el3,
    **{by_name[f"SP_EL{n}"].encoding: LAYOUT.sp_el + 8 * n for n in (0, 1, 2)},
}
"""System registers that a state's buffer holds."""
_RESET = {row.encoding: row.reset for row in SYSREGS if row.reset}
_FLAGS = struct.Struct("<IIII")


class FakeState(CpuState):
    """A state with its own system registers, so that any scripted engine can load it."""

    __slots__ = ("sysregs",)

    def __init__(self) -> None:
        memory = bytearray(LAYOUT.size)
        super().__init__(LAYOUT, Views(LAYOUT, memoryview(memory), 0))
        self.sysregs: dict[int, int] = {}


class FakeStates:
    """What the scripted engine does with states."""

    def new(self, el: int = 1) -> CpuState:
        """A state as after reset."""
        state = FakeState()
        self.reset(state, el)
        return state

    def reset(self, state: CpuState, el: int = 1) -> None:
        """Put a state to what it is after reset: EL1h or above, everything masked."""
        state.raw[:] = bytes(LAYOUT.size)
        _sysregs(state).clear()
        for encoding, value in _RESET.items():
            self.write_sysreg(state, encoding, value)
        self.set_pstate(state, DAIF | el << 2 | 1)

    def read_sysreg(self, state: CpuState, encoding: int) -> int:
        """The state's system register; 0 if it was never written."""
        if encoding in _IN_BUFFER:
            offset = _IN_BUFFER[encoding]
            return int.from_bytes(state.raw[offset : offset + 8], "little")
        return _sysregs(state).get(encoding, 0)

    def write_sysreg(self, state: CpuState, encoding: int, value: int) -> None:
        """Write the state's system register."""
        if encoding in _IN_BUFFER:
            offset = _IN_BUFFER[encoding]
            state.raw[offset : offset + 8] = value.to_bytes(8, "little")
        else:
            _sysregs(state)[encoding] = value

    @staticmethod
    def set_pstate(state: CpuState, value: int) -> None:
        """Write PSTATE where `CpuState.pstate` reads it: Z is kept as zero-ness, N and V as sign bits, nRW apart."""
        z = value >> 30 & 1
        _FLAGS.pack_into(state.raw, LAYOUT.flags, value >> 29 & 1, value << 3 & 0x8000_0000, value & 0x8000_0000, z ^ 1)
        struct.pack_into("<II", state.raw, LAYOUT.pstate, value & 0xFFFF_FFFF, ~value >> 4 & 1)
        struct.pack_into("<Q", state.raw, LAYOUT.daif, value & DAIF)

    @staticmethod
    def set_sp_el(state: CpuState, bank: int, value: int) -> None:
        """Write the banked SP_ELx of a state."""
        struct.pack_into("<Q", state.raw, LAYOUT.sp_el + 8 * bank, value)


def _sysregs(state: CpuState) -> dict[int, int]:
    assert isinstance(state, FakeState)
    return state.sysregs
