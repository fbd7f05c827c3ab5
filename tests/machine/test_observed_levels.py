"""What an observer is told of guests that have EL2 or EL3: each access with its own instruction and level."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import pytest

from armvcpu import Machine, MemoryConsole
from armvcpu.vcpu.observer import Observer

if TYPE_CHECKING:
    from armvcpu.engine.state import CpuState

LOAD_OR_STORE, SYSTEM_REGISTER = (0x0A00_0000, 0x0800_0000), (0xFFD0_0000, 0xD510_0000)
"""(mask, value) of their encodings (DDI 0487 C4.1)."""
GICD, GICV = 0x0800_0000, 0x0804_0000


class Places(Observer):
    """Which instruction accesses, and at which level."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self.accesses: set[tuple[int, int, int | None]] = set()
        self.interrupts: list[tuple[str, int | None]] = []

    def mmio(self, vcpu_id: int, state: CpuState, is_read: bool, address: int, width: int, value: int) -> None:
        self.accesses.add((address & ~0xFFFF, state.el, self._word(state)))

    def irq(self, vcpu_id: int, state: CpuState, what: str, intid: int) -> None:
        self.interrupts.append((what, self._word(state)))

    def _word(self, state: CpuState) -> int | None:
        return self._machine.engine.memory.fetch_word(state.pc)


def is_one(word: int | None, kind: tuple[int, int]) -> bool:
    return word is not None and word & kind[0] == kind[1]


@pytest.mark.parametrize("gic", [2, 3])
def test_accesses_of_a_hypervisor_and_its_guest(gic: Literal[2, 3]) -> None:
    """The state is that of the load or store, at EL2 or at the guest's EL1; so is that of an acknowledge."""
    with Machine("guests/bin/el2.elf", console=MemoryConsole(), el=2, gic=gic, exact_mmio=True) as machine:
        places = Places(machine)
        machine.observe(places)
        assert machine.run(timeout=60).ok
    assert all(is_one(word, LOAD_OR_STORE) for _, _, word in places.accesses)
    levels = {base: {el for at, el, _ in places.accesses if at == base} for base in (GICD, GICV)}
    assert levels == {GICD: {2}, GICV: {1} if gic == 2 else set()}
    kind = LOAD_OR_STORE if gic == 2 else SYSTEM_REGISTER
    assert {what for what, _ in places.interrupts} == {"acknowledge", "end"}
    assert all(is_one(word, kind) for _, word in places.interrupts)
