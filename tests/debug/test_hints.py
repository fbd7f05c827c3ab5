"""What a crash report says first: small guests, each with one of the mistakes that firmware makes, run on a machine."""

from __future__ import annotations

import pytest
from raw_guest import (
    BASE,
    ERET,
    FOREVER,
    HLT_SEMIHOSTING,
    HVC,
    ISB,
    NOP,
    STP_PUSH,
    SVC,
    UDF,
    WFI,
    add,
    br,
    branch,
    image,
    load,
    mov,
    mov_sp,
    mrs,
    msr,
    set_vectors,
    store,
)

from armvcpu import Machine

FADD, SMC, BRK_1000, RET, LDAXR = 0x1E61_2800, 0xD400_0003, 0xD420_7D00, 0xD65F_03C0, 0xC85F_FC41
"""fadd d0, d0, d1; smc #0; brk #1000; ret; ldaxr x1, [x2]"""
LDADD = 0xF820_0041
"""ldadd x0, x1, [x2]"""
FP_ON = [*mov(9, 3 << 20), msr("CPACR_EL1", 9), ISB]
STP_LOW = 0xA9BF_07E0
"""stp x0, x1, [sp, #-16]!"""
STP_X29_LOW, MOV_X29_SP = 0xA9BF_07A0, 0x9100_03FD
"""stp x0, x1, [x29, #-16]!; mov x29, sp"""


def at_el0(*words):
    """Go on at EL0 behind the ERET."""
    behind = BASE + 4 * (4 + 1 + 4 + 1 + 1)
    return [*mov(0, behind), msr("ELR_EL1", 0), *mov(0, 0x3C0), msr("SPSR_EL1", 0), ERET, *words]


