"""A virtual machine: its memory, stage-2 tables, VMID and vCPUs, on whichever physical CPUs these are bound to.

In this layer because a hypervisor has one for each guest. Whoever writes one says what memory there is and where, adds
vCPUs, and acts on their exits:

    with VirtualMachine(vm_id=1) as vm:
        vm.add_memory(0x8000_0000, 1 << 20)
        vm.write(0x8000_0000, code)
        vcpu = vm.add_vcpu()
        vcpu.set_entry(0x8000_0000)
        vcpu.bind(pcpu)
        ...

The vCPUs of one VM may run in several threads. One thread at a time edits the address space (`_edit`); after an edit
that takes something away, each physical CPU that runs the VM forgets its translations before the edit is over, which is
when the memory may be used for something else (`_on_change`). DDI 0487 D8, "TLB maintenance", is what this stands for.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager

from armvcpu.arch.psci import AffinityState
from armvcpu.arch.stage2 import PAGE_SIZE
from armvcpu.arch.static import TYPE_CHECKING, Self
from armvcpu.errors import StateError, UsageError
from armvcpu.vcpu.addrspace import AddressSpace, MappingFlags
from armvcpu.vcpu.config import Aarch64VCpuCreateConfig, Aarch64VCpuSetupConfig
from armvcpu.vcpu.life import VCpuState
from armvcpu.vcpu.psci import Psci
from armvcpu.vcpu.stage2.host_memory import HostMemory
from armvcpu.vcpu.stage2.root import ENGINE_PA_BITS
from armvcpu.vcpu.vcpu import Aarch64VCpu
from armvcpu.vcpu.vcpu_timers import host_count

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from armvcpu.vcpu.addrspace import Region, Translation
    from armvcpu.vcpu.exits import CpuUp
    from armvcpu.vcpu.hal import Hal
    from armvcpu.vcpu.pcpu import Aarch64PerCpu

RWX = MappingFlags.READ | MappingFlags.WRITE | MappingFlags.EXECUTE
DEFAULT_MEMORY = 256 << 20


class VirtualMachine:
    """One guest. `memory` is how many bytes of the host it may have at most: reserved, and not used until touched.

    `levels` and `input_bits` are those of its guest-physical addresses (`Stage2Geometry`).
    """

    def __init__(
        self, vm_id: int, memory: int = DEFAULT_MEMORY, *, levels: int = 3, input_bits: int = 40
    ) -> None:  # fmt: skip
        self.vm_id = vm_id
        self._memory = HostMemory(memory)
        try:
            self.space = AddressSpace(
                self._memory.pool, levels, input_bits, ENGINE_PA_BITS,
                allocate=self._memory.frames.allocate, release=self._memory.release, on_change=self._on_change,
            )  # fmt: skip
        except UsageError:
            self._memory.give_up()
            raise
        self.vcpus: list[Aarch64VCpu] = []
        self.cntvoff_el2 = host_count()
        """Its virtual count began at 0 when the VM was made."""
        self.protection = MemoryProtection(self)
        self._power: dict[int, AffinityState] = {}
        self._pcpus: set[Aarch64PerCpu] = set()  # whose engines map the memory, or did
        self._version = 0  # of the tables: each change that takes something away makes another
        self._turn, self._editor = threading.Condition(), 0
        self._is_closed = False

    @property
    def vmid(self) -> int:
        """VTTBR_EL2.VMID."""
        return self._memory.vmid

    # --- memory -----------------------------------------------------------------------------------------------

    def add_memory(self, gpa: int, size: int, flags: MappingFlags = RWX, *, lazy: bool = False) -> None:
        """Give the guest `size` bytes of memory, zero, at `gpa`; `lazy`: each page at its first access."""
        with self._edit():
            self.space.map_alloc(gpa, size, flags, populate=not lazy)

    def unmap(self, gpa: int, size: int) -> None:
        """Take a range away (holes are fine): what the guest had there is gone."""
        with self._edit():
            self.space.unmap(gpa, size)

    def protect(self, gpa: int, size: int, flags: MappingFlags) -> None:
        """Give the range, which must be mapped without holes, new flags."""
        with self._edit():
            self.space.protect(gpa, size, flags)

    def regions(self) -> tuple[Region, ...]:
        """What is mapped, in order of address."""
        return self.space.regions()

    def translate(self, gpa: int) -> Translation | None:
        """Where an address leads now; None where nothing is, or not yet."""
        return self.space.translate(gpa)

    def handle_page_fault(self, gpa: int, access: MappingFlags) -> bool:
        """Answer a stage-2 fault: is the access allowed now? Each vCPU of the VM asks this."""
        with self._edit():
            return self.space.handle_page_fault(gpa, access)

    def read(self, gpa: int, size: int) -> bytes:
        """`size` bytes of the guest's memory; UsageError where part of it is none."""
        return b"".join(bytes(piece) for _, piece in self._pieces(gpa, size))

    def write(self, gpa: int, data: bytes) -> None:
        """Write the guest's memory, whatever its flags, and forget code that was translated from it.

        UsageError, and nothing written, where part of it is none.
        """
        offset = 0
        pieces = list(self._pieces(gpa, len(data)))
        for _, piece in pieces:
            piece[:] = data[offset : offset + len(piece)]
            offset += len(piece)
        written = [(hpa, len(piece)) for hpa, piece in pieces]
        with self._edit():
            self._version += 1
            self._ask_all(lambda pcpu: _forget_code(pcpu, written))

    def _pieces(self, gpa: int, size: int) -> Iterator[tuple[int, memoryview]]:
        """(host-physical address, memory) behind a range, page by page; what is lazy becomes present."""
        if size < 0:
            raise UsageError(f"no memory has {size} bytes")
        end = gpa + size
        while gpa < end:
            piece = min(end - gpa, PAGE_SIZE - gpa % PAGE_SIZE)
            if not self.handle_page_fault(gpa, MappingFlags(0)):
                raise UsageError(f"VM {self.vm_id} has no memory at {gpa:#x}")
            found = self.space.translate(gpa)
            assert found is not None
            yield found.hpa, self._memory.bytes_at(found.hpa, piece)
            gpa += piece

    # --- vCPUs ------------------------------------------------------------------------------------------------

    def add_vcpu(
        self,
        config: Aarch64VCpuCreateConfig | None = None,
        setup: Aarch64VCpuSetupConfig | None = None,
        hal: Hal | None = None,
    ) -> Aarch64VCpu:
        """Another vCPU with this VM's stage 2, set up and FREE; the first is on, others wait for CPU_ON.

        Without `config` its MPIDR_EL1 is its number. UsageError for an MPIDR_EL1 that another one has.
        """
        if config is None:
            config = Aarch64VCpuCreateConfig(mpidr_el1=len(self.vcpus))
        if config.mpidr_el1 in self._power:
            raise UsageError(f"VM {self.vm_id} has a vCPU with MPIDR_EL1 {config.mpidr_el1:#x} already")
        vcpu = Aarch64VCpu(self.vm_id, len(self.vcpus), config, hal, self)
        vcpu.setup(setup or Aarch64VCpuSetupConfig())
        vcpu.set_ept_root(self.space.root, self.space.vtcr, self.handle_page_fault, vmid=self.vmid)
        Psci(self, config.psci_version, self.protection).register(vcpu.services)
        self._power[config.mpidr_el1] = AffinityState.OFF if self.vcpus else AffinityState.ON
        self.vcpus.append(vcpu)
        return vcpu

    def vcpu(self, mpidr: int) -> Aarch64VCpu:
        """The vCPU with these affinity bits; UsageError where there is none."""
        for vcpu in self.vcpus:
            if vcpu.config.mpidr_el1 == mpidr:
                return vcpu
        raise UsageError(f"VM {self.vm_id} has no vCPU with MPIDR_EL1 {mpidr:#x}")

    def cpu_up(self, reason: CpuUp) -> Aarch64VCpu:
        """Answer a CpuUp exit: the vCPU, on from now on, that enters at its entry point once it is bound and run."""
        vcpu = self.vcpu(reason.target_cpu)
        vcpu.start(reason.entry_point, reason.arg)
        self._power[reason.target_cpu] = AffinityState.ON
        return vcpu

    def cpu_down(self, vcpu: Aarch64VCpu) -> None:
        """Answer a CpuDown exit of this vCPU."""
        self._power[vcpu.config.mpidr_el1] = AffinityState.OFF

    def reset(self) -> None:
        """Answer SystemReset: the first vCPU is on, others off; what MEM_PROTECT covers is zero (DEN 0022 5.21)."""
        for number, vcpu in enumerate(self.vcpus):
            self._power[vcpu.config.mpidr_el1] = AffinityState.OFF if number else AffinityState.ON
        if self.protection.is_protected:
            self.protection.overwrite()

    def cpu_states(self) -> Mapping[int, AffinityState]:
        """Which vCPUs are on, by their affinity (`PsciHost`)."""
        return dict(self._power)

    def is_entry_point(self, address: int) -> bool:
        """Is there memory to execute from (`PsciHost`)?"""
        return any(
            region.gpa <= address < region.end and MappingFlags.EXECUTE in region.flags for region in self.regions()
        )

    # --- physical CPUs ----------------------------------------------------------------------------------------

    def show_on(self, pcpu: Aarch64PerCpu) -> None:
        """The calling thread binds a vCPU to `pcpu`: its engine maps the VM's memory, and its TLB is up to date."""
        if self._is_closed:
            raise StateError(f"VM {self.vm_id} is closed")
        seen, version = pcpu.shown.get(self.vmid), self._version
        if seen == version:
            return
        engine = pcpu.engine
        if seen is None:
            engine.memory.map_ram(self._memory.base, self._memory.view)
            self._pcpus.add(pcpu)
        engine.memory.flush_tlb()
        engine.code.invalidate()
        pcpu.shown[self.vmid] = version

    def close(self) -> None:
        """Give back memory, addresses and VMID.

        StateError while a vCPU is bound, or while a physical CPU that has the memory runs another one.
        """
        if self._is_closed:
            return
        for vcpu in self.vcpus:
            if vcpu.pcpu is not None:
                raise StateError(f"vCPU {vcpu.vcpu_id} of VM {self.vm_id} is still bound: unbind it first")
        pcpus = [pcpu for pcpu in self._pcpus if self.vmid in pcpu.shown]
        for pcpu in pcpus:
            if pcpu.bound is not None and pcpu.bound.life is VCpuState.RUNNING:
                raise StateError(f"physical CPU {pcpu.cpu_id}, which has VM {self.vm_id}'s memory, runs another vCPU")
        for pcpu in pcpus:
            del pcpu.shown[self.vmid]
            pcpu.engine.memory.unmap(self._memory.base, len(self._memory.view))
        self._is_closed = True
        self._memory.give_up()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for vcpu in self.vcpus:
            if vcpu.life is VCpuState.BLOCKED:
                vcpu.unblock()
            if vcpu.life is VCpuState.READY:
                vcpu.unbind()
        self.close()

    # --- edits by several threads -----------------------------------------------------------------------------

    @contextmanager
    def _edit(self) -> Iterator[None]:
        """Be the one thread that edits. Who waits here in a trap does meanwhile what the present editor asks of it."""
        thread = threading.get_ident()
        with self._turn:
            if self._is_closed:
                raise StateError(f"VM {self.vm_id} is closed")
            mine = next((vcpu for vcpu in self.vcpus if vcpu.runs_on(thread)), None) if self._editor else None
            while self._editor and self._editor != thread:
                if mine is not None:
                    mine.serve()
                self._turn.wait()
            was, self._editor = self._editor, thread
        try:
            yield
        finally:
            with self._turn:
                self._editor = was
                self._turn.notify_all()

    def _on_change(self, _gpa: int, _size: int) -> None:
        """Translations must leave the TLBs of all physical CPUs: those that run are asked to, and waited for."""
        self._version += 1
        self._ask_all(lambda pcpu: pcpu.engine.memory.flush_tlb())

    def _ask_all(self, work: Callable[[Aarch64PerCpu], None]) -> None:
        """Have `work` done for each physical CPU that a vCPU of ours is bound to, by its own thread.

        Others do more than that when they are bound again (`show_on`).
        """
        done: list[threading.Event] = []
        version = self._version
        for vcpu in self.vcpus:
            pcpu = vcpu.pcpu
            if pcpu is not None:
                event = threading.Event()
                vcpu.post(_task(work, pcpu, self.vmid, version, event))
                if vcpu.life is VCpuState.RUNNING:
                    done.append(event)
        if done:
            with self._turn:
                self._turn.notify_all()
        for event in done:
            event.wait()


