"""System registers that are answered in the engine's place, by real MRS and MSR. DDI 0487 C5.1.2, D17.2."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from unicorn_bench import SYNC, SYNC_LOWER, Machine, mrs, msr
from vcpu_bench import Heard

from armvcpu.arch.controls import HCR_EL2
from armvcpu.arch.instructions import IC_IALLU
from armvcpu.arch.registers import SYSREGS, Home, by_name, instruction_from_access, iss_from_encoding, lowest_el
from armvcpu.engine.api import word_of
from armvcpu.engine.selftest_bench import ADD_X0_1, CODE, ERET, branch, hvc, svc
from armvcpu.vcpu.exits import Hypercall, SysRegWrite

if TYPE_CHECKING:
    from armvcpu.vcpu.vcpu import Aarch64VCpu

EL0, EL1 = 0x3C0, 0x3C5
ISB = 0xD503_3FDF
MMU_OFF = 0x30D0_0800
FPEN = 3 << 20
CMP_X5_X5, CCMP_N_C = 0xEB05_00BF, 0xFA5F_13EA  # cmp x5, x5; ccmp xzr, xzr, #0b1010, ne
LEFT = Hypercall(9, (0, 0, 0, 0, 0, 0))
OF_EL1 = [row for row in SYSREGS if lowest_el(row.encoding) <= 1 and row.level == 1]
NATIVE = [row for row in OF_EL1 if row.home is Home.NATIVE]


def movz(register: int, value: int) -> int:
    return 0xD280_0000 | value << 5 | register


def encoding(name: str) -> int:
    return by_name[name].encoding


def answered(machine: Machine, *words: int, name: str, read=None, write=None) -> Aarch64VCpu:
    """A vCPU with FP on, which is bound, starts at `words` with xN = 0x1000 + N, and has one register answered."""
    vcpu = machine.vcpu(*words)
    machine.put(SYNC, hvc(1))
    vcpu.system_registers.cpacr_el1 = FPEN
    vcpu.answer_sysreg(encoding(name), read, write)
    vcpu.bind(machine.cpu())
    for index in range(31):
        vcpu.set_gpr(index, 0x1000 + index)
    return vcpu


def general(vcpu: Aarch64VCpu) -> list[int]:
    return [vcpu.gpr(index) - 0x1000 for index in range(31)]


# --- a user's answers -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["MIDR_EL1", "VBAR_EL1", "SCTLR_EL1", "TTBR0_EL1"])
def test_answer_replaces_the_register(machine, name):
    """Identification or native: MRS has the answer, MSR is told, and the CPU's own register stays (D17.2)."""
    written: list[int] = []
    program = (msr(name, 3), mrs(5, name), hvc(0))
    vcpu = answered(machine, *program, name=name, read=lambda: 0xABCD, write=written.append)
    before = vcpu.engine.registers.read(encoding(name))
    assert isinstance(vcpu.run(), Hypercall)
    assert (vcpu.gpr(5), written, vcpu.state.pc) == (0xABCD, [0x1003], CODE + 12)
    assert vcpu.engine.registers.read(encoding(name)) == before


@pytest.mark.parametrize("row", NATIVE, ids=lambda row: row.name)
def test_native_register_can_be_read_in_its_place(machine, row):
    """By a program at EL1; no other register changes, and MSR is the engine's as before."""
    vcpu = answered(machine, mrs(5, row.name), hvc(0), name=row.name, read=lambda: 0x1077)
    vcpu.run()
    assert (general(vcpu), vcpu.state.pc) == ([*range(5), 0x77, *range(6, 31)], CODE + 8)


@pytest.mark.parametrize("row", [row for row in NATIVE if row.name != "CNTFRQ_EL0"], ids=lambda row: row.name)
def test_native_register_can_be_written_in_its_place(machine, row):
    """Constants too, and what the translator does by itself; CNTFRQ_EL0 belongs to EL3 (D17.10)."""
    written: list[int] = []
    vcpu = answered(machine, msr(row.name, 3), hvc(0), name=row.name, write=written.append)
    vcpu.run()
    assert (general(vcpu), written, vcpu.state.pc) == ([*range(31)], [0x1003], CODE + 8)


