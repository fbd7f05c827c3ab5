"""Two VMs on one physical CPU, and one VM on two in two threads: memory, FP, timers and devices of each, on Unicorn."""

from __future__ import annotations

import struct
import threading
from typing import TYPE_CHECKING

import pytest
from vm_guests import DEVICE, IRQ, LOCKSTEP, RAM, STEP, TICKS, TICKS_IRQ, code

from armvcpu.arch.psci import psci_by_name
from armvcpu.errors import GuestCrash, StateError, UsageError
from armvcpu.vcpu.exits import (
    CpuUp,
    ExternalInterrupt,
    Halt,
    Hypercall,
    MmioRead,
    MmioWrite,
    NestedPageFault,
    SendIPI,
)
from armvcpu.vcpu.pcpu import Aarch64PerCpu
from armvcpu.vcpu.percpu import PerCpu
from armvcpu.vcpu.smc_filter import CallAction
from armvcpu.vcpu.stage2.mapping import MappingFlags
from armvcpu.vcpu.vcpu import Aarch64VCpu, Aarch64VCpuCreateConfig, Aarch64VCpuSetupConfig
from armvcpu.vcpu.vm import VirtualMachine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

READ, WRITE, EXECUTE = MappingFlags.READ, MappingFlags.WRITE, MappingFlags.EXECUTE
ADD_X0_1, HVC_0, BRANCH_BACK_2 = 0x9100_0400, 0xD400_0002, 0x17FF_FFFE  # add x0, x0, #1; hvc #0; b .-8
LDR_X0_X1, STR_X0_X1 = 0xF940_0020, 0xF900_0020  # ldr x0, [x1]; str x0, [x1]


@pytest.fixture
def percpu() -> Iterator[PerCpu]:
    """Two physical CPUs, enabled."""
    registry = PerCpu(2)
    Aarch64PerCpu.register(registry)
    registry.enable_all()
    yield registry
    for cpu in registry.cpus():
        if cpu.bound is not None:
            cpu.bound.unbind()
    registry.disable_all()


@pytest.fixture
def vms() -> Iterator[list[VirtualMachine]]:
    """Two VMs with a page of memory each."""
    made = [VirtualMachine(vm_id, 1 << 20) for vm_id in (1, 2)]
    for vm in made:
        vm.add_memory(RAM, 0x1000)
    yield made
    for vm in made:
        vm.__exit__()


def ticking(vm: VirtualMachine, step: float) -> Aarch64VCpu:
    """A vCPU of the guest TICKS."""
    vm.write(RAM, code(*TICKS))
    vm.write(IRQ, code(*TICKS_IRQ))
    vm.write(STEP, struct.pack("<d", step))
    vcpu = vm.add_vcpu()
    vcpu.set_entry(RAM)
    return vcpu


class Guest:
    """A TICKS guest and what its device has got, run an exit at a time on any CPU."""

    def __init__(self, vm: VirtualMachine, step: float, answer: int) -> None:
        self.vcpu, self.step, self.answer = ticking(vm, step), step, answer
        self.written: list[float] = []
        self.ended: Hypercall | None = None

    def turn(self, pcpu: Aarch64PerCpu) -> None:
        """One exit."""
        vcpu = self.vcpu
        vcpu.bind(pcpu)
        match vcpu.run():
            case MmioWrite(addr, 8, data) if addr == DEVICE:
                self.written += struct.unpack("<d", data.to_bytes(8, "little"))
            case MmioRead(addr, 8, reg, _, _) if addr == DEVICE + 8:
                vcpu.set_gpr(reg, self.answer)
            case Halt():
                assert vcpu.wait_for_interrupt(10)
            case ExternalInterrupt():
                pass
            case Hypercall() as call:
                self.ended = call
            case other:
                raise AssertionError(other)
        vcpu.unbind()

    def check(self) -> None:
        """It has added up its own step, in its own FP registers, and was interrupted by its own timer."""
        assert self.ended is not None
        ticks, total, _, read = self.ended.args[:4]
        assert (ticks >= 5, read) == (True, self.answer)
        assert self.written == [self.step * (n + 1) for n in range(len(self.written))]
        assert struct.pack("<Q", total) == struct.pack("<d", self.written[-1])


# --- two VMs, one CPU -------------------------------------------------------------------------------------------


