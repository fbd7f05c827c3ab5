"""A vCPU whose guest has EL2 and EL3 to itself: what a switch keeps, what is saved, and what a reset gives it.

DDI 0487 D1.4 (reset), D17.2; a guest that is a hypervisor is switched with all its levels, as KVM's nested
virtualization does it.
"""

from __future__ import annotations

import pytest
from unicorn_bench import CODE, Machine, mrs, msr

from armvcpu.arch.registers import SYSREGS, Home, by_name
from armvcpu.arch.sysreg import RW
from armvcpu.errors import UsageError
from armvcpu.vcpu.exits import Nothing
from armvcpu.vcpu.vcpu import Aarch64VCpu, Aarch64VCpuCreateConfig, Aarch64VCpuSetupConfig
from armvcpu.vcpu.vm import VirtualMachine

EL1H, EL2T, EL2H, EL3H = 0x3C5, 0x3C8, 0x3C9, 0x3CD
NOP, BRANCH_HERE = 0xD503_201F, 0x1400_0000
OF_EL2 = {
    "HCR_EL2": 1 << 34 | 1 << 31 | 1 << 4, "SP_EL1": 0x5000, "ELR_EL2": 0x1234, "SPSR_EL2": 0x3C5,
    "ESR_EL2": 0x5A00_0001,
    "FAR_EL2": 0xFFFF_0000_1234_5678, "HPFAR_EL2": 0x4_0000, "VBAR_EL2": 0x8000, "TTBR0_EL2": 0x4100_0000,
    "TTBR1_EL2": 0x4200_0000, "TCR_EL2": 0x8080_3520, "MAIR_EL2": 0xFF44, "TPIDR_EL2": 0x77, "CONTEXTIDR_EL2": 0x99,
    "VTTBR_EL2": 0x3_0000_4300_0000, "VTCR_EL2": 0x8002_3558, "VPIDR_EL2": 0x411F_D070, "VMPIDR_EL2": 0x8000_0102,
    "CNTVOFF_EL2": 0x1_0000, "CNTHCTL_EL2": 0xC00, "CPTR_EL2": 0x30_0000, "MDCR_EL2": 6, "HSTR_EL2": 8,
}  # fmt: skip
"""Registers of a hypervisor's, with values that differ by 1 << 40 or as little from those of another vCPU."""
OF_EL3 = {
    "SCR_EL3": 0x531, "ELR_EL3": 0x4321, "SPSR_EL3": 0x3C9, "ESR_EL3": 0x5E00_0000, "FAR_EL3": 0x99, "VBAR_EL3": 0x9000,
    "TTBR0_EL3": 0x4400_0000, "TCR_EL3": 0x8081_3520, "MAIR_EL3": 0xFF, "TPIDR_EL3": 0x33, "MDCR_EL3": 0x18000,
    "CPTR_EL3": 0x400, "SP_EL2": 0x6000,
}  # fmt: skip


def made(machine: Machine, el: int, *words: int, cpu_model: str = "max") -> Aarch64VCpu:
    return machine.vcpu(*words, cpu_model=cpu_model, el=el)


def mine(vcpu: Aarch64VCpu, values: dict[str, int], turn: int) -> dict[str, int]:
    """Written to the vCPU, each a little different in each turn."""
    different = {name: value ^ turn << 12 if name.startswith(("TTBR", "FAR", "ELR", "TPIDR")) else value
                 for name, value in values.items()}  # fmt: skip
    for name, value in different.items():
        vcpu.registers[name] = value
    return different


@pytest.mark.parametrize("el", [2, 3])
def test_hypervisors_take_turns_on_one_physical_cpu(machine, el):
    """Each has its own EL2 and EL3, while it runs, and by its own MRS when it is back."""
    pcpu, values = machine.cpu(), OF_EL2 | (OF_EL3 if el == 3 else {})
    names = [name for name in values if not name.startswith("SP_")]
    words = [mrs(n % 28, name) for n, name in enumerate(names)]
    vcpus = [made(machine, el, *words, BRANCH_HERE) for _ in range(2)]
    written = []
    for turn, vcpu in enumerate(vcpus):
        vcpu.bind(pcpu)
        written.append(mine(vcpu, values, turn))
        vcpu.unbind()
    shown = [dict.fromkeys(names, 0) for _ in vcpus]
    for n, name in enumerate(names):
        for seen, vcpu in zip(shown, vcpus, strict=True):
            vcpu.bind(pcpu)
            assert vcpu.run(max_instructions=1) == Nothing()
            seen[name] = vcpu.gpr(n % 28)
            vcpu.unbind()
    wanted = [{name: values[name] for name in names} for values in written]
    wanted = [{**values, "SPSR_EL2": 0x3C5} for values in wanted]
    assert shown == wanted
    assert [{name: vcpu.registers[name] for name in values} for vcpu in vcpus] == written


