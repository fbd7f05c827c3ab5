"""vCPUs on the real engine: exits by real instructions, switches between CPUs, and virtual interrupts."""

from __future__ import annotations

import pytest
from unicorn_bench import IRQ, SYNC, Machine, mrs, msr, with_stage2

from armvcpu.arch.registers import by_name, instruction_from_access, iss_from_encoding, op
from armvcpu.engine.selftest_bench import (
    ADD_X0_1,
    ADD_X1_1,
    CODE,
    DATA,
    ERET,
    LDR_X3_X2,
    NOP,
    NOWHERE,
    RAM,
    UNMASK_IRQ,
    VECTORS,
    WFI,
    branch,
    hvc,
    svc,
)
from armvcpu.errors import GuestCrash, Unmodelled
from armvcpu.vcpu.exits import (
    ExternalInterrupt,
    Halt,
    Hypercall,
    MmioRead,
    MmioWrite,
    NestedPageFault,
    Nothing,
    SysRegRead,
    SysRegWrite,
)
from armvcpu.vcpu.pcpu import Aarch64PerCpu
from armvcpu.vcpu.stage2.mapping import MappingFlags
from armvcpu.vcpu.vcpu import Aarch64VCpu, VCpuState

UNLISTED = op(3, 1, 11, 7, 7)
WFE, SMC, MASK_IRQ = 0xD503_205F, 0xD400_0003, 0xD503_42DF  # wfe; smc #0; msr daifset, #2
ADDS_X4_X0_X1 = 0xAB01_0004  # adds x4, x0, x1
FMOV_D7_X0, FMOV_X6_D7 = 0x9E67_0007, 0x9E66_00E6  # fmov d7, x0; fmov x6, d7
MOV_SP_X2 = 0x9100_005F  # mov sp, x2
CALL = Hypercall(0, (0, 0, 0, 0, 0, 0))


# --- exits ------------------------------------------------------------------------------------------------------

EXITS = [
    ("hvc #0", hvc(0), Hypercall(0, (0, NOWHERE, 0xFFFF_FFFF_FFFF_FF85, 0, 0, 0)), 4),
    ("wfi", WFI, Halt(), 4),
    ("mrs x5, S3_1_C11_C7_7", instruction_from_access(UNLISTED, 5, is_read=True), None, 4),
    ("msr S3_1_C11_C7_7, x3", instruction_from_access(UNLISTED, 3, is_read=False), None, 4),
    ("ldr x3, [x2]", LDR_X3_X2, MmioRead(NOWHERE, 8, 3, 8, False), 4),
    ("ldrsb w9, [x2]", 0x39C0_0049, MmioRead(NOWHERE, 1, 9, 4, True), 4),
    ("ldrsw xzr, [x2]", 0xB980_005F, MmioRead(NOWHERE, 4, 31, 8, True), 4),
    ("strh w3, [x2]", 0x7900_0043, MmioWrite(NOWHERE, 2, 0xFF85), 4),
    ("str xzr, [x2]", 0xF900_005F, MmioWrite(NOWHERE, 8, 0), 4),
    ("ldp x4, x5, [x2]", 0xA940_1444, NestedPageFault(NOWHERE, MappingFlags.READ), 0),
    ("stp x4, x5, [x2]", 0xA900_1444, NestedPageFault(NOWHERE, MappingFlags.WRITE), 0),
    ("ldr x3, [x2], #8", 0xF840_8443, NestedPageFault(NOWHERE, MappingFlags.READ), 0),
    ("strb w3, [x2, #-1]!", 0x381F_FC43, NestedPageFault(NOWHERE - 1, MappingFlags.WRITE), 0),
    ("ldur x3, [x2, #-8]", 0xF85F_8043, MmioRead(NOWHERE - 8, 8, 3, 8, False), 4),
    ("br x2", 0xD61F_0040, NestedPageFault(NOWHERE, MappingFlags.EXECUTE), NOWHERE - CODE),
]


