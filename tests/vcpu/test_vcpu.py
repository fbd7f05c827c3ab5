"""The vCPU: its life cycle, its set-up, and `run`, on scripted engines."""

from __future__ import annotations

from itertools import product

import pytest
from vcpu_bench import DTB, RAM, Bench

from armvcpu.arch.controls import CNTHCTL_EL2, CPTR_EL2, HCR_EL2
from armvcpu.arch.idregs import model, translated_features
from armvcpu.arch.registers import by_name, iss_from_encoding
from armvcpu.arch.sysreg import SysRegIss
from armvcpu.engine.fake import LimitReached, ScriptedEngine, StopRequested, Trap
from armvcpu.errors import GuestCrash, StateError, UsageError
from armvcpu.vcpu.exits import ExternalInterrupt, Hypercall, NestedPageFault, Nothing, SendIPI
from armvcpu.vcpu.hal import BareHal
from armvcpu.vcpu.pcpu import Aarch64PerCpu
from armvcpu.vcpu.stage2.mapping import MappingFlags
from armvcpu.vcpu.vcpu import Aarch64VCpu, Aarch64VCpuCreateConfig, Aarch64VCpuSetupConfig, VCpuState

CREATED, FREE, READY, RUNNING, BLOCKED = VCpuState
HVC = Trap(2, 0x5A00_0000, pc=RAM + 4, regs={0: 9})
VTCR = 0x8002_3559
"""3 levels of 4 KiB tables for 39 bits of IPA, 40 of PA."""
HYPERCALL = Hypercall(9, (0, 0, 0, 0, 0, 0))
LOAD_ABORT = Trap(2, 0x9383_0005, far=0x18, hpfar=0x9_0000, pc=RAM)


def enabled(cpu_id: int = 0) -> Aarch64PerCpu:
    pcpu = Aarch64PerCpu(cpu_id, ScriptedEngine)
    pcpu.hardware_enable()
    return pcpu


def fresh(**setup: bool) -> Aarch64VCpu:
    """A vCPU that is set up, with this configuration, and not bound."""
    vcpu = Aarch64VCpu(0, 0, Aarch64VCpuCreateConfig())
    vcpu.setup(Aarch64VCpuSetupConfig(**setup))
    return vcpu


# --- life cycle -------------------------------------------------------------------------------------------------

STEPS = {
    "setup": (lambda vcpu, _pcpu: vcpu.setup(Aarch64VCpuSetupConfig()), CREATED, FREE),
    "bind": (lambda vcpu, pcpu: vcpu.bind(pcpu), FREE, READY),
    "unbind": (lambda vcpu, _pcpu: vcpu.unbind(), READY, FREE),
    "block": (lambda vcpu, _pcpu: vcpu.block(), READY, BLOCKED),
    "unblock": (lambda vcpu, _pcpu: vcpu.unblock(), BLOCKED, READY),
    "run": (lambda vcpu, _pcpu: vcpu.run(), READY, READY),
    "step": (lambda vcpu, _pcpu: vcpu.step(), READY, READY),
    "reset": (lambda vcpu, _pcpu: vcpu.reset(), READY, READY),
}
"""What each step does, the one state it starts from, and where it leads."""
WAY_TO = {CREATED: (), FREE: ("setup",), READY: ("setup", "bind"), BLOCKED: ("setup", "bind", "block")}


def vcpu_in(state: VCpuState) -> tuple[Aarch64VCpu, Aarch64PerCpu]:
    vcpu, pcpu = Aarch64VCpu(0, 7, Aarch64VCpuCreateConfig()), enabled()
    pcpu.engine.script.append(LimitReached())
    for step in WAY_TO[state]:
        STEPS[step][0](vcpu, pcpu)
    return vcpu, pcpu


@pytest.mark.parametrize(("step", "state"), [(name, row[1]) for name, row in STEPS.items()])
def test_legal_step(step, state):
    """Leads where the table says."""
    vcpu, pcpu = vcpu_in(state)
    STEPS[step][0](vcpu, pcpu)
    assert vcpu.life is STEPS[step][2]


