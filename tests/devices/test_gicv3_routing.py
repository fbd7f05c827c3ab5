"""Which CPU gets an interrupt: GICD_IROUTER, 1 of N, SGIs. IHI 0069 2.3 and ICC_SGI1R_EL1."""

from __future__ import annotations

import pytest
from gic_guest import IROUTER, V3

ANY = 1 << 31
SPURIOUS = 1023
CLUSTERS = tuple(cluster << 8 | cpu for cluster in range(2) for cpu in range(16))
"""32 CPUs, as the `virt` board numbers them."""


def sgi(intid: int, targets: int, *, aff1: int = 0, aff2: int = 0, aff3: int = 0, rs: int = 0, irm: int = 0) -> int:
    return aff3 << 48 | rs << 44 | irm << 40 | aff2 << 32 | intid << 24 | aff1 << 16 | targets


def interrupted(guest: V3) -> list[int]:
    return [cpu for cpu in range(len(guest.irq.changes)) if guest.irq[cpu]]


def wake(guest: V3, cpu: int, awake: bool = True) -> None:
    guest.gic.redistributor(cpu).write(0x14, 4, 0 if awake else 2)


@pytest.mark.parametrize(
    ("value", "cpus"),
    [
        (sgi(1, 1), [0]),
        (sgi(1, 0x8002), [1, 15]),
        (sgi(1, 0x8001, aff1=1), [16, 31]),
        (sgi(1, 0xFFFF, aff1=1), list(range(16, 32))),
        (sgi(1, 0xFFFF, aff1=2), []),
        (sgi(1, 1, aff2=1), []),
        (sgi(1, 1, aff3=1), []),
        (sgi(1, 1, rs=1), []),
        (sgi(1, 0, irm=1), [cpu for cpu in range(32) if cpu != 3]),
        (sgi(1, 0), []),
    ],
)
def test_sgi_targets(value: int, cpus: list[int]) -> None:
    """A list within a cluster, or all but the sender; addresses without a CPU are left out."""
    guest = V3(CLUSTERS)
    guest.set("SGI1R", value, cpu=3)
    assert interrupted(guest) == cpus


def test_sgi_by_all_affinity_levels_and_range_selector() -> None:
    """RS addresses Aff0 from 16 on, Aff3 is in MPIDR_EL1[39:32]."""
    guest = V3((0, 0x12_0003_0225))
    guest.set("SGI1R", sgi(7, 1 << 5, aff3=0x12, aff2=3, aff1=2, rs=2))
    assert (interrupted(guest), guest.get("IAR1", 1)) == ([1], 7)


def test_sgi_is_pending_once() -> None:
    """Two senders before the target acknowledges are one interrupt (4.1)."""
    guest = V3((0, 1))
    guest.set("SGI1R", sgi(2, 0b10), cpu=0)
    guest.set("SGI1R", sgi(2, 0b10), cpu=1)
    assert guest.get("IAR1", 1) == 2
    guest.set("EOIR1", 2, cpu=1)
    assert guest.get("IAR1", 1) == SPURIOUS


@pytest.mark.parametrize(
    ("register", "group", "arrives"),
    [
        *(("SGI1R", 1, True), ("SGI1R", 0, True), ("SGI0R", 0, True)),
        *(("SGI0R", 1, False), ("ASGI1R", 0, True), ("ASGI1R", 1, False)),
    ],
)
def test_sgi_registers_by_group(register: str, group: int, arrives: bool) -> None:
    """With one Security state SGI1R reaches either group, the others Group 0."""
    guest = V3()
    guest.configure(4, group=group)
    guest.set(register, sgi(4, 1))
    assert (guest.irq if group else guest.fiq)[0] == arrives


@pytest.mark.parametrize(("route", "cpus"), [(0, [0]), (0x10F, [31]), (0x100, [16]), (0x200, []), (1 << 32, [])])
def test_spi_goes_to_its_affinity(route: int, cpus: list[int]) -> None:
    """GICD_IROUTER names one CPU; a route to nobody leaves the SPI pending."""
    guest = V3(CLUSTERS)
    guest.gicd.write(IROUTER + 8 * 40, 8, route)
    guest.gic.set_spi(8, True)
    assert interrupted(guest) == cpus
    assert guest.gicd.read(0x204, 4) == 1 << 8


def test_a_pending_spi_follows_its_route() -> None:
    """Rerouted before it is acknowledged it moves to the new CPU."""
    guest = V3((0, 1))
    guest.gic.set_spi(8, True)
    guest.gicd.write(IROUTER + 8 * 40, 8, 1)
    assert (interrupted(guest), guest.get("IAR1"), guest.get("IAR1", 1)) == ([1], SPURIOUS, 40)


def test_an_spi_rerouted_while_active_is_ended_where_it_was_taken() -> None:
    """Still asserted, it then reaches the new CPU."""
    guest = V3((0, 1))
    guest.gic.set_spi(8, True)
    assert guest.get("IAR1") == 40
    guest.gicd.write(IROUTER + 8 * 40, 8, 1)
    assert interrupted(guest) == []
    guest.set("EOIR1", 40)
    assert interrupted(guest) == [1]


def test_1_of_n_chooses_who_takes_part() -> None:
    """The first CPU that is awake and has the group enabled; another one when that changes."""
    guest = V3((0, 1, 2))
    wake(guest, 1)
    wake(guest, 2)
    guest.gicd.write(IROUTER + 8 * 40, 8, ANY | 5)
    guest.gic.set_spi(8, True)
    seen = [interrupted(guest)]
    guest.set("IGRPEN1", 0, 1)
    seen.append(interrupted(guest))
    wake(guest, 0)
    seen.append(interrupted(guest))
    for cpu in (0, 2):
        wake(guest, cpu, False)
    seen.append(interrupted(guest))
    assert seen == [[1], [2], [0], []]


def test_1_of_n_looks_at_the_group_of_the_interrupt() -> None:
    """Moved to Group 0 the SPI goes to the CPU that has Group 0 enabled."""
    guest = V3((0, 1))
    wake(guest, 0)
    wake(guest, 1)
    guest.set("IGRPEN0", 0, 0)
    guest.gicd.write(IROUTER + 8 * 40, 8, ANY)
    guest.gic.set_spi(8, True)
    assert interrupted(guest) == [0]
    guest.configure(40, group=0)
    assert (interrupted(guest), guest.fiq[1]) == ([], True)


def test_a_snapshot_brings_routes_groups_and_lines_back() -> None:
    """A GIC loaded from a snapshot signals what the other one did."""
    guest, other = V3((0, 1)), V3((0, 1), ready=False)
    wake(guest, 1)
    guest.gicd.write(IROUTER + 8 * 40, 8, ANY)
    guest.gic.set_spi(8, True)
    guest.set("SGI1R", sgi(2, 1), cpu=1)
    other.gic.load_state(guest.gic.state())
    assert other.gic.state() == guest.gic.state()
    assert (other.get("IAR1"), other.get("IAR1", 1)) == (2, 40)


def test_reset_is_that_of_a_new_gic() -> None:
    """Nothing is left, and the outputs are low."""
    guest = V3((0, 1))
    guest.gicd.write(IROUTER + 8 * 40, 8, ANY)
    guest.set("SGI1R", sgi(2, 3))
    guest.gic.reset()
    assert guest.gic.state() == V3((0, 1), ready=False).gic.state()
    assert interrupted(guest) == []
