"""The interrupt controller of the board, and its wires: to the CPUs, from the devices and the timers.

Lines, not polling: a device calls its line when the level changes, the controller calls a CPU's when its output does.
"""

from __future__ import annotations

from functools import partial

from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.devices.gic.gicv3 import Gicv3
from armvcpu.devices.gic.gicv3_icc import READERS, WRITERS
from armvcpu.machine.running.cpu_time import PHYSICAL_TIMER_INTID, PMU_INTID, VIRTUAL_TIMER_INTID

if TYPE_CHECKING:
    from collections.abc import Sequence

    from armvcpu.devices.gic.gicv2 import Gicv2
    from armvcpu.machine.running.cpus import Cpu


class Lines:
    """The IRQ and FIQ inputs of CPUs that are made after their interrupt controller."""

    def __init__(self, count: int) -> None:
        self._cpus: Sequence[Cpu] = ()
        self.irq = [partial(self._irq, index) for index in range(count)]
        self.fiq = [partial(self._fiq, index) for index in range(count)]

    def connect(self, cpus: Sequence[Cpu]) -> None:
        """The CPUs are there now."""
        self._cpus = cpus

    def current_cpu(self) -> int:
        """The index of the CPU whose access is being served."""
        return next((cpu.index for cpu in self._cpus if cpu.is_bound), 0)

    def _irq(self, index: int, level: bool) -> None:
        if self._cpus:
            self._cpus[index].set_irq(level)

    def _fiq(self, index: int, level: bool) -> None:
        if self._cpus:
            self._cpus[index].set_fiq(level)


def connect_gic(gic: Gicv2 | Gicv3, cpus: Sequence[Cpu]) -> None:
    """The CPU interface's registers into each vCPU's table, the timers' interrupts into the controller."""
    for cpu in cpus:
        if isinstance(gic, Gicv3):
            cpu.vcpu.sysregs.add_interface(gic.interface(cpu.index), READERS, WRITERS)
        cpu.connect_timers(
            *(gic.ppi_line(cpu.index, intid) for intid in (VIRTUAL_TIMER_INTID, PHYSICAL_TIMER_INTID, PMU_INTID))
        )