ILLEGAL = [(name, state) for name, state in product(STEPS, WAY_TO) if STEPS[name][1] is not state]


@pytest.mark.parametrize(("step", "state"), ILLEGAL, ids=lambda value: getattr(value, "value", value))
def test_illegal_step_is_an_error_that_changes_nothing(step, state):
    """StateError says which step, in which state, and what it needs."""
    vcpu, pcpu = vcpu_in(state)
    before = (vcpu.life, pcpu.bound, str(vcpu.trap_frame), dict(vcpu.system_registers), len(pcpu.engine.script))
    with pytest.raises(StateError, match=f"vCPU 7: {step} is not allowed while {state.value}"):
        STEPS[step][0](vcpu, pcpu)
    after = (vcpu.life, pcpu.bound, str(vcpu.trap_frame), dict(vcpu.system_registers), len(pcpu.engine.script))
    assert after == before


@pytest.mark.parametrize("step", [*STEPS, "set_entry", "set_ept_root"])
def test_running_vcpu_refuses_every_step(step):
    """In a handler it is RUNNING, and goes on running after the refusal."""
    bench, seen = Bench(), []
    steps = {name: row[0] for name, row in STEPS.items()}
    steps["set_entry"] = lambda vcpu, _pcpu: vcpu.set_entry(0)
    steps["set_ept_root"] = lambda vcpu, _pcpu: vcpu.set_ept_root(0, 0)

    def attempt(vcpu):
        with pytest.raises(StateError, match=step):
            steps[step](vcpu, enabled())
        seen.append(vcpu.life)

    bench.vcpu.handlers.hypercalls[9] = attempt
    assert (bench.play(HVC), seen, bench.vcpu.life) == (Nothing(), [RUNNING], READY)


def test_bind_to_a_disabled_cpu_is_refused():
    """There is no engine."""
    vcpu = fresh()
    with pytest.raises(StateError, match="hardware_enable"):
        vcpu.bind(Aarch64PerCpu(0, ScriptedEngine))
    assert vcpu.life is FREE


def test_bind_to_an_occupied_cpu_is_refused():
    """The one that is bound stays."""
    bench, other = Bench(), fresh()
    with pytest.raises(StateError, match="another vCPU bound"):
        other.bind(bench.pcpu)
    assert (bench.pcpu.bound, bench.engine.state, other.life) == (bench.vcpu, bench.vcpu.state, FREE)


def test_vcpu_without_a_cpu_has_no_engine():
    """StateError, not a crash."""
    with pytest.raises(StateError, match="not bound"):
        _ = fresh().engine


def test_failure_in_a_run_leaves_the_vcpu_ready():
    """What a handler raises is raised by `run`."""
    bench = Bench()

    def fail(_vcpu):
        raise GuestCrash("no way on")

    bench.vcpu.handlers.hypercalls[9] = fail
    with pytest.raises(GuestCrash, match="no way on"):
        bench.play(HVC)
    bench.vcpu.handlers.hypercalls.clear()
    assert (bench.vcpu.life, bench.play(HVC)) == (READY, HYPERCALL)


# --- set-up -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("interrupt", [False, True])
@pytest.mark.parametrize("timer", [False, True])
def test_setup_chooses_what_is_trapped(interrupt, timer):
    """AMO, IMO and FMO unless interrupts are passed through (D17.2.48); rows need no trap."""
    vcpu = fresh(passthrough_interrupt=interrupt, passthrough_timer=timer)
    hcr, cnthctl = HCR_EL2(vcpu.system_registers.hcr_el2), CNTHCTL_EL2(vcpu.system_registers.cnthctl_el2)
    intercepted = HCR_EL2.of(AMO=1, IMO=1, FMO=1)
    assert hcr == HCR_EL2.of(RW=1, TSC=1, TWI=1) | (0 if interrupt else intercepted)
    assert cnthctl == CNTHCTL_EL2.of(EL1PCTEN=1, EL1PCEN=1)
    assert (vcpu.interrupts is None) is interrupt
    assert (by_name["ICC_IAR1_EL1"].encoding in vcpu.sysregs.readers) is not interrupt
    assert (by_name["CNTP_CTL_EL0"].encoding in vcpu.sysregs.readers) is not interrupt
    assert (by_name["CNTV_CVAL_EL0"].encoding in vcpu.sysregs.readers) is not interrupt


