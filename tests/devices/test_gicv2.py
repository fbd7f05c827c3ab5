"""GICv2: banked registers, targets, SGIs, the memory-mapped CPU interface. IHI 0048."""

from __future__ import annotations

import pytest
from gic_guest import (
    ABPR,
    AEOIR,
    AHPPIR,
    AIAR,
    BPR,
    CTLR,
    DIR,
    EOIR,
    HPPIR,
    IAR,
    ICENABLER,
    ICFGR,
    ICPENDR,
    IPRIORITYR,
    ISACTIVER,
    ISENABLER,
    ISPENDR,
    ITARGETSR,
    PMR,
    PRIORITY,
    RPR,
    V2,
)

from armvcpu.devices.device import unconnected
from armvcpu.devices.gic.gicv2 import Gicv2
from armvcpu.errors import UsageError

SPURIOUS, OTHER_GROUP, IDLE = 1023, 1022, 0xFF
SGIR, CPENDSGIR, SPENDSGIR = 0xF00, 0xF10, 0xF20
APR0, NSAPR0, IIDR = 0xD0, 0xE0, 0xFC
ENABLE_BOTH, ACK_CTL, FIQ_EN, CBPR, EOI_MODE = 3, 4, 8, 16, 1 << 9


@pytest.fixture
def guest() -> V2:
    return V2(2)


def interrupted(guest: V2) -> list[int]:
    return [cpu for cpu in range(len(guest.irq.changes)) if guest.irq[cpu]]


@pytest.mark.parametrize(
    ("offset", "value"),
    [
        *((0x000, 0), (0x004, 0x23), (0x008, 0x2_043B), (ISENABLER, 0xFFFF), (ISENABLER + 4, 0), (ICFGR, 0xAAAA_AAAA)),
        *((IPRIORITYR, 0), (ITARGETSR, 0x0101_0101), (ITARGETSR + 32, 0), (SPENDSGIR, 0), (0xFE8, 0x2B), (0xFFC, 0xB1)),
    ],
)
def test_distributor_reset_values(offset: int, value: int) -> None:
    """128 INTIDs, two CPUs, SGIs always enabled, architecture version 2."""
    assert V2(2, ready=False).gicd.read(offset, 4) == value


@pytest.mark.parametrize(
    ("offset", "value"),
    [
        *((CTLR, 0), (PMR, 0), (BPR, 2), (IAR, SPURIOUS), (RPR, IDLE), (HPPIR, SPURIOUS), (ABPR, 3), (AIAR, SPURIOUS)),
        *((AHPPIR, SPURIOUS), (APR0, 0), (NSAPR0, 0), (IIDR, 0x2_043B), (EOIR, 0), (DIR, 0)),
    ],
)
def test_cpu_interface_reset_values(offset: int, value: int) -> None:
    """The whole interface; write-only registers read as zero."""
    assert V2(ready=False).get(offset) == value


@pytest.mark.parametrize(
    ("offset", "written", "read"),
    [
        *((CTLR, 0xFFFF_FFFF, 0x3FF), (PMR, 0xFF, 0xF8), (BPR, 0, 2), (BPR, 0xF, 7), (ABPR, 0, 3), (ABPR, 4, 4)),
        *((APR0, 6, 6), (NSAPR0, 0x10, 0x10)),
    ],
)
def test_what_cpu_interface_registers_keep(guest: V2, offset: int, written: int, read: int) -> None:
    """Of the CPU that writes; the other one's stay."""
    before = guest.on(1).get(offset)
    guest.on(0).set(offset, written)
    assert guest.get(offset) == read
    assert guest.on(1).get(offset) == before


def test_private_registers_are_banked(guest: V2) -> None:
    """Each CPU has its own enables, priorities and pending bits of INTIDs 16 to 31."""
    guest.on(1).gicd.write(ICENABLER, 4, 1 << 27)
    guest.gicd.write(IPRIORITYR + 27, 1, 0x40)
    guest.gicd.write(ISPENDR, 4, 1 << 20)
    assert [guest.on(cpu).gicd.read(ISENABLER, 4) >> 27 & 1 for cpu in (0, 1)] == [1, 0]
    assert [guest.on(cpu).gicd.read(IPRIORITYR + 27, 1) for cpu in (0, 1)] == [PRIORITY, 0x40]
    assert [guest.on(cpu).gicd.read(ISPENDR, 4) for cpu in (0, 1)] == [0, 1 << 20]