@pytest.mark.parametrize(("el", "top"), [(2, {"SP_EL2"}), (3, {"SP_EL2", "SP_EL3", "SCR_EL3", "CNTPS_CTL_EL1"})])
def test_all_of_its_levels_are_saved_and_loaded(machine, el, top):
    """Into another vCPU of the kind, on another physical CPU."""
    first, second = made(machine, el, NOP), made(machine, el, NOP)
    first.bind(machine.cpu())
    values = mine(first, OF_EL2 | (OF_EL3 if el == 3 else {}), 1)
    saved = first.registers.save()
    assert (values | dict.fromkeys(top, 0)).keys() <= saved.keys()
    assert {name: saved[name] for name in values} == values
    second.bind(machine.cpu())
    second.run(max_instructions=1)
    second.unbind()
    second.load_registers(saved)
    assert second.registers.save() == saved


def test_nothing_of_a_higher_level_is_saved(machine):
    """A guest that starts at EL2 has no EL3: what is configured there stays, as EL2 does below a guest of EL1."""
    saved = {}
    for el in (1, 2, 3):
        vcpu = made(machine, el, NOP)
        vcpu.bind(machine.cpu())
        saved[el] = vcpu.registers.save().keys()
    assert saved[1] < saved[2] < saved[3]
    assert {by_name[name].level for name in saved[2] - saved[1]} == {2}
    assert {by_name[name].level for name in saved[3] - saved[2] - {"SP_EL3"}} == {3}


@pytest.mark.parametrize("el", [2, 3])
@pytest.mark.parametrize("model", ["a57", "max"])
def test_every_register_that_keeps_something_is_saved(machine, el, model):
    """Each row of the engine's own that software of these levels can write, but windows on others and other names."""
    vcpu = made(machine, el, NOP, cpu_model=model)
    vcpu.bind(machine.cpu())
    own = {
        row.name for row in SYSREGS if row.home is Home.NATIVE and row.access is RW and row.level in range(2, el + 1)
    }
    windows = {row.name for row in SYSREGS if row.is_window or row.is_alias}
    of_vhe = {row.name for row in SYSREGS if row.needs_vhe} if model == "a57" else set()
    assert own - windows - of_vhe == own & vcpu.registers.save().keys()


def test_a_copy_has_all_levels(machine):
    """`put_registers`, whether the vCPU is bound or not."""
    vcpu = made(machine, 3, NOP)
    vcpu.bind(machine.cpu())
    values = mine(vcpu, OF_EL2 | OF_EL3, 1)
    copy = vcpu.copy_registers()
    for bound in (True, False):
        mine(vcpu, OF_EL2 | OF_EL3, 3)
        if not bound:
            vcpu.unbind()
        vcpu.put_registers(copy)
        assert {name: vcpu.registers[name] for name in values} == values


@pytest.mark.parametrize(("pstate", "current"), [(EL1H, 1), (EL2T, 0), (EL2H, 2), (EL3H, 3)])
def test_stack_pointers_of_all_levels_have_their_names(machine, pstate, current):
    """Whatever level runs: SP is the selected one, and writing PSTATE changes which that is and no value."""
    vcpu = made(machine, 3, NOP)
    vcpu.bind(machine.cpu())
    registers = vcpu.registers
    for el in range(4):
        registers[f"SP_EL{el}"] = 0x1000 * (el + 1)
    registers["PSTATE"] = pstate
    assert [registers[f"SP_EL{el}"] for el in range(4)] == [0x1000, 0x2000, 0x3000, 0x4000]
    assert registers["SP"] == 0x1000 * (current + 1)
    registers["SP"] = 0x9000
    assert registers[f"SP_EL{current}"] == vcpu.trap_frame.sp == 0x9000
    assert (vcpu.system_registers.sp_el1, vcpu.system_registers.sp_el2) == (registers["SP_EL1"], registers["SP_EL2"])