def test_two_vms_share_a_cpu(percpu, vms):
    """They take turns at each exit: the same addresses, and nothing of the other's memory, FP, timer or device."""
    guests = [Guest(vms[0], 1.5, 0x1111), Guest(vms[1], -0.25, 0x2222)]
    while any(guest.ended is None for guest in guests):
        for guest in guests:
            if guest.ended is None:
                guest.turn(percpu.cpu(0))
    for guest in guests:
        guest.check()


def test_vcpu_moves_between_cpus_with_its_vm(percpu, vms):
    """At each exit to the other CPU: stage 2, pending interrupts, FP and timers come along."""
    guest, turn = Guest(vms[0], 0.5, 0x3333), 0
    while guest.ended is None:
        guest.turn(percpu.cpu(turn % 2))
        turn += 1
    guest.check()


def test_vms_have_places_and_numbers_of_their_own(vms):
    """VMID and tables differ; a third VM may have those of one that is closed."""
    first, second = (vm.add_vcpu().system_registers.vttbr_el2 for vm in vms)
    assert first >> 48 != second >> 48
    assert first & 0xFFFF_FFFF_FFFF != second & 0xFFFF_FFFF_FFFF
    vms[0].close()
    with VirtualMachine(3, 1 << 20) as third:
        assert third.add_vcpu().system_registers.vttbr_el2 == first


def test_memory_of_a_closed_vm_is_gone_from_the_cpu(percpu, vms):
    """Its addresses may then be another VM's, with other memory, on the same engine."""
    pcpu, seen = percpu.cpu(0), []
    for number in range(3):
        with VirtualMachine(number, 1 << 20) as vm:
            vm.add_memory(RAM, 0x1000)
            vm.write(RAM, code(0xD280_0000 | number << 5, HVC_0))  # mov x0, #number; hvc #0
            vcpu = vm.add_vcpu()
            vcpu.set_entry(RAM)
            vcpu.bind(pcpu)
            seen.append((vm.vmid, vcpu.run().nr))
    assert seen == [(seen[0][0], number) for number in range(3)]


# --- a VM's memory ----------------------------------------------------------------------------------------------


def running(vm: VirtualMachine, pcpu: Aarch64PerCpu, *words: int) -> Aarch64VCpu:
    """A vCPU of a guest in a few words, bound."""
    vm.write(RAM, code(*words))
    vcpu = vm.add_vcpu()
    vcpu.set_entry(RAM)
    vcpu.bind(pcpu)
    return vcpu


def test_lazy_memory_keeps_its_first_store(percpu, vms):
    """The page comes at the store's fault, and the store is made again; the host sees it, and all else is zero."""
    vms[0].add_memory(0x9000_0000, 1 << 16, lazy=True)
    vcpu = running(vms[0], percpu.cpu(0), STR_X0_X1, LDR_X0_X1, HVC_0)
    vcpu.set_gpr(0, 0xABCD)
    vcpu.set_gpr(1, 0x9000_1008)
    assert vcpu.run().nr == 0xABCD
    assert vms[0].read(0x9000_1000, 24) == bytes(8) + (0xABCD).to_bytes(8, "little") + bytes(8)
    assert (vms[0].space.translate(0x9000_0000), vms[0].space.translate(0x9000_1000) is None) == (None, False)


def test_host_may_write_lazy_memory_first(percpu, vms):
    """The guest then finds it."""
    vms[0].add_memory(0x9000_0000, 1 << 16, lazy=True)
    vms[0].write(0x9000_0FFC, bytes(range(8)))
    vcpu = running(vms[0], percpu.cpu(0), LDR_X0_X1, HVC_0)
    vcpu.set_gpr(1, 0x9000_0FFC)
    assert vcpu.run().nr == int.from_bytes(bytes(range(8)), "little")


def test_mmio_exit_can_be_tried_again_once_there_is_memory(percpu, vms):
    """`retry`: the store that made the exit is not lost."""
    vcpu = running(vms[0], percpu.cpu(0), STR_X0_X1, LDR_X0_X1, HVC_0)
    vcpu.set_gpr(0, 77)
    vcpu.set_gpr(1, 0x9000_0000)
    assert vcpu.run() == MmioWrite(0x9000_0000, 8, 77)
    vms[0].add_memory(0x9000_0000, 0x1000)
    vcpu.retry()
    assert (vcpu.run().nr, vms[0].read(0x9000_0000, 1)) == (77, b"M")