def test_sgis_are_always_enabled_and_not_set_pending_by_ispendr(guest: V2) -> None:
    """ICENABLER, ISPENDR and ICPENDR do not touch them (4.3.5 to 4.3.8)."""
    guest.gicd.write(ICENABLER, 4, 0xFFFF)
    guest.gicd.write(ISPENDR, 4, 0xFFFF)
    assert (guest.gicd.read(ISENABLER, 4) & 0xFFFF, guest.gicd.read(ISPENDR, 4)) == (0xFFFF, 0)
    guest.gicd.write(SGIR, 4, 1 << 16 | 5)
    guest.gicd.write(ICPENDR, 4, 0xFFFF)
    assert guest.gicd.read(ISPENDR, 4) == 1 << 5


def test_life_of_an_interrupt(guest: V2) -> None:
    """Group 0 is signalled as IRQ; IAR acknowledges, EOIR ends."""
    guest.gic.set_ppi(0, 27, True)
    assert (interrupted(guest), guest.get(HPPIR), guest.get(RPR)) == ([0], 27, IDLE)
    assert (guest.get(IAR), guest.irq[0], guest.get(RPR), guest.get(IAR)) == (27, False, PRIORITY, SPURIOUS)
    guest.gic.set_ppi(0, 27, False)
    guest.set(EOIR, 27)
    assert (guest.get(RPR), guest.irq.changes[0]) == (IDLE, [True, False])


@pytest.mark.parametrize(("pmr", "seen"), [(PRIORITY, SPURIOUS), (PRIORITY + 8, 27)])
def test_priority_mask(guest: V2, pmr: int, seen: int) -> None:
    """IAR gives only what is above GICC_PMR, HPPIR the rest as well (4.4.2)."""
    guest.set(PMR, pmr)
    guest.gic.set_ppi(0, 27, True)
    assert (guest.get(HPPIR), guest.get(IAR)) == (27, seen)


# --- targets


def test_an_spi_interrupts_all_its_targets_until_one_takes_it(guest: V2) -> None:
    """The 1-N model (1.4.3): who reads IAR second gets nothing."""
    guest.gic.set_spi(5, True)
    assert interrupted(guest) == [0, 1]
    assert (guest.on(1).get(IAR), guest.on(0).get(IAR)) == (37, SPURIOUS)
    assert interrupted(guest) == []
    guest.on(1).set(EOIR, 37)
    assert interrupted(guest) == [0, 1]


def test_targets_by_byte_and_word(guest: V2) -> None:
    """CPUs that do not exist are RAZ/WI, those of private interrupts are read-only."""
    guest.gicd.write(ITARGETSR + 36, 4, 0xFF02_0100)
    guest.gicd.write(ITARGETSR + 36, 1, 0x02)
    guest.gicd.write(ITARGETSR, 4, 0)
    assert guest.gicd.read(ITARGETSR + 36, 4) == 0x0302_0102
    assert guest.on(1).gicd.read(ITARGETSR, 4) == 0x0202_0202
    guest.gic.set_spi(4, True)
    assert interrupted(guest) == [1]


def test_an_spi_without_targets_stays_pending(guest: V2) -> None:
    """Until software names one (4.3.12)."""
    guest.gicd.write(ITARGETSR + 36, 1, 0)
    guest.gic.set_spi(4, True)
    assert (interrupted(guest), guest.gicd.read(ISPENDR + 4, 4)) == ([], 1 << 4)
    guest.gicd.write(ITARGETSR + 36, 1, 1)
    assert interrupted(guest) == [0]


def test_one_cpu_gets_every_spi() -> None:
    """GICD_ITARGETSR is RAZ/WI in a uniprocessor system (4.3.12)."""
    guest = V2(1)
    guest.gicd.write(ITARGETSR + 36, 4, 0xFFFF_FFFF)
    guest.gic.set_spi(4, True)
    assert (guest.gicd.read(ITARGETSR, 4), guest.gicd.read(ITARGETSR + 36, 4), guest.get(IAR)) == (0, 0, 36)


