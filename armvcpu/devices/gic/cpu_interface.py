"""What one CPU is told of the machine's interrupts: its interface over its own and over the SPIs that may come to it.

`gicv3_icc.py` shows this to the guest as system registers, `gicv2_cpu.py` as memory-mapped ones. By which rules an
interrupt is signalled stands in `arch/gic_cpu_interface.py`; here is where it comes from, in both GIC versions.
"""

from __future__ import annotations

from armvcpu.arch.gic_cpu_interface import NOTHING, CpuInterface
from armvcpu.arch.gic_registers import FIRST_SPI
from armvcpu.arch.static import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.devices.device import SignalLine
    from armvcpu.devices.gic.state import InterruptBank

_INTIDS = 1 << 24


class PhysicalCpuInterface(CpuInterface):
    """One CPU's interface over its own interrupts and those of the SPIs that are routed to it.

    `spi_changed` is told an SPI's INTID when this CPU acknowledged or ended it.
    """

    def __init__(
        self,
        private: InterruptBank,
        shared: InterruptBank,
        irq: SignalLine,
        fiq: SignalLine,
        spi_changed: Callable[[PhysicalCpuInterface, int], None],
    ) -> None:
        self.private, self.shared = private, shared
        self._spi_changed = spi_changed
        self.routed = 0
        """Bitmap of the SPIs that this CPU may take."""
        super().__init__(irq, fiq, reserved=range(shared.intids.stop, _INTIDS))
        self.forwarded_groups = 0

    def _highest(self, groups: int) -> int:
        private, shared = self.private.ready, self.shared.ready
        rank = self.private.highest(private, groups) if private else NOTHING
        return min(rank, self.shared.highest(shared & self.routed, groups)) if shared else rank

    def _activate(self, intid: int) -> None:
        if intid < FIRST_SPI:
            self.private.acknowledge(intid)
            self.update()
        else:
            self.shared.acknowledge(intid)
            self.update()
            self._spi_changed(self, intid)

    def _deactivate(self, intid: int) -> None:
        if intid < FIRST_SPI:
            self.private.deactivate(intid)
            self.update()
        else:
            self.shared.deactivate(intid)
            self.update()
            self._spi_changed(self, intid)
