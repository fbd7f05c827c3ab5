"""Handlers of a user's Python: what they see of the guest is as it is there, and what they write holds."""

from __future__ import annotations

import pytest
import raw_guest as raw

from armvcpu import Machine
from armvcpu.arch.registers import encoding_of, instruction_from_access
from armvcpu.errors import UsageError

DEVICE = 0x0B00_0000
CLOCKS = pytest.mark.parametrize("clock", ["host", "instructions"])


@pytest.fixture
def guest(tmp_path):
    """A machine with instruction words as a raw image, which powers off behind them."""
    machines = []

    def boot(*words, **options):
        image = tmp_path / "guest.bin"
        image.write_bytes(raw.image(raw.set_vectors(), raw.flat(*words), raw.psci(raw.SYSTEM_OFF)))
        machines.append(Machine(image, **options))
        return machines[-1]

    yield boot
    for machine in machines:
        machine.close()


def address_of(number):
    """Of the word with this number behind the vectors' address."""
    return raw.BASE + 4 * (len(raw.flat(raw.set_vectors())) + number)


@CLOCKS
def test_a_device_sees_the_registers_of_its_access(guest, clock):
    """PC is on the instruction, and earlier ones of the same block have been executed."""
    before = raw.flat(raw.mov(3, DEVICE), raw.mov(10, 1))
    machine, seen = guest(*before, raw.load(4, 3), raw.add(10, 10, 1), raw.load(5, 3), clock=clock), []

    def read(_offset, _width):
        seen.append((machine.vcpu.state.pc - address_of(len(before)) >> 2, machine.vcpu.gpr(10)))
        return 0

    machine.on_mmio(DEVICE, 0x1000, read, lambda *_: None)
    assert machine.run(timeout=10).ok
    assert seen == [(0, 1), (2, 2)]


@CLOCKS
def test_what_a_device_writes_to_registers_holds(guest, clock):
    """The load gets the device's answer besides, and the block goes on with the new value."""
    machine = guest(raw.mov(3, DEVICE), raw.mov(20, 1), raw.load(4, 3), raw.add(21, 20, 1), clock=clock)

    def read(_offset, _width):
        machine.vcpu.set_gpr(20, 0x1234)
        return 7

    machine.on_mmio(DEVICE, 0x1000, read, lambda *_: None)
    assert machine.run(timeout=10).ok
    assert [machine.vcpu.gpr(index) for index in (4, 20, 21)] == [7, 0x1234, 0x1235]


def test_a_device_may_send_the_guest_elsewhere(guest):
    """The access is over then, and its register is as it was."""
    moved = raw.flat(raw.mov(3, DEVICE), raw.mov(4, 5), raw.load(4, 3), raw.mov(6, 1))
    machine = guest(*moved)

    def read(_offset, _width):
        machine.vcpu.state.set_pc(address_of(len(moved)))
        return 7

    machine.on_mmio(DEVICE, 0x1000, read, lambda *_: None)
    assert machine.run(timeout=10).ok
    assert (machine.vcpu.gpr(4), machine.vcpu.gpr(6)) == (5, 0)


def test_eight_bytes_are_one_access(guest):
    """Of a load and of a store."""
    machine, seen = guest(raw.mov(3, DEVICE), raw.load(4, 3), raw.store(4, 3, 8)), []
    machine.on_mmio(
        DEVICE, 0x1000, lambda offset, width: seen.append((offset, width)) or 0x1122_3344_5566_7788,
        lambda *access: seen.append(access),
    )  # fmt: skip
    assert machine.run(timeout=10).ok
    assert seen == [(0, 8), (0, 8, 0x1122_3344_5566_7788)]


@CLOCKS
def test_a_function_is_mocked_by_setting_pc(clock):
    """The handler gives a result and returns to the caller in the function's place."""
    with Machine("guests/bin/mmu.elf", clock=clock) as machine:
        called = []

        @machine.on_symbol("pass")
        def return_at_once(vcpu):
            called.append(vcpu.gpr(0))
            vcpu.state.set_pc(vcpu.gpr(30))

        machine.run(timeout=20)
        assert len(called) > 3
        assert b"PASS" not in machine.console.output


NAMES = [
    "MIDR_EL1", "MPIDR_EL1", "CTR_EL0", "ACTLR_EL1", "TPIDR_EL1", "VBAR_EL1", "SCTLR_EL1", "TTBR0_EL1", "CNTFRQ_EL0",
    "CurrentEL", "CPUECTLR_EL1", "S3_1_C15_C2_1", "vbar_el1", "ICC_PMR_EL1",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_any_register_is_answered(guest, name):
    """Whether the engine has it, the CPU model presents it, or nobody knows it."""
    machine = guest(instruction_from_access(encoding_of(name), 20, is_read=True))
    machine.on_sysreg(name, read=lambda: 0x77)
    assert machine.run(timeout=10).ok
    assert machine.vcpu.gpr(20) == 0x77


@pytest.mark.parametrize("name", ["TPIDR_EL1", "TTBR0_EL1", "CONTEXTIDR_EL1", "S3_1_C15_C2_1"])
def test_any_write_is_heard(guest, name):
    """In place of the register, which keeps what it had."""
    encoding, written = encoding_of(name), []
    machine = guest(raw.mov(1, 0x55), instruction_from_access(encoding, 1, is_read=False))
    machine.on_sysreg(name, write=lambda value: written.append(value) or "whatever it returns")
    assert machine.run(timeout=10).ok
    assert written == [0x55]


@pytest.mark.parametrize("name", ["NONSENSE_EL1", "S9_0_C0_C0_0", "HCR_EL2", "SCR_EL3", "VBAR_EL12"])
def test_a_register_that_would_never_be_asked_for_is_refused(guest, name):
    """At once, with one line."""
    with pytest.raises(UsageError, match=name):
        guest(raw.NOP).on_sysreg(name, read=lambda: 0)


@pytest.mark.parametrize(("name", "meant"), [("MIDR_EL", "MIDR_EL1"), ("vbar_ell", "VBAR_EL1")])
def test_a_register_that_is_nearly_one_is_told(guest, name, meant):
    with pytest.raises(UsageError, match=f"^no system register '{name}': .*; did you mean .*{meant}"):
        guest(raw.NOP).on_sysreg(name, read=lambda: 0)


def test_a_register_handler_that_ends_the_run_stops_before_the_next_instruction(guest):
    """With the value in its register."""
    machine = guest(instruction_from_access(encoding_of("S3_1_C15_C2_1"), 20, is_read=True), raw.mov(21, 1))

    def read():
        machine.quit("enough")
        machine.engine.leave()
        return 5

    machine.on_sysreg("S3_1_C15_C2_1", read=read)
    assert machine.run(timeout=10).reason == "enough"
    assert (machine.vcpu.gpr(20), machine.vcpu.gpr(21), machine.vcpu.state.pc) == (5, 0, address_of(1))


def test_an_unallocated_word_is_the_guests_own_affair(guest):
    """At its own PC, once; nothing of it is said on stderr (DDI 0487 C2.2)."""
    machine = guest(raw.mov(0, 3 << 20), raw.msr("CPACR_EL1", 0), raw.mov(20, 1), 0x0EC8_261B)
    outcome = machine.run(timeout=10)
    assert "undefined instruction" in outcome.reason
    assert machine.vcpu.gpr(20) == 1
