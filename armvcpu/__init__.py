"""A hypervisor's vCPU layer for AArch64 on the Unicorn engine, with a small `virt` machine around it.

What a script needs is here by name and is imported when it is first used, so that `import armvcpu` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_HOME = {
    "Machine": "armvcpu.machine.machine",
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
    value = globals()[name] = getattr(importlib.import_module(_HOME[name]), name)
    return value