@pytest.mark.parametrize(("word", "exit_", "offset"), [row[1:] for row in EXITS], ids=[row[0] for row in EXITS])
def test_instruction_makes_its_exit(machine, word, exit_, offset):
    """With the registers it names, and PC behind it, or on it where it is to be tried again."""
    vcpu = machine.vcpu(word)
    with_stage2(machine, vcpu)
    vcpu.set_gpr(0, 0)
    vcpu.set_gpr(2, NOWHERE)
    vcpu.set_gpr(3, 0xFFFF_FFFF_FFFF_FF85)
    if exit_ is None:
        name = iss_from_encoding(UNLISTED)
        exit_ = SysRegRead(name, 5) if word & 1 << 21 else SysRegWrite(name, 0xFFFF_FFFF_FFFF_FF85)
    assert (vcpu.run(), vcpu.state.pc - CODE) == (exit_, offset)


def test_what_is_answered_in_the_trap_is_no_exit(machine):
    """WFE, an SMC for nobody, an ID register, and one that is emulated; then the call."""
    vcpu = machine.vcpu(WFE, SMC, mrs(5, "MIDR_EL1"), mrs(6, "ID_AA64PFR0_EL1"), mrs(7, "ICC_IAR1_EL1"), hvc(0))
    vcpu.bind(machine.cpu())
    reason = vcpu.run()
    assert isinstance(reason, Hypercall)
    assert reason.nr == 0xFFFF_FFFF_FFFF_FFFF  # the SMC's NOT_SUPPORTED
    assert (vcpu.gpr(5), vcpu.gpr(6), vcpu.gpr(7)) == (vcpu.model.MIDR_EL1, 0x0100_0011, 1023)


@pytest.mark.parametrize(
    ("word", "answer", "esr"),
    [
        (instruction_from_access(UNLISTED, 5, is_read=True), Aarch64VCpu.inject_undefined, 0x0200_0000),
        (LDR_X3_X2, Aarch64VCpu.inject_external_abort, 0x9600_0010),
        (0xF900_0043, Aarch64VCpu.inject_external_abort, 0x9600_0050),  # str x3, [x2]
    ],
)
def test_exit_that_is_refused_is_taken_by_the_guest(machine, word, answer, esr):
    """Its vector finds ESR_EL1 and ELR_EL1 of the instruction."""
    vcpu = machine.vcpu(NOP, word)
    machine.put(SYNC, mrs(8, "ESR_EL1"), mrs(9, "ELR_EL1"), hvc(0))
    with_stage2(machine, vcpu)
    vcpu.set_gpr(2, NOWHERE)
    vcpu.run()
    answer(vcpu)
    vcpu.run()
    assert (hex(vcpu.gpr(8)), hex(vcpu.gpr(9)), vcpu.state.pc) == (hex(esr), hex(CODE + 4), SYNC + 12)


def test_step_goes_through_exits(machine):
    """One instruction each; the call is an exit."""
    vcpu = machine.vcpu(ADD_X0_1, hvc(0), ADD_X0_1)
    vcpu.bind(machine.cpu())
    assert [vcpu.step(), vcpu.step(), vcpu.step()] == [Nothing(), Hypercall(1, (0, 0, 0, 0, 0, 0)), Nothing()]
    assert (vcpu.gpr(0), vcpu.state.pc) == (2, CODE + 12)


def test_reset_runs_the_guest_again_from_its_entry(machine):
    """As if it had never run."""
    vcpu = machine.vcpu(ADD_X0_1, MOV_SP_X2, hvc(0))
    vcpu.bind(machine.cpu())
    vcpu.set_gpr(2, 0x8000)
    first = vcpu.run()
    vcpu.reset()
    fresh = (vcpu.trap_frame.sp, vcpu.gpr(2), vcpu.state.pc)
    assert (first, fresh, vcpu.run()) == (Hypercall(1, (0, 0x8000, 0, 0, 0, 0)), (0, 0, CODE), Hypercall(1, (0,) * 6))