def test_setup_identifies_the_cpu():
    """VPIDR_EL2 is the model's MIDR_EL1, VMPIDR_EL2 the affinity with bit 31, which is RES1; CPACR_EL1 is native."""
    bench = Bench(cpu_model="a53", mpidr=0x1_0000_0203)
    registers = bench.vcpu.system_registers
    assert (registers.vpidr_el2, registers.vmpidr_el2) == (model("a53").MIDR_EL1, 0x1_8000_0203)
    assert (CPTR_EL2(registers.cptr_el2).TCPAC, registers.cntvoff_el2) == (0, 0)


def test_unknown_cpu_model_is_refused():
    """When the vCPU is made."""
    with pytest.raises(UsageError, match="no CPU model 'a99'"):
        Aarch64VCpu(0, 0, Aarch64VCpuCreateConfig(cpu_model="a99"))


@pytest.mark.parametrize("name", ["CPACR_EL1", "MPIDR_EL1", "VBAR_EL1", "TPIDR_EL0", "CNTVCT_EL0"])
def test_registers_that_the_engine_serves_have_no_row(name):
    """Their accesses cost the guest nothing."""
    rows = Bench().engine.registers.rows
    encoding = by_name[name].encoding
    assert (encoding in dict(rows.shape), encoding in rows.reads, encoding in rows.writes) == (False, False, False)


@pytest.mark.parametrize("name", ["a53", "a72", "max"])
def test_engine_translates_for_the_cpu_model(name):
    """The instructions that its ID registers show, the others are UNDEFINED."""
    bench, cpu = Bench(cpu_model=name), model(name)
    assert bench.engine.registers.presented == translated_features(cpu)
    assert bench.engine.registers.presented[0] == cpu.ID_AA64ISAR0_EL1


@pytest.mark.parametrize("address", [1, 2, -4, 1 << 52])
def test_entry_must_be_an_instructions_address(address):
    """UsageError, and the entry stays what it was."""
    vcpu = fresh()
    vcpu.set_entry(0x8_0000)
    with pytest.raises(UsageError, match="multiple of 4"):
        vcpu.set_entry(address)
    assert vcpu.trap_frame.exception_pc == 0x8_0000


@pytest.mark.parametrize("when", [CREATED, FREE, READY, BLOCKED])
def test_entry_and_stage2_can_be_set_whenever_the_vcpu_does_not_run(when):
    """Before set-up too; the vCPU starts there with its stage 2 on."""
    vcpu, pcpu = vcpu_in(when)
    vcpu.set_entry(0x8_0000)
    vcpu.set_ept_root(0xF000, VTCR)
    for step in {CREATED: ("setup", "bind"), FREE: ("bind",), READY: (), BLOCKED: ("unblock",)}[when]:
        STEPS[step][0](vcpu, pcpu)
    registers = vcpu.system_registers
    assert (vcpu.state.pc, registers.vttbr_el2, registers.vtcr_el2) == (0x8_0000, 0xF000, VTCR)
    assert (HCR_EL2(registers.hcr_el2).VM, HCR_EL2(registers.hcr_el2).TSC) == (1, 1)