class MemoryProtection:
    """MEM_PROTECT of one VM (`ProtectedMemory`): all of its memory that can be written is overwritten at a reset."""

    def __init__(self, vm: VirtualMachine) -> None:
        self._vm = vm
        self.is_protected = False

    def can_protect(self, address: int, size: int) -> bool:
        """Is all of it memory?"""
        end = address + size
        for region in self._vm.regions():
            if region.gpa <= address < region.end and MappingFlags.WRITE in region.flags:
                address = region.end
        return size > 0 and address >= end

    def overwrite(self) -> None:
        """Zero what the guest has; pages that it has never touched are."""
        for region in self._vm.regions():
            if MappingFlags.WRITE in region.flags:
                for gpa in range(region.gpa, region.end, PAGE_SIZE):
                    if self._vm.translate(gpa) is not None:
                        self._vm.write(gpa, bytes(PAGE_SIZE))


def _forget_code(pcpu: Aarch64PerCpu, ranges: list[tuple[int, int]]) -> None:
    for address, size in ranges:
        pcpu.engine.code.invalidate(address, size)


def _task(
    work: Callable[[Aarch64PerCpu], None], pcpu: Aarch64PerCpu, vmid: int, version: int, done: threading.Event
) -> Callable[[], None]:
    def task() -> None:
        work(pcpu)
        pcpu.shown[vmid] = version
        done.set()

    return task