def test_trapped_physical_count_is_the_engines(machine):
    """CNTPCT_EL0 with CNTHCTL_EL2.EL1PCTEN clear moves on."""
    vcpu = machine.vcpu(mrs(5, "CNTPCT_EL0"), mrs(6, "CNTPCT_EL0"), hvc(0), passthrough_timer=False)
    vcpu.bind(machine.cpu())
    vcpu.run()
    assert vcpu.gpr(6) >= vcpu.gpr(5) > 0


# --- exceptions that somebody hears -----------------------------------------------------------------------------

HLT, BRK = 0xD45E_0000, 0xD420_0000 | 0xF00D << 5  # hlt #0xf000; brk #0xf00d


def test_semihosting_call_is_answered_in_the_trap(machine):
    """At HLT #0xF000, with PC on it; other exceptions stay the guest's."""
    vcpu = machine.vcpu(HLT, HLT + 0x20, hvc(0))  # the second is HLT #0xF001
    machine.put(SYNC, hvc(0))
    vcpu.hear_semihosting(lambda called: called.state.step_over(0, called.state.pc))
    vcpu.bind(machine.cpu())
    assert (vcpu.run().nr, vcpu.state.pc, vcpu.last_exception) == (CODE, SYNC + 4, (0x0200_0000, None, CODE + 4))


def test_semihosting_call_may_be_an_exit_that_is_tried_again(machine):
    """A console without a character: PC stays on the HLT (`Halt`)."""
    vcpu = machine.vcpu(HLT, hvc(0))
    vcpu.hear_semihosting(lambda called: called.exit(Halt()))
    vcpu.bind(machine.cpu())
    assert [vcpu.run(), vcpu.run()] == [Halt(), Halt()]
    vcpu.hear_semihosting(lambda called: called.state.step_over(0, 5))
    assert vcpu.run() == Hypercall(5, (0,) * 6)


def test_semihosting_call_nobody_hears_is_undefined(machine):
    """Although the vCPU before on this CPU had a handler."""
    host, guest, pcpu = machine.vcpu(HLT, hvc(0)), machine.vcpu(HLT, hvc(0)), machine.cpu()
    machine.put(SYNC, hvc(0))
    host.hear_semihosting(lambda called: called.state.step_over(0, 5))
    for vcpu in (host, guest):
        vcpu.bind(pcpu)
        vcpu.run()
        vcpu.unbind()
    assert (host.last_exception, guest.last_exception) == (None, (0x0200_0000, None, CODE))


def test_vector_that_raises_its_own_exception_is_a_crash(machine):
    """The guest would never come out of it; the message has where and with what it began."""
    vcpu = machine.vcpu(svc(0))
    machine.put(SYNC, NOP, 0)
    vcpu.bind(machine.cpu())
    with pytest.raises(GuestCrash, match=f"the vector at {SYNC:#x} raises .* began at {CODE + 4:#x} with: SVC"):
        vcpu.run()
    assert (vcpu.last_exception, vcpu.life) == ((0x0200_0000, None, SYNC + 4), VCpuState.READY)
    vcpu.reset()
    machine.put(SYNC, hvc(0))
    vcpu.engine.code.invalidate()
    vcpu.system_registers.vbar_el1 = VECTORS
    assert vcpu.run() == CALL


def test_return_to_aarch32_is_not_modelled(machine):
    """ERET with SPSR_EL1.M[4] set (D1.2, PSTATE.nRW): no presented CPU has it; found at the next exception."""
    vcpu = machine.vcpu(msr("SPSR_EL1", 1), msr("ELR_EL1", 2), ERET, 0xEF00_0000)  # A32: svc #0
    vcpu.bind(machine.cpu())
    vcpu.set_gpr(1, 0x10)
    vcpu.set_gpr(2, CODE + 12)
    with pytest.raises(Unmodelled, match="AArch32 code after an ERET"):
        vcpu.run()


