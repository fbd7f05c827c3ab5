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

The vCPUs of one VM may run in several threads, each on a physical CPU of its own (`vm_memory.py`).
"""

from __future__ import annotations

import os
import threading

from armvcpu.arch.psci import AffinityState
from armvcpu.arch.static import TYPE_CHECKING, Self
from armvcpu.errors import UsageError, kind_in, number_in
from armvcpu.vcpu.config import Aarch64VCpuCreateConfig, Aarch64VCpuSetupConfig
from armvcpu.vcpu.exits import CpuUp, SendIPI
from armvcpu.vcpu.firmware_services import identify_vendor, register_trng, register_workarounds
from armvcpu.vcpu.life import VCpuState
from armvcpu.vcpu.psci import Psci
from armvcpu.vcpu.smc import SMCCC_VERSION_1_0
from armvcpu.vcpu.stage2.mapping import RWX, MappingFlags
from armvcpu.vcpu.stolen_time import STRUCTURE_SIZE, StolenTime
from armvcpu.vcpu.vcpu import Aarch64VCpu
from armvcpu.vcpu.vcpu_timers import host_count
from armvcpu.vcpu.vm_memory import VmMemory
from armvcpu.vcpu.vm_protection import MemoryProtection

if TYPE_CHECKING:
    from collections.abc import Mapping

    from armvcpu.vcpu.addrspace import AddressSpace
    from armvcpu.vcpu.hal import Hal
    from armvcpu.vcpu.pcpu import Aarch64PerCpu

DEFAULT_MEMORY = 256 << 20


class VirtualMachine:
    """One guest. `memory` is how many bytes of the host it may have at most: reserved, and not used until touched.

    `levels` and `input_bits` are those of its guest-physical addresses (`Stage2Geometry`).
    """

    def __init__(self, vm_id: int, memory: int = DEFAULT_MEMORY, *, levels: int = 3, input_bits: int = 40) -> None:
        self.vm_id = number_in("the number of a VM", vm_id, 64)
        self.vcpus: list[Aarch64VCpu] = []
        self.memory = VmMemory(vm_id, self.vcpus, memory, levels, input_bits)
        self.cntvoff_el2 = host_count()
        """Its virtual count began at 0 when the VM was made."""
        self.protection = MemoryProtection(self.memory)
        self._power: dict[int, AffinityState] = {}
        self._power_lock = threading.Lock()
        self._stolen_at: int | None = None
        self._stolen: dict[Aarch64VCpu, StolenTime] = {}

    @property
    def vmid(self) -> int:
        """VTTBR_EL2.VMID."""
        return self.memory.vmid

    @property
    def space(self) -> AddressSpace:
        """Its stage 2, to look at; change it by the methods here, which other threads respect."""
        return self.memory.space

    # --- memory -----------------------------------------------------------------------------------------------

    def add_memory(self, gpa: int, size: int, flags: MappingFlags = RWX, *, lazy: bool = False) -> None:
        """Give the guest `size` bytes of memory, zero, at `gpa`; `lazy`: each page at its first access."""
        self.memory.add(gpa, size, flags, lazy=lazy)

    def unmap(self, gpa: int, size: int) -> None:
        """Take a range away (holes are fine): what the guest had there is gone."""
        self.memory.unmap(gpa, size)

    def protect(self, gpa: int, size: int, flags: MappingFlags) -> None:
        """Give the range, which must be mapped without holes, new flags."""
        self.memory.protect(gpa, size, flags)

    def read(self, gpa: int, size: int) -> bytes:
        """`size` bytes of the guest's memory; UsageError where part of it is none."""
        return self.memory.read(gpa, size)

    def write(self, gpa: int, data: bytes) -> None:
        """Write the guest's memory, whatever its flags. UsageError, and nothing written, where part of it is none."""
        self.memory.write(gpa, data)

    # --- vCPUs ------------------------------------------------------------------------------------------------

    def add_vcpu(
        self,
        config: Aarch64VCpuCreateConfig | None = None,
        setup: Aarch64VCpuSetupConfig | None = None,
        hal: Hal | None = None,
    ) -> Aarch64VCpu:
        """Another vCPU with this VM's stage 2, set up and FREE; the first is on, others wait for CPU_ON.

        Without `config` its MPIDR_EL1 is its number. UsageError for an MPIDR_EL1 that another one has, and for a guest
        that starts above EL1; StateError where the VM is closed.
        """
        self.memory.require_open()
        if config is None:
            config = Aarch64VCpuCreateConfig(mpidr_el1=len(self.vcpus))
        kind_in("what a vCPU is made with", config, Aarch64VCpuCreateConfig)
        if config.el > 1:
            raise UsageError(f"a VM's memory is its stage 2, which a guest with EL2 has to itself (el={config.el})")
        if config.mpidr_el1 in self._power:
            raise UsageError(f"VM {self.vm_id} has a vCPU with MPIDR_EL1 {config.mpidr_el1:#x} already")
        vcpu = Aarch64VCpu(self.vm_id, len(self.vcpus), config, hal, self)
        vcpu.setup(setup or Aarch64VCpuSetupConfig())
        vcpu.set_ept_root(self.space.root, self.space.vtcr, self.memory.handle_page_fault, vmid=self.vmid)
        self._add_services(vcpu)
        self._power[config.mpidr_el1] = AffinityState.OFF if self.vcpus else AffinityState.ON
        self.vcpus.append(vcpu)
        return vcpu

    def _add_services(self, vcpu: Aarch64VCpu) -> None:
        """What firmware answers on this VM: PSCI, the processor's workarounds, TRNG, who the hypervisor is."""
        services = vcpu.services
        Psci(self, vcpu.config.psci_version, self.protection, self._claim).register(services)
        identify_vendor(services)
        register_trng(services, os.urandom)
        if vcpu.config.smccc_version > SMCCC_VERSION_1_0:
            register_workarounds(services)
        if self._stolen_at is not None:
            address = self._stolen_at + len(self.vcpus) * STRUCTURE_SIZE
            self._stolen[vcpu] = stolen = StolenTime(address, self.write)
            stolen.register(services)

    def show_stolen_time(self, gpa: int) -> None:
        """Have PV time (DEN 0057): the structures of the vCPUs that are added from now on lie from `gpa` on.

        UsageError unless `gpa` is a multiple of 64; `add_vcpu` has one where there is no memory for the next structure.
        """
        if number_in("a guest-physical address", gpa, 64) % STRUCTURE_SIZE:
            raise UsageError(f"stolen time at {gpa:#x} is not aligned to {STRUCTURE_SIZE} bytes (DEN 0057 3.2.2)")
        self._stolen_at = gpa

    def send_ipi(self, sender: Aarch64VCpu, reason: SendIPI) -> None:
        """Answer a SendIPI exit: the SGI is pending on the vCPUs that it means, also in other threads."""
        kind_in("what is answered", reason, SendIPI)
        for vcpu in self.vcpus:
            mpidr = vcpu.config.mpidr_el1
            if reason.send_to_self or reason.send_to_all:
                is_meant = (vcpu is sender) is reason.send_to_self
            else:
                is_meant = mpidr & ~0xFF == reason.target_cpu and mpidr & 0xFF < 16
                is_meant = is_meant and bool(reason.target_cpu_aux >> (mpidr & 0xFF) & 1)
            if is_meant:
                vcpu.inject_interrupt(reason.vector)

    def vcpu(self, mpidr: int) -> Aarch64VCpu:
        """The vCPU with these affinity bits; UsageError where there is none."""
        for vcpu in self.vcpus:
            if vcpu.config.mpidr_el1 == mpidr:
                return vcpu
        raise UsageError(f"VM {self.vm_id} has no vCPU with MPIDR_EL1 {number_in('MPIDR_EL1', mpidr, 64):#x}")

    def cpu_up(self, reason: CpuUp) -> Aarch64VCpu:
        """Answer a CpuUp exit: the vCPU, on from now on, that enters at its entry point once it is bound and run."""
        kind_in("what is answered", reason, CpuUp)
        vcpu = self.vcpu(reason.target_cpu)
        vcpu.start(reason.entry_point, reason.arg)
        self._power[reason.target_cpu] = AffinityState.ON
        return vcpu

    def _claim(self, mpidr: int) -> bool:
        """CPU_ON is about to become an exit: of two threads that want the same CPU on, one gets it."""
        with self._power_lock:
            is_mine = self._power[mpidr] is AffinityState.OFF
            self._power[mpidr] = AffinityState.ON_PENDING if is_mine else self._power[mpidr]
            return is_mine

    def cpu_down(self, vcpu: Aarch64VCpu) -> None:
        """Answer a CpuDown exit of this vCPU; UsageError for one of another VM."""
        if vcpu not in self.vcpus:
            raise UsageError(f"VM {self.vm_id} has no vCPU {vcpu!r}")
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
        regions = self.space.regions()
        return any(each.gpa <= address < each.end and MappingFlags.EXECUTE in each.flags for each in regions)

    # --- physical CPUs ----------------------------------------------------------------------------------------

    def entering(self, pcpu: Aarch64PerCpu, vcpu: Aarch64VCpu) -> None:
        """The calling thread is about to bind a vCPU: the physical CPU has the memory from now on."""
        self.memory.show_on(pcpu)
        if vcpu in self._stolen:
            self._stolen[vcpu].enter()

    def left(self, vcpu: Aarch64VCpu, *, waits: bool) -> None:
        """A vCPU has left its physical CPU; `waits`: not because another one needs that."""
        if vcpu in self._stolen:
            self._stolen[vcpu].leave(waits=waits)

    def close(self) -> None:
        """Give back memory, addresses and VMID; Unicorn takes 50 ms for each GiB on each physical CPU that has it.

        StateError while a vCPU is bound, or while a physical CPU that has the memory runs another one.
        """
        self.memory.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for vcpu in self.vcpus:
            if vcpu.life is VCpuState.BLOCKED:
                vcpu.unblock()
            if vcpu.life is VCpuState.READY:
                vcpu.unbind()
        self.close()