@pytest.mark.parametrize(
    ("root", "vtcr", "vmid", "problem"),
    [
        (0x1800, VTCR, 0, "root 0x1800 is no address of 1 tables"),
        (1 << 40, VTCR, 0, "below 2"),
        (0x1000, VTCR & ~0x7_003F | 4 << 16 | 23, 0, "root 0x1000 is no address of 4 tables: a multiple of 0x4000"),
        (0x1000, 0, 0, "VTCR_EL2 0x0 is none of 4 KiB tables"),
        (0x1000, VTCR | 1 << 14, 0, "none of 4 KiB tables"),
        (0x1000, VTCR | 1 << 19, 0, "none of 4 KiB tables"),
        (0x1000, VTCR | 0xC0, 0, "none of 4 KiB tables"),
        (0x1000, VTCR & ~0x3F | 40, 0, "3 levels of stage 2 take 31 to 43 address bits, not 24"),
        (0x1000, VTCR, 256, "VMID 0x100 does not fit"),
        (-4096, VTCR, 0, "no address of"),
    ],
)
def test_stage2_that_cannot_be_is_refused(root, vtcr, vmid, problem):
    """UsageError, and nothing has changed (D17.2.139, D17.2.140)."""
    vcpu = fresh()
    before = dict(vcpu.system_registers)
    with pytest.raises(UsageError, match=problem):
        vcpu.set_ept_root(root, vtcr, vmid=vmid)
    assert (dict(vcpu.system_registers), vcpu.uses_stage2) == (before, False)


def test_vmid_stands_above_the_root():
    """VTTBR_EL2.VMID, bits 55 to 48."""
    vcpu = fresh()
    vcpu.set_ept_root(0x5000, VTCR, vmid=0xA5)
    assert vcpu.system_registers.vttbr_el2 == 0xA5_0000_0000_5000


@pytest.mark.parametrize(
    "config",
    [
        {"mpidr_el1": 1 << 24},
        {"mpidr_el1": -1},
        {"dtb_addr": 1 << 64},
        {"psci_version": 3},
        {"smccc_version": 5},
    ],
    ids=str,
)
def test_configuration_that_cannot_be_is_refused(config):
    """When it is made."""
    with pytest.raises(UsageError):
        Aarch64VCpuCreateConfig(**config)


def test_page_fault_handler_comes_with_the_stage2():
    """And a new root without one keeps it."""
    bench, asked = Bench(), []
    bench.vcpu.set_ept_root(0, VTCR, lambda ipa, access: bool(asked.append((ipa, access))))
    bench.vcpu.set_ept_root(0x1000, VTCR)
    bench.play(Trap(2, 0x9200_0005, far=0x18, hpfar=0x9_0000, pc=RAM))
    assert asked == [(0x900_0018, MappingFlags.READ)]


# --- binding ----------------------------------------------------------------------------------------------------

REGISTERS = ("VBAR_EL1", "SCTLR_EL1", "TTBR0_EL1", "TPIDR_EL0", "ELR_EL1", "SP_EL1", "CPACR_EL1", "VTTBR_EL2")


def marked(vcpu: Aarch64VCpu, mark: int) -> None:
    """Give a vCPU registers of its own."""
    for index in range(31):
        vcpu.set_gpr(index, mark + index)
    for index, name in enumerate(REGISTERS):
        setattr(vcpu.system_registers, name.lower(), mark + 0x1000 * index)


def look(vcpu: Aarch64VCpu) -> tuple[str, dict[str, int]]:
    return str(vcpu.trap_frame), dict(vcpu.system_registers)


def test_vcpu_moves_between_cpus_with_all_its_registers():
    """Bound to one, unbound, bound to another, and back; they can be read on the way."""
    vcpu, cpus = fresh(), [enabled(0), enabled(1)]
    vcpu.bind(cpus[0])
    marked(vcpu, 0x5000_0000)
    seen = [look(vcpu)]
    for pcpu in (cpus[1], cpus[0]):
        vcpu.unbind()
        seen.append(look(vcpu))
        vcpu.bind(pcpu)
        seen.append(look(vcpu))
    assert seen == [seen[0]] * 5
    assert (cpus[0].bound, cpus[1].bound) == (vcpu, None)


def test_two_vcpus_take_turns_on_one_cpu():
    """Each finds its own registers, and its own traps."""
    pcpu, vcpus = enabled(), [fresh(), fresh()]
    for vcpu in vcpus:
        vcpu.set_entry(RAM)
    for turn in range(4):
        vcpu = vcpus[turn % 2]
        vcpu.bind(pcpu)
        if turn < 2:
            marked(vcpu, 0x5000_0000 + turn * 0x1_0000)
        pcpu.engine.script.append(Trap(2, 0x5A00_0000, regs={0: turn}))
        assert vcpu.run().nr == turn
        assert vcpu.gpr(5) == 0x5000_0005 + turn % 2 * 0x1_0000
        vcpu.unbind()
    assert vcpus[0].system_registers.vbar_el1 + 0x1_0000 == vcpus[1].system_registers.vbar_el1


