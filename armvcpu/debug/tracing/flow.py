"""Where execution goes: changes of the Exception level, taken branches, and what devices are asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from armvcpu.engine.api import CALLS, CONDITIONAL, FIQ_TAKEN, IRQ_TAKEN, JUMPS, RETURNED, RETURNS

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.debug.tracing.event import Event
    from armvcpu.debug.tracing.guest import TracedGuest
    from armvcpu.engine.state import CpuState
    from armvcpu.machine.parts import Parts

    Emit = Callable[[Event], None]

ALL_BRANCHES = CALLS | RETURNS | JUMPS | CONDITIONAL
_LEVEL_CHANGES = {IRQ_TAKEN: "irq", FIQ_TAKEN: "fiq", RETURNED: "eret"}
_MASK = (1 << 64) - 1


class Levels:
    """Interrupts that the guest takes, and returns from exceptions; PC is where the guest goes on."""

    def __init__(self, guest: TracedGuest, emit: Emit, parts: Parts) -> None:
        self._guest, self._emit, self._parts = guest, emit, parts

    def heard(self, what: int, before: int) -> None:
        """One line each."""
        cpu = self._parts.turns.cpu
        state = cpu.vcpu.state
        keys: dict[str, str | int] = {"from": f"EL{before}", "to": f"EL{state.el}"}
        self._emit(self._guest.event(cpu.index, state.el, state.pc, "level", _LEVEL_CHANGES[what], keys))


class Requests:
    """Chains of buffers that virtio devices are given, and give back."""

    def __init__(self, guest: TracedGuest, emit: Emit, parts: Parts) -> None:
        self._guest, self._emit, self._parts = guest, emit, parts

    def heard(self, device: str, queue: int, head: int, written: int | None) -> None:
        """One line each."""
        self._parts.engine.look()
        cpu = self._parts.turns.cpu
        keys: dict[str, str | int] = {"device": device, "queue": queue, "head": head}
        if written is not None:
            keys["written"] = written
        what, state = "available" if written is None else "used", cpu.vcpu.state
        self._emit(self._guest.event(cpu.index, state.el, state.pc, "request", what, keys))


class Branches:
    """Those that are taken; PC is the branch."""

    def __init__(self, guest: TracedGuest, emit: Emit, parts: Parts) -> None:
        self._guest, self._emit, self._parts = guest, emit, parts

    def heard(self, pc: int, word: int) -> None:
        """One line each."""
        cpu = self._parts.turns.cpu
        state = cpu.vcpu.state
        target = target_of(pc, word, state)
        if target is None:
            return
        keys: dict[str, str | int] = {"target": f"{target:#x}"}
        if symbol := self._guest.places.name(target):
            keys["symbol"] = symbol
        self._emit(self._guest.event(cpu.index, state.el, pc, "branch", kind_of(word), keys))


def kind_of(word: int) -> str:
    """Of a branch: `call`, `return`, `jump` or `conditional` (DDI 0487 C4.1.65)."""
    if word & 0xFC00_0000 == 0x9400_0000 or word & 0xFEFF_F000 == 0xD63F_0000:
        return "call"
    if word & 0xFFFF_F000 == 0xD65F_0000:
        return "return"
    return "jump" if word & 0xFC00_0000 == 0x1400_0000 or word & 0xFEFF_F000 == 0xD61F_0000 else "conditional"


def target_of(pc: int, word: int, state: CpuState) -> int | None:
    """Where a branch at `pc` leads with the registers of `state`; None where it is not taken."""
    if word & 0x7C00_0000 == 0x1400_0000:  # B, BL
        return pc + _signed(word, 0, 26) & _MASK
    if word & 0xFE00_0000 == 0xD600_0000:  # BR, BLR, RET, and those with pointer authentication
        return state.gpr(word >> 5 & 31)
    if word & 0xFF00_0000 == 0x5400_0000:  # B.cond
        return pc + _signed(word, 5, 19) & _MASK if holds(word & 15, state.pstate >> 28) else None
    value = state.gpr(word & 31)
    if word & 0x7E00_0000 == 0x3400_0000:  # CBZ, CBNZ
        value = value if word >> 31 else value & 0xFFFF_FFFF
        return pc + _signed(word, 5, 19) & _MASK if (value != 0) == bool(word >> 24 & 1) else None
    bit = value >> ((word >> 26 & 0x20) | (word >> 19 & 31)) & 1  # TBZ, TBNZ
    return pc + _signed(word, 5, 14) & _MASK if bit == word >> 24 & 1 else None


def _signed(word: int, low: int, size: int) -> int:
    """A signed immediate field, times four."""
    field = word >> low & (1 << size) - 1
    return 4 * (field - (field >> size - 1 << size))


def holds(condition: int, nzcv: int) -> bool:
    """ConditionHolds (DDI 0487 C1.2.4) of a condition code and the flags, N being bit 3."""
    n, z, c, v = nzcv >> 3 & 1, nzcv >> 2 & 1, nzcv >> 1 & 1, nzcv & 1
    found = (z, c, n, v, c and not z, n == v, n == v and not z, 1)[condition >> 1]
    return bool(found) != (bool(condition & 1) and condition != 15)