def test_exit_is_answered_once_and_only_while_it_is_the_last(percpu, vms):
    """Not after another one, not after a start anew, and not twice: StateError, and PC stays."""
    vcpu = running(vms[0], percpu.cpu(0), LDR_X0_X1, HVC_0, LDR_X0_X1)
    vcpu.set_gpr(1, 0x9000_0000)
    answers = vcpu.retry, vcpu.inject_external_abort
    refused = []

    def refuse() -> None:
        pc = vcpu.state.pc
        for answer in answers:
            with pytest.raises(StateError, match="no exit that it answers"):
                answer()
        refused.append(vcpu.state.pc - pc)

    refuse()
    assert isinstance(vcpu.run(), MmioRead)
    assert isinstance(vcpu.run(), Hypercall)
    refuse()
    assert isinstance(vcpu.run(), MmioRead)
    vcpu.start(RAM)
    refuse()
    vcpu.set_gpr(1, 0x9000_0000)
    assert isinstance(vcpu.run(), MmioRead)
    vcpu.unbind()
    vcpu.bind(percpu.cpu(1))
    vcpu.retry()
    refuse()
    assert isinstance(vcpu.run(), MmioRead)
    vcpu.inject_external_abort()
    refuse()
    assert refused == [0] * 5


def test_exit_of_a_handlers_own_is_not_tried_again(percpu, vms):
    """It has no instruction to go back to, although an access before it had one."""
    vcpu = running(vms[0], percpu.cpu(0), LDR_X0_X1, HVC_0)
    vcpu.set_gpr(1, 0x9000_0000)
    vcpu.handlers.hypercalls[5] = lambda called: called.exit(MmioRead(0, 4, 0, 4, False))
    assert isinstance(vcpu.run(), MmioRead)
    vcpu.set_gpr(0, 5)
    assert vcpu.run() == MmioRead(0, 4, 0, 4, False)
    with pytest.raises(StateError):
        vcpu.retry()


def test_code_that_the_host_writes_is_what_the_guest_executes(percpu, vms):
    """On every CPU that has executed the old one."""
    vm = vms[0]
    vcpu = running(vm, percpu.cpu(0), ADD_X0_1, HVC_0, BRANCH_BACK_2)
    seen = []
    for word in (ADD_X0_1, 0x9100_2800, 0x9101_9000):  # add x0, x0, #1; #10; #100
        vm.write(RAM, code(word))
        for cpu_id in (0, 1):
            vcpu.unbind()
            vcpu.bind(percpu.cpu(cpu_id))
            seen.append(vcpu.run().nr)
    assert seen == [1, 2, 12, 22, 122, 222]


def test_memory_that_is_taken_away_is_gone_for_a_cpu_that_had_it(percpu, vms):
    """Also where the vCPU was bound elsewhere meanwhile; what is given anew is zero."""
    vm = vms[0]
    vm.add_memory(0x9000_0000, 0x1000)
    vm.write(0x9000_0000, b"\x55" * 8)
    vcpu = running(vm, percpu.cpu(0), LDR_X0_X1, HVC_0, BRANCH_BACK_2)
    vcpu.set_gpr(1, 0x9000_0000)
    seen = [vcpu.run().nr]
    vcpu.unbind()
    vm.unmap(0x9000_0000, 0x1000)
    vcpu.bind(percpu.cpu(0))
    seen.append(vcpu.run())
    vm.add_memory(0x9000_0000, 0x1000)
    vcpu.retry()
    seen.append(vcpu.run().nr)
    assert seen == [0x5555_5555_5555_5555, MmioRead(0x9000_0000, 8, 0, 8, False), 0]


def test_protected_memory_faults_at_once(percpu, vms):
    """Although the guest has just written there."""
    vm = vms[0]
    vm.add_memory(0x9000_0000, 0x1000)
    vcpu = running(vm, percpu.cpu(0), STR_X0_X1, HVC_0, BRANCH_BACK_2)
    vcpu.set_gpr(1, 0x9000_0000)
    vcpu.run()
    vm.protect(0x9000_0000, 0x1000, READ)
    assert isinstance(vcpu.run(), MmioWrite)


def test_fetch_from_no_memory_is_a_page_fault(percpu, vms):
    """NestedPageFault with EXECUTE."""
    vcpu = running(vms[0], percpu.cpu(0), 0xD61F_0020)  # br x1
    vcpu.set_gpr(1, 0x7000_0000)
    assert vcpu.run() == NestedPageFault(0x7000_0000, EXECUTE)