def test_last_exception_stays_with_the_vcpu(machine):
    """Through another vCPU's turn on its CPU, a look at that one, and the move to another CPU."""
    vcpu, other = machine.vcpu(0, at=CODE), machine.vcpu(hvc(0), at=CODE + 0x100)
    cpus, seen = [machine.cpu(), machine.cpu()], []
    machine.put(SYNC, hvc(0))
    for each in (other, vcpu):
        each.bind(cpus[0])
        each.run()
        seen.append(each.last_exception)
        if each is vcpu:
            assert other.system_registers.vbar_el1 == VECTORS
            seen.append(each.last_exception)
        each.unbind()
    vcpu.bind(cpus[1])
    assert [*seen, vcpu.last_exception, other.last_exception] == [None, *[(0x0200_0000, None, CODE)] * 3, None]


def test_first_fault_stays_with_the_vcpu(machine):
    """Through another vCPU's turn on its CPU, and a look at that one; a start from reset forgets it."""
    vcpu, other = machine.vcpu(0, at=CODE), machine.vcpu(hvc(0), at=CODE + 0x100)
    cpu, seen = machine.cpu(), []
    machine.put(SYNC, hvc(0))
    for each in (vcpu, other, vcpu):
        each.bind(cpu)
        if each.first_fault is None:
            each.run()
        assert (other if each is vcpu else vcpu).system_registers.vbar_el1 in {0, VECTORS}
        seen.append(each.first_fault and each.first_fault.elr)
        each.unbind()
    vcpu.bind(cpu)
    vcpu.reset()
    assert [*seen, vcpu.first_fault] == [CODE, None, CODE, None]


# --- ends of a run ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hint", [WFE, 0xD503_203F], ids=["WFE", "YIELD"])
def test_turn_ends_where_the_guest_waits_or_yields(machine, hint):
    """Where the engine is told so; `yielded` is of the last run only (D1.6.1)."""
    vcpu = machine.vcpu(hint, ADD_X0_1, hvc(0))
    vcpu.bind(machine.cpu())
    vcpu.engine.yields = True
    assert (vcpu.run(), vcpu.yielded, vcpu.state.pc) == (Nothing(), True, CODE + 4)
    assert (vcpu.run().nr, vcpu.yielded) == (1, False)


@pytest.mark.parametrize("word", [NOP, hvc(0)], ids=["NOP", "HVC"])
def test_request_to_stop_is_left_for_a_run_by_a_step(machine, word):
    """A step is one instruction in any case."""
    vcpu = machine.vcpu(word, ADD_X0_1, hvc(0))
    vcpu.bind(machine.cpu())
    vcpu.engine.request_stop()
    stepped, pc = vcpu.step(), vcpu.state.pc
    assert (stepped, pc) == (Nothing() if word == NOP else CALL, CODE + 4)
    assert (vcpu.run(), vcpu.state.pc) == (ExternalInterrupt(0), CODE + 4)
    assert vcpu.run().nr == 1


# --- switching --------------------------------------------------------------------------------------------------


def test_two_vcpus_alternate_on_one_cpu(machine):
    """Each counts for itself."""
    pcpu = machine.cpu()
    vcpus = [machine.vcpu(ADD_X0_1, hvc(0), branch(-2)), machine.vcpu(ADD_X1_1, hvc(0), branch(-2), at=CODE + 0x100)]
    for _ in range(5):
        for vcpu in vcpus:
            vcpu.bind(pcpu)
            vcpu.run()
            vcpu.unbind()
    assert [(vcpu.gpr(0), vcpu.gpr(1)) for vcpu in vcpus] == [(5, 0), (0, 5)]


def test_vcpu_moves_between_cpus_with_all_its_registers(machine):
    """General, flags, stack pointer, floating point and system registers; a trap on each."""
    vcpu = machine.vcpu(ADD_X0_1, MOV_SP_X2, FMOV_D7_X0, ADDS_X4_X0_X1, hvc(0), FMOV_X6_D7, hvc(0))
    cpus = [machine.cpu(), machine.cpu()]
    vcpu.system_registers.cpacr_el1 = 3 << 20
    vcpu.bind(cpus[0])
    for index, value in ((0, 0x7FFF_0000), (1, (1 << 64) - 0x7FFF_0001), (2, 0x4000_8000)):
        vcpu.set_gpr(index, value)
    vcpu.system_registers.tpidr_el0 = 0x1234_5678_9ABC_DEF0
    vcpu.run()
    before = (str(vcpu.trap_frame), dict(vcpu.system_registers))
    vcpu.unbind()
    vcpu.bind(cpus[1])
    assert (str(vcpu.trap_frame), dict(vcpu.system_registers)) == before
    assert "EL1h nZCv" in before[0]
    vcpu.run()
    assert (hex(vcpu.gpr(6)), hex(vcpu.trap_frame.sp)) == ("0x7fff0001", "0x40008000")