# --- SGIs


@pytest.mark.parametrize(
    ("sgir", "cpus"),
    [(0x0A_0003, [1, 3]), (0x100_0003, [0, 2, 3]), (0x200_0003, [1]), (0x3FF_0003, []), (0x3, []), (0xF0_0003, [])],
)
def test_sgi_targets(sgir: int, cpus: list[int]) -> None:
    """GICD_SGIR: the list, all but the sender, only the sender (4.3.15)."""
    guest = V2(4)
    guest.on(1).gicd.write(SGIR, 4, sgir)
    assert interrupted(guest) == cpus


def test_an_sgi_is_pending_once_per_sender() -> None:
    """IAR gives the sender in bits 12 to 10, the lowest first (4.4.4)."""
    guest = V2(4)
    for sender in (3, 1, 3):
        guest.on(sender).gicd.write(SGIR, 4, 1 << 16 | 9)
    guest.on(0)
    assert (guest.gicd.read(SPENDSGIR + 8, 4), guest.get(HPPIR)) == (0x0A00, 1 << 10 | 9)
    seen = []
    for _ in range(3):
        seen.append(guest.get(IAR))
        guest.set(EOIR, seen[-1])
    assert seen == [1 << 10 | 9, 3 << 10 | 9, SPURIOUS]


def test_the_next_sender_waits_for_the_end_of_the_first(guest: V2) -> None:
    """Active and pending, it is not signalled again."""
    for sender in (0, 1):
        guest.on(sender).gicd.write(SGIR, 4, 1 << 16 | 9)
    guest.on(0)
    assert (guest.get(IAR), guest.get(IAR), guest.irq[0]) == (9, SPURIOUS, False)
    assert (guest.gicd.read(ISPENDR, 4), guest.gicd.read(ISACTIVER, 4)) == (1 << 9, 1 << 9)


def test_pending_sgis_can_be_saved_and_restored(guest: V2) -> None:
    """GICD_SPENDSGIR and GICD_CPENDSGIR, byte by byte, are those of the CPU that accesses (4.3.16, 4.3.17)."""
    guest.gicd.write(SPENDSGIR + 5, 1, 0x3)
    guest.gicd.write(CPENDSGIR + 4, 4, 0x0000_0100)
    assert (guest.gicd.read(CPENDSGIR + 4, 4), guest.get(IAR)) == (0x0200, 1 << 10 | 5)
    assert guest.on(1).gicd.read(SPENDSGIR + 4, 4) == 0


# --- groups


def group_1_pending(control: int) -> V2:
    """A GIC with a Group 1 interrupt, INTID 40, pending, and this GICC_CTLR."""
    guest = V2()
    guest.set(CTLR, control)
    guest.configure(40, group=1)
    guest.gic.set_spi(8, True)
    return guest


def test_group_1_needs_ackctl_to_be_acknowledged_by_iar() -> None:
    """Without it IAR and HPPIR read 1022, and the interrupt stays pending (4.4.4)."""
    guest = group_1_pending(ENABLE_BOTH)
    assert (guest.get(HPPIR), guest.get(IAR), guest.irq[0]) == (OTHER_GROUP, OTHER_GROUP, True)
    guest = group_1_pending(ENABLE_BOTH | ACK_CTL)
    assert (guest.get(HPPIR), guest.get(IAR), guest.irq[0]) == (40, 40, False)


def test_aliased_registers_are_for_group_1() -> None:
    """AIAR, AHPPIR and AEOIR; NSAPR0 holds the active priority."""
    guest = group_1_pending(ENABLE_BOTH)
    assert (guest.get(AHPPIR), guest.get(AIAR), guest.get(APR0), guest.get(NSAPR0)) == (40, 40, 0, 1 << 20)
    guest.gic.set_spi(8, False)
    guest.set(AEOIR, 40)
    assert (guest.get(NSAPR0), guest.get(RPR)) == (0, IDLE)