def test_vm_refuses_what_cannot_be(vms):
    """Memory that overlaps or does not fit, addresses without memory, vCPUs twice; nothing has changed."""
    vm = vms[0]
    before = vm.space.regions()
    vm.add_vcpu()
    for refused in (
        lambda: vm.add_memory(RAM, 0x1000),
        lambda: vm.add_memory(0x9000_0000, 1 << 30),
        lambda: vm.add_memory(0x9000_0001, 0x1000),
        lambda: vm.write(RAM + 0xFFF, b"ab"),
        lambda: vm.read(0x7000_0000, 1),
        lambda: vm.add_vcpu(Aarch64VCpuCreateConfig(mpidr_el1=0)),
        lambda: vm.vcpu(5),
        lambda: VirtualMachine(9, 1000),
        lambda: VirtualMachine(9, 1 << 20, input_bits=60),
    ):
        with pytest.raises(UsageError):
            refused()
    assert (vm.space.regions(), vm.read(RAM + 0xFFF, 1), len(vm.vcpus)) == (before, b"\0", 1)


def test_host_access_that_is_refused_uses_no_memory(vms):
    """Lazy memory beyond what the VM has, or a hole behind it; what is read only stays lazy, and is zero."""
    vm = vms[0]
    vm.add_memory(0x9000_0000, 1 << 30, lazy=True)
    for refused in (
        lambda: vm.read(0x9000_0000, 1 << 30),
        lambda: vm.read(0x9000_0000, 1 << 70),
        lambda: vm.write(0x9000_0000, bytes(1 << 20)),
        lambda: vm.write(0x9000_0000 + (1 << 30) - 0x1000, bytes(0x1001)),
        lambda: vm.read(0x9000_0000 + (1 << 30) - 0x1000, 0x1001),
        lambda: vm.read(0x9000_0000, -1),
        lambda: vm.read("x", 1),
        lambda: vm.read(RAM, 1.5),
        lambda: vm.write(RAM, "text"),
    ):
        with pytest.raises(UsageError):
            refused()
    assert vm.read(0x9000_0000, 0x2000) == bytes(0x2000)
    assert vm.memory.translate(0x9000_0000) is None
    vm.write(0x9000_0000, b"\x01" * ((1 << 20) - 0x1000))  # all that is left


def test_vm_with_a_bound_vcpu_stays_open(percpu, vms):
    """StateError; and a closed one gives nothing more."""
    vcpu = running(vms[0], percpu.cpu(0), HVC_0)
    with pytest.raises(StateError, match="still bound"):
        vms[0].close()
    vcpu.unbind()
    vms[0].close()
    for refused in (lambda: vcpu.bind(percpu.cpu(0)), lambda: vms[0].add_memory(0x9000_0000, 0x1000)):
        with pytest.raises(StateError, match="VM 1 is closed"):
            refused()


# --- one VM, two CPUs -------------------------------------------------------------------------------------------


def in_threads(run: Callable[[Aarch64VCpu], None], vcpus: list[Aarch64VCpu], seconds: float) -> None:
    """Run each vCPU in a thread of its own, for at most so long each."""
    threads = [threading.Thread(target=run, args=(vcpu,)) for vcpu in vcpus]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(seconds)


class Lockstep:
    """The LOCKSTEP guest: a thread for each vCPU, on the CPU of its number."""

    def __init__(self, vm: VirtualMachine, percpu: PerCpu) -> None:
        self.vm, self.percpu = vm, percpu
        vm.write(RAM, code(*LOCKSTEP))
        self.vcpus = [vm.add_vcpu(), vm.add_vcpu()]
        self.vcpus[0].set_entry(RAM)
        self.ended: dict[int, Hypercall] = {}
        self.devices: dict[int, int] = {}
        self.threads: list[threading.Thread] = []
        self.problems: list[BaseException] = []

    def start(self, vcpu: Aarch64VCpu) -> None:
        thread = threading.Thread(target=self._guarded, args=(vcpu,))
        thread.start()
        self.threads.append(thread)

    def _guarded(self, vcpu: Aarch64VCpu) -> None:
        try:
            with self.percpu.on(vcpu.vcpu_id):
                self._serve(vcpu)
        except BaseException as problem:
            self.problems.append(problem)

    def _serve(self, vcpu: Aarch64VCpu) -> None:
        vcpu.bind(self.percpu.this_cpu())
        while True:
            match vcpu.run():
                case CpuUp() as up:
                    self.start(self.vm.cpu_up(up))
                case MmioWrite(_, 4, number):
                    self.devices[vcpu.vcpu_id] = number
                case MmioRead(_, _, reg, _, _):
                    vcpu.set_gpr(reg, 100 + vcpu.vcpu_id)
                case Hypercall() as call:
                    self.ended[vcpu.vcpu_id] = call
                    vcpu.unbind()
                    return

    def join(self) -> None:
        while self.threads:
            self.threads.pop().join(60)


