"""What a caller gives that can't be is a UsageError of one line, at once, and changes nothing."""

from __future__ import annotations

from math import inf, nan
from typing import TYPE_CHECKING, Any

import pytest
from vcpu_bench import RAM, Bench, Heard

from armvcpu.errors import StateError, UsageError
from armvcpu.vcpu.pcpu import Aarch64PerCpu
from armvcpu.vcpu.percpu import PerCpu
from armvcpu.vcpu.smc import OwnerInfo, SmcServices, Uid, smc_call
from armvcpu.vcpu.smc_filter import CallAction
from armvcpu.vcpu.stage2.mapping import MappingFlags
from armvcpu.vcpu.vcpu import Aarch64VCpu, Aarch64VCpuCreateConfig, Aarch64VCpuSetupConfig, VCpuState
from armvcpu.vcpu.vm import VirtualMachine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NUMBERS: list[Any] = [None, "x", 1.5, True, -1, 1 << 70]
"""None of them is an address, a size or a number of anything."""
RANGE = range(0x8600_0000, 0x8600_0010)


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def vm() -> Iterator[VirtualMachine]:
    with VirtualMachine(1, 1 << 20) as made:
        made.add_memory(RAM, 0x1000)
        yield made


def refuses(*calls: Callable[[], object]) -> None:
    """Each is a UsageError; by its number in the list where it is none."""
    problems = []
    for number, call in enumerate(calls):
        try:
            problems.append(f"call {number} gave {call()!r}")
        except UsageError as error:
            problems += str(error).splitlines()[1:]
    assert not problems


@pytest.mark.parametrize("wrong", NUMBERS)
def test_vcpu_refuses_what_is_no_number(bench, wrong):
    """Registers, limits, entry points and interrupts."""
    vcpu = bench.vcpu
    refuses(
        lambda: vcpu.run(wrong),
        lambda: vcpu.inject_interrupt(wrong),
        lambda: vcpu.inject_interrupt(40, wrong if wrong is not None else "x"),
        lambda: vcpu.set_interrupt_line(wrong, True),
        lambda: vcpu.start(wrong),
        lambda: vcpu.start(RAM, wrong),
        lambda: vcpu.set_entry(wrong),
        lambda: vcpu.answer_sysreg(wrong, None, None),
        lambda: vcpu.registers.__setitem__("x0", wrong),
    )
    assert (vcpu.life, vcpu.state.pc) == (VCpuState.READY, RAM)


@pytest.mark.parametrize("index", [None, "x", 1.5, -1, 32, 1 << 70])
@pytest.mark.parametrize("is_bound", [False, True])
def test_register_is_named_by_its_number(bench, index, is_bound):
    """And holds one."""
    vcpu = bench.vcpu if is_bound else Aarch64VCpu(0, 0, Aarch64VCpuCreateConfig())
    refuses(
        lambda: vcpu.gpr(index),
        lambda: vcpu.set_gpr(index, 1),
        lambda: vcpu.trap_frame.gpr(index),
        lambda: vcpu.set_gpr(1, "x"),
        lambda: vcpu.set_return_value(None),
        lambda: vcpu.set_return_value(1.5),
    )
    assert vcpu.gpr(1) == 0


def test_vcpu_refuses_what_cannot_be_called(bench):
    """Handlers, observers without a method of theirs, and levels that are none."""
    vcpu = bench.vcpu

    class Deaf:
        exception = sysreg = call = mmio = irq = len

    refuses(
        lambda: vcpu.answer_sysreg(1, "x", None),
        lambda: vcpu.answer_sysreg(1, None, 5),
        lambda: vcpu.hear_semihosting("x"),
        lambda: vcpu.post(None),
        lambda: setattr(vcpu, "observer", "x"),
        lambda: setattr(vcpu, "observer", Deaf()),
        lambda: vcpu.set_interrupt_line(40, "x"),
        lambda: vcpu.set_ept_root("x", 0),
        lambda: vcpu.set_ept_root(0, None),
        lambda: vcpu.registers[None],
        lambda: vcpu.registers[5],
        lambda: vcpu.registers.__setitem__("pc", 3),
    )
    assert vcpu.observer is None
    vcpu.observer = Heard()


@pytest.mark.parametrize("timeout", [nan, -1, -inf, "x", True])
def test_wait_refuses_what_is_no_time(bench, timeout):
    """NaN is never over."""
    refuses(lambda: bench.vcpu.wait_for_interrupt(timeout))


def test_wait_may_be_for_ever(bench):
    """Infinite, or more than a lock can wait."""
    bench.vcpu.interrupts.load_state(bench.vcpu.interrupts.state() | {"pmr": 0xF8, "enabled_groups": 2})
    bench.vcpu.inject_interrupt(40)
    assert [bench.vcpu.wait_for_interrupt(timeout) for timeout in (inf, 1e300, None, 0)] == [True] * 4


def test_start_that_is_refused_starts_nothing():
    """Not at the next `bind` either."""
    vcpu, pcpu = Aarch64VCpu(0, 0, Aarch64VCpuCreateConfig()), Bench().pcpu
    pcpu.bound.unbind()
    vcpu.setup(Aarch64VCpuSetupConfig())
    refuses(lambda: vcpu.start(RAM, "x"))
    vcpu.bind(pcpu)
    assert (vcpu.state.pc, pcpu.bound) == (0, vcpu)


def test_vcpu_without_a_state_says_so():
    """StateError before the first `bind`, whatever is asked of it."""
    vcpu = Aarch64VCpu(0, 7, Aarch64VCpuCreateConfig())
    assert not vcpu.has_state
    for ask in (vcpu.dump, lambda: vcpu.state.pc, vcpu.fetch_word):
        with pytest.raises(StateError, match="vCPU 7"):
            ask()


