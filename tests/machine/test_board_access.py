"""Accesses at the edges of the board: windows with nothing in them, and accesses over the end of a device.

The right values are those of QEMU 7.2's `virt`, where the same guests were run.
"""

from __future__ import annotations

import pytest
from raw_guest import BASE, ERET, SYSTEM_OFF, add, image, load, mov, mrs, msr, psci, set_vectors, store

from armvcpu import Machine
from armvcpu.machine.board.virt import PCIE_WINDOWS

LDP_X20_X21 = 0xA940_5414  # LDP X20, X21, [X0]
STP_X1_X2 = 0xA900_0801  # STP X1, X2, [X0]
SKIP = [*mov(19, 0xAB), mrs(10, "ELR_EL1"), add(10, 10, 4), msr("ELR_EL1", 10), ERET]
"""A vector that notes the exception in x19 and goes on behind it."""
HOST, INSTRUCTIONS, EXACT = {"clock": "host"}, {"clock": "instructions"}, {"exact_mmio": True}
PLACES = [(window.cpu_addr + at, width) for window in PCIE_WINDOWS for at, width in ((0, 4), (0x1010, 1), (0x2008, 8))]


@pytest.fixture
def run(tmp_path):
    """A guest that executes the words and powers off; its machine, then."""
    machines = []

    def run(*words, prepare=lambda _machine: None, **options):
        path = tmp_path / "guest.bin"
        path.write_bytes(image(set_vectors(), mov(19, 0), *words, psci(SYSTEM_OFF), vector=SKIP))
        machine = Machine(path, **options)
        machines.append(machine)
        prepare(machine)
        assert machine.run(timeout=20).ok
        return machine

    yield run
    for machine in machines:
        machine.close()


@pytest.mark.parametrize("options", [HOST, INSTRUCTIONS, EXACT], ids=str)
@pytest.mark.parametrize(("address", "width"), PLACES)
def test_an_empty_pcie_window_reads_ones(run, options, address, width):
    """PCI Express 2.3.2: a request that nobody takes completes with ones, and a write is lost."""
    machine = run(mov(0, address), mov(1, 0), store(1, 0, width), mov(20, 0), load(20, 0, width), **options)
    assert machine.vcpu.gpr(20) == (1 << 8 * width) - 1
    assert machine.vcpu.gpr(19) == 0


@pytest.mark.parametrize("options", [HOST, INSTRUCTIONS], ids=str)
def test_two_registers_read_ones_too(run, options):
    """The access has no syndrome, so its page is shown."""
    machine = run(mov(0, 0x1000_0FF8), LDP_X20_X21, **options)
    assert (machine.vcpu.gpr(20), machine.vcpu.gpr(21)) == ((1 << 64) - 1,) * 2


@pytest.mark.parametrize("options", [HOST, INSTRUCTIONS, EXACT], ids=str)
def test_who_puts_a_device_into_a_window_has_it(run, options):
    """Before it was touched and after; around it there are ones still."""
    here = 0x1010_0000
    machine = run(
        mov(0, here), mov(20, 0), load(20, 0, 4), mov(0, here + 0x1000), mov(21, 0), load(21, 0, 4),
        prepare=lambda machine: machine.on_mmio(here, 0x1000, lambda _offset, _width: 0x5A, lambda *_: None), **options,
    )  # fmt: skip
    assert (machine.vcpu.gpr(20), machine.vcpu.gpr(21)) == (0x5A, 0xFFFF_FFFF)
    machine.on_mmio(here + 0x1000, 0x1000, lambda _offset, _width: 0xA5, lambda *_: None)
    machine.reset()
    assert machine.run(timeout=20).ok
    assert (machine.vcpu.gpr(20), machine.vcpu.gpr(21)) == (0x5A, 0xA5)


@pytest.mark.parametrize("word", [store(1, 0, 8), load(1, 0, 8), STP_X1_X2], ids=["store", "load", "pair"])
@pytest.mark.parametrize("options", [HOST, INSTRUCTIONS, EXACT], ids=str)
@pytest.mark.parametrize(
    "address",
    [0x0A00_0FFB, 0x0A00_01FB, 0x0900_0FFB, 0x0800_FFFB, 0x03FF_FFFB, 0x03FF_FFF3, 0x0902_0FFB, 0x40_1000_0FFB],
)
def test_an_access_over_the_end_of_a_device_comes_to_its_end(run, address, options, word):
    """Unaligned, with the MMU off: carried out or aborted, and not tried for ever."""
    assert run(mov(0, address), mov(1, 0), mov(2, 0), word, **options).vcpu.registers["PC"] > BASE


@pytest.mark.parametrize("model", ["a53", "a57", "a72", "max"])
@pytest.mark.parametrize("cpus", [1, 4, 8])
def test_cores_tell_how_many_there_are_and_where_the_gic_is(run, cpus, model):
    """L2CTLR_EL1 and CBAR_EL1; software that derives the GIC's place from the latter finds it."""
    reads = mrs(20, "L2CTLR_EL1"), mrs(21, "CBAR_EL1")
    machine = run(mov(1, 0), msr("L2CTLR_EL1", 1), *reads, cpus=cpus, cpu_model=model)
    assert (machine.vcpu.gpr(20), machine.vcpu.gpr(21)) == (cpus - 1 << 24, 0x0800_0000)