@pytest.mark.parametrize("el", [2, 3])
def test_a_reset_gives_it_what_is_set_up_and_nothing_else(machine, el):
    """VPIDR_EL2 and VMPIDR_EL2 are what MIDR_EL1 and MPIDR_EL1 are, HPMN all counters; the level is the highest."""
    vcpu = made(machine, el, NOP)
    vcpu.bind(machine.cpu())
    begin = {register.name: register.read(vcpu.registers) for register in vcpu.registers.kept()}
    mine(vcpu, OF_EL2 | (OF_EL3 if el == 3 else {}), 1)
    vcpu.run(max_instructions=1)
    vcpu.reset()
    assert {register.name: register.read(vcpu.registers) for register in vcpu.registers.kept()} == begin
    assert (begin["PSTATE"], begin["HCR_EL2"], begin["MDCR_EL2"]) == ({2: EL2H, 3: EL3H}[el], 1 << 31, 6)  # RW is RAO
    assert (begin["VPIDR_EL2"], begin["VMPIDR_EL2"]) == (vcpu.model.MIDR_EL1, 1 << 31)
    assert el == 2 or begin["SCR_EL3"] == 0x430


def test_its_registers_are_listed_with_their_level():
    """By the switch's names, and in a dump; the frame's text says the level."""
    vcpu = Aarch64VCpu(0, 0, Aarch64VCpuCreateConfig(cpu_model="max", el=3))
    vcpu.setup(Aarch64VCpuSetupConfig())
    vcpu.system_registers.vbar_el3 = 0x800
    names = dict(vcpu.system_registers)
    assert names["VBAR_EL3"] == 0x800
    assert (OF_EL2 | OF_EL3).keys() <= names.keys()
    assert "(EL3h " in str(vcpu.trap_frame)
    of_v8_0 = Aarch64VCpu(0, 0, Aarch64VCpuCreateConfig(cpu_model="a57", el=2))
    assert not dict(of_v8_0.system_registers).keys() & {"TTBR1_EL2", "CONTEXTIDR_EL2", "VBAR_EL3"}


@pytest.mark.parametrize(("el", "pstate", "words"), [(1, EL2H, "EL1t and EL1h"), (2, EL3H, "EL2t and EL2h")])
def test_no_guest_is_at_a_level_that_it_has_not(machine, el, pstate, words):
    """UsageError, and PSTATE is what it was."""
    vcpu = made(machine, el, NOP)
    vcpu.bind(machine.cpu())
    before = vcpu.registers["PSTATE"]
    with pytest.raises(UsageError, match=words):
        vcpu.registers["PSTATE"] = pstate
    assert vcpu.registers["PSTATE"] == before


@pytest.mark.parametrize("name", ["SP_EL3", "TTBR1_EL2", "CNTPS_CTL_EL1", "RVBAR_EL1"])
def test_registers_that_it_lacks_have_no_name(name):
    """Those of a level above, of VHE on a CPU without, and of another highest level."""
    vcpu = Aarch64VCpu(0, 0, Aarch64VCpuCreateConfig(cpu_model="a57", el=2))
    vcpu.setup(Aarch64VCpuSetupConfig())
    assert name not in vcpu.registers
    with pytest.raises(UsageError, match="no register"):
        vcpu.registers[name]


def test_what_it_writes_at_el2_is_there_at_el1_and_back(machine):
    """MSR at EL2, ERET to EL1, HVC: its own EL2, with another vCPU's between any two instructions."""
    eret, hvc = 0xD69F_03E0, 0xD400_0002
    words = msr("TPIDR_EL2", 1), msr("ELR_EL2", 2), msr("SPSR_EL2", 3), eret
    vcpu, other, pcpu = made(machine, 2, cpu_model="a57"), made(machine, 2, cpu_model="a57"), machine.cpu()
    machine.put(CODE, *words)
    machine.put(CODE + 0x100, hvc)
    machine.put(CODE + 0x800 + 0x400, mrs(4, "TPIDR_EL2"), BRANCH_HERE)
    for name, value in {
        "x1": 0x77,
        "x2": CODE + 0x100,
        "x3": EL1H,
        "VBAR_EL2": CODE + 0x800,
        "HCR_EL2": 1 << 31,
    }.items():
        vcpu.registers[name] = value
    for _ in range(7):
        vcpu.bind(pcpu)
        vcpu.run(max_instructions=1)
        vcpu.unbind()
        other.bind(pcpu)
        other.registers["TPIDR_EL2"] = 0x99
        other.unbind()
    assert (vcpu.gpr(4), vcpu.registers["ELR_EL2"], vcpu.state.pstate & 0xF) == (0x77, CODE + 0x104, 9)