def test_looking_at_another_vcpu_does_not_disturb_one_that_moved_away():
    """The CPU it left keeps nothing of it that could be saved over it."""
    first, second, cpus = fresh(), fresh(), [enabled(0), enabled(1)]
    for vcpu in (second, first):
        vcpu.bind(cpus[0])
        vcpu.unbind()
    first.bind(cpus[1])
    marked(first, 0x5000_0000)
    assert (cpus[0].engine.state is first.state, second.system_registers.vbar_el1) == (False, 0)
    assert (cpus[1].engine.state is first.state, first.system_registers.vbar_el1) == (True, 0x5000_0000)


# --- the guest's last exception ---------------------------------------------------------------------------------

ABORT = Trap(1, 0x9600_0045, far=0x1234, pc=RAM + 8)
LAST = (0x9600_0045, 0x1234, RAM + 8)


def test_last_exception_stays_with_the_vcpu():
    """Bound, unbound, with another one in its place that takes its own, and bound again."""
    bench, other = Bench(), fresh()
    before = bench.vcpu.last_exception
    bench.play(ABORT)
    seen = [bench.vcpu.last_exception]
    bench.vcpu.unbind()
    seen.append(bench.vcpu.last_exception)
    other.bind(bench.pcpu)
    seen.append(bench.vcpu.last_exception)
    assert other.last_exception is None
    other.unbind()
    bench.vcpu.bind(bench.pcpu)
    assert (before, [*seen, bench.vcpu.last_exception]) == (None, [LAST] * 4)


def test_looking_at_another_vcpu_keeps_the_last_exception():
    """The engine has the other one's registers for a moment, and forgets it."""
    other, bench = fresh(), Bench()
    bench.vcpu.unbind()
    other.bind(bench.pcpu)
    other.unbind()
    bench.vcpu.bind(bench.pcpu)
    bench.play(ABORT)
    assert (other.system_registers.vbar_el1, bench.vcpu.last_exception) == (0, LAST)


@pytest.mark.parametrize("how", ["reset", "load_registers"])
def test_vcpu_that_starts_anew_has_no_last_exception(how):
    """Its registers are those of a CPU that has not taken it."""
    bench = Bench()
    registers = bench.vcpu.registers.save()
    bench.play(ABORT)
    bench.vcpu.unbind()
    if how == "reset":
        bench.vcpu.bind(bench.pcpu)
        bench.vcpu.reset()
    else:
        bench.vcpu.load_registers(registers)
        bench.vcpu.bind(bench.pcpu)
    assert (bench.vcpu.last_exception, bench.pc) == (None, 0)


# --- running ----------------------------------------------------------------------------------------------------


class Interrupts(BareHal):
    """A host with interrupt 77, which takes some injections itself."""

    def __init__(self) -> None:
        self.injected: list[int] = []

    def irq_fetch(self) -> int:
        return 77

    def inject(self, vcpu: Aarch64VCpu, vector: int) -> bool:
        self.injected.append(vector)
        return vector < 100


def test_stop_is_an_external_interrupt():
    """Its number comes from the host."""
    assert Bench(hal=Interrupts()).play(StopRequested()) == ExternalInterrupt(77)
    assert Bench().play(StopRequested()) == ExternalInterrupt(0)


def test_instruction_limit_ends_in_nothing():
    """And is handed to the engine."""
    bench = Bench()
    bench.engine.script.append(LimitReached())
    assert (bench.vcpu.run(500), bench.engine.limits) == (Nothing(), [500])


def test_exit_is_of_this_run_only():
    """The next run does not show it again."""
    bench = Bench()
    assert [bench.play(HVC), bench.play()] == [HYPERCALL, Nothing()]


