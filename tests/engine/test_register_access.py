"""Registers as the guest, the host and a state see them."""

from __future__ import annotations

import pytest

from armvcpu.arch.controls import CPACR_EL1, HCR_EL2
from armvcpu.arch.registers import NATIVE, RO, SYSREGS, Encoding, by_name, instruction_from_access, lowest_el
from armvcpu.engine.selftest_bench import CODE, ERET, NOP, PSTATE_MASKED, VECTORS, hvc, svc
from armvcpu.engine.selftest_checks import check_step

EL3h_MASKED = 0x3CD
MRS = [row for row in SYSREGS if row.home is NATIVE and RO & row.access]


def is_read(bench, row) -> bool:
    """Does MRS of `row` execute, at EL1, or at EL3 where EL1 may not?"""
    e2h = HCR_EL2.of(E2H=Encoding(row.encoding).Op1 == 5)
    bench.start(instruction_from_access(row.encoding, 3, is_read=True), hvc(1), hcr=e2h)
    bench.write("CPACR_EL1", CPACR_EL1.of(FPEN=3))
    if lowest_el(row.encoding) > 1 or Encoding(row.encoding).Op1 == 7:
        bench.engine.registers.write_pstate(EL3h_MASKED)
    return bench.run_to_trap().pc != CODE


def test_every_readable_native_row_is_readable(bench):
    """The engine has each register that a row calls native; names under HCR_EL2.E2H are found by the shim."""
    assert [row.name for row in MRS if not is_read(bench, row)] == []


@pytest.mark.parametrize("name", ["VBAR_EL1", "TTBR0_EL1", "MAIR_EL1", "TPIDR_EL0", "ELR_EL1", "FAR_EL1", "PAR_EL1"])
def test_host_write_is_what_the_guest_reads(bench, name):
    """`registers.write` and MRS are about one register."""
    bench.start(instruction_from_access(by_name[name].encoding, 3, is_read=True), hvc(1))
    bench.write(name, 0x0000_4567_89AB_C800)
    bench.run_to_trap()
    assert hex(bench.gpr(3)) == hex(bench.read(name)) == "0x456789abc800"


@pytest.mark.parametrize(
    "pstate", [0x3C5, 0x3C4, 0x3C0, 0x0, 0xF000_03C5, 0x4000_03C5, 0x9000_0285, 0x6040_0145, 0x0080_0005]
)
def test_state_shows_pstate_as_it_was_written(bench, pstate):
    """Flags, DAIF, PAN, UAO and mode, put together from where the engine keeps them."""
    bench.start(NOP)
    bench.engine.registers.write_pstate(pstate)
    assert hex(bench.engine.state.pstate) == hex(pstate)


def test_state_shows_what_the_trapped_guest_has(bench):
    """General registers, XZR, and the banked stack pointers."""
    bench.start(hvc(1))
    bench.write("SP_EL0", 0x2220)
    for index in range(31):
        bench.set_gpr(index, 0x1000 + index)
    bench.run_to_trap()
    state = bench.engine.state
    assert [state.gpr(n) for n in range(32)] == [*(0x1000 + n for n in range(31)), 0]
    assert state.sp_el(0) == bench.read("SP_EL0") == 0x2220


def test_exception_entry_selects_the_stack_and_eret_gives_it_back(bench):
    """From SP_EL0 to SP_EL1 and back, by a handler that takes the exception (AArch64.TakeException, J1.1.2)."""
    bench.start(0x9100_001F, ERET, svc(0))  # mov sp, x0
    bench.put(VECTORS + 0x400, 0x9100_03E5, ERET)  # mov x5, sp
    bench.put(CODE + 12, 0x9100_03E6, hvc(1), svc(1))  # mov x6, sp; the HVC is UNDEFINED at EL0
    bench.write("SP_EL0", 0x2220)
    bench.set_gpr(0, 0x1110)
    bench.write("SPSR_EL1", 0x3C0)
    bench.write("ELR_EL1", CODE + 8)

    def enter(seen):
        if seen.esr >> 26 != 0x15:
            return bench.engine.leave()
        return bench.engine.take_exception(seen.esr)

    bench.on_trap = enter
    bench.run_to_trap()
    assert (hex(bench.gpr(5)), hex(bench.gpr(6))) == ("0x1110", "0x2220")


def test_new_states_are_equal_and_as_after_reset(bench):
    """EL1h, all masked, general registers zero, whatever ran before."""
    bench.start(svc(1), hvc(1))
    bench.set_gpr(4, 99)
    bench.run_to_trap()
    state = bench.engine.new_state()
    bench.engine.load(state)
    assert (hex(state.pstate), set(state.frame), hex(bench.read("SCTLR_EL1"))) == ("0x3c5", {0}, "0x30d00800")


def test_step_is_one_instruction_or_its_exception(bench):
    """Software step from EL2, D2.12."""
    check_step(bench)


def test_hardware_breakpoint_fires_before_its_instruction(bench):
    """DBGBVR0_EL1 and DBGBCR0_EL1 written by the guest, MDSCR_EL1.MDE and KDE set: EC 0x31 to EL1 (D2.8)."""
    names = ("DBGBVR0_EL1", "DBGBCR0_EL1", "MDSCR_EL1")
    writes = [instruction_from_access(by_name[name].encoding, n, is_read=False) for n, name in enumerate(names)]
    bench.start(*writes, 0xD503_48FF, NOP, hvc(1))  # msr daifclr, #8
    for index, value in enumerate((CODE + 16, 0x1E7, 0xA000)):
        bench.set_gpr(index, value)
    seen = bench.run_to_trap()
    assert (seen.esr >> 26, seen.target_el, seen.pc) == (0x31, 1, CODE + 16)


@pytest.mark.parametrize("counting", [False, True])
def test_steps_are_instructions_also_while_counting(bench, counting):
    """Ten steps are ten instructions."""
    if counting:
        bench.engine.count_instructions()
    bench.start(*[NOP] * 10)
    for _ in range(10):
        bench.engine.step()
    assert (bench.engine.state.pc, bench.engine.state.pstate, bench.seen) == (CODE + 40, PSTATE_MASKED, [])


def test_state_is_current_after_an_exception_entry_that_leaves(bench):
    """A handler that enters an exception and then leaves gives a state with the new PSTATE."""
    bench.start(svc(1))

    def enter_and_leave(seen):
        bench.engine.take_exception(seen.esr)
        bench.engine.leave()

    bench.on_trap = enter_and_leave
    bench.engine.registers.write_pstate(0x3C0)
    bench.run()
    assert (hex(bench.engine.state.pstate), bench.engine.state.pc) == ("0x3c5", VECTORS + 0x400)
