"""The registers of a vCPU by name: one list, whether it is bound, was bound, or never was."""

from __future__ import annotations

import pytest
from unicorn_bench import CODE, msr
from vcpu_bench import Bench

from armvcpu.arch.registers import SYSREGS, by_name
from armvcpu.engine.selftest_bench import hvc
from armvcpu.errors import StateError, UsageError
from armvcpu.vcpu.vcpu import Aarch64VCpu, Aarch64VCpuCreateConfig, Aarch64VCpuSetupConfig

FMOV_D3_X0, FMOV_X1_D4 = 0x9E67_0003, 0x9E66_0081
LDXR_X5_X2 = 0xC85F_7C45
WRITTEN = {
    "X0": 1, "X30": 2, "PC": CODE + 8, "V0": 3 << 64 | 4, "V31": (1 << 128) - 1, "SP_EL0": 0x50, "SP_EL1": 0x60,
    "SPSR_EL1": 0x3C0, "ELR_EL1": 7, "TPIDR_EL0": 8, "TTBR0_EL1": 0x4000_0000, "FPCR": 1 << 24, "FPSR": 0x1F & ~0x60,
    "CSSELR_EL1": 2, "DBGBVR5_EL1": CODE, "DBGBCR5_EL1": 0x1E6, "MDSCR_EL1": 0x8000, "PSTATE": 0x6000_03C4,
}  # fmt: skip


def unbound() -> Aarch64VCpu:
    vcpu = Aarch64VCpu(0, 0, Aarch64VCpuCreateConfig())
    vcpu.setup(Aarch64VCpuSetupConfig())
    return vcpu


@pytest.mark.parametrize("when", ["bound", "unbound", "never bound"])
def test_what_is_written_is_read(machine, when):
    """And is still there when the vCPU runs elsewhere."""
    vcpu = machine.vcpu(hvc(0))
    if when != "never bound":
        vcpu.bind(machine.cpu())
    if when == "unbound":
        vcpu.unbind()
    for name, value in WRITTEN.items():
        vcpu.registers[name] = value
    assert {name: vcpu.registers[name] for name in WRITTEN} == WRITTEN
    if when == "bound":
        vcpu.unbind()
    vcpu.bind(machine.cpu())
    assert {name: vcpu.registers[name] for name in WRITTEN} == WRITTEN


def test_the_guest_has_what_was_written(machine):
    """General registers, a vector register and PSTATE's flags, as its own instructions see them."""
    vcpu = machine.vcpu(FMOV_D3_X0, FMOV_X1_D4, 0x9A9F_17E2, hvc(0))  # cset x2, eq
    vcpu.bind(machine.cpu())
    registers = vcpu.registers
    registers["CPACR_EL1"], registers["x0"], registers["d4"], registers["nzcv"] = 3 << 20, 77, 88, 1 << 30
    vcpu.run()
    assert (registers["q3"], registers["x1"], registers["x2"]) == (77, 88, 1)


def test_parts_and_other_names(machine):
    """W, Q, D, S, H and B are parts of X and V, and writing one zeroes the rest (B1.2); any case will do."""
    registers = unbound().registers
    registers["V7"], registers["x29"], registers["X30"] = 0x1111_2222_3333_4444_5555_6666_7777_8888, 29, 1 << 40 | 30
    parts = [registers[name] for name in ("q7", "d7", "s7", "h7", "b7", "fp", "lr", "W30")]
    assert parts == [
        0x1111_2222_3333_4444_5555_6666_7777_8888, 0x5555_6666_7777_8888, 0x7777_8888, 0x8888, 0x88,
        29, 1 << 40 | 30, 30,
    ]  # fmt: skip
    registers["s7"], registers["w30"] = 5, 6
    assert (registers["v7"], registers["x30"]) == (5, 6)


@pytest.mark.parametrize(("pstate", "name"), [(0x3C5, "SP_EL1"), (0x3C4, "SP_EL0"), (0x3C0, "SP_EL0")])
@pytest.mark.parametrize("is_bound", [True, False])
def test_sp_is_the_stack_pointer_that_pstate_selects(machine, pstate, name, is_bound):
    """EL1h: SP_EL1; EL1t and EL0: SP_EL0 (D1.2.2). Writing PSTATE changes which one it is, and neither's value."""
    vcpu = machine.vcpu(hvc(0))
    vcpu.bind(machine.cpu())
    if not is_bound:
        vcpu.unbind()
    registers = vcpu.registers
    registers["SP_EL0"], registers["SP_EL1"] = 0x100, 0x200
    registers["pstate"] = pstate
    assert registers["sp"] == registers[name] == {"SP_EL0": 0x100, "SP_EL1": 0x200}[name]
    registers["sp"] = 0x300
    registers["pstate"] = 0x3C5 if name == "SP_EL0" else 0x3C4
    assert (registers[name], vcpu.trap_frame.sp) == (0x300, registers["sp"])