def test_answer_of_a_hypercall_is_x0():
    """Written between two runs, it is in force in the next."""
    bench = Bench()
    bench.play(HVC)
    bench.vcpu.set_return_value(-2)
    assert bench.vcpu.gpr(0) == 0xFFFF_FFFF_FFFF_FFFE


def test_step_is_one_instruction_or_its_exit():
    """`Nothing`, or what `run` would return."""
    bench = Bench()
    first, pc = bench.vcpu.step(), bench.pc
    bench.engine.script.append(HVC)
    assert (first, pc, bench.vcpu.step(), bench.vcpu.life) == (Nothing(), 4, HYPERCALL, READY)


@pytest.mark.parametrize("moved", ["set up before bind", "set up after bind"])
def test_reset_keeps_the_configuration(moved):
    """Registers are those after reset, x0 the device tree, PC the entry; stage 2 and traps stay."""
    bench = Bench()
    configured = {name: value for name, value in bench.vcpu.system_registers if name.endswith("_EL2")}
    marked(bench.vcpu, 0x5000_0000)
    bench.vcpu.system_registers.vttbr_el2 = configured["VTTBR_EL2"]
    if moved == "set up after bind":
        bench.vcpu.set_ept_root(0xF000, VTCR)
        bench.vcpu.set_entry(RAM + 0x100)
        configured |= {"VTTBR_EL2": 0xF000, "VTCR_EL2": VTCR, "HCR_EL2": configured["HCR_EL2"] | 1}
    bench.play(HVC)
    bench.vcpu.reset()
    assert (bench.vcpu.gpr(0), bench.vcpu.gpr(1), bench.pc) == (DTB, 0, 0x100 if "after" in moved else 0)
    registers = dict(bench.vcpu.system_registers)
    assert (registers["VBAR_EL1"], registers["CPACR_EL1"], registers["SP_EL1"]) == (0, 0, 0)
    assert {name: registers[name] for name in configured} == configured


# --- interrupts and answers -------------------------------------------------------------------------------------


def let_in(vcpu: Aarch64VCpu) -> None:
    """What a guest does to have interrupts: priority mask and group enable."""
    for name, value in (("ICC_PMR_EL1", 0xFF), ("ICC_IGRPEN1_EL1", 1)):
        vcpu.sysregs.writers[by_name[name].encoding](value)


@pytest.mark.parametrize("bound", [True, False])
def test_injected_interrupt_raises_the_virtual_line(bound):
    """HCR_EL2.VI until the guest acknowledges it; of a vCPU bound nowhere, from its next `bind` on."""
    bench = Bench()
    let_in(bench.vcpu)
    if not bound:
        bench.vcpu.unbind()
    bench.vcpu.inject_interrupt(40)
    if not bound:
        bench.vcpu.bind(bench.pcpu)
    raised = HCR_EL2(bench.vcpu.system_registers.hcr_el2).VI
    acknowledged = bench.vcpu.sysregs.readers[by_name["ICC_IAR1_EL1"].encoding]()
    assert (raised, acknowledged, HCR_EL2(bench.vcpu.system_registers.hcr_el2).VI) == (1, 40, 0)


@pytest.mark.parametrize(("irq", "fiq"), [(False, False), (True, False), (False, True), (True, True)])
def test_machine_may_drive_the_lines_itself(irq, fiq):
    """HCR_EL2.VI and VF, and nothing else of HCR_EL2; they come with the vCPU to its next CPU."""
    bench = Bench()
    before = bench.vcpu.system_registers.hcr_el2
    bench.vcpu.set_virtual_interrupts(irq=True, fiq=True)
    bench.vcpu.unbind()
    bench.vcpu.set_virtual_interrupts(irq=irq, fiq=fiq)
    bench.vcpu.bind(enabled(1))
    assert bench.vcpu.system_registers.hcr_el2 == before | HCR_EL2.of(VI=irq, VF=fiq)


def test_reset_forgets_injected_interrupts():
    """The line falls, and the interface is as after reset."""
    bench = Bench()
    let_in(bench.vcpu)
    bench.vcpu.inject_interrupt(40)
    bench.vcpu.reset()
    assert not HCR_EL2(bench.vcpu.system_registers.hcr_el2).VI
    let_in(bench.vcpu)
    assert not HCR_EL2(bench.vcpu.system_registers.hcr_el2).VI


