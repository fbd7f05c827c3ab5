"""The registers of the GICv3 Distributor and Redistributors. IHI 0069 12.9 and 12.11."""

from __future__ import annotations

from typing import Any

import pytest
from gic_guest import (
    ICACTIVER,
    ICENABLER,
    ICFGR,
    ICPENDR,
    IGROUPR,
    IPRIORITYR,
    IROUTER,
    ISACTIVER,
    ISENABLER,
    ISPENDR,
    ITARGETSR,
    SGI_BASE,
    V3,
)

from armvcpu.devices.device import Device, unconnected
from armvcpu.devices.gic.gicv3 import Gicv3
from armvcpu.errors import UsageError

ASLEEP = 6


@pytest.fixture
def guest() -> V3:
    return V3(ready=False)


def banks(guest: V3) -> list[tuple[Device, int]]:
    """Each place with registers of 32 interrupts: a device, and where its first registers are."""
    return [(guest.gicd, 4), (guest.gic.redistributor(0), SGI_BASE)]


@pytest.mark.parametrize(
    ("offset", "width", "value"),
    [
        *((0x0000, 4, 0x50), (0x0004, 4, 0x0548_0002), (0x0008, 4, 0x43B), (0x000C, 4, 0), (0x0010, 4, 0)),
        *((IGROUPR + 4, 4, 0), (ISENABLER + 4, 4, 0), (ISPENDR + 4, 4, 0), (ISACTIVER + 4, 4, 0)),
        *((IPRIORITYR + 32, 4, 0), (ICFGR + 8, 4, 0), (IROUTER + 8 * 32, 8, 0), (0xFFE8, 4, 0x3B), (0xFFFC, 4, 0xB1)),
    ],
)
def test_distributor_reset_values(guest: V3, offset: int, width: int, value: int) -> None:
    """One Security state (DS), affinity routing (ARE), 96 INTIDs of 10 bits, no LPIs, ArchRev 3."""
    assert guest.gicd.read(offset, width) == value


@pytest.mark.parametrize(
    ("offset", "width", "value"),
    [
        *((0x0000, 4, 0), (0x0004, 4, 0x43B), (0x0014, 4, ASLEEP), (0xFFE8, 4, 0x3B)),
        *((SGI_BASE + ISENABLER, 4, 0), (SGI_BASE + ICFGR, 4, 0xAAAA_AAAA), (SGI_BASE + ICFGR + 4, 4, 0)),
    ],
)
def test_redistributor_reset_values(guest: V3, offset: int, width: int, value: int) -> None:
    """The CPU is asleep, SGIs are edge-triggered."""
    assert guest.gic.redistributor(0).read(offset, width) == value


def test_redistributor_says_whose_it_is() -> None:
    """GICR_TYPER: affinity, number, Last; by 8 or 4 bytes."""
    gic = V3((0x00, 0x80_0000_0001 | 0x1_0200)).gic
    assert gic.redistributor(0).read(8, 8) == 0
    assert gic.redistributor(1).read(8, 8) == 0x8001_0201 << 32 | 1 << 8 | 1 << 4
    assert gic.redistributor(1).read(12, 4) == 0x8001_0201


def test_waker_wakes_at_once(guest: V3) -> None:
    """ChildrenAsleep follows ProcessorSleep."""
    guest.gic.redistributor(0).write(0x14, 4, 0)
    assert guest.gic.redistributor(0).read(0x14, 4) == 0
    guest.gic.redistributor(0).write(0x14, 4, 2)
    assert guest.gic.redistributor(0).read(0x14, 4) == ASLEEP


@pytest.mark.parametrize(
    ("set_register", "clear_register"), [(ISENABLER, ICENABLER), (ISPENDR, ICPENDR), (ISACTIVER, ICACTIVER)]
)
def test_set_and_clear_registers(guest: V3, set_register: int, clear_register: int) -> None:
    """Ones set or clear, zeros leave alone, and both registers read the same."""
    for device, at in banks(guest):
        device.write(at + set_register, 4, 0xF0F0)
        device.write(at + set_register, 4, 0x000F)
        device.write(at + clear_register, 4, 0x00F1)
        assert device.read(at + set_register, 4) == device.read(at + clear_register, 4) == 0xF00E


@pytest.mark.parametrize("clear_register", [ICENABLER, ICPENDR, ICACTIVER])
def test_a_byte_clears_its_eight_interrupts(guest: V3, clear_register: int) -> None:
    """A narrow access covers fewer interrupts; it must not clear the others."""
    for device, at in banks(guest):
        device.write(at + clear_register - 0x80, 4, 0xFFFF_FFFF)
        device.write(at + clear_register + 1, 1, 0x0F)
        assert device.read(at + clear_register, 4) == 0xFFFF_F0FF


def test_priority_bytes(guest: V3) -> None:
    """GICD_IPRIORITYR is byte-accessible and has the upper five bits of each byte."""
    for device, at in ((guest.gicd, 32), (guest.gic.redistributor(0), SGI_BASE)):
        device.write(at + IPRIORITYR, 4, 0xFFA0_8007)
        device.write(at + IPRIORITYR + 1, 1, 0x41)
        device.write(at + IPRIORITYR + 2, 2, 0x1817)
        assert device.read(at + IPRIORITYR, 4) == 0x1810_4000
        assert device.read(at + IPRIORITYR + 3, 1) == 0x18


def test_group_bits(guest: V3) -> None:
    """A byte of GICD_IGROUPR replaces eight groups."""
    for device, at in banks(guest):
        device.write(at + IGROUPR, 4, 0xFFFF_FFFF)
        device.write(at + IGROUPR + 2, 1, 0x5A)
        assert device.read(at + IGROUPR, 4) == 0xFF5A_FFFF