def test_fields_of_pstate_are_windows_on_it():
    """NZCV, DAIF, SPSel and CurrentEL (C5.2)."""
    registers = unbound().registers
    registers["NZCV"], registers["daif"], registers["spsel"] = 0xA << 28, 0x80, 0
    assert (registers["PSTATE"], registers["CurrentEL"]) == (0xA000_0084, 4)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("x31", 0, "no register 'x31'"),
        ("v32", 0, "no register 'v32'"),
        ("q", 0, "no register 'q'"),
        ("", 0, "no register ''"),
        ("APIAKeyLo_EL1", 0, "no register"),
        ("DBGBVR6_EL1", 0, "no register"),
        ("SCTLR_EL12", 0, "no register"),
        ("PAN", 0, "no register"),
        ("S3_1_C15_C7_7", 0, "no register"),
        ("MIDR_EL1", 0, "MIDR_EL1 can't be written"),
        ("mpidr_el1", 0, "MPIDR_EL1 can't be written"),
        ("CurrentEL", 0, "can't be written"),
        ("OSLAR_EL1", 0, "holds nothing"),
        ("x0", 1 << 64, "x0 has 64 bits"),
        ("x0", -1, "x0 has 64 bits"),
        ("x0", "1", "holds a number"),
        ("x0", True, "holds a number"),
        ("w0", 1 << 32, "w0 has 32 bits"),
        ("v0", 1 << 128, "v0 has 128 bits"),
        ("pstate", 0x3D0, "AArch64 state"),
        ("pstate", 0x3C9, "AArch64 state"),
        ("pstate", 0x3C1, "AArch64 state"),
        ("pstate", 1 << 32, "AArch64 state"),
    ],
)
def test_what_cannot_be_is_said_and_changes_nothing(name, value, words):
    """One line."""
    vcpu = unbound()
    before = standing(vcpu)
    with pytest.raises(UsageError, match=words) as error:
        vcpu.registers[name] = value
    assert "\n" not in str(error.value)
    assert standing(vcpu) == before


def standing(vcpu):
    """Every register but those that go on by themselves."""
    moving = ("CNTVCT_EL0", "CNTPCT_EL0", "CNTV_TVAL_EL0", "CNTP_TVAL_EL0")
    return [register.read(vcpu.registers) for register in vcpu.registers if register.name not in moving]


def test_the_list_has_each_register_once(machine):
    """By the Arm name, each of them readable by it; what is writable can be written with what it holds."""
    vcpu = machine.vcpu(hvc(0))
    vcpu.bind(machine.cpu())
    names = [register.name for register in vcpu.registers]
    assert len(names) == len(set(names)) > 150
    for register in vcpu.registers:
        value = vcpu.registers[register.name]
        assert 0 <= value < 1 << register.bits
        if register.is_writable:
            vcpu.registers[register.name] = value
    widths = {register.name: register.bits for register in vcpu.registers}
    assert (widths["X0"], widths["V0"], widths["PSTATE"], widths["SCTLR_EL1"]) == (64, 128, 64, 64)


def test_registers_of_the_table_are_asked_there():
    """As MRS and MSR of the guest's are: a handler's, also of a register without a row."""
    bench, written = Bench(), []
    bench.vcpu.answer_sysreg(by_name["TPIDR_EL1"].encoding, lambda: 5, written.append)
    registers = bench.vcpu.registers
    registers["tpidr_el1"] = 9
    assert (registers["TPIDR_EL1"], written, registers["CCSIDR_EL1"]) == (5, [9], bench.vcpu.model.caches.l1_data)
    bench.vcpu.answer_sysreg(0xFFFF, lambda: 6, None)
    assert registers["s3_7_c15_c15_7"] == 6
    with pytest.raises(UsageError, match="S3_7_C15_C15_7 can't be written"):
        registers["S3_7_C15_C15_7"] = 1


