"""A hypervisor's vCPU layer for AArch64 on the Unicorn engine, with a small `virt` machine around it.

What a script needs is here by name and is imported when it is first used, so that `import armvcpu` costs nothing.
"""

from __future__ import annotations

from armvcpu.arch.static import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the same names as in _HOME, for type checkers
    from armvcpu.machine.console.port import MemoryConsole as MemoryConsole
    from armvcpu.machine.machine import Machine as Machine
    from armvcpu.machine.outcome import Outcome as Outcome
    from armvcpu.vcpu.addrspace import AddressSpace as AddressSpace
    from armvcpu.vcpu.addrspace import MappingFlags as MappingFlags
    from armvcpu.vcpu.context_frame import GuestSystemRegisters as GuestSystemRegisters
    from armvcpu.vcpu.context_frame import TrapFrame as TrapFrame
    from armvcpu.vcpu.hardware import has_hardware_support as has_hardware_support
    from armvcpu.vcpu.pcpu import Aarch64PerCpu as Aarch64PerCpu
    from armvcpu.vcpu.percpu import PerCpu as PerCpu
    from armvcpu.vcpu.smc import smc_call as smc_call
    from armvcpu.vcpu.vcpu import Aarch64VCpu as Aarch64VCpu
    from armvcpu.vcpu.vcpu import Aarch64VCpuCreateConfig as Aarch64VCpuCreateConfig
    from armvcpu.vcpu.vcpu import Aarch64VCpuSetupConfig as Aarch64VCpuSetupConfig

__version__ = "0.1.0"

_HOME = {
    "Machine": "armvcpu.machine.machine",
    "MemoryConsole": "armvcpu.machine.console.port",
    "Outcome": "armvcpu.machine.outcome",
    "Aarch64VCpu": "armvcpu.vcpu.vcpu",
    "Aarch64VCpuCreateConfig": "armvcpu.vcpu.vcpu",
    "Aarch64VCpuSetupConfig": "armvcpu.vcpu.vcpu",
    "Aarch64PerCpu": "armvcpu.vcpu.pcpu",
    "PerCpu": "armvcpu.vcpu.percpu",
    "TrapFrame": "armvcpu.vcpu.context_frame",
    "GuestSystemRegisters": "armvcpu.vcpu.context_frame",
    "AddressSpace": "armvcpu.vcpu.addrspace",
    "MappingFlags": "armvcpu.vcpu.addrspace",
    "has_hardware_support": "armvcpu.vcpu.hardware",
    "smc_call": "armvcpu.vcpu.smc",
}

__all__ = ["__version__", *_HOME]  # noqa: PLE0604  the names are strings


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'armvcpu' has no attribute {name!r}")
    import importlib  # noqa: PLC0415  for a fast start

    value = globals()[name] = getattr(importlib.import_module(_HOME[name]), name)
    return value