def test_configuration_has_only_the_upper_bit(guest: V3) -> None:
    """Int_config[0] is reserved, and SGIs can't be made level-sensitive."""
    guest.gicd.write(ICFGR + 8, 4, 0xFFFF_0005)
    assert guest.gicd.read(ICFGR + 8, 4) == 0xAAAA_0000
    sgis = guest.gic.redistributor(0)
    sgis.write(SGI_BASE + ICFGR, 4, 0)
    sgis.write(SGI_BASE + ICFGR + 4, 4, 0xFFFF_FFFF)
    assert sgis.read(SGI_BASE + ICFGR, 8) == 0xAAAA_AAAA_AAAA_AAAA


@pytest.mark.parametrize("register", [IGROUPR, ISENABLER, ISPENDR, ISACTIVER, IPRIORITYR, ICFGR, ITARGETSR, 0xF00])
def test_private_interrupts_are_not_in_the_distributor(guest: V3, register: int) -> None:
    """With affinity routing their registers are RAZ/WI in GICD, and so are GICD_ITARGETSR and GICD_SGIR."""
    guest.gicd.write(register, 4, 0xFFFF_FFFF)
    assert guest.gicd.read(register, 4) == 0
    assert guest.gic.interfaces[0].private.pending == 0


@pytest.mark.parametrize("offset", [ISENABLER + 12, ISPENDR + 12, IPRIORITYR + 96, ICFGR + 24, IROUTER + 8 * 96])
def test_interrupts_that_do_not_exist_are_raz_wi(guest: V3, offset: int) -> None:
    """This GIC ends at INTID 95."""
    guest.gicd.write(offset, 4, 0xFFFF_FFFF)
    assert guest.gicd.read(offset, 4) == 0


def test_irouter_by_halves(guest: V3) -> None:
    """Only affinity and Interrupt_Routing_Mode are there; two 4-byte writes make one route."""
    at = IROUTER + 8 * 40
    guest.gicd.write(at + 4, 4, 0xFFFF_FF12)
    guest.gicd.write(at, 4, 0xFF34_5678)
    assert guest.gicd.read(at, 8) == 0x12_8034_5678


def test_pending_shows_the_line(guest: V3) -> None:
    """A level that is asserted can't be cleared from GICD_ICPENDR."""
    guest.gic.set_spi(5, True)
    guest.gicd.write(ICPENDR + 4, 4, 1 << 5)
    assert guest.gicd.read(ISPENDR + 4, 4) == 1 << 5
    guest.gic.set_spi(5, False)
    assert guest.gicd.read(ISPENDR + 4, 4) == 0


def test_written_states_reach_the_cpu() -> None:
    """ISPENDR raises the line, ISACTIVER takes it away, ICACTIVER brings it back, ICENABLER ends it."""
    guest = V3()
    for register in (ISPENDR, ISACTIVER, ICACTIVER, ICENABLER):
        guest.gicd.write(register + 4, 4, 1 << 3)
    assert guest.irq.changes[0] == [True, False, True, False]


def test_control_enables_groups_only(guest: V3) -> None:
    """ARE and DS stay set, and no write is ever pending (RWP)."""
    guest.gicd.write(0, 4, 0xFFFF_FFFF)
    assert guest.gicd.read(0, 4) == 0x53
    guest.gicd.write(0, 4, 0)
    assert guest.gicd.read(0, 4) == 0x50


@pytest.mark.parametrize(
    ("mpidrs", "irqs", "spis", "words"),
    [
        ((0, 1), 1, 64, "2 CPUs with 1 IRQ"),
        ((), 0, 64, "0 CPUs"),
        ((0, 1, 1), 3, 64, "same affinity"),
        ((0,), 1, 33, "multiple of 32"),
        ((0,), 1, 1024, "multiple of 32"),
    ],
)
def test_what_can_not_be_built(mpidrs: tuple[int, ...], irqs: int, spis: int, words: str) -> None:
    """Wrong numbers are the caller's error."""
    with pytest.raises(UsageError, match=words):
        Gicv3(mpidrs, [unconnected] * irqs, spis=spis)


def test_lines_that_do_not_exist() -> None:
    """An SPI or PPI that the GIC does not have can't be wired."""
    gic = V3().gic
    with pytest.raises(UsageError, match="no SPI 64; this GIC has SPI 0 to 63"):
        gic.spi_line(64)
    for cpu, intid in ((0, 32), (0, 15), (1, 27)):
        with pytest.raises(UsageError, match="no PPI"):
            gic.ppi_line(cpu, intid)


@pytest.mark.parametrize("wrong", ["40", 40.5, None, True])
def test_what_is_no_number_names_no_interrupt(wrong: Any) -> None:
    """Nor a CPU; it is said in one line."""
    gic = V3().gic
    for ask, arguments in (
        (gic.spi_line, (wrong,)), (gic.pend, (wrong,)), (gic.pend, (40, wrong)),
        (gic.line_of, (0, wrong)), (gic.line_of, (wrong, 27)),
    ):  # fmt: skip
        with pytest.raises(UsageError, match=f"is a number, not {wrong!r}$"):
            ask(*arguments)


def test_the_largest_gic() -> None:
    """988 SPIs: up to INTID 1019."""
    guest = V3(ready=False, spis=988)
    guest.gic.set_spi(987, True)
    assert guest.gicd.read(4, 4) & 0x1F == 31
    assert guest.gicd.read(ISPENDR + 4 * 31, 4) == 1 << 27