@pytest.mark.parametrize(
    ("name", "value"),
    [("CurrentEL", 4), ("AMAIR_EL1", 0), ("OSDLR_EL1", 0), ("NZCV", 0xA000_0000), ("VBAR_EL1", 0x800)],
)
def test_native_read_beside_an_answered_write(machine, name, value):
    """CurrentEL is EL1, AMAIR_EL1 a constant of the engine, NZCV what the guest's own compare left (C5.2, D17.2)."""
    program = (CMP_X5_X5, CCMP_N_C, mrs(5, name), hvc(0))
    vcpu = answered(machine, *program, name=name, write=lambda _value: None)
    vcpu.system_registers.vbar_el1 = 0x800
    vcpu.run()
    assert hex(vcpu.gpr(5)) == hex(value)


def test_native_write_beside_an_answered_read(machine):
    """MSR NZCV sets the flags, although MRS is answered (C5.2.11)."""
    vcpu = answered(machine, msr("NZCV", 3), mrs(5, "NZCV"), hvc(0), name="NZCV", read=lambda: 1)
    vcpu.set_gpr(3, 0x9000_0000)
    vcpu.run()
    assert (vcpu.gpr(5), hex(vcpu.trap_frame.spsr)) == (1, "0x900003c5")


@pytest.mark.parametrize(
    ("name", "level", "esr"),
    [
        ("ICC_IAR1_EL1", EL0, 0x0200_0000),
        ("ICC_IAR1_EL1", EL1, None),
        ("VBAR_EL2", EL1, 0x0200_0000),
        ("SCR_EL3", EL1, 0x0200_0000),
        ("VBAR_EL1", EL0, 0x0200_0000),
        ("TPIDR_EL0", EL0, None),
    ],
)
def test_answer_is_for_the_levels_that_op1_allows(machine, name, level, esr):
    """An access from below is UNDEFINED, whoever answers (C5.1.2)."""
    vcpu = answered(
        machine, msr("SPSR_EL1", 1), msr("ELR_EL1", 2), ERET, mrs(5, name), svc(0), name=name, read=lambda: 7
    )
    machine.put(SYNC_LOWER, hvc(1))
    vcpu.set_gpr(1, level)
    vcpu.set_gpr(2, CODE + 12)
    vcpu.run()
    assert vcpu.last_exception is not None
    assert (hex(vcpu.last_exception[0]), vcpu.gpr(5)) == (hex(esr or 0x5600_0000), 0x1005 if esr else 7)


def test_answer_may_leave_the_run(machine):
    """The register has been read then, and the guest goes on behind it."""
    vcpu = answered(machine, mrs(5, "TPIDR_EL1"), hvc(0), name="TPIDR_EL1", read=lambda: vcpu.exit(LEFT) or 77)
    assert (vcpu.run(), vcpu.gpr(5), vcpu.state.pc) == (LEFT, 77, CODE + 4)


def test_answer_may_move_the_guest(machine):
    """It goes on where PC was put, at once."""
    program = (mrs(5, "TPIDR_EL1"), hvc(0), ADD_X0_1, hvc(0))
    vcpu = answered(machine, *program, name="TPIDR_EL1", read=lambda: vcpu.state.set_pc(CODE + 8) or 0)
    vcpu.set_gpr(0, 0)
    assert (vcpu.run().nr, vcpu.state.pc) == (1, CODE + 16)


# --- listening --------------------------------------------------------------------------------------------------