def test_two_cpus_run_one_vm_at_the_same_time(percpu, vms):
    """Each waits for the other 200 times, which neither could in turns; FP and the device are its own."""
    guest = Lockstep(vms[0], percpu)
    guest.start(guest.vcpus[0])
    guest.join()
    total = int.from_bytes(struct.pack("<d", 200.0), "little")
    assert (guest.problems, guest.devices) == ([], {0: 0, 1: 1})
    assert {number: call.args[:2] for number, call in guest.ended.items()} == {0: (0, total), 1: (1, total)}
    assert [vcpu.gpr(9) for vcpu in guest.vcpus] == [100, 101]


def test_memory_is_taken_away_from_a_cpu_that_runs_in_another_thread(percpu, vms):
    """`unmap` returns when that CPU can't reach it any more; its next load is an exit."""
    vm, exits = vms[0], []
    vm.add_memory(0x9000_0000, 0x1000)
    vm.write(RAM, code(LDR_X0_X1, 0x17FF_FFFF))  # b .-4
    vcpu = vm.add_vcpu()
    vcpu.set_entry(RAM)
    started = threading.Event()

    def run() -> None:
        vcpu.bind(percpu.cpu(1))
        vcpu.set_gpr(1, 0x9000_0000)
        started.set()
        while not isinstance(reason := vcpu.run(), MmioRead):
            exits.append(reason)
        exits.append(reason)
        vcpu.unbind()

    thread = threading.Thread(target=run)
    thread.start()
    started.wait(10)
    vm.unmap(0x9000_0000, 0x1000)
    thread.join(60)
    assert exits[-1] == MmioRead(0x9000_0000, 8, 0, 8, False)
    assert set(map(type, exits[:-1])) <= {ExternalInterrupt}


def test_thread_that_steps_a_vcpu_does_what_others_want(percpu, vms):
    """Edits of another thread end, and an interrupt arrives, although `run` is never called."""
    vm, stop = vms[0], threading.Event()
    vm.write(RAM, code(0x1400_0000))  # b .
    vcpu = vm.add_vcpu()
    vcpu.set_entry(RAM)
    has_come = []

    def steps() -> None:
        vcpu.bind(percpu.cpu(1))
        while vcpu.interrupts.interrupts.highest_pending() is None and not stop.is_set():
            vcpu.step()
        has_come.append(vcpu.interrupts.interrupts.highest_pending() is not None)
        vcpu.unbind()

    def edits() -> None:
        for number in range(100):
            vm.protect(RAM, 0x1000, READ | EXECUTE if number % 2 else READ | WRITE | EXECUTE)
        vcpu.inject_interrupt(40)

    threads = [threading.Thread(target=each, daemon=True) for each in (steps, edits)]
    for thread in threads:
        thread.start()
    threads[1].join(60)
    threads[0].join(10)
    stop.set()
    assert ([thread.is_alive() for thread in threads], has_come) == ([False, False], [True])


def test_lazy_memory_is_populated_by_two_cpus_at_once(percpu, vms):
    """Both store to each page in turn: no store is lost, whoever comes first."""
    vm, pages, problems = vms[0], 64, []
    vm.add_memory(0x9000_0000, pages * 0x1000, lazy=True)
    # str x0, [x1]; add x1, x1, #1, lsl #12; sub x2, x2, #1; cbnz x2, .-12; hvc #0
    vm.write(RAM, code(STR_X0_X1, 0x9140_0421, 0xD100_0442, 0xB5FF_FFA2, HVC_0))
    vcpus = [vm.add_vcpu(), vm.add_vcpu()]

    def run(vcpu: Aarch64VCpu) -> None:
        try:
            vcpu.set_entry(RAM)
            vcpu.bind(percpu.cpu(vcpu.vcpu_id))
            for index, value in enumerate((vcpu.vcpu_id + 1, 0x9000_0000 + 8 * vcpu.vcpu_id, pages)):
                vcpu.set_gpr(index, value)
            while not isinstance(vcpu.run(), Hypercall):
                pass
            vcpu.unbind()
        except BaseException as problem:
            problems.append(problem)

    in_threads(run, vcpus, 60)
    stored = {struct.unpack("<QQ", vm.read(0x9000_0000 + page * 0x1000, 16)) for page in range(pages)}
    assert (problems, stored) == ([], {(1, 2)})