UART_ELSEWHERE = {0x3F20_1000: "a Raspberry Pi 3", 0xFE20_1000: "a Raspberry Pi 4", 0xFF1A_0000: "an RK3399"}
PL011 = "this board's UART is a PL011 at 0x09000000"
MISTAKES = {
    # name: (words, options, the faulting instruction, what the hint says)
    "GICC with a GICv3": ((mov(0, 0x0801_0000), store(1, 0, 4)), {}, "str w1, [x0]", "run it with --gic 2"),
    "GICH with a GICv3": ((mov(0, 0x0803_0000), store(1, 0, 4)), {}, "str w1, [x0]", "GICH, and this machine has"),
    "GICV without EL2": (
        (mov(0, 0x0804_0000), store(1, 0, 4)), {"gic": 2}, "str w1, [x0]", "has GICV: run it with --el 2"
    ),
    "GICR with a GICv2": ((mov(0, 0x080A_0014), load(1, 0, 4)), {"gic": 2}, "ldr w1, [x0]", "run it with --gic 3"),
    "ICC with a GICv2": ((msr("ICC_PMR_EL1", 0),), {"gic": 2}, "msr icc_pmr_el1, x0", "run it with --gic 3"),
    "semihosting is off": ((mov(0, 4), HLT_SEMIHOSTING), {}, "hlt #0xf000", "run it with --semihosting"),
    "EL2 register": ((msr("HCR_EL2", 0),), {}, "msr hcr_el2, x0", "the guest started at EL1: run it with --el 2"),
    "EL2 register, read": ((mrs(0, "SCTLR_EL2"),), {}, "mrs x0, sctlr_el2", "SCTLR_EL2 is a register of EL2"),
    "EL3 register": ((msr("SCR_EL3", 0),), {}, "msr scr_el3, x0", "SCR_EL3 is a register of EL3"),
    "FP is off": ((FADD,), {}, "fadd d0, d0, d1", "set CPACR_EL1.FPEN = 0b11"),
    "FP is off at EL0": ((at_el0(FADD),), {}, "fadd d0, d0, d1", "set CPACR_EL1.FPEN = 0b11"),
    "null call": ((mov(8, 0), 0xD63F_0100), {}, "", "a call through a null pointer"),
    "return without x30": ((mov(30, 0), RET), {}, "", "a return with x30 lost"),
    "no stack": ((STP_PUSH,), {}, "stp x29, x30, [sp, #-0x10]!", "the guest has no stack, SP is 0x0"),
    "stack below RAM": (
        (mov(0, 0x4000_0000), mov_sp(0), STP_LOW), {}, "stp x0, x1, [sp, #-0x10]!", "the stack has overflowed",
    ),
    "stack below RAM, by a frame pointer": (
        (mov(0, 0x4000_0000), mov_sp(0), MOV_X29_SP, STP_X29_LOW), {}, "stp x0, x1, [x29, #-0x10]!",
        "the stack has overflowed: SP is 0x40000000, and no memory is at 0x3ffffff0",
    ),
    **{
        f"UART of {whose}": (
            (mov(0, address), store(1, 0, 1)), {"memory": "64M"}, "strb w1, [x0]",
            f"{address:#010x} is the UART of {whose}; {PL011}",
        )
        for address, whose in UART_ELSEWHERE.items()
    },
    "nothing there": ((mov(0, 0x0C00_0000), store(1, 0, 1)), {}, "strb w1, [x0]", f"nothing is at 0x0c000000: {PL011}"),
    "behind RAM": ((mov(0, 0x4400_0000), load(1, 0)), {"memory": "64M"}, "ldr x1, [x0]", "RAM ends at 0x43ffffff"),
    "behind RAM elsewhere": (
        (mov(0, 0x8100_0000), load(1, 0)), {"ram": ("0x80000000:16M",)}, "ldr x1, [x0]",
        "RAM ends at 0x80ffffff: give more by --ram",
    ),
    "behind RAM that is continued": (
        (mov(0, 0x5100_0008), load(1, 0)), {"ram": ("0x50000000:16M",)}, "ldr x1, [x0]",
        "RAM ends at 0x50ffffff: give more by --memory",
    ),
    "between RAM and RAM": (
        (mov(0, 0x7000_0000), store(1, 0, 8)), {"ram": ("0x80000000:16M",), "memory": "32M"}, "str x1, [x0]",
        "RAM ends at 0x41ffffff: give more by --memory",
    ),
    "behind RAM among devices": (
        (mov(0, 0x0C10_0000), load(1, 0)), {"ram": ("0x0c000000:1M",)}, "ldr x1, [x0]", "RAM ends at 0xc0fffff",
    ),
    "far behind RAM among devices": (
        (mov(0, 0x0E00_0000), load(1, 0)), {"ram": ("0x0c000000:1M",)}, "ldr x1, [x0]", "nothing is at 0x0e000000",
    ),
    "exclusive access unaligned": ((mov(2, BASE + 4), LDAXR), {}, "ldaxr x1, [x2]", "-mstrict-align"),
    "zeroes": ((branch(0x1000),), {}, "", "memory that is all zeroes was executed"),
    "nowhere": ((mov(0, 0x0C00_0000), br(0)), {}, "", "PC is not in memory"),
    "compiler's trap": ((BRK_1000,), {}, "brk #0x3e8", "the compiler's own trap"),
    "atomic of LSE": ((LDADD,), {}, "ldadd x0, x1, [x2]", "FEAT_LSE, which a72 lacks: run it with --cpu-model max"),
    "swap of LSE": ((0xF820_8041,), {"cpu_model": "a53"}, "swp x0, x1, [x2]", "FEAT_LSE, which a53 lacks"),
    "compare and swap": ((0xC8A0_7C41,), {}, "cas x0, x1, [x2]", "FEAT_LSE"),
    "LDAPR": ((0xF8BF_C041,), {}, "ldapr x1, [x2]", "FEAT_LRCPC, which a72 lacks"),
    "half precision": ((FP_ON, 0x1EE1_2800), {}, "fadd h0, h0, h1", "FEAT_FP16, which a72 lacks"),
    "dot product": ((FP_ON, 0x4E81_9400), {}, "sdot v0.4s, v0.16b, v1.16b", "FEAT_DotProd, which a72 lacks"),
    "flag manipulation": ((0xD500_401F,), {}, "cfinv", "FEAT_FlagM, which a72 lacks"),
    "SVE": ((FP_ON, 0x0420_E3E0), {"cpu_model": "max"}, "cntb x0", "FEAT_SVE, which no CPU model here has"),
    "pointer authentication": ((0xDAC1_0020,), {"cpu_model": "max"}, "pacia x0, x1", "FEAT_PAuth, which no CPU model"),
    "return that authenticates": ((0xD65F_0BFF,), {"cpu_model": "max"}, "retaa", "FEAT_PAuth"),
    "branch between instructions": ((mov(0, BASE + 2), br(0)), {}, "", "no multiple of 4: a damaged function pointer"),
    "no instruction": ((0x0333_3333,), {}, ".inst 0x03333333", "0x03333333 is no instruction: data was executed"),
    "UDF": ((0x0000_C11F, NOP), {}, "udf #0xc11f", "UDF is undefined forever"),
    "EL1 register at EL0": ((at_el0(mrs(0, "SCTLR_EL1")),), {}, "mrs x0, sctlr_el1", "and this ran at EL0"),
    "no such register": ((mrs(0, "APIAKeyLo_EL1"),), {}, "mrs x0, apiakeylo_el1", "APIAKeyLo_EL1 is not there"),
    "read-only register": ((msr("MIDR_EL1", 0),), {}, "msr midr_el1, x0", "MIDR_EL1 is read-only"),
    "stored to flash, and called": (
        (mov(0, 0x1000), mov(1, 65), store(1, 0, 4), br(0)), {}, "",
        "erased flash was executed: a store to flash is a command to it",
    ),
    "called flash": ((mov(0, 0x1000), br(0)), {}, "", "erased flash was executed: a jump that went astray"),
    "anything else": ((SVC,), {}, "svc #0", "the guest has no exception vectors: VBAR_EL1 is 0"),
}  # fmt: skip


