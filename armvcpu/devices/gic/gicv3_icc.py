"""The CPU interface of a GICv3 that the machine has: by system registers, with SGIs and 1 of N routing. IHI 0069 12.2.

What MRS and MSR of its registers do stands in `arch/gic_icc.py`.
"""

from __future__ import annotations

from armvcpu.arch.gic_icc import IccRegisters
from armvcpu.arch.gic_registers import ICC_CTLR, ICC_SGIR, affinity
from armvcpu.arch.static import TYPE_CHECKING, Any
from armvcpu.devices.gic.cpu_interface import PhysicalCpuInterface

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from armvcpu.devices.device import SignalLine
    from armvcpu.devices.gic.gicv3 import Gicv3
    from armvcpu.devices.gic.state import InterruptBank

_CTLR_FIXED = ICC_CTLR.of(PRIbits=4, A3V=1, RSS=1)


class SystemRegisterInterface(PhysicalCpuInterface):
    """One CPU's interface. `mpidr` is its MPIDR_EL1, of which the affinity is looked at."""

    def __init__(
        self, gic: Gicv3, mpidr: int, private: InterruptBank, shared: InterruptBank, irq: SignalLine, fiq: SignalLine
    ) -> None:
        self._gic = gic
        self.affinity = affinity(mpidr)
        super().__init__(private, shared, irq, fiq, gic.spi_changed)

    def registers(self) -> Iterator[tuple[int, Callable[[], int] | None, Callable[[int], None] | None]]:
        """Its system registers: each one's packed encoding, who answers MRS, who answers MSR."""
        return IccRegisters(self, self.send_sgi, _CTLR_FIXED).rows()

    def reset(self) -> None:
        """The state after a reset of the CPU; the Redistributor keeps its own."""
        super().reset()
        self._gic.participation_changed()

    def load_state(self, state: dict[str, Any]) -> None:
        """Return to a state that `state()` gave, and drive the outputs to their levels."""
        super().load_state(state)
        self._gic.participation_changed()

    def enable(self, group: int, enabled: int) -> None:
        """Signal interrupts of a group, or don't; and take part in its 1 of N routing."""
        super().enable(group, enabled)
        self._gic.participation_changed()

    def send_sgi(self, value: int, groups: int) -> None:
        """Make an SGI pending, as ICC_SGI*R_EL1 says by its 64 bits, where its target has it in one of `groups`."""
        sgi = ICC_SGIR(value)
        intid = sgi.INTID
        for target in self._gic.sgi_targets(self, sgi):
            if groups >> (target.private.group1 >> intid & 1) & 1:
                target.private.set_pending(1 << intid)
                target.update()