def test_what_the_host_writes_is_seen_by_a_cpu_that_runs(percpu, vms):
    """Data, and code that it has executed already, in a loop without exits."""
    vm, seen = vms[0], []
    # again: ldr x0, [x1]; nop; cbz x0, again; hvc #0
    vm.write(RAM, code(LDR_X0_X1, 0xD503_201F, 0xB4FF_FFC0, HVC_0))
    vcpu = vm.add_vcpu()
    vcpu.set_entry(RAM)
    started = threading.Event()

    def run() -> None:
        vcpu.bind(percpu.cpu(1))
        vcpu.set_gpr(1, RAM + 0x800)
        started.set()
        while not isinstance(reason := vcpu.run(), Hypercall):
            pass
        seen.append((reason.nr, vcpu.gpr(2)))
        vcpu.unbind()

    thread = threading.Thread(target=run)
    thread.start()
    started.wait(10)
    vm.write(RAM + 4, code(0xD280_0AA2))  # mov x2, #85
    vm.write(RAM + 0x800, b"\x07")
    thread.join(60)
    assert seen == [(7, 85)]


@pytest.mark.parametrize("access", [lambda vm: vm.write(RAM, b"secret"), lambda vm: vm.read(RAM, 6)])
def test_host_access_is_one_edit(vms, monkeypatch, access):
    """Memory that another thread takes away between look-up and copy goes to nobody else before the copy is over."""
    vm, threads, look_up = vms[0], [], vms[0].space.translate

    def move() -> None:
        vm.unmap(RAM, 0x1000)
        vm.add_memory(DEVICE, 0x1000)

    def looked_up(gpa: int) -> object:
        found = look_up(gpa)
        if not threads:
            threads.append(threading.Thread(target=move))
            threads[0].start()
            threads[0].join(0.2)
            assert threads[0].is_alive()
        return found

    monkeypatch.setattr(vm.space, "translate", looked_up)
    access(vm)
    threads[0].join(60)
    assert vm.read(DEVICE, 6) == bytes(6)
    with pytest.raises(UsageError):
        vm.read(RAM, 6)


def test_handlers_of_two_cpus_may_edit_at_the_same_time(percpu, vms):
    """Each takes a page away and gives it anew, 100 times, in its own trap: none waits for the other for ever."""
    vm, problems, rounds = vms[0], [], 100
    # again: ldr x3, [x1]; mov x0, #9; hvc #0; subs x2, x2, #1; b.ne again; mov x0, #0; hvc #0
    vm.write(RAM, code(0xF940_0023, 0xD280_0120, HVC_0, 0xF100_0442, 0x54FF_FF81, 0xD280_0000, HVC_0))
    vcpus = [vm.add_vcpu(), vm.add_vcpu()]

    def edit(vcpu: Aarch64VCpu) -> None:
        page = 0x9000_0000 + vcpu.vcpu_id * 0x1000
        vm.unmap(page, 0x1000)
        vm.add_memory(page, 0x1000)
        vm.write(page, b"\x01")

    def run(vcpu: Aarch64VCpu) -> None:
        try:
            vcpu.handlers.hypercalls[9] = edit
            vcpu.set_entry(RAM)
            vcpu.bind(percpu.cpu(vcpu.vcpu_id))
            edit(vcpu)
            vcpu.set_gpr(1, 0x9000_0000 + vcpu.vcpu_id * 0x1000)
            vcpu.set_gpr(2, rounds)
            while not isinstance(reason := vcpu.run(), Hypercall):
                assert isinstance(reason, ExternalInterrupt), reason
            vcpu.unbind()
        except BaseException as problem:
            problems.append(problem)

    in_threads(run, vcpus, 120)
    assert (problems, [vcpu.gpr(2) for vcpu in vcpus], [vcpu.gpr(3) for vcpu in vcpus]) == ([], [0, 0], [1, 1])


def test_timer_interrupts_a_guest_that_computes(percpu, vms):
    """A loop without exits: the run ends after the 0.2 s of the timer, and the guest takes INTID 27 in the next."""
    vm = vms[0]
    # msr icc_pmr_el1, x2; msr icc_igrpen1_el1, x3; msr vbar_el1, x4; msr cntv_tval_el0, x5; msr cntv_ctl_el0, x3
    setup = (0xD518_4602, 0xD518_CCE3, 0xD518_C004, 0xD51B_E305, 0xD51B_E323)
    vm.write(RAM, code(*setup, 0xD503_42FF, 0x1400_0000))  # msr daifclr, #2; b .
    vm.write(IRQ, code(0xD538_CC09, HVC_0))  # mrs x9, icc_iar1_el1; hvc #0
    vcpu = vm.add_vcpu()
    vcpu.set_entry(RAM)
    vcpu.bind(percpu.cpu(0))
    for index, value in ((2, 0xFF), (3, 1), (4, RAM + 0x800), (5, 12_500_000)):
        vcpu.set_gpr(index, value)
    assert (vcpu.run(), vcpu.state.pc) == (ExternalInterrupt(27), RAM + 24)
    assert (isinstance(vcpu.run(), Hypercall), vcpu.gpr(9)) == (True, 27)