@pytest.mark.parametrize("clock", ["host", "instructions"])
@pytest.mark.parametrize("mistake", MISTAKES)
def test_first_exception_says_what_to_try(crashed, mistake, clock):
    """Without vectors: its instruction, and one line of advice that is at the head and at the end."""
    words, options, instruction, advice = MISTAKES[mistake]
    report = crashed(*words, clock=clock, **options)
    assert (report.fault.instruction, report.is_endless) == (instruction, True)
    assert advice in report.hint
    assert report.render().splitlines()[1] == report.render().splitlines()[-1] == f"armvcpu: {report.hint}"


def test_store_to_the_stack_whose_instruction_was_written_over(crashed):
    """It is executed by its translation, which begins before the store to it."""
    over = [*mov(0, BASE + 4 * 14), *mov(1, 0x123), *mov(2, 0x4000_0000), mov_sp(2), store(1, 0, 4), STP_LOW]
    report = crashed(over, FOREVER)
    assert (report.fault.instruction, report.fault.loaded) == ("udf #0x123", "stp x0, x1, [sp, #-0x10]!")
    assert report.hint.startswith("the stack has overflowed, through the program's own code: SP is 0x40000000")
    assert f"{report.fault.instruction} (loaded as {report.fault.loaded})" in report.headlines[0]


@pytest.mark.parametrize("clock", ["host", "instructions"])
def test_stack_that_runs_down_over_the_code(crashed, clock):
    """What ends it is up to whether its loop is translated afresh before RAM ends; that it is the stack, is not."""
    report = crashed(mov(0, BASE + 0x1000), mov_sp(0), STP_LOW, branch(-1), clock=clock)
    assert report.fault.loaded == "stp x0, x1, [sp, #-0x10]!"
    assert "no longer as it was loaded" in report.hint
    assert "stack" in report.hint


def test_code_that_was_written_over(crashed):
    """A store to the instruction behind it, and that one is fetched."""
    over = [*mov(0, BASE + 4 * 12), *mov(1, 0x0000_0123), store(1, 0, 4), 0xD508_751F, 0xD503_3F9F, ISB, NOP]
    report = crashed(*over)
    assert (report.fault.instruction, report.fault.loaded) == ("udf #0x123", "nop")
    assert report.hint.startswith("memory at 0x40080030 is no longer as it was loaded")


def test_null_pointer_with_the_mmu_on(crashed):
    """Its page is not mapped: FAR is the offset of a field."""
    entry = BASE & ~0x3FFF_FFFF | 0x701  # a block of 1 GiB, Normal or Device by MAIR_EL1 = 0
    table = 0x4010_0000
    report = crashed(
        mov(0, table), mov(1, entry), 0xF900_0401,  # str x1, [x0, #8]
        msr("TTBR0_EL1", 0), mov(2, 25 | 2 << 32), msr("TCR_EL1", 2),
        mov(3, 0x30D0_0801), msr("SCTLR_EL1", 3), 0xD503_3FDF, mov(4, 0x18), load(5, 4), FOREVER,
    )  # fmt: skip
    assert (report.fault.instruction, report.fault.far) == ("ldr x5, [x4]", 0x18)
    assert report.hint == "a null pointer: 0x18 is the offset from it"


