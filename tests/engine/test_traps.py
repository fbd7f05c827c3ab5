"""Under a real EL2 configuration, traps arrive with the architecture's own syndrome; DDI 0487 D17.2.37."""

from __future__ import annotations

import pytest

from armvcpu.arch.controls import HCR_EL2
from armvcpu.engine.api import TARGET_WAIT
from armvcpu.engine.selftest_bench import CODE, DATA, ERET, NOWHERE, PAGE, RAM, VECTORS, WFI, hvc, svc
from armvcpu.engine.selftest_checks import TRAPS, check_stage2, check_syndrome
from armvcpu.errors import UsageError

EL0t_MASKED = 0x3C0


@pytest.mark.parametrize("row", TRAPS, ids=lambda row: row.name)
def test_trap_carries_the_architectures_syndrome(bench, row):
    """ESR, target EL and preferred return address are those of the instruction."""
    bench.start(row.word, hcr=row.hcr, stage2=True)
    bench.set_gpr(2, NOWHERE)
    seen = bench.run_to_trap()
    assert (hex(seen.esr), seen.target_el, seen.pc) == (hex(row.esr), row.target_el, CODE + row.offset)


@pytest.mark.parametrize(
    ("word", "iss"),
    [
        (0x3940_0043, 0x0103_0000),  # ldrb w3, [x2]
        (0x7940_0043, 0x0143_0000),  # ldrh w3, [x2]
        (0xB940_0043, 0x0183_0000),  # ldr  w3, [x2]
        (0xF940_0043, 0x01C3_8000),  # ldr  x3, [x2]
        (0x7980_0043, 0x0163_8000),  # ldrsh x3, [x2]
        (0xB980_0043, 0x01A3_8000),  # ldrsw x3, [x2]
        (0x3900_0043, 0x0103_0040),  # strb w3, [x2]
        (0xF900_0043, 0x01C3_8040),  # str  x3, [x2]
        (0xF900_005F, 0x01DF_8040),  # str  xzr, [x2]
        (0xA940_1444, 0x0000_0000),  # ldp  x4, x5, [x2]: no ISV for two registers
    ],
)
def test_stage2_abort_describes_the_access(bench, word, iss):
    """ISV, SAS, SSE, SRT, SF and WnR of EC 0x24 tell size, sign, register and direction."""
    bench.start(word, stage2=True)
    bench.set_gpr(2, NOWHERE)
    seen = bench.run_to_trap()
    assert hex(seen.esr) == hex(0x9200_0000 | iss | 0x05)  # translation fault, level 1
    assert (seen.far, seen.hpfar) == (NOWHERE, NOWHERE >> 12 << 4)


@pytest.mark.parametrize(
    ("word", "register", "esr"),
    [
        (0xD53B_E221, "CNTHCTL_EL2", 0x6232_F825),  # mrs x1, CNTP_CTL_EL0 with EL1PCEN = 0
        (0xD518_1000, "HCR_EL2", 0x6230_0400),  # msr SCTLR_EL1, x0 with TVM
    ],
)
def test_system_register_traps_by_other_controls(bench, word, register, esr):
    """EC 0x18 names register, general register and direction."""
    bench.start(word)
    bench.write(register, {"CNTHCTL_EL2": 0, "HCR_EL2": HCR_EL2.of(RW=1, TVM=1)}[register])
    assert hex(bench.run_to_trap().esr) == hex(esr)


@pytest.mark.parametrize("word", [0xD538_CC09, 0x04E0_8400], ids=["mrs x9, ICC_IAR1_EL1", "an unallocated word"])
def test_what_the_engine_lacks_is_undefined(bench, word):
    """EC 0 to EL1 with the return address on the instruction, so that it can be emulated and stepped over."""
    bench.start(word)
    seen = bench.run_to_trap()
    assert (seen.target_el, hex(seen.esr), seen.pc) == (1, "0x2000000", CODE)


def test_handler_that_returns_lets_the_guest_go_on(bench):
    """Registers and PC that the handler writes are in force at once, inside the run."""
    bench.start(svc(1), svc(2), hvc(0))

    def skip(seen):
        if seen.esr >> 26 == 0x16:
            bench.engine.leave()
        else:
            bench.set_gpr(0, bench.gpr(0) + seen.esr & 0xFFFF)

    bench.on_trap = skip
    bench.run()
    assert (bench.gpr(0), len(bench.seen)) == (3, 3)


def test_wfi_goes_on_when_it_is_not_trapped(bench):
    """Without HCR_EL2.TWI the handler hears of the guest's wait, with PC behind it, and the run survives that."""
    bench.start(WFI, hvc(1))
    assert (bench.run_to_trap().target_el, bench.run_to_trap().pc) == (TARGET_WAIT, CODE + 8)


def test_eret_to_el0_and_a_trap_from_there(bench):
    """The engine's ERET is native; an HVC at EL0 is UNDEFINED (C6.2.100)."""
    bench.start(ERET, hvc(1))
    bench.write("SPSR_EL1", EL0t_MASKED)
    bench.write("ELR_EL1", CODE + 4)
    assert (hex(bench.run_to_trap().esr), bench.engine.state.pstate) == ("0x2000000", EL0t_MASKED)


def test_fetch_from_a_device_is_an_external_abort(bench):
    """Fetching where there is only a device: EC 0x21, IFSC 0x10, with an exact PC."""
    device = 0x0900_0000
    bench.engine.memory.map_io(device, PAGE, lambda _offset, _width: 0, lambda _offset, _width, _value: None)
    bench.start(hvc(0))
    bench.engine.state.set_pc(device)
    bench.put(VECTORS + 0x200, hvc(9))
    bench.run_to_trap()
    assert bench.engine.last_exception[:3] == (0x8600_0010, device, device)


def test_exception_in_the_handler_ends_the_run(bench):
    """A Python exception is raised by `run`, and the engine is usable after it."""
    bench.start(hvc(1), hvc(2))

    def fail(_seen):
        raise ValueError("mine")

    bench.on_trap = fail
    with pytest.raises(ValueError, match="mine"):
        bench.run()
    bench.on_trap = lambda _seen: bench.engine.leave()
    bench.engine.state.set_pc(CODE + 4)
    assert bench.run_to_trap().esr & 0xFFFF == 2


def test_a_trap_without_a_handler_is_told(bench):
    """An engine that nobody listens to says which exception it had."""
    from armvcpu.engine.unicorn_engine import UnicornEngine

    engine = UnicornEngine()
    engine.memory.map_ram(RAM, bench.ram)
    bench.ram[:4] = hvc(3).to_bytes(4, "little")
    engine.state.set_pc(CODE)
    with pytest.raises(UsageError, match="0x5a000003"):
        engine.run()
    engine.close()


@pytest.mark.parametrize("check", [check_syndrome, check_stage2])
def test_the_self_tests_own_checks_pass(bench, check):
    """Stage 2 translates and refuses what S2AP and XN forbid (D8.4)."""
    check(bench)


def test_stage2_change_is_seen_after_a_tlb_flush(bench):
    """A page mapped elsewhere by the host is read from there once `flush_tlb` was called."""
    bench.start(0xF940_0043, hvc(0), 0xF940_0043, hvc(0), stage2=True)  # ldr x3, [x2]
    bench.put_u64(DATA, 1)
    bench.put_u64(DATA + PAGE, 2)
    bench.set_gpr(2, DATA)
    bench.run_to_trap()
    first = bench.gpr(3)
    bench.map_page(DATA, DATA + PAGE)
    bench.run_to_trap()
    assert (first, bench.gpr(3)) == (1, 2)