def test_computation_goes_on_where_it_was_interrupted(machine):
    """Slices of 7 instructions on two CPUs in turn count as one run does."""
    vcpu = machine.vcpu(ADD_X0_1, ADD_X1_1, branch(-2))
    cpus = [machine.cpu(), machine.cpu()]
    for turn in range(12):
        pcpu = cpus[turn % 2]
        vcpu.bind(pcpu)
        assert vcpu.run(7) == Nothing()
        vcpu.unbind()
    assert (vcpu.gpr(0), vcpu.gpr(1), vcpu.state.pc) == (28, 28, CODE)


def test_looking_at_a_vcpu_does_not_disturb_one_that_moved_away(machine):
    """Reading an unbound vCPU's registers loads it where it was last, and must save over nobody."""
    first, second = machine.vcpu(ADD_X0_1, hvc(0), branch(-2)), machine.vcpu(hvc(0), at=CODE + 0x100)
    cpus = [machine.cpu(), machine.cpu()]
    for vcpu in (second, first):
        vcpu.bind(cpus[0])
        vcpu.run()
        vcpu.unbind()
    first.bind(cpus[1])
    first.run()
    assert second.system_registers.vbar_el1 == VECTORS
    assert (first.gpr(0), first.run().nr, first.state.pc) == (2, 3, CODE + 8)


def test_registers_of_another_vcpu_can_be_written_in_a_trap(machine):
    """The one that runs goes on, undisturbed."""
    runs, other = machine.vcpu(ADD_X0_1, hvc(0), ADD_X0_1, hvc(1)), machine.vcpu(hvc(0), at=CODE + 0x100)
    pcpu = machine.cpu()
    other.bind(pcpu)
    other.unbind()

    def look(vcpu):
        other.system_registers.tpidr_el1 = 5
        other.set_gpr(0, 40)
        return vcpu.gpr(0) + 10

    runs.handlers.hypercalls[1] = look
    runs.bind(pcpu)
    assert runs.run().nr == 12
    assert (runs.system_registers.tpidr_el1, other.system_registers.tpidr_el1, other.gpr(0)) == (0, 5, 40)


MARKS = ("VBAR_EL1", "SCTLR_EL1", "TTBR0_EL1", "TPIDR_EL0", "ELR_EL1", "SP_EL1", "CPACR_EL1")


@pytest.mark.parametrize("first", ["still has the registers", "has another vCPU", "was closed"])
def test_registers_go_along_to_another_cpu(machine, first):
    """`unbind` leaves them in the engine, which gives them up when they are wanted elsewhere."""
    vcpu, other = machine.vcpu(ADD_X0_1, hvc(0), branch(-2)), machine.vcpu(hvc(0), at=CODE + 0x100)
    cpus = [machine.cpu(), machine.cpu()]
    vcpu.bind(cpus[0])
    vcpu.run()
    for index, name in enumerate(MARKS):
        setattr(vcpu.system_registers, name.lower(), 0x30D0_1800 if name == "SCTLR_EL1" else index << 20)
    before = (str(vcpu.trap_frame), dict(vcpu.system_registers))
    vcpu.unbind()
    if first == "has another vCPU":
        other.bind(cpus[0])
    elif first == "was closed":
        cpus[0].hardware_disable()
    vcpu.bind(cpus[1])
    assert (str(vcpu.trap_frame), dict(vcpu.system_registers)) == before
    if first != "was closed":
        assert (cpus[0].engine.state is vcpu.state, cpus[1].engine.state is vcpu.state) == (False, True)