@pytest.mark.parametrize("handler", [[UDF], [STP_PUSH], [NOP, SVC, UDF]], ids=["udf", "push", "two"])
def test_handler_that_faults_itself_does_not_hide_the_first(crashed, handler):
    """Its own exception is another one, outside of the vector; the first is told."""
    far = [0x1400_0000 | 0x20]
    report = crashed(
        set_vectors(), mov(0, 0x0801_0000), store(1, 0, 4), vector=[*far, *[NOP] * 31, *handler]
    )  # fmt: skip
    assert (report.fault.instruction, report.is_endless) == ("str w1, [x0]", True)
    assert report.fault.elr == BASE + 4 * 10
    assert "--gic 2" in report.hint


def test_handler_that_passes_over_it_leaves_a_hint(crashed):
    """It adds 4 to ELR_EL1 and goes on; then nothing ever wakes the guest."""
    skip = [mrs(10, "ELR_EL1"), add(10, 10, 4), msr("ELR_EL1", 10), ERET]
    report = crashed(set_vectors(), mov(0, 0x0801_0000), store(1, 0, 4), WFI, FOREVER, vector=skip)
    assert (report.fault, report.is_endless) == (None, False)
    first, second = report.render().splitlines()[:2]
    assert "nothing on this machine can wake it" in first
    assert second.endswith("run it with --gic 2")


def test_guest_that_waits_in_its_handler_tells_of_what(crashed):
    """A panic that ends in WFI: the hint is about the exception that it was for."""
    report = crashed(set_vectors(), FADD, FOREVER, vector=[WFI, branch(-1)])
    assert "nothing on this machine can wake it" in report.render().splitlines()[0]
    assert report.render().splitlines()[1] == "armvcpu: " + report.hint
    assert (report.fault.instruction, "CPACR_EL1.FPEN" in report.hint) == ("fadd d0, d0, d1", True)


def test_system_call_that_waits_is_no_fault(crashed):
    """Its handler has not returned, and need not."""
    assert crashed(set_vectors(), SVC, vector=[WFI, branch(-1)]).fault is None


def test_smc_that_nobody_answers_wants_a_monitor(crashed):
    """A part of a firmware that runs at EL3 elsewhere; only PSCI answers here."""
    report = crashed(mov(0, 0xC200_0001), SMC, WFI, FOREVER)
    assert report.hint.startswith("the SMC 0xc2000001 before 0x40080014 wants a monitor at EL3")


def test_smc_that_only_asks_is_no_mistake(crashed):
    """Of the Standard Secure service, say: software for EL1 looks whether it is there."""
    assert crashed(mov(0, 0x8400_0100), SMC, WFI, FOREVER).hint == ""


def test_eret_to_a_level_that_there_is_not(crashed):
    """PSTATE.IL is set by it, and still so in the exception that follows."""
    to_el2 = [*mov(0, BASE + 4 * 11), msr("ELR_EL1", 0), *mov(0, 0x3C9), msr("SPSR_EL1", 0), ERET]
    assert "an ERET before went to a level" in crashed(*to_el2, SVC).hint


def test_flash_that_got_a_command_has_no_code(tmp_path):
    """Firmware with its data in flash: the store is a command, and the next fetch an abort."""
    path = tmp_path / "firmware.bin"
    path.write_bytes(image(mov(0, 0x4000), mov(1, 0x70), store(1, 0, 4), NOP, FOREVER))
    with Machine(firmware=path) as machine:
        report = machine.crash_report(machine.run(timeout=5).reason)
    assert "link .data and .bss into RAM" in report.hint


def test_right_guests_get_no_advice(tmp_path):
    """A wrong hint costs more than none."""
    path = tmp_path / "guest.bin"
    path.write_bytes(image(set_vectors(), SVC, FOREVER, vector=[ERET]))
    with Machine(path) as machine:
        report = machine.crash_report(machine.run(timeout=0.2).reason)
    assert (report.fault, report.hint) == (None, "")
    assert report.elr.pc == BASE + 4 * 7


def test_empty_pcie_window_is_named_where_a_guest_hangs(tmp_path):
    """The UART of RISC-V's virt board lies there: no abort, and nothing is printed."""
    path = tmp_path / "guest.bin"
    path.write_bytes(image(mov(0, 0x1000_0000), store(1, 0, 1), FOREVER))
    with Machine(path) as machine:
        report = machine.crash_report(machine.run(timeout=0.2).reason)
    assert PL011 in report.hint


def test_hvc_is_no_fault(crashed):
    """What is for EL2 is not kept: the exception before it is."""
    report = crashed(set_vectors(), mov(0, 0x1234), HVC, FADD, vector=[mov(0, 0x1234)[0], HVC, UDF])
    assert report.fault.instruction == "fadd d0, d0, d1"