def test_interrupt_from_another_thread_reaches_a_vcpu_that_runs(percpu, vms):
    """It runs a loop without exits; the injection ends the run, and the guest takes the interrupt in the next."""
    vm, vectors = vms[0], []
    # msr icc_pmr_el1, x2; msr icc_igrpen1_el1, x3; msr vbar_el1, x4; msr daifclr, #2; b .
    vm.write(RAM, code(0xD518_4602, 0xD518_CCE3, 0xD518_C004, 0xD503_42FF, 0x1400_0000))
    vm.write(IRQ, code(0xD538_CC09, HVC_0))  # mrs x9, icc_iar1_el1; hvc #0
    vcpu = vm.add_vcpu()
    vcpu.set_entry(RAM)

    def run() -> None:
        vcpu.bind(percpu.cpu(1))
        for index, value in ((2, 0xFF), (3, 1), (4, RAM + 0x800)):
            vcpu.set_gpr(index, value)
        while not isinstance(vcpu.run(), Hypercall):
            pass
        vectors.append(vcpu.gpr(9))
        vcpu.unbind()

    thread = threading.Thread(target=run)
    thread.start()
    vcpu.inject_interrupt(42)
    thread.join(60)
    assert vectors == [42]


# --- what a VM answers ------------------------------------------------------------------------------------------


def test_store_to_rom_is_told_apart_from_one_to_nothing(percpu, vms):
    """Both leave with what was stored; only the ROM is there (a permission fault, D17.2.37)."""
    vms[0].add_memory(0x9000_0000, 0x1000, READ)
    vcpu = running(vms[0], percpu.cpu(0), STR_X0_X1, BRANCH_BACK_2 + 1, 0xA900_0020)  # b .-4; stp x0, x0, [x1]
    seen = []
    for address in (0x9000_0008, 0x9000_1008):
        vcpu.set_gpr(1, address)
        seen.append(vcpu.run())
    vcpu.set_entry(RAM + 8)
    vcpu.set_gpr(1, 0x9000_0000)
    assert seen == [MmioWrite(0x9000_0008, 8, 0, is_denied=True), MmioWrite(0x9000_1008, 8, 0)]
    assert vcpu.run() == NestedPageFault(0x9000_0000, WRITE, is_denied=True)


@pytest.mark.parametrize(("word", "conduit"), [(0xD400_0002 | 0x1234 << 5, "hvc"), (0xD400_0003 | 0x1234 << 5, "smc")])
def test_call_carries_its_immediate_and_conduit(percpu, vms, word, conduit):
    """An SMC where the filter makes it an exit, or nobody claims it and such are forwarded."""
    vm = vms[0]
    vm.write(RAM, code(word, word))
    vcpu = vm.add_vcpu(setup=Aarch64VCpuSetupConfig(forward_smc=True))
    vcpu.services.filter(range(0x8400_0000, 0x8400_0001), CallAction.EXIT)
    vcpu.set_entry(RAM)
    vcpu.bind(percpu.cpu(0))
    seen = []
    for number in (0x8400_0000, 0xC200_0001):  # PSCI_VERSION, and one of a SiP service that there is not
        vcpu.set_gpr(0, number)
        vcpu.set_gpr(1, 5)
        seen.append(vcpu.run())
    assert seen == [Hypercall(n, (5, 0, 0, 0, 0, 0), 0x1234, conduit) for n in (0x8400_0000, 0xC200_0001)]


def test_smc_that_nobody_claims_is_not_supported(percpu, vms):
    """And one that the filter refuses, by either conduit, without an exit."""
    vm = vms[0]
    vcpu = running(vm, percpu.cpu(0), 0xD400_0003, 0xAA00_03F3, 0xD280_0000, 0xF2B0_8000, HVC_0, HVC_0)
    # smc #0; mov x19, x0; mov x0, #0; movk x0, #0x8400, lsl #16; hvc #0; hvc #0
    vcpu.services.filter(range(0x8400_0000, 0x8400_0001), CallAction.REFUSE)
    vcpu.set_gpr(0, 0xC200_0001)
    assert vcpu.run().nr == (1 << 64) - 1
    assert (vcpu.gpr(19), vcpu.state.pc) == ((1 << 64) - 1, RAM + 24)