def test_hosts_interrupt_controller_comes_first():
    """What it does not take goes to the vCPU's own interface."""
    hal = Interrupts()
    bench = Bench(hal=hal)
    let_in(bench.vcpu)
    bench.vcpu.inject_interrupt(40)
    mine = HCR_EL2(bench.vcpu.system_registers.hcr_el2).VI
    bench.vcpu.inject_interrupt(140)
    assert (hal.injected, mine, HCR_EL2(bench.vcpu.system_registers.hcr_el2).VI) == ([40, 140], 0, 1)


def test_interrupts_that_cannot_be_injected():
    """Before set-up, with interrupts passed through, and one that is none."""
    with pytest.raises(StateError, match="before setup"):
        Aarch64VCpu(0, 0, Aarch64VCpuCreateConfig()).inject_interrupt(40)
    with pytest.raises(StateError, match="passed through"):
        fresh(passthrough_interrupt=True).inject_interrupt(40)
    with pytest.raises(UsageError):
        fresh().inject_interrupt(1020)


@pytest.mark.parametrize(
    ("value", "exit_"),
    [
        (0x00AA_0033_0300_0000 | 0x22 << 16 | 0x8001, SendIPI(0xAA_0033_2200, 0x8001, False, False, 3)),
        (0x0000_0100_0F00_0000, SendIPI(0, 0, True, False, 15)),
    ],
)
def test_sgi_is_an_exit(value, exit_):
    """ICC_SGI1R_EL1: Aff3 to Aff1, TargetList, IRM and INTID (IHI 0069 12.2.21); the guest goes on behind it."""
    bench = Bench()
    name = iss_from_encoding(by_name["ICC_SGI1R_EL1"].encoding)
    assert bench.play(Trap(2, 0x6200_0000 | name | SysRegIss.of(Rt=3), pc=RAM, regs={3: value})) == exit_
    assert bench.pc == 4


@pytest.mark.parametrize("answer", ["inject_undefined", "inject_external_abort"])
@pytest.mark.parametrize("situation", ["not bound", "no exit", "another exit"])
def test_answer_without_its_exit_is_refused(answer, situation):
    """Nothing is injected, and PC stays."""
    bench = Bench()
    if situation == "another exit":
        unlisted = SysRegIss.of(Op0=3, Op1=1, CRn=11, CRm=7, Op2=7, Direction=1)
        bench.play(LOAD_ABORT if answer == "inject_undefined" else Trap(2, 0x6200_0000 | unlisted, pc=RAM))
    pc = bench.pc
    if situation == "not bound":
        bench.vcpu.unbind()
    with pytest.raises(StateError, match=f"{answer} is not allowed"):
        getattr(bench.vcpu, answer)()
    assert (bench.engine.entered, bench.pc) == ([], pc)


def test_fetched_word_is_the_one_at_pc():
    """None where there is no memory."""
    bench = Bench()
    bench.put(0xD503_201F)
    first = bench.vcpu.fetch_word()
    bench.vcpu.set_entry(0)
    assert (first, bench.vcpu.fetch_word()) == (0xD503_201F, None)


def test_bare_host_has_no_interrupts():
    """What a script gets that supplies no Hal."""
    hal = BareHal()
    hal.irq_handler(3)
    assert (hal.irq_fetch(), hal.inject(fresh(), 40)) == (0, False)


def test_page_fault_exit_can_be_tried_again():
    """NestedPageFault leaves PC on the instruction."""
    bench = Bench()
    fault = Trap(2, 0x9200_0045, far=0x18, hpfar=0x9_0000, pc=RAM)
    assert (bench.play(fault), bench.pc) == (NestedPageFault(0x900_0018, MappingFlags.WRITE), 0)
    bench.vcpu.handle_page_fault = lambda _ipa, _access: True
    assert (bench.play(fault), bench.pc) == (Nothing(), 0)
