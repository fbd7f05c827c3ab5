"""One VM's memory in the host: reserved as a whole, so that an engine has it by one mapping, and cheap until touched.

In it lie the stage-2 tables and whatever the guest is given. Each VM has a range of host-physical addresses of its own,
so that any number of VMs share a physical CPU.
"""

from __future__ import annotations

import mmap
import threading

from armvcpu.arch.stage2 import PAGE_SIZE
from armvcpu.engine.api import PRIVATE_BASE
from armvcpu.errors import UsageError, number_in
from armvcpu.vcpu.stage2.frames import Frames
from armvcpu.vcpu.stage2.pool import TablePool
from armvcpu.vcpu.stage2.root import VMID_BITS

FIRST_VM_ADDRESS = 1 << 40
"""Below are machines, which have guest memory at guest-physical addresses."""
_MAP_NORESERVE = 0x4000  # Linux; Python names it from 3.13 on
_LEAST = 16 * PAGE_SIZE

_lock = threading.Lock()
_places = Frames("host-physical addresses", FIRST_VM_ADDRESS, PRIVATE_BASE - FIRST_VM_ADDRESS)
_vmids = set(range(1, 1 << VMID_BITS))


def _table_bytes(size: int) -> int:
    """Room for the tables of `size` bytes in pages, twice, since mappings may be spread."""
    return (size // 256 + 64 * PAGE_SIZE) & -PAGE_SIZE


class HostMemory:
    """`size` bytes for a guest, the tables beside them, the place of both in host-physical addresses, and a VMID."""

    def __init__(self, size: int) -> None:
        if number_in("the memory of a VM, in bytes,", size, 64, signed=True) < _LEAST or size % PAGE_SIZE:
            raise UsageError(f"a VM has at least {_LEAST:#x} bytes of memory, in whole pages, not {size:#x}")
        tables = _table_bytes(size)
        try:
            flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_NORESERVE
            self._map = mmap.mmap(-1, tables + size, flags=flags)
        except (OSError, ValueError, OverflowError) as error:
            raise UsageError(f"cannot reserve {size:#x} bytes for a VM: {error}; give it less memory") from error
        self.view = memoryview(self._map)
        with _lock:
            if not _vmids:
                raise UsageError(f"there are {(1 << VMID_BITS) - 1} VMs already; close one")
            self.base = _places.allocate(len(self.view))
            self.vmid = min(_vmids)
            _vmids.remove(self.vmid)
        self.pool = TablePool(self.base, self.view[:tables])
        self.frames = Frames("the VM's memory", self.base + tables, size)

    def bytes_at(self, address: int, size: int) -> memoryview:
        """Memory by its host-physical address."""
        offset = address - self.base
        return self.view[offset : offset + size]

    def release(self, address: int, size: int) -> None:
        """Take frames back: they are zero when they are given out again, and cost the host nothing meanwhile."""
        self._map.madvise(mmap.MADV_DONTNEED, address - self.base, size)
        self.frames.release(address, size)

    def give_up(self) -> None:
        """Another VM may have the addresses and the VMID; no engine maps them any more."""
        with _lock:
            _places.release(self.base, len(self.view))
            _vmids.add(self.vmid)
