"""The GICv3 against a second one that is slow and plain: an object per interrupt, and everything searched each time.

Both get the same random guest. IHI 0069 4.1 and 4.8.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import pytest
from gic_guest import (
    CTLR,
    ICACTIVER,
    ICENABLER,
    ICPENDR,
    IROUTER,
    ISACTIVER,
    ISENABLER,
    ISPENDR,
    PRIORITY,
    SGI_BASE,
    V2,
    V3,
)

if TYPE_CHECKING:
    from armvcpu.devices.device import Device

CPUS, SPIS = 2, 32
SPURIOUS = 1023


@dataclass
class Interrupt:
    intid: int
    edge: bool
    line: bool = False
    latched: bool = False
    active: bool = False
    enabled: bool = True
    group: int = 1
    priority: int = PRIORITY
    target: int = 0

    @property
    def pending(self) -> bool:
        return self.latched or (self.line and not self.edge)

    def drive(self, level: bool) -> None:
        self.latched |= self.edge and level and not self.line
        self.line = level


@dataclass
class Cpu:
    number: int
    private: list[Interrupt]
    pmr: int = 0xF8
    bpr: list[int] = field(default_factory=lambda: [2, 3])
    cbpr: int = 0
    eoi_mode: int = 0
    groups: list[int] = field(default_factory=lambda: [1, 1])
    running: list[tuple[int, int]] = field(default_factory=list)
    """(group priority, group) of every active priority level."""

    def group_priority(self, priority: int, group: int) -> int:
        point = self.bpr[0] + 1 if group == 0 or self.cbpr else self.bpr[1]
        return priority >> point << point


class Model:
    def __init__(self) -> None:
        self.spis = [Interrupt(32 + n, edge=False) for n in range(SPIS)]
        self.cpus = [Cpu(n, [Interrupt(i, edge=i < 16) for i in range(32)]) for n in range(CPUS)]
        self.groups = [1, 1]

    def find(self, cpu: int, intid: int) -> Interrupt:
        return self.cpus[cpu].private[intid] if intid < 32 else self.spis[intid - 32]

    def highest(self, cpu: Cpu) -> Interrupt | None:
        mine = cpu.private + [spi for spi in self.spis if spi.target == cpu.number]
        fit = [
            i for i in mine if i.pending and i.enabled and not i.active and cpu.groups[i.group] & self.groups[i.group]
        ]
        return min(fit, key=lambda i: (i.priority, i.intid), default=None)

    def signalled(self, cpu: Cpu) -> Interrupt | None:
        best = self.highest(cpu)
        if best is None or best.priority >= cpu.pmr:
            return None
        own = cpu.group_priority(best.priority, best.group)
        above = all(own < cpu.group_priority(running, best.group) for running, _ in cpu.running)
        return best if above else None

    def lines(self) -> list[tuple[bool, bool]]:
        signalled = [self.signalled(cpu) for cpu in self.cpus]
        return [(s is not None and s.group == 1, s is not None and s.group == 0) for s in signalled]

    def acknowledge(self, number: int, group: int) -> int:
        cpu = self.cpus[number]
        best = self.signalled(cpu)
        if best is None or best.group != group:
            return SPURIOUS
        best.latched, best.active = False, True
        cpu.running.append((cpu.group_priority(best.priority, group), group))
        return best.intid

    def end(self, number: int, group: int, intid: int) -> None:
        cpu = self.cpus[number]
        if intid >= 32 + SPIS or not cpu.running or min(cpu.running)[1] != group:
            return
        cpu.running.remove(min(cpu.running))
        if not cpu.eoi_mode:
            self.find(number, intid).active = False


class Pair:
    """The GIC and the model; each step does one thing to both."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.guest = V3(tuple(range(CPUS)), spis=SPIS)
        self.model = Model()

    def step(self) -> None:
        steps = (self.drive, self.drive, self.bits, self.priority, self.group, self.trigger, self.route, self.control)
        weights = (6, 6, 4, 3, 1, 1, 2, 2)
        if self.rng.random() < 0.5:
            self.acknowledge_or_end()
        else:
            self.rng.choices(steps, weights)[0]()

    def pick(self) -> tuple[int, int, Interrupt]:
        cpu, intid = self.rng.randrange(CPUS), self.rng.randrange(32 + SPIS)
        return cpu, intid, self.model.find(cpu, intid)

    def write(self, cpu: int, intid: int, offset: int, width: int, value: int) -> None:
        """To GICR or GICD; `offset` is that of the register of INTID 0."""
        device, base = (self.guest.gicd, 0) if intid >= 32 else (self.guest.gic.redistributor(cpu), SGI_BASE)
        device.write(base + offset, width, value)

    def drive(self) -> None:
        cpu, intid, interrupt = self.pick()
        level = self.rng.random() < 0.6
        if intid >= 32:
            self.guest.gic.set_spi(intid - 32, level)
        elif intid >= 16:
            self.guest.gic.set_ppi(cpu, intid, level)
        else:
            interrupt.latched = True
            self.guest.set("SGI1R", intid << 24 | 1 << cpu, cpu=self.rng.randrange(CPUS))
            return
        interrupt.drive(level)

    def bits(self) -> None:
        cpu, intid, interrupt = self.pick()
        register, name, value = self.rng.choice(
            [
                *((ISENABLER, "enabled", True), (ISENABLER, "enabled", True), (ICENABLER, "enabled", False)),
                *((ISPENDR, "latched", True), (ICPENDR, "latched", False)),
                *((ISACTIVER, "active", True), (ICACTIVER, "active", False), (ICACTIVER, "active", False)),
            ]
        )
        setattr(interrupt, name, value)
        self.write(cpu, intid, register + intid // 8, 1, 1 << intid % 8)

    def priority(self) -> None:
        cpu, intid, interrupt = self.pick()
        value = self.rng.getrandbits(8)
        interrupt.priority = value & 0xF8
        self.write(cpu, intid, 0x400 + intid, 1, value)

    def group(self) -> None:
        cpu, intid, interrupt = self.pick()
        interrupt.group ^= 1
        byte = intid // 8 * 8
        value = sum(self.model.find(cpu, byte + n).group << n for n in range(8))
        self.write(cpu, intid, 0x80 + intid // 8, 1, value)

    def trigger(self) -> None:
        cpu, intid, interrupt = self.pick()
        if intid >= 16:
            interrupt.edge = not interrupt.edge
            first = intid // 4 * 4
            value = sum(self.model.find(cpu, first + n).edge << 2 * n + 1 for n in range(4))
            self.write(cpu, intid, 0xC00 + intid // 4, 1, value)

    def route(self) -> None:
        spi, target = self.rng.randrange(SPIS), self.rng.randrange(CPUS + 1)
        self.model.spis[spi].target = target
        self.guest.gicd.write(IROUTER + 8 * (32 + spi), 8, target)

    def control(self) -> None:
        cpu = self.model.cpus[self.rng.randrange(CPUS)]
        set_register, value = self.guest.set, self.rng.getrandbits(8)
        match self.rng.randrange(6):
            case 0:
                cpu.pmr = (value | 0x80) & 0xF8
                set_register("PMR", value | 0x80, cpu.number)
            case 1:
                cpu.bpr[0] = max(value & 7, 2)
                set_register("BPR0", value, cpu.number)
            case 2 if not cpu.cbpr:
                cpu.bpr[1] = max(value & 7, 3)
                set_register("BPR1", value, cpu.number)
            case 3:
                cpu.cbpr, cpu.eoi_mode = value & 1, value >> 1 & 1
                set_register("CTLR", value, cpu.number)
            case 4:
                group, enabled = value & 1, int(value > 0x40)
                cpu.groups[group] = enabled
                set_register(f"IGRPEN{group}", enabled, cpu.number)
            case 5:
                self.model.groups = [int(value > 0x20), int(value & 0x1F > 2)]
                self.guest.gicd.write(CTLR, 4, self.model.groups[0] | self.model.groups[1] << 1)

    def acknowledge_or_end(self) -> None:
        number, group = self.rng.randrange(CPUS), int(self.rng.random() < 0.7)
        cpu = self.model.cpus[number]
        if self.rng.random() < 0.45:
            assert self.guest.get(f"IAR{group}", number) == self.model.acknowledge(number, group)
            return
        active = [i.intid for i in (*cpu.private, *self.model.spis) if i.active]
        intid = self.rng.choice([*active, 1023, 40])
        if self.rng.random() < 0.2:
            if cpu.eoi_mode:
                self.model.find(number, min(intid, 63)).active &= intid == 1023
            self.guest.set("DIR", intid, number)
        else:
            self.model.end(number, group, intid)
            self.guest.set(f"EOIR{group}", intid, number)

    def check(self) -> None:
        """Everything a guest can see but does not change by looking."""
        guest, model = self.guest, self.model
        assert [(guest.irq[n], guest.fiq[n]) for n in range(CPUS)] == model.lines()
        for n, cpu in enumerate(model.cpus):
            assert guest.get("RPR", n) == min(cpu.running, default=(0xFF, 0))[0]
            best = model.highest(cpu)
            for group in (0, 1):
                assert guest.get(f"HPPIR{group}", n) == (best.intid if best and best.group == group else SPURIOUS)
            shown = guest.gic.redistributor(n).read(SGI_BASE + ISPENDR, 4)
            assert shown == sum(i.pending << i.intid for i in cpu.private)
        assert guest.gicd.read(ISPENDR + 4, 4) == sum(i.pending << i.intid - 32 for i in model.spis)
        assert guest.gicd.read(ISACTIVER + 4, 4) == sum(i.active << i.intid - 32 for i in model.spis)


@pytest.mark.parametrize("seed", range(8))
def test_a_random_guest_sees_what_the_model_shows(seed: int) -> None:
    """Lines in, registers, acknowledging and ending, in any order on two CPUs."""
    pair = Pair(seed)
    for _ in range(1500):
        pair.step()
        pair.check()


@pytest.mark.parametrize("seed", range(3))
def test_a_snapshot_in_the_middle_changes_nothing(seed: int) -> None:
    """A new GIC, loaded from the state of a used one, goes on as the model does."""
    pair = Pair(seed)
    for _ in range(500):
        pair.step()
    used, pair.guest = pair.guest, V3(tuple(range(CPUS)), ready=False, spis=SPIS)
    pair.guest.gic.load_state(used.gic.state())
    for _ in range(500):
        pair.check()
        pair.step()


@pytest.mark.parametrize(("version", "el"), [(2, 1), (2, 2), (2, 3), (3, 1)])
def test_no_access_raises(version: int, el: Literal[1, 2, 3]) -> None:
    """Any offset, width and value at every device, with lines and acknowledging in between."""
    rng = random.Random(version)
    guest = V2(4, el=el) if version == 2 else V3(tuple(range(4)))
    gic = guest.gic
    parts: tuple[Device, ...] = gic.devices
    for _ in range(40_000):
        device, width = rng.choice(parts), rng.choice((1, 2, 4, 8))
        frame = rng.choice((0, max(device.size - 0x1_0000, 0)))
        offset = rng.choice((rng.randrange(device.size), frame + rng.randrange(0x1004)))
        if isinstance(guest, V2):
            guest.on(rng.randrange(4)).secure = rng.random() < 0.5
        if rng.random() < 0.1:
            gic.set_spi(rng.randrange(64), rng.random() < 0.5)
        elif rng.random() < 0.5:
            device.write(offset, width, rng.getrandbits(8 * width))
        else:
            assert 0 <= device.read(offset, width) < 1 << 8 * width


def test_no_system_register_access_raises() -> None:
    """Any value in any ICC_* register; what is read has 64 bits."""
    rng, guest = random.Random(4), V3((0, 1))
    for _ in range(20_000):
        read, write = rng.choice(list(guest.registers[rng.randrange(2)].rows.values()))
        guest.gic.set_spi(rng.randrange(64), rng.random() < 0.5)
        if write is not None:
            write(rng.getrandbits(rng.choice((4, 8, 64))))
        assert read is None or 0 <= read() < 1 << 64
