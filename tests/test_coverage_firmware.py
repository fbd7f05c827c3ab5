"""Coverage of real firmware and kernels: each instruction that is counted by the clock is counted once.

The first use fetches them with apt (`armvcpu firmware fetch`); without a network use `-m "not firmware"`.
"""

from __future__ import annotations

import pytest

from armvcpu import Machine
from armvcpu.testing.firmware import store

pytestmark = pytest.mark.firmware


def path(name: str, *file: str):
    store.fetch(name)
    return store.path(name, *file)


def test_uboot_is_covered_where_it_has_moved_itself_to():
    """Before its relocation and behind it: all that is executed is known as U-Boot's, to the instruction."""
    image = path("u-boot", "u-boot.bin")
    with Machine(firmware=image, clock="instructions") as machine, machine.coverage() as coverage:
        machine.console.feed(b"x\nversion\npoweroff\n")
        assert machine.run(timeout=60).status == 0
        executed = coverage.executed(coverage.programs[0])
        assert sum(executed.values()) == machine.instructions > 10_000_000
    assert executed[0] == 1


@pytest.mark.parametrize("cpus", [1, 2])
def test_a_kernels_image_is_covered_from_its_entry_on(cpus):
    """At physical addresses, then at its own, on several CPUs: all that is executed before there are processes."""
    image = path("linux-cloud", "Image")
    options = {"append": "earlycon console=ttyAMA0", "memory": "512M", "cpus": cpus, "clock": "instructions"}
    with Machine(image, **options) as machine, machine.coverage() as coverage:
        machine.run(timeout=60, max_instructions=60_000_000)
        assert b"Booting Linux" in bytes(machine.console.output)
        (program,) = coverage.programs
        executed = coverage.executed(program)
        assert executed[machine.plan.entry] == 1
        assert sum(executed.values()) > 0.99 * machine.instructions == 0.99 * 60_000_000


def test_a_hypervisor_is_covered_at_el2():
    """Xen, which moves itself and makes page tables of its own; its dom0's code is another program's."""
    xen, kernel = path("xen", "xen"), path("linux-cloud", "Image")
    with (
        Machine(
            xen, el=2, memory="1G", clock="instructions", append="console=dtuart dtuart=/pl011@9000000 dom0_mem=256M",
            modules=(f"{kernel}@0x50000000,kernel,bootargs=console=hvc0",),
        ) as machine,
        machine.coverage() as coverage,
    ):  # fmt: skip
        machine.run(timeout=60, max_instructions=120_000_000)
        hypervisor = coverage.programs[0]
        executed = coverage.executed(hypervisor)
        assert sum(executed.values()) > 0.5 * machine.instructions
        assert executed[machine.plan.entry] == 1
