"""The trap frame and the guest's system registers: before there is a CPU, on one, and away from it."""

from __future__ import annotations

import pytest
from vcpu_bench import DTB, RAM, Bench

from armvcpu.arch.registers import by_name
from armvcpu.engine.fake import Trap
from armvcpu.errors import StateError, UsageError
from armvcpu.vcpu.context_frame import SWITCHED, GuestSystemRegisters, TrapFrame, reset_pstate
from armvcpu.vcpu.vcpu import Aarch64VCpu, Aarch64VCpuCreateConfig, Aarch64VCpuSetupConfig

ALL_ONES = 0xFFFF_FFFF_FFFF_FFFF
HVC = 0x5A00_0000


@pytest.fixture(params=["before the first bind", "bound"])
def frame(request) -> TrapFrame:
    """A frame without and with a saved CPU behind it."""
    return TrapFrame() if request.param == "before the first bind" else Bench().vcpu.trap_frame


@pytest.mark.parametrize("index", [0, 1, 29, 30])
def test_general_registers_keep_64_bits(frame, index):
    """What does not fit is cut off."""
    frame.set_gpr(index, (1 << 64) + ALL_ONES)
    assert frame.gpr(index) == ALL_ONES


def test_register_31_is_xzr(frame):
    """It reads as zero and ignores writes."""
    frame.set_gpr(31, 5)
    assert frame.gpr(31) == 0


@pytest.mark.parametrize("index", [-1, 32])
def test_there_is_no_other_register(frame, index):
    """UsageError for reads and writes."""
    with pytest.raises(UsageError, match="no general-purpose register"):
        frame.gpr(index)
    with pytest.raises(UsageError, match="no general-purpose register"):
        frame.set_gpr(index, 0)


def test_argument_is_x0(frame):
    """As the boot protocols pass the device tree."""
    frame.set_argument(0x4400_0000)
    assert frame.gpr(0) == 0x4400_0000


def test_exception_pc_is_elr(frame):
    """One register under both names."""
    frame.set_exception_pc(0x8000)
    assert (frame.exception_pc, frame.elr) == (0x8000, 0x8000)


def test_cpu_that_never_ran_is_at_el1h_masked(frame):
    """D1.4: SPSR shows EL1h with DAIF set, and the stack pointers are zero."""
    assert (frame.spsr, frame.sp, frame.sp_el0) == (0x3C5, 0, 0)
    assert [reset_pstate(el) for el in (1, 2, 3)] == [0x3C5, 0x3C9, 0x3CD]


def test_what_was_written_early_is_there_after_bind():
    """Entry, argument and registers."""
    bench = Bench()
    assert (bench.vcpu.trap_frame.exception_pc, bench.vcpu.gpr(0)) == (RAM, DTB)


@pytest.mark.parametrize(
    ("pstate", "sp_el0", "sp_el1"),
    [(0x3C0, 0x1000, 0xB1), (0x3C4, 0x1000, 0xB1), (0x3C5, 0xB0, 0x1000)],
    ids=["EL0t", "EL1t", "EL1h"],
)
def test_stack_pointers_by_what_pstate_selects(pstate, sp_el0, sp_el1):
    """The selected one is SP, the others are in their banks (C5.2.18, SP_EL0)."""
    bench = Bench()
    for name, value in (("SP_EL0", 0xB0), ("SP_EL1", 0xB1)):
        bench.engine.registers.write(by_name[name].encoding, value)
    bench.play(Trap(2, HVC, pstate=pstate, regs={31: 0x1000}))
    frame = bench.vcpu.trap_frame
    assert (frame.sp, frame.sp_el0, frame.spsr) == (0x1000, sp_el0, pstate)
    assert bench.vcpu.system_registers.sp_el1 == sp_el1


def test_dump_shows_every_register():
    """By name, in hexadecimal, PSTATE in words."""
    bench = Bench()
    bench.play(Trap(2, HVC, pc=RAM + 4, pstate=0x6000_03C5, regs={i: 0xA0 + i for i in range(1, 32)}))
    text = str(bench.vcpu.trap_frame)
    assert all(f"x{i} {0xA0 + i:016x}" in text for i in range(1, 31))
    assert f"sp {0xBF:016x}" in text
    assert f"pc {RAM + 4:016x}  pstate 600003c5 (EL1h nZCv DAIF)" in text


# --- system registers -------------------------------------------------------------------------------------------


def test_system_registers_before_the_first_bind():
    """They hold what is written, and read as zero until then."""
    registers = GuestSystemRegisters()
    registers.vbar_el1 = 0x800
    assert (registers.vbar_el1, registers.tcr_el1, dict(registers)["VBAR_EL1"]) == (0x800, 0, 0x800)


def test_all_that_a_switch_keeps_are_listed():
    """EL1's own registers and EL2's configuration for them, each once."""
    names = [name for name, _ in GuestSystemRegisters()]
    assert len(set(names)) == len(names) == len(SWITCHED)
    assert {"SCTLR_EL1", "SP_EL1", "TPIDR_EL0", "HCR_EL2", "VTTBR_EL2", "VMPIDR_EL2", "CNTVOFF_EL2"} <= set(names)


@pytest.mark.parametrize("name", ["sctlr_el3", "VBAR_EL1", "no_such"])
def test_names_that_are_none_are_attribute_errors(name):
    """A slip of the pen must not become a register."""
    registers = GuestSystemRegisters()
    with pytest.raises(AttributeError, match=name):
        getattr(registers, name)
    with pytest.raises(AttributeError, match=name):
        setattr(registers, name, 1)


def test_registers_by_encoding_are_the_same_registers():
    """For callers that have an ISS and no name."""
    registers = Bench().vcpu.system_registers
    registers.write(by_name["TTBR0_EL1"].encoding, 0x9000)
    assert (registers.ttbr0_el1, registers.read(by_name["TTBR0_EL1"].encoding)) == (0x9000, 0x9000)


def test_current_stack_pointer_can_be_written():
    """SP_EL1 of a CPU at EL1h is its SP, and its bank plays no part."""
    bench = Bench()
    bench.vcpu.system_registers.sp_el1 = 0x7000
    assert (bench.vcpu.trap_frame.sp, bench.vcpu.system_registers.sp_el1) == (0x7000, 0x7000)


def two_on_one_cpu() -> tuple[Bench, Aarch64VCpu]:
    """A vCPU that is not bound any more, and another one in its place."""
    bench = Bench()
    bench.vcpu.unbind()
    other = Aarch64VCpu(0, 1, Aarch64VCpuCreateConfig())
    other.setup(Aarch64VCpuSetupConfig())
    other.bind(bench.pcpu)
    return bench, other


def test_registers_of_an_unbound_vcpu_can_be_read_and_written():
    """And those of the one that is bound are not touched."""
    bench, other = two_on_one_cpu()
    other.system_registers.vbar_el1 = 0x1000
    bench.vcpu.system_registers.vbar_el1 = 0x2000
    bench.vcpu.set_gpr(3, 4)
    assert (bench.vcpu.system_registers.vbar_el1, other.system_registers.vbar_el1) == (0x2000, 0x1000)
    assert (bench.vcpu.gpr(3), other.gpr(3), bench.engine.state is other.state) == (4, 0, True)


def test_registers_behind_a_disabled_cpu_are_refused():
    """There is no engine any more to ask."""
    bench = Bench()
    bench.vcpu.unbind()
    bench.pcpu.hardware_disable()
    with pytest.raises(StateError, match="not enabled"):
        _ = bench.vcpu.system_registers.vbar_el1
