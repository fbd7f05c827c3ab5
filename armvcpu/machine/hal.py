"""The machine as the host of its vCPUs: what the vCPU layer asks for (`Hal`, `PsciHost`)."""

from __future__ import annotations

from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.devices.gic.gicv3 import Gicv3
from armvcpu.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from armvcpu.arch.psci import AffinityState
    from armvcpu.devices.gic.gicv2 import Gicv2
    from armvcpu.machine.board.memory import GuestMemory
    from armvcpu.machine.running.cpu import Cpu
    from armvcpu.vcpu.addrspace import AddressSpace
    from armvcpu.vcpu.vcpu import Aarch64VCpu

ISPENDR, SGI_BASE = 0x200, 0x1_0000
SPECIAL_INTIDS = 1020
"""From here on a number says something else than which interrupt it is (IHI 0069 2.2.1)."""


class MachineHal:
    """Interrupts go through the board's interrupt controller, guest memory by the machine's stage 2."""

    def __init__(self, space: AddressSpace, gic: Gicv2 | Gicv3) -> None:
        self._space, self._gic = space, gic

    def translate(self, guest_physical: int) -> int | None:
        """Host-physical address by the stage-2 tables."""
        found = self._space.translate(guest_physical)
        return None if found is None else found.hpa

    def irq_fetch(self) -> int:
        """The one interrupt of the host's: a call for the run loop's attention."""
        return 0

    def irq_handler(self, vector: int) -> None:
        """Nothing: the run loop looks after what there is (`RunLoop.attend`)."""

    def inject(self, vcpu: Aarch64VCpu, vector: int) -> bool:
        """Make an interrupt pending, as a write of GICD_ISPENDR or GICR_ISPENDR0 does (IHI 0069 12.9.22).

        UsageError for a number that is none of an SGI, PPI or SPI (2.2.1).
        """
        if not 0 <= vector < SPECIAL_INTIDS:
            raise UsageError(f"no interrupt {vector}: 0 to {SPECIAL_INTIDS - 1}")
        gic, bit = self._gic, 1 << vector % 32
        if vector >= 32:
            gic.distributor.write(ISPENDR + vector // 32 * 4, 4, bit)
        elif isinstance(gic, Gicv3):
            gic.redistributor(vcpu.vcpu_id).write(SGI_BASE + ISPENDR, 4, bit)
        else:
            gic.distributor.write(ISPENDR, 4, bit)
        return True


class MachinePower:
    """What PSCI asks about the CPUs of a machine, of which there may be more to come."""

    def __init__(self, cpus: Sequence[Cpu], memory: GuestMemory) -> None:
        self._cpus, self._memory = cpus, memory

    def cpu_states(self) -> Mapping[int, AffinityState]:
        """Every CPU of the board."""
        return {cpu.mpidr: cpu.power for cpu in self._cpus}

    def is_entry_point(self, address: int) -> bool:
        """RAM, or flash."""
        return self._memory.holds(address)
