"""A hypervisor's vCPU layer for AArch64 on the Unicorn engine, with a small `virt` machine around it.

What a script needs is here by name and is imported when it is first used, so that `import armvcpu` costs nothing.
"""

from __future__ import annotations

from armvcpu.arch.static import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the same names as in _NAMES, for type checkers
    from armvcpu.devices.device import Device as Device
    from armvcpu.errors import ArmvcpuError as ArmvcpuError
    from armvcpu.errors import EngineUnsupported as EngineUnsupported
    from armvcpu.errors import GuestCrash as GuestCrash
    from armvcpu.errors import ImageError as ImageError
    from armvcpu.errors import InternalError as InternalError
    from armvcpu.errors import StateError as StateError
    from armvcpu.errors import Unmodelled as Unmodelled
    from armvcpu.errors import UsageError as UsageError
    from armvcpu.machine.config import MachineConfig as MachineConfig
    from armvcpu.machine.console.port import MemoryConsole as MemoryConsole
    from armvcpu.machine.machine import Machine as Machine
    from armvcpu.machine.outcome import Outcome as Outcome
    from armvcpu.machine.snapshots.snapshot import Snapshot as Snapshot
    from armvcpu.testing.target.target import Target as Target
    from armvcpu.vcpu.addrspace import AddressSpace as AddressSpace
    from armvcpu.vcpu.addrspace import MappingFlags as MappingFlags
    from armvcpu.vcpu.config import Aarch64VCpuCreateConfig as Aarch64VCpuCreateConfig
    from armvcpu.vcpu.config import Aarch64VCpuSetupConfig as Aarch64VCpuSetupConfig
    from armvcpu.vcpu.context_frame import GuestSystemRegisters as GuestSystemRegisters
    from armvcpu.vcpu.context_frame import TrapFrame as TrapFrame
    from armvcpu.vcpu.exits import CpuDown as CpuDown
    from armvcpu.vcpu.exits import CpuUp as CpuUp
    from armvcpu.vcpu.exits import Exit as Exit
    from armvcpu.vcpu.exits import ExternalInterrupt as ExternalInterrupt
    from armvcpu.vcpu.exits import FailEntry as FailEntry
    from armvcpu.vcpu.exits import Halt as Halt
    from armvcpu.vcpu.exits import Hypercall as Hypercall
    from armvcpu.vcpu.exits import MmioRead as MmioRead
    from armvcpu.vcpu.exits import MmioWrite as MmioWrite
    from armvcpu.vcpu.exits import NestedPageFault as NestedPageFault
    from armvcpu.vcpu.exits import Nothing as Nothing
    from armvcpu.vcpu.exits import SendIPI as SendIPI
    from armvcpu.vcpu.exits import SysRegRead as SysRegRead
    from armvcpu.vcpu.exits import SysRegWrite as SysRegWrite
    from armvcpu.vcpu.exits import SystemDown as SystemDown
    from armvcpu.vcpu.exits import SystemReset as SystemReset
    from armvcpu.vcpu.hal import Hal as Hal
    from armvcpu.vcpu.hardware import has_hardware_support as has_hardware_support
    from armvcpu.vcpu.life import VCpuState as VCpuState
    from armvcpu.vcpu.pcpu import Aarch64PerCpu as Aarch64PerCpu
    from armvcpu.vcpu.percpu import PerCpu as PerCpu
    from armvcpu.vcpu.smc import smc_call as smc_call
    from armvcpu.vcpu.vcpu import Aarch64VCpu as Aarch64VCpu
    from armvcpu.vcpu.vm import VirtualMachine as VirtualMachine

__version__ = "0.1.0"

_NAMES = {
    "armvcpu.machine.machine": "Machine",
    "armvcpu.machine.config": "MachineConfig",
    "armvcpu.machine.console.port": "MemoryConsole",
    "armvcpu.machine.outcome": "Outcome",
    "armvcpu.machine.snapshots.snapshot": "Snapshot",
    "armvcpu.testing.target.target": "Target",
    "armvcpu.devices.device": "Device",
    "armvcpu.vcpu.vcpu": "Aarch64VCpu",
    "armvcpu.vcpu.config": "Aarch64VCpuCreateConfig Aarch64VCpuSetupConfig",
    "armvcpu.vcpu.life": "VCpuState",
    "armvcpu.vcpu.pcpu": "Aarch64PerCpu",
    "armvcpu.vcpu.percpu": "PerCpu",
    "armvcpu.vcpu.vm": "VirtualMachine",
    "armvcpu.vcpu.hal": "Hal",
    "armvcpu.vcpu.context_frame": "TrapFrame GuestSystemRegisters",
    "armvcpu.vcpu.addrspace": "AddressSpace MappingFlags",
    "armvcpu.vcpu.hardware": "has_hardware_support",
    "armvcpu.vcpu.smc": "smc_call",
    "armvcpu.vcpu.exits": (
        "Exit Hypercall MmioRead MmioWrite SysRegRead SysRegWrite ExternalInterrupt NestedPageFault Halt "
        "CpuUp CpuDown SystemDown SystemReset SendIPI FailEntry Nothing"
    ),
    "armvcpu.errors": (
        "ArmvcpuError UsageError ImageError StateError EngineUnsupported Unmodelled GuestCrash InternalError"
    ),
}
_HOME = {name: module for module, names in _NAMES.items() for name in names.split()}

__all__ = ["__version__", *_HOME]  # noqa: PLE0604  the names are strings


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'armvcpu' has no attribute {name!r}")
    import importlib

    value = globals()[name] = getattr(importlib.import_module(_HOME[name]), name)
    return value