def test_registers_that_are_still_in_an_engine_can_be_written(machine):
    """Away from any CPU, by the engine that has them; the next one takes them over."""
    vcpu, cpus = machine.vcpu(ADD_X0_1, hvc(0)), [machine.cpu(), machine.cpu()]
    vcpu.bind(cpus[0])
    vcpu.unbind()
    vcpu.set_gpr(0, 40)
    vcpu.system_registers.tpidr_el1 = 5
    vcpu.bind(cpus[1])
    assert (vcpu.run().nr, vcpu.system_registers.tpidr_el1) == (41, 5)
    vcpu.unbind()
    registers = vcpu.registers.save()
    vcpu.set_gpr(0, 0)
    vcpu.load_registers(registers)
    assert (vcpu.gpr(0), vcpu.registers.save()) == (41, registers)


def test_two_machines_of_different_cpus_share_a_physical_cpu(machine):
    """The same code in turn: MIDR_EL1, LSE atomics and a register that one user answers are each machine's own."""
    ldadd = 0xF820_0041  # ldadd x0, x1, [x2], of FEAT_LSE
    program = (mrs(5, "MIDR_EL1"), mrs(6, "TPIDR_EL1"), ldadd, hvc(0))
    machine.put(SYNC, hvc(0))
    small, big = machine.vcpu(*program, cpu_model="a53"), machine.vcpu(*program, cpu_model="max")
    big.answer_sysreg(by_name["TPIDR_EL1"].encoding, lambda: 0x77, None)
    pcpu, seen = machine.cpu(), []
    for vcpu in [small, big] * 3:
        vcpu.bind(pcpu)
        vcpu.state.set_pc(CODE)
        vcpu.set_gpr(0, 1)
        vcpu.set_gpr(2, DATA)
        vcpu.run()
        seen.append((vcpu.gpr(5) == vcpu.model.MIDR_EL1, vcpu.gpr(6), vcpu.gpr(1), vcpu.last_exception))
        vcpu.unbind()
    undefined = (0x0200_0000, None, CODE + 8)
    assert seen[::2] == [(True, 0, 0, undefined)] * 3
    assert seen[1::2] == [(True, 0x77, count, None) for count in range(3)]


# --- virtual interrupts -----------------------------------------------------------------------------------------

LET_IN = (msr("ICC_PMR_EL1", 10), msr("ICC_IGRPEN1_EL1", 10))
HANDLER = (mrs(9, "ICC_IAR1_EL1"), hvc(0), msr("ICC_EOIR1_EL1", 9), ERET)


def interruptible(machine: Machine, *words: int) -> Aarch64VCpu:
    """One with x10 = 0xff, whose IRQ vector acknowledges into x9, calls, ends the interrupt and returns."""
    vcpu = machine.vcpu(*LET_IN, *words)
    machine.put(IRQ, *HANDLER)
    vcpu.set_gpr(10, 0xFF)
    return vcpu


def places(vcpu: Aarch64VCpu, count: int) -> list[int]:
    """PC of each of the next calls: less CODE in the program, or IRQ itself for the handler's."""
    seen = []
    for _ in range(count):
        assert isinstance(vcpu.run(), Hypercall)
        seen.append(IRQ if vcpu.state.pc == IRQ + 8 else vcpu.state.pc - CODE)
    return seen


def test_interrupt_waits_until_pstate_i_clears(machine):
    """Pending at the first two calls, taken behind DAIFClr, and once only."""
    vcpu = interruptible(machine, hvc(0), hvc(0), UNMASK_IRQ, NOP, hvc(0), hvc(0))
    vcpu.bind(machine.cpu())
    assert places(vcpu, 1) == [12]
    vcpu.inject_interrupt(40)
    assert places(vcpu, 4) == [16, IRQ, 28, 32]
    assert (vcpu.gpr(9), hex(vcpu.system_registers.elr_el1)) == (40, hex(CODE + 20))


