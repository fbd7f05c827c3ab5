"""MEM_PROTECT of a VM: what must not be readable after a reset is overwritten before it. Arm DEN 0022 5.21, 5.22."""

from __future__ import annotations

from armvcpu.arch.stage2 import PAGE_SIZE
from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.vcpu.stage2.mapping import MappingFlags

if TYPE_CHECKING:
    from armvcpu.vcpu.vm_memory import VmMemory


class MemoryProtection:
    """Of one VM (`ProtectedMemory`): all of its memory that can be written is overwritten at a reset."""

    def __init__(self, memory: VmMemory) -> None:
        self._memory = memory
        self.is_protected = False

    def can_protect(self, address: int, size: int) -> bool:
        """Is all of it memory?"""
        end = address + size
        for region in self._memory.regions():
            if region.gpa <= address < region.end and MappingFlags.WRITE in region.flags:
                address = region.end
        return size > 0 and address >= end

    def overwrite(self) -> None:
        """Zero what the guest has; pages that it has never touched are."""
        for region in self._memory.regions():
            if MappingFlags.WRITE in region.flags:
                for gpa in range(region.gpa, region.end, PAGE_SIZE):
                    if self._memory.translate(gpa) is not None:
                        self._memory.write(gpa, bytes(PAGE_SIZE))
