"""vCPUs on real engines, for the tests of this directory: physical CPUs over one RAM, and programs in words."""

from __future__ import annotations

import mmap
import struct

from armvcpu.arch.registers import by_name, instruction_from_access
from armvcpu.engine.selftest_bench import CODE, RAM, RAM_SIZE, VECTORS, Bench
from armvcpu.vcpu.pcpu import Aarch64PerCpu
from armvcpu.vcpu.vcpu import Aarch64VCpu, Aarch64VCpuCreateConfig, Aarch64VCpuSetupConfig

SYNC, SYNC_LOWER, IRQ = VECTORS + 0x200, VECTORS + 0x400, VECTORS + 0x280


def mrs(rt: int, name: str) -> int:
    return instruction_from_access(by_name[name].encoding, rt, is_read=True)


def msr(name: str, rt: int) -> int:
    return instruction_from_access(by_name[name].encoding, rt, is_read=False)


class Machine:
    """Physical CPUs over the same RAM."""

    def __init__(self) -> None:
        self.ram = memoryview(mmap.mmap(-1, RAM_SIZE))
        self.cpus: list[Aarch64PerCpu] = []

    def cpu(self, *, mapped: bool = True) -> Aarch64PerCpu:
        pcpu = Aarch64PerCpu(len(self.cpus))
        pcpu.hardware_enable()
        if mapped:
            pcpu.engine.memory.map_ram(RAM, self.ram)
        self.cpus.append(pcpu)
        return pcpu

    def vcpu(
        self, *words: int, at: int = CODE, cpu_model: str = "a72", el: int = 1, **setup: bool
    ) -> Aarch64VCpu:  # fmt: skip
        """One that starts at `words`, with its vectors at VECTORS and x0 = 0."""
        self.put(at, *words)
        vcpu = Aarch64VCpu(0, 0, Aarch64VCpuCreateConfig(cpu_model=cpu_model, el=el))
        vcpu.setup(Aarch64VCpuSetupConfig(**setup))
        vcpu.set_entry(at)
        vcpu.system_registers.vbar_el1 = VECTORS
        return vcpu

    def put(self, address: int, *words: int) -> None:
        struct.pack_into(f"<{len(words)}I", self.ram, address - RAM, *words)

    def close(self) -> None:
        for pcpu in self.cpus:
            if pcpu.bound is not None:
                pcpu.bound.unbind()
        for pcpu in self.cpus:
            if pcpu.is_enabled():
                pcpu.hardware_disable()


def with_stage2(machine: Machine, vcpu: Aarch64VCpu) -> None:
    """Bind it to a new CPU with a stage 2 that maps RAM and nothing else."""
    pcpu = machine.cpu(mapped=False)
    bench = Bench(pcpu.engine)
    bench.ram[:] = machine.ram
    bench.build_stage2()
    vcpu.set_ept_root(bench.read("VTTBR_EL2"), bench.read("VTCR_EL2"))
    vcpu.bind(pcpu)
