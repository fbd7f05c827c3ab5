"""Holes: pages of RAM that stage 2 denies the guest altogether, so that accesses end in external aborts.

A Linux kernel that runs without stage 2 has it while there are some. A guest that has EL2 to itself has stage 2 too,
and can't be given any.
"""

from __future__ import annotations

from collections import Counter

from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.vcpu.stage2.mapping import RWX, MappingFlags

if TYPE_CHECKING:
    from armvcpu.machine.board.memory import GuestMemory
    from armvcpu.machine.running.stage2 import Stage2Switch
    from armvcpu.vcpu.addrspace import AddressSpace
    from armvcpu.vcpu.pcpu import Aarch64PerCpu


class Holes:
    """Those of one machine."""

    def __init__(self, memory: GuestMemory, space: AddressSpace, pcpu: Aarch64PerCpu, stage2: Stage2Switch) -> None:
        self._memory, self._space, self._pcpu, self._stage2 = memory, space, pcpu, stage2
        self._pages: Counter[int] = Counter()
        """How often each has been asked for."""

    def add(self, page: int) -> None:
        """Deny a page, by its physical address; UsageError where it is not RAM, or stage 2 is the guest's."""
        self._memory.check_page(page)
        self._stage2.hold(True)
        self._pages[page] += 1
        self._settle(page)

    def remove(self, page: int) -> None:
        """Deny it no longer, unless it has been asked for more than once."""
        self._pages[page] -= 1
        if self._pcpu.is_enabled():  # else the machine has been closed
            self._settle(page)

    def _settle(self, page: int) -> None:
        self._pages += Counter()  # without those that are none any more
        self._memory.allow(self._space, page, MappingFlags(0) if page in self._pages else RWX)
        self._pcpu.engine.code.invalidate()  # IC spares a page that stage 2 has not let execute yet
        self._stage2.hold(bool(self._pages))
