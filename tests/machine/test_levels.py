"""Machines whose guest starts at EL2 or EL3: who hears of what, PSCI, every CPU's start, flash, holes, snapshots."""

from __future__ import annotations

from struct import unpack

import pytest
from raw_guest import BASE, FOREVER, HVC, NOP, SYSTEM_OFF, WFI, add, image, load, lower, mov, mrs, msr, store

from armvcpu import Machine
from armvcpu.arch.controls import HCR_EL2
from armvcpu.errors import UsageError
from armvcpu.machine.outcome import Ending

SMC, CPU_ON = 0xD400_0003, 0xC400_0003
DATA = BASE + 0x8000
EL1H = 0x3C5
OFF = [*mov(0, SYSTEM_OFF), SMC]


@pytest.fixture
def machine(tmp_path):
    """A machine that runs words."""
    made: list[Machine] = []

    def make(*words, vector=None, **options) -> Machine:
        path = tmp_path / "guest.bin"
        path.write_bytes(image(*words, vector=vector))
        made.append(Machine(path, **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.mark.parametrize("el", [1, 2, 3])
@pytest.mark.parametrize("clock", ["host", "instructions"])
def test_a_guest_starts_at_its_level(machine, el, clock):
    """With its own stack pointer and everything masked."""
    one = machine(mrs(0, "CurrentEL"), mrs(1, "DAIF"), FOREVER, el=el, clock=clock)
    one.run(max_instructions=3)
    vcpu = one.cpus[0].vcpu
    assert (vcpu.gpr(0) >> 2, vcpu.gpr(1), vcpu.state.pstate & 0xF) == (el, 0x3C0, el << 2 | 1)


def test_psci_is_called_by_smc_at_el2(machine):
    """SYSTEM_OFF, from EL2 and from EL1 below it."""
    assert machine(*OFF, el=2).run(timeout=20).ending is Ending.POWERED_OFF
    one = machine(*mov(1, 1 << 31), msr("HCR_EL2", 1), *lower(2, EL1H, *OFF), el=2)
    assert one.run(timeout=20).ending is Ending.POWERED_OFF


def test_a_cpu_that_psci_starts_begins_at_el2(machine):
    """CPU_ON by SMC: x0 is its argument."""
    second = BASE + 4 * 26
    one = machine(
        *mov(0, CPU_ON), *mov(1, 1), *mov(2, second), *mov(3, 0x77), SMC, NOP, WFI, FOREVER,
        *[NOP] * 6,
        *mov(5, DATA), store(0, 5), mrs(1, "CurrentEL"), 0xF900_04A1, *OFF,  # str x1, [x5, #8]
        el=2, cpus=2,
    )  # fmt: skip
    assert one.run(timeout=20).ending is Ending.POWERED_OFF
    assert unpack("<QQ", one.read(DATA, 16)) == (0x77, 2 << 2)


def test_a_pending_virtual_serror_leaves_nothing_to_wait_for(machine):
    """WFI at EL1 goes on, though PSTATE.A masks it (DDI 0487 D1.6.2): by HCR_EL2.VSE with AMO, and not by VSE alone."""
    pending = HCR_EL2.of(RW=1, AMO=1, VSE=1)
    one = machine(*mov(1, pending), msr("HCR_EL2", 1), *lower(2, EL1H, WFI, OFF), el=2)
    assert one.run(timeout=20).ending is Ending.POWERED_OFF
    one = machine(*mov(1, pending.replace(AMO=0)), msr("HCR_EL2", 1), *lower(2, EL1H, WFI, OFF), el=2)
    assert one.run(timeout=20).ending is Ending.CRASHED


@pytest.mark.parametrize("cpus", [1, 3])
def test_every_cpu_starts_at_el3(machine, cpus):
    """There no PSCI of ours could start them: each adds one to a counter, by its own MPIDR_EL1."""
    one = machine(
        mrs(0, "MPIDR_EL1"), 0x9240_1C00, *mov(1, DATA), 0x8B00_0C21, *mov(2, 1), store(2, 1), WFI, FOREVER,
        el=3, cpus=cpus,
    )  # fmt: skip
    one.run(max_instructions=2000, timeout=20)
    assert one.read(DATA, 8 * 4) == b"".join((int(n < cpus)).to_bytes(8, "little") for n in range(4))


def test_a_users_handler_hears_calls_of_the_guests_own(machine):
    """HVC to the guest's EL2 and SMC to its EL3: answered in their place; others go where they go."""
    one = machine(
        *mov(9, BASE + 0x800), msr("VBAR_EL2", 9), *mov(1, 1 << 31), msr("HCR_EL2", 1),
        *lower(2, EL1H, mov(0, 0x1234), HVC, mov(0, 0x99), HVC, FOREVER),
        el=2,
    )  # fmt: skip
    heard = []

    @one.on_hypercall(0x1234)
    def answer(vcpu):
        heard.append(vcpu.state.el)
        return 0x42

    one.run(max_instructions=28)  # the second call is the last of them
    assert heard == [1]
    assert (one.cpus[0].vcpu.state.el, one.cpus[0].vcpu.registers["ESR_EL2"] >> 26) == (2, 0x16)
    three = machine(*mov(9, BASE + 0x800), msr("VBAR_EL3", 9), *mov(0, 0x8200_0001), SMC, FOREVER, el=3)
    three.on_smc(0x8200_0001)(lambda vcpu: 7)
    three.run(max_instructions=12)
    assert (three.cpus[0].vcpu.gpr(0), three.cpus[0].vcpu.registers["ESR_EL3"]) == (7, 0)


def test_a_users_handler_answers_a_register_of_el2(machine):
    """Which a guest without EL2 does not have."""
    one = machine(mrs(0, "ACTLR_EL2"), FOREVER, el=2)
    one.on_sysreg("ACTLR_EL2", lambda: 0x5A)
    one.run(max_instructions=2)
    assert one.cpus[0].vcpu.gpr(0) == 0x5A
    with pytest.raises(UsageError, match="ACTLR_EL3 is a register of EL3: the guest has no level above EL2"):
        one.on_sysreg("ACTLR_EL3", lambda: 0)
    with pytest.raises(UsageError, match="ACTLR_EL2 is a register of EL2: the guest has no level above EL1"):
        machine(FOREVER).on_sysreg("ACTLR_EL2", lambda: 0)


@pytest.mark.parametrize("is_load", [True, False])
def test_an_access_of_nothing_is_an_external_abort(machine, is_load):
    """With FAR and WnR, to the level itself."""
    access = load(2, 1) if is_load else store(2, 1)
    one = machine(*mov(9, BASE + 0x800), msr("VBAR_EL2", 9), *mov(1, 0x0B00_0010), access, vector=[FOREVER], el=2)
    one.run(max_instructions=12)
    registers = one.cpus[0].vcpu.registers
    assert (registers["ESR_EL2"], registers["FAR_EL2"]) == (0x9600_0010 | (0 if is_load else 0x40), 0x0B00_0010)


def test_flash_is_read_and_programmed(machine):
    """Its contents by loads, the chips' commands by stores: identifier, and back to the array."""
    one = machine(
        *mov(1, 0x0400_0000), load(2, 1, 4), *mov(3, 0x90_0090), store(3, 1, 4), load(4, 1, 4),
        *mov(3, 0xFF_00FF), store(3, 1, 4), load(5, 1, 4), FOREVER,
        el=2,
    )  # fmt: skip
    one.run(max_instructions=25)
    vcpu = one.cpus[0].vcpu
    assert [vcpu.gpr(n) for n in (2, 4, 5)] == [0xFFFF_FFFF, 0x89_0089, 0xFFFF_FFFF]


def test_pages_can_not_be_watched_where_stage_2_is_the_guests(machine):
    one = machine(FOREVER, el=2)
    with pytest.raises(UsageError, match="stage 2 is its own"):
        one.parts.stage2.hold(True)


@pytest.mark.parametrize("el", [2, 3])
def test_a_snapshot_keeps_every_level(machine, el):
    """In the middle of EL1 code: HCR_EL2, SCR_EL3, stack pointers and vectors are back."""
    one = machine(
        *mov(9, BASE + 0x800), msr("VBAR_EL2", 9), *mov(1, 1 << 31), msr("HCR_EL2", 1), msr("TPIDR_EL2", 9),
        *([*mov(1, 0x531), msr("SCR_EL3", 1)] if el == 3 else []),
        *lower(el, EL1H, mov(3, 5), add(3, 3, 1), 0x17FF_FFFF),
        el=el,
    )  # fmt: skip
    one.run(max_instructions=60)
    names = ("VBAR_EL2", "HCR_EL2", "TPIDR_EL2", "SCR_EL3", "X3", "PC", "PSTATE", "SP_EL1")
    names = tuple(name for name in names if el == 3 or name != "SCR_EL3")
    snapshot = one.snapshot()
    before = [one.cpus[0].vcpu.registers[name] for name in names]
    one.run(max_instructions=500)
    one.cpus[0].vcpu.registers["HCR_EL2"] = 0
    one.restore(snapshot)
    assert [one.cpus[0].vcpu.registers[name] for name in names] == before
    assert one.cpus[0].vcpu.state.el == 1


SGI, GROUP = 5, 1 << 5
GICD, GICR = 0x0800_0000, 0x080A_0000


def test_an_interrupt_changes_its_line_at_el3(machine):
    """Non-secure Group 1: FIQ at EL3 (IHI 0069 4.6.2), IRQ once an ERET has left it for Non-secure EL1."""
    one = machine(
        *mov(1, GICD), *mov(2, 0x37), store(2, 1, 4),  # GICD_CTLR: ARE of both, and all groups
        *mov(1, GICR + 0x14), *mov(2, 0), store(2, 1, 4),  # GICR_WAKER
        *mov(1, GICR + 0x1_0080), *mov(2, GROUP), store(2, 1, 4), store(2, 1, 4),  # IGROUPR0
        add(1, 1, 0x80), store(2, 1, 4), add(1, 1, 0x100), store(2, 1, 4),  # ISENABLER0, ISPENDR0
        *mov(2, 0xF), msr("ICC_SRE_EL3", 2), *mov(2, 3), msr("ICC_IGRPEN1_EL3", 2),
        *mov(2, 0xFF), msr("ICC_PMR_EL1", 2),
        *mov(2, 0x531), msr("SCR_EL3", 2), *mov(2, 1 << 31), msr("HCR_EL2", 2), mrs(20, "ISR_EL1"),
        *lower(3, EL1H, mrs(21, "ISR_EL1"), FOREVER),
        el=3,
    )  # fmt: skip
    one.run(max_instructions=200)
    vcpu = one.cpus[0].vcpu
    assert (vcpu.gpr(20), vcpu.gpr(21), vcpu.state.el) == (1 << 6, 1 << 7, 1)