def test_interrupt_is_taken_at_once_where_it_is_not_masked(machine):
    """The next instruction is the vector's, with PSTATE.I set and SPSR_EL1 as it was."""
    vcpu = interruptible(machine, UNMASK_IRQ, hvc(0), ADD_X1_1, hvc(0))
    vcpu.bind(machine.cpu())
    places(vcpu, 1)
    vcpu.inject_interrupt(40)
    assert (places(vcpu, 1), vcpu.gpr(1)) == ([IRQ], 0)
    assert (hex(vcpu.trap_frame.spsr), hex(vcpu.system_registers.spsr_el1)) == ("0x3c5", "0x345")
    assert (places(vcpu, 1), vcpu.gpr(1)) == ([24], 1)


def test_second_interrupt_comes_after_the_first_has_ended(machine):
    """Of the same priority: at ERET, which clears PSTATE.I, behind the end of the first."""
    vcpu = interruptible(machine, UNMASK_IRQ, hvc(0), hvc(0))
    vcpu.bind(machine.cpu())
    places(vcpu, 1)
    vcpu.inject_interrupt(41)
    assert (places(vcpu, 1), vcpu.gpr(9)) == ([IRQ], 41)
    vcpu.inject_interrupt(40)
    assert (places(vcpu, 2), vcpu.gpr(9)) == ([IRQ, 20], 40)


def test_interrupt_masked_by_priority_or_group_is_not_taken(machine):
    """Without ICC_PMR_EL1 and ICC_IGRPEN1_EL1 the guest has none, PSTATE.I or not."""
    vcpu = machine.vcpu(UNMASK_IRQ, hvc(0), hvc(0), *LET_IN, NOP, hvc(0))
    machine.put(IRQ, *HANDLER)
    vcpu.set_gpr(10, 0xFF)
    vcpu.bind(machine.cpu())
    places(vcpu, 1)
    vcpu.inject_interrupt(40)
    assert places(vcpu, 3) == [12, IRQ, 28]


def test_interrupt_injected_in_a_trap_is_taken_there(machine):
    """A handler that injects and returns; MASK_IRQ holds the next one back."""
    vcpu = interruptible(machine, UNMASK_IRQ, hvc(0), MASK_IRQ, hvc(0), hvc(0))
    vcpu.handlers.hypercalls[0] = lambda called: (
        called.inject_interrupt(50) if called.state.pc < IRQ else called.exit(CALL)
    )
    vcpu.bind(machine.cpu())
    assert (vcpu.run(), vcpu.state.pc, vcpu.gpr(9)) == (CALL, IRQ + 8, 50)
    vcpu.handlers.hypercalls.clear()
    assert places(vcpu, 2) == [24, 28]


def test_interrupt_follows_the_vcpu_to_another_cpu(machine):
    """Injected while it is bound nowhere; the vCPU that takes its place is not interrupted."""
    vcpu, cpus = interruptible(machine, UNMASK_IRQ, hvc(0), hvc(0)), [machine.cpu(), machine.cpu()]
    bystander = interruptible(machine, UNMASK_IRQ, hvc(0), hvc(0))
    vcpu.bind(cpus[0])
    places(vcpu, 1)
    vcpu.unbind()
    vcpu.inject_interrupt(40)
    bystander.bind(cpus[0])
    vcpu.bind(cpus[1])
    assert (places(bystander, 2), places(vcpu, 2)) == ([16, 20], [IRQ, 20])


def test_vcpu_outlives_the_cpu_it_was_made_on(machine):
    """Its registers are its own: the CPU may be disabled once the vCPU is unbound."""
    vcpu, first = machine.vcpu(ADD_X0_1, hvc(0), branch(-2)), Aarch64PerCpu(9)
    first.hardware_enable()
    first.engine.memory.map_ram(RAM, machine.ram)
    vcpu.bind(first)
    vcpu.run()
    vcpu.unbind()
    first.hardware_disable()
    seen = vcpu.gpr(0)
    vcpu.bind(machine.cpu())
    vcpu.run()
    assert (seen, vcpu.gpr(0), vcpu.system_registers.vbar_el1) == (1, 2, VECTORS)