def test_no_vm_has_a_hypervisor_for_a_guest():
    """Its stage 2 would be the guest's own; the VM is what it was."""
    with VirtualMachine(1, 1 << 20) as vm:
        with pytest.raises(UsageError, match=r"which a guest with EL2 has to itself \(el=2\)"):
            vm.add_vcpu(Aarch64VCpuCreateConfig(el=2))
        assert vm.vcpus == []
        assert vm.add_vcpu().config.el == 1


# --- identity and timers ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("el", [2, 3])
def test_identity_is_el2s_choice_at_el1_only(machine, el):
    """MIDR_EL1 and MPIDR_EL1 read as VPIDR_EL2 and VMPIDR_EL2 at Non-secure EL1 (D17.2.97), before it runs as after."""
    vcpu = made(machine, el, mrs(0, "MIDR_EL1"), mrs(1, "MPIDR_EL1"), cpu_model="a57")
    assert (vcpu.registers["MIDR_EL1"], vcpu.registers["MPIDR_EL1"]) == (vcpu.model.MIDR_EL1, 1 << 31)
    vcpu.bind(machine.cpu())
    vcpu.registers["VPIDR_EL2"], vcpu.registers["VMPIDR_EL2"], vcpu.registers["HCR_EL2"] = 0x1234, 0x8000_0007, 1 << 31
    shown = {}
    for scr, pstate in ((0x531, EL1H), (0x530, EL1H), (0x531, EL2H)):
        if el == 2 and not scr & 1:
            continue
        vcpu.registers["SCR_EL3"], vcpu.registers["PSTATE"], vcpu.registers["PC"] = scr, pstate, CODE
        vcpu.run(max_instructions=2)
        shown[scr, pstate] = vcpu.gpr(0), vcpu.gpr(1)
    real, virtual = (vcpu.model.MIDR_EL1, 1 << 31), (0x1234, 0x8000_0007)
    wanted = {(0x531, EL1H): virtual, (0x530, EL1H): real, (0x531, EL2H): real}
    assert shown == {key: value for key, value in wanted.items() if key in shown}
    assert len(shown) == el


FUTURE = 1 << 62


@pytest.mark.parametrize("name", ["CNTHP", "CNTHV", "CNTPS"])
def test_timers_of_its_levels_are_its_own(machine, name):
    """What the guest writes is there, whoever has the CPU in between, and after a save and a load."""
    suffix = "EL1" if name == "CNTPS" else "EL2"
    cval, ctl = f"{name}_CVAL_{suffix}", f"{name}_CTL_{suffix}"
    vcpu, pcpu = made(machine, 3, msr(cval, 0), msr(ctl, 1), mrs(2, cval), mrs(3, ctl)), machine.cpu()
    other = made(machine, 3)
    machine.put(CODE, msr(cval, 0), msr(ctl, 1), mrs(2, cval), mrs(3, ctl))
    vcpu.registers["x0"], vcpu.registers["x1"] = FUTURE, 1
    for _ in range(4):
        vcpu.bind(pcpu)
        vcpu.run(max_instructions=1)
        vcpu.unbind()
        other.bind(pcpu)
        other.registers[ctl] = 0
        other.unbind()
    assert (vcpu.gpr(2), vcpu.gpr(3), other.registers[ctl]) == (FUTURE, 1, 0)
    other.load_registers(vcpu.registers.save())
    assert (other.registers[cval], other.registers[ctl]) == (FUTURE, 1)


def test_its_virtual_count_is_moved_by_itself(machine):
    """CNTVOFF_EL2 written by the guest, by us, and loaded: the timer's condition follows."""
    vcpu = made(machine, 2, msr("CNTVOFF_EL2", 0), mrs(2, "CNTV_CTL_EL0"), BRANCH_HERE)
    vcpu.bind(machine.cpu())
    vcpu.registers["CNTV_CVAL_EL0"], vcpu.registers["CNTV_CTL_EL0"] = 1 << 55, 3  # masked
    past = vcpu.registers.save()
    vcpu.registers["x0"] = -(1 << 56) & (1 << 64) - 1
    vcpu.run(max_instructions=2)
    assert vcpu.gpr(2) == 7
    vcpu.registers["CNTVOFF_EL2"] = 0
    vcpu.registers["PC"] = CODE + 4
    vcpu.run(max_instructions=1)
    assert vcpu.gpr(2) == 3
    vcpu.registers["CNTVOFF_EL2"] = -(1 << 56) & (1 << 64) - 1
    moved = vcpu.registers.save()
    vcpu.unbind()
    vcpu.load_registers(past)
    vcpu.load_registers(moved)
    assert vcpu.registers["CNTV_CTL_EL0"] == 7