def test_listener_hears_and_changes_what_is_written(machine):
    """The engine's own register has what it gave (TTBR0_EL1, D17.2.144)."""
    heard: list[int] = []
    vcpu = machine.vcpu(msr("TTBR0_EL1", 1), mrs(2, "TTBR0_EL1"), hvc(0))
    vcpu.sysregs.listen(encoding("TTBR0_EL1"), lambda value: (heard.append(value), value | 0x1000)[1])
    vcpu.bind(machine.cpu())
    vcpu.set_gpr(1, 0x4000_0000)
    vcpu.run()
    assert (heard, hex(vcpu.gpr(2)), hex(vcpu.system_registers.ttbr0_el1)) == (
        [0x4000_0000],
        "0x40001000",
        "0x40001000",
    )


def test_listener_can_leave_while_the_guest_runs(machine):
    """Code that was translated with it goes on, and writes as if it had never been there."""
    heard: list[int] = []
    vcpu = machine.vcpu(msr("TTBR0_EL1", 0), hvc(0), ADD_X0_1, branch(-3))
    vcpu.sysregs.listen(encoding("TTBR0_EL1"), lambda value: (heard.append(value), value)[1])

    def stop_listening(vcpu: Aarch64VCpu) -> None:
        vcpu.sysregs.listen(encoding("TTBR0_EL1"), None)
        vcpu.settle_listeners()

    for number, handler in enumerate((lambda _vcpu: None, lambda _vcpu: None, stop_listening)):
        vcpu.handlers.hypercalls[number] = handler
    vcpu.bind(machine.cpu())
    assert (vcpu.run().nr, heard, vcpu.system_registers.ttbr0_el1) == (3, [0, 1, 2], 3)


@pytest.mark.parametrize("reads", [False, True])
@pytest.mark.parametrize("writes", [False, True])
def test_users_answer_comes_before_a_listener(machine, reads, writes):
    """A write that a user takes never reaches the register that is listened to; an answered read does not touch it."""
    heard: list[int] = []
    taken: list[int] = []
    vcpu = machine.vcpu(msr("SCTLR_EL1", 1), mrs(2, "SCTLR_EL1"), hvc(0))
    vcpu.sysregs.listen(encoding("SCTLR_EL1"), lambda value: (heard.append(value), value)[1])
    vcpu.answer_sysreg(encoding("SCTLR_EL1"), (lambda: 0x42) if reads else None, taken.append if writes else None)
    vcpu.bind(machine.cpu())
    vcpu.set_gpr(1, MMU_OFF | 2)
    vcpu.run()
    assert (heard, taken) == (([], [MMU_OFF | 2]) if writes else ([MMU_OFF | 2], []))
    assert vcpu.system_registers.sctlr_el1 == (MMU_OFF if writes else MMU_OFF | 2)
    assert vcpu.gpr(2) == (0x42 if reads else vcpu.system_registers.sctlr_el1)


def test_listener_has_no_part_in_what_el2_traps(machine):
    """HCR_EL2.TVM (D17.2.48): the write is an exit, and the caller's affair."""
    heard: list[int] = []
    vcpu = machine.vcpu(msr("TTBR0_EL1", 1))
    vcpu.sysregs.listen(encoding("TTBR0_EL1"), lambda value: (heard.append(value), value)[1])
    vcpu.system_registers.hcr_el2 |= HCR_EL2.of(TVM=1)
    vcpu.bind(machine.cpu())
    vcpu.set_gpr(1, 5)
    assert (vcpu.run(), heard) == (SysRegWrite(iss_from_encoding(encoding("TTBR0_EL1")), 5), [])


def test_listener_of_some_bits_hears_of_writes_that_set_or_clear_them(machine):
    """MDSCR_EL1.SS and MDE of all its bits: other writes go by, and change the register as well (D17.3.20)."""
    heard: list[int] = []
    values = (1 << 13, 1 << 15, 1 << 12, 0)
    loads = [instruction for value in values for instruction in (movz(1, value), msr("MDSCR_EL1", 1))]
    vcpu = machine.vcpu(*loads[:2], mrs(2, "MDSCR_EL1"), *loads[2:], mrs(3, "MDSCR_EL1"), hvc(0))
    vcpu.sysregs.listen(encoding("MDSCR_EL1"), lambda value: (heard.append(value), value)[1], bits=1 << 15 | 1)
    vcpu.bind(machine.cpu())
    vcpu.run()
    assert (heard, vcpu.gpr(2), vcpu.gpr(3)) == ([1 << 15, 1 << 12], 1 << 13, 0)