@pytest.mark.parametrize(
    "wrong",
    [
        {"mpidr_el1": "x"}, {"mpidr_el1": -1}, {"mpidr_el1": 1 << 70}, {"dtb_addr": 1.5}, {"dtb_addr": None},
        {"cpu_model": 5}, {"gicv3": "x"}, {"pmu": 1}, {"psci_version": "x"}, {"smccc_version": None},
    ],
)  # fmt: skip
def test_configuration_of_a_vcpu_is_checked(wrong):
    """When it is made."""
    refuses(lambda: Aarch64VCpuCreateConfig(**wrong))


@pytest.mark.parametrize("name", ["passthrough_interrupt", "passthrough_timer", "forward_smc"])
def test_set_up_of_a_vcpu_is_checked(name):
    """When it is made."""
    refuses(lambda: Aarch64VCpuSetupConfig(**{name: "x"}))


@pytest.mark.parametrize("wrong", NUMBERS)
def test_vm_refuses_what_is_no_number(vm, wrong):
    """Addresses and sizes of the guest's memory, affinities, and its own number."""
    before = vm.space.regions()
    refuses(
        lambda: VirtualMachine(wrong),
        lambda: VirtualMachine(1, wrong),
        lambda: VirtualMachine(1, 1 << 20, levels=wrong),
        lambda: VirtualMachine(1, 1 << 20, input_bits=wrong),
        lambda: vm.add_vcpu([wrong]),
        lambda: vm.add_vcpu(setup=[wrong]),
        lambda: vm.cpu_up(wrong),
        lambda: vm.cpu_down(wrong),
        lambda: vm.send_ipi(None, wrong),
        lambda: vm.add_memory(wrong, 0x1000),
        lambda: vm.add_memory(0x9000_0000, wrong),
        lambda: vm.unmap(wrong, 0x1000),
        lambda: vm.protect(RAM, wrong, MappingFlags.READ),
        lambda: vm.memory.translate(wrong),
        lambda: vm.read(wrong, 1),
        lambda: vm.read(RAM, wrong),
        lambda: vm.write(wrong, b"x"),
        lambda: vm.write(RAM, wrong),
        lambda: vm.vcpu(wrong),
        lambda: vm.show_stolen_time(wrong),
    )
    assert (vm.space.regions(), vm.vcpus) == (before, [])


def test_vm_refuses_flags_that_are_none(vm):
    """Neither for new memory nor for what is there."""
    before = vm.space.regions()
    refuses(
        lambda: vm.add_memory(0x9000_0000, 0x1000, "rwx"),
        lambda: vm.add_memory(0x9000_0000, 0x1000, 7, lazy=True),
        lambda: vm.add_memory(0x9000_0000, 0x1000, []),
        lambda: vm.protect(RAM, 0x1000, 5),
    )
    assert vm.space.regions() == before


def test_closed_vm_gets_no_vcpu():
    """StateError; and it has none."""
    vm = VirtualMachine(1, 1 << 20)
    vm.close()
    with pytest.raises(StateError, match="VM 1 is closed"):
        vm.add_vcpu()
    assert vm.vcpus == []


@pytest.mark.parametrize("wrong", NUMBERS)
def test_services_refuse_what_is_no_identifier(wrong):
    """Functions, ranges and owners."""
    services = SmcServices()
    refuses(
        lambda: services.register(wrong, lambda _id, _args: 0),
        lambda: services.unregister(wrong),
        lambda: services.register_range(wrong, lambda _id, _args: 0),
        lambda: services.register_owner(wrong, lambda _id, _args: 0),
        lambda: services.identify_owner(wrong, OwnerInfo(Uid(bytes(16)), 1, 0)),
        lambda: services.filter(wrong, CallAction.EXIT),
        lambda: smc_call(services, wrong),
        lambda: smc_call(services, 0x8000_0000, wrong),
    )


def test_services_refuse_what_answers_nothing():
    """What can't be called, what is registered already, and an action that is none."""
    services = SmcServices()
    services.register_owner(6, lambda _id, _args: 1)
    services.register_range(RANGE, lambda _id, _args: 1)
    refuses(
        lambda: services.register(0x8600_0001, None),
        lambda: services.register_owner(7, 5),
        lambda: services.register_owner(6, lambda _id, _args: 2),
        lambda: services.register_range(range(0x8600_0008, 0x8600_0018), lambda _id, _args: 2),
        lambda: services.register_range(range(16), "x"),
        lambda: services.register_range(range(0), lambda _id, _args: 2),
        lambda: services.identify_owner(6, "x"),
        lambda: services.filter(RANGE, "exit"),
    )
    assert services.call(0x8600_0008, ()) == (1,)
    assert services.action(0x8600_0001) is CallAction.ANSWER


@pytest.mark.parametrize("wrong", [None, "x", [], 5])
def test_physical_cpus_refuse_what_is_none(wrong):
    """Registries, factories, names, and what a vCPU is bound to."""
    vcpu = Aarch64VCpu(0, 0, Aarch64VCpuCreateConfig())
    refuses(lambda: vcpu.setup(wrong), lambda: Aarch64VCpu(0, 0, wrong))
    vcpu.setup(Aarch64VCpuSetupConfig())
    refuses(
        lambda: Aarch64PerCpu.register(wrong),
        lambda: Aarch64PerCpu(0, wrong),
        lambda: Aarch64PerCpu(0, registry=wrong or "x"),
        lambda: PerCpu(1).declare(wrong if wrong != "x" else 1.5, initial=0),
        lambda: vcpu.bind(wrong),
        lambda: vcpu.load_registers(wrong),
        lambda: vcpu.set_virtual_interrupts(irq=wrong),
    )
    assert vcpu.life is VCpuState.FREE