def test_ipi_reaches_the_vcpus_that_it_means(vms):
    """By affinity and list, or all but the sender (IHI 0069 12.2.21)."""
    vm = vms[0]
    vcpus = [vm.add_vcpu() for _ in range(3)]

    def pending() -> list[bool]:
        found = [vcpu.interrupts.interrupts.highest_pending() is not None for vcpu in vcpus]
        for vcpu in vcpus:
            vcpu.interrupts.reset()
        return found

    vm.send_ipi(vcpus[0], SendIPI(0, 0b101, False, False, 3))
    listed = pending()
    vm.send_ipi(vcpus[0], SendIPI(0x100, 0b111, False, False, 3))
    elsewhere = pending()
    vm.send_ipi(vcpus[1], SendIPI(0, 0, True, False, 3))
    assert (listed, elsewhere, pending()) == ([True, False, True], [False] * 3, [True, False, True])


def test_protected_memory_is_zero_after_a_reset(vms):
    """MEM_PROTECT (DEN 0022 5.21), of all that the guest can write."""
    vm = vms[0]
    vm.add_memory(0x9000_0000, 0x1000, READ)
    vcpu = vm.add_vcpu()
    for address in (RAM, 0x9000_0000):
        vm.write(address, b"secret")
    vm.reset()
    kept = vm.read(RAM, 6)
    protect, check = psci_by_name["MEM_PROTECT"].smc32, psci_by_name["MEM_PROTECT_CHECK_RANGE"].smc64
    ranges = [vcpu.services.call(check, each)[0] for each in ((RAM, 0x1000), (RAM, 0x1001), (0x9000_0000, 1))]
    vcpu.services.call(protect, (1,))
    vm.reset()
    assert (kept, vm.read(RAM, 6), vm.read(0x9000_0000, 6)) == (b"secret", bytes(6), b"secret")
    assert ranges == [0, (1 << 64) - 3, (1 << 64) - 3]


def test_crash_has_the_registers(percpu, vms):
    """Of the guest when it could not go on."""
    vcpu = running(vms[0], percpu.cpu(0), 0)  # UDF, with VBAR_EL1 = 0, where nothing is
    vms[0].add_memory(0, 0x1000)
    vcpu.set_gpr(7, 0x77)
    with pytest.raises(GuestCrash) as crash:
        vcpu.run()
    assert (crash.value.registers["X7"], crash.value.registers["VBAR_EL1"]) == (0x77, 0)
    assert crash.value.registers["PC"] == 0x200


def test_cpu_that_is_switched_on_twice_is_pending(vms):
    """CPU_ON, until somebody acts on the exit; then it is on (DEN 0022 5.6), and off again after CPU_OFF."""
    vm = vms[0]
    first, second = vm.add_vcpu(), vm.add_vcpu()
    call, answers = psci_by_name["CPU_ON"].smc64, []
    up = first.services.call(call, (1, RAM, 5))
    answers.append(first.services.call(call, (1, RAM, 5)))
    assert (up, vm.cpu_up(up)) == (CpuUp(1, RAM, 5), second)
    answers.append(first.services.call(call, (1, RAM, 5)))
    vm.cpu_down(second)
    answers.append(first.services.call(call, (1, RAM + 4, 6)))
    assert answers == [((1 << 64) - 5,), ((1 << 64) - 4,), CpuUp(1, RAM + 4, 6)]


def test_cpu_that_was_off_starts_anew(percpu, vms):
    """CPU_ON of a vCPU that has run: from its reset state, with its argument, on another CPU."""
    vm = vms[0]
    vm.write(RAM, code(ADD_X0_1, 0xD280_0033, HVC_0))  # add x0, x0, #1; mov x19, #1; hvc #0
    vm.add_vcpu()
    vcpu, seen = vm.add_vcpu(), []
    for cpu_id in (0, 1):
        vm.cpu_up(CpuUp(1, RAM, 100 * cpu_id))
        vcpu.bind(percpu.cpu(cpu_id))
        before = vcpu.gpr(19)
        seen.append((before, vcpu.run().nr))
        vcpu.unbind()
        vm.cpu_down(vcpu)
    assert seen == [(0, 1), (0, 101)]
