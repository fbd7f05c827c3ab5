"""A guest can't tell its hypervisor's virtual CPU interface from a machine's own: both follow IHI 0069 4.8."""

from __future__ import annotations

import random

import pytest
from gic_guest import V3
from icc_access import IccAccess

from armvcpu.vcpu.icv import VirtualCpuInterface

PRIORITIES = {1: 0x18, 5: 0x78, 13: 0x60, 33: 0x90, 34: 0xA8, 44: 0xC0, 57: 0x48, 62: 0x08}
"""All different: which of equal ones goes first is left open."""
SHOWN = ("HPPIR0", "HPPIR1", "RPR", "AP0R0", "AP1R0", "PMR", "BPR0", "BPR1", "IGRPEN0", "IGRPEN1", "SRE")
RSS, SPURIOUS = 1 << 18, 1023


class Twins:
    """One interface of each kind; a step does the same to both."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.lines: list[bool] = []
        self.virtual = VirtualCpuInterface(self.lines.append)
        self.machine = V3(ready=False)
        self.machine.gicd.write(0, 4, 3)
        for intid, priority in PRIORITIES.items():
            self.machine.configure(intid, priority=priority, edge=True if intid >= 32 else None)
        self.pair = (IccAccess(self.virtual.registers()), self.machine.registers[0])
        self.active: list[int] = []
        """The INTIDs taken, the last one last, that have not been ended by the rules."""
        self.taken: set[int] = set()

    def set(self, name: str, value: int) -> None:
        for registers in self.pair:
            registers.set(name, value)

    def step(self) -> None:
        choice, value = self.rng.randrange(10), self.rng.getrandbits(8)
        if choice < 3:
            intid = self.rng.choice(list(PRIORITIES))
            self.virtual.inject(intid, PRIORITIES[intid])
            self.machine.gic.pend(intid)
        elif choice < 5:
            virtual, real = (registers.get("IAR1") for registers in self.pair)
            assert virtual == real
            if real != SPURIOUS:
                self.active.append(real or 0)
                self.taken.add(real or 0)
        elif choice < 7:
            name = self.rng.choice(("EOIR1", "EOIR1", "EOIR1", "DIR", "EOIR0"))
            intid = self.rng.choice([*self.active[-1:] * 3, *PRIORITIES, 1023])
            self.set(name, intid)
            if self.active[-1:] == [intid] and name != "EOIR0":
                self.active.pop()
        elif choice < 8:
            self.set(self.rng.choice(("BPR0", "BPR1", "CTLR", "SRE")), value)
        elif choice < 9:
            self.set("PMR", value | 0x80)
        else:
            self.set("IGRPEN1", int(value > 0x20))

    def check(self) -> None:
        for name in SHOWN:
            assert self.pair[0].get(name) == self.pair[1].get(name), name
        assert (self.pair[0].get("CTLR") or 0) | RSS == self.pair[1].get("CTLR")
        assert self.virtual.pending == self.machine.irq[0] == (self.lines[-1:] == [True])


@pytest.mark.parametrize("seed", range(6))
def test_both_kinds_of_interface_do_the_same(seed: int) -> None:
    """The same interrupts, acknowledged and ended in any order, under any mask and binary point."""
    twins = Twins(seed)
    for _ in range(1500):
        twins.step()
        twins.check()
    assert twins.taken == PRIORITIES.keys()