def test_looking_acknowledges_nothing():
    """ICC_IAR1_EL1 is no register to look at: reading it is what the guest does to take an interrupt."""
    bench = Bench(passthrough_interrupt=False)
    bench.vcpu.inject_interrupt(40)
    before = bench.vcpu.interrupts.state()
    with pytest.raises(UsageError, match="ICC_IAR1_EL1 holds nothing"):
        bench.vcpu.registers["icc_iar1_el1"]
    assert [bench.vcpu.registers[register.name] for register in bench.vcpu.registers]
    assert bench.vcpu.interrupts.state() == before


# --- what is kept ---------------------------------------------------------------------------------------------


def test_everything_that_is_saved_is_loaded(machine):
    """Into another vCPU of the model, whatever that has done; EL2's configuration stays its own."""
    first, second = machine.vcpu(hvc(0)), machine.vcpu(msr("SPSR_EL1", 0), hvc(0))
    first.bind(machine.cpu())
    for name, value in WRITTEN.items():
        first.registers[name] = value
    saved = first.registers.save()
    second.bind(machine.cpu())
    second.run()
    second.system_registers.vmpidr_el2, hcr = 0x8000_0003, second.system_registers.hcr_el2
    second.unbind()
    second.load_registers(saved)
    assert second.registers.save() == saved
    assert (second.system_registers.vmpidr_el2, second.system_registers.hcr_el2) == (0x8000_0003, hcr)


def test_what_a_guest_can_write_is_kept_or_another_ones():
    """Each row of the engine's that EL1 or EL0 can write is saved, but for windows on others and EL2's own."""
    vcpu = Bench(passthrough_timer=True).vcpu
    kept = {register.name for register in vcpu.registers.kept()}
    left_out = {row.name for row in SYSREGS if row.name in vcpu.registers and row.home.name == "NATIVE"} - kept
    assert {name for name in left_out if not name.endswith(("_EL2", "_EL3"))} == {
        "SPSel", "CurrentEL", "NZCV", "DAIF", "ISR_EL1", "CNTPCT_EL0", "CNTVCT_EL0", "CNTP_TVAL_EL0", "CNTV_TVAL_EL0",
        "MDRAR_EL1", "SPSR_irq", "SPSR_abt", "SPSR_und", "SPSR_fiq",
    }  # fmt: skip


def test_who_answers_for_a_register_does_not_change_what_is_kept():
    """A handler's registers are still the engine's own for a snapshot, which another machine may have taken."""
    bench = Bench()
    saved = bench.vcpu.registers.save()
    for name in ("TPIDR_EL1", "CSSELR_EL1", "LORC_EL1"):
        bench.vcpu.answer_sysreg(by_name[name].encoding, lambda: 99, lambda _value: None)
    assert bench.vcpu.registers.save() == saved
    bench.vcpu.unbind()
    bench.vcpu.load_registers({**saved, "TPIDR_EL1": 1, "CSSELR_EL1": 2})
    assert bench.vcpu.registers.save() == {**saved, "TPIDR_EL1": 1, "CSSELR_EL1": 2}


def test_the_exclusive_monitor_is_named(machine):
    """The address that LDXR marked, and what was there; a state as after reset watches nothing."""
    vcpu = machine.vcpu(LDXR_X5_X2, hvc(0))
    vcpu.bind(machine.cpu())
    assert vcpu.state.exclusive[0] == (1 << 64) - 1
    vcpu.registers["x2"] = CODE
    vcpu.run()
    assert vcpu.state.exclusive[:2] == (CODE, vcpu.registers["x5"])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"X0": -1}, "X0 has 64 bits"),
        ({"X0": 1 << 64}, "X0 has 64 bits"),
        ({"V3": 1 << 128}, "V3 has 128 bits"),
        ({"X0": "0"}, "X0 holds a number"),
        ({"X0": None}, "X0 holds a number"),
        ({"PSTATE": 0x3CD}, "AArch64 state"),
        ({"HCR_EL2": 0}, "there is no register 'HCR_EL2'"),
        ({"x0": 0}, "there is no register 'x0'"),
    ],
)
def test_what_is_no_saved_state_is_refused(change, words):
    """Nothing has changed then."""
    bench = Bench()
    saved = bench.vcpu.registers.save()
    bench.vcpu.unbind()
    with pytest.raises(UsageError, match=words):
        bench.vcpu.load_registers({**saved, **change})
    del saved["X7"]
    with pytest.raises(UsageError, match="X7 is missing"):
        bench.vcpu.load_registers(saved)
    assert bench.vcpu.registers.save() == {**saved, "X7": 0}


def test_a_vcpu_that_was_never_bound_has_nothing_to_save():
    """Its registers come with its first binding."""
    with pytest.raises(StateError, match="not been bound"):
        unbound().registers.save()