@pytest.mark.parametrize(("name", "bits"), [("CSSELR_EL1", 0xF), ("PMSELR_EL0", 0x1F)])
def test_a_kept_register_is_written_without_python(machine, name, bits):
    """The bits that it has; whoever is asked in Python for what it selects has the same value."""
    vcpu = machine.vcpu(movz(1, 0xFFFE), msr(name, 1), mrs(2, name), hvc(0))
    word = word_of(bits)
    vcpu.sysregs.add(encoding(name), None, pytest.fail)
    vcpu.sysregs.share(encoding(name), word)
    vcpu.bind(machine.cpu())
    vcpu.run()
    assert vcpu.gpr(2) == word[0] == 0xFFFE & bits


# --- observing --------------------------------------------------------------------------------------------------


def test_observer_hears_constants_with_pc_on_the_instruction(machine):
    """While there is one; before and after, MIDR_EL1 is part of the translated code."""
    vcpu = machine.vcpu(mrs(5, "MIDR_EL1"), msr("ICC_PMR_EL1", 31), hvc(0))
    vcpu.bind(machine.cpu())
    midr, heard = vcpu.model.MIDR_EL1, []
    for observer in (None, Heard(), None):
        vcpu.observer = observer
        vcpu.trap_frame.set_exception_pc(CODE)
        vcpu.run()
        heard.append([event[:-1] for event in observer.events if event[0] == "sysreg"] if observer else vcpu.gpr(5))
    events = [("sysreg", CODE, encoding("MIDR_EL1"), True), ("sysreg", CODE + 4, encoding("ICC_PMR_EL1"), False)]
    assert heard == [midr, events, midr]


def test_observer_hears_exceptions_of_a_real_guest(machine):
    """An SVC that the engine enters by itself: ELR, EL1, ESR, no FAR, and the vector (D1.3)."""
    vcpu = machine.vcpu(svc(5))
    machine.put(SYNC, hvc(0))
    vcpu.observer = heard = Heard()
    vcpu.bind(machine.cpu())
    vcpu.run()
    assert heard.events[:-1] == [("exception", CODE + 4, 1, 0x5600_0005, None, SYNC)]


# --- the engine's own -------------------------------------------------------------------------------------------


def test_affinity_and_cpacr_are_the_engines_without_a_trap(machine):
    """MPIDR_EL1 shows VMPIDR_EL2 at EL1 (D17.2.100), CPACR_EL1 what was written."""
    vcpu = machine.vcpu(mrs(5, "MPIDR_EL1"), msr("CPACR_EL1", 1), mrs(6, "CPACR_EL1"), hvc(0))
    vcpu.system_registers.vmpidr_el2 = 0x1_8000_0203
    vcpu.observer = heard = Heard()
    vcpu.bind(machine.cpu())
    vcpu.set_gpr(1, FPEN)
    vcpu.run()
    assert (hex(vcpu.gpr(5)), vcpu.gpr(6), [event[0] for event in heard.events]) == ("0x180000203", FPEN, ["exit"])


def test_ic_iallu_makes_new_code_seen(machine):
    """The guest has changed an instruction that it has executed (B2.4.4, "Concurrent modification")."""
    ic = instruction_from_access(IC_IALLU, 31, is_read=False)
    str_w2_x1 = 0xB900_0022
    vcpu = machine.vcpu(ADD_X0_1, str_w2_x1, ic, ISB, hvc(0), branch(-5))
    vcpu.bind(machine.cpu())
    vcpu.set_gpr(1, CODE)
    vcpu.set_gpr(2, 0x9100_2800)  # add x0, x0, #10
    assert [vcpu.run().nr, vcpu.run().nr] == [1, 11]