def test_aliased_registers_do_not_see_group_0(guest: V2) -> None:
    """They read 1023, and AEOIR does not end it."""
    guest.gic.set_spi(8, True)
    assert (guest.get(AHPPIR), guest.get(AIAR), guest.get(IAR)) == (SPURIOUS, SPURIOUS, 40)
    guest.set(AEOIR, 40)
    assert guest.get(RPR) == PRIORITY


@pytest.mark.parametrize(("fiq_en", "group", "fiq"), [(0, 0, False), (0, 1, False), (1, 0, True), (1, 1, False)])
def test_fiq_is_for_group_0_where_enabled(fiq_en: int, group: int, fiq: bool) -> None:
    """GICC_CTLR.FIQEn (4.4.1)."""
    guest = V2()
    guest.set(CTLR, ENABLE_BOTH | fiq_en * FIQ_EN)
    guest.configure(40, group=group)
    guest.gic.set_spi(8, True)
    assert (guest.fiq[0], guest.irq[0]) == (fiq, not fiq)


def test_cbpr_gives_group_1_the_binary_point_of_group_0() -> None:
    """GICC_BPR then decides preemption of both groups (4.4.1)."""
    guest = group_1_pending(ENABLE_BOTH | CBPR)
    assert guest.get(AIAR) == 40
    guest.configure(41, group=1, priority=PRIORITY - 8)
    guest.gic.set_spi(9, True)
    assert guest.irq[0]
    guest.set(BPR, 5)
    assert not guest.irq[0]


def test_eoi_mode_1_deactivates_by_dir() -> None:
    """EOIR drops the priority, GICC_DIR at 0x1000 deactivates (4.4.15)."""
    guest = V2()
    guest.set(CTLR, 1 | EOI_MODE)
    guest.gic.set_spi(8, True)
    guest.set(EOIR, guest.get(IAR))
    assert (guest.get(RPR), guest.get(IAR)) == (IDLE, SPURIOUS)
    guest.set(DIR, 40)
    assert guest.get(IAR) == 40


def test_ending_without_an_active_interrupt_changes_nothing(guest: V2) -> None:
    """No priority is running, so nothing is deactivated either."""
    guest.gicd.write(ISACTIVER + 4, 4, 1)
    guest.set(EOIR, 32)
    assert guest.gicd.read(ISACTIVER + 4, 4) == 1


# --- the whole


@pytest.mark.parametrize("cpus", [0, 9])
def test_how_many_cpus_there_can_be(cpus: int) -> None:
    """One to eight, by GICD_ITARGETSR's width."""
    with pytest.raises(UsageError, match="1 to 8 CPUs, not"):
        Gicv2([unconnected] * cpus, current_cpu=lambda: 0)


def test_a_snapshot_brings_everything_back(guest: V2) -> None:
    """A GIC loaded from a snapshot signals what the other one did."""
    guest.on(1).gicd.write(SGIR, 4, 1 << 16 | 9)
    guest.set(CTLR, ENABLE_BOTH | FIQ_EN)
    guest.gic.set_spi(8, True)
    other = V2(2, ready=False)
    other.gic.load_state(guest.gic.state())
    assert other.gic.state() == guest.gic.state()
    assert (interrupted(other), other.fiq[1], other.get(IAR)) == ([0], True, 1 << 10 | 9)


def test_reset_is_that_of_a_new_gic(guest: V2) -> None:
    """Nothing is left, and the outputs are low."""
    guest.gicd.write(SGIR, 4, 0x3_0009)
    guest.gic.reset()
    assert guest.gic.state() == V2(2, ready=False).gic.state()
    assert interrupted(guest) == []


def test_an_interrupt_can_be_made_pending_without_a_register() -> None:
    """An SPI, and another CPU's PPI; of SGIs software can't say who sent them (4.3.7)."""
    guest = V2(2)
    guest.gic.pend(3)
    assert (guest.irq[0], guest.irq[1]) == (False, False)
    guest.gic.pend(27, cpu=1)
    assert (guest.irq[0], guest.irq[1], guest.on(1).get(IAR)) == (False, True, 27)
    guest.gic.pend(40)
    assert (guest.irq[0], guest.on(0).get(IAR)) == (True, 40)
